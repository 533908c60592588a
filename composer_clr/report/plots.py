"""The figures of a page as plain values, which its script draws: lines with intervals and texts, against each axis.

Texts are escaped, since plotly reads some HTML in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from composer_clr.curves.axes import PLURALS, count_labels
from composer_clr.figures.labels import gap_label, improvement_label, value_label
from composer_clr.figures.plane import Key, Plane
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Array, Estimates
from composer_clr.study.forecast import Forecast
from composer_clr.study.table import Study

__all__ = ['Plot', 'Said', 'curves_plot', 'gaps_plot', 'improvements_plot']

# The texts of the points of a line: what they count, and their values.
Said = Callable[[Study, Array, Estimates], Sequence[str]]

# With more points, the numbers of an axis are round ones: the first of these of which there are enough.
_MOST_TICKS, _FEWEST_TICKS = 10, 4
_ROUND = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), tuple(part / 10 for part in range(10, 100)))
# An axis goes so much beyond its points, as a ratio.
_BEYOND = 1.05
# Of the intervals of more points, so many are drawn; a hover shows each.
_MOST_ERRORS = 40
_LINE_WIDTH = 2
_DASHES = {'-': 'solid', '--': 'dash', '-.': 'dashdot', ':': 'dot'}
_SYMBOLS = {
    **{'o': 'circle', 's': 'square', '^': 'triangle-up', 'v': 'triangle-down', 'D': 'diamond', 'P': 'cross', 'X': 'x'},
    **{'*': 'star', '<': 'triangle-left', '>': 'triangle-right', 'p': 'pentagon', 'h': 'hexagon'},
}
# On dark paper, a colour of less luminance becomes so much lighter.
_DARK, _LIGHTER = 0.25, 0.55


class Plot(NamedTuple):
    """A figure.

    Attributes:
        title (str): What its y axis shows.
        said (str): What it shows, for readers who cannot see it.
        axes (dict[str, str]): The names of its x axes, for their buttons.
        has_intervals (bool): Whether any point has an interval.
        values (dict[str, Any]): What the page's script draws.
    """

    title: str
    said: str
    axes: dict[str, str]
    has_intervals: bool
    values: dict[str, Any]


def curves_plot(
    planes: Mapping[str, Plane], said: Said, forecasts: Mapping[Key, tuple[Forecast, str]] = MappingProxyType({})
) -> Plot:
    """Returns the curves of a study against each axis; the first one is shown first, and all have the same lines.

    Forecasts, each with its text, are drawn against time and what they count.
    """
    first = next(iter(planes.values()))
    axes = {}
    for name, plane in planes.items():
        study, lines = plane.study, []
        for key in first.keys:
            curve, values = study.curves[key], study.values(study.curves[key])
            texts = said(study, curve.count, values)
            line = _line(plane, key, curve.positions(plane.axis), values, texts, study.scale)
            if key in forecasts:
                line['forecast'] = _forecast(plane, *forecasts[key])
            lines.append(line)
        axes[name] = _axis(plane, lines)
    label = value_label(first.study)
    return _plot('curves', label, first, first.keys, axes, {name: _axis_name(plane) for name, plane in planes.items()})


def gaps_plot(plane: Plane, found: Mapping[Key, Differences], said: Said) -> Plot:
    """Returns the gaps of curves to the standard ones of their methods."""
    axes = {plane.axis: _axis(plane, _differences(plane, found, said))}
    names = {plane.axis: _axis_name(plane)}
    return _plot('gaps', gap_label(plane.study), plane, found, axes, names, zero=float(plane.study.is_ratio))


def improvements_plot(
    planes: Mapping[str, Plane], found: Mapping[str, Mapping[Key, Differences | None]], said: Said
) -> Plot:
    """Returns the improvements over the baseline by axis: at equal epochs, or what else is counted, and equal time."""
    axes = {name: _axis(planes[name], _differences(planes[name], one, said)) for name, one in found.items()}
    names = {name: f'at equal {"time" if name == "time" else PLURALS[name]}' for name in found}
    first = planes[next(iter(found))]
    keys = next(iter(found.values()))
    return _plot('improvements', improvement_label(first.study), first, keys, axes, names, zero=0.0)


def _differences(plane: Plane, found: Mapping[Key, Differences | None], said: Said) -> list[dict[str, Any]]:
    lines = []
    for key, one in found.items():
        if one is None:
            lines.append({'x': [], 'y': [], 'below': [], 'above': [], 'said': []})
            continue
        at = one.position if plane.axis == 'time' else one.count
        lines.append(_line(plane, key, at, one.each, said(plane.study, one.count, one.each)))
    return lines


def _line(
    plane: Plane, key: Key, at: Array, found: Estimates, texts: Sequence[str], scale: float = 1.0
) -> dict[str, Any]:
    errors = plane.errors_of(found)
    below, above = np.full((2, len(at)), np.nan) if errors is None else scale * errors
    drawn = np.arange(len(at)) % math.ceil(max(len(at), 1) / _MOST_ERRORS) == 0
    name = _text(plane.names[key])
    return {
        'x': _plain(plane.x(at)),
        'y': _plain(scale * found.value),
        'below': _plain(np.where(drawn, below, np.nan)),
        'above': _plain(np.where(drawn, above, np.nan)),
        'said': [f'{name}<br>{_text(text)}' for text in texts],
    }


def _forecast(plane: Plane, found: Forecast, text: str) -> dict[str, Any]:
    """Returns the area from the last point of a curve to the interval of its forecast; empty on other axes."""
    ends = {'time': (found.last_s, found.next_s), found.axis: (found.at, 2 * found.at)}.get(plane.axis)
    if ends is None:
        return {'x': [], 'y': [], 'said': ''}
    last, after = _plain(plane.x(np.array(ends)))
    values = plane.study.scale * np.array([found.last, found.high, found.low, found.last])
    return {'x': [last, after, after, last], 'y': _plain(values), 'said': _text(text)}


def _axis(plane: Plane, lines: list[dict[str, Any]]) -> dict[str, Any]:
    measured = [] if plane.axis == 'time' else plane.counts
    few = 1 < len(measured) <= _MOST_TICKS
    drawn = [at for line in lines for part in (line, line.get('forecast', {})) for at in part.get('x', ())]
    ticks = measured if few else _round_numbers([at for at in drawn if at is not None])
    labels = count_labels(ticks, 'epoch' if plane.axis == 'time' else plane.axis)
    return {'title': plane.label, 'ticks': ticks, 'labels': labels, 'lines': lines}


def _round_numbers(positions: Sequence[float]) -> list[float]:
    """Returns the numbers of a logarithmic axis."""
    if not positions:
        return []
    low, high = min(positions) / _BEYOND, max(positions) * _BEYOND
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for parts in _ROUND:
        found = [float(f'{part}e{decade}') for decade in decades for part in parts]
        found = [number for number in found if low <= number <= high]
        if len(found) >= _FEWEST_TICKS:
            break
    return found


def _plot(
    name: str,
    label: str,
    plane: Plane,
    keys: Collection[Key],
    axes: dict[str, Any],
    names: dict[str, str],
    *,
    zero: float | None = None,
) -> Plot:
    looks = []
    for key in keys:
        colour, marker, dashes, filling = plane.looks[key]
        looks.append(
            {
                'name': _text(plane.names[key]),
                'colour': colour,
                'dark': _lightened(colour),
                'symbol': _SYMBOLS[marker],
                'filled': filling != 'white',
                'dash': _dash(dashes),
            }
        )
    lines = ', '.join(plane.names[key] for key in keys)
    has_intervals = any(one is not None for axis in axes.values() for line in axis['lines'] for one in line['above'])
    return Plot(
        title=label.replace('\n', ' '),
        said=f'lines of {lines}, against {plane.label}; the numbers are in the tables',
        axes=names,
        has_intervals=has_intervals,
        values={'id': name, 'zero': zero, 'looks': looks, 'axes': axes},
    )


def _axis_name(plane: Plane) -> str:
    return 'time' if plane.axis == 'time' else PLURALS[plane.axis]


def _dash(dashes: Any) -> str:
    """Returns what plotly calls a style of line of matplotlib's."""
    if isinstance(dashes, str):
        return _DASHES[dashes]
    return ','.join(f'{_LINE_WIDTH * part}px' for part in dashes[1])


def _lightened(colour: str) -> str:
    """Returns a colour for dark paper."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ (parts / 255) ** 2.2)
    if luminance < _DARK:
        parts = parts + (255 - parts) * (_LIGHTER if parts.any() else 0.85)
    return '#' + ''.join(f'{round(part):02x}' for part in parts)


def _plain(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _text(text: str) -> str:
    # Plotly does not know the names of quotes.
    return escape(text, quote=False)
