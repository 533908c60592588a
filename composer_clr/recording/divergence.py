"""Whether training has come to values that are no finite numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from composer.core import State
from composer.utils import dist

__all__ = ['has_diverged']


def has_diverged(state: State) -> bool:
    """Whether, on any rank, the last batch's loss or a weight is NaN or infinite. To be asked on all ranks together.

    Args:
        state (State): The trainer's state, after a batch.
    """
    looked_at = [*_tensors(state.loss), *state.model.parameters()]
    finite = [state.device.tensor_to_device(tensor.detach().isfinite().all()) for tensor in looked_at]
    found = (~torch.stack(finite).all()).to(torch.uint8)
    dist.all_reduce(found, 'MAX')
    return bool(found)


def _tensors(loss: Any) -> Iterator[torch.Tensor]:
    """The loss as Composer allows it: a tensor, several, or several by name."""
    if isinstance(loss, torch.Tensor):
        yield loss
    elif isinstance(loss, Mapping):
        for part in loss.values():
            yield from _tensors(part)
    elif isinstance(loss, (list, tuple)):
        for part in loss:
            yield from _tensors(part)
