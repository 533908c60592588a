"""Makes smaller copies of an ImageFolder's images, as MDS shards or as files: ``composer-clr convert-images``.

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

import numpy as np
import torch
from PIL import Image

from composer_clr.data.images import ImageFolderDataset, decode_rgb
from composer_clr.utils.errors import UserError
from composer_clr.utils.files import part_of, put_in_place, write_whole

__all__ = ['Conversion', 'ConversionError', 'Job', 'convert_images', 'make', 'smaller_copy', 'start_process']

SPLITS = ('train', 'val')
_PLAN = 'conversion.json'
# Training images are shuffled over the shards once, so that a shard has images of many classes.
_ORDER_SEED = 0

FORMATS = ('mds', 'folder')


class ConversionError(UserError):
    """A conversion that cannot be done; the message names the file or the option."""


@dataclass(frozen=True)
class Conversion:
    """Settings of a conversion.

    Attributes:
        short_side (int): Largest length of the shorter side, in pixels; larger images are resized to it. Default:
            ``400``.
        quality (int): JPEG quality of the resized images, from 1 to 95. Default: ``90``.
        format (str): ``mds`` or ``folder``. Default: ``'mds'``.
        shard_images (int): Images per shard. Default: ``1000``.
        skip_unreadable (bool): Whether to leave out files that are not readable images. Default: ``False``.
    """

    short_side: int = 400
    quality: int = 90
    format: str = 'mds'
    shard_images: int = 1000
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.short_side < 1 or not 1 <= self.quality <= 95 or self.shard_images < 1:
            raise ConversionError('--short-side and --shard-images must be 1 or more, --quality from 1 to 95')
        if self.format not in FORMATS:
            raise ConversionError(f'--format {self.format}: must be one of {", ".join(FORMATS)}')


def convert_images(
    source: Path, target: Path, conversion: Conversion, processes: int, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Converts ``train/`` and ``val/`` of an ImageFolder; continues where an earlier call was interrupted.

    A shard is written under another name and renamed, so that it is complete or absent. An index is written when all
    shards of its split exist and their images have been counted.

    Args:
        source (Path): Folder with ``train/`` and ``val/``, each with one folder per class.
        target (Path): Folder for the result.
        conversion (Conversion): The settings.
        processes (int): Number of processes; 1 converts in this one.
        progress (Callable): Called with the number of images done and the number of all.

    Returns:
        dict[str, int]: Images written of each split, including those of earlier calls.

    Raises:
        ConversionError: If the source is not an ImageFolder, ``target`` holds other files, or a file is not an image.
    """
    if conversion.format == 'mds' and importlib.util.find_spec('streaming') is None:
        raise ConversionError("--format mds needs MosaicML Streaming: pip install 'composer_clr[streaming]'")
    try:
        folders = {split: ImageFolderDataset(source / split, transform=torch.as_tensor) for split in SPLITS}
    except ValueError as error:
        raise ConversionError(str(error)) from error
    if folders['train'].classes != folders['val'].classes:
        raise ConversionError(f'{source}: train/ and val/ do not have the same class folders')
    _open_target(target, conversion, folders)
    jobs = [
        job
        for split, folder in folders.items()
        for job in _jobs(folder, target / split, conversion, shuffled=split == 'train')
    ]
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
        raise ConversionError('a process was killed, perhaps for lack of memory: call again') from error
    except OSError as error:
        raise ConversionError(f'{target} cannot be written to ({error}): call again when it can') from error
    if unreadable and not conversion.skip_unreadable:
        raise ConversionError(
            f'{len(unreadable)} files are not readable images, such as {unreadable[0]}: replace them and call again, '
            'or leave them out with --skip-unreadable'
        )
    return {split: _finish(folder, target / split, conversion) for split, folder in folders.items()}


def _done(jobs: list[Job], conversion: Conversion, processes: int) -> Iterator[tuple[Job, list[str]]]:
    """Yields each job when it is done, with its unreadable files."""
    if processes == 1:
        yield from ((job, make(job, conversion)) for job in jobs)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context('spawn'), start_process) as pool:
        running = {pool.submit(make, job, conversion): job for job in jobs}
        try:
            for finished in as_completed(running):
                yield running[finished], finished.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _jobs(folder: ImageFolderDataset, target: Path, conversion: Conversion, shuffled: bool) -> Iterator[Job]:
    order = list(range(len(folder)))
    if shuffled:
        random.Random(_ORDER_SEED).shuffle(order)
    for shard, start in enumerate(range(0, len(order), conversion.shard_images)):
        files = []
        for number in order[start : start + conversion.shard_images]:
            name = os.fsdecode(folder.files[number])
            files.append((folder.folder / name, int(folder.labels[number]), name))
        yield Job(tuple(files), target / f'.made.{shard:05}.json')


def _open_target(target: Path, conversion: Conversion, folders: dict[str, ImageFolderDataset]) -> None:
    """Creates the target, or refuses one that holds other files or was converted with other options."""
    digest = hashlib.sha256()
    for folder in folders.values():
        digest.update(folder.files.tobytes() + folder.labels.tobytes())
    plan = json.dumps({**asdict(conversion), 'skip_unreadable': None, 'files': digest.hexdigest()})
    if (target / _PLAN).is_file():
        if (target / _PLAN).read_text(encoding='utf-8') != plan:
            raise ConversionError(
                f'{target} holds a conversion of other files or with other options: pass a new folder'
            )
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConversionError(f'{target} is not empty, and holds no conversion: pass a new folder')
    for split in SPLITS:
        (target / split).mkdir(parents=True)
    write_whole(target / _PLAN, plan)


def _finish(folder: ImageFolderDataset, target: Path, conversion: Conversion) -> int:
    """Counts the images written, and writes the index."""
    records = [json.loads(file.read_text(encoding='utf-8')) for file in sorted(target.glob('.made.*.json'))]
    images, left_out = sum(record['images'] for record in records), [name for r in records for name in r['left_out']]
    if conversion.format == 'mds':
        shards = [record['shard'] for record in records if record['shard']]
        found = sum(shard['samples'] for shard in shards)
        wrong = [
            shard['raw_data']['basename']
            for shard in shards
            if _bytes(target / shard['raw_data']['basename']) != shard['raw_data']['bytes']
        ]
    else:
        found = len(ImageFolderDataset(target, transform=torch.as_tensor)) if images else 0
        shards, wrong = [], []
    if found != images or images + len(left_out) != len(folder) or wrong:
        raise ConversionError(
            f'{target} has {found} images of {len(folder)}, {len(left_out)} left out'
            + (f', and {wrong[0]} is incomplete' if wrong else '')
            + ': remove it and convert again'
        )
    if conversion.format == 'mds':
        index = {'version': 2, 'shards': shards, 'classes': folder.classes, 'left_out': left_out}
        write_whole(target / 'index.json', json.dumps(index))
    for part in target.glob('.part-*'):
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    return images


def _bytes(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


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
