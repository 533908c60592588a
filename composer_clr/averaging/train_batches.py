"""Reads training batches without moving the run's own loader."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from composer.core import DataSpec, State
from torch.utils.data import DataLoader, Dataset, IterableDataset

__all__ = ['check_readable', 'train_batches']


def check_readable(state: State, what_for: str) -> None:
    """Refuses a train loader whose samples cannot be read by index.

    Raises:
        ValueError: If it is not a ``DataLoader``, or its data set has no length or cannot be indexed.
    """
    loader = state.train_dataloader
    data = loader.dataset if isinstance(loader, DataLoader) else None
    read = getattr(type(data), '__getitem__', Dataset.__getitem__)
    has_size = getattr(loader, 'batch_size', None) is not None
    if not has_size or not hasattr(data, '__len__') or read is Dataset.__getitem__:
        raise ValueError(
            f'{what_for} reads training images by index, which a {type(data or loader).__name__} does not allow: '
            'train from a DataLoader with a batch_size, over a dataset with __len__ and __getitem__'
        )


def train_batches(
    state: State, seed: int, count: int | None = None, train_data: DataSpec | None = None
) -> Iterator[Any]:
    """Yields training batches in a shuffled order of their own, on the device, transformed as for training.

    The images are the same on every rank. Random augmentations draw from the global random state; a caller that must
    not disturb it saves and restores it.

    Args:
        state (State): The trainer's state.
        seed (int): Determines the order.
        count (int | None): Number of batches, at most an epoch of the whole data set. Default: ``None``, epochs
            without end.
        train_data (DataSpec | None): The ``DataSpec`` whose transforms to apply. Default: ``None``, the first
            evaluator's, since the state does not hold the one that the Trainer was given for training.

    Yields:
        Any: A batch no larger than the microbatch in training, over which batch norm takes its statistics.
    """
    loader = state.train_dataloader
    assert isinstance(loader, DataLoader), 'see check_readable'
    assert loader.batch_size is not None, 'see check_readable'
    data_spec = train_data or state.evaluators[0].dataloader
    size, micro = loader.batch_size, state.device_train_microbatch_size
    if isinstance(micro, int):
        size = min(size, micro)
    generator = torch.Generator().manual_seed(seed)
    dataset = _Indexed(loader.dataset) if isinstance(loader.dataset, IterableDataset) else loader.dataset
    images = len(dataset)  # type: ignore[arg-type]
    while True:
        shuffled = DataLoader(
            dataset,
            batch_size=size,
            sampler=torch.randperm(images, generator=generator).tolist(),
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            drop_last=images >= size,
            generator=generator,
        )
        for batch in islice(shuffled, count):
            batch = data_spec.batch_transforms(batch)
            batch = state.device.batch_to_device(batch)
            yield data_spec.microbatch_transforms(batch)
        if count is not None:
            return


class _Indexed(Dataset):
    """Presents an iterable dataset with a length and items, such as a ``StreamingDataset``, as a map-style one.

    A ``DataLoader`` takes no sampler for an iterable dataset, even where it has items.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        # The length of a StreamingDataset is one rank's share; its size is that of the whole.
        size = getattr(self.dataset, 'size', None)
        return size if isinstance(size, int) else len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]
