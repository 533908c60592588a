"""The work of one process in a conversion of images: one shard, or part of a folder, at a time.

Imports little, since each process is spawned.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from composer_clr.data.conversion.settings import Conversion
from composer_clr.data.transforms import decode_rgb
from composer_clr.utils.files import part_of, put_in_place, write_whole

__all__ = ['Job', 'make', 'smaller_copy', 'start_process']


@dataclass(frozen=True)
class Job:
    """Files that are converted together, and the file that records that they are done."""

    files: tuple[tuple[Path, int, str], ...]  # path, class, and name below the split
    record: Path


def smaller_copy(encoded: bytes, short_side: int, quality: int, source: str) -> bytes:
    """Returns an image file whose shorter side is limited: a new JPEG, or the unchanged bytes of a small image.

    Args:
        encoded (bytes): The file's bytes.
        short_side (int): Largest length of the shorter side, in pixels.
        quality (int): JPEG quality of a resized image.
        source (str): Name of the file, for the error.

    Raises:
        OSError: If the bytes are not a complete image.
    """
    pixels = decode_rgb(torch.from_numpy(np.frombuffer(encoded, dtype=np.uint8).copy()), source)
    height, width = pixels.shape[-2:]
    short = min(height, width)
    if short <= short_side:
        return encoded
    size = (max(1, short_side * width // short), max(1, short_side * height // short))
    file = io.BytesIO()
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    image.resize(size, Image.Resampling.BICUBIC).save(file, 'JPEG', quality=quality)
    return file.getvalue()


def start_process() -> None:
    """Initialises a worker process."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exits with the parent; a worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def make(job: Job, conversion: Conversion) -> list[str]:
    """Converts the files of a job, and returns the names of those that are not images."""
    copies, unreadable = [], []
    for path, label, name in job.files:
        try:
            copies.append(
                (smaller_copy(path.read_bytes(), conversion.short_side, conversion.quality, str(path)), label, name)
            )
        except OSError as error:
            unreadable.append(str(error) if str(path) in str(error) else f'{path}: {error}')
    if unreadable and not conversion.skip_unreadable:
        return unreadable
    result: dict[str, object] = {'images': len(copies), 'left_out': unreadable}
    if conversion.format == 'mds':
        result['shard'] = _write_shard(copies, job.record) if copies else None
    else:
        for content, _, name in copies:
            file = job.record.parent / name
            file.parent.mkdir(parents=True, exist_ok=True)
            part_of(file).write_bytes(content)
            part_of(file).replace(file)
    write_whole(job.record, json.dumps(result))
    return unreadable


def _write_shard(copies: list[tuple[bytes, int, str]], record: Path) -> dict[str, object]:
    """Writes one shard to a temporary folder, and moves it into place under its number."""
    from streaming import MDSWriter

    name = f'shard.{record.name.split(".")[2]}.mds'
    with tempfile.TemporaryDirectory(dir=record.parent, prefix='.part-') as temporary:
        with MDSWriter(columns={'x': 'bytes', 'y': 'int'}, out=f'{temporary}/shard', size_limit=None) as writer:
            for content, label, _ in copies:
                writer.write({'x': content, 'y': label})
        index = json.loads(Path(temporary, 'shard/index.json').read_text(encoding='utf-8'))
        (shard,) = index['shards']
        Path(temporary, 'shard', shard['raw_data']['basename']).replace(part_of(record.parent / name))
    put_in_place(record.parent / name)
    shard['raw_data']['basename'] = name
    return shard
