"""Runs with and without each callback that evaluates weights of its own: hashes of all weights at every batch."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist
from torch.utils.data import DataLoader, WeightedRandomSampler

from composer_clr import AnytimeAverage, AnytimeScheduler, FastCycles, ParetoSnapshot, ScheduleFree, TroughAverage
from tests.helpers.watched_runs import Noisy, bert, dropout, hashes

MARKS = ['7ba', '10ba', '20ba']


class TrainingMode(Callback):
    """Puts a schedule-free optimizer into training mode, as a run without evaluations needs."""

    def fit_start(self, state: State, logger: Logger) -> None:
        for optimizer in state.optimizers:
            optimizer.train()  # type: ignore[attr-defined]


def schedule_free() -> dict[str, Any]:
    import schedulefree

    arguments = dropout()
    optimizer = schedulefree.SGDScheduleFree(arguments['model'].parameters(), lr=0.2)
    return {**arguments, 'optimizers': optimizer, **anytime()}


def anytime() -> dict[str, Any]:
    return {'schedulers': AnytimeScheduler(MARKS, '2ba')}


class Drawing(Noisy):
    """Draws from generators of its own, one of them in a transform."""

    def __init__(self):
        super().__init__(20)
        self.generator, self.random = torch.Generator().manual_seed(1), random.Random(2)
        self.transforms = [partial(np.random.Generator.normal, np.random.default_rng(3))]
        self.scale = {'numpy': np.random.RandomState(4)}

    def __getitem__(self, index: int):
        inputs, label = super().__getitem__(index)
        drawn = self.random.random() + self.transforms[0]() + self.scale['numpy'].rand()
        return inputs + 0.1 * (torch.randn(4, generator=self.generator) + drawn), label


def own_generators() -> dict[str, Any]:
    """Returns arguments with such data, and a sampler that draws from torch's own generator."""
    arguments = dropout()
    if dist.get_world_size() == 1:
        arguments['train_dataloader'] = DataLoader(Drawing(), 4, sampler=WeightedRandomSampler([0.5] * 20, 20))
    return arguments


# The Trainer's arguments, what both runs have, and what one of them has beside ParetoSnapshot.
CASES: dict[str, tuple[Callable[[], dict[str, Any]], list, Callable[[], list[Callback]]]] = {
    'trough-average': (dropout, [], lambda: [TroughAverage(window='3ba')]),
    'trough-average-1ep': (lambda: dropout('1ep', evaluators=2), [], lambda: [TroughAverage(half_life=0.5)]),
    'trough-average-of-bert': (lambda: bert('1ep'), [], lambda: [TroughAverage(decay='cosine')]),
    'fast-cycles': (dropout, [], lambda: [FastCycles('3ba', 0.5, cycles=2)]),
    'both-1ep': (lambda: dropout('1ep'), [], lambda: [FastCycles('1ep', cycles=1), TroughAverage()]),
    'own-generators': (own_generators, [], lambda: [FastCycles('3ba'), TroughAverage(window='3ba')]),
    'anytime': (lambda: {**dropout(), **anytime()}, [], lambda: [AnytimeAverage(window=0.5)]),
    'anytime-1ep': (lambda: {**dropout('1ep'), **anytime()}, [], lambda: [AnytimeAverage(half_life=0.5)]),
    'schedule-free': (schedule_free, [TrainingMode], lambda: [ScheduleFree()]),
}


def both(case: str, folder: str) -> dict[str, list[str]]:
    """Returns a case's hashes without and with its callbacks."""
    arguments, common, own = CASES[case]
    with_callbacks = [*own(), ParetoSnapshot(folder=f'{folder}/{case}')]
    return {
        'without': hashes(arguments, *(one() for one in common)),
        'with': hashes(arguments, *with_callbacks, *(one() for one in common)),
    }


if __name__ == '__main__':
    torch.set_num_threads(1)
    results = {case: both(case, 'out') for case in sys.argv[1:]}
    of_ranks = dist.all_gather_object(results)
    if dist.get_global_rank() == 0:
        print(json.dumps(of_ranks))
