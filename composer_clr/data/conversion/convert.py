"""Makes smaller copies of an ImageFolder's images, as MDS shards: ``composer-clr convert-images``.

Imports little, since each process is spawned.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from composer_clr.data.images import ImageFolderDataset, check_classes, decode_rgb
from composer_clr.utils.errors import UserError
from composer_clr.utils.files import part_of, put_in_place, write_whole

__all__ = ['Conversion', 'convert_images', 'smaller_copy']

SPLITS = ('train', 'val')
_PLAN = 'conversion.json'
# Training images are shuffled over the shards once, so that a shard has images of many classes.
_ORDER_SEED = 0


@dataclass(frozen=True)
class Conversion:
    """The options of ``convert-images``: sides in pixels, JPEG quality of resized images, images per shard."""

    short_side: int = 400
    quality: int = 90
    shard_images: int = 1000
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.short_side < 1 or not 1 <= self.quality <= 95 or self.shard_images < 1:
            raise UserError('--short-side and --shard-images must be 1 or more, --quality from 1 to 95')


class _Job(NamedTuple):
    """Files of one shard and their classes, and the file that records that it is made."""

    files: list[tuple[Path, int]]
    record: Path


def convert_images(
    source: Path, target: Path, conversion: Conversion, processes: int, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Converts ``train/`` and ``val/`` of an ImageFolder, on from an earlier call; returns the images of each split.

    A shard is complete or absent, and an index is written when the images of its split have been counted. ``progress``
    is called with the numbers of images done and of all.
    """
    if importlib.util.find_spec('streaming') is None:
        raise UserError("MosaicML Streaming is not installed: pip install 'composer_clr[streaming]'")
    try:
        folders = {split: ImageFolderDataset(source / split, transform=torch.as_tensor) for split in SPLITS}
        train, held_out = folders.values()
        check_classes(train.classes, held_out.classes, (train.folder, held_out.folder))
    except ValueError as error:
        raise UserError(str(error)) from error
    _open_target(target, conversion, folders)
    jobs = [job for split, folder in folders.items() for job in _jobs(folder, target / split, conversion)]
    waiting = [job for job in jobs if not job.record.is_file()]
    total = sum(len(job.files) for job in jobs)
    done = total - sum(len(job.files) for job in waiting)
    progress(done, total)
    unreadable: list[str] = []
    try:
        for job, broken in _done(waiting, conversion, processes):
            unreadable += broken
            done += len(job.files)
            progress(done, total)
    except BrokenProcessPool as error:
        raise UserError('a process was killed, perhaps for lack of memory: call again') from error
    except OSError as error:
        raise UserError(f'{target} cannot be written to ({error}): call again when it can') from error
    if unreadable and not conversion.skip_unreadable:
        raise UserError(
            f'{len(unreadable)} files are not readable images, such as {unreadable[0]}: replace them and call again, '
            'or leave them out with --skip-unreadable'
        )
    return {split: _finish(folder, target / split) for split, folder in folders.items()}


def _done(jobs: list[_Job], conversion: Conversion, processes: int) -> Iterator[tuple[_Job, list[str]]]:
    """Yields each job when it is done, with its unreadable files."""
    if processes == 1:
        yield from ((job, _make(job, conversion)) for job in jobs)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context('spawn'), _start_process) as pool:
        running = {pool.submit(_make, job, conversion): job for job in jobs}
        try:
            for finished in as_completed(running):
                yield running[finished], finished.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _jobs(folder: ImageFolderDataset, target: Path, conversion: Conversion) -> Iterator[_Job]:
    order = list(range(len(folder)))
    if target.name == 'train':
        random.Random(_ORDER_SEED).shuffle(order)
    for shard, start in enumerate(range(0, len(order), conversion.shard_images)):
        chosen = order[start : start + conversion.shard_images]
        files = [(folder.folder / os.fsdecode(folder.files[one]), int(folder.labels[one])) for one in chosen]
        yield _Job(files, target / f'.made.{shard:05}.json')


def _open_target(target: Path, conversion: Conversion, folders: dict[str, ImageFolderDataset]) -> None:
    """Creates the target, or refuses one that holds other files or was converted with other options."""
    digest = hashlib.sha256()
    for folder in folders.values():
        digest.update(folder.files.tobytes() + folder.labels.tobytes())
    plan = json.dumps({**asdict(conversion), 'skip_unreadable': None, 'files': digest.hexdigest()})
    if (target / _PLAN).is_file():
        if (target / _PLAN).read_text(encoding='utf-8') != plan:
            raise UserError(f'{target} holds a conversion of other files or with other options: pass a new folder')
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f'{target} is not empty, and holds no conversion: pass a new folder')
    for split in SPLITS:
        (target / split).mkdir(parents=True)
    write_whole(target / _PLAN, plan)


def _finish(folder: ImageFolderDataset, target: Path) -> int:
    """Checks the number of images written and the sizes of their shards, and writes the index."""
    records = [json.loads(file.read_text(encoding='utf-8')) for file in sorted(target.glob('.made.*.json'))]
    shards = [record['shard'] for record in records if record['shard']]
    images, left_out = sum(shard['samples'] for shard in shards), [name for r in records for name in r['left_out']]
    sizes = {target / shard['raw_data']['basename']: shard['raw_data']['bytes'] for shard in shards}
    wrong = [file.name for file, size in sizes.items() if not file.is_file() or file.stat().st_size != size]
    if images + len(left_out) != len(folder) or wrong:
        raise UserError(
            f'{target} has {images} images of {len(folder)}, {len(left_out)} left out'
            + (f', and {wrong[0]} is incomplete' if wrong else '')
            + ': remove it and convert again'
        )
    index = {'version': 2, 'shards': shards, 'classes': folder.classes, 'left_out': left_out}
    write_whole(target / 'index.json', json.dumps(index))
    for part in target.glob('.part-*'):
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    return images


def _start_process() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exits with the parent; a worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make(job: _Job, conversion: Conversion) -> list[str]:
    """Makes a shard, and returns the names of the files that are not images."""
    copies, unreadable = [], []
    for path, label in job.files:
        try:
            copy = smaller_copy(path.read_bytes(), conversion.short_side, conversion.quality, str(path))
            copies.append((copy, label))
        except OSError as error:
            unreadable.append(str(error) if str(path) in str(error) else f'{path}: {error}')
    if conversion.skip_unreadable or not unreadable:
        shard = _write_shard(copies, job.record) if copies else None
        write_whole(job.record, json.dumps({'shard': shard, 'left_out': unreadable}))
    return unreadable


def smaller_copy(encoded: bytes, short_side: int, quality: int, source: str) -> bytes:
    """Returns an image file whose shorter side is limited: a new JPEG, or the unchanged bytes of a small image."""
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


def _write_shard(copies: list[tuple[bytes, int]], record: Path) -> dict[str, object]:
    """Writes one shard to a temporary folder, and moves it into place under its number."""
    from streaming import MDSWriter

    name = f'shard.{record.name.split(".")[2]}.mds'
    with tempfile.TemporaryDirectory(dir=record.parent, prefix='.part-') as temporary:
        with MDSWriter(columns={'x': 'bytes', 'y': 'int'}, out=f'{temporary}/shard', size_limit=None) as writer:
            for content, label in copies:
                writer.write({'x': content, 'y': label})
        index = json.loads(Path(temporary, 'shard/index.json').read_text(encoding='utf-8'))
        (shard,) = index['shards']
        Path(temporary, 'shard', shard['raw_data']['basename']).replace(part_of(record.parent / name))
    put_in_place(record.parent / name)
    shard['raw_data']['basename'] = name
    return shard
