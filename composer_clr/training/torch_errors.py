"""Errors of torch's loader processes, ranks and files, in one line that a user can act on."""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from composer.utils import checkpoint
from torch.utils.data import dataloader

__all__ = ['lost_rank', 'torch_errors']

# As torch words the errors of its backends, on the CPU and on GPUs, of its loaders, and of its files.
_LOST = re.compile(r'gloo/transport/\S+\] (?P<gloo>[^\[\n]*)|(?P<nccl>ncclRemoteError)')
_ENDED = re.compile(r'DataLoader worker \(.*?\) (?:is killed by signal: (?P<signal>[^.]*)|exited unexpectedly)')
_TIMED_OUT = re.compile(r'DataLoader timed out after (?P<seconds>\S+) seconds')
# The function of Composer that writes a checkpoint, to its argument `filename`.
_WRITES = '_write_checkpoint_file'
_NOT_WRITTEN = re.compile(r'inline_container\.cc|PytorchStreamWriter failed')


@contextmanager
def torch_errors() -> Iterator[None]:
    """Raises torch's errors of lost ranks, ended loader processes and full disks as ``OSError`` of one line."""
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        message = _lost(error) or _not_written(error) or _ended_loader(error)
        if message is None:
            raise
        raise OSError(message) from error


def lost_rank(error: Exception) -> str | None:
    """Returns how the connection to another rank was lost, in torch's words; ``None`` for any other error."""
    lost = _LOST.search(str(error)) if isinstance(error, RuntimeError) else None
    return None if lost is None else (lost['gloo'] or lost['nccl']).strip()


def _lost(error: Exception) -> str | None:
    if (how := lost_rank(error)) is None:
        return None
    return f'another rank has ended ({how}): its output has the reason; resume from the last checkpoint'


def _ended_loader(error: Exception) -> str | None:
    if timed_out := _TIMED_OUT.search(str(error)):
        return (
            f'data.timeout_s={timed_out["seconds"]}: no batch came from the loader processes for so long: check the '
            'storage of the data, or pass a larger data.timeout_s'
        )
    ended = _ENDED.search(str(error))
    # The end of a process may also show while a batch is received.
    if not ended and not (isinstance(error, (ConnectionError, EOFError)) and _frames(error, dataloader.__file__)):
        return None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise this again at the end of any child
    how = f' ({ended["signal"]})' if ended and ended['signal'] else ''
    return (
        f'data.num_workers: a loader process ended unexpectedly{how}, often because memory ran out: resume, perhaps '
        'with fewer data.num_workers'
    )


def _not_written(error: Exception) -> str | None:
    """Returns which of the Trainer's own checkpoints could not be written, and why."""
    writing = [frame for frame in _frames(error, checkpoint.__file__) if frame.f_code.co_name == _WRITES]
    if not writing or not (isinstance(error, OSError) or _NOT_WRITTEN.search(str(error))):
        return None
    # Torch's own error follows that of the system.
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, OSError):
        reason = reason.__context__
    why = error if reason is None else reason.strerror or reason
    return f'{writing[0].f_locals["filename"]}: cannot be written ({why}): make room for it, and resume'


def _frames(error: BaseException, file: str | None) -> list:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
