"""Runs the runs of a study side by side, each in a process of its own; no torch in this one.

A run that fails leaves the others alone. All processes end with this one, however it ends, and every run can be
resumed: it saves checkpoints and looks for them.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.sweep import PlannedRun
from composer_clr.training.study_log import LOG_FILE, failure
from composer_clr.training.study_process import PROGRESS_FILE, RUNNER_LOCK, RunProcess

__all__ = ['StudyRun', 'StudyRunner', 'resumable']

_POLL_S = 0.2
# For runs whose recipe has no checkpoints; shorter runs never wait for one.
_SAVED_EVERY = '60s'
# How long processes, including a launcher's ranks, have to end on SIGTERM.
_GRACE_S = 10.0


@dataclass
class StudyRun:
    """A run of the study and its state.

    Attributes:
        planned (PlannedRun): The planned run.
        state (str): ``'waiting'``, ``'running'``, ``'done'``, ``'failed'`` or ``'interrupted'``.
        reason (str): Why it failed, on one line.
        seconds (float): How long it has been running, or ran.
        progress (Mapping): What :class:`~composer_clr.training.under_runner.RunProgress` reports.
    """

    planned: PlannedRun
    state: str = 'waiting'
    reason: str = ''
    seconds: float = 0.0
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.planned.recipe.run_name

    @property
    def log(self) -> Path:
        """The file of its output: in its folder, or in a local one of its name if that is in an object store."""
        return Path(self.planned.folder if self.is_local else self.name) / LOG_FILE

    @property
    def is_local(self) -> bool:
        """Whether its folder is on this machine."""
        return '://' not in self.planned.folder

    def settle(self, code: int) -> None:
        """Sets state and reason from the exit status and the curve."""
        if code:
            self.state, self.reason = 'failed', failure(code, self.log)
            return
        self.state = 'done'
        if not self.is_local:
            return
        try:
            curve = TradeoffCurve.read(Path(self.planned.folder))
            complete = self.planned.is_complete()
        except (CurveError, RecipeError) as error:
            self.state, self.reason = 'failed', str(error)
            return
        if curve.points and curve.points[-1].diverged:
            epoch = curve.points[-1].epoch
            self.state, self.reason = 'failed', f'diverged by epoch {epoch:g}: pass a lower optimizer.lr'
        elif not complete:
            self.state, self.reason = 'failed', f'ended with {len(curve.points)} of {len(self.planned.troughs)} points'


class _Interrupted(Exception):
    """A signal arrived while a process was being started."""


@dataclass(frozen=True)
class _Slot:
    """A place for a run among those side by side, with its share of the GPUs."""

    number: int
    devices: str | None


@dataclass
class _Started:
    """A run that has been started."""

    run: StudyRun
    slot: _Slot
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
        self._slots = _slots(jobs, ranks, devices)
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

    def _start(self, run: StudyRun, slot: _Slot, show: Callable[[], None]) -> None:
        progress_file = self._files / f'{self.runs.index(run)}.json'
        words, checkpoints = resumable(run.planned)
        environment = {PROGRESS_FILE: str(progress_file), RUNNER_LOCK: str(self._files / 'runner.lock')}
        if slot.devices is not None:
            environment['CUDA_VISIBLE_DEVICES'] = slot.devices
        run.state = 'running'
        show()
        try:
            # The first start waits for the fork server, and a signal must interrupt that.
            self._raises = True
            process = RunProcess(words, run.log, environment, self._ranks)
        except _Interrupted:
            run.state = 'interrupted'
            return
        except OSError as error:
            run.state, run.reason = 'failed', f'cannot be started: {error}'
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


def resumable(planned: PlannedRun) -> tuple[list[str], str | None]:
    """Returns recipe and ``key=value`` pairs of a run that saves checkpoints and resumes from them.

    The second value is the folder of checkpoints that the recipe itself does not name, to be removed once the run is
    complete; or ``None``.
    """
    words = [planned.name, *planned.overrides, 'progress_bar=false', 'checkpoint.autoresume=true']
    if planned.recipe.checkpoint.folder is not None:
        return words, None
    checkpoints = f'{planned.folder}/checkpoints'
    return [*words, f'checkpoint.folder={json.dumps(checkpoints)}', f'checkpoint.interval={_SAVED_EVERY}'], checkpoints


def _slots(jobs: int, ranks: int, devices: Sequence[str]) -> list[_Slot]:
    if not devices:
        return [_Slot(number, None) for number in range(jobs)]
    if len(devices) < ranks:
        raise RecipeError(f'--devices {",".join(devices)}: a run of {ranks} ranks needs {ranks} GPUs: name as many')
    groups = [','.join(devices[i : i + ranks]) for i in range(0, len(devices) - ranks + 1, ranks)]
    return [_Slot(number, groups[number % len(groups)]) for number in range(jobs)]
