"""Reads a training run from a YAML recipe, typed and checked before any data is read.

A recipe is one of the shipped YAML files, by name (``quickstart/digits``), or the path of your own. ``key=value`` pairs
override it: ``schedule.kind=standard seed=18``. An unknown key, a wrong type or a missing value is refused. A recipe
that names another one as its ``base`` is that one with its own keys on top. A value may refer to another,
``${schedule.kind}``; ``${snapshot.method}`` defaults to the names of the algorithms: ``LS+MX``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from composer_clr.curves.names import ANYTIME, check_run_name, method_name
from composer_clr.recipes.code import check_own_names, read_code
from composer_clr.recipes.families import check_family
from composer_clr.recipes.schema import Recipe, RecipeError, key_defaults, recipe_keys
from composer_clr.recipes.untrusted_yaml import References, merged, nested, read_mapping, read_override, value_at
from composer_clr.schedule.averages import read_average
from composer_clr.schedule.times import read_duration
from composer_clr.utils.errors import did_you_mean

__all__ = ['RecipeTemplate', 'load_recipe', 'shipped_recipes']

# A wheel carries the YAMLs inside the package; in a checkout, and so in an editable install, they lie beside it.
_PACKAGE = Path(__file__).parent.parent
_YAMLS = next(folder for folder in (_PACKAGE / 'yamls', _PACKAGE.parent / 'yamls') if folder.is_dir())
# The folder of LLM Foundry's configurations, which are not recipes.
_FOREIGN = 'llm_foundry'

_RECIPE = TypeAdapter(Recipe)
# A section may be left out: what is missing is then a key of it.
_SECTIONS = {name.rpartition('.')[0]: {} for name in recipe_keys() if '.' in name}
_T = TypeVar('_T')


def load_recipe(name: str, overrides: Sequence[str] = (), code: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and checks it against its schema.

    Args:
        name (str): A shipped recipe (``'quickstart/digits'``) or the path of a YAML file.
        overrides (Sequence[str]): ``key=value`` pairs, values in YAML's notation.
        code (Sequence[str]): Modules of one's own, as ``--code`` names them. They are imported when a Trainer is built.

    Raises:
        RecipeError: If the recipe, a key or a module is unknown, or a value is missing or has the wrong type.

    Example:
        >>> load_recipe('quickstart/digits', ['schedule.kind=standard', 'max_duration=4ep']).run_name
        'digits-baseline-standard-4ep-seed17'
    """
    return RecipeTemplate(name, code).with_overrides(overrides).recipe()


class RecipeTemplate:
    """Reads the files of a recipe once, to make it with many values of some of its keys."""

    def __init__(self, name: str, code: Sequence[str] = ()):
        self._name, self._code = name, read_code(code)
        # What each source holds, later ones on top.
        self._layers = _with_bases(name)

    def with_overrides(self, overrides: Sequence[str]) -> RecipeTemplate:
        """Returns a template with ``key=value`` pairs on top of the recipe's own keys."""
        template = copy(self)
        own = [(override, _refused_by(override, partial(read_override, override))) for override in overrides]
        template._layers = [*self._layers, *own]
        return template

    def recipe(self, values: Mapping[str, Any] | None = None) -> Recipe:
        """Returns the recipe, checked; ``values`` are plain values by key, such as ``{'schedule.kind': 'cyclic'}``."""
        own = [nested(key, value) for key, value in (values or {}).items()]
        keys = merged([_SECTIONS, *(layer for _, layer in self._layers), *own])
        if 'code' in keys:
            raise RecipeError(f'{self._source("code")}: code: is no key of a recipe: pass --code mine.py')
        snapshot, algorithms = keys['snapshot'], keys.get('algorithms')
        if isinstance(snapshot, dict) and snapshot.get('method') is None:
            chosen = algorithms if isinstance(algorithms, dict) else {}
            snapshot['method'] = method_name(name for name, arguments in chosen.items() if arguments is not False)
        keys = _refused_by(self._name, lambda: References(keys, key_defaults()).filled(keys)) | {'code': self._code}
        recipe = self._typed(keys)
        schedule, optimizer = recipe.schedule, recipe.optimizer
        # An override removes an argument of the base's optimizer, which another optimizer may lack.
        optimizer.arguments = {name: value for name, value in optimizer.arguments.items() if value is not None}
        if schedule.schedule_free:
            other = {**keys, 'optimizer': {**keys['optimizer'], **schedule.schedule_free}}
            typed = _refused_by('schedule.schedule_free', lambda: self._typed(other)).optimizer
            schedule.schedule_free = {name: getattr(typed, name) for name in schedule.schedule_free}
        if schedule.kind == ANYTIME:
            _refused_by('schedule.average', lambda: read_average(schedule.average))
        check_own_names(recipe)
        check_family(recipe, self._name)
        try:
            read_duration('max_duration', recipe.max_duration)
            check_run_name(recipe.run_name)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        return recipe

    def _typed(self, keys: Mapping[str, Any]) -> Recipe:
        """Returns a recipe of which every key has its type, and none is missing or unknown."""
        try:
            return _RECIPE.validate_python(keys)
        except ValidationError as error:
            faults = _faults(error)
            missing = sorted(name for name, (first, *_) in faults.items() if first['type'] == 'missing')
            for name in faults:
                if name not in missing:
                    raise RecipeError(self._fault(name, faults[name])) from error
            verb = 'is' if len(missing) == 1 else 'are'
            raise RecipeError(f'{self._name}: {", ".join(missing)} {verb} required: pass {missing[0]}=VALUE') from error

    def _fault(self, name: str, faults: Sequence[ErrorDetails]) -> str:
        """Returns a line on a key: which source has what for it, and what would be right."""
        source = self._source(name)
        section, _, key = name.rpartition('.')
        if faults[0]['type'] == 'unexpected_keyword_argument':
            inner = [other.removeprefix(f'{section}.') for other in recipe_keys() if other.startswith(section)]
            elsewhere = [f', did you mean {other!r}?' for other in recipe_keys() if other.endswith(f'.{key}')]
            near = did_you_mean(key, [other.partition('.')[0] for other in inner])
            return f'{source}: unknown key {name!r}{near or "".join(elsewhere[:1])}'
        if faults[0]['type'] == 'dataclass_type':
            right = 'a mapping of its keys'
        else:
            right = ' or '.join(fault['msg'].removeprefix('Input should be ') for fault in faults)
        shown = '' if source.startswith(f'{name}=') else f'{name}={reprlib.repr(faults[0]["input"])}: '
        return f'{source}: {shown}must be {right}'

    def _source(self, key: str) -> str:
        """Returns the name of what gives a key its value: a recipe, or an override."""
        given = (source for source, layer in reversed(self._layers) if value_at(layer, key, self) is not self)
        return next(given, self._name)


def shipped_recipes() -> list[str]:
    """Returns the names of the recipes that come with the package.

    Example:
        >>> 'quickstart/digits' in shipped_recipes()
        True
    """
    return sorted(
        path.relative_to(_YAMLS).with_suffix('').as_posix()
        for path in _YAMLS.rglob('*.yaml')
        if path.parent.name != _FOREIGN
    )


def _with_bases(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Returns the keys of a recipe's file, after those of its bases, each with the recipe's name."""
    chain: list[tuple[str, dict[str, Any]]] = []
    paths = [_path_of(name, Path())]
    while True:
        own = _refused_by(name, partial(read_mapping, paths[-1]))
        chain.insert(0, (name, own))
        base = own.get('base')
        if base is None:
            return chain
        paths.append(_path_of(str(base), paths[-1].parent))
        if paths[-1] in paths[:-1]:
            raise RecipeError(f'{name}: base={base!r} leads back to itself')
        name = str(base)


def _path_of(name: str, folder: Path) -> Path:
    if name in shipped_recipes():
        return _YAMLS / f'{name}.yaml'
    if Path(name).suffix in ('.yaml', '.yml'):
        return (folder / name).resolve()
    remedy = did_you_mean(name, shipped_recipes()) or ': name a shipped recipe, or a file that ends in .yaml'
    raise RecipeError(f'recipe {name!r}: unknown name{remedy}')


def _refused_by(source: str, call: Callable[[], _T]) -> _T:
    """Calls a function, whose errors are refusals of a source's content."""
    try:
        return call()
    except OSError as error:
        raise RecipeError(f'{source}: cannot be read ({error})') from error
    except ValueError as error:
        raise RecipeError(f'{source}: {error}') from error


def _faults(error: ValidationError) -> dict[str, list[ErrorDetails]]:
    """Returns the faults of each key; a value that may be of several types has one of each."""
    faults: dict[str, list[ErrorDetails]] = {}
    for fault in error.errors(include_url=False, include_context=False):
        name = '.'.join(map(str, fault['loc']))
        if fault['type'] not in ('missing', 'unexpected_keyword_argument'):
            # A type, or a key that is not the schema's, stands behind the key.
            while name not in recipe_keys() and name not in _SECTIONS:
                name = name.rpartition('.')[0]
        faults.setdefault(name, []).append(fault)
    return faults
