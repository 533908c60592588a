"""Reads the histories of Weights & Biases runs from its server, in bulk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.wandb_io.history import RunHistory, Series

__all__ = ['RunFilter', 'find_runs', 'read_history']

# Rows that one request brings: of a run of 100,000 batches, ten requests for each kind of row.
_PAGE = 10_000


class RunFilter:
    """Which runs of a project, or of a list of histories, to take.

    Args:
        name (str | None): Regular expression that the display name must match somewhere.
        group (str | None): The group.
        tags (tuple[str, ...]): Tags that the run must have, all of them.
        config (dict[str, Any]): Values that its config must have; levels separated by dots.

    Raises:
        CurveError: If the name is no regular expression.

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
            raise CurveError(f'--name {name!r} is no regular expression ({error})') from error
        self._group, self._tags, self._config = group, tags, dict(config or {})

    def __call__(self, history: RunHistory) -> bool:
        """Whether to take a run that has been read."""
        if self._pattern is not None and not self._pattern.search(history.name):
            return False
        if self._group is not None and history.group != self._group:
            return False
        return set(self._tags) <= set(history.tags) and all(
            history.setting(key) == value for key, value in self._config.items()
        )

    def query(self) -> dict[str, Any]:
        """The same as a query of W&B's server."""
        query: dict[str, Any] = {}
        if self._pattern is not None:
            query['display_name'] = {'$regex': self._pattern.pattern}
        if self._group is not None:
            query['group'] = self._group
        if self._tags:
            query['$and'] = [{'tags': {'$in': [tag]}} for tag in self._tags]
        return query | {f'config.{key}': value for key, value in self._config.items()}


def find_runs(project: str, keep: RunFilter) -> list[Any]:
    """The runs of a project that the server finds.

    Args:
        project (str): ``ENTITY/PROJECT``.
        keep (RunFilter): Which to take.

    Raises:
        CurveError: If nobody is logged in, or the server cannot be reached or has no such project.
    """
    import wandb

    if wandb.api.api_key is None:
        raise CurveError(
            f"{project}: nobody is logged in to Weights & Biases: run 'wandb login', set WANDB_API_KEY, or name "
            'offline run folders'
        )
    try:
        return list(wandb.Api(timeout=60).runs(project, filters=keep.query(), per_page=100))
    except Exception as error:  # wandb's, requests' and others': all mean that there are no runs
        raise CurveError(f'{project}: W&B does not tell its runs: {_one_line(error)}') from error


def read_history(run: Any, want: Callable[[str], bool]) -> RunHistory:
    """Read what is wanted of a run of :class:`wandb.Api`.

    Rows are scanned whole pages at a time, each key on its own, because the server gives only rows that have all keys
    asked for together; each comes with W&B's clock.

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
    except Exception as error:  # as above; the other runs may be readable
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
    """A value as a number; the server spells those that JSON has none for."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return float(value) if value in ('NaN', 'Infinity', '-Infinity') else None


def _one_line(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
