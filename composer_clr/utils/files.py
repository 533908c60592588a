"""Files read within bounds, and written as a whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ['PART', 'bounded_text', 'part_of', 'put_in_place', 'write_whole']


# Prefix of the name of a file that is being written.
PART = '.part-'


def part_of(path: Path) -> Path:
    """Returns the path that a file is written to before it is renamed.

    Hidden, in the same folder so that a rename suffices, and with the same suffix, by which Composer chooses the
    format.
    """
    return path.with_name(PART + path.name)


def put_in_place(path: Path) -> None:
    """Renames the finished part to its name; flushed before and after, so that a power cut keeps the order."""
    part = part_of(path)
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file by rename; a partial file is removed."""
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
    """Returns the text of a file.

    Args:
        path (Path): The file; a pipe or a device, which might never end, is refused.
        max_bytes (int): Its maximum size.
        encoding (str): Its encoding. Default: ``'utf-8'``.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If it is not a regular file, is larger, or is not in the encoding.
    """
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
