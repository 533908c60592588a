"""Files read within bounds, and written whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ['PART', 'bounded_text', 'part_of', 'put_in_place', 'write_whole']


# What the name of a file that is being made starts with.
PART = '.part-'


def part_of(path: Path) -> Path:
    """Where a file is made before it is put in its place.

    Hidden, in the same folder so that a rename will do, and with its ending kept, by which Composer chooses how it
    saves.
    """
    return path.with_name(PART + path.name)


def put_in_place(path: Path) -> None:
    """Rename the finished part to its name; flushed before and after, so that a power cut keeps the order."""
    part = part_of(path)
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a text file by rename; what could not be written is not left behind."""
    try:
        part_of(path).write_text(text, encoding='utf-8')
        put_in_place(path)
    except BaseException:
        with suppress(OSError):
            part_of(path).unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def bounded_text(path: Path, max_bytes: int, encoding: str = 'utf-8') -> str:
    """Read a text file whole.

    Args:
        path (Path): The file; a pipe or a device, which might never end, is refused unread.
        max_bytes (int): The most it may hold.
        encoding (str): Its encoding. Default: ``'utf-8'``.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        ValueError: If it is no ordinary file, larger, or not in the encoding.
    """
    # Opened without waiting: a pipe that nobody writes to would wait for ever.
    with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError('it is no ordinary file')
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        size = f'{max_bytes >> 20} MiB' if max_bytes >= 1 << 20 else f'{max_bytes >> 10} KiB'
        raise ValueError(f'it is larger than {size}, which none of its kind is')
    # As a text file is opened: line ends become one.
    return content.decode(encoding).replace('\r\n', '\n').replace('\r', '\n')
