"""Builds objects from names and arguments in recipes; an error is one line that names the key."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from composer_clr.recipes.code import OWN_KEYS, Code, is_own
from composer_clr.recipes.schema import RecipeError
from composer_clr.utils.errors import UserError, did_you_mean, listed, one_line

__all__ = ['all_named', 'built', 'check_arguments', 'classes', 'known_as', 'named', 'own_names', 'taken']


def classes(base: type, *modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """Returns the subclasses of a base in modules, by name; a later module's class replaces one of the same name."""
    found = [item for module in modules for item in vars(module).items()]
    return {
        name: item for name, item in found if isinstance(item, type) and issubclass(item, base) and item is not base
    }


def own_names(code: Mapping[str, Code]) -> dict[str, Callable[..., Any]]:
    """Imports the modules of one's own, and returns what recipes may name in them, by ``module:name``.

    That is the functions and classes that the module itself defines, without those whose name begins with an
    underscore, and what its ``__all__`` lists. What else it has imported, such as ``os.system``, has no name.
    """
    names: dict[str, Callable[..., Any]] = {}
    for name, one in code.items():
        module = _imported(one)
        listed_too = getattr(module, '__all__', ())
        for key, value in vars(module).items():
            defined = (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__
            if callable(value) and (key in listed_too or (defined and not key.startswith('_'))):
                names[f'{name}:{key}'] = _with_places(one, value)
    return names


def all_named(key: str, known: Mapping[str, Callable[..., Any]], chosen: dict[str, Any], base: type) -> list[Any]:
    """Builds everything that is named; ``false`` in place of the arguments leaves one out."""
    return [named(key, known, name, arguments, base) for name, arguments in chosen.items() if arguments is not False]


def named(
    key: str, known: Mapping[str, Callable[..., Any]], name: str, arguments: dict[str, Any] | None, base: type
) -> Any:
    """Builds an object of a class, by the name of the class or function that makes it."""
    made = built(f'{key}.{name}', known_as(key, known, name), arguments or {})
    if not isinstance(made, base):
        raise RecipeError(f'{key}.{name}: makes an object of {type(made).__name__}: must make one of {base.__name__}')
    return made


def known_as(key: str, known: Mapping[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    """Returns the class or function of a name.

    Example:
        >>> known_as('model.loss', {'dict': dict}, 'dikt')
        Traceback (most recent call last):
        composer_clr.recipes.schema.RecipeError: model.loss='dikt': unknown name, did you mean 'dict'? (known: dict)
    """
    if name not in known:
        # Names of a module of one's own are not those of another.
        module = name.partition(':')[0] if is_own(name) else None
        near = [one for one in known if module is None or one.startswith(f'{module}:')]
        own = '; your own: MODULE:NAME, with --code MODULE.py' if key in OWN_KEYS and module is None else ''
        hint = f'{did_you_mean(name, near)} (known: {listed(near) or "none"}{own})'
        raise RecipeError(f'{key}={name!r}: unknown name{hint}')
    return known[name]


def built(key: str, maker: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Calls a class or function; an error, also of a package that is missing, becomes a RecipeError after the key."""
    check_arguments(key, maker, arguments)
    try:
        return maker(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise RecipeError(f'{key}: {one_line(error)}') from error


def check_arguments(key: str, maker: Callable[..., Any], arguments: Iterable[str], given: Iterable[str] = ()) -> None:
    """Refuses arguments that a class or function does not take, and names those that are not ``given`` elsewhere.

    Example:
        >>> check_arguments('data.arguments', lambda path, eval_size=224: None, ['evalsize'], given=['path'])
        Traceback (most recent call last):
        composer_clr.recipes.schema.RecipeError: data.arguments: unknown argument 'evalsize', did you mean \
'eval_size'? (known: eval_size)
    """
    names = _names(maker)
    if names is None or not (unknown := [name for name in arguments if name not in names]):
        return
    known = [name for name in names if name not in given]
    hint = f'{did_you_mean(unknown[0], known)} (known: {listed(known) or "none"})'
    raise RecipeError(f'{key}: unknown argument {unknown[0]!r}{hint}')


def _names(maker: Callable[..., Any]) -> list[str] | None:
    """Returns the names of a function's arguments; ``None`` if it takes any, or does not tell."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return [one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]


def taken(maker: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the arguments that a class or function takes by name, and that are not ``None``.

    Example:
        >>> taken(lambda path, seed=0: None, {'path': None, 'seed': 17, 'num_classes': 10})
        {'seed': 17}
    """
    names = _names(maker)
    return {key: value for key, value in arguments.items() if value is not None and (names is None or key in names)}


# The digest of each module of one's own when it was imported.
_digests: dict[str, str] = {}


def _imported(code: Code) -> ModuleType:
    if str(code.folder) not in sys.path:
        # First, as the folder of a script is.
        sys.path.insert(0, str(code.folder))
    try:
        module = import_module(code.module)
    except Exception as error:
        raise RecipeError(f'--code {code.source}: {_told(error, code)}') from error
    if module.__file__ is None or not Path(module.__file__).samefile(code.file):
        raise RecipeError(f'--code {code.source}: {code.module} names {module.__file__} too: rename the file')
    if _digests.setdefault(code.module, code.digest) != code.digest:
        raise RecipeError(f'--code {code.source}: has changed since this process imported it: start another one')
    return module


def _with_places(code: Code, maker: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a class or function of one's own that says where in its file an error comes from."""

    @wraps(maker)
    def make(**arguments: Any) -> Any:
        try:
            return maker(**arguments)
        except Exception as error:
            raise ValueError(_told(error, code)) from error

    return make


def _told(error: Exception, code: Code) -> str:
    """Returns an error with the last line of a module that it came through: ``mine.py, line 12: KeyError: 'a'``."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(code.file)]
    place = f'{code.file.name}, line {lines[-1]}: ' if lines else ''
    return f'{place}{type(error).__name__}: {one_line(error)}'
