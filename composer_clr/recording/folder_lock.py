"""Locks a folder for one live process; the lock ends with the process."""

from __future__ import annotations

import fcntl
import os
import socket
import warnings
from pathlib import Path

__all__ = ['LOCK_FILE', 'FolderInUseError', 'FolderLock']

LOCK_FILE = '.lock'


class FolderInUseError(OSError):
    """Raised for a folder that a live process writes to; the message names the process."""


class FolderLock:
    """Locks a local folder for this process until :meth:`release`, or until the process ends in any way.

    The operating system drops the lock with the process, so a file left behind by a killed run keeps nobody out. It
    holds against other processes, also on other machines where the file system passes locks on (NFS since version 4
    does). Within a process the newest lock of a folder replaces the one before: a Trainer that ended with an error
    does not keep out the next one.

    Args:
        folder (Path): An existing folder.

    Raises:
        FolderInUseError: If another live process has locked it.
        OSError: If a file cannot be created in it.
    """

    def __init__(self, folder: Path):
        self.path = folder.resolve() / LOCK_FILE
        earlier = _locks.get(self.path)
        self._descriptor: int | None = earlier._take() if earlier is not None else _locked(self.path)
        _locks[self.path] = self

    def release(self) -> None:
        """Unlocks the folder."""
        descriptor = self._take()
        if descriptor is not None:
            del _locks[self.path]
            # Removed before it is unlocked: a process that has opened this file sees that it is gone, and creates one.
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
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(descriptor, 200).decode(errors='replace').strip()
            os.close(descriptor)
            raise FolderInUseError(
                f"folder='{path.parent}' is being written to by a live run ({holder or 'its process is not named'}): "
                'wait for it to end, or give this run another folder or run_name'
            ) from error
        except OSError as error:
            os.close(descriptor)
            warnings.warn(
                f"folder='{path.parent}' cannot be locked ({error}): make sure that no two runs write to it",
                UserWarning,
                stacklevel=2,
            )
            return None
        try:
            same = os.fstat(descriptor).st_ino == path.stat().st_ino
        except FileNotFoundError:
            same = False
        if same:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
            return descriptor
        # Removed by its holder between opening and locking.
        os.close(descriptor)
