"""The histories of Weights & Biases runs, from its server or from folders written offline."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import one_line, printable

__all__ = ['LOGGED_AT', 'RunFilter', 'RunHistory', 'Series', 'offline_runs', 'online_runs', 'read_files']

# W&B's own clock, in seconds.
LOGGED_AT = '_timestamp'
# Rows per request to the server: ten requests per key for a run of 100,000 batches.
_PAGE = 10_000

Series = tuple[NDArray[np.float64], NDArray[np.float64]]
_Logged = defaultdict[str, dict[float, float]]
_T = TypeVar('_T')


@dataclass
class RunHistory:
    """The parts of a W&B run that a curve needs; ``series`` holds the steps of each key, sorted, and its values."""

    run_id: str
    name: str
    group: str = ''
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'run {self.name!r} ({self.run_id})'

    def setting(self, key: str) -> Any:
        """Returns a value of the config by its key, or keys of levels joined with dots; ``None`` if it is not set."""
        if key in self.config:
            return self.config[key]
        value: Any = self.config
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class RunFilter:
    """Selects runs of a project, or of a list of histories.

    Attributes:
        name (str | None): Regular expression to search for in the display name.
        group (str | None): The group.
        tags (tuple[str, ...]): Tags, all of which the run must have.
        config (Mapping[str, Any]): Values that its config must have, by key, levels separated by dots.

    Raises:
        CurveError: If the name is not a regular expression.

    Example:
        >>> keep = RunFilter(name='^digits', config={'pareto.kind': 'cyclic'})
        >>> keep(RunHistory('id', 'digits-17', config={'pareto': {'kind': 'cyclic'}}))
        True
        >>> keep.query()
        {'display_name': {'$regex': '^digits'}, 'config.pareto.kind': 'cyclic'}
    """

    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            re.compile(self.name or '')
        except re.error as error:
            raise CurveError(f'--name {self.name!r} is not a regular expression ({error})') from error

    def __call__(self, history: RunHistory) -> bool:
        """Returns whether a run that was read is selected."""
        return (
            re.search(self.name or '', history.name) is not None
            and self.group in (None, history.group)
            and set(self.tags) <= set(history.tags)
            and all(history.setting(key) == value for key, value in self.config.items())
        )

    def query(self) -> dict[str, Any]:
        """Returns the selection as a query of the W&B server."""
        parts = {
            'display_name': None if self.name is None else {'$regex': self.name},
            'group': self.group,
            '$and': [{'tags': {'$in': [tag]}} for tag in self.tags] or None,
        }
        chosen = {key: part for key, part in parts.items() if part is not None}
        return chosen | {f'config.{key}': value for key, value in self.config.items()}


def online_runs(
    project: str, keep: RunFilter, want: Callable[[str], bool]
) -> tuple[list[RunHistory], list[CurveError]]:
    """Reads the selected runs of ``ENTITY/PROJECT``, and returns them, and an error for each that cannot be read."""
    import wandb

    if project.count('/') != 1:
        raise CurveError(f'{project}: must be an existing path or ENTITY/PROJECT')
    if wandb.api.api_key is None:
        raise CurveError(
            f"{project}: not logged in to Weights & Biases: run 'wandb login', set WANDB_API_KEY, or name "
            'offline run folders'
        )
    try:
        runs = list(wandb.Api(timeout=60).runs(project, filters=keep.query(), per_page=100))
    except Exception as error:  # of wandb, requests and others
        raise CurveError(f'{project}: W&B cannot list its runs: {_described(error)}') from error
    histories, errors = [], []
    for run in _progress(runs, project):
        history = RunHistory(run.id, run.name, run.group or '', tuple(run.tags or ()), dict(run.config))
        try:
            history.series = _sorted(_scanned(run, want))
            histories.append(history)
        except Exception as error:  # likewise; other runs may be readable
            errors.append(CurveError(f'{history}: its history cannot be read: {_described(error)}'))
    return histories, errors


def offline_runs(path: Path, keep: RunFilter, want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
    """Reads the selected runs in the ``.wandb`` files at or under a path, as :func:`read_files` does."""
    # By name and so by time; a file with two links comes once.
    files = [path] if path.is_file() else sorted({file.resolve() for file in path.rglob('*.wandb') if file.is_file()})
    if not files:
        raise CurveError(f'{path}: no .wandb file in this folder: name a folder written by W&B offline')
    histories, errors = read_files(_progress(files, str(path)), want)
    return [history for history in histories if keep(history)], errors


def read_files(files: Iterable[Path], want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
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
        history.series = _sorted(logged[run_id])
    return list(runs.values()), errors


def _scanned(run: Any, want: Callable[[str], bool]) -> _Logged:
    """Scans one key at a time, because the server returns only rows that have all requested keys."""
    logged: _Logged = defaultdict(dict)
    for key in (key for key in run.summary_metrics if want(key) and not key.startswith('_')):
        for row in run.scan_history(keys=['_step', LOGGED_AT, key], page_size=_PAGE):
            for name in (key, LOGGED_AT):
                if (number := _number(row.get(name))) is not None:
                    logged[name][float(row['_step'])] = number
    return logged


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


def _sorted(logged: _Logged) -> dict[str, Series]:
    return {
        key: (np.array(sorted(by_step)), np.array([by_step[step] for step in sorted(by_step)], dtype=np.float64))
        for key, by_step in logged.items()
    }


def _described(error: Exception) -> str:
    return f'{type(error).__name__}: {one_line(error)[:200]}'


def _progress(items: Sequence[_T], source: str) -> Iterable[_T]:
    return track(items, description=escape(printable(source)), console=Console(stderr=True), transient=True)
