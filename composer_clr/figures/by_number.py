"""The figures of the paper by number, and others by name, drawn from any study."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from composer_clr.curves.curve import CurveError
from composer_clr.figures.cost import training_time, training_time_of_method
from composer_clr.figures.differences import gap_to_standard, improvement_over_baseline
from composer_clr.figures.panels import methods_beside_baseline, standard_beside_cyclic
from composer_clr.figures.schedule import constant_periods, learning_rate_and_accuracy
from composer_clr.figures.tradeoff import accuracy_against_time
from composer_clr.study.table import Study
from composer_clr.utils.errors import printable

__all__ = ['FIGURES', 'draw', 'options_of']

# Each takes a study and, by their names, the options in its signature.
FIGURES: dict[str, Callable[..., Figure]] = {
    '1A': learning_rate_and_accuracy,
    '1B': training_time_of_method,
    '1C': accuracy_against_time,
    '2': methods_beside_baseline,
    '3': improvement_over_baseline,
    '3D': training_time,
    'S1': constant_periods,
    'S2': standard_beside_cyclic,
    'gap': gap_to_standard,
}


def options_of(name: str) -> set[str]:
    """Returns the options that a figure takes; an unknown figure raises :class:`CurveError`.

    Example:
        >>> sorted(options_of('1C'))
        ['axis', 'errors', 'forecasts', 'point_labels']
    """
    if name not in FIGURES:
        raise CurveError(f'--figure {name}: choose one of {", ".join(FIGURES)}')
    return set(inspect.signature(FIGURES[name]).parameters) - {'study'}


def draw(
    name: str,
    study: Study,
    *,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    **options: Any,
) -> Figure:
    """Draws a figure by its number or name.

    Args:
        name (str): A key of :data:`FIGURES`.
        study (Study): The study.
        title (str | None): In place of the title of one panel. Default: ``None``, no change; so for the others.
        xlabel, ylabel (str | None): Labels of the axes, but not of a learning rate.
        xlim, ylim (tuple[float, float] | None): Limits of the axes, in their units, but not of a learning rate.
        **options (Any): Those in the signature of the figure's function; ``None`` is the default of each. ``axis``:
            what to draw against, ``'time'``, ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``; by default samples
            or tokens where the schedules were counted in them, else time. ``alignment``: how points of two curves are
            paired, an :class:`Alignment`. ``errors``: ``'ci'``, the 95% interval over seeds (the default), ``'se'`` and
            ``'sd'``, the standard error and deviation, or ``'none'``. ``method``: of a figure of one, by default the
            baseline. ``point_labels``: whether the epochs stand beside the points. ``forecasts``: those to draw.

    Raises:
        CurveError: If the figure is unknown or does not take an option; if a limit of a logarithmic axis is not above
            0; or if the study does not have what the figure shows.
    """
    options = {option: value for option, value in options.items() if value is not None}
    if unknown := sorted(set(options) - options_of(name)):
        takers = [figure for figure in FIGURES if unknown[0] in options_of(figure)]
        raise CurveError(f'figure {name} does not take {unknown[0]}: remove it (it is for {", ".join(takers)})')
    figure = FIGURES[name](study, **options)
    panels = [ax for ax in figure.axes if ax.get_label() != 'learning rate']
    if title is not None and len(panels) == 1:
        panels[0].set_title(printable(title))
    elif title is not None and figure.legends:
        # The layout would put a title of the figure on the legend that stands above the panels.
        figure.legends[0].set_title(printable(title), FontProperties(size='medium'))
    elif title is not None:
        figure.suptitle(printable(title))
    for ax in figure.axes:
        if xlabel is not None and ax.get_xlabel():
            ax.set_xlabel(printable(xlabel))
    if xlabel is not None and figure.get_supxlabel():
        figure.supxlabel(printable(xlabel))
    if ylabel is not None and figure.get_supylabel():
        figure.supylabel(printable(ylabel))
    for ax in panels:
        if ylabel is not None and ax.get_ylabel():
            ax.set_ylabel(printable(ylabel))
        if xlim is not None and ax.get_xscale() == 'log' and min(xlim) <= 0:
            raise CurveError(f'--xlim {xlim[0]:g},{xlim[1]:g}: the x axis is logarithmic: limits must be above 0')
        if xlim is not None:
            ax.set_xlim(*xlim)
        if ylim is not None:
            ax.set_ylim(*ylim)
    return figure
