"""The runs of a study: which recipes, with which overrides, draw the curves that are to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from composer_clr.curve import CurveError, TradeoffCurve
from composer_clr.recipe import KINDS, Recipe, RecipeError, load_recipe
from composer_clr.recipe_cycles import recipe_cycles

__all__ = ['study']

_SWEPT = ('seed', 'schedule.kind')


def study(
    name: str, overrides: Sequence[str] = (), *, seeds: Sequence[int] = (17,), kinds: Sequence[str] = KINDS
) -> Iterator[list[str]]:
    """The overrides of each run that a comparison needs.

    That is, for every seed, the cyclic run and a standard run to each of its troughs. Runs whose curve is complete on
    this machine are left out.

    Args:
        name (str): The recipe.
        overrides (Sequence[str]): ``key=value`` pairs for all runs.
        seeds (Sequence[int]): The seeds. Default: ``(17,)``.
        kinds (Sequence[str]): Which kinds of run. Default: ``('cyclic', 'standard')``.

    Yields:
        list[str]: ``key=value`` pairs of one run.

    Raises:
        RecipeError: If the recipe cannot be read, or its troughs cannot be told without building the run.

    Example:
        >>> runs = list(study('quickstart/digits', ['max_duration=8ep']))
        >>> for run in runs: print(*run)
        schedule.kind=cyclic seed=17 max_duration=8ep
        schedule.kind=standard seed=17 max_duration=4ep
        schedule.kind=standard seed=17 max_duration=8ep
    """
    keys = [override.partition('=')[0] for override in overrides]
    for swept in _SWEPT:
        if swept in keys:
            raise RecipeError(f'{swept} is what a sweep goes through: leave it out, and give --seeds or --kinds')
    for kind in kinds:
        if kind not in KINDS:
            raise RecipeError(f'--kinds {kind}: a run is either of {", ".join(KINDS)}')
    told = recipe_cycles(cyclic := load_recipe(name, [*overrides, 'schedule.kind=cyclic']))
    if cyclic.schedule.t_warmup.endswith('dur') and not cyclic.schedule.t_warmup.startswith('0dur'):
        raise RecipeError(
            f'schedule.t_warmup={cyclic.schedule.t_warmup}: runs of other durations would warm up for other times; '
            f'give it in {told.unit!r}'
        )
    others = [override for override, key in zip(overrides, keys, strict=True) if key != 'max_duration']
    durations = {
        'cyclic': [cyclic.max_duration],
        'standard': [f'{trough}{told.unit}' for trough in told.troughs],
    }
    points = {'cyclic': len(told.troughs), 'standard': 1}
    folders: set[str] = set()
    for seed in seeds:
        for kind in kinds:
            for duration in durations[kind]:
                run = [f'schedule.kind={kind}', f'seed={seed}', f'max_duration={duration}', *others]
                folder = _folder(load_recipe(name, run))
                if folder in folders:
                    raise RecipeError(
                        f'{name}: several runs would write to {folder}: put ${{schedule.kind}}, ${{max_duration}} and '
                        '${seed} into run_name'
                    )
                folders.add(folder)
                if not _complete(folder, points[kind]):
                    yield run


def _folder(recipe: Recipe) -> str:
    return recipe.snapshot.folder.replace('{run_name}', recipe.run_name)


def _complete(folder: str, points: int) -> bool:
    try:
        return len(TradeoffCurve.read(Path(folder)).points) >= points
    except CurveError:
        return False
