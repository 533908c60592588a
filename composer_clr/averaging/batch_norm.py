"""Batch norm's statistics for averaged weights, recomputed over training batches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from composer.core import State, get_precision_context
from composer.utils import reproducibility
from torch.nn.modules.batchnorm import _BatchNorm

from composer_clr.averaging.train_batches import TrainBatches

__all__ = ['batch_norm_layers', 'measure_statistics', 'modes_in_training', 'set_modes']

Modes = Mapping[str, bool]

# Statistics of averaged weights differ from those of training: variances shrink up to a few times, means move within a
# standard deviation. Batches that lack a normalization or are other images are further off than both limits.
_FAR_MEAN, _FAR_VARIANCE = 3.0, 20.0
_INITIAL_SHARE = 1e-3


def batch_norm_layers(model: torch.nn.Module, modes: Modes) -> dict[str, _BatchNorm]:
    """Returns the layers whose running statistics training updates, by name."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats and modes[name]
    }


def modes_in_training(model: torch.nn.Module) -> dict[str, bool]:
    """Returns which modules are in training mode in training; a ``train()`` of the model's own may leave some out."""
    now = _modes(model)
    if model.training:
        return now
    model.train()
    try:
        return _modes(model)
    finally:
        set_modes(model, now)


def set_modes(model: torch.nn.Module, modes: Modes) -> None:
    for name, module in model.named_modules():
        module.training = modes[name]


@torch.no_grad()
def measure_statistics(
    state: State, model: torch.nn.Module, bn_batches: int, batches: TrainBatches | None, modes: Modes
) -> str | None:
    """Sets every running mean and variance to its mean over training batches; disturbs the random state.

    Dropout is inactive, and nothing else changes. Describes a layer whose statistics are far from those before.
    """
    layers = batch_norm_layers(model, modes)
    if batches is None or not (bn_batches and layers):
        return None
    reproducibility.seed_all(state.rank_zero_seed)  # the same augmentations at every trough and on every rank
    before, momenta = _modes(model), [layer.momentum for layer in layers.values()]
    settled = [
        (name, layer, {key: buffer.clone() for key, buffer in layer.named_buffers()})
        for name, layer in layers.items()
        if _has_settled(layer)
    ]
    model.eval()
    for layer in layers.values():
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches, not a moving one
        layer.training = True
    try:
        # A compiled network would be compiled again for these modes.
        with torch.compiler.set_stance('force_eager'):
            for parts in batches.read(state, state.rank_zero_seed, bn_batches, again=False):
                for part in parts:
                    with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
                        model(part)
    finally:
        for layer, momentum in zip(layers.values(), momenta, strict=True):
            layer.momentum = momentum
        set_modes(model, before)
    return next(filter(None, (_far(*one) for one in settled)), None)


def _modes(model: torch.nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def _far(name: str, layer: _BatchNorm, then: Mapping[str, torch.Tensor]) -> str | None:
    """Describes a layer if, for half of its channels, statistics have moved far from those of training."""
    now, variance = dict(layer.named_buffers()), then['running_var'] + layer.eps
    shift = (now['running_mean'] - then['running_mean']).abs() / variance.sqrt()
    ratio = ((now['running_var'] + layer.eps) / variance).log().abs().exp()
    for key, far, limit in (('running_mean', shift, _FAR_MEAN), ('running_var', ratio, _FAR_VARIANCE)):
        if far.median() > limit:
            is_now, was = (float(buffers[key][far.argmax()]) for buffers in (now, then))
            return f'{name}: {key.replace("_", " ")} {is_now:.3g}, and {was:.3g} in training'
    return None


def _has_settled(layer: _BatchNorm) -> bool:
    """Returns whether training has updated the statistics often enough for their initial values to be forgotten."""
    updates = 0 if layer.num_batches_tracked is None else int(layer.num_batches_tracked)
    return updates > 0 and (layer.momentum is None or (1 - layer.momentum) ** updates < _INITIAL_SHARE)
