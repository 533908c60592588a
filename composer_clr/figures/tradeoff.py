"""The figure of accuracy against training time, or what else the curves count."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from composer_clr.curves.axes import UNITS, Axis, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.figures.labels import value_label
from composer_clr.figures.looks import GREY, are_of_one_method
from composer_clr.figures.panels import draw_panels, draw_values, shown_axis, split
from composer_clr.figures.plane import Errors, Key, Plane, chosen_size
from composer_clr.study.estimates import Array
from composer_clr.study.forecast import Forecast
from composer_clr.study.recorded_schedule import recorded_schedule
from composer_clr.study.table import Study

__all__ = ['accuracy_against_time']

_MOST_LABELLED, _MOST_COUNTS = 3, 8
_HATCH = '/////'
# Times of one count that lie so close, as a ratio, have their label at the outer one of their points.
_CLOSE = 1.2


def accuracy_against_time(
    study: Study,
    *,
    axis: Axis | None = None,
    errors: Errors = 'ci',
    point_labels: bool | None = None,
    forecasts: Sequence[Forecast] = (),
) -> Figure:
    """Draws tradeoff curves: a metric against training time or a count such as tokens, on a logarithmic axis.

    Runs of one method and kind form one line: standard solid, cyclic dashed, and in a figure of one method, in a colour
    of its own. Runs that differ by their seed are averaged point by point. Of more than six methods, each has a panel
    beside the baseline; of more than six kinds, each has one beside the standard one.

    Against samples or tokens, the learning rate of each run of several points is drawn beneath, over its maximum,
    unless all are constant. It is the rate of the schedule: what a schedule-free optimizer adds, its average and a
    warmup of its own, does not show. Few points of one method have their epochs beside them (``point_labels``).

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1C.
    """
    plane = Plane(study, shown_axis(study, axis), errors)
    parts = split(plane.keys, study.baseline)
    baseline = study.baseline if '' not in parts else None
    rates = _learning_rates(plane) if plane.axis in ('sample', 'token') and len(parts) == 1 else {}
    on = None
    if rates:
        size = chosen_size((6.4, 6.0))
        figure, (axes, rate) = plt.subplots(2, 1, sharex=True, height_ratios=(3, 1), figsize=size)
        on = figure, [axes]
        _draw_rates(rate, plane, rates)
    segments = {(one.method, one.kind): one for one in forecasts if not one.refused}

    def draw(ax: Axes, key: Key) -> None:
        draw_values(plane, ax, key)
        if key in segments:
            _draw_forecast(plane, ax, key, segments[key])

    extra = [Patch(fill=False, hatch=_HATCH, edgecolor=GREY, linewidth=0, label='one more doubling, forecast (90%)')]
    figure = draw_panels(
        plane, parts, draw, value_label(study), baseline=baseline, extra=extra if segments else (), on=on
    )
    axes = figure.axes[0]
    if rates:
        figure.axes[1].set_xlabel(axes.get_xlabel())
        axes.set_xlabel('')
    few = len(plane.keys) <= _MOST_LABELLED and len(plane.counts) <= _MOST_COUNTS and are_of_one_method(plane.keys)
    if (few and plane.axis == 'time') if point_labels is None else point_labels:
        _label_points(axes, plane)
    return figure


def _draw_forecast(plane: Plane, ax: Axes, key: Key, found: Forecast) -> None:
    """Draws from the last point of a curve to the interval of its forecast: hatched and without a marker."""
    by_time = plane.axis == 'time'
    ends = (found.last_s, found.next_s) if by_time else (found.at, 2 * found.at)
    values = plane.study.scale * np.array([[found.last, found.low], [found.last, found.high]])
    colour = plane.looks[key].colour
    ax.fill_between(plane.x(np.array(ends)), *values, facecolor='none', edgecolor=colour, hatch=_HATCH, linewidth=0)


def _label_points(ax: Axes, plane: Plane) -> None:
    """Writes the epochs of each point, or what else the curves count, beside it: ``4``, ``8``, ... ``64 ep``.

    Points of one count have one label, right of the last of them: below it where the curves go up from there, above it
    where they go down. A label that would touch the next one is left out.
    """
    study = plane.study
    points: dict[float, list[tuple[float, float]]] = defaultdict(list)
    rises: dict[float, float] = defaultdict(float)
    for curve in study.curves.values():
        values = study.scale * study.values(curve).value
        for count, at, value, rise in zip(
            curve.count.tolist(), plane.x(curve.positions(plane.axis)), values, [*np.diff(values), 0.0], strict=True
        ):
            points[count].append((at, value))
            rises[count] += rise
    counts = sorted(points)
    figure, left = ax.figure, math.inf
    figure.draw_without_rendering()  # type: ignore[union-attr]
    for count, name in reversed([*zip(counts, count_labels(counts, study.axis), strict=True)]):
        right = max(at for at, _ in points[count])
        values = [value for at, value in points[count] if at * _CLOSE >= right]
        is_last, rises_on = count == counts[-1], rises[count] >= 0
        label = ax.annotate(
            f'{name} {UNITS[study.axis]}' if is_last else name,
            (right, min(values) if rises_on else max(values)),
            (0.9 * plt.rcParams['lines.markersize'], 0 if is_last else -3 if rises_on else 3),
            textcoords='offset points',
            va='center' if is_last else 'top' if rises_on else 'bottom',
            color=GREY,
            fontsize='small',
        )
        box = label.get_window_extent()
        if box.x1 + 2 > left:
            label.remove()
        else:
            left = box.x0


def _draw_rates(ax: Axes, plane: Plane, rates: Mapping[Key, tuple[Array, Array]]) -> None:
    ax.set_label('learning rate')
    for key, (x, alpha) in rates.items():
        ax.plot(x, alpha, color=plane.looks[key].colour, linestyle=plane.looks[key].dashes)
    ax.set_ylabel('learning rate\n/ its maximum')
    ax.set_ylim(0, 1.05)


def _learning_rates(plane: Plane) -> dict[Key, tuple[Array, Array]]:
    """Returns the multiplier over training of each line of one run, if the records have it and one of them varies.

    A second line of a run, such as that of its averaged weights, has none of its own.
    """
    rates: dict[Key, tuple[Array, Array]] = {}
    line_of: dict[tuple[str, str], Key] = {}
    for curve in plane.study.runs:
        key = curve.run.method, curve.run.kind
        is_first = line_of.setdefault((curve.run.method, curve.place), key) == key
        if key in rates or not is_first or curve.run.parent is not None:
            continue
        with suppress(CurveError):
            schedule = recorded_schedule(curve, plane.study.axis)
            if len(schedule.troughs) > 1:
                x, alpha = schedule.multipliers()
                rates[key] = x[x > 0], alpha[x > 0]  # a logarithmic axis has no 0
    return rates if any(np.ptp(alpha) for _, alpha in rates.values()) else {}
