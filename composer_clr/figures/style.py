"""How figures look: each method's colour and marker, each kind's dashes, and the legend that explains them."""

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
    'log_ticks',
    'method_colour',
    'method_handles',
    'method_marker',
    'show_as_written',
]

# Okabe and Ito's palette, told apart by colour-blind readers and in print, less its yellow, which print loses. The
# paper's methods keep their colour and marker in every figure, whichever of them are in it.
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
_DASHES: dict[str, Any] = {'standard': '-', 'cyclic': '--', 'wsd-s': '-.', 'branch': ':'}
_SPARE_DASHES = ((0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)), (0, (3, 1, 1, 4)))
# More methods than these are not told apart in one figure, nor named beside it.
MOST_METHODS = 24
# Of more lines than these, a legend names the methods and the kinds, not each line.
_LINES_NAMED = 6
# As many names as stand in one column beside a figure.
_NAMES_A_COLUMN = 18


def method_colour(method: str, among: Iterable[str] = ()) -> str:
    """The colour of a method: its own for the paper's methods, else a spare one by its place ``among`` the others.

    Example:
        >>> method_colour('baseline')
        '#000000'
    """
    return _look(method, among)[0]


def method_marker(method: str, among: Iterable[str] = ()) -> str:
    """The marker of a method, which tells it where there is no colour: chosen as :func:`method_colour` does."""
    return _look(method, among)[1]


def _look(method: str, among: Iterable[str]) -> tuple[str, str]:
    others = sorted({name for name in (*among, method) if name not in _METHODS})
    if method in _METHODS:
        return _METHODS[method]
    place, count = others.index(method), len(_SPARE)
    # Each round of the colours takes the markers one further on, so that no pair comes again.
    return _SPARE[place % count][0], _SPARE[(place + place // count) % count][1]


def kind_dashes(kind: str, among: Iterable[str] = ()) -> Any:
    """The dashes of a kind of curve: standard solid, cyclic dashed, others by their place ``among`` the kinds."""
    others = sorted({name for name in (*among, kind) if name not in _DASHES})
    return _DASHES.get(kind) or _SPARE_DASHES[others.index(kind) % len(_SPARE_DASHES)]


def drawing_order(key: tuple[str, str]) -> tuple[int, str, tuple[bool, bool, str]]:
    """Sorts (method, kind): methods in the order of the palette, standard before the other kinds."""
    method, kind = key
    order = list(_METHODS)
    return (order.index(method) if method in order else len(order), method, kind_order(kind))


def axes_or_new(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """The Axes that were given, or those of a new figure in constrained layout."""
    return plt.subplots(figsize=figsize, layout='constrained')[1] if ax is None else ax


def figure_size(keys: Collection[tuple[str, str]]) -> tuple[float, float]:
    """Inches for so many lines, with room for the legend that :func:`explain` sets beside many."""
    if len(keys) <= _LINES_NAMED:
        return 6.4, 4.4
    return (8.6 if len(set(chain.from_iterable(keys))) <= _NAMES_A_COLUMN else 10.8), 5.4


def figure_of(ax: Axes) -> Figure:
    """The figure that an Axes lies on."""
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
    """Draw one line of points as its method and kind look among the ``keys`` of the figure; ``look`` overrides it."""
    method, kind = key
    methods, kinds = zip(*keys, strict=True)
    usual: dict[str, Any] = {
        'label': f'{method}, {kind}',
        'color': method_colour(method, methods),
        'marker': method_marker(method, methods),
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
    """Make the x axis logarithmic, with numbers that a person reads: 1, 2, 5, 10 and so on."""
    ax.set_xscale('log')
    least, most = ax.get_xlim()
    subs = (1, 2, 5) if most > 20 * least else (1, 2, 3, 4, 6, 8) if most > 4 * least else range(1, 10)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))


def explain(
    ax: Axes, drawn: Collection[tuple[str, str]], among: Collection[tuple[str, str]], *, beside: bool
) -> Legend:
    """Give an Axes its legend: of each line if they are few, else of the methods and of the kinds.

    Args:
        ax (Axes): Holds the lines.
        drawn (Collection[tuple[str, str]]): Method and kind of each line, in order.
        among (Collection[tuple[str, str]]): All those of the figure, by which looks are chosen.
        beside (bool): Whether there may be room for a long legend beside the Axes: on a figure of one's own.
    """
    if len(drawn) <= _LINES_NAMED:
        return ax.legend(frameon=False, handlelength=3.5)  # long enough to tell dashes apart
    handles = [*kind_handles(drawn, among), *method_handles(drawn, among)]
    columns = 1 if beside and len(handles) <= _NAMES_A_COLUMN else 2
    place: dict[str, Any] = {'loc': 'upper left', 'bbox_to_anchor': (1, 1)} if beside else {}
    return ax.legend(handles=handles, frameon=False, ncols=columns, **place)


def kind_handles(drawn: Iterable[tuple[str, str]], among: Iterable[tuple[str, str]]) -> list[Line2D]:
    """What a legend shows of the kinds of curve: their dashes and filling, standard first."""
    kinds = sorted({kind for _, kind in drawn}, key=kind_order)
    names = {kind for _, kind in among}
    return [
        Line2D([], [], color='#4D4D4D', ls=kind_dashes(kind, names), marker='o', mfc=_filling(kind), label=kind)
        for kind in kinds
    ]


def method_handles(drawn: Iterable[tuple[str, str]], among: Iterable[tuple[str, str]]) -> list[Line2D]:
    """What a legend shows of the methods: their colours and markers, in order."""
    names = {method for method, _ in among}
    return [
        Line2D([], [], color=method_colour(method, names), marker=method_marker(method, names), ls='', label=method)
        for method in dict.fromkeys(method for method, _ in drawn)
    ]


def _filling(kind: str) -> str | None:
    return None if kind == 'standard' else 'white'


def show_as_written(figure: Figure) -> None:
    """Have a figure's text drawn as it is written.

    A name from a file may hold dollar signs, which are no mathematics there, and characters that do not print, which an
    SVG may not hold. Numbers along the axes stay matplotlib's.

    Args:
        figure (Figure): The figure, complete.
    """
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    numbers = {label for axis in axes for label in [*axis.get_ticklabels(which='both'), axis.get_offset_text()]}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in numbers:
            text.set_parse_math(False)
            text.set_text('\n'.join(map(printable, text.get_text().split('\n'))))
