"""Settings that a resume ignores: the checkpoint's win, as Composer has it, and one warning names both values."""

from __future__ import annotations

import warnings

import pytest
import torch
from composer.optim import DecoupledSGDW

from composer_clr.algorithms.hyperparameters import CyclicMomentum
from tests.conftest import classifier
from tests.helpers.recorded_runs import doubling, snapshot


@pytest.fixture
def trainer(make_trainer):
    """A Trainer that saves after every epoch, and resumes."""

    def make(optimizer=torch.optim.SGD, groups=False, lr=0.5, momentum=0.9, weight_decay=0.0, **changes):
        model = classifier()
        parameters = list(model.parameters())
        if groups:
            parameters = [{'params': parameters[:2]}, {'params': parameters[2:], 'lr': lr / 2}]
        return make_trainer(
            model=model,
            optimizers=optimizer(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay),
            schedulers=doubling(),
            callbacks=snapshot(autoresume=True),
            save_folder='own',
            save_interval='1ep',
            save_overwrite=True,
            autoresume=True,
            **{'max_duration': '4ep', **changes},
        )

    return make


def warned(make, **changes) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        make(**changes)
    return [str(one.message) for one in caught if 'resumed with the settings' in str(one.message)]


@pytest.mark.parametrize('optimizer', [torch.optim.SGD, DecoupledSGDW])
def test_all_that_is_ignored_is_named_in_one_warning(trainer, optimizer):
    first = trainer(optimizer)
    first.fit()
    first.close()
    (message,) = warned(trainer, optimizer=optimizer, lr=0.1, momentum=0.8, weight_decay=1e-4, seed=18)
    assert (
        'resumed with the settings of the checkpoint, not those passed now: lr=0.5 (not 0.1), momentum=0.9 (not 0.8), '
        'seed=17 (not 18), weight_decay=0.0 (not 0.0001)' in message
    )


def test_groups_are_named(trainer):
    trainer(groups=True).fit()
    (message,) = warned(trainer, groups=True, lr=0.1)
    assert 'lr of group 0=0.5 (not 0.1), lr of group 1=0.25 (not 0.05)' in message


@pytest.mark.parametrize(
    'changes', [{}, {'seed': None}, {'max_duration': '8ep'}], ids=['the-same', 'seed-not-given', 'longer']
)
def test_nothing_is_named_where_nothing_is_ignored(trainer, changes):
    trainer().fit()
    assert warned(trainer, **changes) == []


def test_momentum_that_follows_the_cycles_is_not_the_users(trainer):
    trainer(algorithms=CyclicMomentum(), max_duration='2ep').fit()
    assert warned(trainer, algorithms=CyclicMomentum()) == []
