"""Batch norm's statistics for averaged weights, recomputed over training batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from composer.core import State, get_precision_context
from composer.utils import reproducibility
from torch.nn.modules.batchnorm import _BatchNorm

from composer_clr.averaging.train_batches import TrainBatches

__all__ = ['has_running_statistics', 'measure_statistics', 'modes_in_training', 'recompute_statistics', 'set_modes']

Modes = Mapping[str, bool]

# Statistics of averaged weights differ from those of training: variances shrink up to a few times, means move within a
# standard deviation. Batches that lack a normalization or are other images are further off than both limits.
_FAR_MEAN, _FAR_VARIANCE = 3.0, 20.0
_INITIAL_SHARE = 1e-3


def has_running_statistics(model: torch.nn.Module, modes: Modes) -> bool:
    """Returns whether a model has batch norm layers whose running statistics training updates."""
    return bool(_layers(model, modes))


def modes_in_training(model: torch.nn.Module) -> dict[str, bool]:
    """Returns which modules are in training mode in training; a ``train()`` of the model's own may leave some out."""
    if not model.training:
        before = _modes(model)
        model.train()
        try:
            return _modes(model)
        finally:
            set_modes(model, before)
    return _modes(model)


def set_modes(model: torch.nn.Module, modes: Modes) -> None:
    """Sets the mode of every module by name."""
    for name, module in model.named_modules():
        module.training = modes[name]


def measure_statistics(
    state: State, model: torch.nn.Module, bn_batches: int, batches: TrainBatches | None, modes: Modes
) -> str | None:
    """Recomputes batch norm's statistics over training batches; disturbs the random state."""
    layers = _layers(model, modes)
    if batches is None or not (bn_batches and layers):
        return None
    reproducibility.seed_all(state.rank_zero_seed)  # the same augmentations at every trough and on every rank

    def forward(batch: object) -> None:
        with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
            model(batch)

    before = [(name, layer, *_statistics(layer)) for name, layer in layers.items() if _has_settled(layer)]
    read = batches.read(state, state.rank_zero_seed, bn_batches, again=False)
    recompute_statistics(model, (part for parts in read for part in parts), forward, modes)
    return next(filter(None, (_far(*one) for one in before)), None)


@torch.no_grad()
def recompute_statistics(
    model: torch.nn.Module, batches: Iterable[Any], forward: Callable[[Any], object], modes: Modes
) -> None:
    """Sets every running mean and variance to its mean over batches; dropout is inactive, and nothing else changes."""
    layers = list(_layers(model, modes).values())
    before, momenta = _modes(model), [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches, not a moving one
        layer.training = True
    try:
        # A compiled network would be compiled again for these modes.
        with torch.compiler.set_stance('force_eager'):
            for batch in batches:
                forward(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        set_modes(model, before)


def _layers(model: torch.nn.Module, modes: Modes) -> dict[str, _BatchNorm]:
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats and modes[name]
    }


def _modes(model: torch.nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def _statistics(layer: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    assert layer.running_mean is not None, 'it tracks running statistics'
    assert layer.running_var is not None, 'it tracks running statistics'
    return layer.running_mean.clone(), layer.running_var.clone()


def _far(name: str, layer: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> str | None:
    """Describes a layer if, for half of its channels, statistics have moved far from those of training."""
    now_mean, now_variance = _statistics(layer)
    shift = (now_mean - mean).abs() / (variance + layer.eps).sqrt()
    ratio = ((now_variance + layer.eps) / (variance + layer.eps)).log().abs().exp()
    if shift.median() > _FAR_MEAN:
        what, channel, now, then = 'mean', shift.argmax(), now_mean, mean
    elif ratio.median() > _FAR_VARIANCE:
        what, channel, now, then = 'variance', ratio.argmax(), now_variance, variance
    else:
        return None
    return f'{name}: running {what} {float(now[channel]):.3g}, and {float(then[channel]):.3g} in training'


def _has_settled(layer: _BatchNorm) -> bool:
    """Returns whether training has updated the statistics often enough for their initial values to be forgotten."""
    updates = 0 if layer.num_batches_tracked is None else int(layer.num_batches_tracked)
    return updates > 0 and (layer.momentum is None or (1 - layer.momentum) ** updates < _INITIAL_SHARE)
