"""Plans beyond a single run's cycles: trunk and branches, a given number of points, and an extended run."""

from __future__ import annotations

import math
from typing import NamedTuple

from composer_clr.recipes.planned_cycles import cycles_of, recipe_arguments, recipe_cycles
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import ScheduleTime, read_duration, read_time

__all__ = ['Branch', 'Extension', 'extended', 'fitting_overrides', 'planned_branches', 'planned_run']


def planned_run(recipe: Recipe) -> RunSchedule:
    """Returns the cycles that the recipe's own run goes through: one for a standard run or a branch.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> planned_run(load_recipe('quickstart/digits', ['schedule.kind=standard'])).troughs
        [64]
    """
    return cycles_of(recipe.schedule.of_run(), recipe.max_duration)


class Branch(NamedTuple):
    """A run of a study of branches: when it leaves the trunk, 0 for the trunk; when it decays; its point."""

    starts: float
    decays: float
    end: int


def planned_branches(recipe: Recipe) -> list[Branch]:
    r"""Returns the trunk up to ``max_duration``, then a branch to each earlier trough of the cyclic schedule.

    A branch starts from the trunk's last checkpoint before its decay. Where times are in epochs, that checkpoint is up
    to one batch before the time returned here. A schedule that does not hold its peak is a ``RecipeError``.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> recipe = load_recipe('quickstart/digits', ['schedule.kind=branch', 'schedule.t_hold=0.8'])
        >>> [(branch.end, round(branch.end - branch.starts, 3)) for branch in planned_branches(recipe)]
        [(64, 64.0), (4, 0.4), (8, 1.2), (16, 2.8), (32, 6.0)]
    """
    trunk = planned_run(recipe)
    if not trunk.cycles.holds_peak:
        raise RecipeError(
            'schedule.kind=branch: a branch leaves a trunk of constant rate: pass schedule.t_hold=0.8, to decay over '
            'the last fifth of the time after the warmup, or another part'
        )
    branches = []
    for end in [trunk.end, *(trough for trough in recipe_cycles(recipe).troughs if trough < trunk.end)]:
        decays = trunk.cycles.decay_start(end)
        starts = decays if trunk.unit == 'ep' else math.floor(decays)
        branches.append(Branch(starts if branches else 0.0, decays, end))
    return branches


def fitting_overrides(recipe: Recipe, points: int) -> list[str]:
    """Returns overrides that make a curve of a number of points, the last of them at ``max_duration``.

    Each trough comes ``t_mult`` times as late as the one before, rounded to the unit; with ``t_mult=1`` they are evenly
    spaced after the warmup. The warmup stays as it is. The troughs are listed in ``cycle_ends``, unless a ``t_0`` makes
    just these.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> fitting_overrides(load_recipe('quickstart/digits', ['max_duration=32ep']), 4)
        ['schedule.t_0=2ep']
        >>> fitting_overrides(load_recipe('quickstart/digits', ['max_duration=90ep']), 4)
        ['schedule.t_0=null', 'schedule.cycle_ends=[11ep,22ep,45ep,90ep]']
    """
    schedule, growth = recipe.schedule, recipe.schedule.t_mult
    if schedule.kind == 'standard':
        raise RecipeError('--points: schedule.kind=standard makes one point: pass schedule.kind=cyclic')
    if points < 1:
        raise RecipeError(f'--points {points}: must be 1 or more')
    if growth < 1:
        raise RecipeError(f'schedule.t_mult={growth}: must be 1 or more')
    duration = _duration('max_duration', recipe.max_duration)
    until, unit, warmup = int(duration.value), duration.unit, _warmup(recipe, duration)
    if growth > 1:
        ends = [round(until / growth**later) for later in reversed(range(points))]
    else:
        ends = [round(warmup + (until - warmup) * point / points) for point in range(1, points + 1)]
    if ends[0] <= warmup or len(set(ends)) < points:
        raise RecipeError(
            f'--points {points}: max_duration={duration} is too short for {points} points with t_mult={growth:g} and '
            f't_warmup={schedule.t_warmup}: ask for fewer points, or train for longer'
        )
    cleared = ['schedule.marks=null'] if schedule.marks is not None else []
    t_0 = ends[0] - warmup
    if ends == [warmup + t_0 * sum(growth**cycle for cycle in range(point)) for point in range(1, points + 1)]:
        cleared += ['schedule.cycle_ends=null'] if schedule.cycle_ends is not None else []
        return [*cleared, f'schedule.t_0={t_0}{unit}']
    cleared += ['schedule.t_mult=2'] if growth != 2 else []
    return [*cleared, 'schedule.t_0=null', f'schedule.cycle_ends=[{",".join(f"{end}{unit}" for end in ends)}]']


class Extension(NamedTuple):
    """The points that a longer duration ``until`` adds to a run of the duration ``start``, all in one unit."""

    start: int
    until: int
    troughs: list[int]
    unit: str


def extended(recipe: Recipe, start: str) -> Extension:
    """Returns the points added by training on from a time, up to ``max_duration`` or, if passed, to the next trough.

    A run whose schedule depends on ``max_duration``, or has no later trough, is a ``RecipeError``.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> extended(load_recipe('quickstart/digits'), '64ep')
        Extension(start=64, until=128, troughs=[128], unit='ep')
    """
    time = _duration('--from', start)
    schedule = recipe.schedule
    if schedule.kind in ('standard', 'branch'):
        raise RecipeError(
            f'--from {time}: a run of schedule.kind={schedule.kind} ends with its decay, which a longer one has later: '
            'train it as a run of its own'
        )
    planned = recipe_cycles(recipe)
    for name, length in recipe_arguments(schedule).times().items():
        if length.unit == 'dur' and length.value:
            raise RecipeError(
                f'--from {time}: schedule.{name}={length} is a fraction of max_duration, so a longer run would have '
                f'other troughs: count it in {planned.unit!r}'
            )
    if time.unit != planned.unit:
        raise RecipeError(f'--from {time} and max_duration={recipe.max_duration}: give both in one unit')
    start_at, until = int(time.value), planned.end
    if until <= start_at:
        later = planned.cycles.next_trough(start_at)
        if later is None:
            raise RecipeError(
                f'--from {time}: the schedule has no later trough: add one to schedule.cycle_ends or schedule.marks'
            )
        # One unit more, so that a trough rounded down to the end is checked too.
        cycles_of(schedule, f'{later + 1}{planned.unit}')
        until = later
    added = [trough for trough in planned.cycles.troughs(until) if trough > start_at]
    return Extension(start_at, until, added, planned.unit)


def _warmup(recipe: Recipe, duration: ScheduleTime) -> int:
    """Returns the recipe's warmup in the unit of its duration, or 0 where it is counted in another."""
    try:
        warmup = read_time('t_warmup', recipe.schedule.t_warmup)
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error
    if warmup.unit == 'dur':
        return round(warmup.value * duration.value)
    return int(warmup.value) if warmup.unit == duration.unit else 0


def _duration(name: str, text: str) -> ScheduleTime:
    try:
        return read_duration(name, text)
    except ValueError as error:
        raise RecipeError(str(error)) from error
