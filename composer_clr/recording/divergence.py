"""Detects NaN and infinite losses and weights on any rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from composer.core import State
from composer.utils import dist

__all__ = ['has_diverged']


def has_diverged(state: State) -> bool:
    """Returns whether the last batch's loss or a weight is NaN or infinite on any rank; called on all ranks together.

    Args:
        state (State): The trainer's state, after a batch.
    """
    tensors = [*_tensors(state.loss), *state.model.parameters()]
    finite = [state.device.tensor_to_device(tensor.detach().isfinite().all()) for tensor in tensors]
    diverged = (~torch.stack(finite).all()).to(torch.uint8)
    dist.all_reduce(diverged, 'MAX')
    return bool(diverged)


def _tensors(loss: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors of a loss as Composer allows it: one tensor, several, or several by name."""
    if isinstance(loss, torch.Tensor):
        yield loss
    elif isinstance(loss, Mapping):
        for part in loss.values():
            yield from _tensors(part)
    elif isinstance(loss, (list, tuple)):
        for part in loss:
            yield from _tensors(part)
