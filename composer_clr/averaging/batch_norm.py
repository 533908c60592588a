"""Recomputes the running statistics of batch norm for weights that were averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ['has_running_statistics', 'recompute_statistics']


def has_running_statistics(model: torch.nn.Module) -> bool:
    """Returns whether a model has batch norm layers that evaluate with running statistics."""
    return bool(_layers(model))


@torch.no_grad()
def recompute_statistics(model: torch.nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Sets every running mean and variance to its mean over batches, and changes nothing else in the model.

    Meanwhile only the batch norm layers are in training mode: dropout is inactive.

    Args:
        model (Module): The model, with or without such layers.
        batches (Iterable): At least one batch.
        forward (Callable): Runs the model on one of them.

    Source:
        Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    layers = _layers(model)
    if not layers:
        return
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


def _layers(model: torch.nn.Module) -> list[_BatchNorm]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
