"""The log of a run under the study runner, and the reason of a failure in it."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from composer_clr.utils.text import printable

__all__ = ['LOG_FILE', 'failure', 'open_log']

LOG_FILE = 'train.log'
_PROGRAM = 'composer_clr.train: '
_TAIL_BYTES = 64 * 2**10
_LONGEST = 300
# In the error of PyTorch that cannot write a file, which does not name the cause.
_TORCH_WRITES = 'inline_container.cc'


def open_log(path: Path, command: Sequence[str]) -> BinaryIO:
    """Opens a log for appending, and notes the time and the command in it.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open('ab', buffering=0)
    log.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")} $ python -m {shlex.join(command)}\n'.encode())
    return log


def failure(code: int, log: Path) -> str:
    """Returns why a run failed, on one line.

    Args:
        code (int): Its exit status; for a signal, the negative of its number.
        log (Path): Its output.

    Example:
        >>> failure(-9, Path('nowhere'))
        'killed by SIGKILL, which the kernel sends when memory runs out'
        >>> failure(1, Path('nowhere'))
        'ended with status 1'
    """
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f'signal {-code}'
        return f'killed by {name}' + (', which the kernel sends when memory runs out' if name == 'SIGKILL' else '')
    lines = _last_lines(log)
    errors = [line.removeprefix(_PROGRAM) for line in lines if line.startswith(_PROGRAM)]
    reason = (errors or lines or [f'ended with status {code}'])[-1]
    if _TORCH_WRITES in reason:
        reason = f'a file could not be written, make room for it ({reason})'
    return reason if len(reason) <= _LONGEST else f'{reason[: _LONGEST - 3]}...'


def _last_lines(log: Path) -> list[str]:
    """Returns the lines since the last start, within the last bytes of the log."""
    try:
        with log.open('rb') as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors='replace')
    except OSError:
        return []
    lines = [printable(line).strip() for line in text.splitlines()]
    starts = [number for number, line in enumerate(lines) if '$ python -m composer_clr.train' in line]
    return [line for line in lines[starts[-1] + 1 if starts else 0 :] if line]
