"""The tables of ``composer-clr schedule``, and the notes below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.recipes.preview import Branch, Extension
from composer_clr.schedule.averages import most_open, read_average, tail
from composer_clr.schedule.run_schedule import RunSchedule

__all__ = ['branch_notes', 'branch_table', 'copies_note', 'extension_note', 'schedule_notes', 'schedule_table']

# Parts of a unit, so that short windows are counted.
_FINE = 1000
# The paper's first point has one half of warmup.
_MOSTLY_WARMUP = 0.7


def schedule_table(planned: RunSchedule) -> Table:
    """Returns a row per cycle: its restart, its trough and its period; of a run without decay, a row per mark."""
    table = Table(box=SIMPLE_HEAD)
    if not planned.cycles.decays:
        for heading in ('point', 'mark', 'rate / its peak'):
            table.add_column(heading, justify='right')
        for point, mark in enumerate(planned.troughs):
            table.add_row(str(point), f'{mark}{planned.unit}', f'{planned.cycles.multiplier(mark):.3g}')
        return table
    for heading in ('cycle', 'restart', 'trough', 'period'):
        table.add_column(heading, justify='right')
    for cycle in range(len(planned.troughs)):
        restart, trough = planned.cycles.bounds(cycle)
        table.add_row(str(cycle), *(f'{time}{planned.unit}' for time in (restart, trough, trough - restart)))
    return table


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
    """Returns how many copies of the weights an anytime run keeps at most.

    Args:
        planned (RunSchedule): The run.
        average (Mapping): The arguments of its average.
    """
    window, _ = read_average(average)
    copies = 1 if window is None else most_open(tail(_FINE * mark, window) for mark in planned.troughs)
    kept = 'a copy' if copies == 1 else f'up to {copies} copies'
    where = average.get('device') or 'beside them (schedule.average.device=cpu: in main memory)'
    return f'the average needs {kept} of the weights, kept {"on " if average.get("device") else ""}{where}'


def branch_table(branches: Sequence[Branch], unit: str) -> Table:
    """Returns a row for the trunk and for each branch: where it leaves the trunk, its decay, its point, its length."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ('run', 'leaves trunk', 'decay starts', 'point', 'trained'):
        table.add_column(heading, justify='right')
    for number, branch in enumerate(branches):
        times = (branch.decays, branch.end, branch.end - branch.starts)
        leaves = f'{branch.starts:.10g}{unit}' if number else ''
        table.add_row(f'branch {number}' if number else 'trunk', leaves, *(f'{time:.10g}{unit}' for time in times))
    return table


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


def extension_note(extension: Extension) -> str:
    """Returns what training on from a time costs, beside one run per added point."""
    added, unit, trained = extension.troughs, extension.unit, extension.until - extension.start
    if not added:
        return f'from {extension.start}{unit}: {trained}{unit} more to {extension.until}{unit} add no point'
    listed = ' + '.join(map(str, added))
    return (
        f'from {extension.start}{unit}: {trained}{unit} more add {len(added)} point{"s" * (len(added) > 1)} '
        f'({", ".join(f"{trough}{unit}" for trough in added)}); a run for each: {listed} = {sum(added)}{unit}, '
        f'{sum(added) / trained:.3f} times as much; the same command with max_duration={extension.until}{unit} resumes '
        'the run, if checkpoint.folder and checkpoint.autoresume=true keep its checkpoints'
    )
