"""Tables of what ``composer-clr ask`` answers, and the notes below them."""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.analysis.ask import Answers
from composer_clr.analysis.queries import Answer
from composer_clr.analysis.resampling import Speedup
from composer_clr.cli.durations import readable_duration, unit_of
from composer_clr.cli.numbers import better, interval, interval_heading, marked, marks, safe, without_interval
from composer_clr.curves.axes import UNITS, count_labels

__all__ = ['answers_notes', 'answers_table', 'frontier_notes', 'frontier_table']

_NOT_REACHED = 'not reached'


def answers_table(answers: Answers) -> Table:
    """Returns a row per curve: the time to each value, the speedup over the baseline, the value within each time."""
    title = f'{safe(answers.metric)} ({better(answers.lower_is_better)})'
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    table.add_column('kind')
    of_methods = _speedups_of_methods(answers)
    # Counts stand first where times are not comparable.
    counts_first = any(answer.reached_counts for answer in answers.curves)
    compared = any(speedup and speedup.answer.value for answer in answers.curves for speedup in answer.speedups)
    for value in answers.reach:
        table.add_column(f'to reach {_value(answers, value, digits=4)}', justify='right')
        if counts_first:
            table.add_column('in time', justify='right')
        if compared:
            table.add_column(
                f'speedup over {safe(answers.baseline)}{interval_heading(speedup for _, speedup in of_methods)}',
                justify='right',
            )
    if compared:
        table.add_column('seeds', justify='right')
    for amount, axis in answers.within:
        table.add_column(f'within {_amount(amount, axis)}', justify='right')
    unit = unit_of(
        max((found.value for answer in answers.curves for found in answer.reached if found.value), default=0.0)
    )
    for answer in answers.curves:
        row, curve = [safe(answer.curve.method), safe(answer.curve.kind)], answer.curve
        unlike = answer.unlike_times if answers.axis == 'time' else None
        for i, (reached, speedup) in enumerate(zip(answer.reached, answer.speedups, strict=True)):
            if counts_first:
                row.append(_bounded(answer.reached_counts[i], lambda amount, axis=curve.axis: _amount(amount, axis)))
            row.append(marked(_bounded(reached, lambda amount: _amount(amount, answers.axis, unit)), unlike))
            if compared and (speedup is None or speedup.answer.value is None):
                row.append('')
            elif compared and speedup is not None:
                row.append(marked(_speedup(speedup, is_baseline=curve.method == answers.baseline), unlike))
        if compared:
            row.append(str(next((speedup.seeds for speedup in answer.speedups if speedup), '')))
        row.extend(
            marked(_bounded(best, lambda value: _value(answers, value)), answer.unlike_times if on == 'time' else None)
            for best, (_, on) in zip(answer.values, answers.within, strict=True)
        )
        table.add_row(*row)
    return table


def answers_notes(answers: Answers) -> list[str]:
    """Returns why figures are not comparable or missing, and the measured range of each curve without an answer."""
    counted = answers.axis != 'time' or any(axis != 'time' for _, axis in answers.within)
    of_rows = [answer.unlike_times for answer in answers.curves]
    notes = [*map(safe, marks(of_rows)), *([] if answers.warning in of_rows else frontier_notes(answers))]
    notes.extend(_speedup_notes(answers))
    for answer in answers.curves:
        if all(found.state == 'reached' for found in (*answer.reached, *answer.values)):
            continue
        curve = answer.curve
        positions, axis = (curve.count, curve.axis) if counted else (curve.time_s, 'time')
        notes.append(
            f'{safe(str(curve))}: measured from {_amount(positions.min(), axis)} to {_amount(positions.max(), axis)}, '
            f'from {_value(answers, curve.value.min())} to {_value(answers, curve.value.max())}'
        )
    return notes


def _speedup_notes(answers: Answers) -> list[str]:
    methods = list(dict.fromkeys(answer.curve.method for answer in answers.curves))
    if answers.reach and len(methods) > 1 and answers.baseline not in methods:
        return [
            safe(
                f'no speedups: no run is of the baseline {answers.baseline!r}, choose one of {", ".join(methods)} with '
                '--baseline'
            )
        ]
    return without_interval(_speedups_of_methods(answers))


def _speedups_of_methods(answers: Answers) -> list[tuple[str, Speedup]]:
    """Returns the name of each curve that is not the baseline's, with each of its speedups."""
    return [
        (safe(str(answer.curve)), speedup)
        for answer in answers.curves
        for speedup in answer.speedups
        if speedup is not None and answer.curve.method != answers.baseline
    ]


def _speedup(found: Speedup, *, is_baseline: bool) -> str:
    text = _bounded(found.answer, '{:.2f}'.format)
    return text if is_baseline else f'{text} {interval(found, "{:.2f}".format)}'.rstrip()


def frontier_table(answers: Answers) -> Table:
    """Returns a row per point that no other point beats, by time."""
    table = Table(
        title=f'frontier, {safe(answers.metric)} ({better(answers.lower_is_better)})',
        title_justify='left',
        box=SIMPLE_HEAD,
    )
    axes = {point.axis for point in answers.frontier}
    for heading in ('time', 'value', next(iter(axes)) if len(axes) == 1 else 'trained'):
        table.add_column(heading, justify='right')
    table.add_column('method')
    table.add_column('kind')
    unit = unit_of(max(point.time_s for point in answers.frontier))
    for point in answers.frontier:
        table.add_row(
            readable_duration(point.time_s, unit),
            _value(answers, point.value),
            count_labels([point.count], point.axis)[0] + ('' if len(axes) == 1 else f' {UNITS[point.axis]}'),
            safe(point.method),
            safe(point.kind),
        )
    return table


def frontier_notes(answers: Answers) -> list[str]:
    """Returns why times are not comparable."""
    return [] if answers.warning is None else [safe(answers.warning)]


def _bounded(answer: Answer, spelled: Callable[[float], str]) -> str:
    """Returns an answer, a bound with its sign, or that the value is not reached."""
    if answer.value is None:
        return _NOT_REACHED
    return spelled(answer.value) if answer.state == 'reached' else f'{answer.relation} {spelled(answer.value)}'


def _value(answers: Answers, value: float, digits: int | None = None) -> str:
    """Returns a value as text: with at most so many digits, by default percentages with two decimals."""
    if answers.scale == 100:
        return f'{100 * value:.2f}%' if digits is None else f'{100 * value:.{digits}g}%'
    return f'{value:.4f}' if digits is None else f'{value:.{digits}g}'


def _amount(amount: float, axis: str, unit: str | None = None) -> str:
    """Returns seconds, or a count, as text."""
    if axis == 'time':
        return readable_duration(amount, unit)
    return f'{_rounded(amount)} {UNITS[axis]}'


def _rounded(amount: float) -> str:
    """Returns a count that may lie between points, to three digits."""
    return count_labels([float(f'{amount:.3g}')], 'token')[0]
