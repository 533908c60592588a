"""ParetoSnapshot in real Trainers on the CPU: 10 batches an epoch, a network of 22 weights."""

import io
import json
import math
import re
import time
import warnings
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from composer import Callback, Evaluator, Event
from composer.algorithms import EMA
from composer.core import State
from composer.loggers import InMemoryLogger, Logger
from composer.optim import (
    ConstantScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    CosineAnnealingWithWarmupScheduler,
)
from torch.utils.data import DataLoader, Subset, default_collate
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from tests.conftest import classifier, loader
from tests.helpers.recorded_runs import Recorder, Stop, StopAfter, curve, doubling, snapshot

ACCURACY = 'eval/MulticlassAccuracy'


def evaluated_batches(recorder: Recorder) -> list[int]:
    return [batch for batch, _ in recorder.evaluations]


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


def test_times_rise_and_leave_evaluation_out(make_trainer):
    class SlowEvaluation(Callback):
        def eval_start(self, state: State, logger: Logger) -> None:
            time.sleep(0.4)

    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), SlowEvaluation()])
    trainer.fit()
    points = curve().points
    for i, point in enumerate(points, start=1):
        assert point.wall_clock_total_s - point.wall_clock_train_s >= 0.4 * i
    train = [p.wall_clock_train_s for p in points]
    assert train == sorted(train)
    assert train[-1] == pytest.approx(trainer.state.timestamp.total_wct.total_seconds(), abs=0.05)


def test_saving_snapshots_is_left_out_and_the_trainers_own_checkpoints_are_not(make_trainer, monkeypatch):
    import composer.utils.checkpoint as trainers_own

    import composer_clr.recording.snapshot_files as ours

    def slow(save):
        def save_slowly(*args, **kwargs):
            time.sleep(0.3)
            return save(*args, **kwargs)

        return save_slowly

    with monkeypatch.context() as patch:
        patch.setattr(ours, 'save_checkpoint', slow(ours.save_checkpoint))
        make_trainer(schedulers=doubling(), callbacks=snapshot(folder='a')).fit()
    last = curve('a').points[-1]
    assert last.wall_clock_total_s - last.wall_clock_train_s >= 3 * 0.3

    monkeypatch.setattr(trainers_own, 'save_checkpoint', slow(trainers_own.save_checkpoint))
    make_trainer(schedulers=doubling(), callbacks=snapshot(folder='b'), save_folder='own', save_interval='2ep').fit()
    # Those of epochs 2, 4 and 6 come before the last point.
    assert curve('b').points[-1].wall_clock_train_s >= 3 * 0.3


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


@pytest.mark.parametrize('eval_interval', [0, '1ep', '7ba', '1ba'])
def test_a_trough_within_an_epoch_is_evaluated_at_its_batch_once(make_trainer, eval_interval):
    recorder = Recorder()
    scheduler = CyclicCosineScheduler(cycle_ends=['13ba', '26ba'], t_warmup='3ba')
    make_trainer(
        schedulers=scheduler, callbacks=[snapshot(), recorder], max_duration='26ba', eval_interval=eval_interval
    ).fit()
    evaluated = evaluated_batches(recorder)
    assert evaluated.count(13) == evaluated.count(26) == 1
    users = {0: [], '1ep': [10, 20], '7ba': [7, 14, 21], '1ba': [*range(1, 27)]}[eval_interval]
    assert evaluated == sorted({*users, 13, 26})
    assert [p.batch for p in curve().points] == [13, 26]


@pytest.mark.parametrize('eval_interval', [0, '1ep', '2ep', '10ba', '1ba', '0.25dur'])
def test_a_trough_at_an_epochs_end_is_evaluated_once(make_trainer, eval_interval):
    recorder = Recorder()
    make_trainer(schedulers=doubling(), callbacks=[snapshot(), recorder], eval_interval=eval_interval).fit()
    evaluated = evaluated_batches(recorder)
    assert [evaluated.count(batch) for batch in (20, 40, 80)] == [1, 1, 1]
    users = {0: [], '1ep': range(10, 81, 10), '2ep': range(20, 81, 20), '10ba': range(10, 81, 10)}
    users |= {'1ba': range(1, 81), '0.25dur': range(20, 81, 20)}
    assert evaluated == sorted({*users[eval_interval], 20, 40, 80})


def test_the_users_interval_is_always_asked_since_it_may_keep_count(make_trainer):
    asked = []

    def every_third_time(state: State, event: Event) -> bool:
        asked.append((state.timestamp.batch.value, event))
        return len(asked) % 3 == 0

    make_trainer(schedulers=doubling(), callbacks=snapshot(), eval_interval=every_third_time).fit()
    batch_ends = {(batch, Event.BATCH_END) for batch in range(1, 81)}
    epoch_ends = {(batch, Event.EPOCH_END) for batch in range(10, 81, 10)}
    assert len(asked) == 80 + 8 + 1
    assert set(asked) == batch_ends | epoch_ends | {(80, Event.FIT_END)}


def test_every_evaluator_runs_at_a_trough_whatever_its_own_interval(make_trainer):
    evaluators = [
        Evaluator(label='often', dataloader=loader(40, seed=1), eval_interval='1ep'),
        Evaluator(label='never', dataloader=loader(40, seed=2), eval_interval=0, metric_names=['MulticlassAccuracy']),
    ]
    recorder = Recorder()
    make_trainer(schedulers=doubling(), callbacks=[snapshot(), recorder], eval_dataloader=evaluators).fit()
    assert [batch for batch, label in recorder.evaluations if label == 'never'] == [20, 40, 80]
    assert [batch for batch, label in recorder.evaluations if label == 'often'] == [*range(10, 81, 10)]
    assert set(curve().points[0].metrics) == {
        'often/MulticlassAccuracy',
        'often/CrossEntropy',
        'never/MulticlassAccuracy',
    }


def test_metrics_can_be_chosen(make_trainer):
    make_trainer(schedulers=doubling(), callbacks=snapshot(metrics=[ACCURACY])).fit()
    assert set(curve().points[0].metrics) == {ACCURACY}


class Scripted(MulticlassAccuracy):
    """An accuracy that takes the values it is told, one an evaluation."""

    values: ClassVar[list[float]] = []

    def compute(self):
        return torch.tensor(type(self).values[0])


class NextValue(Callback):
    def eval_after_all(self, state: State, logger: Logger) -> None:
        del Scripted.values[0]


def scripted_peaks(make_trainer, values: list[float], window: str, eval_interval: str | int = '1ep', **changes):
    Scripted.values = list(values)
    model = classifier()
    model.val_metrics = MetricCollection({'Scripted': Scripted(num_classes=2)})
    callback = snapshot(peak_window=window, **changes)
    make_trainer(
        model=model, schedulers=doubling(), callbacks=[callback, NextValue()], eval_interval=eval_interval
    ).fit()
    return [p.peak_metrics['eval/Scripted'] for p in curve().points], [
        p.metrics['eval/Scripted'] for p in curve().points
    ]


RISING_THEN_WORSE = [0.9, 0.1, 0.5, 0.2, 0.8, 0.7, 0.6, 0.3]  # at epochs 1 to 8; troughs at 2, 4 and 8


@pytest.mark.parametrize(
    ('window', 'peaks'),
    [
        ('0ep', [0.1, 0.2, 0.3]),
        ('1ep', [0.9, 0.5, 0.6]),
        ('10ba', [0.9, 0.5, 0.6]),
        ('9ba', [0.1, 0.2, 0.3]),
        ('2ep', [0.9, 0.5, 0.7]),
        ('3ep', [0.9, 0.5, 0.8]),
        # Never past the restart: not the 0.9 of the first cycle.
        ('7ep', [0.9, 0.5, 0.8]),
    ],
)
def test_peak_is_the_best_within_the_window_before_the_trough(make_trainer, window, peaks):
    got, at_trough = scripted_peaks(make_trainer, RISING_THEN_WORSE, window)
    assert got == pytest.approx(peaks)
    assert at_trough == pytest.approx([0.1, 0.2, 0.3])


def test_peak_where_lower_is_better(make_trainer):
    got, _ = scripted_peaks(make_trainer, RISING_THEN_WORSE, '1ep', directions={'eval/Scripted': 'min'})
    assert got == pytest.approx([0.1, 0.2, 0.3])
    assert curve().run.directions == {'eval/Scripted': 'min'}


def test_peak_passes_over_nan(make_trainer):
    nan = math.nan
    got, at_trough = scripted_peaks(make_trainer, [0.4, nan, nan, nan, 0.1, 0.2, nan, 0.3], '2ep')
    assert got == pytest.approx([0.4, nan, 0.3], nan_ok=True)
    assert at_trough == pytest.approx([nan, nan, 0.3], nan_ok=True)


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


def test_weights_are_not_saved_unasked(make_trainer):
    make_trainer(schedulers=doubling(), callbacks=snapshot(save_weights=False)).fit()
    assert not list(Path('out').glob('*.pt'))
    assert {p.checkpoint for p in curve().points} == {None}


def test_the_trainers_own_checkpoints_keep_working(make_trainer):
    make_trainer(schedulers=doubling(), callbacks=snapshot(), save_folder='own', save_interval='1ep').fit()
    assert len([p for p in Path('own').iterdir() if re.fullmatch(r'ep\d-ba\d+-rank0.pt', p.name)]) == 8


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


def test_troughs_given_for_a_schedule_that_is_not_known(make_trainer):
    optimizer = torch.optim.SGD((model := classifier()).parameters(), lr=0.5)
    make_trainer(
        model=model,
        optimizers=optimizer,
        schedulers=torch.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 0.5, step_size_up=15),
        step_schedulers_every_batch=True,
        callbacks=snapshot(scheduler=['30ba', '60ba']),
        max_duration='60ba',
    ).fit()
    assert [p.batch for p in curve().points] == [30, 60]


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


def test_fitting_in_two_steps_is_fitting_in_one(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration=None)
    recorder = Recorder()
    trainer.state.callbacks.append(recorder)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        trainer.fit(duration='3ep')
        trainer.fit(duration='5ep')
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert evaluated_batches(recorder) == [20, 40, 80]


@pytest.mark.parametrize('last', ['80ba', '75ba'], ids=['at-an-epochs-end', 'within-an-epoch'])
def test_evaluating_by_hand_adds_no_point(make_trainer, last):
    scheduler = CyclicCosineScheduler(cycle_ends=['20ba', last])
    trainer = make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration=last)
    trainer.eval()
    trainer.fit()
    before = Path('out/curve.json').read_text()
    trainer.eval()
    assert Path('out/curve.json').read_text() == before


@pytest.mark.filterwarnings(
    # Composer's, of callbacks without a state of their own, and of a checkpoint made at an epoch's last batch.
    'ignore:Recorder is not in the state_dict:UserWarning',
    'ignore:No batches were trained for global rank 0:UserWarning',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before:UserWarning',
)
@pytest.mark.parametrize('stop', [3, 15, 20, 21, 37, 40, 55, 79], ids=lambda batch: f'after-{batch}')
def test_a_resumed_run_is_the_run_that_would_have_been(make_trainer, stop):
    def trainer(folder: str, **changes):
        callbacks = [snapshot(folder=folder, peak_window='1ep'), *changes.pop('callbacks', [])]
        model = classifier()
        return make_trainer(
            model=model,
            optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
            schedulers=doubling(),
            callbacks=callbacks,
            eval_interval='3ba',
            **changes,
        )

    whole, resumed = Recorder(), Recorder()
    undisturbed = trainer('whole', callbacks=[whole])
    undisturbed.fit()
    own = {'save_folder': 'own', 'save_interval': '1ba', 'autoresume': True}
    with pytest.raises(Stop):
        trainer('out', callbacks=[StopAfter(stop, Event.BATCH_START)], **own).fit()
    second = trainer('out', callbacks=[resumed], **own)
    assert second.state.timestamp.batch == stop
    second.fit()

    def without_times(folder: str):
        return [(p.cycle, p.batch, p.lr, p.metrics, p.peak_metrics, p.checkpoint) for p in curve(folder).points]

    assert without_times('out') == without_times('whole')
    assert resumed.losses == whole.losses[stop:]
    assert resumed.evaluations == [e for e in whole.evaluations if e[0] > stop]
    assert all(
        torch.equal(v, undisturbed.state.model.state_dict()[k]) for k, v in second.state.model.state_dict().items()
    )
    times = [p.wall_clock_train_s for p in curve().points]
    assert times == sorted(times)
    assert times[-1] > 0


def test_training_time_goes_on_across_a_resume_without_the_spinning(make_trainer):
    resumed = False

    def slow_to_collate_after_the_resume(samples):
        time.sleep(0.05 if resumed else 0.0)
        return default_collate(samples)

    def trainer(*callbacks: Callback):
        return make_trainer(
            train_dataloader=DataLoader(loader(40).dataset, 4, collate_fn=slow_to_collate_after_the_resume),
            schedulers=doubling(),
            callbacks=[snapshot(), *callbacks],
            max_duration='2ep',
            save_folder='own',
            save_interval='1ba',
            autoresume=True,
        )

    first = trainer(StopAfter(18, Event.BATCH_START))
    with pytest.raises(Stop):
        first.fit()
    resumed = True
    second = trainer()
    second.fit()
    total_wct_s = second.state.timestamp.total_wct.total_seconds()
    # The 8 batches of the interrupted epoch are spun over, and then 2 are trained on.
    assert total_wct_s - curve().points[0].wall_clock_train_s >= 8 * 0.05
    assert curve().points[0].wall_clock_train_s >= first.state.timestamp.total_wct.total_seconds() + 0.05


def test_the_state_is_plain_and_loads_safely(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(peak_window='1ep'), eval_interval='3ba')
    trainer.fit()
    state = trainer.state.callbacks[-1].state_dict()

    def plain(value) -> bool:
        if isinstance(value, dict):
            return type(value) is dict and all(type(k) is str and plain(v) for k, v in value.items())
        if isinstance(value, list):
            return type(value) is list and all(map(plain, value))
        return value is None or type(value) in (str, int, float, bool)

    assert plain(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    restored = snapshot()
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    assert restored.state_dict() == state


def test_a_new_run_has_none_of_the_points_of_an_earlier_one(make_trainer):
    callback = snapshot(folder='{run_name}/out')
    first = make_trainer(schedulers=doubling(), callbacks=callback, run_name='first')
    first.fit()
    first.close()
    make_trainer(schedulers=doubling(), callbacks=callback, run_name='second', max_duration='4ep').fit()
    assert [len(curve(f'{name}/out').points) for name in ('first', 'second')] == [3, 2]


def test_the_saved_weights_are_those_that_were_evaluated_also_under_ema(make_trainer):
    make_trainer(
        schedulers=doubling(), callbacks=snapshot(), algorithms=EMA(half_life='5ba', update_interval='1ba')
    ).fit()
    for point in curve().points:
        model = classifier()
        model.load_state_dict(torch.load(f'out/{point.checkpoint}', weights_only=True)['state']['model'])
        trainer = make_trainer(model=model, run_name='evaluation')
        trainer.eval()
        again = float(trainer.state.eval_metrics['eval']['CrossEntropy'].compute())
        trainer.close()
        assert again == pytest.approx(point.metrics['eval/CrossEntropy'], abs=1e-6)


class Several(MulticlassAccuracy):
    """A metric of several values, one of them none."""

    def compute(self):  # type: ignore[override]
        return [torch.tensor(0.25), (0.5, None)]


def test_metrics_of_several_values(make_trainer):
    model = classifier()
    model.val_metrics = MetricCollection({'Several': Several(num_classes=2)})
    trainer = make_trainer(model=model, schedulers=doubling(), callbacks=snapshot(), max_duration='2ep')
    with pytest.warns(UserWarning, match='eval/Several/1/1 is None, not a number'):
        trainer.fit()
    assert curve().points[0].metrics == {'eval/Several/0': 0.25, 'eval/Several/1/0': 0.5}


# What is refused, all before the first batch.


@pytest.mark.parametrize(
    ('folder', 'run_name', 'match'),
    [
        ('{run_name}', 'lr{0}', "run_name='lr\\{0\\}' comes to"),
        ('o{/x', 'run', "folder='o{/x'"),
        ('{who}', 'run', "'{who}'"),
    ],
)
def test_braces_that_nothing_fills(make_trainer, folder, run_name, match):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(folder=folder), run_name=run_name)
    with pytest.raises(ValueError, match=match):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


def test_no_evaluation_data(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), eval_dataloader=None)
    with pytest.raises(ValueError, match='nothing to evaluate: give eval_dataloader'):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


@pytest.mark.parametrize(
    ('schedulers', 'match'),
    [
        pytest.param(None, 'troughs of no scheduler.*CyclicCosineScheduler', id='none'),
        pytest.param(
            ConstantScheduler(), "troughs of the scheduler ConstantScheduler.*scheduler=\\['16ep'", id='unknown'
        ),
        pytest.param([doubling(), doubling()], '2 schedulers, of which Composer applies only the last', id='two'),
        pytest.param(CyclicCosineScheduler('10tok', 2, '5tok'), None, id='tokens'),
    ],
)
def test_schedules_without_known_troughs(make_trainer, schedulers, match):
    trainer = make_trainer(schedulers=schedulers, callbacks=snapshot())
    with pytest.raises(ValueError, match=match):
        trainer.fit()
    assert trainer.state.timestamp.batch <= 1


def test_two_snapshots(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(folder='a'), snapshot(folder='b')])
    with pytest.raises(ValueError, match='several ParetoSnapshot callbacks'):
        trainer.fit()


def test_a_curve_that_is_there_already(make_trainer):
    make_trainer(schedulers=doubling(), callbacks=snapshot(), run_name='first').fit()
    before = Path('out/curve.json').read_text()
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), run_name='second')
    with pytest.raises(
        FileExistsError, match="'out' already holds the curve.json of run 'first' with 3 points.*overwrite"
    ):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0
    assert Path('out/curve.json').read_text() == before
    make_trainer(schedulers=doubling(), callbacks=snapshot(overwrite=True), run_name='second').fit()
    assert curve().run.run_name == 'second'


def test_a_curve_without_points_is_in_nobodys_way(make_trainer):
    with pytest.raises(Stop):
        make_trainer(
            schedulers=doubling(), callbacks=[snapshot(), StopAfter(5, Event.BATCH_START)], run_name='first'
        ).fit()
    make_trainer(schedulers=doubling(), callbacks=snapshot(), run_name='second').fit()
    assert (curve().run.run_name, len(curve().points)) == ('second', 3)


def test_a_file_in_place_of_the_folder(make_trainer):
    Path('occupied').write_text('')
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(folder='occupied/{run_name}'))
    with pytest.raises(NotADirectoryError, match="folder='occupied/run' cannot be created, a file is in its place"):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'metrics': ['eval/MulticlassAcuracy']}, "metrics names 'eval/MulticlassAcuracy'.*did you mean 'eval/Multic"),
        ({'directions': {'eval/F1': 'max'}}, "directions names 'eval/F1'"),
        ({'peak_window': '5sp'}, "peak_window='5sp' cannot be counted in 'ba'"),
    ],
    ids=['metrics', 'directions', 'peak_window'],
)
def test_refused_when_training_starts(make_trainer, changes, match):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(**changes))
    with pytest.raises(ValueError, match=match):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'folder': ''}, "folder=''.*curve.json"),
        ({'metrics': 'eval/acc'}, "metrics='eval/acc': give a list"),
        ({'directions': {'eval/acc': 'up'}}, "directions\\['eval/acc'\\]='up'.*'max' or 'min'"),
        ({'peak_window': 5}, 'peak_window=5 has no unit'),
        ({'peak_window': '-1ep'}, 'peak_window=-1ep.*negative'),
    ],
    ids=['folder', 'metrics', 'directions', 'peak_window', 'negative-window'],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        ParetoSnapshot(**arguments)


def test_no_curve_before_training():
    with pytest.raises(RuntimeError, match='before training'):
        _ = ParetoSnapshot().curve


def test_a_run_that_reaches_no_trough_has_a_curve_without_points(make_trainer):
    with pytest.warns(UserWarning, match='it reaches no trough'):
        make_trainer(schedulers=CyclicCosineScheduler('8ep', 2, '8ep'), callbacks=snapshot(), max_duration='1ep').fit()
    assert curve().points == []


def test_the_curve_says_on_how_many_samples_it_was_evaluated(make_trainer):
    whole = loader(40, batch_size=20, seed=1)
    part = DataLoader(Subset(Subset(whole.dataset, range(30)), range(0, 30, 3)), 4)
    make_trainer(
        eval_dataloader=[
            Evaluator(label='whole', dataloader=whole, metric_names=['MulticlassAccuracy']),
            Evaluator(label='part', dataloader=part, metric_names=['MulticlassAccuracy']),
            Evaluator(label='cut', dataloader=whole, metric_names=['MulticlassAccuracy'], subset_num_batches=1),
        ],
        schedulers=doubling(),
        callbacks=snapshot(),
        max_duration='2ep',
    ).fit()
    assert curve().run.evaluation == {
        'whole': {'samples': 40, 'of': 40},
        'part': {'samples': 10, 'of': 40},
        'cut': {'samples': 20, 'of': 40},
    }
