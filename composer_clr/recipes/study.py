"""Lists the runs of a study: the recipes and overrides whose curves are compared, and whether each is complete."""

from __future__ import annotations

import shlex
import warnings
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import NamedTuple, TypeVar

from composer_clr.curves.curve import Run
from composer_clr.curves.names import (
    BASELINE,
    STANDARD,
    branch_file,
    filled_in,
    kind_without_shape,
)
from composer_clr.curves.settings import RECIPE, Difference, differences, flat, listed_differences
from composer_clr.recipes.load import RecipeTemplate
from composer_clr.recipes.methods import with_methods
from composer_clr.recipes.planned_cycles import recipe_cycles, run_lengths
from composer_clr.recipes.planned_run import PlannedRun
from composer_clr.recipes.schema import KINDS, Recipe, RecipeError, key_defaults
from composer_clr.recipes.untrusted_yaml import read_override, value_at
from composer_clr.schedule.run_schedule import RunSchedule

__all__ = [
    'ONE_RANK',
    'PLACES',
    'Ranks',
    'RecipeRun',
    'calibration',
    'check_same_settings',
    'launched_ranks',
    'planned_runs',
    'run_folder',
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
# For runs whose recipe has no checkpoints; shorter runs never wait for one.
_SAVED_EVERY = '60s'
AnyRun = TypeVar('AnyRun', bound=PlannedRun)


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


def planned_runs(
    names: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (17,),
    kinds: Sequence[str] = ('cyclic', 'standard'),
    methods: Sequence[str] = (),
    ranks: Ranks | None = ONE_RANK,
    code: Sequence[str] = (),
) -> list[RecipeRun]:
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
    runs: dict[str, RecipeRun] = {}
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


def calibration(runs: Sequence[AnyRun]) -> list[AnyRun]:
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
    standard = [run for run in runs if run.kind == STANDARD]
    methods = [run.method for run in standard]
    calibrated = BASELINE if BASELINE in methods else methods[0]
    kept = [run for run in runs if run.kind != STANDARD]
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


@dataclass(frozen=True, kw_only=True)
class RecipeRun(PlannedRun):
    """A run of a recipe: the recipe's name is ``name``, and ``overrides`` make it this run's."""

    overrides: list[str]
    recipe: Recipe

    @property
    def words(self) -> list[str]:
        words = [self.name, *self.overrides, 'progress_bar=false', 'checkpoint.autoresume=true']
        words += [] if self.until is None else ['--until', self.until]
        if self.keeps_checkpoints:
            return words
        return [*words, f'checkpoint.folder={dumps(self.checkpoints)}', f'checkpoint.interval={_SAVED_EVERY}']

    def command_line(self, launcher: Sequence[str], *, resumed: bool = True) -> list[str]:
        return [*launcher, 'composer_clr.train', *(self.words if resumed else [self.name, *self.overrides])]

    @property
    def checkpoints(self) -> str:
        return self.recipe.checkpoint.folder or f'{self.folder}/checkpoints'

    def _makes(self, run: Run) -> bool:
        # Before kinds had the shape in their name, a run of any shape was recorded as cyclic or WSD-S.
        return run.method == self.method and run.kind in (self.curve_kind, kind_without_shape(self.curve_kind))

    def _check_settings(self, run: Run, *, complete: bool) -> None:
        """As :func:`check_same_settings`, unless the run may go on with ``snapshot.on_change=continue``."""
        if complete or self.recipe.snapshot.on_change != 'continue':
            # A branch equals the run that was trained alone.
            start = () if self.curve_kind == 'branch' else ('checkpoint.load_path',)
            check_same_settings(run, self.recipe, f'{self.folder}: {"complete" if complete else "begun"}', also=start)


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
) -> Iterator[RecipeRun]:
    """Yields every run of one recipe with one method; notes on durations that end off a trough are added."""
    cyclic = template.recipe({'schedule.kind': 'cyclic'})

    def cycles(kind: str) -> RunSchedule:
        return recipe_cycles(template.recipe({'schedule.kind': kind}))

    durations, unit = run_lengths(kinds, cyclic.max_duration, cycles, name, notes)
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
                yield RecipeRun(
                    name=name,
                    overrides=words,
                    recipe=recipe,
                    run_name=recipe.run_name,
                    method=recipe.snapshot.method,
                    kind=kind,
                    curve_kind=recipe.curve_kind,
                    seed=seed,
                    max_duration=duration,
                    folder=folder,
                    troughs=troughs,
                    unit=unit,
                    remedy='pass another run_name or snapshot.folder',
                    loader_processes=recipe.data.num_workers,
                    keeps_checkpoints=recipe.checkpoint.folder is not None,
                    trunk=trunk,
                )
                if kind == 'branch' and trunk is None:
                    trunk = folder


def _sets(override: str, key: str) -> bool:
    try:
        return value_at(read_override(override), key, default=_sets) is not _sets
    except ValueError:  # refused where the recipe is read
        return False
