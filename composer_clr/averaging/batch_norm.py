"""Batch norm's statistics for averaged weights, over training batches read beside the run's own loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from composer.core import DataSpec, State, get_precision_context
from composer.utils import reproducibility
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset, IterableDataset

__all__ = ['check_readable', 'has_running_statistics', 'measure_statistics', 'recompute_statistics', 'train_batches']


def has_running_statistics(model: torch.nn.Module) -> bool:
    """Returns whether a model has batch norm layers that evaluate with running statistics."""
    return bool(_layers(model))


def measure_statistics(
    state: State, model: torch.nn.Module, bn_batches: int, train_data: DataSpec | None = None
) -> None:
    """Recomputes batch norm's statistics over ``bn_batches`` training batches; it disturbs the random state."""
    if not (bn_batches and has_running_statistics(model)):
        return
    reproducibility.seed_all(state.rank_zero_seed)  # the same augmentations at every trough and on every rank

    def forward(batch: object) -> None:
        with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
            model(batch)

    recompute_statistics(model, train_batches(state, state.rank_zero_seed, bn_batches, train_data), forward)


@torch.no_grad()
def recompute_statistics(model: torch.nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Sets every running mean and variance to its mean over batches; dropout is inactive, and nothing else changes.

    Source:
        Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    layers = _layers(model)
    before = [(module, module.training) for module in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches, not a moving one
        layer.training = True
    try:
        for batch in batches:
            forward(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, training in before:
            module.training = training


def check_readable(state: State, what_for: str) -> None:
    """Refuses a train loader whose samples cannot be read by index."""
    loader = state.train_dataloader
    data = loader.dataset if isinstance(loader, DataLoader) else None
    read = getattr(type(data), '__getitem__', Dataset.__getitem__)
    if getattr(loader, 'batch_size', None) is None or not hasattr(data, '__len__') or read is Dataset.__getitem__:
        raise ValueError(
            f'{what_for} reads training images by index, which a {type(data or loader).__name__} does not allow: '
            'train from a DataLoader with a batch_size, over a dataset with __len__ and __getitem__'
        )


def train_batches(
    state: State, seed: int, count: int | None = None, train_data: DataSpec | None = None
) -> Iterator[Any]:
    """Yields training batches in a shuffled order of their own, on the device, transformed as for training.

    The images are the same on every rank, and batches no larger than the microbatch over which batch norm takes its
    statistics in training. Random augmentations draw from the global random state.

    Args:
        state (State): The trainer's state.
        seed (int): Determines the order.
        count (int | None): Number of batches, at most an epoch. Default: ``None``, epochs without end.
        train_data (DataSpec | None): Whose transforms to apply. Default: ``None``, the first evaluator's, since the
            state does not hold the one that the Trainer was given for training.
    """
    loader = state.train_dataloader
    assert isinstance(loader, DataLoader), 'see check_readable'
    assert loader.batch_size is not None, 'see check_readable'
    data_spec = train_data or state.evaluators[0].dataloader
    micro = state.device_train_microbatch_size
    size = min(loader.batch_size, micro) if isinstance(micro, int) else loader.batch_size
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
            batch = state.device.batch_to_device(data_spec.batch_transforms(batch))
            yield data_spec.microbatch_transforms(batch)
        if count is not None:
            return


class _Indexed(Dataset):
    """Presents an iterable dataset with items, such as a ``StreamingDataset``, as one that takes a sampler."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        # The length of a StreamingDataset is one rank's share; its size is that of the whole.
        size = getattr(self.dataset, 'size', None)
        return size if isinstance(size, int) else len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]


def _layers(model: torch.nn.Module) -> list[_BatchNorm]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
