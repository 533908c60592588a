"""Locks a folder for one live process; the lock ends with the process."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import warnings
from pathlib import Path

__all__ = ['LOCK_FILE', 'FolderInUseError', 'FolderLock']

LOCK_FILE = '.lock'
# What the file's content starts with: the process that holds it.
_HOLDER = 'process '


class FolderInUseError(OSError):
    """Raised for a folder that a live process writes to; the message names the process."""


class FolderLock:
    """Locks a local folder for this process until :meth:`release`, or until the process ends in any way.

    Within a process the newest lock replaces the one before: a Trainer that failed does not keep out the next one.

    Args:
        folder (Path): An existing folder.

    Raises:
        FolderInUseError: If another live process has locked it.
        OSError: If a file cannot be created in it, or what is there under the lock's name is not a lock.
    """

    def __init__(self, folder: Path):
        self.path = folder.resolve() / LOCK_FILE
        earlier = _locks.get(self.path)
        self._descriptor: int | None = earlier._take() if earlier is not None else _locked(self.path)
        _locks[self.path] = self

    @property
    def is_in_place(self) -> bool:
        """Whether the lock file is still there; where the file system has no locks, whether the folder is."""
        return self.path.parent.is_dir() if self._descriptor is None else _is_at(self._descriptor, self.path)

    def release(self) -> None:
        """Unlocks the folder."""
        descriptor = self._take()
        if descriptor is not None:
            del _locks[self.path]
            # Removed before it is unlocked: a process that has opened this file sees that it is gone, and creates one.
            if _is_at(descriptor, self.path):
                self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def _take(self) -> int | None:
        descriptor, self._descriptor = self._descriptor, None
        return descriptor


# POSIX locks belong to the process, not to the file descriptor: the loader's worker processes, forked while the lock is
# held and alive for some seconds after a killed parent, do not hold it. So a process must keep its own list.
_locks: dict[Path, FolderLock] = {}


def _locked(path: Path) -> int | None:
    """Returns the descriptor of the locked file, or ``None`` where the file system has no locks."""
    descriptor = _opened(path)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors='replace').strip()
        os.close(descriptor)
        if isinstance(error, (BlockingIOError, PermissionError)):
            raise FolderInUseError(
                f"folder='{path.parent}' is being written to by a live run ({holder or 'its process is not named'}): "
                'wait for it to end, or give this run another folder or run_name'
            ) from error
        warnings.warn(
            f"folder='{path.parent}' cannot be locked ({error}): make sure that no two runs write to it", stacklevel=2
        )
        return None
    if not _is_at(descriptor, path):  # removed by its holder between opening and locking
        os.close(descriptor)
        return _locked(path)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f'{_HOLDER}{os.getpid()} on {socket.gethostname()}\n'.encode())
    return descriptor


def _opened(path: Path) -> int:
    """Opens the lock file, or creates it; refuses whatever would be damaged by writing the holder's name to it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(f"'{path}' is a symbolic link, which a run's lock never is: remove it") from error
        raise type(error)(
            f"folder='{path.parent}' cannot be written to ({error.strerror}): name a folder that this user may write to"
        ) from error
    content = os.pread(descriptor, 200, 0) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    if content is None or (content and not content.startswith(_HOLDER.encode())):
        os.close(descriptor)
        raise OSError(f"'{path}' is not the lock of a run: move it away, or name another folder")
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
