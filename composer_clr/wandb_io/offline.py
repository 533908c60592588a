"""Reads the run folders that Weights & Biases writes where it is offline, with its own reader."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore

from composer_clr.curves.curve import CurveError
from composer_clr.wandb_io.history import RunHistory

__all__ = ['logged_values', 'read_histories', 'run_files']

# Its type stubs are of another protobuf.
_Record: Any = wandb_internal_pb2.Record


def run_files(path: Path) -> list[Path]:
    """The ``.wandb`` files at or under a path, in order of name, which is one of time; links are not followed twice."""
    if path.is_file():
        return [path]
    return sorted({file.resolve() for file in path.rglob('*.wandb') if file.is_file()})


def read_histories(files: Iterable[Path], want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
    """Read runs; files of one run id are one run that was resumed, of which later ones count where they differ.

    A file of a run that was killed ends in the middle of a record: what is whole before it is read.

    Args:
        files (Iterable[Path]): ``.wandb`` files, the earlier of a run before the later.
        want (Callable[[str], bool]): Which keys to read.

    Returns:
        tuple[list[RunHistory], list[CurveError]]: The runs in the order of their first files, and what was wrong with
        the files that hold none.
    """
    runs: dict[str, _Gathered] = {}
    errors: list[CurveError] = []
    for file in files:
        try:
            _read_file(file, want, runs)
        except CurveError as error:
            errors.append(error)
    return [run.history() for run in runs.values()], errors


def logged_values(file: Path, key: str) -> set[float]:
    """Every number that a run logged under a key; none for a file that was left empty by a kill.

    Other rows are passed over unread, so that a history of days takes seconds.
    """
    values: set[float] = set()
    if file.stat().st_size:
        for data in _records(file):
            if key.encode() in data:
                row = _row(_parsed(data), lambda name: name == key)
                values.update(row.values())
    return values


class _Gathered:
    """A run as its files tell it, one after the other."""

    def __init__(self, record: Any):
        run = record.run
        self.run_id, self.name, self.group = run.run_id, run.display_name or run.run_id, run.run_group
        self.tags = tuple(run.tags)
        self.config: dict[str, Any] = {}
        self.series: dict[str, dict[float, float]] = defaultdict(dict)

    def history(self) -> RunHistory:
        series = {}
        for key, by_step in self.series.items():
            steps = np.array(sorted(by_step), dtype=np.float64)
            series[key] = steps, np.array([by_step[step] for step in steps], dtype=np.float64)
        return RunHistory(self.run_id, self.name, self.group, self.tags, self.config, series)


def _read_file(file: Path, want: Callable[[str], bool], runs: dict[str, _Gathered]) -> None:
    run: _Gathered | None = None
    for data in _records(file):
        record = _parsed(data)
        kind = record.WhichOneof('record_type')
        if kind == 'run':
            run = runs.setdefault(record.run.run_id, _Gathered(record))
            _take_config(run.config, record.run.config.update)
        elif kind == 'config' and run is not None:
            _take_config(run.config, record.config.update)
        elif kind == 'history' and run is not None:
            row = _row(record, lambda name: name == '_step' or want(name))
            step = row.pop('_step', None)
            if step is not None and math.isfinite(step):
                for name, value in row.items():
                    run.series[name][step] = value
    if run is None:
        raise CurveError(f'{file}: no run can be read from it: it was left empty by a kill, or is no file of W&B')


def _records(file: Path) -> Iterator[bytes]:
    """The records of a file up to the first that is not whole."""
    store = DataStore()
    try:
        try:
            store.open_for_scan(str(file))
        except OSError as error:
            raise CurveError(f'{file}: cannot be read ({error})') from error
        except Exception as error:  # the reader asserts and unpacks
            raise CurveError(f'{file}: no run can be read from it: {error}') from error
        while True:
            try:
                data = store.scan_data()
            except Exception:  # likewise: cut short, or not what was written
                return
            if data is None:
                return
            yield data
    finally:
        store.close()


def _parsed(data: bytes) -> Any:
    record = _Record()
    try:
        record.ParseFromString(data)
    except DecodeError:
        record.Clear()
    return record


def _name(item: Any) -> str:
    return item.key or '.'.join(item.nested_key)


def _row(record: Any, want: Callable[[str], bool]) -> dict[str, float]:
    """A history row's numbers under the wanted keys."""
    row = {}
    for item in record.history.item:
        name = _name(item)
        if want(name):
            value = _json(item.value_json)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                row[name] = _number(value)
            elif value in ('NaN', 'Infinity', '-Infinity'):
                row[name] = float(value)
    return row


def _take_config(config: dict[str, Any], update: Any) -> None:
    for item in update:
        value = _json(item.value_json)
        path = list(item.nested_key) or [item.key]
        level = config
        for part in path[:-1]:
            below = level.get(part)
            level[part] = level = below if isinstance(below, dict) else {}
        level[path[-1]] = value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
