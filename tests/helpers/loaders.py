"""Reads the batches of a loader, and ends its workers.

Left to the garbage collector, each worker takes 5 s to end.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from composer.core import DataSpec


def batches(data: DataSpec) -> list[tuple[torch.Tensor, ...]]:
    """Returns an epoch's batches, and ends the loader's workers."""
    epoch = [tuple(batch) for batch in data.dataloader]
    end_workers(data)
    return epoch


def end_workers(data: DataSpec) -> None:
    """Ends a loader's persistent workers."""
    data.dataloader._iterator = None  # type: ignore[union-attr]


def end(iterator: Iterator) -> None:
    """Ends the workers of an iterator over a loader."""
    getattr(iterator, '_shutdown_workers', lambda: None)()
