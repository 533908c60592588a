"""The network under the wrappers that training puts around it, its optimizer, and the time of its work."""

from __future__ import annotations

import time

import torch
from composer.models import ComposerModel
from torch.nn.parallel import DistributedDataParallel

__all__ = ['device_time_s', 'is_schedule_free', 'network_name', 'without_ddp']


def without_ddp(model: torch.nn.Module) -> torch.nn.Module:
    """Returns the model from under ``DistributedDataParallel``, whose parameters and buffers have no prefix."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def network_name(model: torch.nn.Module) -> str:
    """Returns the class name of the network, under ``DistributedDataParallel`` and the Composer model around it."""
    model = without_ddp(model)
    inner = getattr(model, 'module', None) if isinstance(model, ComposerModel) else None
    return type(inner if isinstance(inner, torch.nn.Module) else model).__name__


def is_schedule_free(optimizer: torch.optim.Optimizer) -> bool:
    """Returns whether an optimizer is one of ``schedulefree``, which evaluates other weights than it trains."""
    return all('train_mode' in group for group in optimizer.param_groups) and hasattr(optimizer, 'eval')


def device_time_s() -> float:
    """Returns the time of a monotonic clock in seconds, after the GPU, if any, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()
