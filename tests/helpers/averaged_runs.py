"""Runs that draw random numbers at every batch, for callbacks that must not disturb them."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composer import Callback, Event, Trainer
from composer.algorithms import MixUp
from composer.core import State
from composer.loggers import Logger
from composer.models import ComposerClassifier
from composer.utils import dist, reproducibility
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import ParetoSnapshot, TradeoffCurve
from tests.helpers.recorded_runs import Stop, StopAfter, doubling


def with_dropout() -> ComposerClassifier:
    """Returns a network whose training draws random numbers at every batch."""
    reproducibility.seed_all(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2)]
    return ComposerClassifier(torch.nn.Sequential(*layers), num_classes=2)


class Jittered(TensorDataset):
    """Adds noise to each point as it is read, from all three random states."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 0.01 * (torch.rand(()).item() + random.random() + np.random.rand()), y  # noqa: NPY002 - the state that transforms of images draw from


def jittered_loader() -> DataLoader:
    """Returns a shuffled loader of 10 batches per epoch."""
    inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    data = Jittered(inputs, (inputs.sum(1) > 0).long())
    return DataLoader(data, 4, sampler=dist.get_sampler(data, shuffle=True))


class Recorder(Callback):
    """Records, per batch, the random numbers that come next, the loss, and the weights after it."""

    def __init__(self):
        self.losses, self.weights, self.random_numbers = [], [], []

    def after_train_batch(self, state: State, logger: Logger) -> None:
        self.losses.append(float(state.loss))  # type: ignore[arg-type]

    def batch_end(self, state: State, logger: Logger) -> None:
        self.weights.append({name: p.detach().clone() for name, p in state.model.named_parameters()})

    def batch_start(self, state: State, logger: Logger) -> None:
        states = reproducibility.get_rng_state()
        self.random_numbers.append((torch.rand(3).tolist(), random.random(), np.random.rand()))  # noqa: NPY002
        reproducibility.load_rng_state(states)


def saving(batch: int) -> dict[str, Any]:
    """Returns the arguments of a Trainer that saves a checkpoint after a batch, and every so many."""
    return {'save_folder': 'own', 'save_interval': f'{batch}ba', 'save_num_checkpoints_to_keep': -1}


def checkpoint_at(batch: int) -> str:
    """Returns the file that a Trainer with :func:`saving` has made after a batch."""
    return str(next(Path('own').glob(f'ep*-ba{batch}-rank0.pt')))


def interrupted(train, make_trainer, folder: str, at: int, *callbacks, **changes) -> str:
    """Trains until shortly after a batch, as if killed there; returns the checkpoint of that batch."""
    with pytest.raises(Stop):
        # The Trainer's own saver comes after the callbacks: it has saved up to the batch before.
        train(make_trainer, folder, *callbacks, StopAfter(at + 1, Event.BATCH_CHECKPOINT), **saving(at), **changes)
    return checkpoint_at(at)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are the same, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def saved(folder: str | Path, name: str | None) -> dict[str, torch.Tensor]:
    """The weights of a snapshot."""
    return torch.load(Path(folder) / str(name), weights_only=True)['state']['model']


def assert_refused(trainer: Trainer, match: str) -> None:
    """Asserts that training ends before the first batch, with an error of one line."""
    with pytest.raises(ValueError, match=match) as raised:
        trainer.fit()
    assert '\n' not in str(raised.value)
    assert trainer.state.timestamp.batch == 0


def trained(make_trainer, folder: str, *callbacks, **changes):
    """Trains with callbacks beside the snapshot; returns the Trainer and the Recorder."""
    recorder = Recorder()
    arguments = {
        'model': with_dropout(),
        'train_dataloader': jittered_loader(),
        'schedulers': doubling(),
        'algorithms': MixUp(),
        'callbacks': [*callbacks, ParetoSnapshot(folder=folder), recorder],
        'max_duration': '8ep',
        **changes,
    }
    # A rate that MixUp's training does not diverge at.
    arguments['optimizers'] = torch.optim.SGD(arguments['model'].parameters(), lr=0.1, momentum=0.9)
    trainer = make_trainer(**arguments)
    trainer.fit()
    return trainer, recorder


def points(folder: str):
    return TradeoffCurve.read(Path(folder)).points


def slow_average(weights: list[dict], shares: dict[int, float]) -> dict[str, torch.Tensor]:
    """Returns the average of the weights after batches, term by term in 64 bits; those of batch t are at t - 1."""
    total = sum(shares.values())
    return {
        name: torch.stack([part / total * weights[t - 1][name].double() for t, part in shares.items()]).sum(0)
        for name in weights[0]
    }
