"""The cells of a long CSV, as any program may have written them: separators, missing values, decimal commas, texts."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from composer_clr.curves.curve import CurveError
from composer_clr.curves.metrics import is_metric
from composer_clr.utils.files import bounded_text

__all__ = ['COLUMNS', 'HELP', 'OPTIONAL', 'PEAK', 'TEXTS', 'read_table', 'table_number']

COLUMNS = ('kind', 'method', 'seed', 'epoch', 'wall_clock_train_s')
OPTIONAL = ('batch', 'sample', 'token', 'world_size')
TEXTS = COLUMNS[:2]
PEAK = 'peak:'
HELP = 'yamls/README.md, "Curves from other logs", has what makes one'

_KNOWN = {*COLUMNS, *OPTIONAL}
_MAX_BYTES = 64 * 2**20
_SEPARATORS = ',;\t'
_INDEX = re.compile(r'|index|level_\d+|Unnamed: ?\d+')
# As pandas, numpy, R and spreadsheets write a value that is missing.
_MISSING = ('nan', '-nan', 'na', 'n/a', '#n/a', '<na>', 'null', 'none')
_DECIMAL = re.compile(r'[+-]?[0-9]*([.,])[0-9]+([eE][+-]?[0-9]+)?')
# A number that something keeps from being read, such as 76.1% or 1,234.5: not text.
_SPOILT = re.compile(r'[+-]?[0-9., ]*[0-9][0-9., ]*%?')


def read_table(path: Path, notes: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields each line's number and its cells by column, empty where a value is missing; notes what is not read."""
    separator, lines = _lines(path)
    (_, header), *rows = [(line, cells) for line, cells in lines if any(cells)] or [(1, [])]
    if not rows:
        raise CurveError(f'holds no rows: give a header and one row per point; {HELP}')
    names = _names(header, notes)
    numbers = [i for i, name in enumerate(names) if name not in TEXTS]
    for line, cells in rows:
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if len(cells) != len(names):
            raise CurveError(f'line {line} has {len(cells)} cells, the header {len(names)}: make them match')
        for i in numbers:
            cells[i] = '' if cells[i].lower() in _MISSING else cells[i]
    if separator != ',':
        _make_decimal_points(rows, numbers, notes)
    read = []
    for i, name in enumerate(names):
        if reason := _unread(name, [cells[i] for _, cells in rows]):
            notes.append(f'column {i + 1} ({name!r}) {reason} and is not read')
        elif not name:
            raise CurveError(f'line 1, column {i + 1} has no name: name it')
        else:
            read.append(i)
    if {names[i] for i in read} <= _KNOWN:
        raise CurveError(f'line 1 names no metric: add a column for each, such as eval/MulticlassAccuracy; {HELP}')
    for line, cells in rows:
        yield line, {names[i]: cells[i] for i in read}


def _lines(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Returns the separator, and the number and cells of each line."""
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        text = bounded_text(path, _MAX_BYTES, encoding='utf-8-sig')
        head = next((line for line in text.split('\n') if line.strip(f'{_SEPARATORS} "')), '').lower()
        # The first one stays the choice where another finds no more of the columns.
        separator = max(_SEPARATORS, key=lambda one: len({name.strip(' "') for name in head.split(one)} & _KNOWN))
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator, strict=True)
        return separator, [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise CurveError(f'cannot be read as a CSV ({error})') from error


def _names(header: list[str], notes: list[str]) -> list[str]:
    """Returns the names of the columns, known ones in small letters, if those that a table needs are among them."""
    while header and not header[-1]:
        header.pop()
    times = Counter(map(str.lower, header))
    names = [name.lower() if name.lower() in _KNOWN and times[name.lower()] == 1 else name for name in header]
    notes += [f'column {old!r} is read as {new!r}' for old, new in zip(header, names, strict=True) if old != new]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1 and name):
        raise CurveError(f'line 1 has columns of the same name ({", ".join(twice)[:200]}): name each once')
    missing = [name for name in COLUMNS if name not in names and name != 'seed']
    others = [name for name in names if name not in COLUMNS]
    near = {name: found for name in missing for found in difflib.get_close_matches(name, others[:1000], 1, 0.8)}
    may_miss = {'wall_clock_train_s', *(['epoch'] if {*OPTIONAL[:3]} & {*names} else [])} - near.keys()
    if not may_miss.issuperset(missing):
        renamed = ''.join(f', rename {found!r} to {name}' for name, found in near.items())
        needs = f'{",".join(COLUMNS)},<metric>...{renamed}'
        raise CurveError(f'line 1 has no column {", ".join(missing)}: it needs {needs}; {HELP}')
    if PEAK in names:
        raise CurveError(f'line 1 has a column {PEAK!r}: name its metric')
    return names


def _make_decimal_points(rows: Sequence[tuple[int, list[str]]], numbers: Sequence[int], notes: list[str]) -> None:
    """Replaces decimal commas, which a table has in place of decimal points."""
    found = [
        (match[1], i, line, cells) for line, cells in rows for i in numbers if (match := _DECIMAL.fullmatch(cells[i]))
    ]
    marks = {mark: f'{cells[i]!r} (line {line})' for mark, i, line, cells in reversed(found)}
    if ',' in marks and '.' in marks:
        raise CurveError(f'{marks[","]} has a decimal comma, {marks["."]} a decimal point: use one of them')
    if ',' in marks:
        notes.append('a comma is read as a decimal comma')
    for _, i, _, cells in found:
        cells[i] = cells[i].replace(',', '.')


def _unread(name: str, cells: Sequence[str]) -> str:
    """Returns why a column is not read; nothing where it is."""
    if name in _KNOWN:
        return ''
    if _INDEX.fullmatch(name) and all(table_number(cell).is_integer() for cell in cells):
        return 'is an index'
    filled = [cell for cell in cells if cell]
    odd = [cell for cell in filled if not math.isfinite(table_number(cell))]
    if odd and len(odd) == len(filled) and not any(map(_SPOILT.fullmatch, odd)):
        return 'holds text'
    return f'holds {odd[0][:20]!r}, names no metric' if odd and name and not is_metric(name) else ''


def table_number(cell: str) -> float:
    """Returns a cell as a number, NaN if it is none: Python reads 1_000 as one, a table does not."""
    try:
        return math.nan if '_' in cell else float(cell)
    except ValueError:
        return math.nan
