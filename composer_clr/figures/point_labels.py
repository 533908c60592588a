"""How long the points of a tradeoff curve were trained, written beside them."""

from __future__ import annotations

import math
from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.figures.lines import Lines
from composer_clr.figures.looks import GREY
from composer_clr.figures.style import scaled

__all__ = ['are_few', 'label_points', 'thin_labels']

_MOST_LINES = 3
_MOST_COUNTS = 8
# Times of one count that lie so close, as a ratio, have their label at the outer one of their points.
_CLOSE = 1.2
_GID = 'point label'


def are_few(lines: Lines) -> bool:
    """Returns whether the points are so few that each can have its label: those of one method, against time."""
    counts = {count for line in lines.means.values() for count in line.count.tolist()}
    is_few = len(lines.means) <= _MOST_LINES and len(counts) <= _MOST_COUNTS
    return is_few and lines.are_of_one_method and lines.against == 'time'


def label_points(ax: Axes, lines: Lines) -> None:
    """Writes the epochs of each point, or what else the curves count, beside it: ``4``, ``8``, ... ``64 ep``.

    Points of one count have one label, right of the last of them: below it where the curves go up from there, above it
    where they go down, so that no curve crosses it.

    Args:
        ax (Axes): The axes with the lines.
        lines (Lines): The lines drawn on it.
    """
    points: dict[float, list[tuple[float, float]]] = defaultdict(list)
    rises: dict[float, float] = defaultdict(float)
    for line in lines.means.values():
        positions, values = lines.positions(line).tolist(), (lines.scale * line.value).tolist()
        measured = [
            point for point in zip(line.count.tolist(), positions, values, strict=True) if math.isfinite(point[2])
        ]
        for number, (count, at, value) in enumerate(measured):
            points[count].append((at, value))
            rises[count] += measured[number + 1][2] - value if number + 1 < len(measured) else 0.0
    counts = sorted(points)
    for count, name in zip(counts, count_labels(counts, lines.axis), strict=True):
        right = max(at for at, _ in points[count])
        values = [value for at, value in points[count] if at * _CLOSE >= right]
        is_last, rise = count == counts[-1], rises[count]
        ax.annotate(
            f'{name} {UNITS[lines.axis]}' if is_last else name,
            (right, min(values) if rise >= 0 else max(values)),
            (scaled(6), 0 if is_last else scaled(-3 if rise >= 0 else 3)),
            textcoords='offset points',
            va='center' if is_last else 'top' if rise >= 0 else 'bottom',
            color=GREY,
            fontsize='small',
            gid=_GID,
        )


def thin_labels(figure: Figure) -> None:
    """Hides labels of points that would touch the next one; the last stays."""
    for ax in figure.axes:
        left = math.inf
        for label in reversed(ax.texts):
            if not isinstance(label, Annotation) or label.get_gid() != _GID:
                continue
            box = label.get_window_extent()
            if box.x1 + 2 > left:
                label.set_visible(False)
            else:
                left = box.x0
