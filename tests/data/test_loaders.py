"""The order of the training samples, different for each seed and the same after a resume; parts of a set."""

from pathlib import Path

import pytest
import torch
from composer import Trainer
from torch.utils.data import TensorDataset

from composer_clr.data.loaders import class_balanced, dataspecs, order_seed
from composer_clr.recipes.load import load_recipe
from composer_clr.training.build import build_trainer

RUN = ['progress_bar=false', 'max_duration=8ep', 'data.arguments.train_images=100', 'checkpoint.folder=checkpoints']
RUN += ['snapshot.save_weights=false', 'run_name=run', 'checkpoint.keep=-1']


def orders(seed: int, epochs: int) -> list[tuple[int, ...]]:
    samples = TensorDataset(torch.arange(40))
    loader = dataspecs(samples, samples, 4, 4, seed)[0].dataloader
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        found.append(tuple(int(sample) for (batch,) in loader for sample in batch))
    return found


def test_every_epoch_of_every_seed_has_an_order_of_its_own():
    found = [order for seed in (0, 17, 18, 19) for order in orders(seed, 5)]
    assert len(set(found)) == 20
    assert all(sorted(order) == list(range(40)) for order in found)
    assert orders(17, 5) == found[5:10]


def test_evaluating_draws_nothing_from_the_generator_that_training_draws_from():
    samples = TensorDataset(torch.arange(40))
    train, held_out = (spec.dataloader for spec in dataspecs(samples, samples, 4, 4, 17))
    before = torch.get_rng_state()
    assert len(list(held_out)) == 10
    assert torch.equal(torch.get_rng_state(), before)
    # As torch does by default.
    assert len(list(train)) == 10
    assert not torch.equal(torch.get_rng_state(), before)


def build(*overrides: str) -> Trainer:
    return build_trainer(load_recipe('quickstart/digits', [*RUN, *overrides]))


def sampler_seed(trainer: Trainer) -> int:
    return trainer.state.train_dataloader.sampler.seed  # type: ignore[union-attr]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('run')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trainer = build('seed=3')
        trainer.fit()
        trainer.close()
    return folder / 'checkpoints/ep1-ba2-rank0.pt'


def test_the_order_follows_the_seed_of_the_recipe_whatever_its_schedule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeds = []
    for overrides in (['seed=3'], ['seed=3', 'schedule.kind=standard'], ['seed=4']):
        trainer = build(*overrides)
        seeds.append(sampler_seed(trainer))
        trainer.close()
    assert seeds == [order_seed(3), order_seed(3), order_seed(4)]


def test_a_resumed_run_keeps_its_order_whatever_the_recipes_seed(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = build('seed=4', f'checkpoint.load_path={checkpoint}')
    assert sampler_seed(trainer) == order_seed(3)
    trainer.close()


def test_a_fixed_part_has_every_class_alike():
    labels = torch.arange(1000) % 10
    part = class_balanced(labels, 200, 'train_images')
    assert labels[part].bincount().tolist() == [20] * 10
    assert len(part.unique()) == 200
    assert torch.equal(part, class_balanced(labels, 200, 'train_images'))
    assert labels[class_balanced(labels, 23, 'n')].bincount().tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert class_balanced(labels, None, 'n').tolist() == list(range(1000))
    assert len(class_balanced([0] * 5 + [1] * 3, 6, 'n')) == 6


@pytest.mark.parametrize('count', [0, 1001, True, 2.5])
def test_a_part_that_there_is_not(count):
    with pytest.raises(ValueError, match=r'eval_images=.*: must be between 1 and 1000'):
        class_balanced(torch.arange(1000) % 10, count, 'eval_images')
