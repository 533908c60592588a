"""Limits the wait for loader processes, and explains in one line why one ended."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from composer.core import DataSpec
from torch.utils.data import DataLoader, dataloader

__all__ = ['limit_waiting', 'loader_errors']

_ENDED = re.compile(r'DataLoader worker \(.*?\) (?:is killed by signal: (?P<signal>[^.]*)|exited unexpectedly)')
_TIMED_OUT = re.compile(r'DataLoader timed out after (?P<seconds>\S+) seconds')


def limit_waiting(data: DataSpec, timeout_s: float) -> None:
    """Sets how long a loader with processes of its own waits for a batch.

    Args:
        data (DataSpec): Training or evaluation data.
        timeout_s (float): Limit in seconds; 0 for no limit.

    Raises:
        ValueError: If the limit is negative.
    """
    if not timeout_s >= 0:
        raise ValueError(f'timeout_s={timeout_s}: must be a number of seconds, or 0 to wait for ever')
    if isinstance(data.dataloader, DataLoader) and data.dataloader.num_workers:
        data.dataloader.timeout = timeout_s


@contextmanager
def loader_errors() -> Iterator[None]:
    """Raises torch's errors of loader processes as an error of one line.

    Raises:
        OSError: If a loader process ended, or gave no batch in time.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if timed_out := _TIMED_OUT.search(str(error)):
            raise OSError(
                f'data.timeout_s={timed_out["seconds"]}: no batch came from the loader processes for so long: check '
                'the storage of the data, or pass a larger data.timeout_s'
            ) from error
        ended = _ENDED.search(str(error))
        # The end of a process may also show while a batch is received.
        if ended or (not isinstance(error, RuntimeError) and _raised_by_loader(error)):
            how = f' ({ended["signal"]})' if ended and ended['signal'] else ''
            raise OSError(
                f'data.num_workers: a loader process ended unexpectedly{how}, often because memory ran out: resume, '
                'perhaps with fewer data.num_workers'
            ) from error
        raise


def _raised_by_loader(error: BaseException) -> bool:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_code.co_filename == dataloader.__file__ for frame in frames)
