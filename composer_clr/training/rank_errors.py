"""Errors of a rank that has lost the connection to another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ['rank_errors']

# As torch words the errors of its backends, on the CPU and on GPUs.
_LOST = re.compile(r'gloo/transport/\S+\] (?P<gloo>[^\[\n]*)|(?P<nccl>ncclRemoteError)')


@contextmanager
def rank_errors() -> Iterator[None]:
    """Raises torch's error of a lost connection to another rank as an error of one line.

    Raises:
        OSError: If another rank has ended, or no longer answers.
    """
    try:
        yield
    except RuntimeError as error:
        lost = _LOST.search(str(error))
        if lost is None:
            raise
        raise OSError(
            f'another rank has ended ({(lost["gloo"] or lost["nccl"]).strip()}): its output has the reason; resume '
            'from the last checkpoint'
        ) from error
