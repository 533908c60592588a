"""The cycles of a recipe, known from the recipe alone: no model is built, no data read, no torch imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from composer_clr.curves.names import ANYTIME, BRANCH, CYCLIC, SCHEDULE_FREE, STANDARD
from composer_clr.recipes.schema import Recipe, RecipeError, ScheduleRecipe
from composer_clr.schedule.arguments import ScheduleArguments
from composer_clr.schedule.cycle_ends import read_marks
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import Lengths, read_duration

__all__ = ['cycles_of', 'recipe_arguments', 'recipe_cycles', 'run_lengths']

# A boundary that lies on a whole epoch does so on this finer grid too.
_FINER = 10**6


def recipe_arguments(schedule: ScheduleRecipe) -> ScheduleArguments:
    """Returns the arguments of the scheduler that a recipe asks for; what is out of range is a ``ValueError``."""
    if schedule.kind not in (ANYTIME, SCHEDULE_FREE):
        return ScheduleArguments.of(schedule, rate=None, a=None, marks=None)
    marks = read_marks(schedule.marks)
    places = {} if marks is None else {'t_0': None, 't_mult': 2.0, 'cycle_ends': None}
    return ScheduleArguments.of(schedule, **places, marks=marks)


def recipe_cycles(recipe: Recipe) -> RunSchedule:
    """Returns the cycles of a recipe's schedule, counted in the unit of its ``max_duration``.

    Raises:
        RecipeError: If its times are not all in the unit of ``max_duration`` or fractions of it, or do not make a
            schedule.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> planned = recipe_cycles(load_recipe('quickstart/digits'))
        >>> planned.troughs, planned.unit
        ([4, 8, 16, 32, 64], 'ep')
    """
    return cycles_of(recipe.schedule, recipe.max_duration)


def cycles_of(schedule: ScheduleRecipe, max_duration: str) -> RunSchedule:
    """Returns the cycles of a schedule up to a duration: see :func:`recipe_cycles`."""
    try:
        duration = read_duration('max_duration', max_duration)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    try:
        arguments = recipe_arguments(schedule)
        for name, time in arguments.times().items():
            if time.value and time.unit not in ('dur', duration.unit):
                raise RecipeError(
                    f'schedule.{name}={time} and max_duration={duration}: give both in one unit, so that the '
                    f'{arguments.end_name}s are known before the run is built'
                )
        lengths = Lengths(duration, epoch=1, epoch_unit='ep') if duration.unit == 'ep' else Lengths(duration)
        if duration.unit == 'ep':
            _check_whole_epochs(arguments, lengths)
        planned = RunSchedule.of_arguments(arguments, lengths, unit=duration.unit)
        planned.cycles.check_shape(int(duration.value), arguments.alpha_f)
        planned.cycles.troughs(int(duration.value))
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error
    return planned


def run_lengths(
    kinds: Sequence[str], max_duration: str, cycles: Callable[[str], RunSchedule], name: str, notes: set[str]
) -> tuple[dict[str, list[tuple[str, list[int]]]], str]:
    """Returns the duration and the troughs of each run of a seed by kind, and their unit.

    ``cycles`` gives those of a kind of run up to ``max_duration``. Where a run ends off a trough, a sentence is added
    to ``notes``, after the ``name`` of its recipe.
    """
    planned = cycles(CYCLIC)
    for key in ('t_warmup', 't_hold'):
        length = str(planned.scheduler.get(key))
        if length.endswith('dur') and not length.startswith('0dur'):
            raise RecipeError(
                f'schedule.{key}={length}: would differ between runs of different durations: '
                f'pass it in {planned.unit!r}'
            )
    single = [(f'{trough}{planned.unit}', [trough]) for trough in planned.troughs]
    lengths = {STANDARD: single, BRANCH: single[-1:] + single[:-1]}
    for kind in kinds:
        if kind not in lengths:
            plan = cycles(kind)
            lengths[kind] = [(max_duration, plan.troughs)]
            notes |= {f'{name}: {plan.cut}'} if plan.cut is not None else set()
    return lengths, planned.unit


def _check_whole_epochs(arguments: ScheduleArguments, lengths: Lengths) -> None:
    """Refuses troughs within an epoch: a run rounds them to batches, whose number per epoch is unknown here."""
    until = lengths.until('ep')
    assert until is not None
    fine = arguments.cycles(lambda name, time: _FINER * lengths.count(name, time), 'ep').troughs(_FINER * until)
    within = next((trough for trough in fine if trough % _FINER), None)
    if within is not None:
        raise RecipeError(
            f'schedule: the trough at {within / _FINER:g}ep lies within an epoch, where only the run can place it: '
            "give the times of the schedule and max_duration in 'ba'"
        )
