"""Builds the loaders of a run, the same way for every data set that is read by index."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from hashlib import sha256
from typing import Any, cast

import numpy as np
import torch
from composer.core import Callback, DataSpec, State
from composer.loggers import Logger
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset, default_collate

__all__ = [
    'SampleOrder',
    'check_batch',
    'check_ranks',
    'class_balanced',
    'collate_images',
    'dataspecs',
    'evaluation_data',
    'evenly_spaced',
    'loader_arguments',
    'order_seed',
    'start_ranks',
]

# Of runs whose checkpoints were made before the order followed the seed.
_COMPOSERS_SEED = 0


def order_seed(seed: int) -> int:
    """Returns the seed of a run's sampler, of 32 bits.

    Samplers add the epoch to their seed: with the run's own, epoch 1 of seed 17 would have the order of epoch 0 of
    seed 18.

    Args:
        seed (int): Seed of the run, >= 0.

    Example:
        >>> order_seed(17), order_seed(18)
        (481830384, 387592216)
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


class SampleOrder(Callback):
    """Resumes a run in the order that it started with.

    The sampler's seed is part of the checkpoint, so that a resumed run continues with the samples that would have been
    next, whatever its own seed: as for all of a run's random numbers, the checkpoint's seed wins. Checkpoints made
    before the order followed the seed have Composer's order.

    Args:
        sampler (DistributedSampler): The sampler of the training data.

    Example:
        >>> sampler = DistributedSampler(range(4), num_replicas=1, rank=0, seed=order_seed(17))
        >>> SampleOrder(sampler).state_dict()
        {'seed': 481830384}
    """

    def __init__(self, sampler: DistributedSampler):
        self.sampler = sampler
        self._restored = False

    def state_dict(self) -> dict[str, Any]:
        return {'seed': self.sampler.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.seed = int(state['seed'])
        self._restored = True

    def after_load(self, state: State, logger: Logger) -> None:
        """Uses Composer's order if the loaded checkpoint does not hold one."""
        del logger
        if state.timestamp.batch.value and not self._restored:
            self.sampler.seed = _COMPOSERS_SEED


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


def class_balanced(labels: Sequence[int] | torch.Tensor, count: int | None, name: str) -> torch.Tensor:
    """Returns the indices of a fixed part of the images in which every class has the same share.

    They are spread evenly over the images of each class. If the number of classes does not divide the count, the first
    classes have one image more.

    Args:
        labels (Sequence[int] | Tensor): The class of each image.
        count (int | None): Number of images; ``None`` for all.
        name (str): Name of the argument, for the error.

    Raises:
        ValueError: If the count is below 1, or a class has too few images.

    Example:
        >>> class_balanced([0, 0, 0, 0, 1, 1, 1, 1], 4, 'train_images').tolist()
        [0, 2, 4, 6]
    """
    labels = torch.as_tensor(labels)
    if count is None:
        return torch.arange(len(labels))
    each = [(labels == c).nonzero()[:, 0] for c in labels.unique()]
    most = min(len(of_class) for of_class in each) * len(each)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise ValueError(f'{name}={count!r}: must be between 1 and {most}, of which every class has the same share')
    share, rest = divmod(count, len(each))
    shares = [share + (c < rest) for c in range(len(each))]
    parts = [of_class[torch.arange(n) * len(of_class) // n] for of_class, n in zip(each, shares, strict=True) if n]
    return torch.cat(parts).sort().values


def check_batch(images: int, batch_size: int, source: object) -> None:
    """Refuses training data smaller than one batch over all ranks.

    Raises:
        ValueError: If there are fewer than ``batch_size`` images per rank.

    Example:
        >>> check_batch(48, 64, 'train')
        Traceback (most recent call last):
        ValueError: train has 48 images, fewer than a batch of 1 x 64
    """
    ranks = dist.get_world_size()
    if images < ranks * batch_size:
        raise ValueError(f'{source} has {images} images, fewer than a batch of {ranks} x {batch_size}')


def start_ranks() -> None:
    """Connects the ranks if there are several and they are not connected yet."""
    if dist.get_world_size() > 1 and not dist.is_initialized():
        dist.initialize_dist()


def check_ranks(content: bytes, source: object, images: int) -> None:
    """Refuses ranks that see different data: each takes its share by index, so images would be missed or repeated.

    Args:
        content (bytes): What must be the same on every rank, such as the names of all files.
        source (object): Name of the data, for the error.
        images (int): Number of images, for the error.

    Raises:
        ValueError: If it differs between ranks; on every rank.
    """
    start_ranks()
    if not dist.is_initialized():
        return
    seen = dist.all_gather_object((images, sha256(content).hexdigest()))
    other = next((rank for rank, listing in enumerate(seen) if listing != seen[0]), None)
    if other is not None:
        raise ValueError(f'ranks 0 and {other} see different {source}: {seen[0][0]} and {seen[other][0]} images')
