"""TroughAverage in real Trainers on the CPU, with dropout and MixUp, which draw from the random state."""

import re
from typing import Any

import pytest
import torch
from composer import Callback, Evaluator
from composer.algorithms import EMA
from composer.core import State
from composer.loggers import Logger
from composer.models import ComposerClassifier
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from composer_clr import InCycles, ParetoSnapshot, TroughAverage
from composer_clr.averaging import trough_weights
from composer_clr.schedule.averages import DECAYS
from tests.helpers.averaged_runs import assert_refused, interrupted, points, slow_average, trained, with_dropout
from tests.helpers.averaged_runs import saved as weights_of
from tests.helpers.fake_clock import FakeClock
from tests.helpers.merging import merging_shares
from tests.helpers.recorded_runs import Recorder, doubling
from tests.helpers.trainers import loader

ACCURACY = 'eval/MulticlassAccuracy'

# MixUp's two shares of a label add up to one but for rounding.
pytestmark = pytest.mark.filterwarnings('ignore:Some targets have less than 1 total probability')


def test_each_point_has_its_metrics_beside_those_of_the_run_without(make_trainer):
    trained(make_trainer, 'plain')
    trained(make_trainer, 'averaged', TroughAverage(window=1.0, half_life=0.5, save_weights=True, bn_batches=3))
    for before, after in zip(points('plain'), points('averaged'), strict=True):
        assert before.metrics.items() <= after.metrics.items()
        assert set(after.metrics) - set(before.metrics) == {f'averaged/{name}' for name in before.metrics}
        assert (before.batch, before.lr, before.cycle) == (after.batch, after.lr, after.cycle)


@pytest.mark.parametrize(
    ('average', 'windows', 'half_lives'),
    [
        ({'window': '5ba'}, [range(15, 21), range(35, 41)], [None, None]),
        ({'window': 1.0}, [range(10, 21), range(21, 41)], [None, None]),
        ({'window': '1ep', 'half_life': 0.1}, [range(10, 21), range(30, 41)], [1.0, 2.0]),
    ],
    ids=['window-in-batches', 'whole-cycle', 'exponential'],
)
def test_the_average_is_that_of_the_formula_and_its_metrics_are_its_own(make_trainer, average, windows, half_lives):
    _, recorder = trained(make_trainer, 'out', TroughAverage(**average, save_weights=True), max_duration='4ep')
    for point, window, half_life in zip(points('out'), windows, half_lives, strict=True):
        shares = {t: 1.0 if half_life is None else 2.0 ** (-(window[-1] - t) / half_life) for t in window}
        wanted = slow_average(recorder.weights, shares)
        saved = weights_of('out', f'cycle{point.cycle}-ba{point.batch}-averaged.pt')
        for name, value in wanted.items():
            assert torch.allclose(saved[name].double(), value, atol=1e-6), name
        # By hand: the saved network over the evaluation set.
        network = with_dropout()
        network.load_state_dict(saved)
        network.eval()
        with torch.no_grad():
            right = sum(int((network((x, y)).argmax(1) == y).sum()) for x, y in loader(40, 20, seed=1))
        assert point.metrics[f'averaged/{ACCURACY}'] == pytest.approx(right / 40, abs=1e-6)
        plain = weights_of('out', point.checkpoint)
        assert not torch.equal(plain['module.0.weight'], saved['module.0.weight'])


def test_the_average_that_stands_for_a_decay(make_trainer):
    average = TroughAverage(window='5ba', decay='1-sqrt', save_weights=True)
    _, recorder = trained(make_trainer, 'out', average, max_duration='4ep')
    for point, last in zip(points('out'), (20, 40), strict=True):
        # Six sets of weights, those at the window's start among them.
        shares = dict(zip(range(last - 5, last + 1), merging_shares(DECAYS['1-sqrt'], 6), strict=True))
        saved = weights_of('out', f'cycle{point.cycle}-ba{point.batch}-averaged.pt')
        for name, wanted in slow_average(recorder.weights, shares).items():
            assert torch.allclose(saved[name].double(), wanted, atol=1e-6), name


def test_statistics_are_those_of_the_training_images_under_the_average(make_trainer):
    trained(
        make_trainer, 'out', TroughAverage(window='5ba', save_weights=True), train_dataloader=loader(40), algorithms=[]
    )
    saved = weights_of('out', 'cycle2-ba80-averaged.pt')
    inputs = torch.cat([x for x, _ in loader(40)])
    hidden = inputs @ saved['module.0.weight'].T + saved['module.0.bias']
    # The mean of the means of equal batches is the mean of all, in whatever order they come.
    assert torch.allclose(saved['module.1.running_mean'], hidden.mean(0), atol=1e-5)
    assert int(saved['module.1.num_batches_tracked']) == 10
    plain = weights_of('out', 'cycle2-ba80.pt')
    assert not torch.allclose(saved['module.1.running_mean'], plain['module.1.running_mean'], atol=1e-5)


def test_without_new_statistics_those_of_training_stay(make_trainer):
    trained(make_trainer, 'out', TroughAverage(bn_batches=0, save_weights=True))
    averaged, plain = (weights_of('out', f'cycle2-ba80{suffix}.pt') for suffix in ('-averaged', ''))
    assert torch.equal(averaged['module.1.running_mean'], plain['module.1.running_mean'])


class Frozen(torch.nn.Module):
    """A network whose batch norm stays in evaluation mode in training, as in fine-tuning."""

    def __init__(self):
        super().__init__()
        self.net = with_dropout().module
        self.norm: Any = self.net[1]  # type: ignore[index]

    def forward(self, x):
        return self.net(x)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


def test_layers_in_evaluation_mode_in_training_keep_their_statistics(make_trainer):
    network = Frozen()
    network.norm.running_var.fill_(4.0)
    model = ComposerClassifier(network, num_classes=2)
    trained(make_trainer, 'out', TroughAverage(window=1e-6, save_weights=True), model=model)
    saved = weights_of('out', 'cycle0-ba20-averaged.pt')
    assert torch.equal(saved['module.net.1.running_var'], torch.full((8,), 4.0))
    for point in points('out'):  # of one batch, the average is the weights in training
        assert point.metrics[ACCURACY] == point.metrics[f'averaged/{ACCURACY}']


class Moved(Callback):
    """Moves the statistics of training away from those of the images."""

    def batch_end(self, state: State, logger: Logger) -> None:
        layer: Any = state.model.module[1]  # type: ignore[index]
        layer.running_mean.fill_(50.0)
        layer.num_batches_tracked.fill_(1000)


def test_statistics_far_from_those_of_training_are_a_warning(make_trainer):
    with pytest.warns(UserWarning, match='far from those of training') as warned:
        trained(make_trainer, 'out', Moved(), TroughAverage(window='5ba'))
    (message,) = [str(one.message) for one in warned if 'far from' in str(one.message)]  # once, for three troughs
    assert re.search(r'\(module\.1: running mean -?\d\S*, and 50 in training\)', message)


def test_an_evaluation_asked_for_within_training_has_no_average(make_trainer):
    class Asks(Callback):
        def batch_end(self, state: State, logger: Logger) -> None:
            if state.timestamp.batch == 13:
                trainer.eval()

    trainer = make_trainer(schedulers=doubling(), callbacks=[TroughAverage(), Asks()])
    with pytest.raises(ValueError, match="evaluator 'averaged/eval' has weights at a trough alone: call eval"):
        trainer.fit()


@pytest.mark.filterwarnings(
    # Composer's, of a checkpoint made at an epoch's last batch, and of one made before the first evaluation.
    'ignore:No batches were trained',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before',
)
@pytest.mark.parametrize('stop', [pytest.param(17, marks=pytest.mark.slow), 30, 36])
def test_resumed_exactly_within_a_window_and_outside(make_trainer, stop):
    shares = {'decay': '1-sqrt'} if stop == 36 else {'half_life': '3ba'}
    average = {'window': '8ba', 'save_weights': True, **shares}
    short = {'max_duration': '4ep'}
    _, whole = trained(make_trainer, 'whole', TroughAverage(**average), **short)
    checkpoint = interrupted(trained, make_trainer, 'part', stop, TroughAverage(**average), **short)
    assert torch.load(checkpoint, weights_only=False)['state']['callbacks']['TroughAverage'].keys() == (
        {'averages', 'average'} if stop in (17, 36) else set()
    )
    _, rest = trained(make_trainer, 'part', TroughAverage(**average), load_path=checkpoint, **short)
    assert whole.losses[stop:] == rest.losses
    assert [p.metrics for p in points('whole')] == [p.metrics for p in points('part')]
    a, b = (weights_of(folder, 'cycle1-ba40-averaged.pt') for folder in ('whole', 'part'))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_evaluation_is_in_no_training_time(make_trainer, monkeypatch):
    clock = FakeClock(monkeypatch, batch_s=1, evaluation_s=10)
    clock.takes(trough_weights, 'measure_statistics', 100)
    trainer, _ = trained(make_trainer, 'out', TroughAverage(), max_duration='4ep')
    # Statistics, and an evaluation of each set of weights.
    times = [(point.wall_clock_train_s, point.wall_clock_total_s) for point in points('out')]
    assert times == [(20, 20 + 120), (40, 40 + 240)]
    assert trainer.state.timestamp.total_wct.total_seconds() == 40


def test_each_evaluator_has_a_second_one_that_runs_at_troughs_alone(make_trainer):
    evaluators = [
        Evaluator(label='a', dataloader=loader(40, seed=1), eval_interval='1ep'),
        Evaluator(label='b', dataloader=loader(40, seed=2), eval_interval=0, metric_names=['MulticlassAccuracy']),
    ]
    snapshot = ParetoSnapshot(folder='out', metrics=['a/MulticlassAccuracy', 'b/MulticlassAccuracy'])
    callbacks = [TroughAverage(), snapshot, recorder := Recorder()]
    make_trainer(schedulers=doubling(), callbacks=callbacks, eval_dataloader=evaluators, max_duration='4ep').fit()
    assert [(batch, label) for batch, label in recorder.evaluations if label.startswith('averaged')] == [
        (batch, f'averaged/{label}') for batch in (20, 40) for label in ('a', 'b')
    ]
    assert [batch for batch, label in recorder.evaluations if label == 'a'] == [10, 20, 30, 40]
    names = [f'{prefix}{label}/MulticlassAccuracy' for prefix in ('', 'averaged/') for label in ('a', 'b')]
    assert list(points('out')[0].metrics) == names


class Endless(IterableDataset):
    def __iter__(self):
        return iter(TensorDataset(torch.randn(40, 4), torch.zeros(40).long()))


@pytest.mark.parametrize(
    ('average', 'changes', 'match'),
    [
        ({'window': '11ba'}, {}, r"window='11ba' is longer than cycle 0, which lasts '1ep': .* at most '1ep'"),
        ({'window': '40sp'}, {}, "window='40sp' cannot be counted in 'ba'"),
        ({}, {'algorithms': InCycles(EMA(half_life='10ba'))}, 'TroughAverage and EMA both evaluate weights'),
        ({}, {'eval_dataloader': None}, 'nothing to evaluate'),
        ({}, {'train_dataloader': DataLoader(Endless(), 4), 'train_subset_num_batches': 10}, 'by index'),
        ({'save_weights': True}, {'callbacks': []}, 'give the Trainer one'),
        ({}, {'callbacks': [TroughAverage()]}, 'TroughAverage and TroughAverage both evaluate weights'),
    ],
)
def test_refused_before_the_first_batch(make_trainer, average, changes, match):
    callbacks = changes.pop('callbacks', [ParetoSnapshot(folder='out')])
    trainer = make_trainer(**{'schedulers': doubling(), 'callbacks': [TroughAverage(**average), *callbacks], **changes})
    assert_refused(trainer, match)


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'window': 1.5}, 'window=1.5: a fraction of the cycle is above 0 and at most 1'),
        ({'window': '0ba'}, "window='0ba': it must be above 0"),
        ({'window': '0.1dur'}, "window='0.1dur': give a time such as 2ep, or a fraction of the cycle"),
        ({'half_life': -1.0}, 'half_life=-1.0: a fraction of the cycle is above 0'),
        ({'window': 'long'}, "window='long' is not a time"),
        ({'decay': 'sine'}, "decay='sine': unknown decay"),
        ({'decay': 'cosine', 'half_life': 0.5}, "half_life=0.5 and decay='cosine' are two ways"),
        ({'bn_batches': 1.5}, 'bn_batches=1.5'),
    ],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        TroughAverage(**arguments)
