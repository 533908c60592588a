"""ParetoSnapshot in real Trainers on the CPU: 10 batches an epoch, a network of 22 weights."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import composer.utils.checkpoint
import pytest
import torch
from composer import Callback
from composer.core import State
from composer.loggers import InMemoryLogger, Logger
from composer.optim import (
    ConstantScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    CosineAnnealingWithWarmupScheduler,
)

from composer_clr import CyclicCosineScheduler, TradeoffCurve
from composer_clr.recording import run_folder
from tests.helpers.fake_clock import FakeClock
from tests.helpers.recorded_runs import Recorder, curve, doubling, snapshot
from tests.helpers.trainers import trainers

ACCURACY = 'eval/MulticlassAccuracy'


class Reader(Callback):
    """Reads the file after every batch."""

    def __init__(self):
        self.texts: dict[int, str] = {}

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        self.texts[state.timestamp.batch.value] = Path('out/curve.json').read_text()


@dataclass
class Whole:
    """A run over three troughs, and what was seen of it."""

    folder: Path
    state: State
    curve: TradeoffCurve
    texts: dict[int, str]
    logged: InMemoryLogger

    def saved(self, point: int) -> dict[str, torch.Tensor]:
        path = self.folder / str(self.curve.points[point].checkpoint)
        return torch.load(path, weights_only=True)['state']['model']


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp('whole')
    reader, memory = Reader(), InMemoryLogger()
    with trainers(folder) as make:
        trainer = make(schedulers=doubling(), callbacks=[snapshot(), reader], loggers=memory)
        trainer.fit()
        yield Whole(folder / 'out', trainer.state, curve(folder / 'out'), reader.texts, memory)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_point_at_each_trough(whole):
    points = whole.curve.points
    assert [(p.cycle, p.epoch, p.batch, p.sample) for p in points] == [
        (0, 2.0, 20, 80),
        (1, 4.0, 40, 160),
        (2, 8.0, 80, 320),
    ]
    assert all(set(p.metrics) == {ACCURACY, 'eval/CrossEntropy'} == set(p.peak_metrics) for p in points)
    assert points[-1].metrics[ACCURACY] == float(whole.state.eval_metrics['eval']['MulticlassAccuracy'].compute())
    # The lowest rate of each cycle: one batch before its trough.
    assert points[1].lr == pytest.approx(0.5 * (1 + math.cos(math.pi * 19 / 20)) / 2)
    run = whole.curve.run
    assert (run.run_name, run.kind, run.method, run.seed, run.world_size) == ('run', 'cyclic', 'baseline', 17, 1)
    assert run.schedule['troughs'] == [20, 40, 80]
    assert (run.model, run.ended_at) == ('Sequential', None)


def test_the_file_is_whole_and_readable_after_every_trough(whole):
    points = {batch: json.loads(text)['points'] for batch, text in whole.texts.items()}
    assert {batch: len(points[batch]) for batch in (1, 19, 20, 39, 40, 80)} == {1: 0, 19: 0, 20: 1, 39: 1, 40: 2, 80: 3}
    assert points[80][0] == points[20][0], 'a point is never changed'
    assert sorted(p.name for p in whole.folder.iterdir()) == [
        '.lock',  # until the Trainer is closed
        'curve.json',
        'cycle0-ba20.pt',
        'cycle1-ba40.pt',
        'cycle2-ba80.pt',
    ]


def test_snapshots_hold_the_weights_of_their_trough_and_load_safely(whole, make_trainer):
    assert same(whole.saved(-1), whole.state.model.state_dict())
    load = {'load_path': str(whole.folder / 'cycle2-ba80.pt'), 'load_weights_only': True}
    assert same(whole.saved(-1), make_trainer(**load, max_duration='1ep').state.model.state_dict())


def test_logged_to_every_logger(whole):
    points, data = whole.curve.points, whole.logged.data
    for key, values in {
        'pareto/cycle': [0, 1, 2],
        'pareto/epoch': [2.0, 4.0, 8.0],
        'pareto/wall_clock_train_s': [p.wall_clock_train_s for p in points],
        'pareto/lr': [p.lr for p in points],
        f'pareto/{ACCURACY}': [p.metrics[ACCURACY] for p in points],
        f'pareto/peak/{ACCURACY}': [p.peak_metrics[ACCURACY] for p in points],
    }.items():
        assert [(time.batch.value, value) for time, value in data[key]] == list(zip((20, 40, 80), values, strict=True))


def test_first_point_is_the_standard_run_bit_for_bit(whole, make_trainer):
    schedule = CosineAnnealingWithWarmupScheduler('1ep', '1dur')
    standard = make_trainer(schedulers=schedule, callbacks=snapshot(), max_duration='2ep')
    standard.fit()
    assert same(whole.saved(0), standard.state.model.state_dict())
    assert whole.curve.points[0].metrics == curve().points[0].metrics
    assert curve().run.kind == 'standard'
    assert not same(whole.saved(-1), standard.state.model.state_dict())


def times(folder: str = 'out') -> list[tuple[float, float]]:
    return [(point.wall_clock_train_s, point.wall_clock_total_s) for point in curve(folder).points]


def test_training_time_leaves_evaluation_out_and_total_time_does_not(make_trainer, monkeypatch):
    FakeClock(monkeypatch, batch_s=1, evaluation_s=10)
    # Evaluations at 30, 60 and 80 too.
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), eval_interval='30ba')
    trainer.fit()
    assert times() == [(20, 20 + 10), (40, 40 + 3 * 10), (80, 80 + 5 * 10)]
    assert trainer.state.timestamp.total_wct.total_seconds() == 80


def test_saving_snapshots_is_left_out_and_the_trainers_own_checkpoints_are_not(make_trainer, monkeypatch):
    clock = FakeClock(monkeypatch, batch_s=1, evaluation_s=0)
    clock.takes(run_folder, 'save_checkpoint', 100)
    clock.takes(composer.utils.checkpoint, 'save_checkpoint', 1000)
    make_trainer(schedulers=doubling(), callbacks=snapshot(), save_folder='own', save_interval='2ep').fit()
    # Those of epochs 2, 4 and 6 come before the last point, each after the point at its epoch.
    assert times() == [(20, 20 + 100), (1040, 1040 + 200), (3080, 3080 + 300)]


def test_every_batch_trains_at_the_schedules_rate_one_batch_late(make_trainer, make_state):
    scheduler, recorder = CyclicCosineScheduler('7ba', 1.5, '4ba'), Recorder()
    with pytest.warns(UserWarning, match='middle of a cycle'):
        make_trainer(schedulers=scheduler, callbacks=[snapshot(), recorder], max_duration='60ba').fit()
    state = make_state('60ba')

    def alpha(batch: int) -> float:
        state.timestamp = state.timestamp.copy(batch=batch)
        return scheduler(state)

    # Composer steps a scheduler before the clock: batches 0 and 1 both train at alpha(0), batch k at alpha(k - 1).
    assert recorder.rates == [0.5 * alpha(max(k - 1, 0)) for k in range(60)]
    assert recorder.rates[:3] == [0.0, 0.0, 0.125]


@pytest.mark.parametrize(
    ('scheduler', 'max_duration', 'batches', 'kind', 'ssr'),
    [
        pytest.param(
            CosineAnnealingWarmRestartsScheduler('2ep', 1.0), '6ep', [20, 40, 60], 'cyclic', 1.0, id='constant'
        ),
        # Composer cuts 7 x 1.5 to 10 and 10 x 1.5 to 15 before it goes on.
        pytest.param(
            CosineAnnealingWarmRestartsScheduler('7ba', 1.5), '54ba', [7, 17, 32, 54], 'cyclic', 1.0, id='cut'
        ),
        # 0.7 as a float is a little below 7/10: exactly multiplied and cut, 10 batches would become 6.
        pytest.param(CosineAnnealingWarmRestartsScheduler('10ba'), '20ba', [7, 14], 'cyclic', 0.7, id='scaled'),
        pytest.param(doubling(), '8ep', [10, 20, 40], 'cyclic', 0.5, id='scaled-of-this-package'),
        pytest.param(CosineAnnealingScheduler(), '3ep', [30], 'standard', 1.0, id='cosine'),
        pytest.param(CosineAnnealingScheduler('2ep'), '3ep', [30], 'standard', 1.0, id='cosine-then-flat'),
        pytest.param(CosineAnnealingWithWarmupScheduler('1ep'), '33ba', [33], 'standard', 1.0, id='cosine-with-warmup'),
        pytest.param(CosineAnnealingScheduler(), '100sp', [25], 'standard', 1.0, id='cosine-in-samples'),
    ],
)
def test_schedulers_scaled_or_not(make_trainer, scheduler, max_duration, batches, kind, ssr):
    make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration=max_duration, scale_schedule_ratio=ssr).fit()
    assert [p.batch for p in curve().points] == batches
    assert curve().run.kind == kind
    assert (curve().run.schedule['scheduler'], curve().run.schedule['ssr']) == (type(scheduler).__name__, ssr)


def test_a_callback_alone_asks_a_scheduler_it_was_given(make_trainer):
    make_trainer(callbacks=snapshot(scheduler=doubling()), schedulers=ConstantScheduler()).fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert curve().points[0].lr == 0.5


def test_a_batch_longer_than_a_cycle_completes_several(make_trainer):
    scheduler = CyclicCosineScheduler(cycle_ends=['5sp', '6sp', '7sp', '40sp'])
    make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration='40sp').fit()
    assert [(p.cycle, p.batch) for p in curve().points] == [(0, 2), (1, 2), (2, 2), (3, 10)]
