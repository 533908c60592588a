"""The order of the training samples: different for each seed, the same after a resume."""

from __future__ import annotations

from typing import Any

import numpy as np
from composer.core import Callback, State
from composer.loggers import Logger
from torch.utils.data import DistributedSampler

__all__ = ['SampleOrder', 'order_seed']

# Of runs whose checkpoints were made before the order followed the seed.
_COMPOSERS_SEED = 0


def order_seed(seed: int) -> int:
    """Returns the seed of a run's sampler, of 32 bits.

    Samplers add the epoch to their seed: with the run's own, epoch 1 of seed 17 would have the order of epoch 0 of
    seed 18.

    Args:
        seed (int): Seed of the run, >= 0.

    Example:
        >>> order_seed(17), order_seed(18)
        (481830384, 387592216)
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


class SampleOrder(Callback):
    """Resumes a run in the order that it started with.

    The sampler's seed is part of the checkpoint, so that a resumed run continues with the samples that would have been
    next, whatever its own seed: as for all of a run's random numbers, the checkpoint's seed wins. Checkpoints made
    before the order followed the seed have Composer's order.

    Args:
        sampler (DistributedSampler): The sampler of the training data.

    Example:
        >>> sampler = DistributedSampler(range(4), num_replicas=1, rank=0, seed=order_seed(17))
        >>> SampleOrder(sampler).state_dict()
        {'seed': 481830384}
    """

    def __init__(self, sampler: DistributedSampler):
        self.sampler = sampler
        self._restored = False

    def state_dict(self) -> dict[str, Any]:
        return {'seed': self.sampler.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.seed = int(state['seed'])
        self._restored = True

    def after_load(self, state: State, logger: Logger) -> None:
        """Uses Composer's order if the loaded checkpoint does not hold one."""
        del logger
        if state.timestamp.batch.value and not self._restored:
            self.sampler.seed = _COMPOSERS_SEED
