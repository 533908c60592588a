"""How figures look: the colour and marker of a method, the dashes of a kind, and the legend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
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

from composer_clr.curves.kinds import kind_order

__all__ = [
    'GREY',
    'LINES_NAMED',
    'MOST_METHODS',
    'NAMES_A_COLUMN',
    'NARROW',
    'axes_or_new',
    'draw_points',
    'drawing_order',
    'figure_of',
    'figure_size',
    'filling',
    'kind_dashes',
    'line_colour',
    'line_look',
    'log_ticks',
    'method_colour',
    'method_marker',
    'paper_style',
    'scaled',
    'size_or',
]

# Okabe and Ito's palette, which colour-blind readers can distinguish, without its yellow, which is too light in print.
# The methods of the paper have the same colour and marker in every figure.
_METHODS = {
    'baseline': ('#000000', 'o'),
    'BP': ('#0072B2', 's'),
    'CL': ('#56B4E9', '^'),
    'LS': ('#009E73', 'D'),
    'MX': ('#E69F00', 'v'),
    'BP+CL': ('#CC79A7', 'P'),
    'LS+MX': ('#D55E00', 'X'),
    'BP+CL+LS+MX': ('#7F4FC9', '*'),
}
GREY = '#4D4D4D'
# Of the cyclic runs in a figure of one method, the second where the method itself has the first.
_CYCLIC = ('#D55E00', '#0072B2')
_SPARE = (
    ('#8C564B', '<'),
    ('#5F7F1F', '>'),
    ('#4D4D4D', 'p'),
    ('#B0006D', 'h'),
    ('#00798C', 'd'),
    ('#A0522D', 'H'),
)
_DASHES: dict[str, Any] = {'standard': '-', 'cyclic': '--', 'wsd-s': '-.', 'branch': ':', 'anytime': (0, (8, 2))}
_SPARE_DASHES = ((0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (3, 1, 1, 4)), (0, (8, 2, 2, 2)))
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
# The most methods that one figure can distinguish and name.
MOST_METHODS = 24
# With more lines, a legend names methods and kinds instead of lines.
LINES_NAMED = 6
# The most names in one column beside a figure.
NAMES_A_COLUMN = 18


def method_colour(method: str, among: Iterable[str] = ()) -> str:
    """Returns the colour of a method: fixed for the paper's methods, else by its place ``among`` the others.

    Example:
        >>> method_colour('baseline')
        '#000000'
    """
    return _look(method, among)[0]


def method_marker(method: str, among: Iterable[str] = ()) -> str:
    """Returns the marker of a method, chosen as :func:`method_colour` chooses its colour."""
    return _look(method, among)[1]


def _look(method: str, among: Iterable[str]) -> tuple[str, str]:
    others = sorted({name for name in (*among, method) if name not in _METHODS})
    if method in _METHODS:
        return _METHODS[method]
    place, count = others.index(method), len(_SPARE)
    # In each round of the colours the markers move by one, so that no pair repeats.
    return _SPARE[place % count][0], _SPARE[(place + place // count) % count][1]


def line_colour(key: tuple[str, str], keys: Collection[tuple[str, str]]) -> str:
    """Returns the colour of the line of a method and kind in a figure of ``keys``."""
    return line_look(*key, keys)[0]


def line_look(method: str, kind: str, keys: Collection[tuple[str, str]]) -> tuple[str, str]:
    """Returns the colour and marker of a line: its method's, or among several kinds of one method its kind's own."""
    methods, kinds = {name for name, _ in keys}, {name for _, name in keys}
    own = _look(method, methods)
    if len(methods) > 1 or kind == 'standard' or kinds == {'cyclic'}:
        return own
    cyclic = next(colour for colour in _CYCLIC if colour != own[0])
    if kind == 'cyclic':
        return cyclic, own[1]
    palette = [look for look in (*_METHODS.values(), *_SPARE) if look[0] not in (own[0], cyclic)]
    return palette[sorted(kinds - {'standard', 'cyclic'}, key=kind_order).index(kind) % len(palette)]


def kind_dashes(kind: str, among: Iterable[str] = ()) -> Any:
    """Returns the dashes of a kind of curve: standard solid, cyclic dashed, others by place ``among`` the kinds."""
    others = sorted({name for name in (*among, kind) if name not in _DASHES})
    return _DASHES.get(kind) or _SPARE_DASHES[others.index(kind) % len(_SPARE_DASHES)]


def drawing_order(key: tuple[str, str]) -> tuple[int, str, tuple[bool, bool, str]]:
    """Returns the key that sorts (method, kind): methods by palette, kinds by :func:`kind_order`."""
    method, kind = key
    order = list(_METHODS)
    return (order.index(method) if method in order else len(order), method, kind_order(kind))


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

    Its errors are bars, or a band if ``bands``.
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
        low, high = np.asarray(y) - yerr, np.asarray(y) + yerr
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


def filling(kind: str) -> str | None:
    return None if kind == 'standard' else 'white'
