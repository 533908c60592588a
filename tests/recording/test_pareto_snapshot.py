"""ParetoSnapshot in real Trainers on the CPU: 10 batches an epoch, a network of 22 weights."""

import json
import math
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

from composer_clr import CyclicCosineScheduler
from composer_clr.recording import run_folder
from tests.helpers.fake_clock import FakeClock
from tests.helpers.recorded_runs import Recorder, curve, doubling, snapshot

ACCURACY = 'eval/MulticlassAccuracy'


def test_a_point_at_each_trough(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration='8ep')
    trainer.fit()
    points = curve().points
    assert [p.cycle for p in points] == [0, 1, 2]
    assert [p.epoch for p in points] == [2.0, 4.0, 8.0]
    assert [p.batch for p in points] == [20, 40, 80]
    assert [p.sample for p in points] == [80, 160, 320]
    assert all(set(p.metrics) == {ACCURACY, 'eval/CrossEntropy'} == set(p.peak_metrics) for p in points)
    assert points[-1].metrics[ACCURACY] == float(trainer.state.eval_metrics['eval']['MulticlassAccuracy'].compute())
    # The lowest rate of each cycle: one batch before its trough.
    assert points[1].lr == pytest.approx(0.5 * (1 + math.cos(math.pi * 19 / 20)) / 2)
    run = curve().run
    assert (run.run_name, run.kind, run.method, run.seed, run.world_size) == ('run', 'cyclic', 'baseline', 17, 1)
    assert run.schedule['troughs'] == [20, 40, 80]
    assert run.model == 'Sequential'


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


def test_first_point_is_the_standard_run_bit_for_bit(make_trainer):
    cyclic = make_trainer(schedulers=doubling(), callbacks=snapshot(folder='cyclic'), max_duration='8ep')
    cyclic.fit()
    standard = make_trainer(
        schedulers=CosineAnnealingWithWarmupScheduler('1ep', '1dur'),
        callbacks=snapshot(folder='standard'),
        max_duration='2ep',
    )
    standard.fit()
    at_trough = torch.load('cyclic/cycle0-ba20.pt', weights_only=True)['state']['model']
    parameters = standard.state.model.state_dict()
    assert at_trough.keys() == parameters.keys()
    assert all(torch.equal(at_trough[name], parameters[name]) for name in parameters)
    assert curve('cyclic').points[0].metrics == curve('standard').points[0].metrics
    assert (curve('cyclic').run.kind, curve('standard').run.kind) == ('cyclic', 'standard')
    assert not all(torch.equal(v, parameters[k]) for k, v in cyclic.state.model.state_dict().items())


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


def test_the_file_is_whole_and_readable_after_every_trough(make_trainer):
    seen = []

    class Reader(Callback):
        def batch_checkpoint(self, state: State, logger: Logger) -> None:
            if Path('out/curve.json').exists():
                seen.append((state.timestamp.batch.value, Path('out/curve.json').read_text()))

    make_trainer(schedulers=doubling(), callbacks=[snapshot(), Reader()]).fit()
    lengths = {batch: len(json.loads(text)['points']) for batch, text in seen}
    assert (lengths[20], lengths[39], lengths[40], lengths[80]) == (1, 1, 2, 3)
    assert (lengths[1], lengths[19]) == (0, 0)
    texts = dict(seen)
    first = json.loads(texts[20])['points'][0]
    assert json.loads(texts[80])['points'][0] == first, 'a point is never changed'
    assert sorted(p.name for p in Path('out').iterdir()) == [
        '.lock',  # until the Trainer is closed
        'curve.json',
        'cycle0-ba20.pt',
        'cycle1-ba40.pt',
        'cycle2-ba80.pt',
    ]


def test_snapshots_hold_the_weights_of_their_trough_and_load_safely(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot())
    trainer.fit()
    last = torch.load(f'out/{curve().points[-1].checkpoint}', weights_only=True)['state']['model']
    assert all(torch.equal(last[k], v) for k, v in trainer.state.model.state_dict().items())
    again = make_trainer(load_path='out/cycle2-ba80.pt', load_weights_only=True, max_duration='1ep')
    assert all(torch.equal(last[k], v) for k, v in again.state.model.state_dict().items())


def test_logged_to_every_logger(make_trainer):
    memory = InMemoryLogger()
    make_trainer(schedulers=doubling(), callbacks=snapshot(), loggers=memory).fit()
    points = curve().points
    for key, values in {
        'pareto/cycle': [0, 1, 2],
        'pareto/epoch': [2.0, 4.0, 8.0],
        'pareto/wall_clock_train_s': [p.wall_clock_train_s for p in points],
        'pareto/lr': [p.lr for p in points],
        f'pareto/{ACCURACY}': [p.metrics[ACCURACY] for p in points],
        f'pareto/peak/{ACCURACY}': [p.peak_metrics[ACCURACY] for p in points],
    }.items():
        assert [value for _, value in memory.data[key]] == values
        assert [timestamp.batch.value for timestamp, _ in memory.data[key]] == [20, 40, 80]


@pytest.mark.parametrize(
    ('scheduler', 'max_duration', 'batches', 'kind'),
    [
        pytest.param(CosineAnnealingWarmRestartsScheduler('2ep', 1.0), '6ep', [20, 40, 60], 'cyclic', id='constant'),
        # Composer cuts 7 x 1.5 to 10 and 10 x 1.5 to 15 before it goes on.
        pytest.param(CosineAnnealingWarmRestartsScheduler('7ba', 1.5), '54ba', [7, 17, 32, 54], 'cyclic', id='cut'),
        pytest.param(CosineAnnealingScheduler(), '3ep', [30], 'standard', id='cosine'),
        pytest.param(CosineAnnealingScheduler('2ep'), '3ep', [30], 'standard', id='cosine-then-flat'),
        pytest.param(CosineAnnealingWithWarmupScheduler('1ep'), '33ba', [33], 'standard', id='cosine-with-warmup'),
        pytest.param(CosineAnnealingScheduler(), '100sp', [25], 'standard', id='cosine-in-samples'),
    ],
)
def test_composers_own_schedulers(make_trainer, scheduler, max_duration, batches, kind):
    make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration=max_duration).fit()
    assert [p.batch for p in curve().points] == batches
    assert curve().run.kind == kind
    assert curve().run.schedule['scheduler'] == type(scheduler).__name__


def test_composers_restarts_scaled_as_composer_scales_them(make_trainer):
    # 0.7 as a float is a little below 7/10: exactly multiplied and cut, 10 batches would become 6.
    scheduler = CosineAnnealingWarmRestartsScheduler('10ba')
    make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration='20ba', scale_schedule_ratio=0.7).fit()
    assert [p.batch for p in curve().points] == [7, 14]


def test_a_callback_alone_asks_a_scheduler_it_was_given(make_trainer):
    make_trainer(callbacks=snapshot(scheduler=doubling()), schedulers=ConstantScheduler()).fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert curve().points[0].lr == 0.5


def test_scale_schedule_ratio_reaches_the_callback(make_trainer):
    make_trainer(schedulers=doubling(), callbacks=snapshot(), scale_schedule_ratio=0.5).fit()
    assert [p.batch for p in curve().points] == [10, 20, 40]
    assert curve().run.schedule['ssr'] == 0.5


def test_a_batch_longer_than_a_cycle_completes_several(make_trainer):
    scheduler = CyclicCosineScheduler(cycle_ends=['5sp', '6sp', '7sp', '40sp'])
    make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration='40sp').fit()
    assert [(p.cycle, p.batch) for p in curve().points] == [(0, 2), (1, 2), (2, 2), (3, 10)]
