"""Errors of a rank that has lost the connection to another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ['lost_rank', 'rank_errors']

# As torch words the errors of its backends, on the CPU and on GPUs.
_LOST = re.compile(r'gloo/transport/\S+\] (?P<gloo>[^\[\n]*)|(?P<nccl>ncclRemoteError)')


def lost_rank(error: Exception) -> str | None:
    """Returns how the connection to another rank was lost, in torch's words; ``None`` for any other error.

    Example:
        >>> lost_rank(RuntimeError('[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:56194'))
        'Connection closed by peer'
    """
    lost = _LOST.search(str(error)) if isinstance(error, RuntimeError) else None
    return None if lost is None else (lost['gloo'] or lost['nccl']).strip()


@contextmanager
def rank_errors() -> Iterator[None]:
    """Raises torch's error of a lost connection to another rank as an error of one line.

    Raises:
        OSError: If another rank has ended, or no longer answers.
    """
    try:
        yield
    except RuntimeError as error:
        lost = lost_rank(error)
        if lost is None:
            raise
        raise OSError(
            f'another rank has ended ({lost}): its output has the reason; resume from the last checkpoint'
        ) from error
