"""Reads a training run from a YAML recipe, typed and checked before any data is read.

A recipe is one of the shipped YAML files, by name (``quickstart/digits``), or the path of your own. ``key=value`` pairs
override it: ``schedule.kind=standard seed=18``. An unknown key, a wrong type or a missing value is refused. A recipe
that names another one as its ``base`` is that one with its own keys on top. A value may refer to another,
``${schedule.kind}``; ``${snapshot.method}`` defaults to the names of the algorithms: ``LS+MX``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from composer_clr.curves.names import ANYTIME, SCHEDULE_FREE, check_run_name, method_name
from composer_clr.recipes.families import check_family
from composer_clr.recipes.schema import KINDS, ON_NAN, OptimizerRecipe, Recipe, RecipeError
from composer_clr.recipes.untrusted_yaml import MAX_BYTES, check_plain, check_references
from composer_clr.schedule.averages import read_average
from composer_clr.schedule.times import read_duration
from composer_clr.utils.errors import did_you_mean
from composer_clr.utils.files import bounded_text

__all__ = ['RecipeTemplate', 'load_recipe', 'shipped_recipes']

# A wheel carries the YAMLs inside the package; in a checkout, and so in an editable install, they lie beside it.
_PACKAGE = Path(__file__).parent.parent
_YAMLS = next(folder for folder in (_PACKAGE / 'yamls', _PACKAGE.parent / 'yamls') if folder.is_dir())

# The folder of LLM Foundry's configurations, which are not recipes.
_FOREIGN = 'llm_foundry'

# Keys within keys: none is empty, and no list is indexed.
_KEY = re.compile(r'[^.\[\]]+(\.[^.\[\]]+){0,9}')


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and checks it against its schema.

    Args:
        name (str): A shipped recipe (``'quickstart/digits'``) or the path of a YAML file.
        overrides (Sequence[str]): ``key=value`` pairs, values in YAML's notation.

    Raises:
        RecipeError: If the recipe or a key is unknown, or a value is missing or has the wrong type.

    Example:
        >>> load_recipe('quickstart/digits', ['schedule.kind=standard', 'max_duration=4ep']).run_name
        'digits-baseline-standard-4ep-seed17'
    """
    return RecipeTemplate(name).with_overrides(overrides).recipe()


class RecipeTemplate:
    """Reads a recipe once, to make it with many values of some of its keys.

    Args:
        name (str): A shipped recipe or the path of a YAML file.

    Raises:
        RecipeError: If the recipe or one of its keys is unknown, or a value has the wrong type.

    Example:
        >>> template = RecipeTemplate('quickstart/digits').with_overrides(['max_duration=4ep'])
        >>> [template.recipe({'seed': seed}).run_name for seed in (1, 2)]
        ['digits-baseline-cyclic-4ep-seed1', 'digits-baseline-cyclic-4ep-seed2']
    """

    def __init__(self, name: str):
        self._name = name
        self._config: DictConfig = OmegaConf.structured(Recipe)
        for source, own_keys in _with_bases(name):
            with _errors_of(source):
                self._config.merge_with(own_keys)

    def with_overrides(self, overrides: Sequence[str]) -> RecipeTemplate:
        """Returns a template with ``key=value`` pairs on top of the recipe's own keys.

        Raises:
            RecipeError: If an override is not ``key=value``, its key is unknown, or its value has the wrong type.
        """
        template = copy(self)
        template._config = config = deepcopy(self._config)
        for override in overrides:
            key, equals, value = override.partition('=')
            if not equals or not _KEY.fullmatch(key):
                raise RecipeError(f'{override!r}: must be key=value, such as schedule.kind=standard')
            with _errors_of(override):
                _check(check_plain, value, override)
                config.merge_with(OmegaConf.from_dotlist([override]))
        with _errors_of(self._name):
            _check(check_references, OmegaConf.to_container(config), self._name)
            if config.snapshot.method is None:
                used = (algorithm for algorithm, arguments in config.algorithms.items() if arguments is not False)
                config.snapshot.method = method_name(used)
        return template

    def recipe(self, values: Mapping[str, Any] | None = None) -> Recipe:
        """Returns the recipe, checked.

        Args:
            values (Mapping[str, Any] | None): Plain values by key, such as ``{'schedule.kind': 'cyclic'}``; they stay
                set. Default: ``None``, none.

        Raises:
            RecipeError: If a value is missing, or out of range.
        """
        config = self._config
        with _errors_of(self._name):
            for key, value in (values or {}).items():
                OmegaConf.update(config, key, value)
            try:
                recipe = OmegaConf.to_object(config)
            except MissingMandatoryValue as error:
                missing = sorted(OmegaConf.missing_keys(config))
                verb = 'is' if len(missing) == 1 else 'are'
                raise RecipeError(
                    f'{self._name}: {", ".join(missing)} {verb} required: pass {missing[0]}=VALUE'
                ) from error
        assert isinstance(recipe, Recipe)
        # An override removes an argument of the base's optimizer, which another optimizer may lack.
        recipe.optimizer.arguments = {k: v for k, v in recipe.optimizer.arguments.items() if v is not None}
        check_family(recipe, self._name)
        if recipe.schedule.kind not in KINDS:
            raise RecipeError(f'schedule.kind={recipe.schedule.kind!r}: must be one of {", ".join(KINDS)}')
        if not 0 <= recipe.seed < 2**32:
            raise RecipeError(f'seed={recipe.seed}: must be between 0 and {2**32 - 1}')
        if recipe.snapshot.on_nan not in ON_NAN:
            raise RecipeError(f"snapshot.on_nan={recipe.snapshot.on_nan!r}: must be 'stop' or 'continue'")
        try:
            read_duration('max_duration', recipe.max_duration)
            check_run_name(recipe.run_name)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        if recipe.schedule.kind == ANYTIME:
            try:
                read_average(recipe.schedule.average)
            except ValueError as error:
                raise RecipeError(f'schedule.average: {error}') from error
        if recipe.schedule.kind == SCHEDULE_FREE:
            with _errors_of('schedule.schedule_free'):
                typed = OmegaConf.merge(OmegaConf.structured(OptimizerRecipe), recipe.schedule.schedule_free)
                assert isinstance(typed, DictConfig)
                recipe.schedule.schedule_free = OmegaConf.to_container(
                    OmegaConf.masked_copy(typed, list(recipe.schedule.schedule_free))
                )  # type: ignore[assignment]
        return recipe


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


def _with_bases(name: str) -> list[tuple[str, Any]]:
    """Returns the keys of a recipe's file, after those of its bases, each with the recipe's name."""
    chain: list[tuple[str, Any]] = []
    paths = [_path_of(name, Path())]
    while True:
        with _errors_of(name):
            text = _text(name, paths[-1])
            _check(partial(check_plain, mapping=True), text, name)
            own_keys = OmegaConf.create(text)
            # Before any key is read, which follows its references.
            _check(check_references, OmegaConf.to_container(own_keys), name)
        chain.insert(0, (name, own_keys))
        base = own_keys.get('base') if isinstance(own_keys, DictConfig) else None
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


def _text(name: str, path: Path) -> str:
    try:
        return bounded_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(f'{name}: cannot be read ({error})') from error


def _check(check: Callable[[Any], None], value: Any, source: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise RecipeError(f'{source}: {error}') from error


@contextmanager
def _errors_of(source: str) -> Iterator[None]:
    """Raises errors of the YAML or of its types in one line that names the source."""
    try:
        yield
    except (ConfigKeyError, ConfigAttributeError) as error:
        known = list(getattr(error.object_type, '__dataclass_fields__', ()))
        raise RecipeError(f'{source}: unknown key {error.full_key!r}{did_you_mean(str(error.key), known)}') from error
    except OmegaConfBaseException as error:
        reason = str(error).partition('\n')[0]
        raise RecipeError(f'{source}: {error.full_key}: {reason}') from error
    except RecipeError:
        raise
    except YAMLError as error:
        raise RecipeError(f'{source}: not valid YAML ({" ".join(str(error).split())})') from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{source}: not a mapping of the recipe's keys ({error})") from error
