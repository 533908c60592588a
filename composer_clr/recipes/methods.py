"""The methods of a study, as ``--methods`` names them, and the overrides that make each of a recipe."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from composer_clr.curves.names import method_algorithms, method_name
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.untrusted_yaml import read_override, value_at
from composer_clr.utils.errors import did_you_mean

__all__ = ['composer_algorithms', 'split_methods', 'with_methods']

_NAMED = re.compile(r'([^=:]*):\s(.*=.*)', re.DOTALL)
_NAME = re.compile(r'[\w.+@()-]+( [\w.+@()-]+)*')
_OPENS, _CLOSES = '([{', ')]}'


def split_methods(text: str) -> list[str]:
    """Splits what ``--methods`` is given at the commas outside of brackets and quotes.

    A ``key=value`` pair without a name before it is one more of the method before it.

    Example:
        >>> split_methods('baseline, LS+MX, wide: model.arguments={width: 16, depth: 8}, optimizer.lr=0.1, CutMix')
        ['baseline', 'LS+MX', 'wide: model.arguments={width: 16, depth: 8}, optimizer.lr=0.1', 'CutMix']
    """
    methods: list[str] = []
    for part in _parts(text):
        if methods and '=' in part and _NAMED.fullmatch(part) is None and _NAMED.fullmatch(methods[-1]):
            methods[-1] += f', {part}'
        else:
            methods.append(part)
    return methods


def with_methods(overrides: Sequence[str], methods: Sequence[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Yields the name of each method and the overrides to train it with; without methods, ``None`` and the overrides.

    A method is ``baseline``, algorithms joined by ``+`` in the notation of :func:`~.names.method_algorithms`, or
    ``NAME: key=value, key=value``, which is recorded under that name. The pairs of a method win over ``overrides``, of
    which those of an algorithm are for the methods that use it.

    Raises:
        RecipeError: If an algorithm is unknown, a pair has no name before it, or two methods have one name.

    Example:
        >>> for method, words in with_methods(['optimizer.lr=0.1'], ['LS', 'slow: optimizer.lr=0.01']):
        ...     print(method, *words)
        LS algorithms.LabelSmoothing={smoothing: 0.1} optimizer.lr=0.1
        slow snapshot.method=slow optimizer.lr=0.1 optimizer.lr=0.01
    """
    if not methods:
        yield None, list(overrides)
        return
    # First all algorithms in their order, then overrides of their arguments.
    by_name: dict[str, tuple[list[str], list[str]]] = {}
    for method in methods:
        named = _NAMED.fullmatch(method)
        if named is not None:
            name = _checked(named[1].strip())
            before, after = [_as_method(name)], _parts(named[2])
        elif '=' in method:
            raise RecipeError(f'--methods {method}: has no name: write it before, as in slow: optimizer.lr=0.01')
        else:
            algorithms = _algorithms(method)
            name = method_name(algorithm.rpartition(':')[2] for algorithm in algorithms)
            before, after = [f'algorithms.{one}={_flow(arguments)}' for one, arguments in algorithms.items()], []
        if name in by_name:
            raise RecipeError(f'--methods: {name} is named twice: leave one out, or give it another name')
        by_name[name] = before, after
    used = {name: set(map(_algorithm, (*before, *after))) for name, (before, after) in by_name.items()}
    for name, (before, after) in by_name.items():
        others = set().union(*used.values()) - used[name] - {''}
        yield name, [*before, *(word for word in overrides if _algorithm(word) not in others), *after]


@cache
def composer_algorithms() -> frozenset[str]:
    """Returns the names of Composer's algorithms, from its source, since to import them takes seconds."""
    composer = find_spec('composer')
    assert composer is not None
    assert composer.submodule_search_locations is not None
    source = Path(composer.submodule_search_locations[0], 'algorithms', '__init__.py')
    tree = ast.parse(source.read_text(encoding='utf-8'))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return frozenset(name.name for node in imports for name in node.names)


def _parts(text: str) -> list[str]:
    """Splits a text at the commas outside of brackets and quotes."""
    parts, depth, quote = [''], 0, ''
    for character in text:
        if quote:
            quote = '' if character == quote else quote
        elif character in '"\'':
            quote = character
        elif character in _OPENS or character in _CLOSES:
            depth += 1 if character in _OPENS else -1
        elif character == ',' and depth == 0:
            parts.append('')
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def _algorithms(method: str) -> dict[str, dict[str, Any]]:
    """Returns the algorithms of a method; those of one's own have a colon in their name, and are looked up later."""
    known = composer_algorithms()
    try:
        return method_algorithms(method, (*known, *(part for part in method.split('+') if ':' in part)))
    except ValueError as error:
        unknown = next((part for part in method.split('+') if part not in known), method)
        raise RecipeError(f'--methods: {error}{did_you_mean(unknown, sorted(known))}') from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RecipeError(f'--methods: {name!r} is no name of a method: use letters, digits, and . + - _ @ ( )')
    return name


def _algorithm(override: str) -> str:
    """Returns the algorithm that an override belongs to: ``MixUp`` of ``algorithms.MixUp.alpha=0.2``; or nothing."""
    first, _, rest = override.partition('=')[0].partition('.')
    return rest.partition('.')[0] if first == 'algorithms' else ''


def _as_method(name: str) -> str:
    """Returns the override that names a method, quoted where YAML would read a number."""
    plain = f'snapshot.method={name}'
    return plain if value_at(read_override(plain), 'snapshot.method') == name else f'snapshot.method={json.dumps(name)}'


def _flow(arguments: Mapping[str, Any]) -> str:
    """Returns arguments as YAML on one line: ``{alpha: 0.2}``."""
    return yaml.safe_dump(dict(arguments), default_flow_style=True, sort_keys=False, width=float('inf')).rstrip()
