"""A CSV as other programs write it, read as a table of plain cells: index columns, separators and decimal commas."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from composer_clr.curves.curve import CurveError
from composer_clr.utils.files import bounded_text

__all__ = ['CsvTable']

_MAX_BYTES = 64 * 2**20
_SEPARATORS = (',', ';', '\t')
_INDEX = re.compile(r'|index|level_\d+|Unnamed: ?\d+')
_WHOLE = re.compile(r'[0-9]+(\.0)?')
# As pandas, numpy, R and spreadsheets write a value that is missing.
_MISSING = ('nan', '-nan', 'na', 'n/a', '#n/a', '<na>', 'null', 'none')
_COMMA = re.compile(r'[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?')
_POINT = re.compile(r'[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?')
# A number that something keeps from being read, such as 76.1% or 1,234.5: not text.
_SPOILT = re.compile(r'[+-]?[0-9., ]*[0-9][0-9., ]*%?')


class CsvTable:
    """The cells of a CSV by column, as the program that wrote it meant them.

    Fields are separated by commas, semicolons or tabs. Spaces around a cell, empty cells after the last column, an
    index column as pandas writes it and columns of text are not read. A decimal comma is read where it is not the
    separator. A missing number (``nan``, ``NA``) is an empty cell.

    Args:
        path (Path): The file.
        columns (Sequence[str]): Names of columns that must not be lost: those found in other letter case are renamed.
        texts (Sequence[str]): Those of them that hold text.

    Attributes:
        header (list[str]): The names of the columns.
        rows (list[tuple[int, dict[str, str]]]): Line number and cells by column; a row of empty cells is left out.
        notes (list[str]): What was read differently from how it was written, or not read.

    Raises:
        CurveError: If the file cannot be read, a row has too many or too few cells, two columns have the same name or
            one has none, or decimal commas and points are mixed.
    """

    def __init__(self, path: Path, columns: Sequence[str], texts: Sequence[str]):
        self._path, self._columns, self._texts = path, columns, texts
        self.notes: list[str] = []
        separator, lines = self._lines()
        self.header = self._named(lines[0][1]) if lines else []
        self._check_names({name for name in self.header if name and self.header.count(name) > 1})
        self.rows = [(line, self._cells(line, cells)) for line, cells in lines[1:]]
        self._drop_index_columns()
        self._empty_missing()
        if separator != ',':
            self._read_decimal_commas()
        self._drop_columns_of_text()

    def _lines(self) -> tuple[str, list[tuple[int, list[str]]]]:
        try:
            # Spreadsheets put a byte order mark before the first column's name.
            text = bounded_text(self._path, _MAX_BYTES, encoding='utf-8-sig')
            # The first one stays the choice where another finds no more of the columns.
            separator = max(_SEPARATORS, key=lambda one: len(self._known(_header(text, one))))
            reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
        except (OSError, ValueError, csv.Error) as error:
            raise CurveError(f'{self._path}: cannot be read as a CSV ({error})') from error
        return separator, [(line, cells) for line, cells in lines if any(cells)]

    def _known(self, names: Sequence[str]) -> set[str]:
        return {name.lower() for name in names} & set(self._columns)

    def _named(self, cells: list[str]) -> list[str]:
        names = _without_trailing_empties(cells)
        for index, name in enumerate(names):
            if name not in self._columns and name.lower() in self._columns and name.lower() not in names:
                self.notes.append(f'column {name!r} is read as {name.lower()!r}')
                names[index] = name.lower()
        return names

    def _cells(self, line: int, cells: list[str]) -> dict[str, str]:
        if len(cells) > len(self.header):
            cells = [*cells[: len(self.header)], *_without_trailing_empties(cells[len(self.header) :])]
        if len(cells) != len(self.header):
            raise CurveError(
                f'{self._path}: line {line} has {len(cells)} cells, the header {len(self.header)}: make them match'
            )
        # By place, so that two columns of one name are still two.
        return {str(index): cell for index, cell in enumerate(cells)}

    def _drop_index_columns(self) -> None:
        keep = []
        for index, name in enumerate(self.header):
            cells = [cells[str(index)] for _, cells in self.rows]
            if _INDEX.fullmatch(name) and all(map(_WHOLE.fullmatch, cells)):
                self.notes.append(f'column {index + 1} ({name!r}) is an index and is not read')
            else:
                keep.append(index)
        named = [(str(index), self.header[index]) for index in keep]
        self.header = [name for _, name in named]
        self._check_names({name for name in self.header if not name})
        self.rows = [(line, {name: cells[index] for index, name in named}) for line, cells in self.rows]

    def _check_names(self, faulty: set[str]) -> None:
        if faulty:
            raise CurveError(
                f'{self._path}: line 1 has columns without a name or of the same name ({sorted(faulty)}): name each '
                'once'
            )

    def _empty_missing(self) -> None:
        for _, cells in self.rows:
            for name, cell in cells.items():
                if name not in self._texts and cell.lower() in _MISSING:
                    cells[name] = ''

    def _read_decimal_commas(self) -> None:
        numbers = [(line, cells, name) for line, cells in self.rows for name in cells if name not in self._texts]
        commas = [(line, cells, name) for line, cells, name in numbers if _COMMA.fullmatch(cells[name])]
        points = [(line, cells[name]) for line, cells, name in numbers if _POINT.fullmatch(cells[name])]
        if commas and points:
            line, cells, name = commas[0]
            raise CurveError(
                f'{self._path}: {cells[name]!r} (line {line}) has a decimal comma, {points[0][1]!r} (line '
                f'{points[0][0]}) a decimal point: use one of them'
            )
        for _, cells, name in commas:
            cells[name] = cells[name].replace(',', '.')
        if commas:
            self.notes.append('a comma is read as a decimal comma')

    def _drop_columns_of_text(self) -> None:
        for name in [name for name in self.header if name not in self._columns]:
            cells = [row[name] for _, row in self.rows if row[name]]
            if cells and not any(_is_number(cell) or _SPOILT.fullmatch(cell) for cell in cells):
                self.notes.append(f'column {name!r} holds text and is not read')
                self.header.remove(name)
                for _, row in self.rows:
                    del row[name]


def _header(text: str, separator: str) -> list[str]:
    rows = csv.reader(io.StringIO(text, newline=''), delimiter=separator)
    return [cell.strip() for cell in next((cells for cells in rows if any(cells)), [])]


def _without_trailing_empties(cells: Sequence[str]) -> list[str]:
    last = max((index for index, cell in enumerate(cells) if cell), default=-1)
    return list(cells[: last + 1])


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False
