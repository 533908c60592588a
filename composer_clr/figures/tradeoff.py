"""Figures of accuracy against training time: in one panel, in a panel per method, or in a panel per kind of curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.kinds import kind_order
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.style import (
    axes_or_new,
    explain,
    figure_of,
    figure_size,
    kind_handles,
    method_colour,
    method_handles,
)

__all__ = ['accuracy_against_time', 'methods_beside_baseline', 'standard_beside_cyclic']


def accuracy_against_time(
    curves: Iterable[TradeoffCurve], metric: str | None = None, *, peak: bool = False, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draws tradeoff curves: a metric against training time, on a logarithmic axis.

    Runs of one method and kind form one line: standard solid, cyclic dashed. Runs that differ by their seed are
    averaged point by point, with the standard deviation as error bars, as in :func:`mean_curves`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If a run does not have the metric, no run has points, or a seed has two runs to one point.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1C.
    """
    lines = mean_lines(curves, metric, peak=peak)
    axes = axes_or_new(ax, figure_size(lines.means))
    for key in lines.means:
        lines.draw_against_time(axes, key)
    lines.label_time_axes(axes)
    explain(axes, lines.means, lines.means, beside=ax is None)
    return figure_of(axes), axes


def methods_beside_baseline(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    baseline: str = 'baseline',
    axes: Sequence[Axes] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draws a panel per method, its curves beside the baseline's, as in :func:`accuracy_against_time`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        baseline (str): The method in every panel. Default: ``'baseline'``.
        axes (Sequence[Axes] | None): Where to draw, one per method. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: The figure and its panels, in the order of the methods.

    Raises:
        CurveError: If the baseline or every other method has no runs; and as for :func:`accuracy_against_time`.
        ValueError: If the number of ``axes`` is not that of the methods.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 2.
    """
    lines = mean_lines(curves, metric, peak=peak)
    methods = list(dict.fromkeys(method for method, _ in lines.means))
    if baseline not in methods or len(methods) == 1:
        raise CurveError(
            f'a panel shows a method beside the baseline {baseline!r}, but the runs are of {methods}: '
            'name runs of both, or choose another baseline'
        )
    titles = [method for method in methods if method != baseline]
    panels = [[key for key in lines.means if key[0] in (method, baseline)] for method in titles]
    of_baseline = [key for key in lines.means if key[0] == baseline]
    explained = [*kind_handles(lines.means, lines.means), *method_handles(of_baseline, lines.means)]
    figure, axes = _draw_panels(lines, panels, titles, axes, explained, columns=3 if len(titles) <= 6 else 4)
    for ax, method in zip(axes, titles, strict=True):
        ax.title.set_color(method_colour(method, methods))
    return figure, axes


def standard_beside_cyclic(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    axes: Sequence[Axes] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draws a panel of all standard curves beside a panel of all cyclic curves.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; any further kind of curve has its own panel.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        axes (Sequence[Axes] | None): Where to draw, one per kind. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: The figure and its panels, standard first.

    Raises:
        CurveError: If all runs are of one kind; and as for :func:`accuracy_against_time`.
        ValueError: If the number of ``axes`` is not that of the kinds.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S2.
    """
    lines = mean_lines(curves, metric, peak=peak)
    kinds = sorted({kind for _, kind in lines.means}, key=kind_order)
    if len(kinds) == 1:
        raise CurveError(
            f'the figure compares standard with cyclic curves, but all runs are {kinds[0]}: name runs of both'
        )
    panels = [[key for key in lines.means if key[1] == kind] for kind in kinds]
    explained = method_handles(lines.means, lines.means)
    return _draw_panels(lines, panels, kinds, axes, explained, columns=len(kinds))


def _draw_panels(
    lines: Lines,
    panels: Sequence[Sequence[tuple[str, str]]],
    titles: Sequence[str],
    axes: Sequence[Axes] | None,
    explained: list[Line2D],
    columns: int,
) -> tuple[Figure, list[Axes]]:
    """Draws the lines of each panel; panels of a new figure share their axes and a legend below them."""
    columns = min(columns, len(panels))
    drawn_on = _new_panels(len(panels), columns) if axes is None else list(axes)
    if len(drawn_on) != len(panels):
        raise ValueError(f'{len(drawn_on)} axes for {len(panels)} panels ({", ".join(titles)}): pass one per panel')
    for ax, keys, title in zip(drawn_on, panels, titles, strict=True):
        for key in keys:
            lines.draw_against_time(ax, key)
        ax.set_title(title)
    for index, ax in enumerate(drawn_on):
        lines.label_time_axes(ax)
        if axes is None and index + columns < len(drawn_on):
            ax.set_xlabel('')
        if axes is None and index % columns:
            ax.set_ylabel('')
    figure = figure_of(drawn_on[0])
    if axes is None:
        ncols = min(len(explained), 3 * columns)
        figure.legend(handles=explained, loc='outside lower center', ncols=ncols, frameon=False)
    else:
        drawn_on[0].legend(handles=explained, frameon=False)
    return figure, drawn_on


def _new_panels(count: int, columns: int) -> list[Axes]:
    rows = math.ceil(count / columns)
    size = 3.1 if columns > 2 else 4.4
    figure = plt.figure(figsize=(size * columns, 0.9 * size * rows + 0.5), layout='constrained')
    drawn_on: list[Axes] = []
    for index in range(count):
        shared = drawn_on[0] if drawn_on else None
        drawn_on.append(figure.add_subplot(rows, columns, index + 1, sharex=shared, sharey=shared))
    return drawn_on
