"""Reads what W&B logged offline, with wandb's own reader and none of the package's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore
from wandb.sdk.lib.module import unset_globals


class Logged:
    """Reads the records of a run folder: history rows, axes, and the final config and summary."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.axes: dict[str, str] = {}
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.artifacts: list[Any] = []
        self.run: Any = None
        file = next(folder.glob('*.wandb'))
        if file.stat().st_size:
            self._read(file)

    def _read(self, file: Path) -> None:
        store = DataStore()
        store.open_for_scan(str(file))
        while True:
            try:
                data = store.scan_data()
            except AssertionError:  # truncated by a kill
                break
            if data is None:
                break
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(data)
            kind = record.WhichOneof('record_type')
            if kind == 'history':
                self.rows.append(_items(record.history.item))
            elif kind == 'metric':
                self.axes[record.metric.glob_name or record.metric.name] = record.metric.step_metric
            elif kind == 'run':
                self.run = record.run
            elif kind == 'config':
                self.config |= _items(record.config.update)
            elif kind == 'summary':
                self.summary |= _items(record.summary.update)
            elif kind == 'artifact':
                self.artifacts.append(record.artifact)
        store.close()

    @property
    def points(self) -> list[dict[str, Any]]:
        """The rows that hold a point."""
        return [row for row in self.rows if 'pareto/cycle' in row]

    def table(self, key: str) -> tuple[list[str], list[list[Any]]]:
        """Returns the columns and rows of the last table logged under a key."""
        # One of wandb's two backends flattens nested values, the other does not.
        paths = [row.get(f'{key}.path') or row.get(key, {}).get('path') for row in self.rows]
        table = json.loads((self.folder / 'files' / [path for path in paths if path][-1]).read_text())
        return table['columns'], table['data']


def _items(items: Any) -> dict[str, Any]:
    return {item.key or '.'.join(item.nested_key): json.loads(item.value_json) for item in items}


def close_files() -> None:
    """Waits until W&B has written all of its files.

    ``wandb.finish()`` returns before that: its process closes a run's file, and writes the last block of 32 KiB, when
    it comes to a message that it does not answer. At the end of a script W&B itself waits, as here.
    """
    wandb.teardown()
    # Of a run that was not finished.
    unset_globals()


def folders(directory: Path) -> list[Path]:
    """Returns the run folders that W&B wrote, oldest first, once all runs of this process have ended."""
    close_files()
    return sorted((directory / 'wandb').glob('offline-run-*'))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sets W&B offline, with all its files in the test's folder."""
    go_offline(tmp_path, monkeypatch)
    yield tmp_path
    wandb.teardown()


def go_offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets W&B offline, with all its files in a folder."""
    # W&B reads the environment once, at its first start in a process.
    wandb.teardown()
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    monkeypatch.delenv('WANDB_API_KEY', raising=False)
    for name in ('WANDB_DIR', 'WANDB_DATA_DIR', 'WANDB_CACHE_DIR', 'WANDB_CONFIG_DIR'):
        monkeypatch.setenv(name, str(folder))


def in_its_own_process(folder: Path, *command: str, timeout_s: int = 300) -> subprocess.CompletedProcess:
    """Runs a module of the checkout, from a folder."""
    return subprocess.run(
        [sys.executable, '-m', *command],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
