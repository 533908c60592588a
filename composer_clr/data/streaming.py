"""Images in MosaicML Streaming's shards (MDS), in a local folder or an object store: the extra ``streaming``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset

from composer_clr.data.decoders import Decode, decoder_named
from composer_clr.data.image_loader import evaluation_dataspec, loading
from composer_clr.data.transforms import EvalTransform, Normalize, Pixels, TrainTransform, decode_rgb

try:
    from streaming import Stream, StreamingDataset
    from streaming.base.format import Reader, reader_from_json
    from streaming.base.spanner import Spanner
    from streaming.base.world import World
except ImportError as error:
    raise ValueError("data.name=streaming needs MosaicML Streaming: pip install 'composer_clr[streaming]'") from error

__all__ = ['ShardImages', 'StreamedImages', 'crop_seed', 'streaming_dataspecs']

# Encodings whose stored bytes are those of an image file.
_FILES = ('bytes', 'jpeg', 'png')
# How long ranks fetch shards before they tell each other how far they are; Composer waits for 300 seconds.
_TURN_S = 60


class StreamedImages(StreamingDataset):
    """The training images, streamed: each rank and each loader process has its own part of every epoch.

    A crop's random numbers depend on the seed, the epoch and the image alone: not on the number of ranks or loader
    processes, nor on where a run was interrupted.

    Args:
        transform (TrainTransform): Makes of an image one of the size that batches have.
        decode (Callable): Makes of a file's bytes and its name an image. Default: :func:`decode_rgb`.
        columns (tuple[str, str]): Names of the columns of images and of labels. Default: ``('x', 'y')``.
        num_classes (int | None): What labels are checked against. Default: ``None``, which checks nothing.
        **streaming: Arguments of ``StreamingDataset``.
    """

    def __init__(
        self,
        transform: TrainTransform,
        decode: Decode = decode_rgb,
        columns: tuple[str, str] = ('x', 'y'),
        num_classes: int | None = None,
        **streaming: Any,
    ):
        super().__init__(**streaming)
        self._transform, self._decode = transform, decode
        self._columns, self._num_classes = columns, num_classes
        _read_images_as_stored(self.shards, columns)

    def get_item(self, sample_id: int, retry: int = 7) -> tuple[torch.Tensor, int]:
        """The image of this number among all, transformed, and its label."""
        shard, within = self.spanner[sample_id]
        encoded, label, source = _checked(
            super().get_item(sample_id, retry), self._columns, self._num_classes, self.shards[shard], within
        )
        # In an epoch's iteration the next one is counted already.
        generator = torch.Generator().manual_seed(crop_seed(self.shuffle_seed, self.next_epoch - 1, sample_id))
        return self._transform(self._decode(encoded, source), generator), label

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """Where training is, for a checkpoint; Composer tells how many samples of the epoch are done."""
        state = super().state_dict(num_samples, from_beginning)
        if num_samples == 0 and from_beginning:
            # Between two epochs Streaming names the one that is over, and a resumed run would go through it again.
            state['epoch'] = max(state['epoch'], self.next_epoch)
        return state


class ShardImages(Dataset):
    """The images of local shards by number, without any distribution of their own: for a sampler to distribute.

    Args:
        folder (Path): The folder of the shards and their index.
        transform (Callable): Makes of an image, uint8 of (3, height, width), one of the size that batches have.
        columns (tuple[str, str]): Names of the columns of images and of labels. Default: ``('x', 'y')``.
        num_classes (int | None): What labels are checked against. Default: ``None``, which checks nothing.
    """

    def __init__(
        self,
        folder: Path,
        transform: Callable[[Pixels], torch.Tensor],
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
        return self._transform(decode_rgb(encoded, source)), label


def crop_seed(seed: int, epoch: int, image: int) -> int:
    """The seed of the random numbers of one image's crop in one epoch, of 64 bits.

    Example:
        >>> crop_seed(17, 0, 5) == crop_seed(17, 0, 5)
        True
        >>> len({crop_seed(seed, epoch, image) for seed in (1, 2) for epoch in (0, 1) for image in (0, 1)})
        8
    """
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
    decoder: str = 'whole',
    columns: tuple[str, str] = ('x', 'y'),
    streaming: dict[str, Any] | None = None,
) -> tuple[DataSpec, DataSpec]:
    """Training and evaluation data of shards, in ``train/`` and ``val/``, as ``convert-images`` makes them.

    The shards of ``val/`` are fetched before training and read by number, each image once on any number of ranks. Those
    of ``train/`` are fetched while training goes on. Everything that the indices can tell is checked here.

    A resumed run goes on with the images, and the crops of them, that would have been next. Composer restores the other
    random numbers (MixUp's, dropout's) only if the checkpoint is of the end of an epoch.

    Args:
        path (str | Path): Folder with ``train/`` and ``val/``; where there is a ``remote``, its local copy.
        batch_size (int): Training images a batch on each rank.
        eval_batch_size (int): Evaluation images a batch on each rank.
        num_workers (int): Loader processes a rank. Default: ``8``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, which checks nothing.
        remote (str | None): Where ``train/`` and ``val/`` are fetched from, such as ``s3://bucket/imagenet``. Default:
            ``None``, they are in ``path`` already.
        train_size (int): Side of the training images, in pixels, :class:`TrainTransform`. Default: ``224``.
        eval_resize (int): What the shorter side of an evaluation image is resized to, in pixels. Default: ``256``.
        eval_size (int): Side of its central crop, in pixels, :class:`EvalTransform`. Default: ``224``.
        eval_images (int | None): How many of the evaluation images to take, spread evenly over them; the curve says so.
            Default: ``None``, all.
        decoder (str): ``whole``; or ``region``, which decodes of a training image only its crop: the same pixels,
            sooner, and it needs the extra of this name. Default: ``'whole'``.
        columns (tuple[str, str]): Names of the columns of images, which are the bytes of image files (encodings
            ``bytes``, ``jpeg`` and ``png``), and of labels, which are whole numbers. Default: ``('x', 'y')``.
        streaming (dict | None): Further arguments of ``StreamingDataset``, such as ``cache_limit``. Default: ``None``.

    Returns:
        tuple[DataSpec, DataSpec]: Batches as those of :func:`~composer_clr.data.imagefolder.imagefolder_dataspecs`. The
        order of training, new in each epoch, depends on torch's seed at the time of the call.

    Raises:
        ValueError: If an index or a local shard is missing, the shards have other columns, the classes of the two
            differ or are not ``num_classes``, there are fewer training images than make a batch, or ranks see different
            shards.
    """
    folder = Path(path).expanduser()
    columns = (columns[0], columns[1])
    if dist.get_world_size() > 1 and not dist.is_initialized():
        dist.initialize_dist()
    for split in ('train', 'val'):
        _fetch(folder, remote, split, shards=split == 'val')
    indices = {
        split: _read_index(folder / split, shards=remote is None or split == 'val') for split in ('train', 'val')
    }
    _check_ranks(indices)
    _check_classes(indices, num_classes)
    for split in indices:
        _check_columns(indices[split], columns, folder / split)
    held_out = ShardImages(folder / 'val', EvalTransform(eval_resize, eval_size), columns, num_classes)
    images, ranks = sum(shard['samples'] for shard in indices['train']['shards']), dist.get_world_size()
    if images < ranks * batch_size:
        raise ValueError(f'{folder / "train"} has {images} images, less than a batch of {ranks} x {batch_size}')
    seed = [torch.initial_seed() % 2**31]
    dist.broadcast_object_list(seed)
    arguments: dict[str, Any] = {'shuffle': True, 'shuffle_seed': seed[0], **(streaming or {})}
    train = StreamedImages(
        TrainTransform(train_size),
        decoder_named(decoder),
        columns,
        num_classes,
        local=str(folder),
        remote=remote,
        split='train',
        batch_size=batch_size,
        **arguments,
    )
    return (
        DataSpec(
            DataLoader(train, batch_size, drop_last=True, **loading(num_workers)),
            num_samples=train.epoch_size,
            microbatch_transforms=Normalize(),
        ),
        evaluation_dataspec(held_out, eval_batch_size, num_workers, eval_images),
    )


def _read_images_as_stored(shards: list[Reader], columns: tuple[str, str]) -> None:
    """Have the image's column read as the bytes that are stored; Streaming would make an image of PIL's of them."""
    for shard in shards:
        encodings = dict(zip(shard.column_names, shard.column_encodings, strict=True))  # type: ignore[attr-defined]
        encodings[columns[0]] = 'bytes'
        shard.column_encodings = list(encodings.values())  # type: ignore[attr-defined]


def _checked(
    sample: dict[str, Any], columns: tuple[str, str], num_classes: int | None, shard: Reader, within: int
) -> tuple[torch.Tensor, int, str]:
    """An image's bytes, its label, and what to call it in an error."""
    source = f'image {within} of {Path(shard.dirname) / (shard.split or "") / shard.raw_data.basename}'  # type: ignore[attr-defined]
    image, label = sample[columns[0]], int(sample[columns[1]])
    if num_classes is not None and not 0 <= label < num_classes:
        raise ValueError(f'{source} is of class {label}, which {num_classes=} has not')
    return torch.frombuffer(bytearray(image), dtype=torch.uint8), label, source


def _fetch(folder: Path, remote: str | None, split: str, shards: bool) -> None:
    """Bring the index, and the shards if asked, into the local folder; what fails on one rank fails on all."""
    if remote is None and not (folder / split / 'index.json').is_file():
        return  # told by whoever reads it, on every rank
    stream = Stream(
        local=str(folder), remote=remote, split=split, download_retry=2, download_timeout=600, keep_zip=False
    )
    todo: list[Reader] = []
    problem = None
    began = time.monotonic()
    try:
        if dist.get_local_rank() == 0:
            everything = stream.get_shards(World.detect(), allow_unsafe_types=True)
            todo = everything if shards else []
    except Exception as error:
        problem = f'{remote or folder}/{split}: its index cannot be read ({_in_a_line(error)})'
    while True:
        while todo and problem is None and time.monotonic() - began < _TURN_S:
            try:
                stream.prepare_shard(todo[-1])
                todo.pop()
            except Exception as error:
                name = todo[-1].file_pairs[0][0].basename
                problem = f'{remote or folder}/{split}/{name} cannot be had ({_in_a_line(error)})'
        told = dist.all_gather_object((len(todo), problem)) if dist.is_initialized() else [(len(todo), problem)]
        problems = [theirs for _, theirs in told if theirs is not None]
        if problems:
            raise ValueError(problems[0])
        if not any(left for left, _ in told):
            return
        began = time.monotonic()


def _read_index(folder: Path, shards: bool) -> dict[str, Any]:
    """The index of a folder of shards; that the shards are there, whole, is seen from their sizes."""
    file = folder / 'index.json'
    try:
        index = json.loads(file.read_text(encoding='utf-8'))
        files = [shard['raw_data'] for shard in index['shards']]
        images = sum(int(shard['samples']) for shard in index['shards'])
        sizes = {each['basename']: int(each['bytes']) for each in files}
    except FileNotFoundError as error:
        raise ValueError(f'there is no {file}: composer-clr convert-images makes shards of an ImageFolder') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file} is no index of MDS shards ({_in_a_line(error)})') from error
    if not images:
        raise ValueError(f'{folder} has no images')
    for shard, (name, size) in zip(index['shards'], sizes.items(), strict=True):
        packed = shard.get('zip_data')
        if not shards or (packed and (folder / packed['basename']).is_file()):
            continue
        if not (folder / name).is_file():
            raise ValueError(f'{folder / name} is missing, which index.json names')
        if (folder / name).stat().st_size != size:
            raise ValueError(f'{folder / name} has {(folder / name).stat().st_size} bytes, {size} by index.json')
    return index


def _check_ranks(indices: dict[str, dict[str, Any]]) -> None:
    """Each rank takes its share by number: with other shards on one of them, images are left out or come twice."""
    if not dist.is_initialized():
        return
    for split, index in indices.items():
        seen = dist.all_gather_object(hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest())
        other = next((rank for rank, digest in enumerate(seen) if digest != seen[0]), None)
        if other is not None:
            raise ValueError(f'ranks 0 and {other} see different shards: {split}/index.json is not the same')


def _check_classes(indices: dict[str, dict[str, Any]], num_classes: int | None) -> None:
    """By the names that ``convert-images`` writes into its indices; of other shards each label is checked when read."""
    train, held_out = (indices[split].get('classes') for split in ('train', 'val'))
    if train != held_out:
        raise ValueError(
            'training and evaluation classes differ: train/index.json and val/index.json are not of a pair'
        )
    if train is not None and num_classes not in (None, len(train)):
        raise ValueError(f'{num_classes=}, but the shards have {len(train)} classes')


def _check_columns(index: dict[str, Any], columns: tuple[str, str], folder: Path) -> None:
    for shard in index['shards']:
        there = dict(zip(shard.get('column_names', ()), shard.get('column_encodings', ()), strict=True))
        image, label = (there.get(column) for column in columns)
        if image not in _FILES or label is None or not label.startswith(('int', 'uint')):
            raise ValueError(
                f'{folder}: columns={list(columns)} are to be images ({", ".join(_FILES)}) and labels (int), '
                f'but the shards have {there}'
            )


def _in_a_line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
