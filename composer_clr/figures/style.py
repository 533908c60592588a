"""How figures look: the colour and marker of a method, the dashes of a kind, and the legend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

from composer_clr.curves.kinds import kind_order
from composer_clr.utils.text import printable

__all__ = [
    'MOST_METHODS',
    'axes_or_new',
    'draw_points',
    'drawing_order',
    'explain',
    'figure_of',
    'figure_size',
    'kind_dashes',
    'kind_handles',
    'line_colour',
    'log_ticks',
    'method_colour',
    'method_handles',
    'method_marker',
    'show_as_written',
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
# The most methods that one figure can distinguish and name.
MOST_METHODS = 24
# With more lines, a legend names methods and kinds instead of lines.
_LINES_NAMED = 6
# The most names in one column beside a figure.
_NAMES_A_COLUMN = 18


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
    return _line_look(*key, keys)[0]


def _line_look(method: str, kind: str, keys: Collection[tuple[str, str]]) -> tuple[str, str]:
    """Returns the colour and marker of a line: its method's, or among several kinds of one method its kind's own."""
    others = sorted({name for _, name in keys} - {'standard', 'cyclic'}, key=kind_order)
    if len({name for name, _ in keys}) > 1 or kind not in others:
        methods = [name for name, _ in keys]
        return method_colour(method, methods), method_marker(method, methods)
    palette = [*list(_METHODS.values())[1:], *_SPARE]
    return palette[others.index(kind) % len(palette)]


def kind_dashes(kind: str, among: Iterable[str] = ()) -> Any:
    """Returns the dashes of a kind of curve: standard solid, cyclic dashed, others by place ``among`` the kinds."""
    others = sorted({name for name in (*among, kind) if name not in _DASHES})
    return _DASHES.get(kind) or _SPARE_DASHES[others.index(kind) % len(_SPARE_DASHES)]


def drawing_order(key: tuple[str, str]) -> tuple[int, str, tuple[bool, bool, str]]:
    """Returns the key that sorts (method, kind): methods by palette, kinds by :func:`kind_order`."""
    method, kind = key
    order = list(_METHODS)
    return (order.index(method) if method in order else len(order), method, kind_order(kind))


def axes_or_new(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Returns the axes passed in, or those of a new figure in constrained layout."""
    return plt.subplots(figsize=figsize, layout='constrained')[1] if ax is None else ax


def figure_size(keys: Collection[tuple[str, str]]) -> tuple[float, float]:
    """Returns the size in inches, with room for the legend that :func:`explain` puts beside many lines."""
    if len(keys) <= _LINES_NAMED:
        return 6.4, 4.4
    return (8.6 if len(set(chain.from_iterable(keys))) <= _NAMES_A_COLUMN else 10.8), 5.4


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
    **look: Any,
) -> ErrorbarContainer:
    """Draws one line of points with the look of its method and kind in a figure of ``keys``; ``look`` overrides it."""
    method, kind = key
    kinds = [name for _, name in keys]
    colour, marker = _line_look(method, kind, keys)
    usual: dict[str, Any] = {
        'label': f'{method}, {kind}',
        'color': colour,
        'marker': marker,
        'linestyle': kind_dashes(kind, kinds),
        'markerfacecolor': _filling(kind),
        'markersize': 6 if len(keys) <= _LINES_NAMED else 5,
        'linewidth': 1.5 if len(keys) <= _LINES_NAMED else 1.1,
        'capsize': 3,
    }
    drawn = ax.errorbar(x, y, yerr=yerr, **(usual | look))
    for bar in drawn.lines[2]:
        bar.set_linestyle('-')
    return drawn


def log_ticks(ax: Axes) -> None:
    """Makes the x axis logarithmic, with ticks at 1, 2, 5, 10 and so on."""
    ax.set_xscale('log')
    least, most = ax.get_xlim()
    subs = (1, 2, 5) if most > 20 * least else (1, 2, 3, 4, 6, 8) if most > 4 * least else range(1, 10)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))


def explain(
    ax: Axes, drawn: Collection[tuple[str, str]], among: Collection[tuple[str, str]], *, beside: bool
) -> Legend:
    """Adds a legend: of lines if there are few, else of methods and kinds.

    Args:
        ax (Axes): The axes with the lines.
        drawn (Collection[tuple[str, str]]): Method and kind of each line, in order.
        among (Collection[tuple[str, str]]): Those of the whole figure, which determine the looks.
        beside (bool): Put a long legend beside the axes, on a figure that has no others.
    """
    if len(drawn) <= _LINES_NAMED:
        return ax.legend(frameon=False, handlelength=3.5)  # long enough to distinguish dashes
    handles = [*kind_handles(drawn, among), *method_handles(drawn, among)]
    columns = 1 if beside and len(handles) <= _NAMES_A_COLUMN else 2
    place: dict[str, Any] = {'loc': 'upper left', 'bbox_to_anchor': (1, 1)} if beside else {}
    return ax.legend(handles=handles, frameon=False, ncols=columns, **place)


def kind_handles(drawn: Iterable[tuple[str, str]], among: Iterable[tuple[str, str]]) -> list[Line2D]:
    """Returns legend entries for the kinds of curve: their dashes and filling, standard first."""
    kinds = sorted({kind for _, kind in drawn}, key=kind_order)
    names = {kind for _, kind in among}
    looks = dict.fromkeys(kinds, ('#4D4D4D', 'o'))
    if len({method for method, _ in among}) == 1:
        looks = {kind: _line_look(next(method for method, _ in among), kind, list(among)) for kind in kinds}
    return [
        Line2D([], [], color=colour, ls=kind_dashes(kind, names), marker=marker, mfc=_filling(kind), label=kind)
        for kind, (colour, marker) in looks.items()
    ]


def method_handles(drawn: Iterable[tuple[str, str]], among: Iterable[tuple[str, str]]) -> list[Line2D]:
    """Returns legend entries for the methods: their colours and markers, in order."""
    names = {method for method, _ in among}
    return [
        Line2D([], [], color=method_colour(method, names), marker=method_marker(method, names), ls='', label=method)
        for method in dict.fromkeys(method for method, _ in drawn)
    ]


def _filling(kind: str) -> str | None:
    return None if kind == 'standard' else 'white'


def show_as_written(figure: Figure) -> None:
    """Draws a figure's text literally.

    In a name from a file, dollar signs are not mathematics, and characters that do not print are not allowed in an SVG.
    Tick labels are left to matplotlib.

    Args:
        figure (Figure): The figure, complete.
    """
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    numbers = {label for axis in axes for label in [*axis.get_ticklabels(which='both'), axis.get_offset_text()]}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in numbers:
            text.set_parse_math(False)
            text.set_text('\n'.join(map(printable, text.get_text().split('\n'))))
