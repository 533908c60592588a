"""Figures of accuracy against training time: all in one, one panel a method, one panel a kind of curve."""

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
    """Draw tradeoff curves: a metric against training time, on a logarithmic axis.

    Runs of one method and kind make one line: standard ones solid, cyclic ones dashed. Runs that differ by their seed
    are averaged point by point, with the standard deviation as error bars, as in :func:`mean_curves`.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Whether to draw the best value in the window before each trough. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: What was drawn on.

    Raises:
        CurveError: If the curves have no such metric or no points, or a seed has two runs to one point.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1C.
    """
    lines = mean_lines(curves, metric, peak=peak)
    made = axes_or_new(ax, figure_size(lines.means))
    for key in lines.means:
        lines.draw_against_time(made, key)
    lines.label_time_axes(made)
    explain(made, lines.means, lines.means, beside=ax is None)
    return figure_of(made), made


def methods_beside_baseline(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    baseline: str = 'baseline',
    axes: Sequence[Axes] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw a panel for each method, its curves beside the baseline's, as :func:`accuracy_against_time` draws them.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Whether to draw the best value in the window before each trough. Default: ``False``.
        baseline (str): The method in every panel. Default: ``'baseline'``.
        axes (Sequence[Axes] | None): Where to draw, one for each method. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: What was drawn on, a panel for each method in the order of the legend.

    Raises:
        CurveError: If there is no baseline, or no other method; and as for :func:`accuracy_against_time`.
        ValueError: If ``axes`` are not as many as the methods.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 2.
    """
    lines = mean_lines(curves, metric, peak=peak)
    methods = list(dict.fromkeys(method for method, _ in lines.means))
    if baseline not in methods or len(methods) == 1:
        raise CurveError(
            f'a panel shows a method beside the baseline {baseline!r}, and there are {methods}: '
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
    """Draw all methods side by side: a panel of their standard curves, and one of their cyclic curves.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; each further kind of curve has a panel of its own.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Whether to draw the best value in the window before each trough. Default: ``False``.
        axes (Sequence[Axes] | None): Where to draw, one for each kind. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, list[Axes]]: What was drawn on, a panel for each kind, standard first.

    Raises:
        CurveError: If the runs are of one kind only; and as for :func:`accuracy_against_time`.
        ValueError: If ``axes`` are not as many as the kinds.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S2.
    """
    lines = mean_lines(curves, metric, peak=peak)
    kinds = sorted({kind for _, kind in lines.means}, key=kind_order)
    if len(kinds) == 1:
        raise CurveError(f'side by side stand standard and cyclic curves, and all are {kinds[0]}: name runs of both')
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
    """Draw the lines of each panel; those of a new figure share their axes, and one legend below them."""
    columns = min(columns, len(panels))
    made = _new_panels(len(panels), columns) if axes is None else list(axes)
    if len(made) != len(panels):
        raise ValueError(f'{len(made)} axes were given for {len(panels)} panels ({", ".join(titles)}): give one each')
    for ax, keys, title in zip(made, panels, titles, strict=True):
        for key in keys:
            lines.draw_against_time(ax, key)
        ax.set_title(title)
    for index, ax in enumerate(made):
        lines.label_time_axes(ax)
        if axes is None and index + columns < len(made):
            ax.set_xlabel('')
        if axes is None and index % columns:
            ax.set_ylabel('')
    figure = figure_of(made[0])
    if axes is None:
        ncols = min(len(explained), 3 * columns)
        figure.legend(handles=explained, loc='outside lower center', ncols=ncols, frameon=False)
    else:
        made[0].legend(handles=explained, frameon=False)
    return figure, made


def _new_panels(count: int, columns: int) -> list[Axes]:
    rows = math.ceil(count / columns)
    size = 3.1 if columns > 2 else 4.4
    figure = plt.figure(figsize=(size * columns, 0.9 * size * rows + 0.5), layout='constrained')
    made: list[Axes] = []
    for index in range(count):
        shared = made[0] if made else None
        made.append(figure.add_subplot(rows, columns, index + 1, sharex=shared, sharey=shared))
    return made
