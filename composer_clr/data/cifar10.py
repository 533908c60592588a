"""CIFAR-10: 60,000 photographs of 32x32 pixels, in memory, from torchvision's files or from JPEG and PNG files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from composer.core import DataSpec
from composer.utils import dist
from torchvision.datasets import CIFAR10

from composer_clr.data.checks import check_batch, check_classes, check_num_classes, check_ranks, start_ranks
from composer_clr.data.class_folders import read_class_folders
from composer_clr.data.in_memory import ImagesInMemory, class_balanced, in_memory_data
from composer_clr.data.transforms import Normalize

__all__ = ['MEAN', 'STD', 'cifar10_dataspecs']

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_PATH = 'COMPOSER_CLR_CIFAR10'
_NAMES = {'train': ('train',), 'eval': ('val', 'test')}


def cifar10_dataspecs(
    batch_size: int,
    eval_batch_size: int,
    path: str | Path | None = None,
    num_workers: int = 0,
    num_classes: int | None = None,
    download: bool = False,
    train_images: int | None = None,
    eval_images: int | None = None,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns CIFAR-10: 50,000 training images, padded by 4 pixels, cropped and flipped, and 10,000 to evaluate on.

    All images stay in memory as bytes, on the GPU where there is one, and are cropped, flipped and normalised there, a
    batch at a time. Loader processes are not used.

    Args:
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        path (str | Path | None): Folder that holds ``cifar-10-batches-py``; or JPEG or PNG files of 32x32 pixels in
            ``train`` and ``val``, each a folder or a zip file with one folder per class. Default: ``None``, the
            environment variable ``COMPOSER_CLR_CIFAR10``.
        num_workers (int): Has no effect here; a value above 0 raises a warning. Default: ``0``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, not checked.
        download (bool): Whether to download missing files of ``cifar-10-batches-py``. Default: ``False``.
        train_images (int | None): Number of training images: a fixed part with the same share of every class. Default:
            ``None``, all.
        eval_images (int | None): Number of evaluation images, likewise. Default: ``None``, all.
        seed (int): Determines the order of the training images. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training and evaluation data: uint8 images of (batch, 3, 32, 32) and labels of
        (batch,); as microbatches the images become float32, normalised with the mean and deviation of the training set.

    Raises:
        ValueError: If the data are missing or incomplete, the classes of the training and evaluation images differ, or
            ``num_classes`` is not 10.

    Source:
        A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the crops and flips are those of
        He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    check_num_classes(num_classes, 10, 'CIFAR-10')
    if num_workers:
        warnings.warn(
            f'{num_workers=}: has no effect, since the images of CIFAR-10 are in memory: leave it at 0',
            UserWarning,
            stacklevel=2,
        )
    path = path or os.environ.get(_PATH)
    if not path:
        raise ValueError(f'path is missing: pass data.path=FOLDER, or set {_PATH}')
    folder = Path(path).expanduser()
    start_ranks()
    train, train_classes = _read(folder, 'train', train_images, download)
    held_out, eval_classes = _read(folder, 'eval', eval_images, download)
    check_classes(train_classes, eval_classes, ('the training images', 'the evaluation images'))
    for images, name in ((train, 'training images'), (held_out, 'evaluation images')):
        check_ranks(bytes(images.labels.cpu().to(torch.uint8)), name, len(images))
    check_batch(len(train), batch_size, folder)
    normalize = Normalize(MEAN, STD)
    return (
        in_memory_data(train, batch_size, train=True, seed=seed, normalize=normalize),
        in_memory_data(held_out, eval_batch_size, train=False, normalize=normalize),
    )


def _read(folder: Path, part: str, count: int | None, download: bool) -> tuple[ImagesInMemory, list[str]]:
    name = f'{part}_images'
    sources = [folder / f'{stem}{suffix}' for stem in _NAMES[part] for suffix in ('', '.zip')]
    source = next((source for source in sources if source.exists()), None)
    if source is not None and not download and not (folder / CIFAR10.base_folder).exists():
        images, labels, whole, classes = read_class_folders(source, 32, 10, count, name)
    else:
        data = _torchvision(folder, part == 'train', download)
        labels, classes = torch.tensor(data.targets), data.classes
        chosen = class_balanced(labels, count, name)
        images, labels, whole = torch.from_numpy(data.data)[chosen].permute(0, 3, 1, 2), labels[chosen], len(labels)
    device = f'cuda:{dist.get_local_rank()}' if torch.cuda.is_available() else 'cpu'
    return ImagesInMemory(images, labels, padding=4 if part == 'train' else 0, device=device, whole=whole), classes


def _torchvision(folder: Path, train: bool, download: bool) -> CIFAR10:
    try:
        # Rank 0 of a node downloads the files, the others find them there.
        with dist.run_local_rank_zero_first():
            return CIFAR10(str(folder), train=train, download=download)
    except RuntimeError as error:
        raise ValueError(
            f'path={folder}: does not hold all of CIFAR-10: pass the folder of cifar-10-batches-py or of train.zip and '
            'val.zip, or download=true'
        ) from error
