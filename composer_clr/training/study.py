"""Runs the runs of a study side by side, each in a process of its own; no torch in this one.

A run that fails does not stop the others. All processes end with this one, however it ends, and every run can be
resumed: it saves checkpoints and looks for them. Two runners of one study share its runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve
from composer_clr.recipes.planned_run import PlannedRun
from composer_clr.recipes.schema import RecipeError
from composer_clr.recording.folder_lock import FolderInUseError, FolderLock
from composer_clr.training.run_process import LOG_FILE, RunProcess, RunServer, failure, open_log

__all__ = ['StudyRun', 'StudyRunner', 'check_devices']

_POLL_S = 0.2
# How long processes, including a launcher's ranks, have to end on SIGTERM.
_GRACE_S = 10.0
# How often a run that another process trains is looked at.
_LOOK_S = 1.0
_COUNT_GPUS = 'import torch; print(torch.cuda.device_count())'


@dataclass(eq=False)
class StudyRun:
    """A run of a study; its state is ``waiting``, ``running``, ``done``, ``failed`` or ``interrupted``.

    In a race it is also ``held``, at the end of its stage or before its first, or ``stopped``. ``process`` is that of
    its last start, and ``slot`` its place among those side by side. ``seconds`` count from when its process was forked;
    ``since_s`` from its last point, or from there. ``pace_s`` is what one of its unit takes.
    """

    planned: PlannedRun
    state: str = 'waiting'
    reason: str = ''
    seconds: float = 0.0
    since_s: float = 0.0
    points: int = 0
    pace_s: float | None = None
    process: RunProcess | None = None
    slot: int = 0
    _output: BinaryIO | None = None
    _began_s: float = 0.0
    _point_at_s: float = 0.0
    look_at_s: float = 0.0
    _losses: int = 0
    _read: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The run's name."""
        return self.planned.run_name

    @property
    def log(self) -> Path:
        """The file of its output: in its folder, or in a local one of its name if that is in an object store."""
        return Path(self.planned.folder if self.is_local else self.name) / LOG_FILE

    @property
    def is_local(self) -> bool:
        """Whether its folder is on this machine."""
        return '://' not in self.planned.folder

    def fail(self, reason: str) -> None:
        """Ends it with a reason."""
        self.state, self.reason = 'failed', reason

    def go_on(self, stage: int | None = None) -> None:
        """Has it trained to a stage, or to its end, unless it has been."""
        self.planned = replace(self.planned, stage=stage)
        self.state, self._losses = 'waiting', 0
        self.has_ended()

    def has_ended(self) -> bool:
        """Returns whether its folder holds the curve that is planned, or that of another run; then sets the state."""
        try:
            if self.planned.is_complete():
                self.settle(0)
        except RecipeError as error:
            self.fail(str(error))
        return self.state in ('done', 'held', 'failed')

    def start(self, server: RunServer, slot: int, environment: Mapping[str, str], ranks: int) -> None:
        """Starts it, unless it has ended, or another process trains it."""
        self.reason = ''
        try:
            output = self._claimed()
            if output is not None:
                own = self.planned.environment
                if own is None:
                    self.process = server.start(self.planned.words, output, environment, ranks)
                else:
                    self.process = server.start_program(self.planned.words, output, {**environment, **own})
                self.slot, self.state, self._output = slot, 'running', output
                self._began_s = self._point_at_s = time.monotonic()
        except OSError as error:
            self.fail(f'cannot be started: {error}: pass a snapshot.folder that can be written to')

    def follow(self) -> None:
        """Takes the progress of a running run from its curve."""
        now_s = time.monotonic()
        if self.process is not None and self.process.pid is None:
            # The server imports what all runs need.
            self._began_s = self._point_at_s = now_s
        self.seconds, self.since_s = now_s - self._began_s, now_s - self._point_at_s
        with suppress(OSError, CurveError):
            file = (Path(self.planned.folder) / CURVE_FILE).stat()
            if self._read != (file.st_ino, file.st_mtime_ns):
                self._read = (file.st_ino, file.st_mtime_ns)
                self._point_at_s = now_s
                points = TradeoffCurve.read(Path(self.planned.folder)).points
                self.points = min(len(points), len(self.planned.troughs))
                if points and points[-1].wall_clock_total_s is not None:
                    self.pace_s = points[-1].wall_clock_total_s / self.planned.troughs[self.points - 1]

    def end(self) -> None:
        """Sets the state of a run whose process has ended; one whose process was lost is started once more."""
        assert self.process is not None
        if self.process.code is not None:
            self.settle(self.process.code)
            if self.process.code < 0:
                self.process.send(signal.SIGKILL)  # the loader processes of a killed run
        elif self._losses:
            self.fail('the process that starts the runs was killed twice, see its memory')
        else:
            self._losses, self.state = 1, 'waiting'
        if self.state == 'done' and not self.planned.keeps_checkpoints and self.is_local:
            shutil.rmtree(self.planned.checkpoints, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Closes its log, which other runners wait for."""
        if self._output is not None:
            self._output.close()

    def _claimed(self) -> BinaryIO | None:
        """Returns its log, locked against other runners; ``None`` if it has ended, or another process trains it."""
        if self.has_ended():
            return None
        try:
            if self.is_local and Path(self.planned.folder).exists():
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')  # of a file system without locks, the run itself warns
                    FolderLock(Path(self.planned.folder)).release()
            log = open_log(self.log)
        except (FolderInUseError, BlockingIOError) as error:
            who = str(error).partition(': wait')[0] if isinstance(error, FolderInUseError) else 'composer-clr run'
            self.reason = f'waits for another process, which trains it ({who})'
            self.look_at_s = time.monotonic() + _LOOK_S
            return None
        if self.has_ended():  # between the two locks
            log.close()
            return None
        return log

    def settle(self, code: int) -> None:
        """Sets state and reason from the exit status and the curve."""
        if code:
            self.fail(failure(code, self.log))
            return
        self.state = 'done' if self.planned.until is None else 'held'
        if not self.is_local:
            return
        if not (Path(self.planned.folder) / CURVE_FILE).exists():
            self.fail(self.planned.without_curve())
            return
        try:
            curve = TradeoffCurve.read(Path(self.planned.folder))
            complete = self.planned.is_complete()
        except (CurveError, RecipeError) as error:
            self.fail(str(error))
            return
        points = sum(not point.stopped for point in curve.points)
        if curve.points and curve.points[-1].diverged:
            self.fail(
                f'diverged by epoch {curve.points[-1].epoch:g}: pass a lower optimizer.lr, and another run_name or '
                f'remove {self.planned.folder}'
            )
        elif not complete:
            stopped = f', stopped before {curve.run.ended_at.get("trough")}' if curve.run.ended_at else ''
            self.fail(f'ended with {points} of {self.planned.stage or len(self.planned.troughs)} points{stopped}')
        elif points == len(self.planned.troughs):
            self.state = 'done'  # it was trained beyond its stage before


class StudyRunner:
    """Runs the runs of a study that are not complete, with the GPUs shared out between those side by side.

    Raises:
        RecipeError: If there are fewer devices than ranks, or a folder holds the curve of another run.
    """

    def __init__(self, planned: Sequence[PlannedRun], *, jobs: int = 1, ranks: int = 1, devices: Sequence[str] = ()):
        if devices and len(devices) < ranks:
            raise RecipeError(f'--devices {",".join(devices)}: a run of {ranks} ranks needs {ranks} GPUs: name as many')
        self.runs = [StudyRun(run) for run in planned]
        self.interrupted: int | None = None
        self._ranks = ranks
        groups = [','.join(devices[i : i + ranks]) for i in range(0, len(devices) - ranks + 1, ranks)] or [None]
        # The GPUs of each place for a run.
        self._slots = [groups[number % len(groups)] for number in range(jobs)]
        self._server = RunServer()
        for run in self.runs:
            if run.planned.is_complete():
                run.settle(0)

    @property
    def running(self) -> list[StudyRun]:
        return [run for run in self.runs if run.state == 'running']

    def run(self, show: Callable[[], None], then: Callable[[], bool] = lambda: False) -> None:
        """Runs them, and calls ``show`` several times per second.

        When none is left, ``then`` is called, which returns whether others go on now, as in a race. SIGINT and SIGTERM
        end them, to be resumed by the next call; the signal is then in ``interrupted``.
        """
        with self._signals():
            try:
                while self._step() or (self.interrupted is None and then()):
                    show()
            finally:
                self._stop()
            show()

    def _step(self) -> bool:
        """Starts runs, waits for a change, and settles runs that have ended; returns whether to go on."""
        if self.interrupted is not None:
            return False
        used = {run.slot for run in self.running}
        for slot, devices in enumerate(self._slots):
            run = self._next() if slot not in used else None
            if run is not None:
                environment = {} if devices is None else {'CUDA_VISIBLE_DEVICES': devices}
                run.start(self._server, slot, environment, self._ranks)
        if all(run.state not in ('waiting', 'running') for run in self.runs):
            return False
        self._server.wait(_POLL_S)
        for run in self.running:
            run.follow()
            if run.process is not None and run.process.has_ended:
                run.end()
        return True

    def _next(self) -> StudyRun | None:
        ready = [run for run in self.runs if run.state == 'waiting' and time.monotonic() >= run.look_at_s]
        if len(self._slots) > 1:
            # The longest first, so that those that end last are short.
            ready.sort(key=lambda run: -run.planned.length)
        by_folder = {run.planned.folder: run for run in self.runs}
        for run in ready:
            trunk = by_folder.get(run.planned.trunk or '')
            if trunk is None or trunk.state == 'done':
                return run
            if trunk.state == 'failed':
                run.fail(f'the trunk that it branches off failed: {trunk.name}')
        return None

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def interrupt(number: int, frame: object) -> None:
            del frame
            self.interrupted = number

        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        """Ends the processes; their runs can be resumed."""
        processes = [run.process for run in self.running if run.process is not None]
        for process in processes:
            process.send(signal.SIGTERM)
        until = time.monotonic() + _GRACE_S
        # Those that have not been forked yet never are.
        while any(process.pid and not process.has_ended for process in processes) and time.monotonic() < until:
            self._server.wait(_POLL_S)
        self._server.close()
        for run in self.running:
            run.state = 'interrupted'
            run.close()


def check_devices(devices: Sequence[str]) -> None:
    """Refuses GPUs that PyTorch does not find, in place of which it would train on the CPU or on fewer."""
    if not devices:
        return
    named = ','.join(devices)
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': named, 'PYTORCH_NVML_BASED_CUDA_CHECK': '1'}
    counted = subprocess.run([sys.executable, '-c', _COUNT_GPUS], env=environment, capture_output=True, text=True)
    found = int(counted.stdout) if counted.returncode == 0 else 0
    if found < len(devices):
        raise RecipeError(
            f'--devices {named}: PyTorch finds {found} of these {len(devices)} GPUs: name those that nvidia-smi -L '
            'lists, each once, or leave --devices out'
        )
