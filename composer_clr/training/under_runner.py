"""A training process under the study runner: it reports its progress, and ends with the runner."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from composer.core import Callback, State, TimeUnit
from composer.loggers import Logger
from composer.utils import dist

from composer_clr.schedule.times import horizon
from composer_clr.schedule.trainer_schedule import TrainerSchedule, trainer_schedule
from composer_clr.training.study_process import PROGRESS_FILE, RUNNER_LOCK
from composer_clr.utils.files import part_of

__all__ = ['RunProgress', 'end_with_runner', 'runner_callbacks']

# Shortest time between two writes of the progress.
_EVERY_S = 0.5


class RunProgress(Callback):
    """Writes the progress of a run to a file, for the runner's display.

    Args:
        path (Path): The file; it is replaced at most twice per second, by rank 0.

    Example:
        >>> callbacks = [RunProgress(Path('progress.json'))]  # Trainer(callbacks=callbacks, ...)
    """

    def __init__(self, path: Path):
        self.path = path
        self._schedule: TrainerSchedule | None = None
        self._until: int | None = None
        self._first: tuple[float, int] | None = None
        self._written_s = 0.0

    def fit_start(self, state: State, logger: Logger) -> None:
        del logger
        self._schedule = trainer_schedule(state)
        self._until = horizon(state, self._schedule.unit)

    def batch_end(self, state: State, logger: Logger) -> None:
        del logger
        assert self._schedule is not None
        now_s, now = time.monotonic(), self._schedule.now(state)
        if self._first is None:
            self._first = now_s, now
        if dist.get_global_rank() or now_s - self._written_s < _EVERY_S or self._until is None:
            return
        self._written_s = now_s
        first_s, first = self._first
        left_s = (self._until - now) * (now_s - first_s) / (now - first) if now > first else None
        trough = next((trough for trough in self._schedule.cycles.troughs(self._until) if trough > now), None)
        per_epoch = self._per_epoch(state)
        progress = {
            'done': now / self._until,
            'epoch': now / per_epoch if per_epoch else None,
            'next_trough': trough / per_epoch if trough and per_epoch else None,
            'left_s': left_s,
        }
        with suppress(OSError):  # a full disk ends a display, not a run
            part_of(self.path).write_text(json.dumps(progress), encoding='utf-8')
            part_of(self.path).replace(self.path)

    def _per_epoch(self, state: State) -> int | None:
        """Returns the length of an epoch in the unit of the schedule, if known."""
        assert self._schedule is not None
        if self._schedule.unit == TimeUnit.BATCH and state.dataloader_len is not None:
            return int(state.dataloader_len)
        return None


def runner_callbacks() -> list[Callback]:
    """Returns the callbacks of a run that a study runner started, or none without a runner."""
    path = os.environ.get(PROGRESS_FILE)
    return [RunProgress(Path(path))] if path else []


def end_with_runner() -> None:
    """Ends this process, in any state, when the runner that started it has ended, however it ended.

    The runner holds a lock on a file, which the operating system drops with the process; a thread waits for it.
    """
    path = os.environ.get(RUNNER_LOCK)
    if path:
        threading.Thread(target=_wait_for_end, args=(path,), daemon=True).start()


def _wait_for_end(path: str) -> None:
    try:
        with Path(path).open('rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError:  # the runner removes its files at its end
        pass
    os._exit(1)
