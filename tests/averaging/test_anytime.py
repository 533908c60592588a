"""AnytimeAverage in real Trainers on the CPU, with dropout and MixUp, which draw from the random state."""

from pathlib import Path
from typing import Any

import pytest
import torch
from composer import Callback
from composer.algorithms import EMA, SWA, MixUp, ProgressiveResizing
from composer.core import Evaluator, Event, State
from composer.loggers import Logger
from composer.optim import ConstantScheduler, ConstantWithWarmupScheduler, CosineAnnealingScheduler

from composer_clr import AnytimeAverage, AnytimeScheduler, InCycles, ParetoSnapshot, TradeoffCurve, TroughAverage
from composer_clr.averaging import trough_weights
from composer_clr.schedule.averages import DECAYS
from tests.helpers.averaged_runs import (
    Recorder,
    assert_refused,
    checkpoint_at,
    interrupted,
    jittered_loader,
    points,
    same,
    saved,
    saving,
    slow_average,
    trained,
    with_dropout,
)
from tests.helpers.fake_clock import FakeClock
from tests.helpers.recorded_runs import Recorder as Seen
from tests.helpers.recorded_runs import doubling
from tests.helpers.trainers import classifier, loader, trainers

ACCURACY = 'eval/MulticlassAccuracy'
METRICS = ['CrossEntropy', 'MulticlassAccuracy']

# MixUp's two shares of a label add up to one but for rounding.
pytestmark = pytest.mark.filterwarnings('ignore:Some targets have less than 1 total probability')


def scheduler(*marks: int, **arguments) -> AnytimeScheduler:
    return AnytimeScheduler([f'{mark}ba' for mark in marks or (20, 40, 80)], '1ep', **arguments)


def anytime(make_trainer, folder: str = 'out', *marks: int, changes=None, **average):
    return trained(
        make_trainer, folder, AnytimeAverage(**average), **{'schedulers': scheduler(*marks), **(changes or {})}
    )


def plain_composer(make_trainer, **changes):
    """Trains with Composer's own constant rate and a recorder, without any part of this package."""
    recorder, model = Recorder(), with_dropout()
    arguments = {
        'model': model,
        'train_dataloader': jittered_loader(),
        'optimizers': torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        'schedulers': ConstantWithWarmupScheduler('1ep'),
        'algorithms': MixUp(),
        'callbacks': [recorder],
        **changes,
    }
    trainer = make_trainer(**arguments)
    trainer.fit()
    return trainer, recorder


def test_one_over_the_square_root(make_trainer):
    anytime(make_trainer, changes={'schedulers': scheduler(rate='1/sqrt', a='20ba')})
    run = TradeoffCurve.read('out').run
    assert (run.kind, run.schedule['average']) == ('anytime-falling', {'window': 0.25, 'decay': 'linear'})
    # The rate of the next batch: the multiplier at 20, 40 and 80 batches, of which 10 are warmup.
    rates = [0.1 * (20 / (t - 10 + 20)) ** 0.5 for t in (19, 39, 79)]
    assert [point.lr for point in points('out')] == pytest.approx(rates)


@pytest.mark.parametrize(('window', 'decay'), [(0.25, 'linear'), (0.6, 'cosine'), (0.25, '1-sqrt')])
def test_the_point_is_the_average_of_every_iterate(make_trainer, decay, window):
    _, recorder = anytime(make_trainer, 'out', 20, 40, changes={'max_duration': '4ep'}, window=window, decay=decay)
    for point in points('out'):
        count = round(window * point.batch)
        d = DECAYS[decay]
        shares = {point.batch - count + j: d((j - 1) / count) - d(j / count) for j in range(1, count + 1)}
        assert_is_average(point, slow_average(recorder.weights, shares))


def test_the_point_of_a_half_life(make_trainer):
    _, recorder = anytime(make_trainer, 'out', 20, 40, changes={'max_duration': '4ep'}, half_life=0.1)
    for point in points('out'):
        shares = dict.fromkeys(range(1, point.batch + 1), 1.0)
        for step in range(2, point.batch + 1):
            for earlier in range(1, step):
                shares[earlier] *= 0.5 ** (1 / (0.1 * step))
        assert_is_average(point, slow_average(recorder.weights, shares))


def assert_is_average(point, wanted: dict[str, torch.Tensor]) -> None:
    weights = saved('out', point.checkpoint)
    for name, value in wanted.items():
        assert torch.allclose(weights[name].double(), value, atol=1e-6), name
    network = with_dropout()
    network.load_state_dict(weights)
    network.eval()
    with torch.no_grad():
        right = sum(int((network((x, y)).argmax(1) == y).sum()) for x, y in loader(40, 20, seed=1))
    assert point.metrics[ACCURACY] == pytest.approx(right / 40, abs=1e-6)


def test_the_weights_in_training_are_the_second_set_of_every_evaluator(make_trainer):
    evaluators = [Evaluator(label=label, dataloader=loader(40, seed=n)) for n, label in enumerate('ab')]
    recorder = Seen()
    trained(
        make_trainer,
        'out',
        AnytimeAverage(),
        recorder,
        schedulers=scheduler(),
        eval_dataloader=evaluators,
        eval_interval='3ep',
    )
    names = [f'{prefix}{label}/{name}' for prefix in ('', 'plain/') for label in 'ab' for name in METRICS]
    assert all(sorted(point.metrics) == names for point in points('out'))
    # The averages at marks alone, the weights in training at the user's own interval too.
    for label in 'ab':
        assert [batch for batch, of in recorder.evaluations if of == label] == [20, 40, 80]
        assert [batch for batch, of in recorder.evaluations if of == f'plain/{label}'] == [20, 30, 40, 60, 80]


def test_the_second_set_is_what_a_run_without_averages_measures(make_trainer):
    trained(make_trainer, 'without', schedulers=scheduler(20), max_duration='20ba')
    anytime(make_trainer, 'out', 20, changes={'max_duration': '20ba'})
    # After it, the run without has drawn random numbers for its evaluation.
    without, point = points('without')[0], points('out')[0]
    assert {f'plain/{name}': value for name, value in without.metrics.items()}.items() <= point.metrics.items()
    assert point.metrics[ACCURACY] != point.metrics[f'plain/{ACCURACY}']


def test_whichever_callback_comes_first_evaluation_is_in_no_training_time(make_trainer, monkeypatch):
    clock = FakeClock(monkeypatch, batch_s=1, evaluation_s=10)
    clock.takes(trough_weights, 'measure_statistics', 100)
    for order, folder in ((1, 'before'), (-1, 'after')):
        callbacks = [AnytimeAverage(), ParetoSnapshot(folder=folder)][::order]
        make_trainer(schedulers=scheduler(20, 40), callbacks=callbacks, max_duration='40ba').fit()
        times = [(point.wall_clock_train_s, point.wall_clock_total_s) for point in points(folder)]
        # Statistics, and an evaluation of each set of weights.
        assert times == [(20, 20 + 120), (40, 40 + 240)]
    for one, other in zip(points('before'), points('after'), strict=True):
        assert one.metrics == other.metrics
        assert same(saved('before', one.checkpoint), saved('after', other.checkpoint))


@pytest.mark.filterwarnings(
    # Composer's, of a checkpoint made at an epoch's last batch, and of one made before the first evaluation.
    'ignore:No batches were trained',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before',
)
@pytest.mark.parametrize(
    ('stop', 'average'),
    [pytest.param(17, {'window': 0.5}, marks=pytest.mark.slow), (20, {'half_life': 0.25}), (36, {'window': 0.5})],
)
def test_resumed_across_a_mark_bit_for_bit(make_trainer, stop, average):
    short: dict[str, Any] = {'schedulers': scheduler(20, 40), 'max_duration': '4ep'}
    _, whole = anytime(make_trainer, 'whole', changes=short, **average)
    checkpoint = interrupted(trained, make_trainer, 'part', stop, AnytimeAverage(**average), **short)
    _, rest = anytime(make_trainer, 'part', changes={**short, 'load_path': checkpoint}, **average)
    assert whole.losses[stop:] == rest.losses
    assert [p.metrics for p in points('whole')] == [p.metrics for p in points('part')]
    for point in points('whole'):
        assert same(saved('whole', point.checkpoint), saved('part', point.checkpoint))


def test_with_marks_given_beside_composers_scheduler_or_none(make_trainer):
    marks, average = ['20ba', '40ba'], AnytimeAverage(scheduler=['20ba', '4ep'])
    plain_composer(make_trainer, callbacks=[average, ParetoSnapshot(marks, folder='warmup')], max_duration='4ep')
    anytime(make_trainer, 'alone', 20, 40, changes={'max_duration': '4ep'})
    for folder, schedulers in (('none', None), ('constant', ConstantScheduler())):
        callbacks = [AnytimeAverage(), ParetoSnapshot(marks, folder=folder)]
        make_trainer(schedulers=schedulers, callbacks=callbacks, max_duration='4ep').fit()
    for one, other in (('warmup', 'alone'), ('none', 'constant')):
        assert TradeoffCurve.read(one).run.kind == TradeoffCurve.read(other).run.kind == 'anytime'
        assert [point.metrics for point in points(one)] == [point.metrics for point in points(other)]


@pytest.mark.parametrize(
    ('changes', 'kind'),
    [
        ({}, 'anytime-plain'),
        ({'schedulers': scheduler(15, 20, rate='1/sqrt', a='20ba')}, 'anytime-falling-plain'),
        ({'schedulers': None, 'callbacks': [ParetoSnapshot(['10ba', '20ba'], folder='out')]}, 'marked'),
    ],
)
def test_the_weights_in_training_are_another_kind(make_trainer, changes, kind):
    arguments = {'schedulers': scheduler(15, 20), 'callbacks': [ParetoSnapshot(folder='out')], 'max_duration': '20ba'}
    make_trainer(**{**arguments, **changes}).fit()
    assert TradeoffCurve.read('out').run.kind == kind


class Interrupt(Callback):
    """Stops training once, as Ctrl+C does."""

    def __init__(self, event: Event, label: str | None = None, batch: int = 40):
        self.event, self.label, self.batch, self.done = event, label, batch, False

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        here = (
            event == self.event and state.timestamp.batch == self.batch and self.label in (None, state.dataloader_label)
        )
        if here and not self.done:
            self.done = True
            raise KeyboardInterrupt


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> list[dict[str, float]]:
    """The metrics of a run that is fitted once."""
    with trainers(tmp_path_factory.mktemp('undisturbed')) as make:
        callbacks = [AnytimeAverage(window=0.5), ParetoSnapshot(folder='out')]
        make(schedulers=scheduler(20, 30, 40), callbacks=callbacks, max_duration='40ba').fit()
        return [point.metrics for point in points('out')]


def test_fitting_in_two_steps(make_trainer, undisturbed):
    callbacks = [AnytimeAverage(window=0.5), ParetoSnapshot(folder='out')]
    trainer = make_trainer(schedulers=scheduler(20, 30, 40), callbacks=callbacks, max_duration=None)
    with pytest.warns(UserWarning, match='stops between two marks'):
        trainer.fit(duration='25ba')
    trainer.fit(duration='15ba')
    assert [point.metrics for point in points('out')] == undisturbed


@pytest.mark.filterwarnings('ignore:No batches were trained')
@pytest.mark.parametrize(
    ('event', 'interval'), [(Event.BATCH_START, 0), (Event.EVAL_AFTER_ALL, '5ba'), (Event.BATCH_CHECKPOINT, '5ba')]
)
def test_fitted_again_after_an_interruption(make_trainer, undisturbed, event, interval):
    callbacks = [AnytimeAverage(window=0.5), ParetoSnapshot(folder='out'), Interrupt(event, batch=30)]
    trainer = make_trainer(
        schedulers=scheduler(20, 30, 40), callbacks=callbacks, eval_interval=interval, max_duration='40ba'
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    trainer.fit()
    assert [point.metrics for point in points('out')] == undisturbed
    assert [e.label for e in trainer.state.evaluators] == ['eval']


@pytest.mark.filterwarnings('ignore:No batches were trained')
def test_interrupted_while_the_network_holds_the_average(make_trainer):
    average = AnytimeAverage(window=0.5)
    train, evaluation = loader(40), loader(40, 20, seed=1)
    trainer = make_trainer(
        schedulers=scheduler(),
        callbacks=[average, recorder := Recorder(), Interrupt(Event.EVAL_BATCH_END, 'eval')],
        train_dataloader=train,
        eval_dataloader=evaluation,
        eval_interval='5ba',
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    trainer.fit(train_dataloader=train)
    _, without = plain_composer(
        make_trainer,
        model=(model := classifier()),
        train_dataloader=loader(40),
        algorithms=[],
        optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
    )
    assert recorder.losses == without.losses


def test_a_batch_that_passes_two_marks(make_trainer):
    marks = AnytimeScheduler(['160sp', '162sp', '163sp', '320sp'])
    _, recorder = anytime(make_trainer, changes={'schedulers': marks, 'max_duration': '320sp'}, window=0.5)
    two = points('out')[1:3]
    assert [(point.cycle, point.batch) for point in two] == [(1, 41), (2, 41)]
    # The average of the last one: from sample 81 or 82 on, so the batch that ends at 84 counts by its part.
    shares = {21: (84 - 163 + round(0.5 * 163)) / 4, **dict.fromkeys(range(22, 41), 1.0), 41: 3 / 4}
    for point in two:
        assert_is_average(point, slow_average(recorder.weights, shares))


def test_evaluated_by_hand_between_marks(make_trainer):
    losses = []

    class ByHand(Callback):
        def batch_end(self, state: State, logger: Logger) -> None:
            if state.timestamp.batch == 30:
                trainer.eval()
                losses.append(float(state.eval_metrics['eval']['CrossEntropy'].compute()))

    callbacks = [AnytimeAverage(), ParetoSnapshot(folder='out'), ByHand()]
    trainer = make_trainer(schedulers=scheduler(), callbacks=callbacks)
    trainer.fit()
    other = make_trainer(schedulers=scheduler(20, 30), callbacks=ParetoSnapshot(folder='plain'), max_duration='30ba')
    other.fit()
    assert losses == [points('plain')[-1].metrics['eval/CrossEntropy']]


def test_one_callback_in_one_trainer_after_another(make_trainer):
    """What is kept is the checkpoint's, and not what an earlier Trainer has left in the callback."""
    average = AnytimeAverage(window=0.5)
    short: dict[str, Any] = {'schedulers': scheduler(20, 40), 'max_duration': '4ep'}
    trainer, whole = trained(make_trainer, 'whole', average, **short, **saving(36))
    trainer.close()
    checkpoint = checkpoint_at(36)
    trainer, _ = trained(make_trainer, 'other', average, **short)
    trainer.close()
    _, rest = trained(make_trainer, 'part', average, **short, load_path=checkpoint)
    assert whole.losses[36:] == rest.losses
    assert same(saved('whole', points('whole')[1].checkpoint), saved('part', points('part')[1].checkpoint))


@pytest.mark.filterwarnings(
    'ignore:the run continues at batch 36 under other settings',
    'ignore:resumed with the settings of the checkpoint',
    'ignore:folder=',
)
def test_an_average_of_another_kind_is_not_continued(make_trainer):
    arguments = {'model': with_dropout(), 'train_dataloader': jittered_loader(), 'algorithms': MixUp()}
    anytime(make_trainer, 'out', changes={**saving(36), 'max_duration': '40ba'}, window=0.5)
    recorded, lost = (
        ParetoSnapshot(folder='out'),
        r'the average at the mark \S+ is over .* does not hold its part before',
    )
    for average, snapshots, match in (
        ({'window': 0.5, 'decay': '1-sqrt'}, [recorded], r"AnytimeAverage\.decay='linear', now '1-sqrt'"),
        ({'half_life': 0.5}, [recorded], r'AnytimeAverage\.half_life=None, now 0\.5'),
        ({'window': 0.4}, [recorded], r'AnytimeAverage\.window=0\.5, now 0\.4'),
        ({'window': 0.4}, [], lost),
        ({'window': 0.4}, [ParetoSnapshot(folder='out', on_change='continue')], lost),
    ):
        trainer = make_trainer(
            schedulers=scheduler(),
            callbacks=[AnytimeAverage(**average), *snapshots],  # type: ignore[arg-type]
            load_path=checkpoint_at(36),
            **arguments,
        )
        with pytest.raises(ValueError, match=match) as raised:
            trainer.fit()
        trainer.close()
        assert '\n' not in str(raised.value)
        assert trainer.state.timestamp.batch == 36
        # What later points there are stay where they are.
        assert [point.batch for point in points('out')] == [20, 40]
        assert not Path('out/curve-1.json').exists()


@pytest.mark.filterwarnings('ignore:SWA has known issues')
def test_beside_swa(make_trainer):
    trainer = make_trainer(schedulers=scheduler(), callbacks=[AnytimeAverage()], algorithms=SWA())
    assert_refused(trainer, 'AnytimeAverage and SWA both evaluate weights of their own')


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'algorithms': EMA(half_life='10ba')}, 'AnytimeAverage and EMA both evaluate weights of their own'),
        (
            {'callbacks': [AnytimeAverage(), ParetoSnapshot()], 'algorithms': InCycles(ProgressiveResizing())},
            'ProgressiveResizing follows cycles of the learning rate, of which a run with marks has none',
        ),
        ({'callbacks': [AnytimeAverage(), TroughAverage()]}, 'AnytimeAverage and TroughAverage both evaluate weights'),
        (
            {'callbacks': [AnytimeAverage(scheduler=['20ba', '80ba']), ParetoSnapshot()]},
            'AnytimeAverage.* has other troughs than ParetoSnapshot',
        ),
        ({'schedulers': doubling()}, 'does not decay, as that of CyclicCosineScheduler does: train with Anytime'),
        (
            {
                'schedulers': CosineAnnealingScheduler(),
                'callbacks': [AnytimeAverage(), ParetoSnapshot(['20ba', '80ba'])],
            },
            'does not decay, as that of CosineAnnealingScheduler does',
        ),
        (
            {'eval_dataloader': [Evaluator(label='plain/x', dataloader=loader(40))]},
            "evaluator 'plain/x': AnytimeAverage labels its own 'plain/...'",
        ),
    ],
)
def test_refused_before_the_first_batch(make_trainer, changes, match):
    trainer = make_trainer(**{'schedulers': scheduler(), 'callbacks': [AnytimeAverage()], **changes})
    assert_refused(trainer, match)


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [({'half_life': -1}, 'half_life=-1: must be a part of the time'), ({'device': 'moon'}, "device='moon': is not a")],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        AnytimeAverage(**arguments)
