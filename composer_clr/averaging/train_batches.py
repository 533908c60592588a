"""Training images read beside the run: neither its loader's place nor its random state is touched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from composer.core import DataSpec, State
from torch.utils.data import DataLoader, Dataset, IterableDataset

__all__ = ['check_readable', 'own_batches']


def check_readable(state: State, what_for: str) -> None:
    """Refuse a train loader whose images cannot be read by their number.

    Raises:
        ValueError: If it is no ``DataLoader``, or its dataset has no length or no items.
    """
    loader = state.train_dataloader
    data = loader.dataset if isinstance(loader, DataLoader) else None
    read = getattr(type(data), '__getitem__', Dataset.__getitem__)
    has_size = getattr(loader, 'batch_size', None) is not None
    if not has_size or not hasattr(data, '__len__') or read is Dataset.__getitem__:
        raise ValueError(
            f'{what_for} reads training images by their number, which a {type(data or loader).__name__} does not give: '
            'train from a DataLoader with a batch_size, over a dataset with a length and items'
        )


def own_batches(state: State, seed: int, count: int | None = None, train_data: DataSpec | None = None) -> Iterator[Any]:
    """Batches of training images in a shuffled order of their own, on the device, as the network is given them.

    The images are the same on every rank. Random augmentations draw from the global random state: whoever must not
    disturb it keeps it and puts it back.

    Args:
        state (State): The trainer's state.
        seed (int): Tells the order.
        count (int | None): How many batches; at most an epoch of the whole data set. Default: ``None``, epoch after
            epoch without end.
        train_data (DataSpec | None): Whose transforms the batches go through. Default: ``None``, those of the first
            evaluator's, since the state does not hold what the Trainer was given for training.

    Yields:
        Any: A batch, no larger than the microbatch in training, which is what batch norm sees there.
    """
    loader = state.train_dataloader
    assert isinstance(loader, DataLoader), 'check_readable has asked'
    assert loader.batch_size is not None, 'check_readable has asked'
    data_spec = train_data or state.evaluators[0].dataloader
    size, micro = loader.batch_size, state.device_train_microbatch_size
    if isinstance(micro, int):
        size = min(size, micro)
    generator = torch.Generator().manual_seed(seed)
    dataset = _Indexed(loader.dataset) if isinstance(loader.dataset, IterableDataset) else loader.dataset
    images = len(dataset)  # type: ignore[arg-type]
    while True:
        own = DataLoader(
            dataset,
            batch_size=size,
            sampler=torch.randperm(images, generator=generator).tolist(),
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            drop_last=images >= size,
            generator=generator,
        )
        for batch in islice(own, count):
            batch = data_spec.batch_transforms(batch)
            batch = state.device.batch_to_device(batch)
            yield data_spec.microbatch_transforms(batch)
        if count is not None:
            return


class _Indexed(Dataset):
    """An iterable dataset with a length and items, as ``StreamingDataset`` is, as a map-style one.

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
