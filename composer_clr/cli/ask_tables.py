"""Answers as tables that a person reads in a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.analysis.ask import Answers
from composer_clr.cli.tables import safe
from composer_clr.utils.durations import readable_duration, unit_of

__all__ = ['answers_notes', 'answers_table', 'frontier_table']

_NOT_REACHED = 'not reached'


def answers_table(answers: Answers) -> Table:
    """A row a curve: the time to each value, the speedup over the baseline there, the value within each time."""
    table = Table(title=safe(answers.metric), title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    table.add_column('kind')
    compared = any(times is not None for told in answers.curves for times in told.speedup)
    for value in answers.reach:
        table.add_column(f'to reach {_value(answers, value, digits=4)}', justify='right')
        if compared:
            table.add_column(f'speedup over {safe(answers.baseline)}', justify='right')
    for time_s in answers.within_s:
        table.add_column(f'within {readable_duration(time_s)}', justify='right')
    unit = unit_of(max((time_s for told in answers.curves for time_s in told.time_s if time_s), default=0.0))
    for told in answers.curves:
        row = [safe(told.curve.method), safe(told.curve.kind)]
        for time_s, speedup in zip(told.time_s, told.speedup, strict=True):
            row.append(_NOT_REACHED if time_s is None else readable_duration(time_s, unit))
            if compared:
                row.append('' if speedup is None else f'{speedup:.2f}')
        row.extend(_NOT_REACHED if value is None else _value(answers, value) for value in told.value)
        table.add_row(*row)
    return table


def answers_notes(answers: Answers) -> list[str]:
    """What was measured of each curve that a question led out of."""
    return [
        f'{safe(str(told.curve))}: measured from {readable_duration(told.curve.time_s.min())} to '
        f'{readable_duration(told.curve.time_s.max())}, from {_value(answers, told.curve.value.min())} to '
        f'{_value(answers, told.curve.value.max())}'
        for told in answers.curves
        if None in (*told.time_s, *told.value)
    ]


def frontier_table(answers: Answers) -> Table:
    """A row for each point that no other beats, by time."""
    table = Table(title=f'frontier, {safe(answers.metric)}', title_justify='left', box=SIMPLE_HEAD)
    for heading in ('time', 'value', 'epoch'):
        table.add_column(heading, justify='right')
    table.add_column('method')
    table.add_column('kind')
    unit = unit_of(max(point.time_s for point in answers.frontier))
    for point in answers.frontier:
        table.add_row(
            readable_duration(point.time_s, unit),
            _value(answers, point.value),
            f'{point.epoch:g}',
            safe(point.method),
            safe(point.kind),
        )
    return table


def _value(answers: Answers, value: float, digits: int | None = None) -> str:
    """A value as people read it; with so many digits at most, or percentages with two decimals."""
    if answers.scale == 100:
        return f'{100 * value:.2f}%' if digits is None else f'{100 * value:.{digits}g}%'
    return f'{value:.4g}'
