"""The figure of accuracy against training time, or what else the curves count."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.analysis.mean_curve import Array
from composer_clr.curves.axes import Axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.figures.legend import explain
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.looks import kind_dashes, line_colour
from composer_clr.figures.point_labels import are_few, label_points
from composer_clr.figures.style import axes_or_new, figure_of, figure_size, size_or
from composer_clr.study.recorded_schedule import recorded_schedule

__all__ = ['accuracy_against_time']


def accuracy_against_time(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    axis: Axis | None = None,
    bands: bool = False,
    point_labels: bool | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws tradeoff curves: a metric against training time or a count such as tokens, on a logarithmic axis.

    In a new figure against samples or tokens, the learning rate of each run of several points is drawn beneath, over
    its maximum: cycles, or the constant or falling rate of an anytime or schedule-free run after its warmup. It is the
    rate of the schedule: what a schedule-free optimizer adds, its average and a warmup of its own, does not show.

    Runs of one method and kind form one line: standard solid, cyclic dashed, and in a figure of one method, in a colour
    of its own. Runs that differ by their seed are averaged point by point, with the standard deviation as error bars,
    as in :func:`mean_curves`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        axis (str | None): What to draw against: ``'time'``, ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
            Default: ``None``, samples or tokens where the schedules were counted in them, else time.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        point_labels (bool | None): Write the epochs, or what else the curves count, beside the points. Default:
            ``None``, against time, if one method has few points.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If a run does not have the metric, no run has points, or a seed has two runs to one point.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1C.
    """
    curves = list(curves)
    lines = mean_lines(curves, metric, axis=axis, peak=peak, bands=bands)
    rates = _learning_rates(curves, lines) if ax is None and lines.against in ('sample', 'token') else {}
    if rates:
        width, height = figure_size(lines.means)
        axes, rate = plt.subplots(
            2, 1, sharex=True, height_ratios=(3, 1), figsize=size_or((width, 1.25 * height)), layout='constrained'
        )[1]
        rate.set_label('learning rate')
    else:
        axes, rate = axes_or_new(ax, figure_size(lines.means)), None
    for key in lines.means:
        lines.draw(axes, key, label=lines.titles[key])
    lines.label_axes(axes)
    if are_few(lines) if point_labels is None else point_labels:
        label_points(axes, lines)
    if rate is not None:
        for key, (x, alpha) in rates.items():
            colour, dashes = line_colour(key, lines.means), kind_dashes(key[1], (kind for _, kind in lines.means))
            rate.plot(x, alpha, color=colour, linestyle=dashes, linewidth=1.1)
        rate.set_xlabel(axes.get_xlabel())
        axes.set_xlabel('')
        rate.set_ylabel('learning rate\n/ its maximum')
        rate.set_ylim(0, 1.05)
        rate.grid(alpha=0.25)
    explain(axes, lines.means, lines.means, beside=ax is None, errors=lines.errors(), titles=lines.titles)
    return figure_of(axes), axes


def _learning_rates(curves: Iterable[TradeoffCurve], lines: Lines) -> dict[tuple[str, str], tuple[Array, Array]]:
    """Returns the multiplier over training of each line whose points are of one run, if the record has it.

    A second line of a run, such as that of its averaged weights, has none of its own.
    """
    rates: dict[tuple[str, str], tuple[Array, Array]] = {}
    line_of: dict[tuple[str, str], tuple[str, str]] = {}
    for curve in curves:
        key = curve.run.method, curve.run.kind
        is_first = line_of.setdefault((curve.run.method, curve.place), key) == key
        if key in rates or not (is_first and curve.points and curve.run.parent is None):
            continue
        with suppress(CurveError):
            schedule = recorded_schedule(curve, lines.axis)
            if len(schedule.troughs) > 1:
                x, alpha = schedule.multipliers()
                # A logarithmic axis has no 0.
                rates[key] = x[x > 0], alpha[x > 0]
    return rates
