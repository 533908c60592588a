"""What made a curve, as plain values by dotted name, and what a difference in each of them means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer_clr.curves.curve import Run

__all__ = [
    'COMMAND',
    'COMMAND_VARIABLE',
    'PLACES',
    'RECIPE',
    'Difference',
    'Effect',
    'differences',
    'flat',
    'listed_differences',
    'settings_of',
]

# The key of the resolved recipe among a run's settings, and that of the command of a study that started the run, which
# is passed in an environment variable.
RECIPE = 'recipe'
COMMAND, COMMAND_VARIABLE = 'command', 'COMPOSER_CLR_COMMAND'
# The arguments of a schedule that say where its troughs are.
PLACES = ('t_0', 't_mult', 'cycle_ends', 'marks', 'points_at', 't_warmup', 't_max')


class Effect(Enum):
    """What a difference in a setting means for two curves, or for two parts of one."""

    CURVE = 'another curve'
    PACE = 'another pace'
    NONE = 'no matter'

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(name: str) -> Effect:
        """Returns what a difference in a setting means, by its dotted name.

        Example:
            >>> [Effect.of(name).name for name in ('optimizer.lr', 'recipe.optimizer.lr', 'device', 'run_name')]
            ['CURVE', 'CURVE', 'PACE', 'NONE']
        """
        return next((one for one, patterns in _EFFECTS if _fits(name, patterns)), Effect.CURVE)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# The first pattern that fits a name decides; a name that none fits makes another curve, so that nothing is missed.
_EFFECTS: tuple[tuple[Effect, tuple[str, ...]], ...] = (
    (
        Effect.NONE,
        (
            'run_name',
            # Curves that differ in the seed alone are pooled; a resume continues with the checkpoint's, and says so.
            'seed',
            # Where the troughs are is compared as counts, in schedule.troughs and schedule.warmup: '8ep' and '80ba' may
            # be the same, and a run may be made longer.
            *(f'schedule.{place}' for place in PLACES),
            *('schedule.points_at.*', 'schedule.max_duration', 'schedule.unit'),
            *('versions.composer_clr', 'versions.python'),
            *(f'{RECIPE}.{name}' for name in ('run_name', 'base', 'seed', 'max_duration', 'progress_bar')),
            *(f'{RECIPE}.schedule.{place}' for place in ('t_0', 't_mult', 'cycle_ends', 'marks*')),
            *(f'{RECIPE}.{section}.*' for section in ('checkpoint', 'evaluation', 'loggers')),
            *(f'{RECIPE}.snapshot.{name}' for name in ('folder', 'metrics', 'directions*', 'save_weights')),
            *(f'{RECIPE}.snapshot.{name}' for name in ('overwrite', 'on_nan', 'on_change', 'log_artifact')),
            f'{RECIPE}.data.timeout_s',
        ),
    ),
    (
        # Precision, compilation and the number of ranks change values by rounding (and the images that one batch norm
        # sees), but not what is optimized: other work in other time, which the curve records.
        Effect.PACE,
        (
            *(f'optimizer*.{name}' for name in ('foreach', 'fused', 'capturable', 'differentiable')),
            *('device', 'host', 'world_size', 'parallelism', 'precision', 'compile', 'loader.*', 'versions.*'),
            *(f'{RECIPE}.{name}' for name in ('precision', 'compile', 'data.num_workers')),
        ),
    ),
    # Callbacks watch, but for those that evaluate other weights, and perhaps one's own (module:Name).
    (Effect.CURVE, tuple(f'{RECIPE}.callbacks.{name}' for name in ('TroughAverage*', 'FastCycles*', '*:*'))),
    (Effect.NONE, (f'{RECIPE}.callbacks*',)),
)
# What a recipe alone shows, and its Trainer does not: compared also where the settings of both Trainers are known.
_OF_RECIPES_ALONE = (
    *(f'{RECIPE}.model.{name}' for name in ('name', 'num_classes', 'arguments*')),
    *(f'{RECIPE}.data.{name}' for name in ('name', 'path', 'sequence_length', 'arguments*')),
    *(f'{RECIPE}.{name}' for name in ('code.*', 'callbacks.*:*')),
)
# Keys that only some kinds of run read; for a run of another kind they are of no matter.
_OF_KINDS = {
    **dict.fromkeys(('rate', 'a'), ('anytime', 'schedule-free')),
    'average': ('anytime',),
    'schedule_free': ('schedule-free',),
    **dict.fromkeys(('alpha_f', 'shape', 't_hold'), ('cyclic', 'standard', 'branch')),
    **dict.fromkeys(('peak_decay', 't_rewarmup'), ('cyclic',)),
}
# What a record leaves out where it is at this.
_DEFAULTS: dict[str, Any] = {
    'schedule.ssr': 1.0,
    'schedule.shape': 'cosine',
    'schedule.alpha_f': 0.0,
    'schedule.rate': 'constant',
    **dict.fromkeys(f'schedule.{name}' for name in ('peak_decay', 't_rewarmup', 't_hold', 'a')),
}


@dataclass(frozen=True)
class Difference:
    """A setting that two runs, or two parts of one, do not share.

    Attributes:
        name (str): Its dotted name.
        then (Any): The value of the first; ``None`` also where it has none.
        now (Any): The value of the second, likewise.

    Example:
        >>> str(Difference('optimizer.lr', 0.2, 0.05))
        'optimizer.lr=0.2, now 0.05'
        >>> Difference('recipe.optimizer.lr', 0.2, 0.05).text('asked for')
        'optimizer.lr=0.2, asked for 0.05'
    """

    name: str
    then: Any
    now: Any

    def text(self, now: str = 'now') -> str:
        """Returns the name, as the user wrote it, and both values, on one line."""
        then, value = (' '.join(repr(one).split()) for one in (self.then, self.now))
        short = [one if len(one) <= 200 else f'{one[:197]}...' for one in (then, value)]
        return f'{self.name.removeprefix(f"{RECIPE}.")}={short[0]}, {now} {short[1]}'

    def __str__(self) -> str:
        return self.text()


def listed_differences(found: Iterable[Difference], now: str = 'now') -> str:
    """Returns differences on one line: ``optimizer.lr=0.2, now 0.05; loss='a', now 'b'``."""
    return '; '.join(one.text(now) for one in found)


def flat(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Returns nested values by dotted name; lists stay whole, and an empty dict has no name.

    Example:
        >>> flat({'lr': 0.1, 'arguments': {'betas': [0.9, 0.99]}, 'more': {}}, 'optimizer')
        {'optimizer.lr': 0.1, 'optimizer.arguments.betas': [0.9, 0.99]}
    """
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = f'{prefix}.{key}' if prefix else str(key)
        named |= flat(value, name) if isinstance(value, Mapping) else {name: value}
    return named


def settings_of(run: Run) -> dict[str, Any]:
    """Returns all that a run's record says of what made its curve, by dotted name; a recipe is whole under ``recipe``.

    Of a record without settings that is its method, kind, schedule, network, data sizes, algorithms, evaluation and
    versions, as far as it has them.

    Example:
        >>> from composer_clr.curves.curve import Run
        >>> run = Run('r', 'cyclic', 'LS', seed=17, model='ResNet', training={'batch_size': 4, 'samples': None})
        >>> {name: value for name, value in settings_of(run).items() if name in ('model', 'data.batch_size', 'seed')}
        {'seed': 17, 'model': 'ResNet', 'data.batch_size': 4}
    """
    recorded = {
        **{name: getattr(run, name) for name in ('run_name', 'method', 'kind', 'seed', 'model', 'world_size')},
        # A branch equals the run that was trained alone.
        'starts_from': None if run.kind == 'branch' else 'another run' if run.parent else 'the beginning',
        'model.parameters': run.parameters,
        'algorithms': run.training.get('algorithms'),
        **flat({name: value for name, value in run.training.items() if name != 'algorithms'}, 'data'),
        **flat(run.evaluation, 'evaluation'),
        **flat(run.versions, 'versions'),
    }
    # An average's arguments are under averages, where there are settings.
    of_schedule = {name: value for name, value in run.schedule.items() if name != 'average' or run.settings is None}
    known = {name: value for name, value in recorded.items() if value is not None}
    return {**known, **flat(of_schedule, 'schedule'), **(run.settings or {})}


def differences(
    then: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    *,
    effect: Effect = Effect.CURVE,
    defaults: Mapping[str, Any] | None = None,
) -> list[Difference]:
    """Returns the settings of one effect in which two runs, or two parts of one, differ.

    Numbers compare by value, lists by their items. A name that one side lacks is compared by its default; without one
    it is not known there, and differs from nothing. In a recipe, a key that is missing is ``None``. Where both sides
    know their Trainer's settings, only that part of the recipe is compared which a Trainer does not show. Troughs are
    compared as far as both runs go, where both have several; of the path of the data, its last part if the hosts are
    different ones.

    Args:
        then (Mapping | None): Settings by dotted name, with a resolved recipe, if any, under ``recipe``; ``None``: not
            known, which differs from nothing.
        now (Mapping | None): Those of the other.
        effect (Effect): The effect. Default: ``Effect.CURVE``.
        defaults (Mapping | None): By dotted name, the values of names that a side lacks. Default: ``None``, none
            beyond those of schedules.

    Example:
        >>> slow, fast = {'optimizer.lr': 0.2, 'host': 'a'}, {'optimizer.lr': 0.05, 'host': 'b', 'loss': 'mse'}
        >>> [str(one) for one in differences(slow, fast)]
        ['optimizer.lr=0.2, now 0.05']
        >>> [str(one) for one in differences(slow, fast, effect=Effect.PACE)]
        ["host='a', now 'b'"]
        >>> [str(one) for one in differences({'recipe': {'optimizer': {'lr': 1}}}, {'recipe': {'optimizer': {}}})]
        ['optimizer.lr=1, now None']
    """
    if then is None or now is None:
        return []
    sides = [_named(side) for side in (then, now)]
    defaults = _DEFAULTS | dict(defaults or {})
    found = []
    # Data lie in another folder on another host.
    elsewhere = len({side.get('host') for side in sides} - {None}) > 1
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        if Effect.of(name) is not effect or not _matters(name, sides):
            continue
        values = [side[name] if name in side else _missing(name, side, defaults) for side in sides]
        if name == f'{RECIPE}.data.path' and elsewhere:
            values = [PurePath(value).name if isinstance(value, str) else value for value in values]
        if _UNKNOWN not in values and not _same(name, *map(_plain, values)):
            found.append(Difference(name, *values))
    return found


# A value that a side does not record.
_UNKNOWN = object()


def _missing(name: str, side: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Returns the value of a name that a side lacks: of a recipe or schedule that it lacks, none is known."""
    section = name.partition('.')[0]
    if section in (RECIPE, 'schedule') and not any(other.startswith(f'{section}.') for other in side):
        return _UNKNOWN
    return defaults.get(name, None if section == RECIPE else _UNKNOWN)


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings by dotted name, those of the recipe among them."""
    named = {name: value for name, value in settings.items() if name != RECIPE}
    recipe = settings.get(RECIPE)
    if not isinstance(recipe, Mapping):
        return named
    chosen = {name: _chosen(recipe.get(name)) for name in ('algorithms', 'callbacks')}
    named |= flat({**recipe, **chosen}, RECIPE) | {f'{RECIPE}.callbacks.{name}': True for name in chosen['callbacks']}
    # Their order matters, and one without arguments has no other name.
    return named | {f'{RECIPE}.algorithms': list(chosen['algorithms'])}


def _chosen(section: object) -> dict[str, Any]:
    """Returns the arguments of what a section of a recipe names; ``false`` leaves one of the base's out."""
    chosen = section.items() if isinstance(section, Mapping) else ()
    return {name: arguments or {} for name, arguments in chosen if arguments is not False}


def _matters(name: str, sides: list[dict[str, Any]]) -> bool:
    """Returns whether a name says something that no other name of both runs says, and that both runs read."""
    if not name.startswith(f'{RECIPE}.'):
        return True
    if all('optimizer' in side for side in sides) and not _fits(name, _OF_RECIPES_ALONE):
        return False
    section, _, rest = name.removeprefix(f'{RECIPE}.').partition('.')
    owner = rest.partition('.')[0]
    if section == 'schedule' and owner in _OF_KINDS:
        return any(side.get(f'{RECIPE}.schedule.kind') in _OF_KINDS[owner] for side in sides)
    if section == 'algorithms' and rest:
        return all(owner in side.get(f'{RECIPE}.algorithms', ()) for side in sides)
    if section == 'callbacks' and rest != owner:
        return all(f'{RECIPE}.callbacks.{owner}' in side for side in sides)
    return True


def _same(name: str, then: Any, now: Any) -> bool:
    if name == 'schedule.troughs' and isinstance(then, list) and isinstance(now, list):
        shared = min(len(then), len(now))
        # Separate runs have one trough each, where they end.
        return shared < 2 or then[:shared] == now[:shared]
    return then == now


def _plain(value: Any) -> Any:
    """Returns a value as ``curve.json`` gives it back."""
    if isinstance(value, float) and not math.isfinite(value):
        return {'nan': 'NaN', 'inf': 'Infinity', '-inf': '-Infinity'}[str(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
