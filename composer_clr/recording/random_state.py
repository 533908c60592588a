"""The random numbers that training goes on with, kept over work that training would not have done."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from composer.core import State
from composer.utils import dist, reproducibility

__all__ = ['RandomState']

_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
# A search through lists of files would take long.
_MOST_OBJECTS, _MOST_ITEMS = 1000, 100


@dataclass(eq=False)
class RandomState:
    """The state of the global generators of every rank, and of those that the train loader and its data set draw from.

    Example:
        >>> before = torch.get_rng_state()
        >>> kept = RandomState(reproducibility.get_rng_state(), [])
        >>> number = torch.rand(())
        >>> kept.load()
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """

    ranks: list[dict[str, Any]]
    generators: list[tuple[Any, Any]]

    @classmethod
    def now(cls, state: State) -> RandomState:
        """Returns the present state; called on all ranks together."""
        generators = [(one, _state_of(one)) for one in _generators(state.train_dataloader)]
        return cls(reproducibility.get_rng_state(), generators)

    def load(self) -> None:
        """Restores this state on the rank that calls it."""
        reproducibility.load_rng_state(self.ranks)
        for generator, kept in self.generators:
            if isinstance(generator, random.Random):
                generator.setstate(kept)
            elif isinstance(generator, np.random.Generator):
                generator.bit_generator.state = kept
            else:
                generator.set_state(kept)

    def is_alike(self, other: RandomState) -> bool:
        """Returns, alike on all ranks, whether two states are equal on all of them; called on all ranks together."""
        kept, others = ([tensor for _, tensor in one.generators] for one in (self, other))
        return all(dist.all_gather_object(_equal(self.ranks, other.ranks) and _equal(kept, others)))


def _generators(loader: object) -> Iterator[Any]:
    """Yields the generators of a loader, its samplers, its data set and transforms, as far as attributes lead there."""
    waiting, seen = [loader], {}
    while waiting and len(seen) < _MOST_OBJECTS:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, _GENERATORS):
            yield one
        elif isinstance(one, (list, tuple, dict)):
            if len(one) < _MOST_ITEMS:
                waiting += one.values() if isinstance(one, dict) else one
        elif isinstance(one, partial):
            waiting += (one.func, one.args, one.keywords)
        elif hasattr(one, '__dict__') and not isinstance(one, (torch.Tensor, type, ModuleType)):
            waiting += vars(one).values()
        else:
            waiting.append(getattr(one, '__self__', None))


def _state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, (np.ndarray, torch.Tensor)):
        return np.array_equal(one, other)
    return one == other
