"""The command that shows what a recipe's run will do: schedule."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.cli.options import OwnCode, check_picture, say, write_picture
from composer_clr.cli.tables import Table, show
from composer_clr.recipes.budget import BudgetPlan, planned_within
from composer_clr.recipes.preview import Branch, Extension
from composer_clr.recipes.schema import RecipeError
from composer_clr.schedule.averages import most_open, read_average, tail
from composer_clr.schedule.run_schedule import RunSchedule

__all__ = ['copies_note', 'schedule']

# Parts of a unit, so that short windows are counted.
_FINE = 1000
# The paper's first point has one half of warmup.
_MOSTLY_WARMUP = 0.7
# As run has it by default.
_FIRST_SEED = 17


def schedule(
    recipe: Annotated[str, typer.Argument(help='A shipped recipe, such as quickstart/digits, or a YAML file.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='key=value pairs.')] = None,
    points: Annotated[
        int | None, typer.Option(help='Find the schedule with so many points up to max_duration, as overrides to copy.')
    ] = None,
    start: Annotated[
        str | None,
        typer.Option('--from', metavar='TIME', help='Add what training on from this time costs: a run to extend.'),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar='TIME', help='Plan the cyclic runs of --methods that fit in this: troughs, seeds, length.'
        ),
    ] = None,
    methods: Annotated[int, typer.Option(min=1, help='For --budget: the number of methods.')] = 1,
    sigma: Annotated[
        float,
        typer.Option(
            help="For --budget: standard deviation of a run between seeds; by default that of the paper's runs."
        ),
    ] = 0.12,
    gain: Annotated[
        float, typer.Option(help='For --budget: what the last doubling gains, in the unit of --sigma.')
    ] = 1.0,
    picture: Annotated[
        Path | None, typer.Option('--plot', help='Draw the learning rate to this PNG, SVG or PDF.')
    ] = None,
    code: OwnCode = None,
) -> None:
    """Show the cycles of a recipe's run, its points, and the cost of the curve beside one run per point.

    For schedule.kind=branch: the trunk and its branches.
    """
    from composer_clr.curves.names import ANYTIME
    from composer_clr.recipes.load import load_recipe
    from composer_clr.recipes.preview import extended, fitting_overrides, planned_branches, planned_run

    if picture is not None:
        check_picture(picture)
    loaded = load_recipe(recipe, overrides or [], code or [])
    notes = []
    if points is not None:
        fitting = fitting_overrides(loaded, points)
        loaded = load_recipe(recipe, [*(overrides or []), *fitting], code or [])
        notes.append(
            f'{points} points up to max_duration={loaded.max_duration}: {shlex.join([*(overrides or []), *fitting])}'
        )
    if budget is not None:
        if points is not None or start is not None:
            raise RecipeError('--budget finds the points itself: leave out --points and --from')
        for option, value in (('--sigma', sigma), ('--gain', gain)):
            if not 0 < value < math.inf:
                raise RecipeError(f'{option} {value:g}: must be a finite number above 0')
        plan = planned_within(loaded, budget, methods)
        loaded = load_recipe(recipe, [*(overrides or []), *plan.overrides], code or [])
        notes += [*budget_notes(plan, recipe), forecast_note(plan.seeds, sigma, gain)]
    if start is not None:
        notes.append(extension_note(extended(loaded, start)))
    planned = planned_run(loaded)
    if loaded.schedule.kind == ANYTIME:
        notes.append(copies_note(planned, loaded.schedule.average))
    branches = planned_branches(loaded) if loaded.schedule.kind == 'branch' else []
    if branches:
        show(branch_table(branches, planned.unit), [*branch_notes(branches, planned), *notes])
    else:
        show(schedule_table(planned), [*schedule_notes(planned), *notes])
    if picture is not None:
        import matplotlib as mpl

        mpl.use('agg')
        from composer_clr.figures.plane import paper_style
        from composer_clr.figures.schedule import learning_rate

        with paper_style():
            figure = learning_rate(
                planned.cycles,
                planned.end,
                planned.unit,
                loaded.optimizer.lr,
                loaded.schedule.alpha_f,
                branches=[branch.end for branch in branches[1:]],
            )
            write_picture(picture, figure)
        say(f'{picture}: the learning rate', picture)


def schedule_table(planned: RunSchedule) -> Table:
    """Returns a row per cycle: its restart, its trough and its period; of a run without decay, a row per mark."""
    unit, cycles = planned.unit, planned.cycles
    if not cycles.decays:
        marks = [
            [f'{point}', f'{mark}{unit}', f'{cycles.multiplier(mark):.3g}']
            for point, mark in enumerate(planned.troughs)
        ]
        return Table('', ['point', 'mark', 'rate / its peak'], marks, 0)
    bounds = [cycles.bounds(cycle) for cycle in range(len(planned.troughs))]
    rows = [
        [f'{cycle}', f'{restart}{unit}', f'{trough}{unit}', f'{trough - restart}{unit}']
        for cycle, (restart, trough) in enumerate(bounds)
    ]
    return Table('', ['cycle', 'restart', 'trough', 'period'], rows, 0)


def schedule_notes(planned: RunSchedule) -> list[str]:
    """Returns the cost of the curve beside one run per point, and where training ends."""
    troughs: Sequence[int] = planned.troughs
    if not troughs:
        return [planned.cut or '']
    separate = sum(troughs)
    notes = [
        f'{len(troughs)} points from one run of {planned.end}{planned.unit}; a run for each: '
        f'{" + ".join(map(str, troughs))} = {separate}{planned.unit}, {separate / planned.end:.3f} times as much'
    ]
    if len(troughs) == 1:
        notes = [f'1 point from one run of {planned.end}{planned.unit}']
    warmup = planned.cycles.start
    if warmup > _MOSTLY_WARMUP * troughs[0]:
        notes.append(
            f'the warmup takes {warmup} of the {troughs[0]}{planned.unit} to the first point, which says little about '
            'the recipe: shorten schedule.t_warmup, or let the first point come later'
        )
    if planned.cut is not None:
        notes.append(planned.cut)
    return notes


def copies_note(planned: RunSchedule, average: Mapping[str, object]) -> str:
    """Returns how many copies of the weights an anytime run keeps at most, by the arguments of its average."""
    window, _ = read_average(average)
    copies = 1 if window is None else most_open(tail(_FINE * mark, window) for mark in planned.troughs)
    kept = 'a copy' if copies == 1 else f'up to {copies} copies'
    where = average.get('device') or 'beside them (schedule.average.device=cpu: in main memory)'
    return f'the average needs {kept} of the weights, kept {"on " if average.get("device") else ""}{where}'


def branch_table(branches: Sequence[Branch], unit: str) -> Table:
    """Returns a row for the trunk and for each branch: where it leaves the trunk, its decay, its point, its length."""
    rows = []
    for number, branch in enumerate(branches):
        times = (branch.decays, branch.end, branch.end - branch.starts)
        leaves = f'{branch.starts:.10g}{unit}' if number else ''
        rows.append([f'branch {number}' if number else 'trunk', leaves, *(f'{time:.10g}{unit}' for time in times)])
    return Table('', ['run', 'leaves trunk', 'decay starts', 'point', 'trained'], rows)


def branch_notes(branches: Sequence[Branch], planned: RunSchedule) -> list[str]:
    """Returns the cost of trunk and branches beside one run per point."""
    trained = [branch.end - branch.starts for branch in branches]
    total, separate, unit = sum(trained), sum(branch.end for branch in branches), planned.unit
    notes = [
        f'{len(branches)} points from a trunk and {len(branches) - 1} branches: '
        f'{" + ".join(f"{time:.10g}" for time in trained)} = {total:.10g}{unit}, {total / separate:.3f} of a run for '
        f'each: {" + ".join(str(branch.end) for branch in branches)} = {separate}{unit}'
    ]
    if unit == 'ep' and len(branches) > 1:
        notes.append('a branch starts at a whole batch, so each may train up to one batch more')
    return notes


def budget_notes(plan: BudgetPlan, recipe: str) -> list[str]:
    """Returns the plan of a study within a budget, in words, with the command that trains it."""
    unit, left = plan.unit, plan.budget - plan.trained
    methods = f'{plan.methods} method{"s" if plan.methods > 1 else ""}'
    seeds = f'{plan.seeds} seed{"s" if plan.seeds > 1 else ""}'
    numbers = ','.join(str(_FIRST_SEED + i) for i in range(plan.seeds))
    command = f'composer-clr run {shlex.join([recipe, *plan.overrides])} --kinds cyclic --seeds {numbers}'
    return [
        f'{plan.budget}{unit}: {len(plan.troughs)} troughs to {plan.troughs[-1]}{unit}, {methods}, {seeds} each: '
        f'{plan.trained}{unit} of cyclic runs: {command}{" --methods ..." if plan.methods > 1 else ""}',
        f"the baseline's standard run to {plan.troughs[1]}{unit} for equivalent lengths (--calibrate) takes "
        f'{plan.calibration}{unit}, {left}{unit} {"are" if left != 1 else "is"} left',
    ]


def forecast_note(seeds: int, sigma: float, gain: float) -> str:
    """Returns how well the next doubling will be known with 1, 2, 3 and 5 seeds of known noise."""
    from composer_clr.study.forecast import next_value

    numbers = sorted({1, 2, 3, 5, seeds})
    halves = []
    for number in numbers:
        _, low, high = next_value([0.0, 2 * gain, 3 * gain], sigma / math.sqrt(number))
        halves.append((high - low) / 2)
    widths = ', '.join(f'{half:.2g} with {number}' for half, number in zip(halves, numbers, strict=True))
    return (
        f'a forecast of the next doubling is then within {widths} seeds in 9 of 10 studies, where runs differ by '
        f'{sigma:g} between seeds and the last doubling gains {gain:g}, half of the one before; one seed does not show '
        'the noise'
    )


def extension_note(extension: Extension) -> str:
    """Returns what training on from a time costs, beside one run per added point."""
    added, unit, trained = extension.troughs, extension.unit, extension.until - extension.start
    if not added:
        return f'from {extension.start}{unit}: {trained}{unit} more to {extension.until}{unit} add no point'
    listed = ' + '.join(map(str, added))
    return (
        f'from {extension.start}{unit}: {trained}{unit} more add {len(added)} point{"s" * (len(added) > 1)} '
        f'({", ".join(f"{trough}{unit}" for trough in added)}); a run for each: {listed} = {sum(added)}{unit}, '
        f'{sum(added) / trained:.3f} times as much; the same command with max_duration={extension.until}{unit} and the '
        'run_name of the run resumes it, if checkpoint.folder and checkpoint.autoresume=true keep its checkpoints'
    )
