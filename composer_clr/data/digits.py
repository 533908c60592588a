"""Handwritten digits: 1797 real images of 8x8 grey pixels, from scikit-learn."""

from __future__ import annotations

import torch
from composer.core import DataSpec
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import TensorDataset

from composer_clr.data.images import check_num_classes
from composer_clr.data.loaders import dataspecs, loader_arguments

__all__ = ['digits_dataspecs']

# The split is part of the data set: the same images are held out whatever a run's seed.
_SPLIT_SEED = 0
_EVAL_IMAGES = 900


def digits_dataspecs(
    batch_size: int,
    eval_batch_size: int,
    train_images: int = 897,
    eval_images: int = 900,
    num_workers: int = 0,
    num_classes: int | None = None,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns the digits, in a fixed split into 897 training and 900 evaluation images, classes in equal shares.

    Args:
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        train_images (int): Number of training images, from 1 to 897: the first of a fixed shuffle. Default: ``897``.
        eval_images (int): Number of evaluation images, from 1 to 900, likewise. Default: ``900``.
        num_workers (int): Loader processes per rank. Default: ``0``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, not checked.
        seed (int): Determines the order of the training images. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training and evaluation data: images of (batch, 1, 8, 8) with mean 0 and deviation 1,
        and labels of (batch,).

    Raises:
        ValueError: If a number of images is out of range, or ``num_classes`` is not 10.

    Source:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    check_num_classes(num_classes, 10, 'digits')
    pixels, labels = load_digits(return_X_y=True)
    splits = train_test_split(pixels, labels, test_size=_EVAL_IMAGES, stratify=labels, random_state=_SPLIT_SEED)
    train_x, eval_x, train_y, eval_y = (torch.from_numpy(split) for split in splits)
    for key, count, most in (('train_images', train_images, len(train_x)), ('eval_images', eval_images, len(eval_x))):
        if not 1 <= count <= most:
            raise ValueError(f'{key}={count}: must be between 1 and {most}')
    train_x, eval_x = train_x[:train_images], eval_x[:eval_images]
    mean, deviation = train_x.mean(), train_x.std()

    def images(flat: torch.Tensor) -> torch.Tensor:
        return ((flat - mean) / deviation).float().reshape(-1, 1, 8, 8)

    train = TensorDataset(images(train_x), train_y[:train_images])
    held_out = TensorDataset(images(eval_x), eval_y[:eval_images])
    return dataspecs(train, held_out, batch_size, eval_batch_size, seed, **loader_arguments(num_workers))
