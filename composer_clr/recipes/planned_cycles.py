"""The cycles of a recipe, told from the recipe alone: no model is built, no data read, no torch imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import cycle_shape, stretch

__all__ = ['RecipeCycles', 'recipe_cycles']

_TIME = re.compile(r'(\d+(?:\.\d+)?(?:e\d+)?)(ep|ba|sp|tok|dur)')


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
    """Tell the cycles of a recipe's cyclic schedule.

    Raises:
        RecipeError: If its times are not all in the unit of ``max_duration`` or fractions of it, or make no schedule.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> told = recipe_cycles(load_recipe('quickstart/digits'))
        >>> told.troughs, told.unit
        ([4, 8, 16, 32, 64], 'ep')
    """
    whole, unit = _parsed('max_duration', recipe.max_duration)

    def counted(key: str, text: Any) -> Fraction:
        value, own_unit = _parsed(f'schedule.{key}', text)
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
    if schedule.cycle_ends is not None:
        ends = [round(counted(f'cycle_ends[{i}]', end)) for i, end in enumerate(schedule.cycle_ends)]
    else:
        ends = geometric_ends(warmup, counted('t_0', schedule.t_0), schedule.t_mult)
    try:
        shape = cycle_shape(
            schedule.shape,
            schedule.peak_decay,
            stretch('t_rewarmup', schedule.t_rewarmup, lambda key, text: float(counted(key, text))),
            stretch('t_hold', schedule.t_hold, lambda key, text: float(counted(key, text))),
            warmed_up=bool(warmup),
        )
        told = RecipeCycles(Cycles(round(warmup), ends, shape), int(whole), unit)
        told.cycles.check_shape(told.until, schedule.alpha_f)
        troughs = told.troughs
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error
    if unit == 'ep' and schedule.cycle_ends is None:
        # In a run boundaries are rounded to batches, of which an epoch has more than are known here.
        thousandths = geometric_ends(1000 * warmup, 1000 * counted('t_0', schedule.t_0), schedule.t_mult)
        if any(fine != 1000 * trough for fine, trough in zip(thousandths, troughs, strict=False)):
            raise RecipeError(
                f'schedule: with t_mult={schedule.t_mult:g} a trough falls within an epoch, which only the run can '
                "place: give its times and max_duration in 'ba'"
            )
    return told


def _parsed(key: str, text: Any) -> tuple[Fraction, str]:
    match = _TIME.fullmatch(str(text or ''))
    if match is None:
        raise RecipeError(f"{key}={text!r} is not a time: write '8ep', '500ba' or the like")
    return Fraction(match[1]), match[2]
