"""Reads the histories of runs from the Weights & Biases server, in bulk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.wandb_io.history import RunHistory, Series

__all__ = ['RunFilter', 'find_runs', 'read_history']

# Rows per request: ten requests per key for a run of 100,000 batches.
_PAGE = 10_000


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


def find_runs(project: str, keep: RunFilter) -> list[Any]:
    """Returns the selected runs of a project.

    Args:
        project (str): ``ENTITY/PROJECT``.
        keep (RunFilter): Which runs to take.

    Raises:
        CurveError: If not logged in, the server cannot be reached, or the project does not exist.
    """
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
    """Reads the history of a run of :class:`wandb.Api`.

    Keys are scanned one at a time, in pages, because the server returns only rows that have all requested keys; each
    row has W&B's clock.

    Args:
        run (wandb.apis.public.Run): The run.
        want (Callable[[str], bool]): Which keys to read.

    Raises:
        CurveError: If its history cannot be read.
    """
    history = RunHistory(run.id, run.name, run.group or '', tuple(run.tags or ()), dict(run.config))
    try:
        for key in (key for key in run.summary_metrics if want(key) and not key.startswith('_')):
            rows = list(run.scan_history(keys=['_step', '_timestamp', key], page_size=_PAGE))
            _take(history, key, rows)
            _take(history, '_timestamp', rows)
    except Exception as error:  # as above; other runs may be readable
        raise CurveError(f'{history}: its history cannot be read: {_one_line(error)}') from error
    return history


def _take(history: RunHistory, key: str, rows: list[dict[str, Any]]) -> None:
    by_step = dict(zip(*(known.tolist() for known in history.series.get(key, _NOTHING)), strict=True))
    by_step |= {float(row['_step']): number for row in rows if (number := _number(row.get(key))) is not None}
    if not by_step:
        return
    steps = np.array(sorted(by_step), dtype=np.float64)
    history.series[key] = steps, np.array([by_step[step] for step in steps], dtype=np.float64)


_NOTHING: Series = (np.array([]), np.array([]))


def _number(value: Any) -> float | None:
    """Returns a value as a number; the server sends those that JSON cannot write as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return float(value) if value in ('NaN', 'Infinity', '-Infinity') else None


def _one_line(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
