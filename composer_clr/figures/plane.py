"""What the figures of a study share: style, units, looks, errors, axes and legends, each decided once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal, get_args

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rcParamsDefault
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from composer_clr.curves.axes import PLURALS, Axis, check_axis, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.figures.labels import line_names, shown
from composer_clr.figures.looks import GREY, MOST_METHODS, are_of_one_method, drawing_order, looks
from composer_clr.study.estimates import Array, Estimates
from composer_clr.study.table import Study

__all__ = [
    'MOST_LINES',
    'Errors',
    'Plane',
    'add_legend',
    'chosen_size',
    'count_axis',
    'log_axis',
    'new_panels',
    'paper_style',
]

Errors = Literal['ci', 'se', 'sd', 'none']
Key = tuple[str, str]
# With more methods, or more kinds, a panel becomes several, and a legend names methods and kinds instead of lines.
MOST_LINES = 6
_ERROR_NAMES = {'ci': '95% interval', 'se': '± standard error', 'sd': '± standard deviation'}
_TIME_UNITS = ((7200, 3600, 'hours'), (300, 60, 'minutes'), (0, 1, 'seconds'))
_MOST_MARKERS = 12
_MOST_MEASURED = 10
# Of a figure that is narrower, in inches, the text is smaller: a column of a paper.
_NARROW = 5.0
_STYLE: dict[str, Any] = {
    'pdf.fonttype': 42,
    'ps.fonttype': 42,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'composer_clr',
    'text.parse_math': False,  # dollar signs of a name from a file are literal
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.autolimit_mode': 'round_numbers',
    'axes.xmargin': 0.03,
    'axes.ymargin': 0.03,
    'axes.grid': True,
    'grid.alpha': 0.25,
    'axes.axisbelow': True,
    'axes.titlesize': 'medium',
    'figure.labelsize': 'medium',
    'figure.titlesize': 'medium',
    'figure.constrained_layout.use': True,
    'legend.frameon': False,
    'legend.fontsize': 'small',
    'legend.handlelength': 4.0,  # long enough to tell dashes apart
    'xtick.labelsize': 'small',
    'ytick.labelsize': 'small',
}
# For what the default font does not have.
_OTHER_FONTS = ('Noto Sans', 'Noto Sans CJK JP', 'Noto Sans CJK SC', 'Droid Sans Fallback', 'Arial Unicode MS')


@contextmanager
def paper_style(size: tuple[float, float] | None = None) -> Iterator[None]:
    """Draws and saves figures for print, whatever the user's matplotlibrc: TrueType fonts in PDF, text in SVG.

    ``size`` is in inches; text is smaller below a width of 5.
    """
    installed = set(fontManager.get_font_names())
    style = _STYLE | {'font.family': ['DejaVu Sans', *(name for name in _OTHER_FONTS if name in installed)]}
    if size is not None:
        style['figure.figsize'] = size
        if size[0] < _NARROW:
            style |= {'font.size': 7.5, 'axes.linewidth': 0.6, 'lines.markersize': 4, 'lines.linewidth': 1.1}
    with plt.style.context(['default', style]):
        yield


def chosen_size(size: tuple[float, float]) -> tuple[float, float]:
    """Returns the size of :func:`paper_style` in inches, or ``size`` where it has none."""
    chosen = tuple(plt.rcParams['figure.figsize'])
    return size if chosen == tuple(rcParamsDefault['figure.figsize']) else chosen


def new_panels(count: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 4.8)) -> tuple[Figure, list[Axes]]:
    """Returns a figure of :func:`chosen_size` with so many panels, which share their axes."""
    figure = plt.figure(figsize=chosen_size(size))
    panels: list[Axes] = []
    for index in range(count):
        shared = panels[0] if panels else None
        panels.append(figure.add_subplot(math.ceil(count / columns), columns, index + 1, sharex=shared, sharey=shared))
    return figure, panels


class Plane:
    """The axes of a study's figure: what they show, in which unit, with which errors, and the look of each line."""

    def __init__(self, study: Study, axis: Axis, errors: Errors = 'ci'):
        if errors not in get_args(Errors):
            raise CurveError(f'--errors {errors}: choose one of {", ".join(get_args(Errors))}')
        if (methods := len({method for method, _ in study.curves})) > MOST_METHODS:
            raise CurveError(
                f'{methods} methods, but one figure can show at most {MOST_METHODS}: choose some (plot --methods), or '
                'name fewer runs'
            )
        if axis not in ('time', study.axis) or (axis == 'time' and not study.is_timed):
            known = 'or in time' if study.is_timed else 'and has no training times'
            raise CurveError(f'--axis {axis}: the study is counted in {PLURALS[study.axis]} {known}')
        self.study, self.axis, self.errors = study, axis, errors
        self.keys = sorted(study.curves, key=drawing_order)
        self.looks, self.names = looks(self.keys), line_names(self.keys)
        if axis == 'time':
            check_axis(study.runs, 'time')
        times = [float(np.nanmax(curve.time_s)) for curve in study.curves.values()] if study.is_timed else [0.0]
        self.seconds, self.time_unit = next((size, unit) for least, size, unit in _TIME_UNITS if max(times) >= least)
        self._seeds: set[int] = set()

    @property
    def label(self) -> str:
        """The label of the axis that lines are drawn against."""
        return f'training time ({self.time_unit})' if self.axis == 'time' else PLURALS[self.axis]

    @property
    def counts(self) -> list[float]:
        """The counts of all points, ascending."""
        return sorted(set(chain.from_iterable(curve.count.tolist() for curve in self.study.curves.values())))

    def x(self, positions: Array) -> Array:
        """Returns positions in the unit of the axis."""
        return positions / self.seconds if self.axis == 'time' else positions

    def errors_of(self, found: Estimates) -> Array | None:
        """Returns how far the errors of figures reach below and above; ``None`` without any."""
        deviation = found.sem * (np.sqrt(found.seeds) if self.errors == 'sd' else 1.0)
        half = (deviation, deviation) if self.errors in ('se', 'sd') else None
        reach = np.array(half or (found.value - found.low, found.high - found.value))
        known = np.isfinite(reach).all(axis=0) & (self.errors != 'none')
        self._seeds.update(found.seeds[known].astype(int).tolist())
        return np.where(known, reach, np.nan) if known.any() else None

    def draw(self, ax: Axes, key: Key, x: Array, found: Estimates, *, scale: float = 1.0) -> None:
        """Draws a line of figures with their errors, both times ``scale``."""
        colour, marker, dashes, filling = self.looks[key]
        errors = self.errors_of(found)
        every = max(1, math.ceil(len(x) / _MOST_MARKERS))
        drawn = ax.errorbar(
            self.x(x),
            scale * found.value,
            yerr=None if errors is None else scale * errors,
            label=self.names[key],
            color=colour,
            marker=marker,
            linestyle=dashes,
            markerfacecolor=filling,
            markevery=every,
            errorevery=every,
            capsize=plt.rcParams['lines.markersize'] / 2,
        )
        for bar in drawn.lines[2]:
            bar.set_linestyle('-')

    def entries(self, keys: Sequence[Key], methods: Sequence[str] | None = None) -> list[Artist]:
        """Returns legend entries: of lines if they are few or of one method, else of kinds and ``methods``."""
        if methods is None and (len(keys) <= MOST_LINES or are_of_one_method(self.keys)):
            return [_line(self.names[key], *self.looks[key]) for key in keys]
        named = list(dict.fromkeys(method for method, _ in keys)) if methods is None else methods
        entries: list[Artist] = []
        for kind in dict.fromkeys(kind for _, kind in self.keys if kind in {kind for _, kind in keys}):
            of_kind = [self.looks[key] for key in keys if key[1] == kind]
            marker = of_kind[0].marker if len({look.marker for look in of_kind}) == 1 else 'o'
            filling = 'white' if of_kind[0].filling == 'white' else GREY
            entries.append(_line(kind, GREY, marker, of_kind[0].dashes, filling))
        for method in named:
            of_method = [self.looks[key] for key in self.keys if key[0] == method]
            marker = of_method[0].marker if len({look.marker for look in of_method}) == 1 else ''
            entries.append(_line(method, of_method[0].colour, marker, '-', of_method[0].colour))
        return entries

    def error_entry(self) -> list[Artist]:
        """Returns the legend entry that says what the errors drawn are, and over how many seeds; none without any."""
        if not self._seeds:
            return []
        least, most = min(self._seeds), max(self._seeds)
        seeds = f'{least} seeds' if least == most else f'{least} to {most} seeds'
        return [
            Line2D([], [], color=GREY, ls='', marker='|', markersize=9, label=f'{_ERROR_NAMES[self.errors]}, {seeds}')
        ]


def _line(name: str, colour: str, marker: str, dashes: Any, filling: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, ls=dashes, mfc=filling, label=shown(name))


def add_legend(figure: Figure, handles: Sequence[Artist], *, side: str = 'lower', beside: bool = False) -> None:
    """Adds a legend below or above the axes with as many columns as fit, or ``beside`` them where there is room."""
    # Matplotlib would leave out a label that starts with _.
    labels = [str(handle.get_label()) for handle in handles]
    loc = f'outside {side} center'
    if beside and len(handles) > MOST_LINES + 2 and figure.get_figwidth() >= _NARROW:
        loc = 'outside right upper'
    for columns in range(0 if not handles else 1 if 'right' in loc else len(handles), 0, -1):
        legend = figure.legend(list(handles), ['-'] * len(handles), loc=loc, ncols=columns)  # type: ignore[arg-type]
        for text, label in zip(legend.get_texts(), labels, strict=True):
            text.set_text(label)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def count_axis(axis: XAxis, counted: str) -> None:
    """Writes the numbers of an axis of counts or times with prefixes where they are large."""
    named = 'epoch' if counted == 'time' else counted
    axis.set_major_formatter(FuncFormatter(lambda value, _: count_labels([value], named)[0]))


def log_axis(ax: Axes, plane: Plane, measured: Collection[float] = ()) -> None:
    """Makes the x axis logarithmic, with its ends labelled, at the ``measured`` positions if they are few."""
    ax.set_xscale('log')
    ax.xaxis.set_major_locator(_LogTicks(measured if len(measured) <= _MOST_MEASURED else ()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.autoscale_view(scaley=False)  # with the limits of these numbers
    count_axis(ax.xaxis, plane.axis)


class _LogTicks(LogLocator):
    """Labels both ends of an axis, and between them as many round numbers, or measured positions, as fit."""

    _ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    _BETWEEN = (1, 5, 2, 3, 7, 4, 6, 8, 9, 1.5, 2.5)

    def __init__(self, measured: Collection[float] = ()):
        super().__init__()
        self._measured = sorted(measured)

    def __call__(self) -> list[float]:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        inside = [at for at in self._measured if vmin <= at <= vmax]
        if len(inside) > 1:
            ticks, between = [inside[0], inside[-1]], inside
        else:
            ticks = [vmin, vmax]
            decades = range(math.floor(math.log10(vmin)), math.ceil(math.log10(vmax)) + 1)
            between = [part * 10.0**decade for part in self._BETWEEN for decade in decades]
        assert self.axis is not None
        # Matplotlib's estimate of how many labels fit takes three characters for each.
        nearest = 1.3 * math.log(vmax / vmin) / max(self.axis.get_tick_space(), 1)
        for at in between:
            if vmin < at < vmax and all(abs(math.log(at / tick)) >= nearest for tick in ticks):
                ticks.append(at)
        return sorted(ticks)

    def view_limits(self, vmin: float, vmax: float) -> tuple[float, float]:
        if len(self._measured) > 1:
            return vmin, vmax
        low, high = (10.0 ** math.floor(math.log10(end)) for end in (vmin, vmax))
        below = max(part for part in self._ROUND if part * low <= vmin * (1 + 1e-9))
        return below * low, min(part for part in self._ROUND if part * high >= vmax * (1 - 1e-9)) * high
