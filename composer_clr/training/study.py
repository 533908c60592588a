"""Runs the runs of a study side by side, each in a process of its own; no torch in this one.

A run that fails does not stop the others. All processes end with this one, however it ends, and every run can be
resumed: it saves checkpoints and looks for them.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path

from composer_clr.recipes.sweep import PlannedRun
from composer_clr.recording.folder_lock import FolderInUseError
from composer_clr.training.study_devices import Slot, shared_out
from composer_clr.training.study_process import PROGRESS_FILE, RUNNER_LOCK, RunProcess
from composer_clr.training.study_run import StudyRun, resumable

__all__ = ['StudyRunner']

_POLL_S = 0.2
# How long processes, including a launcher's ranks, have to end on SIGTERM.
_GRACE_S = 10.0


class _Interrupted(Exception):
    """A signal arrived while a process was being started."""


@dataclass
class _Started:
    """A run that has been started."""

    run: StudyRun
    slot: Slot
    process: RunProcess
    progress_file: Path
    checkpoints: str | None
    began_s: float = field(default_factory=time.monotonic)

    def report(self) -> None:
        self.run.seconds = time.monotonic() - self.began_s
        with suppress(OSError, ValueError):
            self.run.progress = json.loads(self.progress_file.read_text(encoding='utf-8'))

    def settle(self, code: int) -> None:
        self.run.settle(code)
        if code < 0:
            self.process.send(signal.SIGKILL)  # the loader processes of a killed run
        if self.run.state == 'done' and self.checkpoints is not None and self.run.is_local:
            shutil.rmtree(self.checkpoints, ignore_errors=True)


class StudyRunner:
    """Runs a study.

    Args:
        planned (Sequence[PlannedRun]): Its runs; complete ones are not run again.
        jobs (int): How many to run side by side. Default: ``1``.
        ranks (int): Ranks of each run. Default: ``1``.
        devices (Sequence[str]): GPUs, as ``CUDA_VISIBLE_DEVICES`` names them, shared out between the runs side by side.
            Default: ``()``, each run sees all.

    Raises:
        RecipeError: If there are fewer devices than ranks, or a folder holds the curve of another run.
    """

    def __init__(self, planned: Sequence[PlannedRun], *, jobs: int = 1, ranks: int = 1, devices: Sequence[str] = ()):
        self.runs = [StudyRun(run) for run in planned]
        self.interrupted: int | None = None
        self._ranks = ranks
        self._slots = shared_out(jobs, ranks, devices)
        self._started: list[_Started] = []
        self._files = Path()
        self._raises = False
        for run in self.runs:
            if run.planned.is_complete():
                run.settle(0)

    def run(self, show: Callable[[], None]) -> None:
        """Runs all runs that are not complete.

        SIGINT and SIGTERM end them, to be resumed by the next call; the signal is then in ``interrupted``.

        Args:
            show (Callable): Called several times per second.
        """
        with tempfile.TemporaryDirectory(prefix='composer_clr-run-') as folder, self._signals():
            self._files = Path(folder)
            with (self._files / 'runner.lock').open('wb') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    while self._step(show):
                        show()
                finally:
                    self._stop()
            show()

    def _step(self, show: Callable[[], None]) -> bool:
        """Starts runs, waits for a change, and settles runs that have ended; returns whether to go on."""
        if self.interrupted is not None:
            return False
        used = {started.slot for started in self._started}
        for slot in self._slots:
            run = self._next() if slot not in used and self.interrupted is None else None
            if run is not None:
                self._start(run, slot, show)
        if not self._started:
            return any(run.state == 'waiting' for run in self.runs)
        sentinels = [started.process.sentinel for started in self._started]
        if None in sentinels:
            time.sleep(_POLL_S)
        else:
            connection.wait([sentinel for sentinel in sentinels if sentinel is not None], _POLL_S)
        for started in list(self._started):
            code = started.process.poll()
            started.report()
            if code is not None:
                self._started.remove(started)
                started.settle(code)
        return True

    def _next(self) -> StudyRun | None:
        waiting = [run for run in self.runs if run.state == 'waiting']
        if len(self._slots) > 1:
            # The longest first, so that those that end last are short.
            waiting.sort(key=lambda run: -run.planned.troughs[-1])
        by_folder = {run.planned.folder: run for run in self.runs}
        for run in waiting:
            trunk = by_folder.get(run.planned.trunk or '')
            if trunk is None or trunk.state == 'done':
                return run
            if trunk.state == 'failed':
                run.state, run.reason = 'failed', f'the trunk that it branches off failed: {trunk.name}'
        return None

    def _start(self, run: StudyRun, slot: Slot, show: Callable[[], None]) -> None:
        progress_file = self._files / f'{self.runs.index(run)}.json'
        words, checkpoints = resumable(run.planned)
        environment = {PROGRESS_FILE: str(progress_file), RUNNER_LOCK: str(self._files / 'runner.lock')}
        if slot.devices is not None:
            environment['CUDA_VISIBLE_DEVICES'] = slot.devices
        run.state = 'running'
        show()
        try:
            run.check_free()  # before its log is written to
            if run.has_ended():  # under another runner
                return
            # The first start waits for the fork server, and a signal must interrupt that.
            self._raises = True
            process = RunProcess(words, run.log, environment, self._ranks)
        except _Interrupted:
            run.state = 'interrupted'
            return
        except FolderInUseError as error:
            run.state, run.reason = 'failed', str(error)
            return
        except OSError as error:
            run.state = 'failed'
            run.reason = f'cannot be started: {error}: pass a snapshot.folder that can be written to'
            return
        finally:
            self._raises = False
        self._started.append(_Started(run, slot, process, progress_file, checkpoints))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def interrupt(number: int, frame: object) -> None:
            del frame
            self.interrupted = number
            if self._raises:
                raise _Interrupted

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, interrupt) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _stop(self) -> None:
        """Ends the processes; their runs can be resumed."""
        for started in self._started:
            started.process.send(signal.SIGTERM)
        until = time.monotonic() + _GRACE_S
        while any(started.process.poll() is None for started in self._started) and time.monotonic() < until:
            time.sleep(0.05)
        for started in self._started:
            started.process.send(signal.SIGKILL)
            started.process.wait()
            started.run.state = 'interrupted'
        self._started.clear()
