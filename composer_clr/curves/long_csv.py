"""Curves as a long CSV, one row per point: for spreadsheets, other plotting tools, and results from elsewhere."""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from composer_clr.curves.axes import distinct_points, point_count
from composer_clr.curves.csv_table import CsvTable
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.utils.files import write_whole

__all__ = ['COLUMNS', 'COUNTS', 'PEAK', 'long_csv', 'read_long_csv', 'writable_curves', 'write_long_csv']

COLUMNS = ('kind', 'method', 'seed', 'epoch', 'wall_clock_train_s')
# Columns that a table has where its runs count them.
COUNTS = ('batch', 'sample', 'token')
# The column of the number of ranks, where it is known.
WORLD_SIZE = 'world_size'
PEAK = 'peak:'
_KINDS = ('standard', 'cyclic', 'wsd-s', 'branch', 'anytime', 'schedule-free')
# A column of whole numbers in which some are missing is written with decimals by pandas.
_WHOLE = re.compile(r'([+-]?[0-9]+)(?:\.0*)?')
# Of a seed, and of a count, which is below 2**63 in a point.
_SEED_DIGITS, _COUNT_DIGITS = 20, 18


class _Row(NamedTuple):
    line: int
    kind: str
    method: str
    seed: int | None
    world_size: int | None
    epoch: float | None
    counts: dict[str, int]
    time_s: float
    metrics: dict[str, float]
    peaks: dict[str, float]


def read_long_csv(path: str | os.PathLike[str]) -> list[TradeoffCurve]:
    """Reads curves from a CSV with columns ``kind,method,seed,epoch,wall_clock_train_s,<metric>...,peak:<metric>...``.

    A row of kind ``standard`` is a run of its own. Rows of any other kind are the points of one run where their kind,
    method and seed are the same. A run is named by its file and first line, so that an error that names it can be
    found. Columns ``batch``, ``sample`` and ``token`` are the counts of a point; with one of them ``epoch`` may be
    empty. A column ``world_size`` is the number of ranks of a run, from which GPU-hours are computed. Values that the
    table does not have, such as learning rates, are NaN or 0 in the points.

    Args:
        path (str | PathLike): The file; columns in any order, every further one is a metric. The ``seed`` column may be
            missing and its cells empty; an empty metric cell is a value that was not measured. Other separators and
            what else other programs write are read as in :class:`CsvTable`, with a warning that says how.

    Returns:
        list[TradeoffCurve]: In the order of their first rows; points in the order of their epochs.

    Raises:
        CurveError: If the file cannot be read, a required column is missing, or a cell is not valid in its column; the
            message names the file, line and column.
    """
    runs: dict[tuple[str | int | None, ...], list[_Row]] = defaultdict(list)
    for row in _rows(Path(path)):
        runs[(row.line,) if row.kind == 'standard' else (row.kind, row.method, row.seed)].append(row)
    return [_curve(path, rows) for rows in runs.values()]


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
    points = [point for curve in curves for point in curve.points]
    metrics = list(dict.fromkeys(name for point in points for name in point.metrics))
    peaks = list(dict.fromkeys(name for point in points for name in point.peak_metrics))
    counts = [name for name in COUNTS if any(getattr(point, name) for point in points)]
    ranks = [WORLD_SIZE] if any(curve.run.world_size for curve in curves) else []
    table = io.StringIO(newline='')
    writer = csv.writer(table, lineterminator='\n')
    writer.writerow([*COLUMNS, *counts, *ranks, *metrics, *(PEAK + name for name in peaks)])
    for curve in curves:
        run = curve.run
        for point in curve.points:
            values = [point.metrics.get(name) for name in metrics] + [point.peak_metrics.get(name) for name in peaks]
            writer.writerow(
                [
                    run.kind,
                    run.method,
                    run.seed,
                    point.epoch,
                    point.wall_clock_train_s,
                    *(getattr(point, name) or None for name in counts),
                    *(run.world_size for _ in ranks),
                    *('' if point.diverged or point.stopped else _spelled(value) for value in values),
                ]
            )
    return table.getvalue()


def _spelled(value: float | None) -> str:
    return repr(value) if value is not None and math.isfinite(value) else ''


def writable_curves(curves: Iterable[TradeoffCurve]) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Leaves out points that a long CSV could not be read with, and runs that it could not distinguish.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The runs that are left, and an error for each point without a
        time or a count above 0, and for each run of the kind, method and seed of an earlier one, without a common
        count, or with different values at one count.
    """
    seen: dict[tuple[str, str, int | None], str] = {}
    kept, errors = [], []
    for curve in curves:
        run = curve.run
        key = run.kind, run.method, run.seed
        faults = [_fault(point) for point in curve.points]
        errors.extend(CurveError(f'run {curve.place!r}: a point has {fault}') for fault in faults if fault)
        points = [point for point, fault in zip(curve.points, faults, strict=True) if not fault]
        counts = ('epoch', *COUNTS)
        axis = next((axis for axis in counts if all(point_count(point, axis) is not None for point in points)), None)
        try:
            if run.kind != 'standard' and key in seen:
                raise CurveError(
                    f'runs {seen[key]!r} and {curve.place!r} are both {run.kind}, {run.method}, seed {run.seed}: '
                    'a long CSV cannot distinguish them, write them to two files'
                )
            if axis is None:
                raise CurveError(
                    f'run {curve.place!r} counts neither epochs nor batches, a long CSV requires one: '
                    'keep its curve.json'
                )
            written = TradeoffCurve(run, points)
            written.source = curve.source
            written.points = list(distinct_points(written, axis).values())
        except CurveError as error:
            errors.append(error)
        else:
            seen[key] = curve.place
            kept.extend([written] if points else [])
    return kept, errors


def _fault(point: TradeoffPoint) -> str:
    for what, amount in (('epoch', point.epoch), ('wall_clock_train_s', point.wall_clock_train_s)):
        if amount is not None and not 0 < amount < math.inf:
            return f'{what} {amount}, a long CSV requires one above 0: keep its curve.json'
    return ''


def _rows(path: Path) -> list[_Row]:
    table = CsvTable(path, (*COLUMNS, *COUNTS, WORLD_SIZE), ('kind', 'method'))
    _check_header(path, table.header)
    if not table.rows:
        raise CurveError(f'{path}: holds no rows: give a header and one row per point')
    rows = [_row(path, line, cells) for line, cells in table.rows]
    kinds = {row.kind: row.kind.lower() for row in rows if row.kind not in _KINDS and row.kind.lower() in _KINDS}
    notes = [*table.notes, *(f'kind {kind!r} is read as {name!r}' for kind, name in kinds.items())]
    branches = [row for row in rows if row.kind.lower().startswith('branch')]
    if len({(row.method, row.seed) for row in branches}) < len(branches):
        notes.append('branches count as one run, the table does not have what each took: their cost is a lower bound')
    if notes:
        warnings.warn(f'{path}: {"; ".join(notes)}', UserWarning, stacklevel=3)
    return [row._replace(kind=kinds.get(row.kind, row.kind)) for row in rows]


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise CurveError(f'{path}: holds no rows: give a header and one row per point')
    missing = [name for name in COLUMNS if name not in header and name != 'seed']
    if missing:
        others = [name for name in header if name not in COLUMNS]
        near = {name: found for name in missing for found in difflib.get_close_matches(name, others, n=1, cutoff=0.8)}
        renamed = ''.join(f', rename {found!r} to {name}' for name, found in near.items())
        raise CurveError(
            f'{path}: line 1 has no column {", ".join(missing)}: it needs {",".join(COLUMNS)},<metric>...{renamed}'
        )
    if PEAK in header:
        raise CurveError(f'{path}: line 1 has a column {PEAK!r}: name its metric')
    if not set(header) - {*COLUMNS, *COUNTS, WORLD_SIZE}:
        raise CurveError(f'{path}: line 1 names no metric: add a column for each, such as eval/MulticlassAccuracy')


def _row(path: Path, line: int, at: dict[str, str]) -> _Row:
    for name in ('kind', 'method'):
        if not at[name] or at[name] == 'nan':
            raise CurveError(f'{path}: line {line}, column {name}: is empty: name the {name} of the run')
    places = {*COLUMNS, *COUNTS, WORLD_SIZE}
    values = {name: _number(path, line, name, cell) for name, cell in at.items() if name not in places and cell}
    counts = {name: count for name in COUNTS if (count := _count(path, line, name, at.get(name, '')))}
    return _Row(
        line,
        at['kind'],
        at['method'],
        _seed(path, line, at.get('seed', '')),
        _world_size(path, line, at.get(WORLD_SIZE, '')),
        None if counts and not at['epoch'] else _above_zero(path, line, 'epoch', at['epoch']),
        counts,
        _above_zero(path, line, 'wall_clock_train_s', at['wall_clock_train_s']),
        {name: value for name, value in values.items() if not name.startswith(PEAK)},
        {name.removeprefix(PEAK): value for name, value in values.items() if name.startswith(PEAK)},
    )


def _seed(path: Path, line: int, cell: str) -> int | None:
    whole = _WHOLE.fullmatch(cell)
    if cell and (whole is None or len(whole[1]) > _SEED_DIGITS):
        raise CurveError(f'{path}: line {line}, column seed: {cell!r} is not a whole number: correct or empty it')
    return int(whole[1]) if whole else None


def _world_size(path: Path, line: int, cell: str) -> int | None:
    found = _count(path, line, WORLD_SIZE, cell)
    if found == 0:
        raise CurveError(f'{path}: line {line}, column {WORLD_SIZE}: {cell} must be 1 or more: correct or empty it')
    return found


def _count(path: Path, line: int, column: str, cell: str) -> int | None:
    whole = _WHOLE.fullmatch(cell)
    if cell and (whole is None or len(whole[1]) > _COUNT_DIGITS or int(whole[1]) < 0):
        raise CurveError(f'{path}: line {line}, column {column}: {cell!r} is not a whole number: correct or empty it')
    return int(whole[1]) if whole else None


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = None
    if value is None or not math.isfinite(value):
        raise CurveError(
            f'{path}: line {line}, column {column}: {cell!r} is not a finite number: '
            'correct it, or leave the cell empty where nothing was measured'
        )
    return value


def _above_zero(path: Path, line: int, column: str, cell: str) -> float:
    if not cell:
        raise CurveError(f'{path}: line {line}, column {column}: is empty: every point needs one')
    value = _number(path, line, column, cell)
    if value <= 0:
        hint = ', add 1 to epochs that are counted from 0' if column == 'epoch' and value == 0 else ''
        raise CurveError(f'{path}: line {line}, column {column}: {cell} must be above 0{hint}')
    return value


def _curve(path: str | os.PathLike[str], rows: list[_Row]) -> TradeoffCurve:
    first = rows[0]
    column = 'epoch' if all(row.epoch is not None for row in rows) else _common_count(path, rows)
    position = {row.line: row.epoch or 0 if column == 'epoch' else row.counts[column] for row in rows}
    rows = sorted(rows, key=lambda row: position[row.line])
    for before, row in pairwise(rows):
        if position[before.line] == position[row.line]:
            raise CurveError(
                f'{os.fspath(path)}: lines {before.line} and {row.line}, column {column}: both are '
                f'{position[row.line]:g} in {row.kind}, {row.method}: give the runs different seeds'
            )
    if other := next((row for row in rows if row.world_size != first.world_size), None):
        raise CurveError(
            f'{os.fspath(path)}: lines {first.line} and {other.line}, column {WORLD_SIZE}: {first.world_size} and '
            f'{other.world_size} in one run of {first.kind}, {first.method}: give all its rows the same number'
        )
    run = Run(f'{os.fspath(path)}:{first.line}', first.kind, first.method, first.seed, world_size=first.world_size)
    return TradeoffCurve(run, [_point(cycle, row) for cycle, row in enumerate(rows)])


def _common_count(path: str | os.PathLike[str], rows: list[_Row]) -> str:
    """Returns the count that all points of a run have, where not all have an epoch."""
    for column in COUNTS:
        if all(column in row.counts for row in rows):
            return column
    lacking = next(row for row in rows if row.epoch is None)
    raise CurveError(f'{os.fspath(path)}: line {lacking.line}, column epoch: is empty: every point needs one')


def _point(cycle: int, row: _Row) -> TradeoffPoint:
    return TradeoffPoint(
        cycle=cycle,
        epoch=row.epoch,
        batch=row.counts.get('batch', 0),
        sample=row.counts.get('sample', 0),
        token=row.counts.get('token', 0),
        wall_clock_train_s=row.time_s,
        wall_clock_total_s=math.nan,
        lr=math.nan,
        metrics=row.metrics,
        peak_metrics=row.peaks,
    )
