"""A bare State, and real Trainers on a network of a few weights, as fixtures of every test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import composer.core.engine
import composer.core.state
import composer.trainer.trainer
import pytest
import torch
from composer import Trainer
from composer.core import State
from composer.devices import DeviceCPU
from composer.models import ComposerClassifier
from composer.optim import compile_composer_scheduler
from composer.utils import get_composer_env_dict, reproducibility
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
# Composer looks up the versions of what is installed for every Trainer, which takes half of its time, and checkpoint.
environment = cache(get_composer_env_dict)
composer.trainer.trainer.get_composer_env_dict = environment  # pyright: ignore[reportPrivateImportUsage]
composer.core.state.get_composer_env_dict = environment  # pyright: ignore[reportPrivateImportUsage]
# It builds a text for each callback and event, a tenth of a small run's time, and logs it when asked to debug alone.
composer.core.engine.Engine._debug_log = lambda self, event, msg: None
# No test cuts the power, and waiting for the disk takes longer than what is written.
os.fsync = lambda fd: None


@pytest.fixture
def make_state() -> Callable[..., State]:
    """Returns a function that makes a State without a Trainer, of any duration, batches per epoch and scheduler."""

    def make(max_duration: str | None = '64ep', batches: int | None = 10, scheduler: Any = None) -> State:
        model = torch.nn.Linear(1, 1)
        state = State(
            model=model,
            rank_zero_seed=0,
            run_name='bare',
            device=DeviceCPU(),
            max_duration=max_duration,
            optimizers=torch.optim.SGD(model.parameters(), lr=1.0),
        )
        if batches is None:
            state.set_dataloader(iter(()), 'train')
        else:
            state.set_dataloader(DataLoader(TensorDataset(torch.zeros(batches, 1))), 'train')
        if scheduler is not None:
            state.schedulers = [compile_composer_scheduler(scheduler, state)]
        return state

    return make


def at(state: State, **counts: int) -> State:
    """Moves a state to another time and returns it: ``at(state, batch=40)``."""
    state.timestamp = state.timestamp.copy(**counts)  # type: ignore[arg-type]
    return state


def classifier(seed: int = 0) -> ComposerClassifier:
    """Returns a network of 29 weights, the same for the same seed."""
    reproducibility.seed_all(seed)
    return ComposerClassifier(
        torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)), num_classes=2
    )


def loader(images: int, batch_size: int = 4, seed: int = 0) -> DataLoader:
    """Returns a loader of linearly separable points of two classes, in a fixed order."""
    inputs = torch.randn(images, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size)


@contextmanager
def trainers(folder: Path) -> Iterator[Callable[..., Trainer]]:
    """Gives a function that makes a real Trainer on the CPU, of 10 batches per epoch; its arguments override any."""
    made: list[Trainer] = []

    def make(**overrides: Any) -> Trainer:
        model = overrides.pop('model', None) or classifier()
        arguments: dict[str, Any] = {
            'model': model,
            'run_name': 'run',
            'seed': 17,
            'train_dataloader': loader(40),
            'eval_dataloader': loader(40, batch_size=20, seed=1),
            'eval_interval': 0,
            'optimizers': torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
            'max_duration': '8ep',
            'progress_bar': False,
        }
        made.append(Trainer(**{**arguments, **overrides}))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield make
        for trainer in made:
            trainer.close()


@pytest.fixture
def make_trainer(tmp_path: Path) -> Iterator[Callable[..., Trainer]]:
    """Returns the function of :func:`trainers`, in the test's own folder."""
    with trainers(tmp_path) as make:
        yield make
