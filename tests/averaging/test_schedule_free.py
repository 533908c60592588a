"""ScheduleFree in real Trainers on the CPU: the package's own two modes, kept exactly."""

import pytest
import torch
from composer import Callback
from composer.algorithms import EMA
from composer.callbacks import CheckpointSaver
from composer.core import State
from composer.loggers import Logger
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import AnytimeScheduler, CyclicCosineScheduler, ParetoSnapshot, ScheduleFree, TradeoffCurve
from tests.helpers.averaged_runs import (
    Recorder,
    assert_refused,
    checkpoint_at,
    interrupted,
    points,
    same,
    saved,
    saving,
    with_dropout,
)
from tests.helpers.trainers import classifier, loader

schedulefree = pytest.importorskip('schedulefree')
OPTIMIZERS = {
    'SGDScheduleFree': {'lr': 0.5, 'momentum': 0.9, 'weight_decay': 1e-3},
    'AdamWScheduleFree': {'lr': 0.02, 'weight_decay': 1e-2},
}


def scheduler() -> AnytimeScheduler:
    return AnytimeScheduler(['20ba', '40ba', '80ba'], '1ep')


def trained(make_trainer, folder: str, *callbacks, optimizer: str = 'SGDScheduleFree', model=None, **changes):
    recorder, model = Recorder(), model or classifier()
    trainer = make_trainer(
        model=model,
        optimizers=getattr(schedulefree, optimizer)(model.parameters(), **OPTIMIZERS[optimizer]),
        callbacks=[ScheduleFree(), ParetoSnapshot(folder=folder), recorder, *callbacks],
        **{'schedulers': scheduler(), **changes},
    )
    trainer.fit()
    return trainer, recorder


class Iterates(Callback):
    """x, y and z after every batch: y in training, x where the callback has just put it in for an evaluation."""

    def __init__(self):
        self.x, self.y, self.z = [], [], []

    def batch_end(self, state: State, logger: Logger) -> None:
        weights, kept = list(state.model.parameters()), state.optimizers[0].state
        self.y.append([p.detach().clone() for p in weights])
        self.z.append([kept[p]['z'].clone() for p in weights])

    def eval_end(self, state: State, logger: Logger) -> None:
        self.x.append([p.detach().clone() for p in state.model.parameters()])


def slow_iterates(optimizer: str, rates: list[float]) -> dict[str, list[list[torch.Tensor]]]:
    """The paper's three sequences, each by its own line, with a list of the rates of the batches.

    x_0 = z_0, y_t = (1 - b) z_t + b x_t, z_(t+1) = z_t - r_t (u_t + d y_t), x_(t+1) = (1 - c) x_t + c z_(t+1) with
    c = r^2 / sum of r^2. u_t is the gradient at y_t; for AdamW over the root of its unbiased second moment.
    """
    model, options = classifier().double(), {'betas': (0.9, 0.999), 'eps': 1e-8, **OPTIMIZERS[optimizer]}
    adam = optimizer == 'AdamWScheduleFree'
    beta, decay = options['betas'][0] if adam else options['momentum'], options['weight_decay']
    x = [p.detach().clone() for p in model.parameters()]
    z = [p.clone() for p in x]
    second = [torch.zeros_like(p) for p in x]
    kept, squares = {'x': [], 'y': [], 'z': []}, 0.0
    data = [batch for _ in range(len(rates) // 10) for batch in loader(40)]
    for t, (rate, (inputs, labels)) in enumerate(zip(rates, data, strict=True), start=1):
        y = [(1 - beta) * b + beta * a for a, b in zip(x, z, strict=True)]
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), y, strict=True):
                parameter.copy_(value)
        model.train()
        loss = torch.nn.functional.cross_entropy(model.module(inputs.double()), labels)
        steps = list(torch.autograd.grad(loss, list(model.parameters())))
        if adam:
            b2 = options['betas'][1]
            second = [b2 * v + (1 - b2) * g**2 for v, g in zip(second, steps, strict=True)]
            steps = [g / ((v / (1 - b2**t)) ** 0.5 + options['eps']) for g, v in zip(steps, second, strict=True)]
        z = [b - rate * (u + decay * v) for b, u, v in zip(z, steps, y, strict=True)]
        squares += rate**2
        share = rate**2 / squares if squares else 0.0
        x = [(1 - share) * a + share * b for a, b in zip(x, z, strict=True)]
        kept['x'].append(x)
        kept['y'].append([(1 - beta) * b + beta * a for a, b in zip(x, z, strict=True)])
        kept['z'].append(z)
    return kept


def doubled(batches) -> DataLoader:
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return DataLoader(TensorDataset(inputs.double(), labels), batches.batch_size)


@pytest.mark.parametrize(
    ('optimizer', 'warmup'), [('SGDScheduleFree', 'of-the-optimizer'), ('AdamWScheduleFree', 'of-the-schedule')]
)
def test_every_iterate_is_that_of_the_paper(make_trainer, optimizer, warmup):
    iterates, model, options = Iterates(), classifier().double(), dict(OPTIMIZERS[optimizer])
    if warmup == 'of-the-schedule':
        # Batch k trains at the rate of time k - 1, as all of Composer's schedulers have it.
        rates = [options['lr'] * min(max(t - 1, 0) / 10, 1.0) for t in range(40)]
        schedule = {'schedulers': AnytimeScheduler(['20ba', '40ba'], '1ep')}
    else:
        options['warmup_steps'] = 10
        rates = [options['lr'] * min((t + 1) / 10, 1.0) for t in range(40)]
        schedule = {}
    make_trainer(
        model=model,
        optimizers=getattr(schedulefree, optimizer)(model.parameters(), **options),
        callbacks=[ScheduleFree(), ParetoSnapshot(['20ba', '40ba'], folder='out'), iterates],
        train_dataloader=doubled(loader(40)),
        eval_dataloader=doubled(loader(40, 20, seed=1)),
        eval_interval='1ba',
        max_duration='4ep',
        **schedule,
    ).fit()
    slow = slow_iterates(optimizer, rates)
    for name, values in slow.items():
        for t, (one, other) in enumerate(zip(getattr(iterates, name), values, strict=True), start=1):
            for a, b in zip(one, other, strict=True):
                assert torch.allclose(a, b, atol=1e-8, rtol=0), (name, t)
    assert [point.batch for point in points('out')] == [20, 40]
    for point in points('out'):
        weights = saved('out', point.checkpoint)
        for (name, _), wanted in zip(model.named_parameters(), slow['x'][point.batch - 1], strict=True):
            assert torch.allclose(weights[name], wanted, atol=1e-8), (point.batch, name)


def test_statistics_are_of_the_average(make_trainer):
    trainer, _ = trained(make_trainer, 'out')
    inputs = torch.cat([x for x, _ in loader(40)])
    for weights in (saved('out', points('out')[-1].checkpoint), trainer.state.model.state_dict()):
        hidden = inputs @ weights['module.0.weight'].T + weights['module.0.bias']
        assert torch.allclose(weights['module.1.running_mean'], hidden.mean(0), atol=1e-5)


def test_evaluation_and_checkpoints_leave_training_as_it_is(make_trainer):
    optimizer = 'AdamWScheduleFree'
    _, evaluated = trained(
        make_trainer, 'a', optimizer=optimizer, eval_interval='3ba', save_folder='own', save_interval='7ba'
    )
    recorder, model = Recorder(), classifier()
    free = getattr(schedulefree, optimizer)(model.parameters(), **OPTIMIZERS[optimizer])
    free.train()
    make_trainer(model=model, optimizers=free, schedulers=scheduler(), callbacks=[recorder], eval_dataloader=None).fit()
    assert evaluated.losses == recorder.losses
    for a, b in zip(evaluated.weights, recorder.weights, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    free.eval()
    wanted = {name: p.detach() for name, p in model.named_parameters()}
    weights = saved('a', points('a')[-1].checkpoint)
    assert all(torch.equal(weights[name], value) for name, value in wanted.items())


@pytest.mark.filterwarnings(
    'ignore:No batches were trained',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before',
    'ignore:StopAfter is not in the state_dict',
)
@pytest.mark.parametrize(('stop', 'optimizer'), [(20, 'SGDScheduleFree'), (36, 'AdamWScheduleFree')])
def test_resumed_bit_for_bit(make_trainer, optimizer, stop):
    schedule = AnytimeScheduler(['20ba', '40ba'], '1ep')
    arguments = {'optimizer': optimizer, 'eval_interval': '6ba', 'schedulers': schedule, 'max_duration': '4ep'}
    whole, all_of_it = trained(
        make_trainer, 'whole', model=with_dropout(), **{**saving(stop), 'save_folder': 'one'}, **arguments
    )
    checkpoint = interrupted(trained, make_trainer, 'part', stop, model=with_dropout(), **arguments)
    # The network in a checkpoint is the average: what the optimizer's own eval() gives.
    state = torch.load(checkpoint, weights_only=False)['state']
    assert set(state['callbacks']['ScheduleFree']) == {'training'}
    resumed = {'load_path': checkpoint, **saving(stop), 'save_folder': 'again'}
    rest_trainer, rest = trained(make_trainer, 'part', model=with_dropout(), **resumed, **arguments)
    assert all_of_it.losses[stop:] == rest.losses
    assert [p.metrics for p in points('whole')] == [p.metrics for p in points('part')]
    assert same(whole.state.model.state_dict(), rest_trainer.state.model.state_dict())


def test_a_checkpoint_holds_the_average_also_by_a_saver_that_is_listed_first(make_trainer):
    model = classifier()
    free = schedulefree.SGDScheduleFree(model.parameters(), **OPTIMIZERS['SGDScheduleFree'])
    callbacks = [CheckpointSaver('own', save_interval='20ba'), ParetoSnapshot(folder='out'), ScheduleFree()]
    trainer = make_trainer(model=model, optimizers=free, schedulers=scheduler(), callbacks=callbacks)
    trainer.fit()
    average = torch.load(checkpoint_at(40), weights_only=False)['state']['model']
    point = saved('out', points('out')[1].checkpoint)
    assert all(torch.equal(average[name], point[name]) for name, _ in trainer.state.model.named_parameters())


@pytest.mark.parametrize(
    ('schedulers', 'kind'),
    [(scheduler(), 'schedule-free'), (CyclicCosineScheduler('1ep', 2, '1ep'), 'schedule-free-cyclic')],
)
def test_the_kind(make_trainer, schedulers, kind):
    trained(make_trainer, 'out', schedulers=schedulers)
    assert TradeoffCurve.read('out').run.kind == kind


def evaluated(trainer) -> float:
    trainer.eval()
    return float(trainer.state.eval_metrics['eval']['CrossEntropy'].compute())


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:No batches were trained')
def test_evaluated_before_and_after_training_and_out_of_a_checkpoint(make_trainer):
    model = classifier()
    free = schedulefree.SGDScheduleFree(model.parameters(), **OPTIMIZERS['SGDScheduleFree'])
    callbacks = [ScheduleFree(), ParetoSnapshot(folder='out'), recorder := Recorder()]
    trainer = make_trainer(model=model, optimizers=free, schedulers=scheduler(), callbacks=callbacks, **saving(20))
    untrained = evaluated(trainer)
    assert untrained == evaluated(make_trainer())
    trainer.fit()
    _, alone = trained(make_trainer, 'alone')
    assert recorder.losses == alone.losses
    loss = points('out')[-1].metrics['eval/CrossEntropy']
    assert evaluated(trainer) == loss
    for data in (loader(40), None):
        model = classifier()
        again = make_trainer(
            model=model,
            optimizers=schedulefree.SGDScheduleFree(model.parameters(), **OPTIMIZERS['SGDScheduleFree']),
            callbacks=[ScheduleFree()],
            train_dataloader=data,
            max_duration=None,
            load_path=checkpoint_at(80),
        )
        if data is not None:
            assert evaluated(again) == loss
        else:
            with pytest.raises(ValueError, match='give train_dataloader to the Trainer, or evaluate a snapshot'):
                again.eval()


def test_fitting_in_two_steps(make_trainer):
    trained(make_trainer, 'whole')
    model = classifier()
    trainer = make_trainer(
        model=model,
        optimizers=schedulefree.SGDScheduleFree(model.parameters(), **OPTIMIZERS['SGDScheduleFree']),
        schedulers=scheduler(),
        callbacks=[ScheduleFree(), ParetoSnapshot(folder='out')],
        max_duration=None,
    )
    with pytest.warns(UserWarning, match='stops between two marks'):
        trainer.fit(duration='3ep')
    trainer.fit(duration='5ep')
    assert [point.metrics for point in points('out')] == [point.metrics for point in points('whole')]


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'algorithms': EMA(half_life='10ba')}, 'ScheduleFree and EMA both evaluate weights'),
        ({}, 'goes with SGDScheduleFree or AdamWScheduleFree, and not with SGD'),
        ({'callbacks': [ParetoSnapshot()]}, 'SGDScheduleFree evaluates other weights than .* ScheduleFree\\(\\) too'),
    ],
)
def test_refused_before_the_first_batch(make_trainer, changes, match):
    if 'callbacks' in changes:
        model = classifier()
        changes = {'model': model, 'optimizers': schedulefree.SGDScheduleFree(model.parameters()), **changes}
    trainer = make_trainer(**{'schedulers': scheduler(), 'callbacks': [ScheduleFree()], **changes})
    assert_refused(trainer, match)
