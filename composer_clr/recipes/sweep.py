"""The runs of a study: which recipes, with which overrides, draw the curves that are to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.methods import method_algorithms, method_name
from composer_clr.curves.names import branch_file, filled_in
from composer_clr.recipes.launcher import ONE_RANK, Ranks
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.planned_cycles import RecipeCycles, recipe_cycles
from composer_clr.recipes.schema import KINDS, Recipe, RecipeError

__all__ = ['run_folder', 'study']

_SWEPT = {'seed': '--seeds', 'schedule.kind': '--kinds'}
_COUNTS = {'ep': 'epoch', 'ba': 'batch', 'sp': 'sample', 'tok': 'token'}


def study(
    names: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (17,),
    kinds: Sequence[str] = ('cyclic', 'standard'),
    methods: Sequence[str] = (),
    ranks: Ranks | None = ONE_RANK,
) -> Iterator[list[str]]:
    """The recipe and overrides of each run that a comparison needs.

    That is, for every recipe, method and seed, the cyclic run and a standard run to each of its troughs. Of kind
    ``branch``, first the trunk, which is the branch to the last trough, then a branch off it to each of the others.
    Runs whose curve is complete on this machine are left out.

    Args:
        names (Sequence[str]): The recipes.
        overrides (Sequence[str]): ``key=value`` pairs for all runs; those of an algorithm that ``methods`` name are for
            the methods that have it.
        seeds (Sequence[int]): The seeds. Default: ``(17,)``.
        kinds (Sequence[str]): Which kinds of run: ``cyclic``, ``standard``, ``branch``. Default: the first
            two.
        methods (Sequence[str]): Methods to train each recipe with, as :func:`method_algorithms` knows them. Default:
            ``()``, the recipe's own.
        ranks (Ranks | None): How many ranks a run has, for folders with ``{world_size}`` in them; ``None``: not known.
            Default: one rank.

    Yields:
        list[str]: The recipe and the ``key=value`` pairs of one run.

    Raises:
        RecipeError: If a recipe cannot be read, its troughs cannot be told without building the run, two runs would
            write to one folder, or a folder holds the curve of another method or schedule.

    Example:
        >>> for run in study(['quickstart/digits'], ['max_duration=4ep'], methods=['baseline', 'LS']): print(*run[1:])
        schedule.kind=cyclic seed=17 max_duration=4ep
        schedule.kind=standard seed=17 max_duration=4ep
        schedule.kind=cyclic seed=17 max_duration=4ep algorithms.LabelSmoothing={smoothing: 0.1}
        schedule.kind=standard seed=17 max_duration=4ep algorithms.LabelSmoothing={smoothing: 0.1}
    """
    for swept, option in _SWEPT.items():
        if swept in map(_key, overrides):
            raise RecipeError(f'{swept} is what a sweep goes through: leave it out, and give {option}')
    for kind in kinds:
        if kind not in KINDS:
            raise RecipeError(f'--kinds {kind}: a run is either of {", ".join(KINDS)}')
    folders: set[str] = set()
    for name in names:
        for method, with_method in _with_methods(overrides, methods):
            for run in _runs(name, with_method, seeds, kinds, ranks):
                if method not in (None, run.recipe.snapshot.method):
                    raise RecipeError(
                        f'--methods {method}: {name} has a method of its own and makes {run.recipe.snapshot.method} of '
                        'it: leave --methods out, or sweep a recipe without algorithms and snapshot.method'
                    )
                if run.folder in folders:
                    raise RecipeError(
                        f'{name}: several runs would write to {run.folder}: put ${{snapshot.method}}, '
                        '${schedule.kind}, ${max_duration} and ${seed} into run_name, and name nothing twice'
                    )
                folders.add(run.folder)
                if not run.is_complete():
                    yield [name, *run.overrides]


def run_folder(recipe: Recipe, ranks: Ranks | None = ONE_RANK) -> str:
    """Returns the folder of a recipe's curve.

    Args:
        recipe (Recipe): The recipe.
        ranks (Ranks | None): How many ranks the run has; ``None``: not known. Default: one rank.

    Raises:
        RecipeError: If ``snapshot.folder`` cannot be filled in, or depends on a number of ranks that is not known.
    """
    folder = recipe.snapshot.folder
    if ranks is None and 'world_size' in folder:
        raise RecipeError(
            f'snapshot.folder={folder!r} depends on the number of ranks, which the launcher does not give: '
            "name it, such as --launcher 'composer -n 8 -m'"
        )
    world_size, local_world_size = ranks or ONE_RANK
    try:
        return filled_in(
            folder,
            recipe.run_name,
            key='snapshot.folder',
            world_size=world_size,
            local_world_size=local_world_size,
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error


@dataclass(frozen=True)
class _PlannedRun:
    """A run of the study: its recipe as its overrides make it, and the troughs of its whole curve."""

    name: str
    overrides: list[str]
    troughs: Sequence[int]
    unit: str
    ranks: Ranks | None

    @cached_property
    def recipe(self) -> Recipe:
        return load_recipe(self.name, self.overrides)

    @property
    def folder(self) -> str:
        return run_folder(self.recipe, self.ranks)

    def is_complete(self) -> bool:
        """Whether the folder holds this run's curve, whole, or up to where it diverged: made again, it would again.

        Raises:
            RecipeError: If it holds that of another run, for which this one would be taken.
        """
        try:
            curve = TradeoffCurve.read(Path(self.folder))
        except CurveError:
            return False
        times = [getattr(point, _COUNTS[self.unit]) for point in curve.points]
        ours = self.recipe.snapshot.method, self.recipe.curve_kind
        if (curve.run.method, curve.run.kind) != ours or not self._has_passed(times):
            raise RecipeError(
                f'{self.folder} holds the curve of another run, {curve.run.method}, {curve.run.kind}, with points at '
                f'{times}, and not of {ours[0]}, {ours[1]}, with points at {self.troughs} ({self.unit}): '
                'give this one a run_name or snapshot.folder of its own'
            )
        return len(times) == len(self.troughs) or (bool(curve.points) and curve.points[-1].diverged)

    def _has_passed(self, times: Sequence[float | None]) -> bool:
        """Whether the times are the first troughs, or those of the batches that passed them."""
        return len(times) <= len(self.troughs) and all(
            time is not None and trough <= time < following
            for time, (trough, following) in zip(times, pairwise([*self.troughs, inf]), strict=False)
        )


def _with_methods(overrides: Sequence[str], methods: Sequence[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Each method that was asked for, and the overrides that it is trained with."""
    if not methods:
        yield None, list(overrides)
        return
    try:
        algorithms = {method_name(found): found for found in map(method_algorithms, methods)}
    except ValueError as error:
        raise RecipeError(f'--methods: {error}') from error
    swept = {algorithm for found in algorithms.values() for algorithm in found}
    for method, found in algorithms.items():
        # First all algorithms in their order, then what else is said of them.
        added = [f'algorithms.{algorithm}={_flow(arguments)}' for algorithm, arguments in found.items()]
        others = swept - set(found)
        yield method, [*added, *(override for override in overrides if _algorithm(override) not in others)]


def _runs(
    name: str, overrides: Sequence[str], seeds: Sequence[int], kinds: Sequence[str], ranks: Ranks | None
) -> Iterator[_PlannedRun]:
    """Every run of one recipe with one method."""
    told = recipe_cycles(cyclic := load_recipe(name, [*overrides, 'schedule.kind=cyclic']))
    _check_lengths(cyclic, told)
    others = [override for override in overrides if _key(override) != 'max_duration']
    durations = {
        'cyclic': [(cyclic.max_duration, told.troughs)],
        'standard': [(f'{trough}{told.unit}', [trough]) for trough in told.troughs],
        'branch': [(f'{trough}{told.unit}', [trough]) for trough in (told.troughs[-1:] + told.troughs[:-1])],
    }
    for seed in seeds:
        for kind in kinds:
            for duration, troughs in durations[kind]:
                run = [f'schedule.kind={kind}', f'seed={seed}', f'max_duration={duration}', *others]
                if kind == 'branch' and duration != durations[kind][0][0]:
                    trunk = load_recipe(name, [*run[:2], f'max_duration={durations[kind][0][0]}', *others])
                    run.append(f'checkpoint.load_path={run_folder(trunk, ranks)}/{branch_file(duration)}')
                yield _PlannedRun(name, run, troughs, told.unit, ranks)


def _check_lengths(recipe: Recipe, told: RecipeCycles) -> None:
    for key in ('t_warmup', 't_hold'):
        length = str(getattr(recipe.schedule, key))
        if length.endswith('dur') and not length.startswith('0dur'):
            raise RecipeError(
                f'schedule.{key}={length}: runs of other durations would have another length of it; '
                f'give it in {told.unit!r}'
            )


def _key(override: str) -> str:
    return override.partition('=')[0]


def _algorithm(override: str) -> str:
    """The algorithm that an override is of: ``MixUp`` in ``algorithms.MixUp.alpha=0.2``; else nothing."""
    first, _, rest = _key(override).partition('.')
    return rest.partition('.')[0] if first == 'algorithms' else ''


def _flow(arguments: Mapping[str, Any]) -> str:
    """Arguments as YAML writes them on one line: ``{alpha: 0.2}``."""
    return '{' + ', '.join(f'{name}: {value}' for name, value in arguments.items()) + '}'
