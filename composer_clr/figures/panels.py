"""Figures of one panel or several: the lines of too many methods or kinds, of each method, or of each kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.curves.axes import Axis
from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import STANDARD, kind_order
from composer_clr.figures.labels import shown, value_label
from composer_clr.figures.looks import are_of_one_method, method_colour
from composer_clr.figures.plane import MOST_LINES, Errors, Key, Plane, add_legend, log_axis, new_panels
from composer_clr.study.table import Study

__all__ = ['draw_panels', 'draw_values', 'methods_beside_baseline', 'shown_axis', 'split', 'standard_beside_cyclic']


def shown_axis(study: Study, axis: Axis | None) -> Axis:
    """Returns what values are drawn against: by default samples or tokens where the study counts those, else time."""
    by_count = study.axis in ('sample', 'token') or not study.is_timed
    return axis or (study.axis if by_count else 'time')


def draw_values(plane: Plane, ax: Axes, key: Key) -> None:
    """Draws the mean of a curve over its seeds."""
    curve = plane.study.curves[key]
    plane.draw(ax, key, curve.positions(plane.axis), plane.study.values(curve), scale=plane.study.scale)


def split(keys: Sequence[Key], baseline: str | None = None) -> dict[str, list[Key]]:
    """Returns the lines of each panel by its title: all in one; or of more than six methods or kinds, a panel for each.

    Beside each method stands the baseline, beside each kind the standard one.

    Example:
        >>> split([('A', 'cyclic'), ('B', 'cyclic')])
        {'': [('A', 'cyclic'), ('B', 'cyclic')]}
        >>> list(split([(method, 'cyclic') for method in 'ABCDEFG'], 'A'))
        ['B', 'C', 'D', 'E', 'F', 'G']
    """
    methods, kinds = (list(dict.fromkeys(key[part] for key in keys)) for part in (0, 1))
    parts = {'': list(keys)}
    if len(methods) > MOST_LINES:
        parts = {name: [key for key in keys if key[0] in (name, baseline)] for name in methods if name != baseline}
    if len(kinds) > MOST_LINES:
        parts = {
            ', '.join(filter(None, (title, kind))): [key for key in part if key[1] in (kind, STANDARD)]
            for title, part in parts.items()
            for kind in kinds
            if kind != STANDARD
        }
    return parts


def draw_panels(
    plane: Plane,
    parts: Mapping[str, Sequence[Key]],
    draw: Callable[[Axes, Key], None],
    ylabel: str,
    *,
    baseline: str | None = None,
    measured: Sequence[float] = (),
    columns: int | None = None,
    extra: Sequence[Artist] = (),
    on: tuple[Figure, list[Axes]] | None = None,
) -> Figure:
    """Draws the lines of each panel, by its title; several panels share their axes, labels and legend.

    The legend explains what the titles do not: of panels of methods, the kinds and the ``baseline`` that is in each.
    """
    methods = {method for method, _ in plane.keys}
    every = [key for key in plane.keys if any(key in part for part in parts.values())]
    columns = columns or (min(len(parts), 3) if len(parts) <= 6 else 4)
    side = 3.1 if columns > 2 else 4.4
    size = (6.4 if len(every) <= MOST_LINES else 8.6), 4.8
    if len(parts) > 1:
        size = side * columns, 0.9 * side * math.ceil(len(parts) / columns) + 1.0
    figure, panels = on or new_panels(len(parts), columns, size)
    for ax, (title, part) in zip(panels, parts.items(), strict=True):
        for key in part:
            draw(ax, key)
        log_axis(ax, plane, measured)
        if title:
            colour = method_colour(title, methods) if title in methods else 'black'
            ax.set_title(shown(title), color=colour, fontsize='small' if len(parts) > 4 else 'medium')
    if len(parts) == 1:
        panels[0].set_xlabel(plane.label)
        panels[0].set_ylabel(ylabel)
    else:
        figure.supxlabel(plane.label)
        figure.supylabel(ylabel)
        for index, ax in enumerate(panels):
            ax.tick_params(labelbottom=index + columns >= len(panels), labelleft=index % columns == 0)
    of_methods = len(parts) > 1 and set(parts) <= methods
    if len(parts) > 1 and are_of_one_method(plane.keys):
        every = [key for key in every if all(key in part for part in parts.values())]
    entries = plane.entries(every, [*filter(None, (baseline,))] if of_methods and len(methods) > 1 else None)
    handles = [*entries, *extra, *plane.error_entry()]
    # Below several panels stands their label.
    add_legend(figure, handles, side='upper' if len(parts) > 1 else 'lower', beside=len(parts) == 1)
    return figure


def methods_beside_baseline(study: Study, *, axis: Axis | None = None, errors: Errors = 'ci') -> Figure:
    """Draws a panel per method, its curves beside the baseline's, as in :func:`accuracy_against_time`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 2.
    """
    plane, baseline = Plane(study, shown_axis(study, axis), errors), study.baseline
    methods = list(dict.fromkeys(method for method, _ in plane.keys))
    if baseline not in methods or len(methods) == 1:
        raise CurveError(
            f'a panel shows a method beside the baseline {baseline!r}, but the runs are of {methods}: '
            'name runs of both, or choose another baseline'
        )
    parts = {name: [key for key in plane.keys if key[0] in (name, baseline)] for name in methods if name != baseline}
    return draw_panels(plane, parts, partial(draw_values, plane), value_label(study), baseline=baseline)


def standard_beside_cyclic(study: Study, *, axis: Axis | None = None, errors: Errors = 'ci') -> Figure:
    """Draws a panel of all standard curves beside a panel of each other kind; of more than six methods, several each.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S2.
    """
    plane, baseline = Plane(study, shown_axis(study, axis), errors), study.baseline
    kinds = sorted({kind for _, kind in plane.keys}, key=kind_order)
    if len(kinds) == 1:
        raise CurveError(
            f'the figure compares standard with cyclic curves, but all runs are {kinds[0]}: name runs of both'
        )
    others = [method for method in dict.fromkeys(method for method, _ in plane.keys) if method != baseline]
    columns = math.ceil((len(others) + 1) / MOST_LINES)
    groups = [{baseline, *others[part::columns]} for part in range(columns)]
    parts = {
        kind if columns == 1 else f'{kind} ({part} of {columns})': [
            key for key in plane.keys if key[1] == kind and key[0] in group
        ]
        for kind in kinds
        for part, group in enumerate(groups, start=1)
    }
    columns = min(len(kinds), 4) if columns == 1 else columns
    return draw_panels(plane, parts, partial(draw_values, plane), value_label(study), columns=columns)
