"""Curves as a long CSV, one row per point: for spreadsheets, other plotting tools, and results from elsewhere."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from composer_clr.curves.axes import COUNTS, distinct_points, shared_counts
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import ANYTIME, BRANCH, CYCLIC, LOG, SCHEDULE_FREE, STANDARD, WSD_S
from composer_clr.curves.table_file import COLUMNS, HELP, OPTIONAL, PEAK, TEXTS, read_table, table_number

__all__ = ['long_csv', 'read_long_csv', 'writable_curves']

# Columns of whole numbers, and the least of each.
_LEAST = {'seed': -math.inf, 'batch': 0, 'sample': 0, 'token': 0, 'world_size': 1}
# A column of whole numbers in which some are missing is written with decimals by pandas.
_WHOLE = re.compile(r'([+-]?[0-9]{1,20})(?:\.0*)?')
_KINDS = (STANDARD, CYCLIC, WSD_S, BRANCH, ANYTIME, SCHEDULE_FREE, LOG)


class _Row(NamedTuple):
    """A line of the file, and what its columns hold; an empty cell holds nothing."""

    line: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        return f'{self.values["kind"]}, {self.values["method"]}'


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
    path, notes = Path(path), list[str]()
    try:
        curves = _curves(path, notes)
    except CurveError as error:
        raise CurveError(f'{path}: {error}') from error.__cause__
    if notes:
        warnings.warn(f'{path}: {"; ".join(dict.fromkeys(notes))}', UserWarning, stacklevel=2)
    return curves


def _curves(path: Path, notes: list[str]) -> list[TradeoffCurve]:
    rows = [_row(line, cells, notes) for line, cells in read_table(path, notes)]
    trained = [row for row in rows if not _is_untrained(row)]
    if len(trained) < len(rows):
        notes.append(f'evaluations before training are left out (epoch 0, {len(rows) - len(trained)} rows)')
    runs: dict[tuple[Any, ...], list[_Row]] = defaultdict(list)
    for row in trained:
        key = tuple(row.values.get(name) for name in ('kind', 'method', 'seed'))
        runs[(row.line,) if row.values['kind'] == STANDARD else key].append(row)
    curves = [_curve(f'{path}:{rows[0].line}', rows, notes) for rows in runs.values()]
    if any(curve.run.kind.startswith(BRANCH) and len(curve.points) > 1 for curve in curves):
        notes.append('branches count as one run, the table does not have what each took: their cost is a lower bound')
    if not all(curve.is_timed for curve in curves):
        notes.append('runs without wall_clock_train_s are compared by epochs alone')
    return curves


def _row(line: int, cells: dict[str, str], notes: list[str]) -> _Row:
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        try:
            if cell or name in TEXTS:
                values[name] = _value(name, cell)
        except ValueError as error:
            raise CurveError(f'line {line}, column {name}: {error}') from None
    kind = values['kind']
    if kind.lower() in _KINDS and kind != kind.lower():
        notes.append(f'kind {kind!r} is read as {kind.lower()!r}')
        values['kind'] = kind.lower()
    return _Row(line, values)


def _value(name: str, cell: str) -> str | int | float:
    """Returns what a cell holds, or raises ValueError with what would be right."""
    if name in TEXTS:
        if cell in ('', 'nan'):
            raise ValueError(f'is empty: name the {name} of the run')
        return cell
    if name in _LEAST:
        whole = _WHOLE.fullmatch(cell)
        # A larger count cannot be computed with.
        if whole is None or (name != 'seed' and int(whole[1]) >= 2**63):
            raise ValueError(f'{cell[:40]!r} is not a whole number: correct or empty it')
        if int(whole[1]) < _LEAST[name]:
            raise ValueError(f'{cell} must be {_LEAST[name]} or more: correct or empty it')
        return int(whole[1])
    if not math.isfinite(value := table_number(cell)):
        raise ValueError(
            f'{cell[:40]!r} is not a finite number: correct it, or leave the cell empty where nothing was measured'
        )
    return value


def _is_untrained(row: _Row) -> bool:
    """Returns whether a row is of an evaluation before training, and not of an epoch that is counted from 0."""
    counts = [row.values[name] for name in COUNTS[1:] if name in row.values]
    starts = bool(counts) or row.values.get('wall_clock_train_s') == 0
    return starts and not any(counts) and row.values.get('epoch', 0) == 0


def _curve(name: str, rows: list[_Row], notes: list[str]) -> TradeoffCurve:
    first = rows[0].values
    ranks = first.get('world_size')
    axis = next((one for one in COUNTS if all(row.values.get(one) for row in rows)), 'epoch')
    for row in rows:
        for counted in {axis} | ({'epoch'} & row.values.keys()):
            _check_amount(row, counted)
        if (other := row.values.get('world_size')) != ranks:
            raise CurveError(
                f'lines {rows[0].line} and {row.line}, column world_size: {ranks} and {other} in one run of '
                f'{row.name}: give all its rows the same number'
            )
    joined: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.values[axis]):
        if joined and joined[-1].values[axis] == row.values[axis]:
            row = _joined(joined.pop(), row, axis)
            notes.append(f'rows that two loggers wrote at one {axis} are joined')
        joined.append(row)
    if any('wall_clock_train_s' in row.values for row in joined):
        for row in joined:
            _check_amount(row, 'wall_clock_train_s')
    points = [_point(cycle, row.values) for cycle, row in enumerate(joined)]
    _check_rising(first['kind'], points, [f'line {row.line}' for row in joined])
    return TradeoffCurve(Run(name, first['kind'], first['method'], first.get('seed'), world_size=ranks), points)


def _check_amount(row: _Row, name: str) -> None:
    amount = row.values.get(name)
    if amount is None or amount <= 0:
        from_0 = f': add 1 to epochs that are counted from 0, or leave out what precedes training; {HELP}'
        fault = 'is empty: every point of a run needs one' if amount is None else f'{amount:g} must be above 0'
        raise CurveError(f'line {row.line}, column {name}: {fault}{from_0 if name == "epoch" and amount == 0 else ""}')


def _joined(one: _Row, other: _Row, axis: str) -> _Row:
    """Joins the rows of two loggers at one epoch: each measures what the other does not, and nothing differs."""
    shared = one.values.keys() & other.values.keys()
    differing = sorted(name for name in shared if one.values[name] != other.values[name])
    are_two_loggers = bool(one.values.keys() - shared) and bool(other.values.keys() - shared)
    if differing or not are_two_loggers:
        remedy = f'give both one {", ".join(differing[:5])}' if are_two_loggers else f'keep one row per {axis}'
        raise CurveError(
            f'lines {one.line} and {other.line}, column {axis}: both are {one.values[axis]:g} in {one.name}: give the '
            f'runs different seeds; of one run, {remedy}; {HELP}'
        )
    return _Row(one.line, one.values | other.values)


def _check_rising(kind: str, points: Sequence[TradeoffPoint], places: Sequence[str]) -> None:
    """Refuses times that do not rise within a run; branches of one table are runs of their own."""
    for (before, point), place in zip(pairwise(points), places[1:], strict=True):
        if not kind.startswith(BRANCH) and point.wall_clock_train_s <= before.wall_clock_train_s:
            raise CurveError(
                f'{place}, column wall_clock_train_s: {point.wall_clock_train_s:g} after '
                f'{before.wall_clock_train_s:g} does not rise: give the seconds of training since the start of the '
                f'run, not those of each epoch; {HELP}'
            )


def _point(cycle: int, values: dict[str, Any]) -> TradeoffPoint:
    metrics = {name: value for name, value in values.items() if name not in (*COLUMNS, *OPTIONAL)}
    return TradeoffPoint(
        cycle=cycle,
        epoch=values.get('epoch'),
        **{name: values.get(name, 0) for name in COUNTS[1:]},
        wall_clock_train_s=values.get('wall_clock_train_s', math.nan),
        wall_clock_total_s=math.nan,
        lr=math.nan,
        metrics={name: value for name, value in metrics.items() if not name.startswith(PEAK)},
        peak_metrics={name.removeprefix(PEAK): value for name, value in metrics.items() if name.startswith(PEAK)},
    )


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
    rows, metrics = list[dict[str, Any]](), dict[str, None]()
    for curve in curves:
        run = curve.run
        ranks = {point.world_size or run.world_size for point in curve.points}
        of_run = {'kind': run.kind, 'method': run.method, 'seed': run.seed}
        of_run['world_size'] = run.world_size if ranks == {run.world_size} else None
        for point in curve.points:
            values = point.metrics | {f'{PEAK}{name}': value for name, value in point.peak_metrics.items()}
            metrics |= dict.fromkeys(values)
            sound = {} if point.diverged or point.stopped else values
            counts = {'epoch': point.epoch} | {name: getattr(point, name) or None for name in COUNTS[1:]}
            time_s = {'wall_clock_train_s': point.wall_clock_train_s if curve.is_timed else None}
            rows.append(
                {name: value for name, value in sound.items() if math.isfinite(value)} | of_run | counts | time_s
            )
    filled = {name for row in rows for name, value in row.items() if value is not None}
    ordered = sorted(metrics, key=lambda name: name.startswith(PEAK))
    text = io.StringIO(newline='')
    columns = [*COLUMNS, *(name for name in OPTIONAL if name in filled), *ordered]
    writer = csv.DictWriter(text, columns, extrasaction='ignore', lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
    kept, errors = list[TradeoffCurve](), list[CurveError]()
    for curve in curves:
        run, key = curve.run, (curve.run.kind, curve.run.method, curve.run.seed)
        faults = [_unwritable(point, curve.is_timed) for point in curve.points]
        errors += [
            CurveError(
                f'run {curve.place!r}: a point has {fault}, a long CSV requires one above 0: keep its curve.json'
            )
            for fault in filter(None, faults)
        ]
        written = curve.of_points(point for point, fault in zip(curve.points, faults, strict=True) if not fault)
        try:
            if run.kind != STANDARD and key in seen:
                raise CurveError(
                    f'runs {seen[key]!r} and {curve.place!r} are both {run.kind}, {run.method}, seed {run.seed}: '
                    'a long CSV cannot distinguish them, write them to two files'
                )
            if not (counted := shared_counts(written.points)):
                raise CurveError(
                    f'run {curve.place!r} counts neither epochs nor batches, a long CSV requires one: '
                    'keep its curve.json'
                )
            written.points = list(distinct_points(written, counted[0]).values())
            _check_rising(run.kind, written.points, [f'run {curve.place!r}'] * len(written.points))
        except CurveError as error:
            errors.append(error)
        else:
            seen[key] = curve.place
            kept.extend([written] if written.points else [])
    return kept, errors


def _unwritable(point: TradeoffPoint, is_timed: bool) -> str:
    """Returns the epoch or time of a point that no table can have; nothing where both are sound or not known."""
    amounts = {'epoch': point.epoch, 'wall_clock_train_s': point.wall_clock_train_s if is_timed else None}
    return next((f'{name} {x}' for name, x in amounts.items() if x is not None and not 0 < x < math.inf), '')
