"""Detects NaN and infinite losses and weights on any rank."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from composer.core import State
from composer.utils import dist

from composer_clr.curves.curve import TradeoffPoint

__all__ = ['has_diverged', 'stop_if_diverged']


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


def stop_if_diverged(state: State, point: TradeoffPoint, on_nan: str) -> None:
    """Warns of a point at which training has diverged, and ends training.

    Args:
        state (State): The trainer's state.
        point (TradeoffPoint): The point just recorded.
        on_nan (str): ``'stop'`` to end training, ``'continue'`` to warn only.
    """
    if not point.diverged:
        return
    stops = on_nan == 'stop'
    warnings.warn(
        f'training has diverged by cycle {point.cycle}, batch {point.batch}: a loss or a weight is not a finite '
        f'number; {"training stops here" if stops else "training continues"} ({on_nan=})',
        UserWarning,
        stacklevel=2,
    )
    if stops:
        state.stop_training()


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
