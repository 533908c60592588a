"""Text files from elsewhere: read only if they are files, and no larger than what they should hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ['bounded_text']


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
