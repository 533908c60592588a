"""CIFAR-10: 60,000 photographs of 32x32 pixels, from torchvision."""

from __future__ import annotations

from pathlib import Path

from composer.core import DataSpec
from composer.utils import dist
from torchvision.datasets import CIFAR10
from torchvision.transforms import v2

from composer_clr.data.checks import check_num_classes, start_ranks
from composer_clr.data.loaders import collate_images, dataspecs
from composer_clr.data.transforms import Normalize

__all__ = ['cifar10_dataspecs']

_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def cifar10_dataspecs(
    path: str | Path,
    batch_size: int,
    eval_batch_size: int,
    num_workers: int = 0,
    num_classes: int | None = None,
    download: bool = False,
) -> tuple[DataSpec, DataSpec]:
    """Returns CIFAR-10's 50,000 training images, padded by 4 pixels, cropped and flipped, and its 10,000 others.

    Args:
        path (str | Path): Folder that holds ``cifar-10-batches-py``.
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        num_workers (int): Loader processes per rank. Default: ``0``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, not checked.
        download (bool): Whether to download missing files. Default: ``False``.

    Returns:
        tuple[DataSpec, DataSpec]: Training and evaluation data: uint8 images of (batch, 3, 32, 32) and labels of
        (batch,); on the device the images become float32, normalised with the mean and deviation of the training set.

    Raises:
        ValueError: If the data are missing or incomplete, or ``num_classes`` is not 10.

    Source:
        A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the crops and flips are those of
        He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    check_num_classes(num_classes, 10, 'CIFAR-10')
    folder = Path(path).expanduser()
    augment = v2.Compose([v2.ToImage(), v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
    start_ranks()
    try:
        # Rank 0 of a node downloads the files, the others find them there.
        with dist.run_local_rank_zero_first():
            train = CIFAR10(str(folder), train=True, transform=augment, download=download)
        held_out = CIFAR10(str(folder), train=False, transform=v2.ToImage())
    except RuntimeError as error:
        raise ValueError(
            f'path={folder}: does not hold all of CIFAR-10: pass the folder of cifar-10-batches-py, or download=true'
        ) from error
    return dataspecs(
        train,
        held_out,
        batch_size,
        eval_batch_size,
        num_workers=num_workers,
        collate_fn=collate_images,
        on_device=Normalize(_MEAN, _STD),
    )
