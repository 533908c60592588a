"""Images in one folder per class, as torchvision's ``ImageFolder`` reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from composer.core import DataSpec
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from composer_clr.data.checks import check_batch, check_classes, check_num_classes, check_ranks, some
from composer_clr.data.loaders import collate_images, dataspecs, evenly_spaced
from composer_clr.data.transforms import EvalTransform, Normalize, TrainTransform, decode_rgb

__all__ = ['ImageFolderDataset', 'imagefolder_dataspecs']


class ImageFolderDataset(Dataset):
    """Reads the images of a folder with one folder per class, classes numbered in the order of their names.

    Files are found as torchvision's ``ImageFolder`` finds them: in folders of any depth, by the ending of the name.
    No file is opened before its image is asked for.

    Args:
        folder (str | Path): Folder of the class folders.
        transform (Callable): Transforms an image, uint8 of (3, height, width), to the size that batches have.

    Raises:
        ValueError: If the folder does not exist, has no class folders, or has a class folder without images.
        OSError: When an image is asked for, if its file cannot be read; the error names it.

    Example:
        >>> train = ImageFolderDataset('imagenet/train', TrainTransform(224))  # doctest: +SKIP
        >>> image, label = train[0]  # doctest: +SKIP
        >>> image.shape, image.dtype, train.classes[label]  # doctest: +SKIP
        (torch.Size([3, 224, 224]), torch.uint8, 'n01440764')
    """

    def __init__(self, folder: str | Path, transform: Callable[[torch.Tensor], torch.Tensor]):
        self.folder = Path(folder).expanduser()
        self.transform = transform
        if not self.folder.is_dir():
            raise ValueError(f'{self.folder}: no such folder')
        try:
            self.classes, numbers = find_classes(self.folder)
        except FileNotFoundError as error:
            raise ValueError(f'{self.folder} has no class folders: put each class into its own') from error
        samples = make_dataset(str(self.folder), numbers, IMG_EXTENSIONS, allow_empty=True)
        # Arrays, since each worker's reference counts would soon copy lists of a million strings.
        prefix = f'{self.folder}{os.sep}'
        self.files = np.array([os.fsencode(path.removeprefix(prefix)) for path, _ in samples], dtype=bytes)
        self.labels = np.array([label for _, label in samples], dtype=np.int64)
        images = np.bincount(self.labels, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, images, strict=True) if not count]
        if empty:
            raise ValueError(f'{self.folder} has class folders without images: {some(empty)}')

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.folder / os.fsdecode(self.files[index])
        image = decode_rgb(torch.from_numpy(np.fromfile(path, dtype=np.uint8)), str(path))
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
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns the data of a folder with ``train/`` and ``val/``, each with one folder per class.

    Everything that names of folders and files show is checked here, before an image is read. Ranks of one run must
    list the same files.

    Args:
        path (str | Path): Folder with ``train/`` and ``val/``.
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        num_workers (int): Loader processes per rank, each with a single thread. Default: ``8``.
        num_classes (int | None): Classes of the network, to be checked against the folders. Default: ``None``, not
            checked.
        train_size (int): Side of the training images, in pixels, :class:`TrainTransform`. Default: ``224``.
        eval_resize (int): Shorter side of the resized evaluation images, in pixels. Default: ``256``.
        eval_size (int): Side of its central crop, in pixels, :class:`EvalTransform`. Default: ``224``.
        eval_images (int | None): Number of evaluation images, spread evenly over them; the curve records it. Default:
            ``None``, all.
        seed (int): Determines the order of the training images. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training data, shuffled, without the incomplete last batch of an epoch, and
        evaluation data, every image once on any number of ranks. Batches are uint8 images of (batch, 3, size, size)
        and labels of (batch,); on the device the images become float32, normalised with ImageNet's mean and deviation.

    Raises:
        ValueError: If a folder is missing or empty, its classes differ from those of the other or from
            ``num_classes`` in number, there are fewer training images than one batch, or ranks see different files.
    """
    train = ImageFolderDataset(Path(path) / 'train', TrainTransform(train_size))
    held_out = ImageFolderDataset(Path(path) / 'val', EvalTransform(eval_resize, eval_size))
    check_classes(train.classes, held_out.classes, (train.folder, held_out.folder))
    check_num_classes(num_classes, len(train.classes), train.folder)
    check_batch(len(train), batch_size, train.folder)
    for data in (train, held_out):
        check_ranks(data.files.tobytes() + data.labels.tobytes(), f'files in {data.folder}', len(data))
    return dataspecs(
        train,
        evenly_spaced(held_out, eval_images),
        batch_size,
        eval_batch_size,
        num_workers=num_workers,
        seed=seed,
        collate_fn=collate_images,
        on_device=Normalize(),
    )
