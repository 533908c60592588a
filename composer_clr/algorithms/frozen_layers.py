"""Tracks the layers that Composer's ``LayerFreezing`` freezes, so that they can be thawed and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from composer.core import State

from composer_clr.utils.models import without_ddp

__all__ = ['FrozenLayers']


class FrozenLayers:
    """Names the weights that are frozen.

    ``LayerFreezing`` removes frozen weights from the optimizers, whose state then cannot be loaded by a new run. Here
    they stay: they get no gradients, and optimizers skip weights without gradients.

    Attributes:
        names (list[str]): The frozen weights.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def kept_in_optimizers(self, state: State) -> Iterator[None]:
        """Keeps what the block freezes in the optimizers."""
        trained = {name for name, weight in _weights(state.model) if weight.requires_grad}
        groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
        weights = [list(group['params']) for group in groups]
        yield
        for group, params in zip(groups, weights, strict=True):
            group['params'] = params
        for name, weight in _weights(state.model):
            if name in trained and not weight.requires_grad:
                weight.grad = None
                self.names.append(name)

    def freeze_again(self, model: torch.nn.Module) -> None:
        """Freezes, in a network loaded from a checkpoint, what was frozen when it was saved."""
        for name, weight in _weights(model):
            if name in self.names:
                weight.requires_grad = False

    def thaw(self, model: torch.nn.Module) -> None:
        """Makes every frozen weight trainable again."""
        for name, weight in _weights(model):
            if name in self.names:
                weight.requires_grad = True
        self.names = []


def _weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Returns the weights by names that are the same with and without ``DistributedDataParallel``."""
    return without_ddp(model).named_parameters()
