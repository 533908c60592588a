"""The process of a run under the study runner: a child of a fork server, or Composer's launcher; no torch here."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

from composer_clr.training.study_log import open_log

__all__ = ['PROGRESS_FILE', 'RUNNER_LOCK', 'RunProcess']

# Environment variables of a run: the file to report progress in, and the one that the runner has locked.
PROGRESS_FILE = 'COMPOSER_CLR_PROGRESS_FILE'
RUNNER_LOCK = 'COMPOSER_CLR_RUNNER_LOCK'

# What the fork server imports; `__main__` saves each child from importing the program that called this one.
_PRELOADED = ['__main__', 'composer_clr.training.preloaded']
_SERVER_POLL_S = 0.2


class RunProcess:
    """Starts ``python -m composer_clr.train``, polls it and ends it.

    With one rank the process is forked from a server that has imported Composer, which saves the imports. With several
    it is Composer's launcher. Either leads its own process group, so that Ctrl-C in a terminal reaches the runner
    alone.

    Args:
        words (Sequence[str]): Recipe and ``key=value`` pairs.
        log (Path): Takes its output.
        environment (Mapping[str, str]): Environment variables to set.
        ranks (int): Number of ranks.

    Raises:
        OSError: If it cannot be started or the log cannot be written.
    """

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str], ranks: int):
        self._process: Any
        with open_log(log, ['composer_clr.train', *words]) as output:
            if ranks == 1:
                context = get_context('forkserver')
                context.set_forkserver_preload(_PRELOADED)
                self._process = context.Process(target=_train, args=(list(words), dict(environment), str(log)))
                # The server is started with the first run: what its imports print is not for the terminal.
                with _output_to(output.fileno()):
                    forkserver.ensure_running()
                self._process.start()
                return
            launcher = [sys.executable, '-m', 'composer.cli.launcher', '-n', str(ranks), '-m', 'composer_clr.train']
            self._process = subprocess.Popen(
                [*launcher, *words],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def sentinel(self) -> int | None:
        """A handle that becomes ready when the process ends; ``None`` for a launcher."""
        return None if isinstance(self._process, subprocess.Popen) else self._process.sentinel

    def poll(self) -> int | None:
        """Returns the exit status, the negative number of the signal that ended it, or ``None`` while it runs."""
        if isinstance(self._process, subprocess.Popen):
            code = self._process.poll()
            # The launcher passes the signal of a rank on as a status of one byte.
            return code - 256 if code is not None and code > 192 else code
        return self._process.exitcode

    def send(self, number: int) -> None:
        """Sends a signal to the process and those that it started."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            if self.poll() is None:  # forked a moment ago, not yet the leader of its group
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)

    def wait(self) -> None:
        """Waits for its end."""
        if isinstance(self._process, subprocess.Popen):
            self._process.wait()
        else:
            self._process.join()


@contextmanager
def _output_to(descriptor: int) -> Iterator[None]:
    """Makes processes that are started meanwhile inherit another stdout and stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(descriptor, number)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _train(words: list[str], environment: dict[str, str], log: str) -> None:
    """Does what ``python -m composer_clr.train WORDS`` does, in a child of the fork server."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_server, args=(os.getppid(),), daemon=True).start()
    with Path(log).open('ab') as output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.update(environment)
    sys.argv = ['composer_clr.train', *words]
    runpy.run_module('composer_clr.train', run_name='__main__', alter_sys=True)


def _end_with_server(server: int) -> None:
    """Ends this process with the fork server, without which the runner loses track of it."""
    while os.getppid() == server:
        time.sleep(_SERVER_POLL_S)
    os._exit(1)
