"""How figures look in print: fonts, sizes, axes and points."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from composer_clr.figures.looks import filling, kind_dashes, line_look

__all__ = [
    'LINES_NAMED',
    'NAMES_A_COLUMN',
    'NARROW',
    'axes_or_new',
    'draw_points',
    'figure_of',
    'figure_size',
    'log_ticks',
    'paper_style',
    'scaled',
    'size_or',
]

# Of a figure that is narrower, in inches, the text is smaller and the legend stands below: a column of a paper.
NARROW = 5.0
_STYLE: dict[str, Any] = {
    'pdf.fonttype': 42,
    'ps.fonttype': 42,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'composer_clr',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.fontsize': 'small',
    'xtick.labelsize': 'small',
    'ytick.labelsize': 'small',
    'axes.titlesize': 'medium',
    'figure.labelsize': 'medium',
    'figure.titlesize': 'medium',
}
# With more lines, a legend names methods and kinds instead of lines.
LINES_NAMED = 6
# The most names in one column beside a figure.
NAMES_A_COLUMN = 18


@contextmanager
def paper_style(size: tuple[float, float] | None = None) -> Iterator[None]:
    """Draws and saves figures for print, whatever the user's matplotlibrc: TrueType fonts in PDF, text in SVG.

    Args:
        size (tuple[float, float] | None): Width and height in inches; text is smaller below a width of 5. Default:
            ``None``, the size that suits the figure.
    """
    style = dict(_STYLE)
    if size is not None:
        style |= {'figure.figsize': size}
        if size[0] < NARROW:
            style |= {'font.size': 7.5, 'axes.linewidth': 0.6}
    with plt.style.context(['default', style]):
        yield


def axes_or_new(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Returns the axes passed in, or those of a new figure in constrained layout.

    The size of a new figure is ``figsize``, unless ``rcParams['figure.figsize']`` was changed.
    """
    return plt.subplots(figsize=size_or(figsize), layout='constrained')[1] if ax is None else ax


def size_or(figsize: tuple[float, float]) -> tuple[float, float]:
    """Returns ``rcParams['figure.figsize']`` if it was changed, else ``figsize``."""
    chosen = tuple(plt.rcParams['figure.figsize'])
    return figsize if chosen == tuple(rcParamsDefault['figure.figsize']) else chosen


def figure_size(keys: Collection[tuple[str, str]]) -> tuple[float, float]:
    """Returns the size in inches, with room for the legend that :func:`explain` puts beside many lines."""
    if len(keys) <= LINES_NAMED:
        return 6.4, 4.4
    return (8.6 if len(set(chain.from_iterable(keys))) <= NAMES_A_COLUMN else 10.8), 5.4


def figure_of(ax: Axes) -> Figure:
    """Returns the figure of an Axes."""
    figure = ax.get_figure()
    while figure is not None and not isinstance(figure, Figure):
        figure = figure.get_figure()
    assert figure is not None
    return figure


def draw_points(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    yerr: Any,
    keys: Collection[tuple[str, str]],
    key: tuple[str, str],
    *,
    bands: bool = False,
    **look: Any,
) -> ErrorbarContainer:
    """Draws one line of points with the look of its method and kind in a figure of ``keys``; ``look`` overrides it.

    Its errors, of one length for both directions or of one for each, are bars, or a band if ``bands``.
    """
    method, kind = key
    kinds = [name for _, name in keys]
    colour, marker = line_look(method, kind, keys)
    usual: dict[str, Any] = {
        'label': f'{method}, {kind}',
        'color': colour,
        'marker': marker,
        'linestyle': kind_dashes(kind, kinds),
        'markerfacecolor': filling(kind),
        'markersize': scaled(6 if len(keys) <= LINES_NAMED else 5),
        'linewidth': scaled(1.5 if len(keys) <= LINES_NAMED else 1.1),
        'capsize': scaled(3),
    }
    look = usual | look
    if bands and yerr is not None:
        below, above = np.broadcast_to(yerr, (2, len(np.asarray(y))))
        low, high = np.asarray(y) - below, np.asarray(y) + above
        ax.fill_between(x, low, high, color=look['color'], alpha=0.15, linewidth=0)
    drawn = ax.errorbar(x, y, yerr=None if bands else yerr, **look)
    for bar in drawn.lines[2]:
        bar.set_linestyle('-')
    return drawn


def scaled(length: float) -> float:
    """Returns a length of a figure with text of 10 points in the proportion of this figure's text."""
    return length * plt.rcParams['font.size'] / 10


def log_ticks(ax: Axes) -> None:
    """Makes the x axis logarithmic, with ticks at 1, 2, 5, 10 and so on."""
    ax.set_xscale('log')
    least, most = ax.get_xlim()
    subs = (1, 2, 5) if most > 20 * least else (1, 2, 3, 4, 6, 8) if most > 4 * least else range(1, 10)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
