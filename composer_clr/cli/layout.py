"""Tables of a size that can be read: turned where they are too wide, cut where they are too long."""

from __future__ import annotations

import io
import math
import shutil

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

__all__ = ['fitting', 'line_width', 'shortened', 'turned', 'width_of']

# A table that goes to a file or a pipe.
_WIDTH = 160


def fitting(table: Table, width: int) -> Table:
    """Returns a table, turned if it is wider than a line and turning makes it narrower.

    A table whose first column holds numbers, such as one of cycles, has a row per point already.
    """
    # To measure thousands of columns takes seconds, and none is narrower than a character.
    own = width_of(table) if len(table.columns) <= width else math.inf
    if own <= width or not _names(table):
        return table
    other = turned(table)
    return other if width_of(other) < own else table


def line_width() -> int:
    """Returns the width of the terminal, or the environment's ``COLUMNS``; 160 for a file or a pipe."""
    return shutil.get_terminal_size(fallback=(_WIDTH, 0)).columns


def width_of(table: Table) -> int:
    """Returns the number of characters in a line of a table that is not wrapped."""
    console = Console(width=10**6, file=io.StringIO())
    return Measurement.get(console, console.options, table).maximum


def turned(table: Table) -> Table:
    """Returns a table with a row per column that holds numbers: its first columns, of names, are the heading.

    Example:
        >>> table = Table('method', 'at equal', title='improvement')
        >>> table.add_column('16', justify='right')
        >>> table.add_row('B', 'epochs', '+0.4')
        >>> other = turned(table)
        >>> [(column.header, list(column.cells)) for column in other.columns]
        [('', ['16']), ('B\\nepochs', ['+0.4'])]
    """
    names = _names(table)
    other = Table(title=table.title, title_justify='left', box=SIMPLE_HEAD)
    other.add_column('')
    for heading in zip(*(column.cells for column in table.columns[:names]), strict=True):
        other.add_column('\n'.join(map(str, heading)), justify='right')
    for column in table.columns[names:]:
        other.add_row(column.header, *column.cells)
    return other


def _names(table: Table) -> int:
    """Returns the number of columns before the first one of numbers."""
    return next((i for i, column in enumerate(table.columns) if column.justify == 'right'), len(table.columns))


def shortened(table: Table, most: int) -> tuple[Table, int]:
    """Returns a table of at most so many rows, the first and the last ones, and the number of rows left out.

    Example:
        >>> table = Table('n')
        >>> for n in range(9):
        ...     table.add_row(str(n))
        >>> short, left_out = shortened(table, 4)
        >>> list(short.columns[0].cells), left_out
        (['0', '1', '...', '7', '8'], 5)
    """
    left_out = table.row_count - most
    if left_out <= 0:
        return table, 0
    first = most // 2
    short = Table(title=table.title, title_justify='left', box=SIMPLE_HEAD)
    for column in table.columns:
        short.add_column(column.header, justify=column.justify)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    for row in [*rows[:first], ['...'] * len(table.columns), *rows[len(rows) - (most - first) :]]:
        short.add_row(*row)
    return short, left_out
