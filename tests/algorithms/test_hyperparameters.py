"""Hyperparameters in step with the cycles, in real Trainers: 10 batches an epoch, troughs at 2, 4 and 8 epochs."""

import copy
import math
from typing import Any

import pytest
import torch
from composer import Callback
from composer.algorithms import SAM, GradientClipping
from composer.optim import ConstantScheduler, CosineAnnealingWithWarmupScheduler, DecoupledSGDW
from composer.utils import reproducibility
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import (
    CyclicBatchSize,
    CyclicCosineScheduler,
    CyclicGradientClipping,
    CyclicMomentum,
    CyclicWeightDecay,
    ParetoSnapshot,
)
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.training.build import build_trainer
from composer_clr.utils.arguments import arguments_of
from tests.helpers.reference import multipliers
from tests.helpers.trainers import classifier


class Watch(Callback):
    def __init__(self, look=lambda state: None):
        self.look, self.seen, self.losses = look, [], []

    def before_train_batch(self, state, logger):
        self.seen.append(self.look(state))

    def after_train_batch(self, state, logger):
        self.losses.append(float(state.loss))  # type: ignore[arg-type]


def sgd(model, **changes):
    return DecoupledSGDW(model.parameters(), **{'lr': 0.1, 'momentum': 0.9, 'weight_decay': 2e-4, **changes})


def run(make_trainer, algorithms, *, watch=None, optimizer=sgd, **changes) -> Any:
    model = changes.pop('model', None) or classifier(5)
    arguments = {
        'model': model,
        'optimizers': optimizer(model),
        'schedulers': CyclicCosineScheduler('1ep', 2, '1ep', alpha_f=0.1),
        'callbacks': [ParetoSnapshot(folder='out', overwrite=True, save_weights=False), *([watch] if watch else [])],
        'algorithms': algorithms,
    }
    trainer = make_trainer(**{**arguments, **changes})
    trainer.fit()
    return trainer


def rho() -> list[float]:
    """0 at each trough and 1 at each peak whatever alpha_f, one batch late, as all of Composer's schedulers are."""
    values = [value for _, _, value in multipliers(10, 10, 2, 3)]
    return [values[max(k - 1, 0)] for k in range(80)]


def group(name):
    return lambda state: [group[name] for group in state.optimizers[0].param_groups]


def two_groups(model):
    weights, biases = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]
    groups = [{'params': weights, 'weight_decay': 4e-4}, {'params': biases, 'weight_decay': 0.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def test_weight_decay_is_a_part_of_each_groups_own(make_trainer):
    watch = Watch(group('weight_decay'))
    run(make_trainer, CyclicWeightDecay(at_peak=0.5, at_trough=2.0), watch=watch, optimizer=two_groups)
    assert [decay for decay, _ in watch.seen] == pytest.approx([4e-4 * (2.0 - 1.5 * part) for part in rho()])
    assert {decay for _, decay in watch.seen} == {0.0}


def test_weight_decay_comes_on_top_of_the_decoupled_one(make_trainer):
    # Without a loss to speak of, a weight shrinks by 1 - decay x multiplier x part, batch by batch.
    watch = Watch(lambda state: float(next(state.model.parameters())[0, 0]))
    model = classifier(5)
    model.loss = lambda outputs, batch: outputs.sum() * 0.0  # type: ignore[method-assign]
    run(
        make_trainer,
        CyclicWeightDecay(at_peak=1.0, at_trough=0.0),
        watch=watch,
        model=model,
        optimizer=lambda model: sgd(model, weight_decay=9e-4, momentum=0.0),
    )
    alpha = [0.1 + 0.9 * part for part in rho()]
    alpha[:11] = rho()[:11]
    expected = [watch.seen[0]]
    for part, multiplier in zip(rho()[:-1], alpha, strict=False):
        expected.append(expected[-1] * (1 - 9e-4 * part * multiplier))
    assert watch.seen == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ('optimizer', 'look'),
    [
        (sgd, group('momentum')),
        (lambda model: torch.optim.Adam(model.parameters(), 0.01), lambda state: [group('betas')(state)[0][0]]),
    ],
    ids=['SGD', 'Adam'],
)
def test_momentum(make_trainer, optimizer, look):
    watch = Watch(look)
    trainer = run(make_trainer, CyclicMomentum(0.8, 0.96), watch=watch, optimizer=optimizer)
    assert [momentum for (momentum,) in watch.seen] == pytest.approx([0.96 - 0.16 * part for part in rho()])
    if 'betas' in trainer.state.optimizers[0].param_groups[0]:
        assert trainer.state.optimizers[0].param_groups[0]['betas'][1] == 0.999


def test_clipping(make_trainer):
    class Norms(Watch):
        def after_train_batch(self, state, logger):
            # Callbacks come after algorithms: the gradients are clipped.
            self.losses.append(math.hypot(*(float(p.grad.norm()) for p in state.model.parameters())))

    watch = Norms()
    # Thresholds below any gradient of this network, so that every one is cut to its threshold.
    run(make_trainer, CyclicGradientClipping('norm', at_peak=1e-4, at_trough=2e-5), watch=watch)
    assert watch.losses == pytest.approx([2e-5 + 8e-5 * part for part in rho()], rel=1e-2)


PARTS = {
    'weight decay': lambda: CyclicWeightDecay(at_trough=3.0),
    'momentum': lambda: CyclicMomentum(),
    'clipping': lambda: CyclicGradientClipping('norm', at_peak=0.5, at_trough=0.05),
    'batch size': lambda: CyclicBatchSize(at_trough=5),
}
EACH = pytest.mark.parametrize('make', PARTS.values(), ids=PARTS)


def test_settings_find_the_arguments_under_their_names():
    clipping = CyclicGradientClipping('norm', at_peak=0.5, at_trough=0.05)
    assert arguments_of(clipping) == {'clipping_type': 'norm', 'at_peak': 0.5, 'at_trough': 0.05, 'scheduler': None}
    for algorithm in (CyclicWeightDecay(2.0, 8.0), CyclicMomentum(0.5, 0.75), CyclicBatchSize(2, 8)):
        at_peak, at_trough = algorithm.at_peak, algorithm.at_trough
        assert arguments_of(algorithm) == {'at_peak': at_peak, 'at_trough': at_trough, 'scheduler': None}


@EACH
def test_a_resume_is_exact_and_up_to_the_first_trough_it_is_the_standard_run(make_trainer, make):
    whole, rest, alone, plain = Watch(), Watch(), Watch(), Watch()
    # Three batches of five are gathered by then.
    saved = {'save_folder': 'ck', 'save_interval': '36ba', 'save_filename': 'ba{batch}.pt'}
    cyclic = run(make_trainer, make(), watch=whole, max_duration='4ep', **saved)
    run(make_trainer, make(), watch=rest, max_duration='4ep', load_path='ck/ba36.pt')
    assert rest.losses == whole.losses[36:]
    schedule = CosineAnnealingWithWarmupScheduler('1ep', '1dur', alpha_f=0.1)
    standard = run(make_trainer, make(), watch=alone, schedulers=schedule, max_duration='2ep')
    assert whole.losses[:20] == alone.losses
    first, only = (trainer.state.callbacks[0].curve.points[0].metrics for trainer in (cyclic, standard))
    assert first == only
    run(make_trainer, [], watch=plain, max_duration='4ep')
    assert plain.losses != whole.losses, 'the part does something'


def linear_model():
    reproducibility.seed_all(3)
    from composer.models import ComposerClassifier

    return ComposerClassifier(torch.nn.Linear(4, 2), num_classes=2)


def points_of_two_classes(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs.sum(1) > 0).long()


@pytest.mark.parametrize('make', [torch.optim.SGD, DecoupledSGDW, torch.optim.AdamW], ids=lambda make: make.__name__)
def test_gathered_batches_are_one_larger_batch(make_trainer, make):
    # 10 batches of 4, gathered by 5: the same as 2 batches of 20, by torch alone.
    extra: dict[str, Any] = {'momentum': 0.9} if make is not torch.optim.AdamW else {}
    model = linear_model()
    network = copy.deepcopy(model.module)
    run(
        make_trainer,
        CyclicBatchSize(at_peak=5, at_trough=5, scheduler=['2ep', '4ep']),
        model=model,
        optimizer=lambda model: make(model.parameters(), lr=0.1, weight_decay=1e-4, **extra),
        schedulers=ConstantScheduler(),
        callbacks=[],
        max_duration='4ep',
        train_dataloader=DataLoader(TensorDataset(*points_of_two_classes()), 4),
    )
    optimizer = make(network.parameters(), lr=0.1, weight_decay=1e-4, **extra)
    inputs, labels = points_of_two_classes()
    for _ in range(4):
        for half in (slice(0, 20), slice(20, 40)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[half]), labels[half]).backward()
            optimizer.step()
    for weight, expected in zip(model.module.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-6)


def test_steps_are_due_as_designed_and_before_every_trough(make_trainer):
    class Steps(Callback):
        def __init__(self):
            self.moved: list[int] = []

        def batch_start(self, state, logger):
            self.before = [p.detach().clone() for p in state.model.parameters()]

        def batch_end(self, state, logger):
            if any(not torch.equal(a, b) for a, b in zip(self.before, state.model.parameters(), strict=True)):
                self.moved.append(state.timestamp.batch.value - 1)

    watch = Steps()
    run(make_trainer, CyclicBatchSize(at_peak=1, at_trough=4), watch=watch)
    designed, gathered = [], 0
    for batch, part in enumerate(rho()):
        gathered += 1
        if gathered >= round(4 - 3 * part) or batch in (19, 39, 79):
            designed.append(batch)
            gathered = 0
    # The rate of batch 0 is 0, so that a step there changes nothing.
    assert watch.moved == [batch for batch in designed if batch != 0]
    assert {19, 39, 79} <= set(watch.moved)
    assert len(designed) < 60


def test_microbatches_and_clipping_of_what_was_gathered(make_trainer):
    parts = [GradientClipping('norm', 1e-3), CyclicBatchSize(at_trough=4)]
    whole, halves = (
        run(make_trainer, copy.deepcopy(parts), model=linear_model(), device_train_microbatch_size=size)
        for size in (4, 2)
    )
    for a, b in zip(whole.state.model.parameters(), halves.state.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ('make', 'match'),
    [
        (lambda: CyclicMomentum(at_peak=1.0), 'CyclicMomentum: at_peak=1.0: a momentum is at least 0 and less than 1'),
        (lambda: CyclicWeightDecay(at_trough=-1), 'CyclicWeightDecay: at_trough=-1: a part'),
        (lambda: CyclicGradientClipping('norm', 0, 1), 'at_peak=0: a threshold is above 0'),
        (lambda: CyclicGradientClipping('norms', 1, 1), "clipping_type='norms': give 'norm'"),
        (lambda: CyclicBatchSize(at_trough=2.5), 'at_trough=2.5: batches per step must be a whole number'),  # type: ignore
        (lambda: CyclicBatchSize(at_peak=0), 'at_peak=0: batches per step'),
    ],
)
def test_refused_on_construction(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ('algorithms', 'changes', 'match'),
    [
        ([CyclicMomentum(), CyclicMomentum(0.5)], {}, 'CyclicMomentum and CyclicMomentum both drive the momentum'),
        (
            [CyclicGradientClipping('norm', 1, 1), GradientClipping('norm', 1.0)],
            {},
            'CyclicGradientClipping and GradientClipping both drive the gradient clipping',
        ),
        ([CyclicWeightDecay()], {'optimizer': lambda m: sgd(m, weight_decay=0)}, 'has weight_decay=0: set it above 0'),
        (
            [CyclicMomentum()],
            {'optimizer': lambda m: torch.optim.Adagrad(m.parameters(), 0.1)},
            'Adagrad has no momentum or betas',
        ),
        ([CyclicMomentum()], {'schedulers': ConstantScheduler(), 'callbacks': []}, 'ConstantScheduler does not have'),
        ([CyclicBatchSize(), GradientClipping('norm', 1.0)], {}, 'CyclicBatchSize before GradientClipping'),
        (
            [CyclicBatchSize()],
            {'schedulers': CyclicCosineScheduler('40sp'), 'max_duration': '120sp'},
            "with a schedule counted in 'sp', not in batches",
        ),
    ],
    ids=['momentum', 'clipping', 'no-decay', 'no-momentum', 'no-cycles', 'clipped-first', 'samples'],
)
def test_refused_before_the_first_batch(make_trainer, algorithms, changes, match):
    watch = Watch()
    with pytest.raises(ValueError, match=match):
        run(make_trainer, algorithms, watch=None if 'callbacks' in changes else watch, **changes)
    assert watch.seen == []


@pytest.mark.filterwarnings('ignore:SAM has known issues:UserWarning')
def test_an_optimizer_that_takes_every_batch_twice_is_refused(make_trainer):
    with pytest.raises(ValueError, match='CyclicBatchSize with SAM'):
        run(make_trainer, [CyclicBatchSize(), SAM()])


def test_from_a_recipe():
    overrides = ['progress_bar=false', 'algorithms.CyclicMomentum.at_trough=0.97', 'algorithms.CyclicBatchSize={}']
    trainer = build_trainer(load_recipe('quickstart/digits', overrides))
    assert [repr(algorithm) for algorithm in trainer.state.algorithms] == [
        'CyclicMomentum(at_peak=0.85, at_trough=0.97)',
        'CyclicBatchSize(at_peak=1, at_trough=4)',
    ]
    trainer.close()
    with pytest.raises(RecipeError, match="algorithms='CyclicMomentun'.*did you mean 'CyclicMomentum'"):
        build_trainer(load_recipe('quickstart/digits', ['algorithms.CyclicMomentun={}']))
    with pytest.raises(RecipeError, match='algorithms.CyclicMomentum: CyclicMomentum: at_peak=2'):
        build_trainer(load_recipe('quickstart/digits', ['algorithms.CyclicMomentum.at_peak=2']))
