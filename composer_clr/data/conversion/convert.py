"""Makes smaller copies of an ImageFolder's images, as MDS shards or as files: ``composer-clr convert-images``."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import torch

from composer_clr.data.conversion.settings import Conversion, ConversionError
from composer_clr.data.conversion.smaller_copies import Job, make, start_process
from composer_clr.data.imagefolder import ImageFolderDataset
from composer_clr.utils.files import write_whole

__all__ = ['convert_images']

SPLITS = ('train', 'val')
_PLAN = 'conversion.json'
# Training images are shuffled over the shards once, so that a shard has images of many classes.
_ORDER_SEED = 0


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
