"""The lines of a figure: runs averaged over seeds, in drawing order, and the units that they share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from composer_clr.analysis.mean_curve import Array, MeanCurve, mean_curves
from composer_clr.curves.axes import PLURALS, Axis, Count, count_labels, shown_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import default_metric, difference_unit, full_name, is_in_nats, study_is_fraction
from composer_clr.curves.names import ANYTIME, BASELINE, SCHEDULE_FREE, STANDARD, has_cycles, kind_without_shape
from composer_clr.figures.legend import error_handles
from composer_clr.figures.looks import MOST_METHODS, are_of_one_method, drawing_order
from composer_clr.figures.style import draw_points, log_ticks
from composer_clr.figures.text import metric_label

__all__ = ['Lines', 'mean_lines']

_TIME_UNITS = ((7200, 3600, 'hours'), (300, 60, 'minutes'), (0, 1, 'seconds'))


@dataclass(frozen=True, eq=False)
class Lines:
    """Mean curves to draw.

    Attributes:
        means (dict[tuple[str, str], MeanCurve]): By method and kind, in drawing order.
        metric (str): ``label/metric``.
        peak (bool): Whether the values are the best near each point.
        scale (float): 100 if the metric is a fraction, which is drawn in percent; else 1.
        seconds (float): Seconds in one unit of the time axis.
        time_unit (str): Name of that unit.
        axis (str): What the curves count: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        against (str): What they are drawn against: ``'time'``, or that count.
        percent (bool): Whether values are drawn in percent: scaled, or measured in percent.
        bands (bool): Whether errors are drawn as bands, not bars.
    """

    means: dict[tuple[str, str], MeanCurve]
    metric: str
    peak: bool
    scale: float
    seconds: float
    time_unit: str
    axis: Count = 'epoch'
    against: Axis = 'time'
    percent: bool = False
    bands: bool = False

    @property
    def name(self) -> str:
        """Name of the metric, without its unit."""
        return ('best ' if self.peak else '') + metric_label(self.metric)

    @property
    def value_label(self) -> str:
        """Label of an axis of the metric."""
        unit = '%' if self.percent else 'nats' if is_in_nats(self.metric) else ''
        return f'{self.name} ({unit})' if unit else self.name

    @property
    def difference_label(self) -> str:
        """What differences of the metric are in: ``'points of accuracy'``, ``'nats of cross entropy'``."""
        unit = difference_unit(self.metric, self.scale)
        return self.name if unit == 'units' else f'{unit} of {self.name}'

    @property
    def time_label(self) -> str:
        """Label of an axis of training time."""
        return f'training time ({self.time_unit})'

    @property
    def count_label(self) -> str:
        """Label of an axis of what the curves count."""
        return PLURALS[self.axis]

    @property
    def position_label(self) -> str:
        """Label of the axis that the lines are drawn against."""
        return self.time_label if self.against == 'time' else self.count_label

    @property
    def are_of_one_method(self) -> bool:
        """Whether all lines are of one method."""
        return are_of_one_method(self.means)

    @property
    def titles(self) -> dict[tuple[str, str], str]:
        """Names of the lines in a legend: their method and kind, or in a figure of one method, what the runs are.

        Example:
            >>> from composer_clr.curves.curve import Run, TradeoffPoint
            >>> points = [TradeoffPoint(0, e, 1, 1, 0, e, e, 0.0, {'eval/Accuracy': 0.5}, {}) for e in (1.0, 2.0)]
            >>> curves = [TradeoffCurve(Run(kind, kind, 'LS'), points) for kind in ('standard', 'cyclic')]
            >>> list(mean_lines(curves, None).titles.values())
            ['LS: separate standard runs', 'LS: one cyclic run']
        """
        if not self.are_of_one_method:
            return {(method, kind): f'{method}, {kind}' for method, kind in self.means}
        titles = {}
        for (method, kind), line in self.means.items():
            runs = kind
            if has_cycles(kind) or kind_without_shape(kind) in (ANYTIME, SCHEDULE_FREE):
                runs = f'one {kind} run'
            elif kind == 'branch':
                runs = 'cooldown branches'
            elif kind == STANDARD:
                runs = 'separate standard runs' if len(line.count) > 1 else 'standard run'
            titles[method, kind] = runs if method == BASELINE else f'{method}: {runs}'
        return titles

    def draw(self, ax: Axes, key: tuple[str, str], **look: Any) -> None:
        """Draws one line, with the standard deviation over seeds if there are several."""
        line = self.means[key]
        draw_points(
            ax,
            self.positions(line),
            self.scale * line.value,
            self.deviation(line),
            self.means,
            key,
            bands=self.bands,
            **look,
        )

    def positions(self, line: MeanCurve) -> Array:
        """Returns where the points of a line are on the axis that the lines are drawn against."""
        return line.time_s / self.seconds if self.against == 'time' else line.count

    def deviation(self, line: MeanCurve) -> Any:
        """Returns the standard deviation per point, 0 at a point of one seed; ``None`` if all points are."""
        deviation = self.scale * np.nan_to_num(line.spread)
        return deviation if deviation.any() else None

    def errors(self) -> list[Artist]:
        """Returns the legend entry that says what the errors are and of how many seeds; none with one seed."""
        lines = [line for line in self.means.values() if self.deviation(line) is not None]
        seeds = {len(sample) for line in lines for sample in line.samples}
        return error_handles('± standard deviation', seeds, bands=self.bands)

    def label_axes(self, ax: Axes) -> None:
        """Makes the axis of time, or of the count, logarithmic and labels both axes."""
        log_ticks(ax)
        if self.against != 'time':
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_labels([value], self.against)[0]))
        ax.set_xlabel(self.position_label)
        ax.set_ylabel(self.value_label)
        ax.grid(alpha=0.25)


def mean_lines(
    curves: Iterable[TradeoffCurve],
    metric: str | None,
    *,
    axis: Axis | None = None,
    peak: bool = False,
    allow_nan: bool = True,
    bands: bool = False,
) -> Lines:
    """Averages runs over seeds and chooses the units to draw them in.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; those without points are ignored.
        metric (str | None): ``label/metric``; ``None``: that of :func:`default_metric`.
        axis (str | None): What to draw against, and what distinguishes points. Default: ``None``, that of
            :func:`shown_axis`.
        peak (bool): Use the best value near each point. Default: ``False``.
        allow_nan (bool): Leave a gap at a value that is not finite, instead of raising. Default: ``True``.
        bands (bool): Draw errors as bands. Default: ``False``.

    Raises:
        CurveError: If a run does not have the metric, no run has points, a seed has two runs to one point, or there are
            more methods than one figure can show.
    """
    curves = [curve for curve in curves if curve.points]
    if not curves:
        raise CurveError('there are no points to draw: name runs that have passed a trough')
    methods = {curve.run.method for curve in curves}
    if len(methods) > MOST_METHODS:
        raise CurveError(
            f'{len(methods)} methods, but one figure can show at most {MOST_METHODS}: choose some (plot '
            '--methods), or name fewer runs'
        )
    metric = full_name(curves, metric, peak=peak) if metric else default_metric(curves, peak=peak)
    against = shown_axis(curves, axis)
    means = mean_curves(curves, metric, axis=None if against == 'time' else against, peak=peak, allow_nan=allow_nan)
    longest = max(line.time_s.max() for line in means.values())
    seconds, unit = next((seconds, unit) for least, seconds, unit in _TIME_UNITS if longest >= least)
    finite = [value for line in means.values() for value in line.value if math.isfinite(value)]
    scale = 100.0 if study_is_fraction(curves, metric, peak=peak) else 1.0
    ordered = {key: means[key] for key in sorted(means, key=drawing_order)}
    percent = scale == 100 or ('accuracy' in metric_label(metric) and 1 < max(finite, default=0.0) <= 100)
    axis = next(iter(means.values())).axis
    return Lines(ordered, metric, peak, scale, seconds, unit, axis, against, percent, bands)
