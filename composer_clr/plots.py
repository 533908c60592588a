"""Figures, one function each, drawn on an Axes that is given or made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from composer_clr.curve import CurveError, TradeoffCurve
from composer_clr.mean_curve import mean_curves
from composer_clr.metrics import default_metric, is_fraction

__all__ = ['accuracy_against_time', 'method_colour']

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


def accuracy_against_time(
    curves: Iterable[TradeoffCurve], metric: str | None = None, *, peak: bool = False, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw tradeoff curves: a metric against training time, on a logarithmic axis.

    Runs of one method and kind make one line: standard ones solid, cyclic ones dashed. Runs that differ by their seed
    are averaged point by point, with the standard deviation as error bars, as in :func:`mean_curves`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Whether to draw the best value in the window before each trough. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: What was drawn on.

    Raises:
        CurveError: If the curves have no such metric or no points, or a seed has two runs to one point.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figures 1C and 2.
    """
    curves = [curve for curve in curves if curve.points]
    if not curves:
        raise CurveError('there are no points to draw: name runs that have passed a trough')
    metric = metric or default_metric(curves, peak=peak)
    means = mean_curves(curves, metric, peak=peak, allow_nan=True)
    lines = {key: means[key] for key in sorted(means, key=_place)}
    longest = max(line.time_s.max() for line in lines.values())
    seconds, unit = next((seconds, unit) for least, seconds, unit in _TIME_UNITS if longest >= least)
    percent = is_fraction(metric, [value for line in lines.values() for value in line.value if math.isfinite(value)])
    scale = 100 if percent else 1

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.4), layout='constrained')
    kinds = sorted({kind for _, kind in lines} - set(_DASHES))
    methods = [method for method, _ in lines]
    for (method, kind), line in lines.items():
        dashes = _DASHES.get(kind) or _SPARE_DASHES[kinds.index(kind) % len(_SPARE_DASHES)]
        deviation = scale * np.nan_to_num(line.spread)
        drawn = ax.errorbar(
            line.time_s / seconds,
            scale * line.value,
            yerr=deviation if deviation.any() else None,
            label=str(line),
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


def method_colour(method: str, among: Sequence[str] = ()) -> str:
    """The colour of a method: its own for the paper's methods, else a spare one by its place ``among`` the others.

    Example:
        >>> method_colour('baseline')
        '#000000'
    """
    others = sorted({name for name in (*among, method) if name not in _COLOURS})
    return _COLOURS.get(method) or _SPARE_COLOURS[others.index(method) % len(_SPARE_COLOURS)]


def _place(key: tuple[str, str]) -> tuple[int, str, bool, str]:
    """Sorts lines: methods in the order of the palette, standard before the other kinds."""
    method, kind = key
    order = list(_COLOURS)
    return (order.index(method) if method in order else len(order), method, kind != 'standard', kind)


def _solid_error_bars(drawn: ErrorbarContainer) -> None:
    for bar in drawn.lines[2]:
        bar.set_linestyle('-')
