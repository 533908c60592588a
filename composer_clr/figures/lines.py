"""The lines of a figure: runs averaged over their seeds, in drawing order, and the units that they share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from composer_clr.analysis.mean_curve import MeanCurve, mean_curves
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import default_metric, is_fraction
from composer_clr.figures.style import MOST_METHODS, draw_points, drawing_order, log_ticks

__all__ = ['Lines', 'mean_lines']

_TIME_UNITS = ((7200, 3600, 'hours'), (300, 60, 'minutes'), (0, 1, 'seconds'))


@dataclass(frozen=True, eq=False)
class Lines:
    """Mean curves to draw.

    Attributes:
        means (dict[tuple[str, str], MeanCurve]): By method and kind, in the order to draw them in.
        metric (str): ``label/metric``.
        peak (bool): Whether the values are the best near each point.
        scale (float): 100 where the metric is a fraction, to be drawn in percent; else 1.
        seconds (float): What one unit of the time axis is.
        time_unit (str): Its name.
    """

    means: dict[tuple[str, str], MeanCurve]
    metric: str
    peak: bool
    scale: float
    seconds: float
    time_unit: str

    @property
    def name(self) -> str:
        """The metric as axes name it, without its unit."""
        return ('best ' if self.peak else '') + self.metric

    @property
    def value_label(self) -> str:
        """The metric as an axis of its values has it."""
        return self.name + (' (%)' if self.scale == 100 else '')

    @property
    def time_label(self) -> str:
        """Training time as an axis has it."""
        return f'training time ({self.time_unit})'

    def draw_against_time(self, ax: Axes, key: tuple[str, str], **look: Any) -> None:
        """Draw one line against time, with the standard deviation over seeds where there are several."""
        line = self.means[key]
        draw_points(
            ax,
            line.time_s / self.seconds,
            self.scale * line.value,
            self.deviation(line),
            self.means,
            key,
            **look,
        )

    def deviation(self, line: MeanCurve) -> Any:
        """The standard deviation at each point, 0 where there is one seed; ``None`` where there is one at all."""
        deviation = self.scale * np.nan_to_num(line.spread)
        return deviation if deviation.any() else None

    def label_time_axes(self, ax: Axes) -> None:
        """Make an Axes one of values against time: logarithmic, labelled."""
        log_ticks(ax)
        ax.set_xlabel(self.time_label)
        ax.set_ylabel(self.value_label)
        ax.grid(alpha=0.25)


def mean_lines(
    curves: Iterable[TradeoffCurve], metric: str | None, *, peak: bool = False, allow_nan: bool = True
) -> Lines:
    """Average runs over their seeds and tell the units to draw them in.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; those without points are passed over.
        metric (str | None): ``label/metric``; ``None``: that of :func:`default_metric`.
        peak (bool): Whether to take the best value near each point. Default: ``False``.
        allow_nan (bool): Whether a value that is no finite number leaves a hole. Default: ``True``.

    Raises:
        CurveError: If the curves have no such metric or no points, or a seed has two runs to one point; or if there are
            more methods than one figure tells apart.
    """
    curves = [curve for curve in curves if curve.points]
    if not curves:
        raise CurveError('there are no points to draw: name runs that have passed a trough')
    methods = {curve.run.method for curve in curves}
    if len(methods) > MOST_METHODS:
        raise CurveError(
            f'{len(methods)} methods are more than the {MOST_METHODS} that one figure tells apart: choose some (plot '
            '--methods), or name fewer runs'
        )
    metric = metric or default_metric(curves, peak=peak)
    means = mean_curves(curves, metric, peak=peak, allow_nan=allow_nan)
    longest = max(line.time_s.max() for line in means.values())
    seconds, unit = next((seconds, unit) for least, seconds, unit in _TIME_UNITS if longest >= least)
    finite = [value for line in means.values() for value in line.value if math.isfinite(value)]
    scale = 100.0 if is_fraction(metric, finite) else 1.0
    return Lines({key: means[key] for key in sorted(means, key=drawing_order)}, metric, peak, scale, seconds, unit)
