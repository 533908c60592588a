"""One live process a folder: a lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import socket
import warnings
from pathlib import Path

__all__ = ['LOCK_FILE', 'FolderInUseError', 'FolderLock']

LOCK_FILE = '.lock'


class FolderInUseError(OSError):
    """A folder that a live process writes to: the message names the process."""


class FolderLock:
    """Keeps a local folder for this process until :meth:`release`, or until the process is gone, however it ended.

    The operating system holds the lock and drops it with the process, so a file that a killed run has left behind is
    in nobody's way. It holds against other processes, also on other machines where the file system passes locks on
    (NFS since version 4 does). Within a process the newest lock of a folder takes the place of the one before: a
    Trainer that ended with an error does not keep out the next one.

    Args:
        folder (Path): The folder, which exists.

    Raises:
        FolderInUseError: If another live process has it.
        OSError: If no file can be made in it.
    """

    def __init__(self, folder: Path):
        self.path = folder.resolve() / LOCK_FILE
        earlier = _held.get(self.path)
        self._descriptor: int | None = earlier._give() if earlier is not None else _acquired(self.path)
        _held[self.path] = self

    def release(self) -> None:
        """Give the folder to whoever comes next."""
        descriptor = self._give()
        if descriptor is not None:
            del _held[self.path]
            # Removed before it is unlocked: whoever waits for this very file finds that it is gone, and makes its own.
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def _give(self) -> int | None:
        descriptor, self._descriptor = self._descriptor, None
        return descriptor


# POSIX's locks are the process's, not the file descriptor's: the loader's worker processes, which are forked while the
# lock is held and outlive a killed parent for some seconds, do not hold it. The price is that a process must keep count
# of its own.
_held: dict[Path, FolderLock] = {}


def _acquired(path: Path) -> int | None:
    """A descriptor of the locked file, or none where the file system has no locks."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(descriptor, 200).decode(errors='replace').strip()
            os.close(descriptor)
            raise FolderInUseError(
                f"folder='{path.parent}' is being written to by a live run ({holder or 'of a process not named'}): "
                'wait for it to end, or give this run another folder or run_name'
            ) from error
        except OSError as error:
            os.close(descriptor)
            warnings.warn(
                f"folder='{path.parent}' cannot be locked ({error}): see to it that no two runs write to it",
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
        # Removed by its holder between our opening and locking it.
        os.close(descriptor)
