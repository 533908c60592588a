"""Runs under the study runner: forks of a server that has imported Composer, and their logs; no torch in this process.

``python -m composer_clr.training.run_process`` is the server. It ends with the runner, and the runs end with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, BinaryIO

from composer_clr.utils.errors import printable

__all__ = ['LOG_FILE', 'RunProcess', 'RunServer', 'end_with_launcher', 'failure', 'open_log']

LOG_FILE = 'train.log'
# Environment variable of the ranks of a run: the process id of their launcher.
_LAUNCHER = 'COMPOSER_CLR_LAUNCHER'
_PREFIX = 'composer_clr.train: '
# The first line of a start in a log.
_START = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \$ ')
_TAIL_BYTES = 64 * 2**10
_LONGEST = 300
_POLL_S = 0.2
# How long the server has to end, to remove its files, and a launcher, to end its ranks.
_SERVER_GRACE_S = 2.0
_GRACE_S = 10.0


@dataclass
class RunProcess:
    """A run's process, or its launcher, which leads a process group; ``code`` is negative where a signal ended it."""

    pid: int | None = None
    code: int | None = None
    is_lost: bool = False

    @property
    def has_ended(self) -> bool:
        return self.is_lost or self.code is not None

    def send(self, number: int) -> None:
        """Sends a signal to the process and those that it started, also after its end."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class RunServer:
    """Starts runs: forks of a server, which is replaced at the next start if it was killed, or programs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: connection.Connection | None = None
        # In the order of their starts, which is that of the server's answers.
        self._unforked: list[RunProcess] = []
        self._running: dict[int, RunProcess] = {}
        self._programs: list[tuple[subprocess.Popen[bytes], RunProcess]] = []

    def start(self, words: Sequence[str], log: BinaryIO, environment: Mapping[str, str], ranks: int) -> RunProcess:
        """Starts ``python -m composer_clr.train``, several ranks under Composer's launcher; its output is logged."""
        _begin(log, ['python', '-m', 'composer_clr.train', *words])
        request = {'words': list(words), 'log': str(log.name), 'environment': dict(environment), 'ranks': ranks}
        process = RunProcess()
        if self._connection is None:
            self._connection = self._serve(log)
        self._unforked.append(process)
        try:
            self._connection.send_bytes(json.dumps(request).encode())
        except OSError:
            self._lose()
        return process

    def start_program(self, words: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> RunProcess:
        """Starts a program, whose output is logged, and which ends with this process."""
        _begin(log, words)
        # Opened anew: its lock ends with the run, and not with a process that the program leaves behind.
        with Path(log.name).open('ab') as output:
            process = subprocess.Popen(
                [sys.executable, '-m', 'composer_clr.training.program', str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._programs.append((process, RunProcess(process.pid)))
        return self._programs[-1][1]

    def wait(self, seconds: float) -> None:
        """Waits for a start or an end, and updates the processes."""
        self._hear_programs()
        if self._connection is None:
            time.sleep(seconds)
            return
        try:
            while self._connection is not None and self._connection.poll(seconds):
                self._hear(json.loads(self._connection.recv_bytes()))
                seconds = 0.0
        except (EOFError, OSError):
            self._lose()

    def close(self) -> None:
        """Ends the server, and any run that is left."""
        for program, process in self._programs:
            process.send(signal.SIGKILL)
            program.wait()
        self._hear_programs()
        if self._process is not None and self._connection is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SERVER_GRACE_S)
            self._process.kill()
            self._lose()

    def _serve(self, log: BinaryIO) -> connection.Connection:
        ours, theirs = connection.Pipe()
        # What its imports print is in the log of the run that needs it first, opened anew: its lock ends with the run.
        with theirs, Path(log.name).open('ab') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'composer_clr.training.run_process', str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def _hear(self, answer: list[int]) -> None:
        if len(answer) == 1:
            process = self._unforked.pop(0)
            process.pid = answer[0]
            self._running[answer[0]] = process
        else:
            pid, code = answer
            self._running.pop(pid).code = _signed(code)

    def _hear_programs(self) -> None:
        for program, process in self._programs:
            if (code := program.poll()) is not None:
                process.code = _signed(code)
        self._programs = [one for one in self._programs if not one[1].has_ended]

    def _lose(self) -> None:
        """Ends what the server leaves behind."""
        assert self._process is not None
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        code = self._process.wait()
        for process in self._running.values():
            process.is_lost = True
            process.send(signal.SIGKILL)
        for process in self._unforked:
            # It failed by itself, at its imports.
            process.code, process.is_lost = (code, False) if code > 0 else (None, True)
        self._running.clear()
        self._unforked.clear()


def _begin(log: BinaryIO, words: Sequence[str]) -> None:
    """Writes the first line of a start to a log."""
    log.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")} $ {shlex.join(words)}\n'.encode())


def _signed(code: int) -> int:
    """Returns an exit status, negative where it is a signal: Composer's launcher passes that of a rank on as a byte."""
    return code - 256 if code > 192 else code


def open_log(path: Path) -> BinaryIO:
    """Opens a log for appending, and locks it against other runners while it is open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open('ab', buffering=0)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.close()
        raise
    except OSError:  # a file system without locks
        pass
    return log


def failure(code: int, log: Path) -> str:
    """Returns why a run failed, on one line, from its exit status and its output."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'
        return f'killed by {name}' + (', which the kernel sends when memory runs out' if name == 'SIGKILL' else '')
    lines: list[str] = []
    with suppress(OSError), log.open('rb') as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        lines = [printable(line).strip() for line in file.read().decode(errors='replace').splitlines()]
    starts = [number for number, line in enumerate(lines) if _START.match(line)]
    lines = [line for line in lines[starts[-1] + 1 if starts else 0 :] if line]
    errors = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    reason = (errors or lines or [f'ended with status {code}'])[-1]
    return reason if len(reason) <= _LONGEST else f'{reason[: _LONGEST - 3]}...'


def end_with_launcher() -> None:
    """Ends this rank when the launcher that the study runner started for it has ended, however it ended."""
    launcher = os.environ.get(_LAUNCHER)
    if launcher is not None:
        _end_with(int(launcher))


def _end_with(parent: int, unless: threading.Event | None = None) -> None:
    """Ends this process when its parent has ended, however it ended, unless an event comes first."""
    unless = unless or threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            if unless.wait(_POLL_S):
                return
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _serve(runner: connection.Connection, runner_pid: int) -> Any:
    """Forks a run for each request, and tells the runner its end; in a fork, returns what that is to exit with."""
    # Makes torch ask the driver whether there is a GPU: CUDA, once started, does not survive a fork.
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # It cannot hear of the runner's end while it imports; a process that forks has one thread.
    imported = threading.Event()
    _end_with(runner_pid, unless=imported)
    # Torch makes a folder for remote modules when it is imported, which would outlive a killed process.
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        import composer.algorithms  # noqa: F401 (imported by Composer at the first event of every run)
        from composer.utils.collect_env import get_cpu_model

        import composer_clr.data.digits
        import composer_clr.training.build  # noqa: F401

        tempfile.tempdir = None
    # Takes a second; Composer caches the result, also for forked processes.
    get_cpu_model()
    imported.set()
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready = connection.wait([runner, ended])
        if runner in ready:
            try:
                request = json.loads(runner.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)  # the runs end once this process has, which torch would delay
            server = os.getpid()
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                runner.close()
                os.close(ended)
                os.close(wake)
                return _train(server, **request)
            os.setpgid(pid, pid)
            _tell(runner, [pid])
        if ended in ready:
            os.read(ended, 2**16)
        with suppress(ChildProcessError):
            while (child := os.waitpid(-1, os.WNOHANG))[0]:
                _tell(runner, [child[0], os.waitstatus_to_exitcode(child[1])])


def _tell(runner: connection.Connection, answer: list[int]) -> None:
    try:
        runner.send_bytes(json.dumps(answer).encode())
    except OSError:
        os._exit(0)  # it has ended


def _train(server: int, words: list[str], log: str, environment: dict[str, str], ranks: int) -> Any:
    """Does what ``python -m composer_clr.train WORDS`` or ``composer -n RANKS -m composer_clr.train WORDS`` does."""
    with suppress(PermissionError):  # the server has done it
        os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):
        # A launcher has ranks to end and files to remove.
        signal.signal(number, signal.SIG_DFL if ranks == 1 else lambda number, _: sys.exit(128 + number))
    _end_with(server)
    with Path(log).open('ab') as output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.update(environment)
    if ranks == 1:
        sys.argv = ['composer_clr.train', *words]
        return runpy.run_module('composer_clr.train', run_name='__main__', alter_sys=True)
    from composer.cli import launcher

    os.environ[_LAUNCHER] = str(os.getpid())
    sys.argv = ['composer', '-n', str(ranks), '-m', 'composer_clr.train', *words]
    return launcher.main()


if __name__ == '__main__':
    sys.exit(_serve(connection.Connection(int(sys.argv[1])), int(sys.argv[2])))
