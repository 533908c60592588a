"""Images in MosaicML Streaming's shards (MDS), in a local folder or an object store; needs the extra ``streaming``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import Dataset

from composer_clr.data import images, loaders
from composer_clr.utils.errors import all_at_once, one_line

try:
    from streaming import Stream, StreamingDataset
    from streaming.base.format import Reader, reader_from_json
    from streaming.base.spanner import Spanner
    from streaming.base.world import World
except ImportError as error:
    raise ValueError("MosaicML Streaming is not installed: pip install 'composer_clr[streaming]'") from error

__all__ = ['ShardImages', 'StreamedImages', 'crop_seed', 'streaming_dataspecs']

# Encodings whose stored bytes are those of an image file.
_FILES = ('bytes', 'jpeg', 'png')
# How long ranks fetch shards before they exchange their progress; Composer's collectives time out after 300 seconds.
_TURN_S = 60


class StreamedImages(StreamingDataset):
    """Streams the training images, with crops that depend on the seed, the epoch and the image alone."""

    def __init__(
        self,
        transform: images.TrainTransform,
        columns: tuple[str, str] = ('x', 'y'),
        num_classes: int | None = None,
        **streaming: Any,
    ):
        super().__init__(**streaming)
        self._transform, self._columns, self._num_classes = transform, columns, num_classes
        _read_images_as_stored(self.shards, columns)

    def get_item(self, sample_id: int, retry: int = 7) -> tuple[torch.Tensor, int]:
        """Returns the image of this index, transformed, and its label."""
        shard, within = self.spanner[sample_id]
        encoded, label, source = _checked(
            super().get_item(sample_id, retry), self._columns, self._num_classes, self.shards[shard], within
        )
        with torch.random.fork_rng(devices=()):
            # During an epoch's iteration, next_epoch already counts the next one.
            torch.default_generator.manual_seed(crop_seed(self.shuffle_seed, self.next_epoch - 1, sample_id))
            return self._transform(images.decode_rgb(encoded, source)), label

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """Returns the position in the data, for a checkpoint, from the number of samples done in the epoch."""
        state = super().state_dict(num_samples, from_beginning)
        if num_samples == 0 and from_beginning:
            # Between two epochs Streaming saves the finished one, which a resumed run would repeat.
            state['epoch'] = max(state['epoch'], self.next_epoch)
        return state


class ShardImages(Dataset):
    """Reads the images of local shards by index, for a sampler to distribute over the ranks."""

    def __init__(
        self,
        folder: Path,
        transform: Callable[[torch.Tensor], torch.Tensor],
        columns: tuple[str, str] = ('x', 'y'),
        num_classes: int | None = None,
    ):
        index = json.loads((folder / 'index.json').read_text(encoding='utf-8'))
        self._shards = [reader_from_json(str(folder), '', shard) for shard in index['shards']]
        _read_images_as_stored(self._shards, columns)
        samples = np.array([shard.samples for shard in self._shards])
        self._length, self._spanner = int(samples.sum()), Spanner(samples)
        self._transform, self._columns, self._num_classes = transform, columns, num_classes

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(f'{index=} of {len(self)} images')
        shard, within = self._spanner[index]
        reader = self._shards[shard]
        encoded, label, source = _checked(reader[within], self._columns, self._num_classes, reader, within)
        return self._transform(images.decode_rgb(encoded, source)), label


def crop_seed(seed: int, epoch: int, image: int) -> int:
    """Returns the seed of one image's crop in one epoch, of 64 bits."""
    return int(np.random.SeedSequence((seed, epoch + 1, image)).generate_state(1, np.uint64)[0])


def streaming_dataspecs(
    path: str | Path,
    batch_size: int,
    eval_batch_size: int,
    num_workers: int = 8,
    num_classes: int | None = None,
    remote: str | None = None,
    train_size: int = 224,
    eval_resize: int = 256,
    eval_size: int = 224,
    eval_images: int | None = None,
    columns: tuple[str, str] = ('x', 'y'),
    streaming: dict[str, Any] | None = None,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns the data of shards in ``train/`` and ``val/``, as ``convert-images`` writes them.

    The shards of ``val/`` are fetched before training and read by index, each image once on any number of ranks. Those
    of ``train/`` are fetched during training. Everything that the indices show is checked here.

    A resumed run continues with the images and crops that would have been next. Composer restores the other random
    numbers (MixUp's, dropout's) only from a checkpoint at the end of an epoch.

    Args:
        path (str | Path): Folder with ``train/`` and ``val/``; with a ``remote``, its local copy.
        remote (str | None): Folder to fetch ``train/`` and ``val/`` from, such as ``s3://bucket/imagenet``. Default:
            ``None``, they are in ``path``.
        columns (tuple[str, str]): Names of the columns of images, which are the bytes of image files (encodings
            ``bytes``, ``jpeg`` and ``png``), and of labels, which are whole numbers. Default: ``('x', 'y')``.
        streaming (dict | None): Further arguments of ``StreamingDataset``, such as ``cache_limit``. Default: ``None``.
        seed (int): Determines the order of the training images and their crops. Default: ``0``.

    The other arguments are those of :func:`~composer_clr.data.imagefolder.imagefolder_dataspecs`.

    Returns:
        tuple[DataSpec, DataSpec]: Batches as those of :func:`~composer_clr.data.imagefolder.imagefolder_dataspecs`.
        Training images come in a different order in each epoch.

    Raises:
        ValueError: If an index or a local shard is missing, the shards have other columns, the classes of the two
            differ or are not ``num_classes``, there are fewer training images than one batch, or ranks see different
            shards.
    """
    folder = Path(path).expanduser()
    columns = (columns[0], columns[1])
    loaders.start_ranks()
    for split in ('train', 'val'):
        _fetch(folder, remote, split, shards=split == 'val')
    indices = {
        split: _read_index(folder / split, shards=not (remote and split == 'train')) for split in ('train', 'val')
    }
    counts = {split: sum(shard['samples'] for shard in index['shards']) for split, index in indices.items()}
    for split, index in indices.items():
        loaders.check_ranks(json.dumps(index, sort_keys=True).encode(), f'shards in {split}/index.json', counts[split])
        _check_columns(index, columns, folder / split)
    # convert-images writes the names of the classes; in other shards, each label is checked when it is read.
    classes, eval_classes = (indices[split].get('classes', []) for split in ('train', 'val'))
    images.check_classes(classes, eval_classes, (folder / 'train', folder / 'val'))
    with all_at_once() as check:
        if classes:
            check(images.check_num_classes, num_classes, len(classes), folder / 'train')
        check(loaders.check_batch, counts['train'], batch_size, folder / 'train')
    held_out = ShardImages(folder / 'val', images.EvalTransform(eval_resize, eval_size), columns, num_classes)
    order = {'shuffle': True, 'shuffle_seed': loaders.order_seed(seed) % 2**31}
    train = StreamedImages(
        images.TrainTransform(train_size),
        columns,
        num_classes,
        local=str(folder),
        remote=remote,
        split='train',
        batch_size=batch_size,
        **{**order, **(streaming or {})},
    )
    arguments = loaders.loader_arguments(num_workers, loaders.collate_images)
    loader = loaders.Loader(train, batch_size, drop_last=True, **arguments)
    evaluated = loaders.evenly_spaced(held_out, eval_images)
    return (
        DataSpec(loader, num_samples=train.epoch_size, microbatch_transforms=images.Normalize()),
        loaders.sampled(evaluated, eval_batch_size, train=False, on_device=images.Normalize(), **arguments),
    )


def _read_images_as_stored(shards: list[Reader], columns: tuple[str, str]) -> None:
    """Makes Streaming return the stored bytes of the images instead of decoding them with PIL."""
    for shard in shards:
        encodings = dict(zip(shard.column_names, shard.column_encodings, strict=True))  # type: ignore[attr-defined]
        encodings[columns[0]] = 'bytes'
        shard.column_encodings = list(encodings.values())  # type: ignore[attr-defined]


def _checked(
    sample: dict[str, Any], columns: tuple[str, str], num_classes: int | None, shard: Reader, within: int
) -> tuple[torch.Tensor, int, str]:
    """Returns an image's bytes, its label, and its name for errors."""
    source = f'image {within} of {Path(shard.dirname) / (shard.split or "") / shard.raw_data.basename}'  # type: ignore[attr-defined]
    image, label = sample[columns[0]], int(sample[columns[1]])
    if num_classes is not None and not 0 <= label < num_classes:
        raise ValueError(f'{source} is of class {label}: must be below {num_classes=}')
    return torch.frombuffer(bytearray(image), dtype=torch.uint8), label, source


def _fetch(folder: Path, remote: str | None, split: str, shards: bool) -> None:
    """Fetches the index, and the shards if asked, into the local folder; an error on one rank is raised on all."""
    if remote is None and not (folder / split / 'index.json').is_file():
        return  # _read_index raises, on every rank
    stream = Stream(
        local=str(folder), remote=remote, split=split, download_retry=2, download_timeout=600, keep_zip=False
    )
    todo: list[Reader] = []
    problem, began = None, time.monotonic()
    try:
        if dist.get_local_rank() == 0:
            everything = stream.get_shards(World.detect(), allow_unsafe_types=True)
            todo = everything if shards else []
    except Exception as error:
        problem = f'{remote or folder}/{split}: its index cannot be read ({one_line(error)})'
    while True:
        while todo and problem is None and time.monotonic() - began < _TURN_S:
            try:
                stream.prepare_shard(todo[-1])
                todo.pop()
            except Exception as error:
                name = todo[-1].file_pairs[0][0].basename
                problem = f'{remote or folder}/{split}/{name} cannot be fetched ({one_line(error)})'
        progress = dist.all_gather_object((len(todo), problem)) if dist.is_initialized() else [(len(todo), problem)]
        problems = [each for _, each in progress if each is not None]
        if problems:
            raise ValueError(problems[0])
        if not any(remaining for remaining, _ in progress):
            return
        began = time.monotonic()


def _read_index(folder: Path, shards: bool) -> dict[str, Any]:
    """Returns the index of a folder of shards, after a check of the sizes of its files."""
    file = folder / 'index.json'
    try:
        index = json.loads(file.read_text(encoding='utf-8'))
        files = [shard['raw_data'] for shard in index['shards']]
        images = sum(int(shard['samples']) for shard in index['shards'])
        sizes = {each['basename']: int(each['bytes']) for each in files}
    except FileNotFoundError as error:
        raise ValueError(f'{file}: no such file: composer-clr convert-images makes shards of an ImageFolder') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file}: not an index of MDS shards ({one_line(error)})') from error
    if not images:
        raise ValueError(f'{folder} has no images')
    for shard, (name, size) in zip(index['shards'], sizes.items(), strict=True):
        compressed = shard.get('zip_data')
        if not shards or (compressed and (folder / compressed['basename']).is_file()):
            continue
        if not (folder / name).is_file():
            raise ValueError(f'{folder / name} is missing, which index.json names')
        if (folder / name).stat().st_size != size:
            raise ValueError(f'{folder / name} has {(folder / name).stat().st_size} bytes, {size} by index.json')
    return index


def _check_columns(index: dict[str, Any], columns: tuple[str, str], folder: Path) -> None:
    for shard in index['shards']:
        found = dict(zip(shard.get('column_names', ()), shard.get('column_encodings', ()), strict=True))
        image, label = (found.get(column) for column in columns)
        if image not in _FILES or label is None or not label.startswith(('int', 'uint')):
            raise ValueError(
                f'{folder}: columns={list(columns)} must be images ({", ".join(_FILES)}) and labels (int), '
                f'but the shards have {found}'
            )
