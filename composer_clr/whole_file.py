"""Files that a reader, or a crash, meets whole: the old one or the new one, never a part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ['PART', 'part_of', 'put_in_place', 'write_whole']

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
