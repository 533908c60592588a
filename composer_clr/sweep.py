"""The runs of a study: which recipes, with which overrides, draw the curves that are to be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from composer_clr.curve import CurveError, TradeoffCurve
from composer_clr.cycles import Cycles, geometric_ends
from composer_clr.recipe import Recipe, RecipeError, load_recipe

__all__ = ['recipe_troughs', 'study']

_TIME = re.compile(r'(\d+(?:\.\d+)?(?:e\d+)?)(ep|ba|sp|tok|dur)')


def study(name: str, overrides: Sequence[str] = (), seeds: Sequence[int] = (17,)) -> Iterator[list[str]]:
    """The overrides of each run that a comparison needs.

    That is, for every seed, the cyclic run and a standard run to each of its troughs. Runs whose curve is complete on
    this machine are left out.

    Args:
        name (str): The recipe.
        overrides (Sequence[str]): ``key=value`` pairs for all runs.
        seeds (Sequence[int]): The seeds. Default: ``(17,)``.

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
    others = [override for override in overrides if override.partition('=')[0] not in ('seed', 'schedule.kind')]
    if len(others) < len(overrides):
        raise RecipeError('seed and schedule.kind are what a sweep goes through: give --seeds for the first')
    cyclic = load_recipe(name, [*others, 'schedule.kind=cyclic'])
    troughs = recipe_troughs(cyclic)
    others = [override for override in others if override.partition('=')[0] != 'max_duration']
    for seed in seeds:
        for kind, durations in (('cyclic', [cyclic.max_duration]), ('standard', troughs)):
            for duration in durations:
                run = [f'schedule.kind={kind}', f'seed={seed}', f'max_duration={duration}', *others]
                if not _complete(load_recipe(name, run), points=len(troughs) if kind == 'cyclic' else 1):
                    yield run


def recipe_troughs(recipe: Recipe) -> list[str]:
    """The troughs of a recipe's cyclic schedule as time strings, told from the recipe alone.

    Raises:
        RecipeError: If its times are not all in the unit of ``max_duration``, or fractions of it.
    """
    whole, unit = _parsed('max_duration', recipe.max_duration)

    def counted(key: str, text: str | None) -> Fraction:
        value, own_unit = _parsed(f'schedule.{key}', text or '')
        if own_unit == 'dur':
            return value * whole
        if own_unit != unit and value:
            raise RecipeError(
                f'schedule.{key}={text} and max_duration={recipe.max_duration}: give both in one unit to have the '
                'troughs told before the run is built'
            )
        return value

    schedule = recipe.schedule
    warmup = counted('t_warmup', schedule.t_warmup)
    try:
        if schedule.cycle_ends is not None:
            ends = [round(counted(f'cycle_ends[{i}]', end)) for i, end in enumerate(schedule.cycle_ends)]
            cycles = Cycles(round(warmup), ends)
        else:
            cycles = Cycles(round(warmup), geometric_ends(warmup, counted('t_0', schedule.t_0), schedule.t_mult))
        return [f'{trough}{unit}' for trough in cycles.troughs(until=int(whole))]
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error


def _parsed(key: str, text: str) -> tuple[Fraction, str]:
    match = _TIME.fullmatch(text)
    if match is None:
        raise RecipeError(f"{key}={text!r} is not a time: write '8ep', '500ba' or the like")
    return Fraction(match[1]), match[2]


def _complete(recipe: Recipe, points: int) -> bool:
    folder = recipe.snapshot.folder.replace('{run_name}', recipe.run_name)
    try:
        return len(TradeoffCurve.read(Path(folder)).points) >= points
    except CurveError:
        return False
