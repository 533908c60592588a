"""The histories of MLflow runs, from a tracking server or a folder ``mlruns``."""

from __future__ import annotations

import ast
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from composer_clr.curves.curve import CurveError
from composer_clr.loggers.history import LOGGED_AT, RunFilter, RunHistory, described, in_time, progress, series

__all__ = ['mlflow_runs']

# Of ParetoSnapshot: where there is one, all metrics of the points have been evaluated.
_POINT = 'pareto/cycle'
_SQLITE = 'sqlite:///'
# Longer ones, as of the whole of a recipe, are no settings to filter or name runs by.
_LONGEST_PARAM = 1000


def mlflow_runs(source: str, keep: RunFilter, want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
    """Reads the selected runs of all experiments of a tracking URI, or of a folder ``mlruns``.

    The group of a run is its experiment; its tags are ``key=value``. A value that Composer's ``MLFlowLogger`` dropped,
    since it equals the last one at most 100 batches before, is carried forward.

    Raises:
        CurveError: If MLflow is not installed, or cannot list its runs.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise CurveError(
            f"{source}: MLflow cannot be imported ({error}): pip install 'composer_clr[mlflow]'"
        ) from error
    # Of seven, each after twice as long a pause.
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '2')
    path = Path(source)
    # MLflow would make a new database, and a folder its own.
    if source.startswith(_SQLITE) and not Path(source.removeprefix(_SQLITE)).exists():
        raise CurveError(f'{source}: there is no such file: name the database that MLflow logs to')
    if not any(path.glob('*/meta.yaml')) if path.is_dir() else '://' not in source and source != 'databricks':
        raise CurveError(f'{source}: must be a folder mlruns, or a tracking URI such as http://localhost:5000')
    try:
        client = MlflowClient(path.resolve().as_uri() if path.is_dir() else source)
        experiments = {one.experiment_id: one.name for one in _pages(client.search_experiments)}
        runs = [run for one in experiments for run in _pages(client.search_runs, experiment_ids=[one])]
    except Exception as error:  # of MLflow, its database and requests
        raise CurveError(f'{source}: MLflow cannot list its runs: {described(error)}') from error
    histories, errors = [], []
    for run in progress(runs, source):
        history = RunHistory(
            run.info.run_id,
            run.info.run_name or run.info.run_id,
            experiments[run.info.experiment_id],
            tuple(f'{key}={value}' for key, value in run.data.tags.items()),
            {key: _plain(text) for key, text in run.data.params.items()},
        )
        try:
            if keep(history):
                history.series = series(_logged(client, run, want))
                histories.append(history)
        except Exception as error:  # likewise; other runs may be readable
            errors.append(CurveError(f'{history}: its history cannot be read: {described(error)}'))
    if not runs:
        raise CurveError(f'{source}: no run in any of its {len(experiments)} experiments: name where MLflow logs to')
    return histories, errors


def _pages(search: Callable[..., Any], **arguments: Any) -> Iterable[Any]:
    page = search(**arguments)
    yield from page
    while page.token:
        page = search(page_token=page.token, **arguments)
        yield from page


def _logged(client: Any, run: Any, want: Callable[[str], bool]) -> dict[str, dict[float, float]]:
    keys = list(run.data.metrics)
    logged: dict[str, dict[float, float]] = {LOGGED_AT: {}}
    for key in (key for key in keys if want(key) or key == _POINT):
        entries = client.get_metric_history(run.info.run_id, key)
        logged[key] = in_time((one.timestamp, float(one.step), float(one.value)) for one in entries)
        logged[LOGGED_AT] |= {float(one.step): one.timestamp / 1000 for one in entries}
    points, steps = logged.pop(_POINT, {}), sorted({step for of_key in logged.values() for step in of_key})
    for key, of_key in logged.items():
        # LRMonitor logs at every batch, an evaluation all of its metrics.
        if key.startswith('lr-'):
            _carry_forward(of_key, steps)
        elif key.startswith('metrics/'):
            label = key.rpartition('/')[0]
            evaluated = {step for other in logged if other.rpartition('/')[0] == label for step in logged[other]}
            is_of_points = f'pareto/{key.removeprefix("metrics/")}' in keys
            _carry_forward(of_key, evaluated | (points.keys() if is_of_points else set()))
    return logged


def _carry_forward(logged: dict[float, float], steps: Iterable[float]) -> None:
    """Gives a key its last value at those of the steps where it has none."""
    known = sorted(logged)
    for step in steps:
        if step not in logged and (earlier := bisect_left(known, step)):
            logged[step] = logged[known[earlier - 1]]


def _plain(text: str) -> Any:
    """Returns a parameter as the value that MLflow has written as text."""
    try:
        return ast.literal_eval(text) if len(text) <= _LONGEST_PARAM else text
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
