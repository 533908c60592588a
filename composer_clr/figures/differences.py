"""The figures of differences: gaps to the standard curves, and improvements over the baseline's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from composer_clr.curves.names import STANDARD
from composer_clr.figures.labels import gap_label, improvement_label, shown
from composer_clr.figures.looks import GREY, are_of_one_method
from composer_clr.figures.panels import draw_panels, split
from composer_clr.figures.plane import Errors, Key, Plane
from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import gaps, improvements
from composer_clr.study.differences import Differences
from composer_clr.study.table import Study

__all__ = ['gap_to_standard', 'improvement_over_baseline']

# What part of the distance between two points the points of all lines take there, side by side.
_SIDE_BY_SIDE = 0.3


def gap_to_standard(study: Study, *, alignment: Alignment | None = None, errors: Errors = 'ci') -> Figure:
    r"""Draws the gap of each curve to the standard curve of its method, point by point.

    .. math::
        g_i = v^{kind}(x_i) - v^{standard}(x_i)

    These are the gaps of :func:`~composer_clr.study.compare.compare`: over the seeds that both curves have, paired by
    seed; of a perplexity, the ratio. A point where the standard curve was not measured is not drawn. The standard curve
    is the line at 0. Points of one count are drawn side by side around it, so that no error bar hides another.
    """
    how = alignment or Alignment()
    plane, found = Plane(study, how.axis or study.axis, errors), gaps(study, how)
    zero = next(key for key in plane.keys if key[1] == STANDARD) if are_of_one_method(plane.keys) else None
    colour, name = (GREY, STANDARD) if zero is None else (plane.looks[zero].colour, plane.names[zero])
    return _draw(plane, found, gap_label(study), Line2D([], [], color=colour, label=name), float(study.is_ratio))


def improvement_over_baseline(study: Study, *, alignment: Alignment | None = None, errors: Errors = 'ci') -> Figure:
    """Draws each method's improvement over the baseline's curve of the same kind: standard solid, cyclic dashed.

    A method's points are compared with the baseline at equal epochs, or at equal training time with
    ``Alignment(axis='time')``; a point where the baseline was not measured is not drawn.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3A-C.
    """
    how = alignment or Alignment()
    plane = Plane(study, how.axis or study.axis, errors)
    zero = Line2D([], [], color=GREY, label=shown(study.baseline))
    return _draw(plane, improvements(study, how), improvement_label(study), zero, 0.0)


def _draw(plane: Plane, found: Mapping[Key, Differences], label: str, zero: Line2D, at_zero: float) -> Figure:
    """Draws differences around a line at zero."""
    keys = [key for key in plane.keys if key in found]
    parts = split(keys)
    nearest = min(
        (np.diff(np.log(one.count)).min() for one in found.values() if len(one.count) > 1), default=math.log(2)
    )

    def draw(ax: Axes, key: Key) -> None:
        lines = [other for part in parts.values() if key in part for other in part]
        place = (lines.index(key) + 0.5) / len(lines) - 0.5
        aside = 1.0 if plane.axis == 'time' else math.exp(_SIDE_BY_SIDE * nearest * place)
        if key == lines[0]:
            ax.axhline(at_zero, color=zero.get_color(), linewidth=zero.get_linewidth(), zorder=1.5)
        plane.draw(ax, key, found[key].position * aside, found[key].each)

    measured = [] if plane.axis == 'time' else plane.counts
    return draw_panels(plane, parts, draw, label, measured=measured, extra=[zero])
