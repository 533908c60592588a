"""Figures, one function each, drawn on an Axes that is given or made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from composer_clr.curve import CurveError, TradeoffCurve

__all__ = ['accuracy_against_time', 'default_metric', 'method_colour']

# Okabe and Ito's palette, told apart by colour-blind readers and in print, less its yellow, which print loses. The
# paper's methods keep their colour in every figure, whichever of them are in it.
_COLOURS = {
    'baseline': '#000000',
    'BP': '#0072B2',
    'CL': '#56B4E9',
    'LS': '#009E73',
    'MX': '#E69F00',
    'BP+CL': '#CC79A7',
    'LS+MX': '#D55E00',
    'BP+CL+LS+MX': '#7F4FC9',
}
_SPARE_COLOURS = ('#8C564B', '#5F7F1F', '#4D4D4D', '#B0006D', '#00798C', '#A0522D')
_DASHES = {'standard': '-', 'cyclic': '--'}
_SPARE_DASHES = (':', '-.', (0, (5, 1, 1, 1, 1, 1)))
_TIME_UNITS = ((7200, 3600, 'hours'), (300, 60, 'minutes'), (0, 1, 'seconds'))


class _Line(NamedTuple):
    time_s: list[float]
    mean: list[float]
    deviation: list[float]


def accuracy_against_time(
    curves: Iterable[TradeoffCurve], metric: str | None = None, *, peak: bool = False, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw tradeoff curves: a metric against training time, on a logarithmic axis.

    Runs of one method and kind make one line: standard ones solid, cyclic ones dashed. Runs that differ by their seed
    are averaged point by point, with the standard deviation as error bars.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Whether to draw the best value in the window before each trough. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: What was drawn on.

    Raises:
        CurveError: If the curves have no such metric, or no points.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figures 1C and 2.
    """
    curves = [curve for curve in curves if curve.points]
    if not curves:
        raise CurveError('there are no points to draw: name runs that have passed a trough')
    metric = metric or default_metric(curves)
    lines = {key: _averaged(group, metric, peak) for key, group in _grouped(curves).items()}
    longest = max(time for line in lines.values() for time in line.time_s)
    seconds, unit = next((seconds, unit) for least, seconds, unit in _TIME_UNITS if longest >= least)
    percent = 'accuracy' in metric.lower()
    scale = 100 if percent else 1

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.4), layout='constrained')
    kinds = sorted({kind for _, kind in lines} - set(_DASHES))
    methods = [method for method, _ in lines]
    for (method, kind), line in lines.items():
        dashes = _DASHES.get(kind) or _SPARE_DASHES[kinds.index(kind) % len(_SPARE_DASHES)]
        drawn = ax.errorbar(
            [time / seconds for time in line.time_s],
            [scale * value for value in line.mean],
            yerr=[scale * value for value in line.deviation] if any(line.deviation) else None,
            label=f'{method}, {kind}',
            color=method_colour(method, methods),
            linestyle=dashes,
            marker='o',
            markerfacecolor='white' if kind == 'cyclic' else None,
            markersize=5,
            capsize=3,
        )
        _solid_error_bars(drawn)
    ax.set_xscale('log')
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    ax.set_xlabel(f'training time ({unit})')
    ax.set_ylabel(('best ' if peak else '') + metric + (' (%)' if percent else ''))
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    return figure, ax


def default_metric(curves: Sequence[TradeoffCurve]) -> str:
    """The metric to draw when none is named: an accuracy if all curves have one, else the first that all have.

    Raises:
        CurveError: If no metric is in every curve.
    """
    shared = [
        name for name in curves[0].points[0].metrics if all(name in p.metrics for curve in curves for p in curve.points)
    ]
    if not shared:
        names = sorted({name for curve in curves for point in curve.points for name in point.metrics})
        raise CurveError(
            f'the curves share no metric (they have {names}): draw those with the same evaluation together'
        )
    return next((name for name in shared if 'accuracy' in name.lower()), shared[0])


def method_colour(method: str, among: Sequence[str] = ()) -> str:
    """The colour of a method: its own for the paper's methods, else a spare one by its place ``among`` the others.

    Example:
        >>> method_colour('baseline')
        '#000000'
    """
    others = sorted({name for name in (*among, method) if name not in _COLOURS})
    return _COLOURS.get(method) or _SPARE_COLOURS[others.index(method) % len(_SPARE_COLOURS)]


def _grouped(curves: Iterable[TradeoffCurve]) -> dict[tuple[str, str], list[TradeoffCurve]]:
    """Runs by method and kind: methods in the order of the palette, standard before the others."""
    groups: dict[tuple[str, str], list[TradeoffCurve]] = defaultdict(list)
    for curve in curves:
        groups[curve.run.method, curve.run.kind].append(curve)
    order = list(_COLOURS)

    def place(key: tuple[str, str]) -> tuple[int, str, bool, str]:
        method, kind = key
        return (order.index(method) if method in order else len(order), method, kind != 'standard', kind)

    return {key: groups[key] for key in sorted(groups, key=place)}


def _averaged(curves: Iterable[TradeoffCurve], metric: str, peak: bool) -> _Line:
    """Mean and standard deviation over the runs that reached the same epoch."""
    at: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for curve in curves:
        for point in curve.points:
            values = point.peak_metrics if peak else point.metrics
            if metric not in values:
                raise CurveError(f"run '{curve.run.run_name}' has no metric {metric!r}: it has {sorted(values)}")
            at[point.batch if point.epoch is None else round(point.epoch, 6)].append(
                (point.wall_clock_train_s, values[metric])
            )
    columns = [zip(*at[place], strict=True) for place in sorted(at)]
    times, values = zip(*(tuple(column) for column in columns), strict=True)
    return _Line(
        [fmean(time) for time in times],
        [fmean(value) for value in values],
        [stdev(value) if len(value) > 1 else 0.0 for value in values],
    )


def _solid_error_bars(drawn: ErrorbarContainer) -> None:
    for bar in drawn.lines[2]:
        bar.set_linestyle('-')
