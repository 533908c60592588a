"""Figures of accuracy against training time in several panels: one per method, or one per kind of curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.curves.axes import Axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import kind_order
from composer_clr.figures.legend import kind_handles, legend_of, legend_outside, line_handles, method_handles
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.looks import method_colour
from composer_clr.figures.style import figure_of, size_or

__all__ = ['methods_beside_baseline', 'standard_beside_cyclic']


def methods_beside_baseline(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    baseline: str = 'baseline',
    axis: Axis | None = None,
    bands: bool = False,
    axes: Sequence[Axes] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draws a panel per method, its curves beside the baseline's, as in :func:`accuracy_against_time`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        axis (str | None): What to draw against: ``'time'``, ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
            Default: ``None``, samples or tokens where the schedules were counted in them, else time.
        baseline (str): The method in every panel. Default: ``'baseline'``.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        axes (Sequence[Axes] | None): Where to draw, one per method. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: The figure and its panels, in the order of the methods.

    Raises:
        CurveError: If the baseline or every other method has no runs; and as for :func:`accuracy_against_time`.
        ValueError: If the number of ``axes`` is not that of the methods.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 2.
    """
    lines = mean_lines(curves, metric, axis=axis, peak=peak, bands=bands)
    methods = list(dict.fromkeys(method for method, _ in lines.means))
    if baseline not in methods or len(methods) == 1:
        raise CurveError(
            f'a panel shows a method beside the baseline {baseline!r}, but the runs are of {methods}: '
            'name runs of both, or choose another baseline'
        )
    titles = [method for method in methods if method != baseline]
    panels = [[key for key in lines.means if key[0] in (method, baseline)] for method in titles]
    of_baseline = [key for key in lines.means if key[0] == baseline]
    explained = [
        *kind_handles(lines.means, lines.means),
        *method_handles(of_baseline, lines.means),
        *lines.errors(),
    ]
    figure, axes = _draw_panels(lines, panels, titles, axes, explained, columns=3 if len(titles) <= 6 else 4)
    for ax, method in zip(axes, titles, strict=True):
        ax.title.set_color(method_colour(method, methods))
    return figure, axes


def standard_beside_cyclic(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    axis: Axis | None = None,
    bands: bool = False,
    axes: Sequence[Axes] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draws a panel of all standard curves beside a panel of all cyclic curves.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; any further kind of curve has its own panel.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        axis (str | None): What to draw against: ``'time'``, ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
            Default: ``None``, samples or tokens where the schedules were counted in them, else time.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        axes (Sequence[Axes] | None): Where to draw, one per kind. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: The figure and its panels, standard first.

    Raises:
        CurveError: If all runs are of one kind; and as for :func:`accuracy_against_time`.
        ValueError: If the number of ``axes`` is not that of the kinds.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S2.
    """
    lines = mean_lines(curves, metric, axis=axis, peak=peak, bands=bands)
    kinds = sorted({kind for _, kind in lines.means}, key=kind_order)
    if len(kinds) == 1:
        raise CurveError(
            f'the figure compares standard with cyclic curves, but all runs are {kinds[0]}: name runs of both'
        )
    panels = [[key for key in lines.means if key[1] == kind] for kind in kinds]
    explained: list[Artist] = [*method_handles(lines.means, lines.means), *lines.errors()]
    if lines.are_of_one_method:  # whose kinds have colours of their own
        explained = [*line_handles(lines.means, lines.means, lines.titles), *lines.errors()]
    return _draw_panels(lines, panels, kinds, axes, explained, columns=4)


def _draw_panels(
    lines: Lines,
    panels: Sequence[Sequence[tuple[str, str]]],
    titles: Sequence[str],
    axes: Sequence[Axes] | None,
    explained: list[Artist],
    columns: int,
) -> tuple[Figure, list[Axes]]:
    """Draws the lines of each panel; panels of a new figure share their axes and a legend below them."""
    columns = min(columns, len(panels))
    drawn_on = _new_panels(len(panels), columns) if axes is None else list(axes)
    if len(drawn_on) != len(panels):
        raise ValueError(f'{len(drawn_on)} axes for {len(panels)} panels ({", ".join(titles)}): pass one per panel')
    for ax, keys, title in zip(drawn_on, panels, titles, strict=True):
        for key in keys:
            lines.draw(ax, key)
        ax.set_title(title)
    for ax in drawn_on:
        lines.label_axes(ax)
        if axes is None:
            ax.set_xlabel('')
            ax.set_ylabel('')
    figure = figure_of(drawn_on[0])
    if axes is None:
        figure.supxlabel(lines.position_label)
        figure.supylabel(lines.value_label)
        legend_outside(figure, explained, 'upper')  # below stands the label of all panels
    else:
        legend_of(drawn_on[0], explained)
    return figure, drawn_on


def _new_panels(count: int, columns: int) -> list[Axes]:
    rows = math.ceil(count / columns)
    size = 3.1 if columns > 2 else 4.4
    figure = plt.figure(figsize=size_or((size * columns, 0.9 * size * rows + 1.0)), layout='constrained')
    drawn_on: list[Axes] = []
    for index in range(count):
        shared = drawn_on[0] if drawn_on else None
        drawn_on.append(figure.add_subplot(rows, columns, index + 1, sharex=shared, sharey=shared))
    return drawn_on
