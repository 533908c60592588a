"""Figures of the schedule: the learning rate over training, and cycles of constant periods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.curves.axes import Count, default_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import has_cycles, kind_order
from composer_clr.figures.legend import legend_of, legend_outside
from composer_clr.figures.lines import mean_lines
from composer_clr.figures.looks import method_colour, method_marker
from composer_clr.figures.style import axes_or_new, draw_points, figure_of
from composer_clr.schedule.cycles import Cycles, multiplier_line
from composer_clr.study.recorded_schedule import recorded_schedule

__all__ = ['constant_periods', 'learning_rate', 'learning_rate_and_accuracy']

_PERIOD_MARKERS = 'sD^vPX<>'


def learning_rate_and_accuracy(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    method: str = 'baseline',
    axis: Count | None = None,
    bands: bool = False,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws a run of several cycles over its epochs or tokens: the learning rate, and the accuracy at each trough.

    The learning rate is drawn relative to the optimizer's. Several seeds are averaged, with the standard deviation as
    error bars.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; cyclic ones of the method are drawn.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        method (str): The method to draw. Default: ``'baseline'``.
        axis (str | None): What to draw over: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``. Default: ``None``,
            that of :func:`default_axis`.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        ax (Axes | None): Where to draw the accuracy; the learning rate is drawn on its twin. Default: ``None``, a new
            figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes of the accuracy; those of the learning rate are the figure's last.

    Raises:
        CurveError: If the method has no cyclic run, a run's record does not determine its schedule, or the runs have
            different schedules; and as for :func:`mean_curves`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1A.
    """
    curves = list(curves)
    runs = _cyclic(curves, method)
    lines = mean_lines(runs, metric, axis=axis or default_axis(runs), peak=peak, bands=bands)
    schedule = recorded_schedule(runs[0], lines.axis)
    x, alpha = schedule.multipliers()
    for other in runs[1:]:
        if not all(map(np.array_equal, recorded_schedule(other, lines.axis).multipliers(), (x, alpha))):
            raise CurveError(
                f'runs {runs[0].place!r} and {other.place!r} have different schedules: draw the runs of one at a time'
            )
    axes = axes_or_new(ax, (7.2, 4.0))
    rate = axes.twinx()
    rate.set_label('learning rate')
    rate.plot(x, alpha, color='#9A9A9A', linewidth=1.2)
    rate.set_ylabel('learning rate / its maximum', color='#6A6A6A')
    rate.tick_params(axis='y', colors='#6A6A6A')
    rate.set_ylim(0, 1.05)
    rate.spines['right'].set_visible(True)
    ((key, line),) = lines.means.items()
    look = _look(curves, method)
    draw_points(
        axes, line.count, lines.scale * line.value, lines.deviation(line), lines.means, key, bands=bands, **look
    )
    axes.set_zorder(rate.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_xlim(0, 1.03 * x[-1])
    axes.set_xlabel(schedule.axis)
    axes.set_ylabel(lines.value_label)
    axes.set_title(f'{method}, {runs[0].run.kind}')
    if errors := lines.errors():
        legend_outside(figure_of(axes), errors) if ax is None else legend_of(axes, errors)
    return figure_of(axes), axes


def constant_periods(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    method: str = 'baseline',
    bands: bool = False,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws cyclic runs of different constant periods beside the standard curve, against time.

    Periods come from the records of the runs. A run with growing periods is labelled by its first and last.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; cyclic and standard ones of the method are drawn.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        method (str): The method to draw. Default: ``'baseline'``.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If the method has no cyclic run of constant period, or a run's record does not determine its period;
            and as for :func:`mean_curves`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S1.
    """
    curves = list(curves)
    cyclic = [(curve, recorded_schedule(curve)) for curve in _cyclic(curves, method)]
    if not any(schedule.is_constant for _, schedule in cyclic):
        raise CurveError(
            f'no cyclic run of {method!r} has a constant period: name some that were trained with t_mult=1'
        )
    periods = {f'period {schedule.period_label}': schedule for _, schedule in cyclic}
    labelled = [
        TradeoffCurve(replace(curve.run, kind=f'period {schedule.period_label}'), curve.points)
        for curve, schedule in cyclic
    ]
    standard = [curve for curve in curves if (curve.run.method, curve.run.kind) == (method, 'standard')]
    lines = mean_lines([*standard, *labelled], metric, axis='time', peak=peak, bands=bands)
    axes = axes_or_new(ax, (6.4, 4.4))
    if (method, 'standard') in lines.means:
        lines.draw(axes, (method, 'standard'), label='standard', **_look(curves, method))
    order = sorted(periods, key=lambda kind: (periods[kind].periods[-1] / periods[kind].per_count, kind))
    # Periods have an order, and so have their colours; viridis ends in a yellow that print loses.
    colours = matplotlib.colormaps['viridis'](np.linspace(0.1, 0.8, len(order)))
    for index, (kind, colour) in enumerate(zip(order, colours, strict=True)):
        marker = _PERIOD_MARKERS[index % len(_PERIOD_MARKERS)]
        lines.draw(axes, (method, kind), color=colour, linestyle='--', marker=marker, label=f'cyclic, {kind}')
    lines.label_axes(axes)
    axes.set_title(method)
    legend_of(axes, [*axes.containers, *lines.errors()])
    return figure_of(axes), axes


def learning_rate(
    cycles: Cycles,
    until: int,
    unit: str,
    lr: float,
    alpha_f: float = 0.0,
    *,
    branches: Sequence[int] = (),
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws the learning rate over training, with a marker at each trough.

    Args:
        cycles (Cycles): The cycles.
        until (int): End of training, in the unit of the cycles.
        unit (str): That unit: ``ep``, ``ba``, ``sp`` or ``tok``.
        lr (float): Learning rate at the top of a cycle.
        alpha_f (float): What each cycle decays to, as a part of ``lr``, in [0, 1]. Default: ``0.0``.
        branches (Sequence[int]): Ends of the branches off this run, whose decays are drawn too. Default: ``()``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.
    """
    ax = axes_or_new(ax, (6.4, 3.2))
    times, multipliers = multiplier_line(cycles, until, alpha_f)
    troughs = [*branches, *cycles.troughs(until)]
    ax.plot(times, [lr * multiplier for multiplier in multipliers], color='#0072B2')
    for end in branches:
        leaves = cycles.decay_start(end)
        line = zip(*multiplier_line(Cycles(cycles.start, [end], cycles.shape), end, alpha_f), strict=True)
        decay = [(time, lr * multiplier) for time, multiplier in line if time >= leaves]
        ax.plot(*zip(*decay, strict=True), color='#0072B2', linestyle='--')
    ax.plot(
        troughs,
        [lr * cycles.trough_multiplier(trough, alpha_f) for trough in troughs],
        'o',
        color='#D55E00',
        label='points of the curve',
        clip_on=False,
    )
    ax.set_xlabel(f'training time ({unit})')
    ax.set_ylabel('learning rate')
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.25)
    # Above the axes: inside, some schedule would cross it.
    ax.legend(frameon=False, loc='lower right', bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure_of(ax), ax


def _look(curves: Sequence[TradeoffCurve], method: str) -> dict[str, str]:
    """Returns the look that the method has in a figure of all the curves."""
    methods = {curve.run.method for curve in curves if curve.points}
    return {'color': method_colour(method, methods), 'marker': method_marker(method, methods)}


def _cyclic(curves: Sequence[TradeoffCurve], method: str) -> list[TradeoffCurve]:
    """Returns the method's runs of several cycles: the cyclic ones, or those of WSD-S if it has no cyclic ones."""
    with_points = [curve for curve in curves if curve.points]
    for kind in sorted({curve.run.kind for curve in with_points if has_cycles(curve.run.kind)}, key=kind_order):
        found = [curve for curve in with_points if (curve.run.method, curve.run.kind) == (method, kind)]
        if found:
            return found
    methods = sorted({curve.run.method for curve in with_points if has_cycles(curve.run.kind)})
    raise CurveError(f'no cyclic run of {method!r} has points to draw: name one (the cyclic runs are of {methods})')
