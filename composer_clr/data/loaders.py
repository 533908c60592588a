"""Builds the loaders of a run, the same way for every data set that is read by index."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, cast

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from composer_clr.data.sample_order import order_seed

__all__ = ['collate_images', 'dataspecs', 'evaluation_data', 'evenly_spaced', 'loader_arguments']


def loader_arguments(num_workers: int, collate_fn: Callable | None = None) -> dict[str, Any]:
    """Returns the arguments that the ``DataLoader``\\ s of training and of evaluation share.

    Args:
        num_workers (int): Loader processes per rank; 0 loads in the rank's own process.
        collate_fn (Callable | None): Makes a batch of samples. Default: ``None``, torch's own.
    """
    return {
        'collate_fn': collate_fn,
        'num_workers': num_workers,
        'persistent_workers': num_workers > 0,
        'pin_memory': torch.cuda.is_available(),
    }


def dataspecs(
    train: Dataset,
    held_out: Dataset,
    batch_size: int,
    eval_batch_size: int,
    *,
    num_workers: int,
    seed: int = 0,
    collate_fn: Callable | None = None,
    on_device: Callable | None = None,
) -> tuple[DataSpec, DataSpec]:
    """Returns training and evaluation data.

    Training data are shuffled in each epoch, without the incomplete last batch; each rank has its own share.

    Args:
        train (Dataset): Training samples.
        held_out (Dataset): Evaluation samples, for :func:`evaluation_data`.
        batch_size (int): Training samples per batch and rank.
        eval_batch_size (int): Evaluation samples per batch and rank.
        num_workers (int): Loader processes per rank; 0 loads in the rank's own process.
        seed (int): Determines the order of the training samples, the same on every rank. Default: ``0``.
        collate_fn (Callable | None): Makes a batch of samples. Default: ``None``, torch's own.
        on_device (Callable | None): Transforms a microbatch on the device. Default: ``None``.
    """
    loader = DataLoader(
        train,
        batch_size,
        sampler=dist.get_sampler(train, shuffle=True, drop_last=True, seed=order_seed(seed)),
        drop_last=True,
        **loader_arguments(num_workers, collate_fn),
    )
    return (
        DataSpec(loader, microbatch_transforms=on_device),
        evaluation_data(held_out, eval_batch_size, num_workers=num_workers, collate_fn=collate_fn, on_device=on_device),
    )


def evaluation_data(
    dataset: Dataset,
    batch_size: int,
    *,
    num_workers: int,
    collate_fn: Callable | None = None,
    on_device: Callable | None = None,
) -> DataSpec:
    """Returns evaluation data: every sample once, on any number of ranks.

    Composer's sampler pads the ranks to equal numbers of samples, and its evaluation leaves out the padding.

    Args:
        dataset (Dataset): The samples.
        batch_size (int): Samples per batch and rank.
        num_workers (int): Loader processes per rank; 0 loads in the rank's own process.
        collate_fn (Callable | None): Makes a batch of samples. Default: ``None``, torch's own.
        on_device (Callable | None): Transforms a microbatch on the device. Default: ``None``.
    """
    loader = DataLoader(
        dataset, batch_size, sampler=dist.get_sampler(dataset), **loader_arguments(num_workers, collate_fn)
    )
    return DataSpec(loader, microbatch_transforms=on_device)


def collate_images(samples: list[tuple[torch.Tensor, int]]) -> list[torch.Tensor]:
    """Returns a batch of images and labels; the images stay in the layout they were decoded in, channels last.

    Shape:
        Images of (channels, height, width) to (batch, channels, height, width), labels to (batch,).

    Example:
        >>> images, labels = collate_images([(torch.zeros(3, 32, 32, dtype=torch.uint8), 5)] * 4)
        >>> images.shape, images.is_contiguous(memory_format=torch.channels_last), labels
        (torch.Size([4, 3, 32, 32]), True, tensor([5, 5, 5, 5]))
    """
    # As rows of pixels an image is one piece of memory, which torch's collate copies at once, in a worker straight
    # into the memory that it shares with the training process.
    images, labels = default_collate([(image.permute(1, 2, 0), label) for image, label in samples])
    return [images.permute(0, 3, 1, 2), labels]


def evenly_spaced(dataset: Dataset, count: int | None, name: str = 'eval_images') -> Dataset:
    """Returns part of a data set, spread evenly over it: if it is sorted by class, every class keeps its share.

    Args:
        dataset (Dataset): The evaluation data.
        count (int | None): Number of samples; ``None`` for all.
        name (str): Name of that argument, for the error. Default: ``'eval_images'``.

    Raises:
        ValueError: If the count is not between 1 and the number of samples.

    Example:
        >>> [int(image) for image in evenly_spaced(torch.arange(10), 4)]
        [0, 2, 5, 7]
    """
    samples = len(cast(Sized, dataset))
    if count is None or count == samples:
        return dataset
    if not 1 <= count < samples:
        raise ValueError(f'{name}={count!r}: must be between 1 and {samples}, the number of evaluation samples')
    return Subset(dataset, [n * samples // count for n in range(count)])
