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
from tests.helpers.recorded_runs import Stop, StopAfter, doubling, snapshot
from tests.helpers.trainers import loader

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


# Each change of a run, and the settings that tell; those of one run tell of each by another name.
CURVE = {
    'of-numbers': (
        {
            'model': network(width=5),
            'arguments': {'lr': 0.1, 'momentum': 0.9, 'nesterov': True},
            'schedulers': CyclicCosineScheduler('1ep', 2, '5ba', alpha_f=0.1),
            'algorithms': [LabelSmoothing(0.1)],
            'callbacks': [TroughAverage(0.5)],
            'train_dataloader': loader(80, batch_size=8),
            'device_train_microbatch_size': 2,
            'eval_dataloader': loader(50, batch_size=15, seed=1),
            'snapshot': {'peak_window': '1ep', 'method': 'other'},
        },
        'model.parameters optimizer.lr optimizer.momentum optimizer.nesterov schedule.alpha_f schedule.warmup '
        'algorithms averages data.batch_size data.samples microbatch_size evaluation.eval.samples '
        'evaluation.eval.batch_size peak_window method',
    ),
    'of-kinds': (
        {
            'model': network(p=0.5, loss=binary_cross_entropy_with_logits),
            'optimizer': DecoupledSGDW,
            'schedulers': CyclicCosineScheduler('1ep', 2, '1ep'),
            'step_schedulers_every_batch': False,
            'train_dataloader': DataLoader(Shifted(), 4),
            'train_subset_num_batches': 5,
        },
        'model.structure loss optimizer step_schedulers_every_batch data.dataset data.loader_length',
    ),
    'subclass-and-part': (
        {
            'model': network(loss=partial(soft_cross_entropy, weight=torch.ones(2))),
            'optimizer': Own,
            'train_dataloader': DataLoader(Subset(loader(80).dataset, range(40)), 4),
        },
        'loss optimizer data.part',
    ),
    'shuffled-and-collated': (
        {'train_dataloader': DataLoader(Shifted(), 4, shuffle=True, collate_fn=partial(collate, scale=2.0))},
        'data.sampler data.collate',
    ),
    'weighted': (
        {'train_dataloader': DataLoader(loader(40).dataset, 4, sampler=WeightedRandomSampler([0.5] * 40, 40))},
        'data.sampler',
    ),
}


@pytest.mark.parametrize('change', CURVE)
def test_each_setting_makes_another_curve(settings, change):
    changes, names = CURVE[change]
    found = {one.name: str(one) for one in differences(settings(), settings(**changes))}
    assert set(names.split()) <= found.keys()
    assert '\n' not in ''.join(found.values())


@pytest.mark.parametrize(
    ('before', 'after', 'expected'),
    [
        (
            {
                'algorithms': [MixUp(0.2)],
                'callbacks': [TroughAverage(0.5, bn_batches=2), FastCycles('5ba')],
                'groups': groups,
                'train_dataloader': DataLoader(Shifted(Add(0.1)), 4),
            },
            {
                'algorithms': [MixUp(0.3)],
                'callbacks': [TroughAverage(0.25, bn_batches=3), FastCycles('2ba')],
                'groups': groups,
                'arguments': {'lr': 0.1},
                'train_dataloader': DataLoader(Shifted(Add(0.2)), 4),
            },
            [
                'algorithms.MixUp.alpha=0.2, now 0.3',
                'averages.TroughAverage.window=0.5, now 0.25',
                'averages.TroughAverage.bn_batches=2, now 3',
                "period='5ba', now '2ba'",
                'optimizer.group0.lr=0.5, now 0.1',
                'optimizer.group1.lr=0.5, now 0.1',
                "data.transform='Add(amount=0.1)', now 'Add(amount=0.2)'",
            ],
        ),
        (
            {'algorithms': [InCycles(EMA('4ba'))]},
            {'algorithms': [EMA('8ba')]},
            ['algorithms.EMA.in_cycles=True, now False', "algorithms.EMA.half_life='4ba', now '8ba'", 'smoothing'],
        ),
        (
            {'algorithms': [MixUp(), LabelSmoothing(), GradientClipping('value', 0.1), GradientClipping('norm', 1.0)]},
            {'algorithms': [LabelSmoothing(), MixUp(), GradientClipping('value', 0.2), GradientClipping('norm', 2.0)]},
            [
                "algorithms=['MixUp', 'LabelSmoothing', ",
                'GradientClipping.clipping_threshold=0.1, now 0.2',
                'GradientClipping2.clipping_threshold=1.0, now 2.0',
            ],
        ),
    ],
    ids=['of-each-kind', 'in-cycles', 'order-and-twice'],
)
def test_arguments_are_named_with_both_values(settings, before, after, expected):
    found = list(map(str, differences(settings(**before), settings(**after))))
    assert len(found) == len(expected)
    for text in expected:
        assert any(text in line for line in found), found


def test_what_is_no_matter(settings):
    changes = {
        'run_name': 'other',
        'seed': 18,
        'max_duration': '2ba',
        'eval_interval': '1ba',
        'schedulers': CyclicCosineScheduler('10ba', 2.0, '10ba'),
        'model': network(metrics=MulticlassF1Score(2)),
        'train_dataloader': DataSpec(loader(40)),
        'device_train_microbatch_size': 4,
        'eval_dataloader': Evaluator(label='eval', dataloader=loader(40, batch_size=10, seed=1)),
        'snapshot': {'metrics': ['eval/MulticlassF1Score'], 'peak_window': '0ba'},
    }
    assert differences(settings(), settings(**changes)) == []


def test_what_is_another_pace(settings):
    slower = {'train_dataloader': DataLoader(loader(40).dataset, 4, num_workers=1), 'arguments': {'foreach': True}}
    before, after = settings(), settings(**slower)
    assert differences(before, after) == []
    found = {one.name for one in differences(before, after, effect=Effect.PACE)}
    assert {'loader.num_workers', 'optimizer.foreach'} <= found
