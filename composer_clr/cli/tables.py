"""The tables of the commands, and the notes below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.analysis.ask import Answers
from composer_clr.analysis.compare import Comparison
from composer_clr.analysis.fit import FIT_LABEL
from composer_clr.analysis.queries import Answer
from composer_clr.analysis.resampling import Speedup
from composer_clr.cli.numbers import (
    estimated,
    interval,
    interval_heading,
    plain,
    resolved,
    safe,
    signed,
    without_interval,
)
from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.curves.metrics import in_points, is_lower_better
from composer_clr.utils.durations import readable_duration, unit_of
from composer_clr.utils.text import listed

if TYPE_CHECKING:
    from composer_clr.averaging.ensemble import EnsemblePoint

__all__ = [
    'answers_notes',
    'answers_table',
    'comparison_notes',
    'comparison_table',
    'ensemble_table',
    'frontier_table',
]


_NOT_REACHED = 'not reached'


def comparison_table(*comparisons: Comparison) -> Table:
    """Returns a row per method: its gap at each point and on average, the agreement of its improvements, its cost.

    With several kinds of curve, a method has a row per kind.
    """
    first = comparisons[0]
    every = [figures for comparison in comparisons for figures in comparison.methods.values()]
    counts = sorted({float(count) for figures in every for count in figures.gap.count})
    compared = safe(first.kind) if len(comparisons) == 1 else 'each kind'
    metric = f'{safe(first.metric)} ({_better(first.lower_is_better)})'
    difference = f'{compared} over standard, {metric}, as a ratio'
    if not first.is_ratio:
        unit = 'points' if in_points(first.metric, first.scale) else 'units'
        difference = f'{compared} minus standard, {metric}, in {unit}'
    table = Table(title=difference, title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    if len(comparisons) > 1:
        table.add_column('kind')
    for heading in _count_headings(counts, first.axis):
        table.add_column(heading, justify='right')
    for heading in ('mean gap', '95% interval', 'seeds', 'cosine', 'cost ratio', f'in {UNITS[first.axis]}'):
        table.add_column(heading, justify='right')
    methods = dict.fromkeys(method for comparison in comparisons for method in comparison.methods)
    rows = [
        (method, one.kind, one.methods[method]) for method in methods for one in comparisons if method in one.methods
    ]
    for method, kind, figures in rows:
        at = dict(zip(figures.gap.count.tolist(), figures.gap.value.tolist(), strict=True))
        table.add_row(
            safe(method),
            *([safe(kind)] if len(comparisons) > 1 else []),
            *(_gap(first, at.get(count), digits=2) for count in counts),
            _gap(first, figures.gap.mean),
            interval(figures.gap.average, lambda value: _gap(first, value)),
            str(figures.gap.average.seeds),
            estimated(figures.cosine_similarity, figures.cosine),
            estimated(figures.cost_ratio, figures.cost),
            plain(figures.counted_cost_ratio),
        )
    return table


def comparison_notes(comparison: Comparison, *, resolve: float | None = None, price: float | None = None) -> list[str]:
    """Returns notes on the table: how points were paired, which were left out, which methods are not compared."""
    notes = [f'cost ratio by the formula: {comparison.formula_cost_ratio:.3f}']
    if comparison.warning is not None:
        notes.insert(0, comparison.warning)
    taus = [
        f'{_count(comparison, count)}: {estimated(tau.value, tau, "{:.2f}".format)}'
        for count, tau in comparison.rankings.items()
        if tau is not None
    ]
    if taus:
        notes.append(f"agreement of the methods' ranking (Kendall's tau): {listed(taus)}")
    paired: dict[str, list[str]] = defaultdict(list)
    for method, figures in comparison.methods.items():
        paired_at = zip(figures.gap.how, figures.gap.count, strict=True)
        left_out = zip(['left out'] * len(figures.gap.left_out), figures.gap.left_out, strict=True)
        at: dict[str, list[str]] = defaultdict(list)
        for how, count in [*paired_at, *left_out]:
            at[how].append(_count(comparison, count))
        for how in sorted(set(at) - {'exact'}):
            paired[f'{how} at {listed(at[how])}'].append(method)
    notes.extend(f'{how}: {", ".join(methods)}' for how, methods in paired.items())
    notes.extend(
        f'{method}: its standard curve is a fit, {FIT_LABEL} {comparison.alignment.axis or comparison.axis}; '
        + 'residuals at '
        + listed([f'{position:g}: {signed(residual)}' for position, residual in figures.fit_residuals.items()])
        for method, figures in comparison.methods.items()
        if figures.fit_residuals is not None
    )
    notes.extend(_seeds_notes(comparison))
    notes.extend(_cost_notes(comparison, price))
    if resolve is not None:
        notes.extend(
            f'{method}, mean gap: {resolved(figures.gap.average, resolve)}'
            for method, figures in comparison.methods.items()
        )
    notes.extend(f'{method}: not compared, {why}' for method, why in comparison.skipped.items())
    return [safe(note) for note in notes]


def _better(lower_is_better: bool) -> str:
    return 'less is better' if lower_is_better else 'more is better'


def _seeds_notes(comparison: Comparison) -> list[str]:
    one_seed = [method for method, figures in comparison.methods.items() if figures.gap.mean_sem is None]
    notes = [f'one seed, so no interval: {", ".join(one_seed)}'] if one_seed else []
    return notes + [
        f'{method}: {figures.gap.unequal}' for method, figures in comparison.methods.items() if figures.gap.unequal
    ]


def _cost_notes(comparison: Comparison, price: float | None) -> list[str]:
    notes = [
        f'{method}: its runs were not timed alike (seconds per {comparison.axis} differ {figures.cost.pace_spread:.2f} '
        f'times), so the cost ratio of {figures.cost.ratio:.3f} is not that of the work, which is '
        f'{figures.cost.counted_ratio:.3f} in {UNITS[comparison.axis]}'
        for method, figures in comparison.methods.items()
        if not figures.cost.timed_alike
    ]
    for method, figures in comparison.methods.items():
        one_run, separate = figures.cost.one_run_gpu_h, figures.cost.separate_gpu_h
        if one_run is None or separate is None:
            if price is not None:
                notes.append(f'{method}: no cost in money, the number of GPUs is not recorded: give --gpus')
        elif price is not None or one_run * 3600 > 1.5 * figures.cost.one_run_s:
            paid = '' if price is None else f'; at {price:g} each {price * one_run:.2f} and {price * separate:.2f}'
            notes.append(f'{method}: {comparison.kind} {one_run:.4g} GPU-hours, separate runs {separate:.4g}{paid}')
    return notes


def answers_table(answers: Answers) -> Table:
    """Returns a row per curve: the time to each value, the speedup over the baseline, the value within each time."""
    title = f'{safe(answers.metric)} ({_better(answers.lower_is_better)})'
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    table.add_column('kind')
    speedups = [speedup for answer in answers.curves for speedup in answer.speedups if speedup is not None]
    compared = any(speedup.answer.value for speedup in speedups)
    for value in answers.reach:
        table.add_column(f'to reach {_value(answers, value, digits=4)}', justify='right')
        if compared:
            table.add_column(f'speedup over {safe(answers.baseline)}{interval_heading(speedups)}', justify='right')
    if compared:
        table.add_column('seeds', justify='right')
    for amount, axis in answers.within:
        table.add_column(f'within {_amount(amount, axis)}', justify='right')
    unit = unit_of(
        max((found.value for answer in answers.curves for found in answer.reached if found.value), default=0.0)
    )
    for answer in answers.curves:
        row = [safe(answer.curve.method), safe(answer.curve.kind)]
        for reached, speedup in zip(answer.reached, answer.speedups, strict=True):
            row.append(_bounded(reached, lambda amount: _amount(amount, answers.axis, unit)))
            if compared and (speedup is None or speedup.answer.value is None):
                row.append('')
            elif compared and speedup is not None:
                row.append(_speedup(speedup, is_baseline=answer.curve.method == answers.baseline))
        if compared:
            row.append(str(next((speedup.seeds for speedup in answer.speedups if speedup), '')))
        row.extend(_bounded(best, lambda value: _value(answers, value)) for best in answer.values)
        table.add_row(*row)
    return table


def answers_notes(answers: Answers) -> list[str]:
    """Returns why there are no speedups or intervals, and the measured range of each curve without an answer."""
    counted = answers.axis != 'time' or any(axis != 'time' for _, axis in answers.within)
    notes = _speedup_notes(answers)
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
    others = [
        (safe(str(answer.curve)), speedup)
        for answer in answers.curves
        for speedup in answer.speedups
        if speedup is not None and answer.curve.method != answers.baseline
    ]
    return without_interval(others)


def _speedup(found: Speedup, *, is_baseline: bool) -> str:
    text = _bounded(found.answer, '{:.2f}'.format)
    return text if is_baseline else f'{text} {interval(found, "{:.2f}".format)}'.rstrip()


def frontier_table(answers: Answers) -> Table:
    """Returns a row per point that no other point beats, by time."""
    table = Table(
        title=f'frontier, {safe(answers.metric)} ({_better(answers.lower_is_better)})',
        title_justify='left',
        box=SIMPLE_HEAD,
    )
    axis = answers.curves[0].curve.axis
    for heading in ('time', 'value', axis):
        table.add_column(heading, justify='right')
    table.add_column('method')
    table.add_column('kind')
    unit = unit_of(max(point.time_s for point in answers.frontier))
    for point in answers.frontier:
        table.add_row(
            readable_duration(point.time_s, unit),
            _value(answers, point.value),
            count_labels([point.count], axis)[0],
            safe(point.method),
            safe(point.kind),
        )
    return table


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


def ensemble_table(points: Sequence[EnsemblePoint]) -> Table:
    """Returns a row per trough: the score of the last 1, 2, 3, ... snapshots, which is also the inference cost."""
    metric = next(iter(points[0].metrics)) if points else ''
    loss = is_lower_better(metric)
    title = safe(metric) if loss else 'accuracy in %'
    table = Table(title=f'{title}, by number of snapshots (= forward passes)', title_justify='left', box=SIMPLE_HEAD)
    table.add_column('trough')
    sizes = sorted({point.members for point in points})
    for size in sizes:
        table.add_column(str(size), justify='right')
    for cycle in sorted({point.cycle for point in points}):
        at = {point.members: point for point in points if point.cycle == cycle}
        scores = {size: point.metrics[metric] for size, point in at.items()}
        epoch = at[1].epoch
        table.add_row(
            f'cycle {cycle}' if epoch is None else f'{epoch:g}ep',
            *(
                (f'{scores[size]:.4f}' if loss else f'{100 * scores[size]:.2f}') if size in scores else ''
                for size in sizes
            ),
        )
    return table


def _count_headings(counts: Sequence[float], axis: str) -> list[str]:
    """Returns counts as headings; the last names the unit, but for epochs."""
    headings = count_labels(counts, axis)
    return headings if axis == 'epoch' or not headings else [*headings[:-1], f'{headings[-1]} {UNITS[axis]}']


def _count(comparison: Comparison, count: float) -> str:
    return count_labels([count], comparison.axis)[0]


def _amount(amount: float, axis: str, unit: str | None = None) -> str:
    """Returns seconds, or a count, as text."""
    if axis == 'time':
        return readable_duration(amount, unit)
    return f'{_rounded(amount)} {UNITS[axis]}'


def _rounded(amount: float) -> str:
    """Returns a count that may lie between points, to three digits."""
    return count_labels([float(f'{amount:.3g}')], 'token')[0]


def _gap(comparison: Comparison, value: float | None, digits: int = 3) -> str:
    """Returns a gap: points with the digits, losses with four, ratios without a sign."""
    if comparison.is_ratio:
        return plain(value, 4)
    return signed(value, digits if comparison.scale == 100 else 4)
