"""ScheduleFree in real Trainers on the CPU: the package's own two modes, kept exactly."""

from pathlib import Path

import pytest
import torch
from composer import Callback
from composer.algorithms import EMA
from composer.callbacks import CheckpointSaver
from composer.core import State
from composer.loggers import Logger

from composer_clr import AnytimeScheduler, ParetoSnapshot, ScheduleFree, TradeoffCurve
from tests.conftest import classifier, loader
from tests.helpers.averaged_runs import Recorder, points, with_dropout

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
        schedulers=scheduler(),
        callbacks=[ScheduleFree(), ParetoSnapshot(folder=folder), recorder, *callbacks],
        **changes,
    )
    trainer.fit()
    return trainer, recorder


def saved(folder: str, name: str | None) -> dict[str, torch.Tensor]:
    return torch.load(Path(folder) / str(name), weights_only=True)['state']['model']


def slow_sgd(batches: int) -> dict[int, list[torch.Tensor]]:
    """Schedule-free SGD by its three sequences, in 64 bits, and the average after every batch."""
    model = classifier().double()
    options = OPTIMIZERS['SGDScheduleFree']
    beta, decay = options['momentum'], options['weight_decay']
    x = [p.detach().clone() for p in model.parameters()]
    z = [p.clone() for p in x]
    squares, averages = 0.0, {}
    data = list(loader(40)) * (batches // 10)
    for batch, (inputs, labels) in enumerate(data):
        # Batch k trains at the rate of time k - 1, as all of Composer's schedulers have it; 10 batches of warmup.
        rate = options['lr'] * min(max(batch - 1, 0) / 10, 1.0)
        y = [(1 - beta) * b + beta * a for a, b in zip(x, z, strict=True)]
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), y, strict=True):
                parameter.copy_(value)
        model.train()
        loss = torch.nn.functional.cross_entropy(model.module(inputs.double()), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        z = [b - rate * (g + decay * v) for b, g, v in zip(z, gradients, y, strict=True)]
        squares += rate**2
        share = rate**2 / squares if squares else 0.0
        x = [(1 - share) * a + share * b for a, b in zip(x, z, strict=True)]
        averages[batch + 1] = x
    return averages


def test_the_points_are_the_averages_of_the_paper(make_trainer):
    trained(make_trainer, 'out')
    averages = slow_sgd(80)
    for point in points('out'):
        weights = saved('out', point.checkpoint)
        for (name, _), wanted in zip(classifier().named_parameters(), averages[point.batch], strict=True):
            assert torch.allclose(weights[name].double(), wanted, atol=2e-5), (point.batch, name)


def test_statistics_are_of_the_average(make_trainer):
    trainer, _ = trained(make_trainer, 'out')
    inputs = torch.cat([x for x, _ in loader(40)])
    for weights in (saved('out', points('out')[-1].checkpoint), trainer.state.model.state_dict()):
        hidden = inputs @ weights['module.0.weight'].T + weights['module.0.bias']
        assert torch.allclose(weights['module.1.running_mean'], hidden.mean(0), atol=1e-5)


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_evaluation_and_checkpoints_leave_training_as_it_is(make_trainer, optimizer):
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


class Stop(Exception):
    pass


class StopAt(Callback):
    def __init__(self, batch: int):
        self.batch = batch

    def batch_start(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value == self.batch:
            raise Stop


@pytest.mark.filterwarnings(
    'ignore:No batches were trained',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before',
    'ignore:StopAt is not in the state_dict',
)
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
@pytest.mark.parametrize('stop', [20, 36], ids=lambda stop: f'at-batch-{stop}')
def test_resumed_bit_for_bit(make_trainer, optimizer, stop):
    arguments = {'optimizer': optimizer, 'eval_interval': '6ba'}
    saving = {'save_interval': '1ba', 'save_num_checkpoints_to_keep': -1}
    whole, all_of_it = trained(make_trainer, 'whole', save_folder='one', model=with_dropout(), **saving, **arguments)
    with pytest.raises(Stop):
        trained(make_trainer, 'part', StopAt(stop), save_folder='own', model=with_dropout(), **saving, **arguments)
    checkpoint = next(Path('own').glob(f'ep*-ba{stop}-rank0.pt'))
    # The network in a checkpoint is the average: what the optimizer's own eval() gives.
    held = torch.load(checkpoint, weights_only=False)['state']
    assert set(held['callbacks']['ScheduleFree']) == {'training'}
    rest_trainer, rest = trained(
        make_trainer,
        'part',
        load_path=str(checkpoint),
        save_folder='again',
        model=with_dropout(),
        **saving,
        **arguments,
    )
    assert all_of_it.losses[stop:] == rest.losses
    assert [p.metrics for p in points('whole')] == [p.metrics for p in points('part')]
    a, b = whole.state.model.state_dict(), rest_trainer.state.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_holds_the_average(make_trainer):
    trainer, _ = trained(make_trainer, 'out', save_folder='own', save_interval='40ba', save_num_checkpoints_to_keep=-1)
    checkpoint = next(Path('own').glob('ep*-ba40-rank0.pt'))
    held = torch.load(checkpoint, weights_only=False)['state']['model']
    point = saved('out', points('out')[1].checkpoint)
    assert all(torch.equal(held[name], point[name]) for name, _ in trainer.state.model.named_parameters())


def test_the_kind(make_trainer):
    trained(make_trainer, 'out')
    assert TradeoffCurve.read('out').run.kind == 'schedule-free'


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
        ({'algorithms': EMA(half_life='10ba')}, 'ScheduleFree and EMA both put other weights'),
        ({'eval_dataloader': None}, 'nothing to evaluate'),
        ({}, 'goes with SGDScheduleFree or AdamWScheduleFree, and not with SGD'),
        ({'callbacks': [CheckpointSaver('own'), ScheduleFree()]}, 'CheckpointSaver before ScheduleFree'),
    ],
)
def test_refused_before_the_first_batch(make_trainer, changes, match):
    if 'callbacks' in changes:
        model = classifier()
        changes = {'model': model, 'optimizers': schedulefree.SGDScheduleFree(model.parameters()), **changes}
    trainer = make_trainer(**{'schedulers': scheduler(), 'callbacks': [ScheduleFree()], **changes})
    with pytest.raises(ValueError, match=match) as raised:
        trainer.fit()
    assert '\n' not in str(raised.value)
    assert trainer.state.timestamp.batch == 0
