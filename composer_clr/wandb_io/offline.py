"""Reads runs from the folders that Weights & Biases writes offline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.wandb_io.history import RunHistory
from composer_clr.wandb_io.run_file import config_values, history_row, records

__all__ = ['read_histories', 'run_files']


def run_files(path: Path) -> list[Path]:
    """Returns the ``.wandb`` files at or under a path, by name and so by time; a file with two links comes once."""
    if path.is_file():
        return [path]
    return sorted({file.resolve() for file in path.rglob('*.wandb') if file.is_file()})


def read_histories(files: Iterable[Path], want: Callable[[str], bool]) -> tuple[list[RunHistory], list[CurveError]]:
    """Reads runs. Files with the same run id are one run that was resumed; where they differ, the later one counts.

    Of a run that was killed, everything up to the record that the kill cut short is read.

    Args:
        files (Iterable[Path]): ``.wandb`` files, the earlier of a run before the later.
        want (Callable[[str], bool]): Which keys to read.

    Returns:
        tuple[list[RunHistory], list[CurveError]]: The runs in the order of their first files, and what is wrong with
        each file that holds no run.
    """
    runs: dict[str, _Gathered] = {}
    errors: list[CurveError] = []
    for file in files:
        try:
            _read_file(file, want, runs)
        except CurveError as error:
            errors.append(error)
    return [run.history() for run in runs.values()], errors


class _Gathered:
    """Gathers a run from its files, one after the other."""

    def __init__(self, record: Any):
        run = record.run
        self.run_id, self.name, self.group = run.run_id, run.display_name or run.run_id, run.run_group
        self.tags = tuple(run.tags)
        self.config: dict[str, Any] = {}
        self.series: dict[str, dict[float, float]] = defaultdict(dict)

    def update_config(self, update: Any) -> None:
        for path, value in config_values(update):
            level = self.config
            for part in path[:-1]:
                below = level.get(part)
                level[part] = level = below if isinstance(below, dict) else {}
            level[path[-1]] = value

    def history(self) -> RunHistory:
        series = {}
        for key, by_step in self.series.items():
            steps = np.array(sorted(by_step), dtype=np.float64)
            series[key] = steps, np.array([by_step[step] for step in steps], dtype=np.float64)
        return RunHistory(self.run_id, self.name, self.group, self.tags, self.config, series)


def _read_file(file: Path, want: Callable[[str], bool], runs: dict[str, _Gathered]) -> None:
    run: _Gathered | None = None
    for record in records(file):
        kind = record.WhichOneof('record_type')
        if kind == 'run':
            run = runs.setdefault(record.run.run_id, _Gathered(record))
            run.update_config(record.run.config.update)
        elif kind == 'config' and run is not None:
            run.update_config(record.config.update)
        elif kind == 'history' and run is not None:
            row = history_row(record, lambda name: name == '_step' or want(name))
            step = row.pop('_step', None)
            if step is not None and math.isfinite(step):
                for name, value in row.items():
                    run.series[name][step] = value
    if run is None:
        raise CurveError(f'{file}: no run can be read from it: a kill left it empty, or it is not a file of W&B')
