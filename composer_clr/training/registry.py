"""Builds objects from names and arguments in recipes; an error is one line that names the key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from composer_clr.recipes.schema import RecipeError
from composer_clr.utils.errors import UserError, did_you_mean, one_line

__all__ = ['all_named', 'built', 'classes', 'known_as', 'named']


def classes(base: type, *modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """Returns the subclasses of a base in modules, by name; a later module's class replaces one of the same name."""
    found = [item for module in modules for item in vars(module).items()]
    return {
        name: item for name, item in found if isinstance(item, type) and issubclass(item, base) and item is not base
    }


def all_named(key: str, known: Mapping[str, Callable[..., Any]], chosen: dict[str, Any]) -> list[Any]:
    """Builds every class that is named; ``false`` in place of the arguments leaves one out."""
    return [named(key, known, name, arguments) for name, arguments in chosen.items() if arguments is not False]


def named(key: str, known: Mapping[str, Callable[..., Any]], name: str, arguments: dict[str, Any] | None) -> Any:
    """Builds a class of the known ones by its name."""
    return built(f'{key}.{name}', known_as(key, known, name), arguments or {})


def known_as(key: str, known: Mapping[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    """Returns the class or function of a name.

    Example:
        >>> known_as('optimizer.name', {'dict': dict}, 'dikt')
        Traceback (most recent call last):
        composer_clr.recipes.schema.RecipeError: optimizer.name='dikt': unknown name, did you mean 'dict'?
    """
    if name not in known:
        raise RecipeError(f'{key}={name!r}: unknown name{did_you_mean(name, list(known))}')
    return known[name]


def built(key: str, maker: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Calls a class or function; an error, also of a package that is missing, becomes a RecipeError after the key."""
    try:
        return maker(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise RecipeError(f'{key}: {one_line(error)}') from error
