"""Lists the runs of a study: the recipes and overrides whose curves are compared, and whether each is complete."""

from __future__ import annotations

import shlex
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.names import (
    ANYTIME,
    BASELINE,
    SCHEDULE_FREE,
    STANDARD,
    branch_file,
    filled_in,
    kind_without_shape,
)
from composer_clr.curves.settings import RECIPE, Difference, differences, flat, listed_differences
from composer_clr.recipes.load import RecipeTemplate
from composer_clr.recipes.methods import with_methods
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import KINDS, Recipe, RecipeError, key_defaults
from composer_clr.recipes.untrusted_yaml import read_override, value_at
from composer_clr.schedule.times import COUNTERS

__all__ = [
    'ONE_RANK',
    'PLACES',
    'PlannedRun',
    'Ranks',
    'calibration',
    'check_same_settings',
    'launched_ranks',
    'planned_runs',
    'run_folder',
    'study',
    'troughs_passed',
]

# What a run that goes on may change, and one from the start may not.
PLACES = ('max_duration', *(f'schedule.{place}' for place in ('t_0', 't_mult', 'cycle_ends', 'marks')))
# Where a recipe has the arguments that a Trainer's settings have under these names.
_KEYS_OF_ARGUMENTS = {
    'algorithms.': 'algorithms.',
    'averages.': 'callbacks.',
    'averages.AnytimeAverage.': 'schedule.average.',
}
_SWEPT = {'seed': '--seeds', 'schedule.kind': '--kinds'}
_COUNTS = {'ep': 'epoch', **COUNTERS}


class Ranks(NamedTuple):
    """How many ranks a run has: the values of ``{world_size}`` and ``{local_world_size}`` in its folder."""

    world_size: int
    local_world_size: int


ONE_RANK = Ranks(1, 1)


def launched_ranks(launcher: str) -> Ranks | None:
    """Returns the ranks that a command line of ``composer``, ``torchrun`` or ``python`` starts.

    ``None`` where another launcher has no option that gives their number, and so takes the machine's.

    Example:
        >>> launched_ranks('composer -n 8 -m'), launched_ranks('composer --nproc=8 --world_size 16 -m')
        (Ranks(world_size=8, local_world_size=8), Ranks(world_size=16, local_world_size=8))
        >>> launched_ranks('python -m'), launched_ranks('composer -m')
        (Ranks(world_size=1, local_world_size=1), None)
    """
    parser = ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    parser.add_argument('-n', '--nproc', '--nproc_per_node', '--nproc-per-node', type=int, dest='local')
    parser.add_argument('--world_size', '--world-size', type=int, dest='total')
    try:
        options, words = parser.parse_known_args(shlex.split(launcher))
    except (ArgumentError, ValueError) as error:
        raise RecipeError(f'--launcher {launcher!r}: {error}: give a number of ranks, such as -n 8') from error
    given = [number for number in (options.total, options.local) if number is not None]
    if min(given, default=1) < 1:
        raise RecipeError(f'--launcher {launcher!r}: {min(given)} ranks: give a number of ranks, such as -n 8')
    if not given:
        return ONE_RANK if any('python' in Path(word).name for word in words) else None
    return Ranks(given[0], given[-1])


def study(names: Sequence[str], overrides: Sequence[str] = (), **options: Any) -> list[list[str]]:
    """Lists the recipe and ``key=value`` pairs of each run of :func:`planned_runs` that is not complete.

    Example:
        >>> for run in study(['quickstart/digits'], ['max_duration=4ep'], methods=['baseline', 'LS']): print(*run[1:])
        schedule.kind=cyclic seed=17 max_duration=4ep
        schedule.kind=standard seed=17 max_duration=4ep
        schedule.kind=cyclic seed=17 max_duration=4ep algorithms.LabelSmoothing={smoothing: 0.1}
        schedule.kind=standard seed=17 max_duration=4ep algorithms.LabelSmoothing={smoothing: 0.1}
    """
    return [[run.name, *run.overrides] for run in planned_runs(names, overrides, **options) if not run.is_complete()]


def planned_runs(
    names: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (17,),
    kinds: Sequence[str] = ('cyclic', 'standard'),
    methods: Sequence[str] = (),
    ranks: Ranks | None = ONE_RANK,
    code: Sequence[str] = (),
) -> list[PlannedRun]:
    """Lists the runs of a study, complete ones included.

    For every recipe, method and seed these are the cyclic run and one standard run to each of its troughs. For kind
    ``branch``: first the trunk, which is the branch to the last trough, then a branch off it to each other trough. Of
    the kinds ``anytime`` and ``schedule-free``: one run through all marks. A run that ends off a trough is warned of.

    Args:
        names (Sequence[str]): The recipes.
        overrides (Sequence[str]): ``key=value`` pairs for all runs; those of an algorithm of one of ``methods`` are
            for the methods that use it.
        seeds (Sequence[int]): The seeds. Default: ``(17,)``.
        kinds (Sequence[str]): Some of ``KINDS``. Default: ``('cyclic', 'standard')``.
        methods (Sequence[str]): Methods to train each recipe with, in the notation of :func:`with_methods`. Default:
            ``()``, the recipe's own.
        ranks (Ranks | None): Ranks of each run, for folders with ``{world_size}``; ``None``: unknown. Default: one.
        code (Sequence[str]): Modules of one's own, as ``--code`` names them. Default: ``()``, none.

    Raises:
        RecipeError: If a recipe cannot be read, its troughs depend on the data, or two runs would write to one folder.
    """
    with_method = list(with_methods(overrides, methods))
    for swept, option in _SWEPT.items():
        if any(_sets(override, swept) for _, words in with_method for override in words):
            raise RecipeError(f'{swept}: varies in a study: pass {option} instead')
    for kind in kinds:
        if kind not in KINDS:
            raise RecipeError(f'--kinds {kind}: must be one of {", ".join(KINDS)}')
    runs: dict[str, PlannedRun] = {}
    notes: set[str] = set()
    for name in names:
        template = RecipeTemplate(name, code)
        for method, for_method in with_method:
            for run in _runs(name, template.with_overrides(for_method), for_method, seeds, kinds, ranks, notes):
                if method not in (None, run.recipe.snapshot.method):
                    raise RecipeError(
                        f'--methods {method}: {name} has its own method, which makes {run.recipe.snapshot.method} of '
                        'it: leave --methods out, or name a recipe without algorithms and snapshot.method'
                    )
                if run.folder in runs:
                    cure = 'put ${snapshot.method}, ${schedule.kind}, ${max_duration} and ${seed} into run_name'
                    if '{run_name}' not in run.recipe.snapshot.folder:
                        cure = f'pass snapshot.folder={run.recipe.snapshot.folder}/{{run_name}}'
                    raise RecipeError(
                        f'{name}: several runs would write to {run.folder}: {cure}, and name nothing twice'
                    )
                runs[run.folder] = run
    for note in sorted(notes):
        warnings.warn(note, UserWarning, stacklevel=2)
    return list(runs.values())


def calibration(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Returns planned runs without their standard ones, but for those that equivalent lengths are measured from.

    These are the runs of each baseline to the second trough; where no recipe makes a baseline, of the first method.

    Raises:
        RecipeError: If there is no second trough.

    Example:
        >>> for run in calibration(planned_runs(['quickstart/digits'], methods=['LS', 'baseline'])): print(run.folder)
        runs/quickstart/digits-LS-cyclic-64ep-seed17
        runs/quickstart/digits-baseline-cyclic-64ep-seed17
        runs/quickstart/digits-baseline-standard-8ep-seed17
    """
    standard = [run for run in runs if run.recipe.schedule.kind == STANDARD]
    methods = [run.recipe.snapshot.method for run in standard]
    calibrated = BASELINE if BASELINE in methods else methods[0]
    kept = [run for run in runs if run.recipe.schedule.kind != STANDARD]
    for run, method in zip(standard, methods, strict=True):
        troughs = sorted({other.troughs[0] for other in standard if other.name == run.name})
        if len(troughs) < 2:
            raise RecipeError(f'--calibrate: {run.name} has no second trough: pass a longer max_duration')
        if method == calibrated and run.troughs[0] == troughs[1]:
            kept.append(replace(run, calibrates=True))
    return kept


def run_folder(recipe: Recipe, ranks: Ranks | None = ONE_RANK) -> str:
    """Returns the folder of a recipe's curve; ``None`` for ``ranks`` means that their number is not known."""
    folder = recipe.snapshot.folder
    if ranks is None and 'world_size' in folder:
        raise RecipeError(
            f'snapshot.folder={folder!r} depends on the number of ranks, which the launcher does not give: '
            "name it, such as --launcher 'composer -n 8 -m'"
        )
    try:
        return filled_in(folder, recipe.run_name, key='snapshot.folder', **(ranks or ONE_RANK)._asdict())
    except ValueError as error:
        raise RecipeError(str(error)) from error


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: its recipe's name and overrides, and its complete curve's folder, troughs and their unit.

    ``trunk`` is the folder of the run that this one branches off, which must be complete first. ``calibrates``: whether
    equivalent lengths are measured from it. ``stage`` is the number of points to train to for now; ``None``: all.
    """

    name: str
    overrides: list[str]
    recipe: Recipe
    folder: str
    troughs: Sequence[int]
    unit: str
    trunk: str | None = None
    calibrates: bool = False
    stage: int | None = None

    @property
    def length(self) -> int:
        """What it is trained to for now, in its unit."""
        return self.troughs[-1 if self.stage is None else self.stage - 1]

    @property
    def until(self) -> str | None:
        """The trough that its stage ends at, as a time string; ``None`` where that is the end of training."""
        return None if self.stage in (None, len(self.troughs)) else f'{self.length}{self.unit}'

    def is_complete(self) -> bool:
        """Returns whether the folder holds this run's curve up to its stage, or up to where it diverged.

        A run that diverged is not repeated: it would diverge again. The curve of another run, or of this one under
        other settings, is a ``RecipeError``, unless it may go on with ``snapshot.on_change=continue``.
        """
        try:
            curve = TradeoffCurve.read(Path(self.folder))
        except CurveError:
            return False
        times = _times(curve, self.unit)
        method, kind = self.recipe.snapshot.method, self.recipe.curve_kind
        # Before kinds had the shape in their name, a run of any shape was recorded as cyclic or WSD-S.
        kinds = {kind, kind_without_shape(kind)}
        passed = troughs_passed(curve, self.troughs, self.unit)
        if curve.run.method != method or curve.run.kind not in kinds or passed is None:
            raise RecipeError(
                f'{self.folder} holds the curve of another run, {curve.run.method}, {curve.run.kind}, with points at '
                f'{times}, not of {method}, {kind}, with points at {self.troughs} ({self.unit}): '
                'pass another run_name or snapshot.folder'
            )
        complete = passed == len(self.troughs) or (bool(curve.points) and curve.points[-1].diverged)
        if complete or self.recipe.snapshot.on_change != 'continue':
            # A branch equals the run that was trained alone.
            start = () if kind == 'branch' else ('checkpoint.load_path',)
            what = f'{self.folder}: {"complete" if complete else "begun"}'
            check_same_settings(curve.run, self.recipe, what, also=start)
        return complete or (self.stage is not None and passed >= self.stage)


def troughs_passed(curve: TradeoffCurve, troughs: Sequence[int], unit: str) -> int | None:
    """Returns how many of a run's troughs have a point; ``None`` if the points are not at the first ones."""
    times = _times(curve, unit)
    # A point is at its trough, or at the batch that passed it.
    at_troughs = len(times) <= len(troughs) and all(
        time is not None and trough <= time < following
        for time, (trough, following) in zip(times, pairwise([*troughs, inf]), strict=False)
    )
    return len(times) if at_troughs else None


def _times(curve: TradeoffCurve, unit: str) -> list[float | None]:
    # A run that was stopped before its trough has a point where it was, which is none of the curve's.
    return [getattr(point, _COUNTS[unit]) for point in curve.points if not point.stopped]


def check_same_settings(run: Run, recipe: Recipe, what: str, *, also: Sequence[str] = ()) -> None:
    """Refuses a record that was made under other settings than a recipe's, both completed by today's defaults.

    ``what`` names the record's folder and state, ``'runs/a: complete'``; ``also`` are keys to compare although they
    make no other curve by themselves, such as :data:`PLACES`. A record that does not keep its recipe passes; arguments
    that its recipe leaves out are those that its Trainer had.
    """
    then, now = (run.settings or {}).get(RECIPE), recipe.plain()
    if not isinstance(then, Mapping):
        return
    defaults = {f'{RECIPE}.{name}': value for name, value in key_defaults().items() if value != {}}
    given, known = flat(now, RECIPE), {}
    for name, value in (run.settings or {}).items():
        for kept, key in _KEYS_OF_ARGUMENTS.items():
            if name.startswith(kept) and (named := f'{RECIPE}.{key}{name.removeprefix(kept)}') in given:
                known[named] = value
    found = differences({**known, RECIPE: then}, {RECIPE: now}, defaults=defaults)
    # Curves of several seeds are pooled, but each is a run of its own.
    sides = [{**defaults, **flat(side, RECIPE)} for side in (then, now)]
    for name in dict.fromkeys(name for side in sides for name in side):
        pair, key = [side.get(name) for side in sides], name.removeprefix(f'{RECIPE}.')
        if key.startswith(('seed', *also)) and pair[0] != pair[1]:
            found.append(Difference(key, *pair))
    if found:
        raise RecipeError(
            f'{what} under {listed_differences(found, "asked for")}: choose another folder, or a method name '
            '(snapshot.method=...)'
        )


def _runs(
    name: str,
    template: RecipeTemplate,
    overrides: Sequence[str],
    seeds: Sequence[int],
    kinds: Sequence[str],
    ranks: Ranks | None,
    notes: set[str],
) -> Iterator[PlannedRun]:
    """Yields every run of one recipe with one method; notes on durations that end off a trough are added."""
    cyclic = template.recipe({'schedule.kind': 'cyclic'})
    planned = recipe_cycles(cyclic)
    for key in ('t_warmup', 't_hold'):
        length = str(getattr(cyclic.schedule, key))
        if length.endswith('dur') and not length.startswith('0dur'):
            raise RecipeError(
                f'schedule.{key}={length}: would differ between runs of different durations: '
                f'pass it in {planned.unit!r}'
            )
    longest_first = planned.troughs[-1:] + planned.troughs[:-1]
    several = [kind for kind in kinds if kind in ('cyclic', ANYTIME, SCHEDULE_FREE)]
    plans = {kind: recipe_cycles(template.recipe({'schedule.kind': kind})) for kind in several}
    durations = {
        'standard': [(f'{trough}{planned.unit}', [trough]) for trough in planned.troughs],
        'branch': [(f'{trough}{planned.unit}', [trough]) for trough in longest_first],
        **{kind: [(cyclic.max_duration, plan.troughs)] for kind, plan in plans.items()},
    }
    notes |= {f'{name}: {plan.cut}' for plan in plans.values() if plan.cut is not None}
    others = [override for override in overrides if override.partition('=')[0] != 'max_duration']
    others += [f'--code={one.source}' for one in cyclic.code.values()]
    for seed in seeds:
        for kind in kinds:
            trunk = None
            for duration, troughs in durations[kind]:
                values = {'schedule.kind': kind, 'seed': seed, 'max_duration': duration}
                recipe = template.recipe(values)
                words = [*(f'{key}={value}' for key, value in values.items()), *others]
                if trunk is not None:
                    start = f'{trunk}/{branch_file(duration)}'
                    recipe = replace(recipe, checkpoint=replace(recipe.checkpoint, load_path=start))
                    words.append(f'checkpoint.load_path={start}')
                folder = run_folder(recipe, ranks)
                yield PlannedRun(name, words, recipe, folder, troughs, planned.unit, trunk)
                if kind == 'branch' and trunk is None:
                    trunk = folder


def _sets(override: str, key: str) -> bool:
    try:
        return value_at(read_override(override), key, default=_sets) is not _sets
    except ValueError:  # refused where the recipe is read
        return False
