"""What is read off a Trainer: each setting that makes its curve another one, from its objects alone."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch
from composer import DataSpec, Evaluator, Event
from composer.algorithms import EMA, GradientClipping, LabelSmoothing, MixUp
from composer.loss import binary_cross_entropy_with_logits, soft_cross_entropy
from composer.models import ComposerClassifier
from composer.optim import DecoupledSGDW
from torch.utils.data import DataLoader, Dataset, Subset, WeightedRandomSampler
from torchmetrics.classification import MulticlassF1Score

from composer_clr import CyclicCosineScheduler, FastCycles, InCycles, TroughAverage
from composer_clr.curves.settings import Effect, differences, settings_of
from tests.conftest import loader
from tests.helpers.recorded_runs import Stop, StopAfter, doubling, snapshot

pytestmark = pytest.mark.filterwarnings('ignore:max_duration=.*stops:UserWarning')


def network(p: float = 0.1, width: int = 3, loss=soft_cross_entropy, metrics=None) -> ComposerClassifier:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(p), torch.nn.Linear(width, 2))
    return ComposerClassifier(torch.nn.Sequential(*layers), num_classes=2, loss_fn=loss, val_metrics=metrics)


class Shifted(Dataset):
    """Images with a transform."""

    def __init__(self, transform=None, images: int = 40):
        self.inputs, self.labels = loader(images).dataset.tensors  # type: ignore[attr-defined]
        self.transform = transform

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        x = self.inputs[i]
        return (self.transform(x) if self.transform else x), self.labels[i]


class Add:
    def __init__(self, amount: float):
        self.amount = amount

    def __call__(self, x):
        return x + self.amount


def collate(batch, scale=1.0):
    return scale * torch.stack([x for x, _ in batch]), torch.stack([y for _, y in batch])


class Own(torch.optim.SGD):
    pass


BASE: dict[str, Any] = {}


@pytest.fixture
def settings(make_trainer):
    """Returns the settings that a run records before its first batch."""

    def recorded(model=None, optimizer=torch.optim.SGD, arguments=None, callbacks=(), groups=None, **changes) -> dict:
        if BASE and not (model or arguments or callbacks or groups or changes) and optimizer is torch.optim.SGD:
            return BASE
        model = model or network()
        optimizer = optimizer(groups(model) if groups else model.parameters(), **{'lr': 0.5, **(arguments or {})})
        recorder = snapshot(save_weights=False, overwrite=True, **changes.pop('snapshot', {}))
        trainer = make_trainer(
            **{
                'model': model,
                'optimizers': optimizer,
                'schedulers': doubling(),
                'callbacks': [recorder, *callbacks, StopAfter(0, Event.FIT_START)],
                'max_duration': '1ba',
                **changes,
            }
        )
        with pytest.raises(Stop):
            trainer.fit()
        trainer.close()
        assert json.loads(json.dumps(recorder.curve.run.settings)) == recorder.curve.run.settings
        return settings_of(recorder.curve.run)

    BASE.update(BASE or recorded())
    return recorded


def groups(model):
    first, *others = model.parameters()
    return [{'params': [first], 'weight_decay': 0.1}, {'params': others}]


CURVE = {
    'network': ({'model': network(width=5)}, 'model.parameters'),
    'dropout': ({'model': network(p=0.5)}, 'model.structure'),
    'loss': ({'model': network(loss=binary_cross_entropy_with_logits)}, 'loss'),
    'loss-arguments': ({'model': network(loss=partial(soft_cross_entropy, weight=torch.ones(2)))}, 'loss'),
    'optimizer': ({'optimizer': DecoupledSGDW}, 'optimizer'),
    'subclass': ({'optimizer': Own}, 'optimizer'),
    'rate': ({'arguments': {'lr': 0.1}}, 'optimizer.lr'),
    'momentum': ({'arguments': {'momentum': 0.9}}, 'optimizer.momentum'),
    'nesterov': ({'arguments': {'momentum': 0.9, 'nesterov': True}}, 'optimizer.nesterov'),
    'alpha_f': ({'schedulers': CyclicCosineScheduler('1ep', 2, '1ep', alpha_f=0.1)}, 'schedule.alpha_f'),
    'warmup': ({'schedulers': CyclicCosineScheduler('1ep', 2, '5ba')}, 'schedule.warmup'),
    'stepped': (
        {'schedulers': CyclicCosineScheduler('1ep', 2, '1ep'), 'step_schedulers_every_batch': False},
        'step_schedulers_every_batch',
    ),
    'algorithm': ({'algorithms': [LabelSmoothing(0.1)]}, 'algorithms'),
    'average': ({'callbacks': [TroughAverage(0.5)]}, 'averages'),
    'batch-size': ({'train_dataloader': loader(40, batch_size=8)}, 'data.batch_size'),
    'images': ({'train_dataloader': loader(80)}, 'data.samples'),
    'part': ({'train_dataloader': DataLoader(Subset(loader(80).dataset, range(40)), 4)}, 'data.part'),
    'shuffled': ({'train_dataloader': DataLoader(loader(40).dataset, 4, shuffle=True)}, 'data.sampler'),
    'weighted': (
        {'train_dataloader': DataLoader(loader(40).dataset, 4, sampler=WeightedRandomSampler([0.5] * 40, 40))},
        'data.sampler',
    ),
    'dataset': ({'train_dataloader': DataLoader(Shifted(), 4)}, 'data.dataset'),
    'collate': (
        {'train_dataloader': DataLoader(loader(40).dataset, 4, collate_fn=partial(collate, scale=2.0))},
        'data.collate',
    ),
    'part-of-each-epoch': ({'train_subset_num_batches': 5}, 'data.loader_length'),
    'microbatch': ({'device_train_microbatch_size': 2}, 'microbatch_size'),
    'evaluation': ({'eval_dataloader': loader(20, seed=1)}, 'evaluation.eval.samples'),
    'evaluation-batch': ({'eval_dataloader': loader(40, batch_size=15, seed=1)}, 'evaluation.eval.batch_size'),
    'peak-window': ({'snapshot': {'peak_window': '1ep'}}, 'peak_window'),
    'method': ({'snapshot': {'method': 'other'}}, 'method'),
}


@pytest.mark.parametrize('change', CURVE)
def test_each_setting_makes_another_curve(settings, change):
    changes, name = CURVE[change]
    found = {one.name: one for one in differences(settings(), settings(**changes))}
    assert name in found
    assert '\n' not in str(found[name])


@pytest.mark.parametrize(
    ('before', 'after', 'expected'),
    [
        ({'algorithms': [MixUp(0.2)]}, {'algorithms': [MixUp(0.3)]}, ['algorithms.MixUp.alpha=0.2, now 0.3']),
        (
            {'algorithms': [InCycles(EMA('4ba'))]},
            {'algorithms': [EMA('4ba')]},
            ['algorithms.EMA.in_cycles=True, now False'],
        ),
        (
            {'algorithms': [InCycles(EMA('4ba'))]},
            {'algorithms': [InCycles(EMA('8ba'))]},
            ["algorithms.EMA.half_life='4ba', now '8ba'", 'smoothing'],
        ),
        (
            {'algorithms': [MixUp(), LabelSmoothing()]},
            {'algorithms': [LabelSmoothing(), MixUp()]},
            ["algorithms=['MixUp', 'LabelSmoothing'], now ['LabelSmoothing', 'MixUp']"],
        ),
        (
            {'callbacks': [TroughAverage(0.5, bn_batches=2)]},
            {'callbacks': [TroughAverage(0.25, bn_batches=3)]},
            ['averages.TroughAverage.window=0.5, now 0.25', 'averages.TroughAverage.bn_batches=2, now 3'],
        ),
        (
            {'algorithms': [GradientClipping('value', 0.1), GradientClipping('norm', 1.0)]},
            {'algorithms': [GradientClipping('value', 0.2), GradientClipping('norm', 2.0)]},
            ['GradientClipping.clipping_threshold=0.1, now 0.2', 'GradientClipping2.clipping_threshold=1.0, now 2.0'],
        ),
        ({'callbacks': [FastCycles('5ba')]}, {'callbacks': [FastCycles('2ba')]}, ["period='5ba', now '2ba'"]),
        (
            {'groups': groups},
            {'groups': groups, 'arguments': {'lr': 0.1}},
            ['optimizer.group0.lr=0.5, now 0.1', 'optimizer.group1.lr=0.5, now 0.1'],
        ),
        (
            {'train_dataloader': DataLoader(Shifted(Add(0.1)), 4)},
            {'train_dataloader': DataLoader(Shifted(Add(0.2)), 4)},
            ["data.transform='Add(amount=0.1)', now 'Add(amount=0.2)'"],
        ),
    ],
)
def test_arguments_are_named_with_both_values(settings, before, after, expected):
    found = list(map(str, differences(settings(**before), settings(**after))))
    assert len(found) == len(expected)
    for text in expected:
        assert any(text in line for line in found), found


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'run_name': 'other', 'seed': 18},
        {'max_duration': '2ba', 'eval_interval': '1ba'},
        {'schedulers': CyclicCosineScheduler('10ba', 2.0, '10ba')},
        {'model': network(metrics=MulticlassF1Score(2))},
        {'train_dataloader': DataSpec(loader(40))},
        {'device_train_microbatch_size': 4},
        {'eval_dataloader': Evaluator(label='eval', dataloader=loader(40, batch_size=10, seed=1))},
        {'snapshot': {'metrics': ['eval/MulticlassAccuracy'], 'peak_window': '0ba'}},
    ],
    ids=lambda changes: '+'.join(changes) or 'nothing',
)
def test_what_is_no_matter(settings, changes):
    assert differences(settings(), settings(**changes)) == []


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'train_dataloader': DataLoader(loader(40).dataset, 4, num_workers=1)}, {'loader.num_workers'}),
        ({'arguments': {'foreach': True}}, {'optimizer.foreach'}),
    ],
)
def test_what_is_another_pace(settings, changes, expected):
    before, after = settings(), settings(**changes)
    assert differences(before, after) == []
    found = {one.name for one in differences(before, after, effect=Effect.PACE)}
    assert expected <= found | {'loader.prefetch_factor', 'loader.persistent_workers'}
