"""Curves as a long CSV, one row per point: for spreadsheets, other plotting tools, and results from elsewhere."""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from composer_clr.curves.axes import distinct_points, point_count
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import is_metric
from composer_clr.curves.names import ANYTIME, BRANCH, CYCLIC, LOG, SCHEDULE_FREE, STANDARD, WSD_S
from composer_clr.utils.files import bounded_text, write_whole

__all__ = ['COLUMNS', 'PEAK', 'long_csv', 'read_long_csv', 'writable_curves', 'write_long_csv']

COLUMNS = ('kind', 'method', 'seed', 'epoch', 'wall_clock_train_s')
PEAK = 'peak:'
_COUNTS = ('batch', 'sample', 'token')
_KNOWN = (*COLUMNS, *_COUNTS, 'world_size')
_TEXTS = ('kind', 'method')
# Columns of whole numbers, and the least of each; larger ones than these digits hold cannot be computed with.
_LEAST = {'seed': -math.inf, **dict.fromkeys(_COUNTS, 0), 'world_size': 1}
_DIGITS = 18
_KINDS = (STANDARD, CYCLIC, WSD_S, BRANCH, ANYTIME, SCHEDULE_FREE, LOG)
_HELP = 'README.md, "Curves from other logs", has what makes one'

_MAX_BYTES = 64 * 2**20
_SEPARATORS = (',', ';', '\t')
_INDEX = re.compile(r'|index|level_\d+|Unnamed: ?\d+')
# As pandas, numpy, R and spreadsheets write a value that is missing.
_MISSING = ('nan', '-nan', 'na', 'n/a', '#n/a', '<na>', 'null', 'none')
# A column of whole numbers in which some are missing is written with decimals by pandas.
_WHOLE = re.compile(r'([+-]?[0-9]+)(?:\.0*)?')
_COMMA = re.compile(r'[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?')
_POINT = re.compile(r'[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?')
# A number that something keeps from being read, such as 76.1% or 1,234.5: not text.
_SPOILT = re.compile(r'[+-]?[0-9., ]*[0-9][0-9., ]*%?')


class _Row(NamedTuple):
    """A line of the file, and what its columns hold; an empty cell holds nothing."""

    line: int
    values: dict[str, Any]


def read_long_csv(path: str | os.PathLike[str]) -> list[TradeoffCurve]:
    """Reads curves from a CSV with columns ``kind,method,seed,epoch,wall_clock_train_s,<metric>...,peak:<metric>...``.

    A row of kind ``standard`` is a run of its own. Rows of any other kind are the points of one run where their kind,
    method and seed are the same: of kind ``log``, those of a plain training log. A run is named by its file and first
    line, so that an error that names it can be found. Values that the table does not have, such as learning rates, are
    NaN or 0 in the points.

    Args:
        path (str | PathLike): The file: columns in any order and case, separated by commas, semicolons (then with
            decimal commas too) or tabs. Every column that is not named here is a metric; an empty metric cell is a
            value that was not measured. ``seed`` may be missing or empty. ``wall_clock_train_s``, seconds of training
            since the start of the run, may be missing in all rows of a run, whose times are then NaN. ``batch``,
            ``sample`` and ``token`` are the counts of a point; with one of them ``epoch`` may be empty. ``world_size``
            is the number of ranks of a run, from which GPU-hours are computed. An index, text and what is neither a
            number nor a metric's are not read; an evaluation before training and the rows of two loggers at one epoch
            are left out and joined: a warning says so.

    Returns:
        list[TradeoffCurve]: In the order of their first rows; points in the order of their epochs.

    Raises:
        CurveError: If the file cannot be read, a required column is missing, a cell is not valid in its column, or the
            training time falls within a run; the message names the file, line and column.
    """
    path = Path(path)
    columns, lines, notes = _table(path)
    rows = [_row(path, line, dict(zip(columns, cells, strict=True)), notes) for line, cells in lines]
    trained = [row for row in rows if not _is_untrained(row)]
    if len(trained) < len(rows):
        notes.append(f'evaluations before training are left out (epoch 0, {len(rows) - len(trained)} rows)')
    runs: dict[tuple[Any, ...], list[_Row]] = defaultdict(list)
    for row in trained:
        key = tuple(row.values.get(name) for name in ('kind', 'method', 'seed'))
        runs[(row.line,) if row.values['kind'] == STANDARD else key].append(row)
    curves = [_curve(path, rows, notes) for rows in runs.values()]
    if any(curve.run.kind.startswith(BRANCH) and len(curve.points) > 1 for curve in curves):
        notes.append('branches count as one run, the table does not have what each took: their cost is a lower bound')
    if not all(curve.is_timed for curve in curves):
        notes.append('runs without wall_clock_train_s are compared by epochs alone')
    if notes:
        warnings.warn(f'{path}: {"; ".join(dict.fromkeys(notes))}', UserWarning, stacklevel=2)
    return curves


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], list[str]]:
    """Returns the names of the columns that are read, the cells of each line, and notes of what is read otherwise."""
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        text = bounded_text(path, _MAX_BYTES, encoding='utf-8-sig')
        head = next((line for line in text.split('\n') if line.strip(''.join(_SEPARATORS) + ' "')), '').lower()
        # The first one stays the choice where another finds no more of the columns.
        separator = max(_SEPARATORS, key=lambda one: len({name.strip(' "') for name in head.split(one)} & {*_KNOWN}))
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator, strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise CurveError(f'{path}: cannot be read as a CSV ({error})') from error
    (_, header), *lines = [(line, cells) for line, cells in lines if any(cells)] or [(1, [])]
    header = _without_empty_end(header, 0)
    if not lines:
        raise CurveError(f'{path}: holds no rows: give a header and one row per point; {_HELP}')
    names, notes = _named(header)
    _check_header(path, names)
    table = [(line, _without_empty_end(cells, len(names))) for line, cells in lines]
    for line, cells in table:
        if len(cells) != len(names):
            raise CurveError(f'{path}: line {line} has {len(cells)} cells, the header {len(names)}: make them match')
    numbers = [i for i, name in enumerate(names) if name not in _TEXTS]
    for _, cells in table:
        for i in numbers:
            cells[i] = '' if cells[i].lower() in _MISSING else cells[i]
    if separator != ',' and _with_decimal_points(path, table, numbers):
        notes.append('a comma is read as a decimal comma')
    keep = []
    for i, name in enumerate(names):
        if reason := _unread(name, [cells[i] for _, cells in table]):
            notes.append(f'column {i + 1} ({name!r}) {reason} and is not read')
        elif not name:
            raise CurveError(f'{path}: line 1, column {i + 1} has no name: name it')
        else:
            keep.append(i)
    if {names[i] for i in keep} <= {*_KNOWN}:
        raise CurveError(
            f'{path}: line 1 names no metric: add a column for each, such as eval/MulticlassAccuracy; {_HELP}'
        )
    return [names[i] for i in keep], [(line, [cells[i] for i in keep]) for line, cells in table], notes


def _without_empty_end(cells: list[str], least: int) -> list[str]:
    """Returns the cells without the empty ones at their end, but ``least`` of them where there are as many."""
    last = next((i for i in range(len(cells), least, -1) if cells[i - 1]), min(least, len(cells)))
    return cells[:last]


def _named(header: list[str]) -> tuple[list[str], list[str]]:
    """Returns the names of the columns, known ones in small letters, and notes of those that were not."""
    times = Counter(map(str.lower, header))
    names = [name.lower() if name.lower() in _KNOWN and times[name.lower()] == 1 else name for name in header]
    return names, [f'column {old!r} is read as {new!r}' for old, new in zip(header, names, strict=True) if old != new]


def _check_header(path: Path, names: Sequence[str]) -> None:
    if twice := sorted(name for name, times in Counter(names).items() if times > 1 and name):
        raise CurveError(f'{path}: line 1 has columns of the same name ({", ".join(twice)[:200]}): name each once')
    missing = [name for name in COLUMNS if name not in names and name != 'seed']
    others = [name for name in names if name not in COLUMNS]
    near = {name: found for name in missing for found in difflib.get_close_matches(name, others[:1000], 1, 0.8)}
    optional = {'wall_clock_train_s', *(['epoch'] if {*_COUNTS} & {*names} else [])} - near.keys()
    if not optional.issuperset(missing):
        renamed = ''.join(f', rename {found!r} to {name}' for name, found in near.items())
        raise CurveError(
            f'{path}: line 1 has no column {", ".join(missing)}: it needs {",".join(COLUMNS)},<metric>...{renamed}; '
            f'{_HELP}'
        )
    if PEAK in names:
        raise CurveError(f'{path}: line 1 has a column {PEAK!r}: name its metric')


def _with_decimal_points(path: Path, table: list[tuple[int, list[str]]], numbers: Sequence[int]) -> bool:
    """Replaces decimal commas, and returns whether there were any."""

    def first(number: re.Pattern[str]) -> tuple[int, str] | None:
        return next(((line, cells[i]) for line, cells in table for i in numbers if number.fullmatch(cells[i])), None)

    comma, point = first(_COMMA), first(_POINT)
    if comma and point:
        raise CurveError(
            f'{path}: {comma[1]!r} (line {comma[0]}) has a decimal comma, {point[1]!r} (line {point[0]}) a decimal '
            'point: use one of them'
        )
    for _, cells in table if comma else ():
        for i in numbers:
            cells[i] = cells[i].replace(',', '.') if _COMMA.fullmatch(cells[i]) else cells[i]
    return comma is not None


def _unread(name: str, cells: Sequence[str]) -> str:
    """Returns why a column is not read; nothing where it is."""
    if name in _KNOWN:
        return ''
    if _INDEX.fullmatch(name) and all(map(_WHOLE.fullmatch, cells)):
        return 'is an index'
    filled = [cell for cell in cells if cell]
    if filled and not any(math.isfinite(_float(cell)) or _SPOILT.fullmatch(cell) for cell in filled):
        return 'holds text'
    odd = next((cell for cell in filled if not math.isfinite(_float(cell))), None)
    return f'holds {odd[:20]!r}, names no metric' if odd and name and not is_metric(name) else ''


def _float(cell: str) -> float:
    try:
        # Python reads 1_000 as a number; a table does not.
        return math.nan if '_' in cell else float(cell)
    except ValueError:
        return math.nan


def _row(path: Path, line: int, cells: dict[str, str], notes: list[str]) -> _Row:
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        try:
            if cell or name in _TEXTS:
                values[name] = _value(name, cell)
        except ValueError as error:
            raise CurveError(f'{path}: line {line}, column {name}: {error}') from None
    kind = values['kind'].lower()
    if kind in _KINDS and kind != values['kind']:
        notes.append(f'kind {values["kind"]!r} is read as {kind!r}')
        values['kind'] = kind
    return _Row(line, values)


def _value(name: str, cell: str) -> str | int | float:
    """Returns what a cell holds.

    Raises:
        ValueError: What is wrong with it, and what would be right.
    """
    if name in _TEXTS:
        if cell in ('', 'nan'):
            raise ValueError(f'is empty: name the {name} of the run')
        return cell
    if name in _LEAST:
        whole = _WHOLE.fullmatch(cell)
        if whole is None or len(whole[1]) > _DIGITS + 2 * (name == 'seed'):
            raise ValueError(f'{cell[:40]!r} is not a whole number: correct or empty it')
        if int(whole[1]) < _LEAST[name]:
            raise ValueError(f'{cell} must be {_LEAST[name]} or more: correct or empty it')
        return int(whole[1])
    value = _float(cell)
    if not math.isfinite(value):
        raise ValueError(
            f'{cell[:40]!r} is not a finite number: correct it, or leave the cell empty where nothing was measured'
        )
    return value


def _is_untrained(row: _Row) -> bool:
    """Returns whether a row is of an evaluation before training, and not of an epoch that is counted from 0."""
    counts = [row.values[name] for name in _COUNTS if name in row.values]
    starts = bool(counts) or row.values.get('wall_clock_train_s') == 0
    return starts and not any(counts) and row.values.get('epoch', 0) == 0


def _curve(path: Path, rows: list[_Row], notes: list[str]) -> TradeoffCurve:
    first = rows[0].values
    kind, method, ranks = first['kind'], first['method'], first.get('world_size')
    axis = next((name for name in ('epoch', *_COUNTS) if all(row.values.get(name) for row in rows)), 'epoch')
    for row in rows:
        for name in {axis} | ({'epoch'} & row.values.keys()):
            _check_amount(path, row, name)
        if (other := row.values.get('world_size')) != ranks:
            raise CurveError(
                f'{path}: lines {rows[0].line} and {row.line}, column world_size: {ranks} and {other} in one run of '
                f'{kind}, {method}: give all its rows the same number'
            )
    joined: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.values[axis]):
        if joined and joined[-1].values[axis] == row.values[axis]:
            row = _joined(path, joined.pop(), row, axis)
            notes.append(f'rows that two loggers wrote at one {axis} are joined')
        joined.append(row)
    if any('wall_clock_train_s' in row.values for row in joined):
        for row in joined:
            _check_amount(path, row, 'wall_clock_train_s')
    points = [_point(cycle, row.values) for cycle, row in enumerate(joined)]
    _check_rising(kind, points, [f'{path}: line {row.line}' for row in joined])
    return TradeoffCurve(Run(f'{path}:{rows[0].line}', kind, method, first.get('seed'), world_size=ranks), points)


def _check_amount(path: Path, row: _Row, name: str) -> None:
    amount = row.values.get(name)
    if amount is None or amount <= 0:
        from_0 = f': add 1 to epochs that are counted from 0, or leave out what precedes training; {_HELP}'
        fault = 'is empty: every point of a run needs one' if amount is None else f'{amount:g} must be above 0'
        where = f'{path}: line {row.line}, column {name}'
        raise CurveError(f'{where}: {fault}{from_0 if name == "epoch" and amount == 0 else ""}')


def _joined(path: Path, one: _Row, other: _Row, axis: str) -> _Row:
    """Returns the rows of two loggers at one epoch as one: each measures what the other does not, and nothing differs.

    Raises:
        CurveError: If they are those of two runs.
    """
    shared = one.values.keys() & other.values.keys()
    differing = sorted(name for name in shared if one.values[name] != other.values[name])
    are_two_loggers = bool(one.values.keys() - shared) and bool(other.values.keys() - shared)
    if differing or not are_two_loggers:
        remedy = f'give both one {", ".join(differing[:5])}' if are_two_loggers else f'keep one row per {axis}'
        raise CurveError(
            f'{path}: lines {one.line} and {other.line}, column {axis}: both are {one.values[axis]:g} in '
            f'{one.values["kind"]}, {one.values["method"]}: give the runs different seeds; of one run, {remedy}; '
            f'{_HELP}'
        )
    return _Row(one.line, one.values | other.values)


def _check_rising(kind: str, points: Sequence[TradeoffPoint], places: Sequence[str]) -> None:
    """Refuses times that do not rise within a run; branches of one table are runs of their own."""
    for (before, point), place in zip(pairwise(points), places[1:], strict=True):
        if not kind.startswith(BRANCH) and point.wall_clock_train_s <= before.wall_clock_train_s:
            raise CurveError(
                f'{place}, column wall_clock_train_s: {point.wall_clock_train_s:g} after '
                f'{before.wall_clock_train_s:g} does not rise: give the seconds of training since the start of the '
                f'run, not those of each epoch; {_HELP}'
            )


def _point(cycle: int, values: dict[str, Any]) -> TradeoffPoint:
    measured = {name: value for name, value in values.items() if name not in _KNOWN}
    return TradeoffPoint(
        cycle=cycle,
        epoch=values.get('epoch'),
        **{name: values.get(name, 0) for name in _COUNTS},
        wall_clock_train_s=values.get('wall_clock_train_s', math.nan),
        wall_clock_total_s=math.nan,
        lr=math.nan,
        metrics={name: value for name, value in measured.items() if not name.startswith(PEAK)},
        peak_metrics={name.removeprefix(PEAK): value for name, value in measured.items() if name.startswith(PEAK)},
    )


def write_long_csv(path: str | os.PathLike[str], curves: Iterable[TradeoffCurve]) -> None:
    """Writes :func:`long_csv` to a file, which is replaced as a whole."""
    write_whole(Path(path), long_csv(curves))


def long_csv(curves: Iterable[TradeoffCurve]) -> str:
    """Returns curves as text that :func:`read_long_csv` reads: the columns are exact, other fields are not kept.

    A value that is not finite, or is of a point that diverged or was stopped before its trough, leaves its cell empty,
    as one that was not measured does. Points of cycles that end with the same batch are one row.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.

    Raises:
        CurveError: If a run or a point is none of :func:`writable_curves`.
    """
    curves, errors = writable_curves(curves)
    for error in errors:
        raise error
    rows = []
    for curve in curves:
        run = curve.run
        ranks = {point.world_size or run.world_size for point in curve.points}
        for point in curve.points:
            values = point.metrics | {f'{PEAK}{name}': value for name, value in point.peak_metrics.items()}
            sound = {} if point.diverged or point.stopped else values
            rows.append(
                {name: value for name, value in sound.items() if math.isfinite(value)}
                | {'kind': run.kind, 'method': run.method, 'seed': run.seed, 'epoch': point.epoch}
                | {'wall_clock_train_s': point.wall_clock_train_s if curve.is_timed else None}
                | {name: getattr(point, name) or None for name in _COUNTS}
                | {'world_size': run.world_size if ranks == {run.world_size} else None}
            )
    filled = {name for row in rows for name, value in row.items() if value is not None}
    points = [point for curve in curves for point in curve.points]
    metrics = dict.fromkeys(name for point in points for name in point.metrics)
    peaks = dict.fromkeys(f'{PEAK}{name}' for point in points for name in point.peak_metrics)
    fields = [*COLUMNS, *(name for name in _KNOWN[len(COLUMNS) :] if name in filled), *metrics, *peaks]
    table = io.StringIO(newline='')
    writer = csv.DictWriter(table, fields, extrasaction='ignore', lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def writable_curves(curves: Iterable[TradeoffCurve]) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Leaves out points that a long CSV could not be read with, and runs that it could not distinguish.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The runs that are left, and an error for each point without a
        time or a count above 0, and for each run of the kind, method and seed of an earlier one, without a common
        count, with different values at one count, or with a training time that falls.
    """
    seen: dict[tuple[str, str, int | None], str] = {}
    kept, errors = [], []
    for curve in curves:
        run, key = curve.run, (curve.run.kind, curve.run.method, curve.run.seed)
        points = []
        for point in curve.points:
            amounts = {'epoch': point.epoch} | (
                {'wall_clock_train_s': point.wall_clock_train_s} if curve.is_timed else {}
            )
            faults = [f'{what} {x}' for what, x in amounts.items() if x is not None and not 0 < x < math.inf]
            if faults:
                fault = f'a point has {faults[0]}, a long CSV requires one above 0: keep its curve.json'
                errors.append(CurveError(f'run {curve.place!r}: {fault}'))
            else:
                points.append(point)
        axes = ('epoch', *_COUNTS)
        axis = next((axis for axis in axes if all(point_count(point, axis) is not None for point in points)), None)
        try:
            if run.kind != STANDARD and key in seen:
                raise CurveError(
                    f'runs {seen[key]!r} and {curve.place!r} are both {run.kind}, {run.method}, seed {run.seed}: '
                    'a long CSV cannot distinguish them, write them to two files'
                )
            if axis is None:
                raise CurveError(
                    f'run {curve.place!r} counts neither epochs nor batches, a long CSV requires one: '
                    'keep its curve.json'
                )
            written = curve.of_points(points)
            written.points = list(distinct_points(written, axis).values())
            _check_rising(run.kind, written.points, [f'run {curve.place!r}'] * len(written.points))
        except CurveError as error:
            errors.append(error)
        else:
            seen[key] = curve.place
            kept.extend([written] if points else [])
    return kept, errors
