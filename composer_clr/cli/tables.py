"""Tables of the commands, as text that fits, as Markdown, or as LaTeX; numbers and durations in them."""

from __future__ import annotations

import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from tabulate import tabulate

from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import printable
from composer_clr.utils.files import is_stdout

if TYPE_CHECKING:
    from composer_clr.study.table import Study

__all__ = [
    'WIDTH',
    'Table',
    'check_format',
    'curve_names',
    'direction',
    'marked',
    'marks',
    'metric_value',
    'number',
    'open_ends',
    'plus_minus',
    'read_duration',
    'readable_duration',
    'show',
    'show_lines',
    'unit_of',
    'with_interval',
]

WIDTH = 100
_LEAST_WIDTH = 60
_SECONDS = {'s': 1.0, 'min': 60.0, 'h': 3600.0, 'd': 86400.0}
_DURATION = re.compile(r'(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*(s|min|h|d)?', re.ASCII)
_STYLES = {'text': 'simple', 'markdown': 'pipe', 'latex': 'latex_booktabs'}
_SHORTEST_NAME = 8
_MARKDOWN = str.maketrans({mark: f'\\{mark}' for mark in r'\`*_{}[]<>#|~$'})
_IN_LATEX = {'±': r'$\pm$', '×': r'$\times$', '[': '{[}'}  # [ would be an argument of the row before


class Table(NamedTuple):
    """A table; its first ``names`` columns hold names, the others numbers."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


def check_format(form: str) -> None:
    """Refuses a format that tables are not written in with a :class:`CurveError`."""
    if form not in _STYLES:
        raise CurveError(f'--format {form}: choose one of {", ".join(_STYLES)}')


def show(table: Table, notes: Sequence[str], *outputs: Path | None, form: str = 'text', most: int = 100) -> None:
    """Prints a table of at most so many rows and one line per note; on stderr if one of the outputs is on stdout."""
    if (left_out := len(table.rows) - most) > 0:
        kept = [*table.rows[: most // 2], ['...'] * len(table.headers), *table.rows[-(most - most // 2) :]]
        table = table._replace(rows=kept)
        notes = [f'{left_out:,} rows are not shown: --json FILE writes all of them', *notes]
    to_stderr = any(map(is_stdout, filter(None, outputs)))
    typer.echo(_written(table, [printable(note) for note in notes], form) + '\n', err=to_stderr)


def show_lines(lines: Sequence[str], *outputs: Path | None, form: str = 'text') -> None:
    """Prints lines, in Markdown as a list and in LaTeX as comments; on stderr as :func:`show` does."""
    written = [printable(line) for line in lines]
    if form == 'text':
        written = _wrapped(written)
    elif form == 'markdown':
        written = [f'- {line.translate(_MARKDOWN)}' for line in written]
    elif form == 'latex':
        written = [f'% {line}' for line in written]
    if written:
        typer.echo('\n'.join(written) + '\n', err=any(map(is_stdout, filter(None, outputs))))


def _written(table: Table, notes: Sequence[str], form: str) -> str:
    """Returns a table in a format, with its title above and its notes below.

    Example:
        >>> print(_written(Table('gain', ['method', 'mean'], [['a_b', '-1']]), ['one seed'], 'markdown'))
        **gain**
        <BLANKLINE>
        | method   |   mean |
        |:---------|-------:|
        | a\\_b     |     -1 |
        <BLANKLINE>
        - one seed
    """
    title, cells = printable(table.title), [[printable(cell) for cell in row] for row in (table.headers, *table.rows)]
    if form == 'text':
        cells = _fitting(cells, table.names)
    elif form == 'markdown':
        title, *notes = (text.translate(_MARKDOWN) for text in (title, *notes))
        cells = [[cell.translate(_MARKDOWN) for cell in row] for row in cells]
    align = ['left' if i < table.names else 'right' for i in range(len(table.headers))]
    text = tabulate(cells[1:], cells[0], _STYLES[form], disable_numparse=True, colalign=align if cells[1:] else None)
    if form == 'latex':
        for sign, written in _IN_LATEX.items():
            text = text.replace(sign, written)
        text = re.sub(r'(?<=[\s&({},])([+-])(?=\d)', r'$\1$', text)  # a hyphen is not a minus
        return '\n'.join([*(f'% {line}' for line in (title, *notes)), r'% \usepackage{booktabs}', text])
    if form == 'markdown':
        return '\n'.join(
            [*([f'**{title}**', ''] if title else []), text, *(['', *(f'- {n}' for n in notes)] * bool(notes))]
        )
    return '\n'.join([*textwrap.wrap(title, _width()), text, *_wrapped(notes)])


def _fitting(cells: list[list[str]], names: int) -> list[list[str]]:
    """Returns a table whose names have lost so much of their middle that its lines fit."""
    for column in sorted(range(names), key=lambda i: -max(len(row[i]) for row in cells)):
        # Tabulate leaves two characters beside a heading.
        widths = [max(len(one[0]) + 2, *map(len, one)) for one in zip(*cells, strict=True)]
        room = max(_SHORTEST_NAME, widths[column] - (sum(widths) + 2 * (len(widths) - 1) - _width()))
        for row in cells:
            if len(row[column]) > room:
                row[column] = f'{row[column][: room // 2]}…{row[column][-(room - room // 2 - 1) :]}'
    return cells


def _width() -> int:
    """Returns the columns of a terminal on stdout, from 60 to 100; of anything else, 100."""
    columns = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    return min(max(columns, _LEAST_WIDTH), WIDTH)


def _wrapped(lines: Sequence[str]) -> list[str]:
    """Returns lines that a terminal on stdout need not break within words; for anything else, as they are."""
    if not sys.stdout.isatty():
        return list(lines)
    broken = [textwrap.wrap(line, _width(), subsequent_indent='  ', break_on_hyphens=False) for line in lines]
    return [part for parts in broken for part in parts]


def open_ends(tables: Sequence[Table]) -> list[str]:
    """Returns the note on open ends of intervals, if :func:`with_interval` has written one in a table."""
    cells = [cell for table in tables for row in table.rows for cell in row]
    found = any('[..., ' in cell or ', ...]' in cell for cell in cells)
    return ['... in an interval: it has no end on that side, within what was measured'] if found else []


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Returns a number with so many decimals, nothing of NaN; what rounds to 0 has no sign.

    Example:
        >>> number(0.0512, 2, sign=True), number(-0.0001, 2, sign=True), number(1.9374999999999996, 3)
        ('+0.05', '0.00', '1.938')
    """
    if math.isnan(value):
        return ''
    # What is half-way but for float errors is half-way.
    text = f'{float(f"{value:.12g}"):{"+" if sign else ""}.{digits}f}'
    return text.lstrip('+-') if float(text) == 0 else text


def metric_value(study: Study, value: float, digits: int | None = None) -> str:
    """Returns a value as text: with at most so many digits, by default percentages with two decimals."""
    if study.scale == 100:
        return f'{100 * value:.2f}%' if digits is None else f'{100 * value:.{digits}g}%'
    return f'{value:.4f}' if digits is None else f'{value:.{digits}g}'


def plus_minus(value: float, low: float, high: float, digits: int) -> str:
    """Returns a difference and half of its 95% interval, which is symmetric, if it has one: ``+0.50 ±0.25``."""
    text = number(value, digits, sign=True)
    return text if math.isnan(low) else f'{text} ±{(high - low) / 2:.{digits}f}'


def with_interval(value: float, low: float, high: float, spelled: Callable[[float], str]) -> str:
    """Returns a figure and its 95% interval; an end that is open (0 or infinite) has no number, two have no interval.

    Example:
        >>> with_interval(1.94, 1.9, math.inf, '{:.2f}'.format), with_interval(1.94, 0.0, math.inf, str)
        ('1.94 [1.90, ...]', '1.94')
    """
    if math.isnan(value) or math.isnan(low) or (low, high) == (0, math.inf):
        return '' if math.isnan(value) else spelled(value)
    return f'{spelled(value)} [{spelled(low) if low else "..."}, {spelled(high) if high < math.inf else "..."}]'


def direction(lower_is_better: bool) -> str:
    """Returns the direction of a metric, for a title."""
    return 'less is better' if lower_is_better else 'more is better'


def curve_names(names: Sequence[str]) -> str:
    """Returns names of curves, which hold commas, for a note: the first six."""
    return '; '.join([*names[:6], *(['...'] if len(names) > 6 else [])])


def marked(text: str, unlike_times: str | None) -> str:
    """Returns what rests on times with a mark where they are not comparable; :func:`marks` says why."""
    return f'{text} *' if text and unlike_times else text


def marks(unlike_times: Sequence[str | None]) -> list[str]:
    """Returns the notes on what :func:`marked` marks."""
    return [f'* {why}' for why in dict.fromkeys(filter(None, unlike_times))]


def read_duration(text: str) -> float:
    """Returns the seconds of a duration above 0: a number of seconds, or of ``s``, ``min``, ``h`` or ``d``.

    Example:
        >>> read_duration('3600'), read_duration('1.5h')
        (3600.0, 5400.0)
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1] + (match[2] or '')) * _SECONDS[match[3] or 's'] if match else math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f'{text!r} is not a duration above 0: write 3600, 90min or 1.5h')
    return seconds


def unit_of(seconds: float) -> str:
    """Returns the unit in which a duration is easily read: hours from 2 hours, minutes from 5 minutes."""
    return 'h' if seconds >= 7200 else 'min' if seconds >= 300 else 's'


def readable_duration(seconds: float, unit: str | None = None) -> str:
    """Returns seconds in a unit, by default that of :func:`unit_of`, to three digits; above 1000, whole numbers.

    Example:
        >>> readable_duration(12.345), readable_duration(5400), readable_duration(5400, 'h')
        ('12.3 s', '90 min', '1.5 h')
    """
    unit = unit or unit_of(seconds)
    amount = seconds / _SECONDS[unit]
    return f'{amount:.0f} {unit}' if amount >= 1000 else f'{amount:.3g} {unit}'
