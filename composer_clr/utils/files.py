"""Files read within bounds, and written as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from composer_clr.utils.errors import UserError

__all__ = ['PART', 'STDOUT', 'bounded_text', 'is_stdout', 'part_of', 'put_in_place', 'write_output', 'write_whole']


# Prefix of the name of a file that is being written.
PART = '.part-'
# The name of an output that is standard output.
STDOUT = '-'


def part_of(path: Path) -> Path:
    """Returns the path that a file is written to before it is renamed: hidden, in the same folder, with its suffix."""
    return path.with_name(PART + path.name)


def put_in_place(path: Path) -> None:
    """Renames the finished part to its name; flushed before and after, so that a power cut keeps the order."""
    part = part_of(path)
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file by rename; a partial file is removed."""
    _replace(path, text.encode(), None)


def write_output(path: Path, content: bytes) -> None:
    """Writes what a command was asked to put into a file, and makes the folder for it, or raises a ``UserError``.

    A regular file is replaced as a whole and keeps its permissions, also through a symbolic link, which stays. A device
    or a pipe is written to, never replaced. ``-`` is standard output, and so is any other name of the same file.
    """
    if is_stdout(path):
        if sys.stdout is None:
            raise UserError(f'{path}: standard output is closed: choose another file')
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            with path.open('wb') as file:
                file.write(content)
        elif mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            _replace(path.resolve(), content, mode)
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links is a RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f'{path}: cannot be written ({reason}): choose another file') from error


def is_stdout(path: Path) -> bool:
    """Returns whether a path is standard output: ``-``, or a name such as ``/dev/stdout`` of the same file."""
    if str(path) == STDOUT:
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # one of the two does not exist, or is not a file
        return False


def _replace(path: Path, content: bytes, mode: int | None) -> None:
    part = part_of(path)
    try:
        part.unlink(missing_ok=True)
        # A new file, never what a link of that name leads to.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, 'wb') as file:
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            file.write(content)
        put_in_place(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def bounded_text(path: Path, max_bytes: int, encoding: str = 'utf-8') -> str:
    """Returns the text of a file; one that is no regular file, or is larger than ``max_bytes``, is a ``ValueError``."""
    # Opened without blocking: a pipe without a writer would block forever.
    with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError('it is not a regular file')
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        size = f'{max_bytes >> 20} MiB' if max_bytes >= 1 << 20 else f'{max_bytes >> 10} KiB'
        raise ValueError(f'it is larger than {size}, the maximum for such files')
    # Universal newlines, as when a text file is opened.
    return content.decode(encoding).replace('\r\n', '\n').replace('\r', '\n')
