"""The cycles of a recipe, known from the recipe alone: no model is built, no data read, no torch imported."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from composer_clr.curves.kinds import ANYTIME, SCHEDULE_FREE
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.schedule.arguments import Count, ScheduleArguments
from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.marks import Marks, check_rate, in_words_of_marks, read_marks
from composer_clr.schedule.time_strings import ScheduleTime, read_duration, read_time

__all__ = ['RecipeCycles', 'recipe_cycles']

# A boundary that lies on a whole epoch does so on this finer grid too.
_FINER = 10**6


@dataclass(frozen=True)
class RecipeCycles:
    """A recipe's cyclic schedule, in the unit of its ``max_duration``.

    Attributes:
        cycles (Cycles): Where the cycles start and end.
        until (int): ``max_duration``.
        unit (str): What both are counted in: ``'ep'``, ``'ba'``, ``'sp'`` or ``'tok'``.
    """

    cycles: Cycles
    until: int
    unit: str

    @property
    def troughs(self) -> list[int]:
        """The troughs up to ``max_duration``: the points of the curve."""
        return self.cycles.troughs(self.until)


def recipe_cycles(recipe: Recipe) -> RecipeCycles:
    """Returns the cycles of a recipe's cyclic schedule.

    Raises:
        RecipeError: If its times are not all in the unit of ``max_duration`` or fractions of it, or do not make a
            schedule.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> planned = recipe_cycles(load_recipe('quickstart/digits'))
        >>> planned.troughs, planned.unit
        ([4, 8, 16, 32, 64], 'ep')
    """
    try:
        duration = read_duration('max_duration', recipe.max_duration)
    except ValueError as error:
        raise RecipeError(str(error)) from error

    def count(name: str, time: ScheduleTime) -> Fraction:
        if time.unit == 'dur':
            return Fraction(time.value) * Fraction(duration.value)
        if time.unit != duration.unit:
            raise RecipeError(
                f'schedule.{name}={time} and max_duration={duration}: give both in one unit, so that the troughs are '
                'known before the run is built'
            )
        return Fraction(time.value)

    schedule = recipe.schedule
    decays = schedule.kind not in (ANYTIME, SCHEDULE_FREE)
    try:
        marks = None if decays else read_marks(schedule.marks)
        arguments = ScheduleArguments.read(
            t_0=schedule.t_0 if marks is None else None,
            t_mult=schedule.t_mult if marks is None else 2.0,
            t_warmup=schedule.t_warmup,
            alpha_f=schedule.alpha_f,
            cycle_ends=schedule.cycle_ends if marks is None else marks,
            shape=schedule.shape,
            peak_decay=schedule.peak_decay,
            t_rewarmup=schedule.t_rewarmup,
            t_hold=schedule.t_hold,
        )
        if duration.unit == 'ep':
            _check_whole_epochs(arguments, count, int(duration.value))
        cycles = arguments.cycles(count, duration.unit)
        if not decays:
            check_rate(schedule.rate, schedule.a)
            a = None if schedule.a is None else float(count('a', read_time('a', schedule.a)))
            cycles = Marks.of(cycles, a)
        planned = RecipeCycles(cycles, int(duration.value), duration.unit)
        planned.cycles.check_shape(planned.until, arguments.alpha_f)
        planned.cycles.troughs(planned.until)
    except ValueError as error:
        message = str(error) if isinstance(error, RecipeError) else f'schedule: {error}'
        # Without marks of its own, a run without decay has them at the troughs of the keys that the recipe has.
        listed = not decays and schedule.marks is not None
        raise RecipeError(in_words_of_marks(message) if listed else message) from error
    return planned


def _check_whole_epochs(arguments: ScheduleArguments, count: Count, until: int) -> None:
    """Refuses troughs within an epoch: a run rounds them to batches, whose number per epoch is unknown here."""
    fine = arguments.cycles(lambda name, time: _FINER * count(name, time), 'ep').troughs(_FINER * until)
    within = next((trough for trough in fine if trough % _FINER), None)
    if within is not None:
        raise RecipeError(
            f'schedule: the trough at {within / _FINER:g}ep lies within an epoch, where only the run can place it: '
            "give the times of the schedule and max_duration in 'ba'"
        )
