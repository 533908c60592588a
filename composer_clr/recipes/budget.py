"""Plans a study of several methods within a budget: how many troughs, seeds, and how long."""

from __future__ import annotations

from typing import NamedTuple

from composer_clr.curves.names import CYCLIC
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.schedule.times import read_duration

__all__ = ['BudgetPlan', 'planned_within']

_FIRST_POINTS, _MOST_SEEDS = 4, 3


class BudgetPlan(NamedTuple):
    """A study within a budget, all in one unit.

    Attributes:
        troughs (list[int]): Of each cyclic run, each of twice the length before.
        seeds (int): The number of runs of each method.
        methods (int): The number of methods.
        budget (int): What there is.
        unit (str): Composer's unit, such as ``'ep'``.
        own (bool): Whether the recipe's schedule has these troughs, if it is as long.
    """

    troughs: list[int]
    seeds: int
    methods: int
    budget: int
    unit: str
    own: bool

    @property
    def trained(self) -> int:
        """What the cyclic runs take."""
        return self.methods * self.seeds * self.troughs[-1]

    @property
    def calibration(self) -> int:
        """What the standard runs to the second trough take, of one method and all seeds."""
        return self.seeds * self.troughs[1]

    @property
    def overrides(self) -> list[str]:
        """The recipe's keys that make these cycles."""
        ends = ','.join(f'{trough}{self.unit}' for trough in self.troughs)
        spelled = ['schedule.t_0=null', 'schedule.t_mult=2', f'schedule.cycle_ends=[{ends}]']
        return [f'max_duration={self.troughs[-1]}{self.unit}', *(() if self.own else spelled)]


def planned_within(recipe: Recipe, budget: str, methods: int) -> BudgetPlan:
    r"""Returns the cyclic runs that a budget is best spent on, where a curve is to be forecast and methods compared.

    First come four troughs, :math:`T/8, T/4, T/2` and :math:`T`, which is what a forecast takes, with the recipe's own
    first trough at :math:`T/8`; then up to three seeds, since noise is not known from one; then doublings of
    :math:`T`.

    Args:
        recipe (Recipe): The recipe, whose first trough is kept.
        budget (str): What all methods together may train, in the unit of the recipe's ``max_duration``: ``'1500ep'``.
        methods (int): The number of methods, 1 or more.

    Raises:
        RecipeError: If the budget is in another unit, or one run of four troughs per method does not fit in it.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> plan = planned_within(load_recipe('resnet50_imagenet/baseline', ['data.path=/data']), '1500ep', 8)
        >>> plan.troughs, plan.seeds, plan.trained
        ([16, 32, 64, 128], 1, 1024)
    """
    planned = recipe_cycles(recipe)
    if recipe.schedule.kind != CYCLIC or not planned.troughs:
        raise RecipeError('--budget plans cyclic runs: pass schedule.kind=cyclic, and a max_duration with a trough')
    try:
        time = read_duration('--budget', budget)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if time.unit != planned.unit:
        raise RecipeError(f'--budget {budget}: give it in {planned.unit!r}, as max_duration={recipe.max_duration} is')
    amount, first = int(time.value), planned.troughs[0]
    shortest = first * 2 ** (_FIRST_POINTS - 1)
    if amount < methods * shortest:
        most, unit = amount // shortest, planned.unit
        fewer = f'plan {most} method{"s" if most > 1 else ""}, or ' if most else ''
        raise RecipeError(
            f'--budget {budget}: {methods} method{"s" if methods > 1 else ""} to four troughs, the last at '
            f'{shortest}{unit}, take {methods * shortest}{unit}: {fewer}let the first trough, at {first}{unit}, come '
            'earlier (schedule.t_0, schedule.t_warmup)'
        )
    seeds = min(_MOST_SEEDS, amount // (methods * shortest))
    points = _FIRST_POINTS
    while amount >= methods * seeds * first * 2**points:
        points += 1
    troughs = [first * 2**point for point in range(points)]
    own = list(planned.cycles.troughs(troughs[-1])) == troughs
    return BudgetPlan(troughs, seeds, methods, amount, planned.unit, own)
