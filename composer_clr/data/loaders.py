"""The two loaders of a run, alike for every data set that is read by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset

__all__ = ['dataspecs']


def dataspecs(
    train: Dataset,
    held_out: Dataset,
    batch_size: int,
    eval_batch_size: int,
    *,
    num_workers: int,
    on_device: Callable | None = None,
    **loading: Any,
) -> tuple[DataSpec, DataSpec]:
    """Training data, shuffled, without the incomplete last batch, and evaluation data, every sample once.

    Each rank has its own share of either. The sampler of the evaluation data is the kind that Composer trims the
    padding of, so that no sample is dropped or counted twice on any number of ranks.

    Args:
        train (Dataset): Training samples.
        held_out (Dataset): Evaluation samples.
        batch_size (int): Training samples a batch on each rank.
        eval_batch_size (int): Evaluation samples a batch on each rank.
        num_workers (int): Loader processes a rank; 0: the rank itself.
        on_device (Callable | None): What is done to a microbatch once it is on the device. Default: ``None``.
        loading (Any): Further arguments of both ``DataLoader``\\ s.
    """
    loading |= {
        'num_workers': num_workers,
        'persistent_workers': num_workers > 0,
        'pin_memory': torch.cuda.is_available(),
    }
    shuffled = dist.get_sampler(train, shuffle=True, drop_last=True)
    return (
        DataSpec(
            DataLoader(train, batch_size, sampler=shuffled, drop_last=True, **loading),
            microbatch_transforms=on_device,
        ),
        DataSpec(
            DataLoader(held_out, eval_batch_size, sampler=dist.get_sampler(held_out), **loading),
            microbatch_transforms=on_device,
        ),
    )
