"""The figure of gaps: how far each curve lies from the standard one of its method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from composer_clr.analysis.basis import in_log
from composer_clr.analysis.differences import Differences, as_ratio, gap
from composer_clr.analysis.mean_curve import Array
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.curves.axes import count_labels
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import is_perplexity, study_direction
from composer_clr.curves.names import STANDARD
from composer_clr.figures.legend import error_handles, explain
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.looks import GREY, line_colour
from composer_clr.figures.style import axes_or_new, draw_points, figure_of, figure_size, log_ticks, scaled

__all__ = ['gap_to_standard']

# What part of the distance between two points of the standard curve the points of all lines take there, side by side.
_SIDE_BY_SIDE = 0.3
_MOST_TICKS = 10


def gap_to_standard(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    alignment: Alignment = INTERPOLATED,
    lower_is_better: bool | None = None,
    bands: bool = False,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    r"""Draws the gap of each curve to the standard curve of its method, point by point, with 95% intervals over seeds.

    .. math::
        g_i = v^{kind}(x_i) - v^{standard}(x_i)

    These are the gaps of :func:`~composer_clr.analysis.compare.compare`: over the seeds that both curves have, paired
    by seed, with intervals by Student's t; of a perplexity, the ratio. A point where the standard curve was not
    measured is not drawn. The standard curve is the line at 0. Points of one count are drawn side by side around it,
    so that no interval hides another; against epochs or tokens, the numbers of the axis are those of the standard runs.

    Args:
        curves (Iterable[TradeoffCurve]): The runs, standard ones among them.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value near each point. Default: ``False``.
        alignment (Alignment): How the standard curve is found at a point, and the axis to draw on. Default:
            interpolation in the log of what the schedules were counted in.
        lower_is_better (bool | None): Direction of the metric, for the label. Default: ``None``, from its name.
        bands (bool): Draw intervals as bands, not bars. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If all runs are standard ones, a method has none, a value is not finite, or no point of a curve can
            be compared with the standard one; and as for :func:`mean_curves`.
    """
    curves = list(curves)
    options: dict[str, Any] = {'axis': alignment.counted(curves), 'peak': peak, 'allow_nan': False, 'bands': bands}
    lines = mean_lines(curves, metric, **options)
    is_ratio, by_time = is_perplexity(lines.metric), alignment.axis == 'time'
    if is_ratio:
        logs = mean_lines([in_log(curve, lines.metric) for curve in curves], lines.metric, **options)
        gaps = {key: as_ratio(found) for key, found in _gaps(logs, alignment, 1.0).items()}
    else:
        gaps = _gaps(lines, alignment, lines.scale)
    counts = [line.count for (_, kind), line in lines.means.items() if kind == STANDARD]
    aside = [1.0] * len(gaps) if bands or by_time else _side_by_side(len(gaps), counts)
    axes = axes_or_new(ax, figure_size(gaps))
    for (key, found), factor in zip(gaps.items(), aside, strict=True):
        x = found.position * factor / (lines.seconds if by_time else 1.0)
        draw_points(axes, x, found.value, found.errors, lines.means, key, bands=bands)
    log_ticks(axes)
    axes.set_xlabel(lines.time_label if by_time else lines.count_label)
    measured = sorted(set(np.concatenate(counts).tolist()))
    if not by_time and len(measured) <= _MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(measured))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_labels([value], lines.axis)[0]))
    axes.set_ylabel(_label(lines, is_ratio, study_direction(curves, lines.metric, lower_is_better)))
    axes.grid(alpha=0.25)
    seeds = {len(common) for found in gaps.values() for common in found.seeds}
    explained = [_zero_line(axes, lines, float(is_ratio)), *error_handles('95% interval', seeds, bands=bands)]
    explain(axes, gaps, lines.means, beside=ax is None, errors=explained, titles=lines.titles)
    return figure_of(axes), axes


def _gaps(lines: Lines, alignment: Alignment, scale: float) -> dict[tuple[str, str], Differences]:
    """Returns the gap of each line that is not a standard curve."""
    gaps = {}
    for (method, kind), line in lines.means.items():
        if kind == STANDARD:
            continue
        if (method, STANDARD) not in lines.means:
            raise CurveError(f'{line}: {method!r} has no standard runs: name them too, or choose other methods')
        gaps[method, kind] = gap(line, lines.means[method, STANDARD], alignment, scale)
    if not gaps:
        raise CurveError('all runs are standard: name runs of another kind too, whose gap is to be drawn')
    return gaps


def _side_by_side(lines: int, counts: Sequence[Array]) -> list[float]:
    """Returns the factors that move the points of each line aside, so that all stand around a point of the axis."""
    nearest = min((np.diff(np.log(of_line)).min() for of_line in counts if len(of_line) > 1), default=math.log(2))
    return [math.exp(_SIDE_BY_SIDE * nearest * ((place + 0.5) / lines - 0.5)) for place in range(lines)]


def _zero_line(ax: Axes, lines: Lines, value: float) -> Artist:
    """Draws the standard curve, whose gap to itself is nothing; of one method with its colour and name."""
    colour, label = GREY, STANDARD
    if lines.are_of_one_method:
        key = next(key for key in lines.means if key[1] == STANDARD)
        colour, label = line_colour(key, lines.means), lines.titles[key]
    return ax.axhline(value, color=colour, linewidth=scaled(1.5), zorder=1.5, label=label)


def _label(lines: Lines, is_ratio: bool, lower: bool) -> str:
    better = ', less is better' if lower else ''
    if is_ratio:
        return f'{lines.name} over that of standard runs\n(ratio{better})'
    return f'gap to standard runs\n({lines.difference_label}{better})'
