"""Warns of settings of a resumed Trainer that its checkpoint replaces."""

from __future__ import annotations

import warnings
from typing import Any

from composer.core import State

__all__ = ['IgnoredSettings']

# Without a seed Composer draws one of 32 bits: seeds from here on are taken for drawn.
_DRAWN = 10**6
# What an algorithm changes during training is not what the user passed.
_DRIVEN = {'momentum': ('momentum', 'betas'), 'weight decay': ('weight_decay',)}
# What the optimizers of schedulefree count while training, among their settings.
_COUNTED = ('k', 'lr_max', 'scheduled_lr', 'train_mode', 'weight_sum')


class IgnoredSettings:
    """The optimizer's settings and the seed that were passed to the Trainer.

    Composer replaces both by those of a checkpoint, silently.

    Args:
        state (State): The trainer's state at ``INIT``, before a checkpoint is loaded.
    """

    def __init__(self, state: State):
        self._groups = [_settings(group, 'lr') for group in _groups(state)]
        self._seed = state.rank_zero_seed

    def warn(self, state: State) -> None:
        """Names every setting that the checkpoint has replaced by another value, in one warning.

        Args:
            state (State): The state at ``AFTER_LOAD``.
        """
        if state.timestamp.batch.value == 0:
            return
        driven = {key for a in state.algorithms for key in _DRIVEN.get(getattr(a, 'drives', ''), ())}
        differences = {}
        for number, (given, group) in enumerate(zip(self._groups, _groups(state), strict=False)):
            loaded = _settings(group, 'initial_lr' if 'initial_lr' in group else 'lr')
            where = f' of group {number}' if len(self._groups) > 1 else ''
            for name in given.keys() & loaded.keys() - driven:
                if given[name] != loaded[name]:
                    differences[f'{name}{where}'] = loaded[name], given[name]
        if self._seed != state.rank_zero_seed and self._seed < _DRAWN:
            differences['seed'] = state.rank_zero_seed, self._seed
        if differences:
            listed = ', '.join(f'{name}={old!r} (not {new!r})' for name, (old, new) in sorted(differences.items()))
            warnings.warn(
                f'resumed with the settings of the checkpoint, not those passed now: {listed}; to train with others, '
                'start another run',
                UserWarning,
                stacklevel=2,
            )


def _groups(state: State) -> list[dict[str, Any]]:
    return [group for optimizer in state.optimizers for group in optimizer.param_groups]


def _settings(group: dict[str, Any], lr: str) -> dict[str, Any]:
    plain = (bool, int, float, tuple)
    left_out = ('lr', 'initial_lr', *(_COUNTED if 'train_mode' in group else ()))
    settings = {k: v for k, v in group.items() if isinstance(v, plain) and k not in left_out}
    return {**settings, 'lr': float(group[lr])}
