"""The network under the wrappers that training puts around it."""

from __future__ import annotations

import torch
from composer.models import ComposerClassifier
from torch.nn.parallel import DistributedDataParallel

__all__ = ['network_name', 'without_ddp']


def without_ddp(model: torch.nn.Module) -> torch.nn.Module:
    """Returns the model from under ``DistributedDataParallel``, whose parameters and buffers have no prefix.

    Example:
        >>> without_ddp(torch.nn.Linear(1, 1))
        Linear(in_features=1, out_features=1, bias=True)
    """
    return model.module if isinstance(model, DistributedDataParallel) else model


def network_name(model: torch.nn.Module) -> str:
    """Returns the class name of the network, from under ``DistributedDataParallel`` and ``ComposerClassifier``.

    Example:
        >>> network_name(ComposerClassifier(torch.nn.Linear(1, 2), num_classes=2))
        'Linear'
    """
    model = without_ddp(model)
    return type(model.module if isinstance(model, ComposerClassifier) else model).__name__
