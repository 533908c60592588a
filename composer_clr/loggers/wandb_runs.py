"""The histories of Weights & Biases runs, from its server or from folders written offline."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from composer_clr.curves.curve import CurveError
from composer_clr.loggers.history import LOGGED_AT, RunFilter, RunHistory, described, progress, series
from composer_clr.utils.errors import one_line

__all__ = ['read_files', 'wandb_runs']

# Rows per request to the server: ten requests per key for a run of 100,000 batches.
_PAGE = 10_000

_Logged = defaultdict[str, dict[float, float]]
_Found = tuple[list[RunHistory], list[CurveError]]


def wandb_runs(source: str, keep: RunFilter, want: Callable[[str], bool]) -> _Found:
    """Reads the selected runs of a project ``ENTITY/PROJECT``, or of the ``.wandb`` files at or under a path."""
    path = Path(source)
    if not path.exists():
        return _online(source, keep, want)
    # By name and so by time; a file with two links comes once.
    files = [path] if path.is_file() else sorted({file.resolve() for file in path.rglob('*.wandb') if file.is_file()})
    if not files:
        raise CurveError(f'{path}: no .wandb file in this folder: name a folder written by W&B offline')
    histories, errors = read_files(progress(files, source), want)
    return [history for history in histories if keep(history)], errors


def _online(project: str, keep: RunFilter, want: Callable[[str], bool]) -> _Found:
    import wandb

    if project.count('/') != 1:
        raise CurveError(f'{project}: must be an existing path or ENTITY/PROJECT')
    if wandb.api.api_key is None:
        raise CurveError(
            f"{project}: not logged in to Weights & Biases: run 'wandb login', set WANDB_API_KEY, or name "
            'offline run folders'
        )
    query = {
        'display_name': None if keep.name is None else {'$regex': keep.name},
        'group': keep.group,
        '$and': [{'tags': {'$in': [tag]}} for tag in keep.tags] or None,
        **{f'config.{key}': value for key, value in keep.config.items()},
    }
    query = {key: part for key, part in query.items() if part is not None}
    try:
        runs = list(wandb.Api(timeout=60).runs(project, filters=query, per_page=100))
    except Exception as error:  # of wandb, requests and others
        raise CurveError(f'{project}: W&B cannot list its runs: {described(error)}') from error
    histories, errors = [], []
    for run in progress(runs, project):
        history = RunHistory(run.id, run.name, run.group or '', tuple(run.tags or ()), dict(run.config))
        try:
            history.series = series(_scanned(run, want))
            histories.append(history)
        except Exception as error:  # likewise; other runs may be readable
            errors.append(CurveError(f'{history}: its history cannot be read: {described(error)}'))
    return histories, errors


def _scanned(run: Any, want: Callable[[str], bool]) -> _Logged:
    """Scans one key at a time, because the server returns only rows that have all requested keys."""
    logged: _Logged = defaultdict(dict)
    for key in (key for key in run.summary_metrics if want(key) and not key.startswith('_')):
        for row in run.scan_history(keys=['_step', LOGGED_AT, key], page_size=_PAGE):
            for name in (key, LOGGED_AT):
                if (number := _number(row.get(name))) is not None:
                    logged[name][float(row['_step'])] = number
    return logged


def read_files(files: Iterable[Path], want: Callable[[str], bool]) -> _Found:
    """Returns the runs in ``.wandb`` files, and what is wrong with each file that holds none.

    Files with the same run id are one run that was resumed; where they differ, the later one counts. Of a run that was
    killed, everything up to the record that the kill cut short is read.
    """
    runs: dict[str, RunHistory] = {}
    logged: dict[str, _Logged] = defaultdict(lambda: defaultdict(dict))
    errors: list[CurveError] = []
    for file in files:
        run: RunHistory | None = None
        try:
            for record in _records(file):
                if record.WhichOneof('record_type') == 'run':
                    new = record.run
                    name = new.display_name or new.run_id
                    run = runs.setdefault(new.run_id, RunHistory(new.run_id, name, new.run_group, tuple(new.tags)))
                    _update(run.config, new.config.update)
                elif run is not None:
                    _update(run.config, record.config.update)
                    row = _row(record, want)
                    step = row.pop('_step', math.nan)
                    for key, value in row.items() if math.isfinite(step) else ():
                        logged[run.run_id][key][step] = value
        except CurveError as error:
            errors.append(error)
        else:
            if run is None:
                errors.append(
                    CurveError(f"{file}: no run can be read from it: a kill left it empty, or it is not W&B's")
                )
    for run_id, history in runs.items():
        history.series = series(logged[run_id])
    return list(runs.values()), errors


def _records(file: Path) -> Iterator[Any]:
    """Yields the records of a file up to the first that is cut short or damaged, as the last of a killed run may be."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    try:
        try:
            store.open_for_scan(str(file))
        except Exception as error:  # the reader asserts and unpacks
            raise CurveError(f'{file}: no run can be read from it: {one_line(error)}') from error
        while True:
            try:
                data = store.scan_data()
            except Exception:  # likewise
                return
            if data is None:
                return
            # Its type stubs are of another protobuf.
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            try:
                record.ParseFromString(data)
            except DecodeError:
                continue
            yield record
    finally:
        store.close()


def _row(record: Any, want: Callable[[str], bool]) -> dict[str, float]:
    row = {}
    for item in record.history.item:
        key = item.key or '.'.join(item.nested_key)
        if (key == '_step' or want(key)) and (number := _number(_json(item.value_json))) is not None:
            row[key] = number
    return row


def _update(config: dict[str, Any], update: Any) -> None:
    for item in update:
        *levels, key = list(item.nested_key) or [item.key]
        level = config
        for part in levels:
            below = level.get(part)
            level[part] = level = below if isinstance(below, dict) else {}
        level[key] = _json(item.value_json)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> float | None:
    """Returns a value as a number; W&B writes those that JSON does not have as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return float(value) if value in ('NaN', 'Infinity', '-Infinity') else None
