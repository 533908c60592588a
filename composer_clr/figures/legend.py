"""The legend of a figure: lines, or methods and kinds, and what the errors are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from composer_clr.curves.names import kind_order
from composer_clr.figures.looks import (
    GREY,
    are_of_one_method,
    filling,
    kind_dashes,
    kinds_have_markers,
    line_look,
    method_colour,
    method_marker,
)
from composer_clr.figures.style import LINES_NAMED, NAMES_A_COLUMN, NARROW, figure_of, scaled
from composer_clr.figures.text import write_texts

__all__ = ['error_handles', 'explain', 'kind_handles', 'legend_of', 'legend_outside', 'line_handles', 'method_handles']

# Characters as wide as the line and the space before a name.
_LEGEND_GAP = 10


def explain(
    ax: Axes,
    drawn: Collection[tuple[str, str]],
    among: Collection[tuple[str, str]],
    *,
    beside: bool,
    errors: Sequence[Artist] = (),
    titles: Mapping[tuple[str, str], str] | None = None,
) -> Legend:
    """Adds a legend: of lines if they are few or of one method, else of methods and kinds.

    Args:
        ax (Axes): The axes with the lines.
        drawn (Collection[tuple[str, str]]): Method and kind of each line, in order.
        among (Collection[tuple[str, str]]): Those of the whole figure, which determine the looks.
        beside (bool): Put a long legend beside the axes, and below them one of a narrow figure or one that would cover
            a line, on a figure that has no other legends.
        errors (Sequence[Artist]): What :func:`error_handles` says of the errors.
        titles (Mapping[tuple[str, str], str] | None): Names of lines. Default: ``None``, their method and kind.
    """
    figure = figure_of(ax)
    place: dict[str, Any] = {'handlelength': 3.5}  # long enough to distinguish dashes
    if len(drawn) <= LINES_NAMED or are_of_one_method(among):
        handles: list[Artist] = [*line_handles(drawn, among, titles or {}), *errors]
    else:
        handles = [*kind_handles(drawn, among), *method_handles(drawn, among), *errors]
    if beside and figure.get_figwidth() < NARROW:
        return legend_outside(figure, handles)
    if len(drawn) > LINES_NAMED:
        place['ncols'] = 1 if beside and len(handles) <= NAMES_A_COLUMN else 2
        if beside:
            place |= {'loc': 'upper left', 'bbox_to_anchor': (1, 1)}
        return legend_of(ax, handles, **place)
    legend = legend_of(ax, handles, **place)
    if beside and _covers(legend, ax):
        legend.remove()
        return legend_outside(figure, handles)
    return legend


def _covers(legend: Legend, ax: Axes) -> bool:
    """Returns whether a legend lies on a line, a point or an error bar, or a label of a point."""
    figure = figure_of(ax)
    write_texts(figure)  # as they will be drawn
    figure.draw_without_rendering()
    box = legend.get_window_extent().padded(scaled(4))  # half a marker
    lines = [line.get_transform().transform_path(line.get_path()) for line in ax.lines]
    bars = [bar.get_transform().transform_path(path) for bar in ax.collections for path in bar.get_paths()]
    return any(path.intersects_bbox(box, filled=False) for path in lines + bars if len(path)) or any(
        box.overlaps(text.get_window_extent()) for text in ax.texts
    )


def legend_outside(figure: Figure, handles: Sequence[Artist], side: str = 'lower') -> Legend:
    """Adds a legend below the axes, or above (``'upper'``), with as many columns as there is room for."""
    points_a_character = 0.58 * FontProperties(size=plt.rcParams['legend.fontsize']).get_size_in_points()
    room = figure.get_figwidth() * 72 / points_a_character + _LEGEND_GAP / 3  # no space after the last column
    lengths = [min(len(str(handle.get_label())), 44) + _LEGEND_GAP for handle in handles]
    fitting = [count for count in range(1, len(handles) + 1) if sum(map(max, np.array_split(lengths, count))) <= room]
    columns = max(fitting, default=1)
    return legend_of(figure, handles, loc=f'outside {side} center', ncols=columns, handlelength=2.8)


def legend_of(of: Axes | Figure, handles: Sequence[Artist | Container], **place: Any) -> Legend:
    """Adds a legend of handles, also of those whose label starts with ``_``, which matplotlib would leave out."""
    legend = of.legend(handles=list(handles), labels=['-'] * len(handles), frameon=False, **place)
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        text.set_text(str(handle.get_label()))
    return legend


def error_handles(name: str, seeds: Collection[int], *, bands: bool = False) -> list[Artist]:
    """Returns the legend entry that says what the errors are, and over how many seeds; none over a single one."""
    several = sorted(set(seeds) - {0, 1})
    if not several:
        return []
    number = f'{several[0]} to {several[-1]}' if len(several) > 1 else several[0]
    label = f'{name}, {number} seeds'
    if bands:
        return [Patch(color=GREY, alpha=0.15, linewidth=0, label=label)]
    return [Line2D([], [], color=GREY, ls='', marker='|', markersize=scaled(9), label=label)]


def line_handles(
    drawn: Iterable[tuple[str, str]], among: Collection[tuple[str, str]], titles: Mapping[tuple[str, str], str]
) -> list[Artist]:
    """Returns a legend entry per line, by its title, or its method and kind."""
    kinds = [kind for _, kind in among]
    looks = {key: line_look(*key, among) for key in drawn}
    return [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            ls=kind_dashes(kind, kinds),
            mfc=filling(kind),
            linewidth=scaled(1.5),
            markersize=scaled(6),
            label=titles.get((method, kind), f'{method}, {kind}'),
        )
        for (method, kind), (colour, marker) in looks.items()
    ]


def kind_handles(drawn: Iterable[tuple[str, str]], among: Collection[tuple[str, str]]) -> list[Line2D]:
    """Returns legend entries for the kinds of curve: their dashes, filling and markers, standard first."""
    kinds = sorted({kind for _, kind in drawn}, key=kind_order)
    names = {kind for _, kind in among}
    looks = dict.fromkeys(kinds, (GREY, 'o'))
    if kinds_have_markers(among):
        method = next(method for method, _ in among)
        looks = {kind: line_look(method, kind, among) for kind in kinds}
    if not are_of_one_method(among):
        looks = {kind: (GREY, marker) for kind, (_, marker) in looks.items()}
    return [
        Line2D([], [], color=colour, ls=kind_dashes(kind, names), marker=marker, mfc=filling(kind), label=kind)
        for kind, (colour, marker) in looks.items()
    ]


def method_handles(drawn: Iterable[tuple[str, str]], among: Collection[tuple[str, str]]) -> list[Line2D]:
    """Returns legend entries for the methods, in order: their colours and markers, or a bar where kinds have those."""
    names = {method for method, _ in among}
    bar = kinds_have_markers(among)
    return [
        Line2D(
            [],
            [],
            color=method_colour(method, names),
            marker='' if bar else method_marker(method, names),
            ls='-' if bar else '',
            linewidth=scaled(4),
            label=method,
        )
        for method in dict.fromkeys(method for method, _ in drawn)
    ]
