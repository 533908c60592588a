"""Tables of comparisons with standard runs and of ensembles, and the notes below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.analysis.compare import Comparison
from composer_clr.analysis.fit import FIT_LABEL
from composer_clr.analysis.uncertainty import Estimate
from composer_clr.cli.numbers import (
    better,
    estimated,
    interval,
    marked,
    marks,
    plain,
    plus_minus,
    plus_minus_heading,
    resolved,
    safe,
    signed,
)
from composer_clr.curves.axes import UNITS, count_labels, default_axis, point_count
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.metrics import difference_unit, in_points, is_lower_better
from composer_clr.utils.errors import listed

if TYPE_CHECKING:
    from composer_clr.averaging.ensemble import EnsemblePoint

__all__ = ['comparison_notes', 'comparison_table', 'ensemble_table']


def comparison_table(*comparisons: Comparison) -> Table:
    """Returns a row per method: its gap at each point and on average, the agreement of its improvements, its cost.

    With several kinds of curve, a method has a row per kind.
    """
    first = comparisons[0]
    every = [figures for comparison in comparisons for figures in comparison.methods.values()]
    counts = sorted({float(count) for figures in every for count in figures.gap.count})
    compared = safe(first.kind) if len(comparisons) == 1 else 'each kind'
    metric = f'{safe(first.metric)} ({better(first.lower_is_better)})'
    difference = f'{compared} over standard, {metric}, as a ratio'
    if not first.is_ratio:
        unit = difference_unit(first.metric, first.scale)
        spread = plus_minus_heading(one for figures in every for one in figures.gap.estimates)
        difference = f'{compared} minus standard, {metric}, in {unit}{spread}'
    table = Table(title=difference, title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    if len(comparisons) > 1:
        table.add_column('kind')
    for heading in _count_headings(counts, first.axis):
        table.add_column(heading, justify='right')
    # The cost in counts stands first where times are not comparable.
    unlike, unit = any(figures.unlike_times for figures in every), UNITS[first.axis]
    costs = [f'cost ratio in {unit}', 'in time'] if unlike else ['cost ratio', f'in {unit}']
    for heading in ('mean gap', '95% interval', 'seeds', 'cosine', *costs):
        table.add_column(heading, justify='right')
    methods = dict.fromkeys(method for comparison in comparisons for method in comparison.methods)
    rows = [
        (method, one.kind, one.methods[method]) for method in methods for one in comparisons if method in one.methods
    ]
    for method, kind, figures in rows:
        at = dict(zip(figures.gap.count.tolist(), figures.gap.estimates, strict=True))
        in_time = marked(estimated(figures.cost_ratio, figures.cost), figures.unlike_times)
        in_counts = plain(figures.counted_cost_ratio)
        table.add_row(
            marked(safe(method), figures.unlike_times if first.alignment.axis == 'time' else None),
            *([safe(kind)] if len(comparisons) > 1 else []),
            *(_gap_at(first, at.get(count)) for count in counts),
            _gap(first, figures.gap.mean),
            interval(figures.gap.average, lambda value: _gap(first, value)),
            str(figures.gap.average.seeds),
            estimated(figures.cosine_similarity, figures.cosine),
            *((in_counts, in_time) if unlike else (in_time, in_counts)),
        )
    return table


def comparison_notes(comparison: Comparison, *, resolve: float | None = None, price: float | None = None) -> list[str]:
    """Returns notes on the table: how points were paired, which were left out, which methods are not compared."""
    notes = marks(figures.unlike_times for figures in comparison.methods.values())
    notes.append(f'cost ratio by the formula: {comparison.formula_cost_ratio:.3f}')
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


def _seeds_notes(comparison: Comparison) -> list[str]:
    one_seed = [method for method, figures in comparison.methods.items() if figures.gap.mean_sem is None]
    notes = [f'one seed, so no interval: {", ".join(one_seed)}'] if one_seed else []
    return notes + [
        f'{method}: {figures.gap.unequal}' for method, figures in comparison.methods.items() if figures.gap.unequal
    ]


def _cost_notes(comparison: Comparison, price: float | None) -> list[str]:
    unlike = {method: figures.cost for method, figures in comparison.methods.items() if not figures.cost.timed_alike}
    notes = []
    if unlike:
        spreads = listed([f'{method} {cost.pace_spread:.2f} times' for method, cost in unlike.items()])
        ratios = listed([plain(cost.ratio) for cost in unlike.values()])
        counted = ', '.join(dict.fromkeys(plain(cost.counted_ratio) for cost in unlike.values()))
        notes.append(
            f'runs were not timed alike (seconds per {comparison.axis} differ: {spreads}): the cost ratio in seconds, '
            f'{ratios}, is not that of the work, {counted} in {UNITS[comparison.axis]}'
        )
    for method, figures in comparison.methods.items():
        one_run, separate = figures.cost.one_run_gpu_h, figures.cost.separate_gpu_h
        if one_run is None or separate is None:
            if price is not None:
                notes.append(f'{method}: no cost in money, its runs do not record their number of GPUs: give --gpus')
        elif price is not None or one_run * 3600 > 1.5 * figures.cost.one_run_s:
            paid = '' if price is None else f'; at {price:g} each {price * one_run:.2f} and {price * separate:.2f}'
            notes.append(f'{method}: {comparison.kind} {one_run:.4g} GPU-hours, separate runs {separate:.4g}{paid}')
    return notes


def ensemble_table(curve: TradeoffCurve, points: Sequence[EnsemblePoint]) -> Table:
    """Returns a row per trough: the score of the last 1, 2, 3, ... snapshots, which is also the inference cost."""
    axis = default_axis([curve])
    troughs = {point.cycle: point_count(point, axis) for point in curve.points}
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
        trough = troughs[cycle]
        table.add_row(
            f'{trough:g}ep' if axis == 'epoch' else f'{count_labels([trough or 0], axis)[0]} {UNITS[axis]}',
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


def _gap_at(comparison: Comparison, found: Estimate | None) -> str:
    """Returns the gap at a point; the interval of a ratio is not symmetric."""
    if found is None or comparison.is_ratio:
        return plain(found and found.value, 4)
    return plus_minus(found, 2 if in_points(comparison.metric, comparison.scale) else 4)


def _gap(comparison: Comparison, value: float | None) -> str:
    """Returns a gap: points with three digits, losses with four, ratios without a sign."""
    if comparison.is_ratio:
        return plain(value, 4)
    return signed(value, 3 if in_points(comparison.metric, comparison.scale) else 4)
