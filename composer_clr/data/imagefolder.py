"""Images in folders, one folder a class, as torchvision's ``ImageFolder`` has them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from composer_clr.data.decoders import Decode, decoder_named
from composer_clr.data.image_loader import collate_images, evenly_spaced
from composer_clr.data.loaders import dataspecs
from composer_clr.data.transforms import EvalTransform, Normalize, Pixels, TrainTransform, decode_rgb

__all__ = ['ImageFolderDataset', 'imagefolder_dataspecs']


class ImageFolderDataset(Dataset):
    """The images of the folders in a folder, each folder a class, numbered in the order of their names.

    Files are found as torchvision's ``ImageFolder`` finds them: in folders of any depth, by the ending of the name.
    Nothing is read of them before an image is asked for.

    Args:
        folder (str | Path): Folder of the class folders.
        transform (Callable): Makes of an image, uint8 of (3, height, width), one of the size that batches have.
        decode (Callable): Makes of a file's bytes and its name an image. Default: :func:`decode_rgb`.

    Raises:
        ValueError: If there is no such folder, no class folder in it, or a class folder without images.
        OSError: When an image is asked for, if its file cannot be read; the error names it.

    Example:
        >>> train = ImageFolderDataset('imagenet/train', TrainTransform(224))  # doctest: +SKIP
        >>> image, label = train[0]  # doctest: +SKIP
        >>> image.shape, image.dtype, train.classes[label]  # doctest: +SKIP
        (torch.Size([3, 224, 224]), torch.uint8, 'n01440764')
    """

    def __init__(self, folder: str | Path, transform: Callable[[Pixels], torch.Tensor], decode: Decode = decode_rgb):
        self.folder = Path(folder).expanduser()
        self.transform, self.decode = transform, decode
        if not self.folder.is_dir():
            raise ValueError(f'there is no folder {self.folder}')
        try:
            self.classes, numbers = find_classes(self.folder)
        except FileNotFoundError as error:
            raise ValueError(f'{self.folder} has no class folders: sort the images into one folder a class') from error
        samples = make_dataset(str(self.folder), numbers, IMG_EXTENSIONS, allow_empty=True)
        # Arrays, not lists of a million strings: counting references to those, each worker would soon hold a copy.
        above = f'{self.folder}{os.sep}'
        self.files = np.array([os.fsencode(path.removeprefix(above)) for path, _ in samples], dtype=bytes)
        self.labels = np.array([label for _, label in samples], dtype=np.int64)
        images = np.bincount(self.labels, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, images, strict=True) if not count]
        if empty:
            raise ValueError(f'{self.folder} has class folders without images: {_some(empty)}')

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.folder / os.fsdecode(self.files[index])
        image = self.decode(torch.from_numpy(np.fromfile(path, dtype=np.uint8)), str(path))
        return self.transform(image), int(self.labels[index])


def imagefolder_dataspecs(
    path: str | Path,
    batch_size: int,
    eval_batch_size: int,
    num_workers: int = 8,
    num_classes: int | None = None,
    train_size: int = 224,
    eval_resize: int = 256,
    eval_size: int = 224,
    eval_images: int | None = None,
    decoder: str = 'whole',
) -> tuple[DataSpec, DataSpec]:
    """Training and evaluation data of a folder with ``train/`` and ``val/``, a folder for each class in either.

    Everything that folders and names can tell is checked here, before an image is read. Ranks that are started
    together must list the same files.

    Args:
        path (str | Path): Folder with ``train/`` and ``val/``.
        batch_size (int): Training images a batch on each rank.
        eval_batch_size (int): Evaluation images a batch on each rank.
        num_workers (int): Loader processes a rank, each with a single thread. Default: ``8``.
        num_classes (int | None): Classes of the network, to be checked against the folders. Default: ``None``, which
            checks nothing.
        train_size (int): Side of the training images, in pixels, :class:`TrainTransform`. Default: ``224``.
        eval_resize (int): What the shorter side of an evaluation image is resized to, in pixels. Default: ``256``.
        eval_size (int): Side of its central crop, in pixels, :class:`EvalTransform`. Default: ``224``.
        eval_images (int | None): How many of the evaluation images to take, spread evenly over them; the curve says so.
            Default: ``None``, all.
        decoder (str): ``whole``; or ``region``, which decodes of a training image only its crop: the same pixels,
            sooner, and it needs the extra of this name. Default: ``'whole'``.

    Returns:
        tuple[DataSpec, DataSpec]: Training data, shuffled, the incomplete last batch of an epoch left out, and
        evaluation data, every image once on any number of ranks. Batches are uint8 images of (batch, 3, size, size)
        and labels of (batch,); on the device the images become float32, normalised with ImageNet's mean and deviation.

    Raises:
        ValueError: If a folder is missing or empty, the classes of the two differ from each other or from
            ``num_classes`` in number, there are fewer training images than make a batch, or ranks see different files.
    """
    train = ImageFolderDataset(Path(path) / 'train', TrainTransform(train_size), decoder_named(decoder))
    held_out = ImageFolderDataset(Path(path) / 'val', EvalTransform(eval_resize, eval_size))
    _check_classes(train, held_out, num_classes)
    ranks = dist.get_world_size()
    if len(train) < ranks * batch_size:
        raise ValueError(f'{train.folder} has {len(train)} images, less than a batch of {ranks} x {batch_size}')
    if ranks > 1:
        _check_ranks(train, held_out)
    return dataspecs(
        train,
        held_out if eval_images is None else evenly_spaced(held_out, eval_images),
        batch_size,
        eval_batch_size,
        num_workers=num_workers,
        on_device=Normalize(),
        collate_fn=collate_images,
    )


def _check_classes(train: ImageFolderDataset, held_out: ImageFolderDataset, num_classes: int | None) -> None:
    if train.classes != held_out.classes:
        differences = [
            f'only in {only.folder}: {_some(sorted(set(only.classes) - set(other.classes)))}'
            for only, other in ((train, held_out), (held_out, train))
            if set(only.classes) - set(other.classes)
        ]
        raise ValueError(f'training and evaluation classes differ, {"; ".join(differences)}')
    if num_classes is not None and num_classes != len(train.classes):
        raise ValueError(f'{num_classes=}, but {train.folder} has {len(train.classes)} class folders')


def _check_ranks(*datasets: ImageFolderDataset) -> None:
    """Each rank takes its share by number: with other files on one of them, images are left out or come twice."""
    if not dist.is_initialized():
        dist.initialize_dist()
    for data in datasets:
        digest = hashlib.sha256(data.files.tobytes() + data.labels.tobytes()).hexdigest()
        seen = dist.all_gather_object((len(data), digest))
        other = next((rank for rank, listing in enumerate(seen) if listing != seen[0]), None)
        if other is not None:
            raise ValueError(
                f'ranks 0 and {other} see different files in {data.folder}: {seen[0][0]} and {seen[other][0]} images'
            )


def _some(names: list[str]) -> str:
    """A few of the names, and how many more there are."""
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
