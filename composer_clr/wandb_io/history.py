"""The histories of Weights & Biases runs, from its server or from folders written offline: the keys a curve needs."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import one_line

__all__ = [
    'EPOCH',
    'LOGGED_AT',
    'SAMPLE',
    'TIMES',
    'TOKEN',
    'ClockUnit',
    'Keys',
    'RunFilter',
    'RunHistory',
    'Series',
    'find_runs',
    'logged_values',
    'metric_keys',
    'metric_name',
    'present',
    'rate_key',
    'read_histories',
    'read_history',
    'run_files',
    'wanted',
]

# Rows per request to the server: ten requests per key for a run of 100,000 batches.
_PAGE = 10_000
ClockUnit = Literal['seconds', 'minutes', 'hours', 'days']

# Logged by this package; a recovered curve does not use it.
_OWN = ('pareto/', 'pareto-by-epoch/')
_METRICS, _TRAINING_METRICS = 'metrics/', 'metrics/train/'
TIMES = ('time/train', 'wall_clock/train')
EPOCH, SAMPLE, TOKEN, LOGGED_AT = 'time/epoch', 'time/sample', 'time/token', '_timestamp'
_RATE = re.compile(r'(^|[^a-z])(lr|learning[-_ ]?rate)([^a-z]|$)', re.IGNORECASE)

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Keys:
    """The keys of a run to read; by default those under which Composer's callbacks log.

    Attributes:
        lr (str | None): The learning rate. Default: ``None``, ``lr-{optimizer}/group0`` as ``LRMonitor`` logs it, or
            any key that contains the word ``lr`` or ``learning_rate``.
        time (str | None): Training time. Default: ``None``, ``SpeedMonitor``'s ``time/train`` or ``wall_clock/train``.
        time_unit (ClockUnit | None): Its unit. Default: ``None``, the largest unit in which it is not faster than W&B's
            clock.
        metrics (tuple[str, ...]): The metrics. Default: ``()``, all under ``metrics/`` except ``metrics/train/``.
        method (str | None): Key of the method in the config, levels separated by dots. Default: ``None``, from the
            algorithms that Composer logs as ``enabled_algorithms/...``.
        batches_per_epoch (float | None): Batches per epoch, > 0. Default: ``None``, from ``time/epoch``;
            a run of less than an epoch counts batches, samples and tokens.
        window_epochs (float): Epochs before a trough in which its best value may lie, >= 0, within the cycle. Default:
            ``0.0``.
        first_step (float): Step at which the first batch is logged; the steps of a run that counts from 0 are one
            short of its batches. Default: ``1.0``.
    """

    lr: str | None = None
    time: str | None = None
    time_unit: ClockUnit | None = None
    metrics: tuple[str, ...] = ()
    method: str | None = None
    batches_per_epoch: float | None = None
    window_epochs: float = 0.0
    first_step: float = 1.0

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in get_args(ClockUnit):
            raise CurveError(f'time unit {self.time_unit!r}: choose one of {", ".join(get_args(ClockUnit))}')
        if not math.isfinite(self.first_step):
            raise CurveError(f'first_step={self.first_step}: must be a step, such as 0 or 1')
        if not 0 <= self.window_epochs < math.inf:
            raise CurveError(f'window={self.window_epochs}: must be 0 or more epochs')
        if self.batches_per_epoch is not None and not 0 < self.batches_per_epoch < math.inf:
            raise CurveError(f'batches_per_epoch={self.batches_per_epoch}: must be above 0')


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


class RunFilter:
    """Selects runs of a project, or of a list of histories.

    Args:
        name (str | None): Regular expression to search for in the display name.
        group (str | None): The group.
        tags (tuple[str, ...]): Tags, all of which the run must have.
        config (dict[str, Any]): Values that its config must have, by key, levels separated by dots.

    Raises:
        CurveError: If the name is not a regular expression.

    Example:
        >>> keep = RunFilter(name='^digits', config={'pareto.kind': 'cyclic'})
        >>> keep(RunHistory('id', 'digits-17', config={'pareto': {'kind': 'cyclic'}}))
        True
        >>> keep.query()
        {'display_name': {'$regex': '^digits'}, 'config.pareto.kind': 'cyclic'}
    """

    def __init__(
        self,
        name: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        config: Mapping[str, Any] | None = None,
    ):
        try:
            self._pattern = None if name is None else re.compile(name)
        except re.error as error:
            raise CurveError(f'--name {name!r} is not a regular expression ({error})') from error
        self._group, self._tags, self._config = group, tags, dict(config or {})

    def __call__(self, history: RunHistory) -> bool:
        """Returns whether a run that was read is selected."""
        if self._pattern is not None and not self._pattern.search(history.name):
            return False
        if self._group is not None and history.group != self._group:
            return False
        return set(self._tags) <= set(history.tags) and all(
            history.setting(key) == value for key, value in self._config.items()
        )

    def query(self) -> dict[str, Any]:
        """Returns the selection as a query of the W&B server."""
        query: dict[str, Any] = {}
        if self._pattern is not None:
            query['display_name'] = {'$regex': self._pattern.pattern}
        if self._group is not None:
            query['group'] = self._group
        if self._tags:
            query['$and'] = [{'tags': {'$in': [tag]}} for tag in self._tags]
        return query | {f'config.{key}': value for key, value in self._config.items()}


def wanted(keys: Keys) -> Callable[[str], bool]:
    """Returns the test for keys of a history to read: a run of days holds millions of other values."""
    named = {key for key in (keys.lr, keys.time, *keys.metrics, EPOCH, SAMPLE, TOKEN, LOGGED_AT) if key is not None}

    def want(key: str) -> bool:
        if key.startswith(_OWN):
            return False
        return key in named or key in TIMES or _is_metric(key) or bool(_RATE.search(key))

    return want


def rate_key(history: RunHistory, keys: Keys) -> str:
    """Returns the key of the learning rate; raises CurveError if the run did not log one."""
    if keys.lr is not None:
        return present(history, keys.lr, 'learning rate', '--lr-key')
    found = sorted(key for key in history.series if _RATE.search(key))
    # The first parameter group, as in curve.json.
    found.sort(key=lambda key: not (key.startswith('lr-') and key.endswith('/group0')))
    if not found:
        raise CurveError(
            f"{history}: did not log a learning rate: add Composer's LRMonitor, or name its key (--lr-key)"
        )
    return found[0]


def metric_keys(history: RunHistory, keys: Keys) -> list[str]:
    """Returns the keys of the metrics; raises CurveError if the run did not log one."""
    if keys.metrics:
        return [present(history, key, 'metric', '--metric') for key in keys.metrics]
    found = [key for key in history.series if _is_metric(key)]
    if not found:
        raise CurveError(f'{history}: did not log a metric of an evaluation under metrics/: name its key (--metric)')
    return found


def present(history: RunHistory, key: str, what: str, option: str) -> str:
    """Returns a key that the run logged; raises CurveError, which names what it is and its option, if it did not."""
    if key not in history.series:
        raise CurveError(f'{history}: did not log {key!r}: name the key of its {what} ({option})')
    return key


def _is_metric(key: str) -> bool:
    return key.startswith(_METRICS) and not key.startswith(_TRAINING_METRICS)


def metric_name(key: str) -> str:
    """Removes the prefix: Composer logs the accuracy of the evaluator ``eval`` as ``metrics/eval/accuracy``."""
    return key.removeprefix(_METRICS)


def find_runs(project: str, keep: RunFilter) -> list[Any]:
    """Returns the selected runs of ``ENTITY/PROJECT``; raises CurveError if the server does not list them."""
    import wandb

    if wandb.api.api_key is None:
        raise CurveError(
            f"{project}: not logged in to Weights & Biases: run 'wandb login', set WANDB_API_KEY, or name "
            'offline run folders'
        )
    try:
        return list(wandb.Api(timeout=60).runs(project, filters=keep.query(), per_page=100))
    except Exception as error:  # of wandb, requests and others
        raise CurveError(f'{project}: W&B cannot list its runs: {_one_line(error)}') from error


def read_history(run: Any, want: Callable[[str], bool]) -> RunHistory:
    """Reads the history of a run of :class:`wandb.Api`; raises CurveError if it cannot be read.

    Keys are scanned one at a time, in pages, because the server returns only rows that have all requested keys; each
    row has W&B's clock.
    """
    history = RunHistory(run.id, run.name, run.group or '', tuple(run.tags or ()), dict(run.config))
    series: dict[str, dict[float, float]] = defaultdict(dict)
    try:
        for key in (key for key in run.summary_metrics if want(key) and not key.startswith('_')):
            for row in run.scan_history(keys=['_step', LOGGED_AT, key], page_size=_PAGE):
                for name in (key, LOGGED_AT):
                    if (number := _number(row.get(name))) is not None:
                        series[name][float(row['_step'])] = number
    except Exception as error:  # as above; other runs may be readable
        raise CurveError(f'{history}: its history cannot be read: {_one_line(error)}') from error
    history.series = _sorted(series)
    return history


def _one_line(error: Exception) -> str:
    return f'{type(error).__name__}: {one_line(error)[:200]}'


def run_files(path: Path) -> list[Path]:
    """Returns the ``.wandb`` files at or under a path, by name and so by time; a file with two links comes once."""
    if path.is_file():
        return [path]
    return sorted({file.resolve() for file in path.rglob('*.wandb') if file.is_file()})


def read_histories(files: Iterable[Path], want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
    """Returns the runs in ``.wandb`` files, and what is wrong with each file that holds none.

    Files with the same run id are one run that was resumed; where they differ, the later one counts. Of a run that was
    killed, everything up to the record that the kill cut short is read.
    """
    runs: dict[str, _Gathered] = {}
    errors: list[CurveError] = []
    for file in files:
        try:
            _read_file(file, want, runs)
        except CurveError as error:
            errors.append(error)
    for run in runs.values():
        run.history.series = _sorted(run.series)
    return [run.history for run in runs.values()], errors


class _Gathered:
    """Gathers a run from its files, one after the other."""

    def __init__(self, record: Any):
        run = record.run
        self.history = RunHistory(run.run_id, run.display_name or run.run_id, run.run_group, tuple(run.tags))
        self.series: dict[str, dict[float, float]] = defaultdict(dict)

    def update_config(self, update: Any) -> None:
        for item in update:
            *levels, key = list(item.nested_key) or [item.key]
            level = self.history.config
            for part in levels:
                below = level.get(part)
                level[part] = level = below if isinstance(below, dict) else {}
            level[key] = _json(item.value_json)


def _read_file(file: Path, want: Callable[[str], bool], runs: dict[str, _Gathered]) -> None:
    run: _Gathered | None = None
    for record in map(_parsed, _scanned(file)):
        kind = record.WhichOneof('record_type')
        if kind == 'run':
            run = runs.setdefault(record.run.run_id, _Gathered(record))
            run.update_config(record.run.config.update)
        elif kind == 'config' and run is not None:
            run.update_config(record.config.update)
        elif kind == 'history' and run is not None:
            row = _history_row(record, lambda name: name == '_step' or want(name))
            step = row.pop('_step', None)
            if step is not None and math.isfinite(step):
                for name, value in row.items():
                    run.series[name][step] = value
    if run is None:
        raise CurveError(f'{file}: no run can be read from it: a kill left it empty, or it is not a file of W&B')


def logged_values(file: Path, key: str) -> set[float]:
    """Returns every number that a run logged under a key; none for a file that a kill left empty.

    Records without the key are not parsed, so that a history of days takes seconds.
    """
    values: set[float] = set()
    if file.stat().st_size:
        for data in _scanned(file):
            if key.encode() in data:
                values.update(_history_row(_parsed(data), lambda name: name == key).values())
    return values


def _history_row(record: Any, want: Callable[[str], bool]) -> dict[str, float]:
    """Returns the numbers in a row of the history, by key; any other record has no row."""
    row = {}
    for item in record.history.item:
        key = item.key or '.'.join(item.nested_key)
        if want(key) and (number := _number(_json(item.value_json))) is not None:
            row[key] = number
    return row


def _scanned(file: Path) -> Iterator[bytes]:
    """Yields the records of a file up to the first that is cut short or damaged, as the last of a killed run may be."""
    from wandb.sdk.internal.datastore import DataStore

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
            except Exception:  # likewise: cut short, or damaged
                return
            if data is None:
                return
            yield data
    finally:
        store.close()


def _parsed(data: bytes) -> Any:
    from wandb.proto import wandb_internal_pb2

    # Its type stubs are of another protobuf.
    record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
    try:
        record.ParseFromString(data)
    except DecodeError:
        record.Clear()
    return record


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


def _sorted(series: Mapping[str, Mapping[float, float]]) -> dict[str, Series]:
    return {
        key: (np.array(sorted(by_step)), np.array([by_step[step] for step in sorted(by_step)], dtype=np.float64))
        for key, by_step in series.items()
    }
