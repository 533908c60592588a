"""The random numbers that training goes on with, kept over work that training would not have done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from composer.core import State
from composer.utils import dist, reproducibility

__all__ = ['RandomState']


@dataclass(eq=False)
class RandomState:
    """The state of the global generators of every rank, and of those that the train loader draws from.

    Example:
        >>> before = torch.get_rng_state()
        >>> kept = RandomState(reproducibility.get_rng_state(), [])
        >>> number = torch.rand(())
        >>> kept.load()
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """

    ranks: list[dict[str, Any]]
    generators: list[tuple[torch.Generator, torch.Tensor]]

    @classmethod
    def now(cls, state: State) -> RandomState:
        """Returns the present state; called on all ranks together."""
        return cls(reproducibility.get_rng_state(), [(one, one.get_state()) for one in _generators(state)])

    def load(self) -> None:
        """Restores this state on the rank that calls it."""
        reproducibility.load_rng_state(self.ranks)
        for generator, kept in self.generators:
            generator.set_state(kept)

    def is_alike(self, other: RandomState) -> bool:
        """Returns, alike on all ranks, whether two states are equal on all of them; called on all ranks together."""
        kept, others = ([tensor for _, tensor in one.generators] for one in (self, other))
        return all(dist.all_gather_object(_equal(self.ranks, other.ranks) and _equal(kept, others)))


def _generators(state: State) -> Iterator[torch.Generator]:
    """Yields a train loader's own generators, which an evaluator's loader may share."""
    loader = state.train_dataloader
    sampler, batch_sampler = getattr(loader, 'sampler', None), getattr(loader, 'batch_sampler', None)
    for owner in (loader, sampler, batch_sampler, getattr(batch_sampler, 'sampler', None)):
        generator = getattr(owner, 'generator', None)
        if isinstance(generator, torch.Generator):
            yield generator


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, (np.ndarray, torch.Tensor)):
        return np.array_equal(one, other)
    return one == other
