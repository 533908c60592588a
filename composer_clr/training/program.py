"""Runs a program of one's own under the study runner, and ends it with the runner, however that ended.

``python -m composer_clr.training.program RUNNER_PID PROGRAM ARGUMENTS...`` leads the program's process group. It exits
with the program's status, or with that of its signal as a byte.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

__all__: list[str] = []

_CANNOT_START = 127
_POLL_S = 0.2
# How long the processes of the group have to end on SIGTERM.
_GRACE_S = 10.0


def _run(runner_pid: int, words: Sequence[str]) -> int:
    # Signals go to the whole group; this process waits for the program, whose handlers are the default ones again.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        program = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f'{words[0]}: cannot be started: {error.strerror}', flush=True)
        return _CANNOT_START
    while os.getppid() == runner_pid:
        try:
            return program.wait(_POLL_S) & 0xFF
        except subprocess.TimeoutExpired:
            pass
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    while program.poll() is None and time.monotonic() < until:
        time.sleep(_POLL_S)
    os.killpg(0, signal.SIGKILL)  # this process too
    return 1


if __name__ == '__main__':
    sys.exit(_run(int(sys.argv[1]), sys.argv[2:]))
