"""Interrupted anywhere and resumed: the run that would have been, whatever is on and on however many ranks."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from composer import Event, Trainer
from torch.utils.data import DataLoader, default_collate

import composer_clr.recording.run_folder
from composer_clr import TradeoffCurve
from tests.helpers.fake_clock import FakeClock
from tests.helpers.killed_runs import ARGUMENTS, check_same, check_whole, points, train, train_ranks
from tests.helpers.kills import Kill
from tests.helpers.recorded_runs import Recorder, Stop, StopAfter, curve, doubling, snapshot
from tests.helpers.trainers import classifier, loader
from tests.helpers.untimed_points import untimed_points

ALL_FOUR = [
    'algorithms={BlurPool: {}, ChannelsLast: {}, MixUp: {alpha: 0.2}, LabelSmoothing: {smoothing: 0.1}}',
    'max_duration=8ep',
    'run_name=run',
]

pytestmark = pytest.mark.filterwarnings(
    # Composer's, of callbacks without a state of their own, and of a checkpoint made at an epoch's last batch.
    'ignore:Recorder is not in the state_dict:UserWarning',
    'ignore:No batches were trained for global rank 0:UserWarning',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before:UserWarning',
)


@pytest.fixture
def trainer(make_trainer) -> Callable[..., Trainer]:
    """A Trainer with troughs after 20, 40 and 80 batches that evaluates between them, saves and resumes."""

    def make(folder: str = 'out', *callbacks, **changes):
        model = classifier()
        arguments = {
            'eval_interval': '6ba',
            'save_folder': f'{folder}-own',
            'save_interval': '7ba',
            'save_overwrite': True,
            'autoresume': True,
        }
        return make_trainer(
            model=model,
            optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
            schedulers=doubling(),
            callbacks=[snapshot(folder=folder, autoresume=True, peak_window='1ep'), *callbacks],
            **{**arguments, **changes},
        )

    return make


def interrupt(trainer: Callable[..., Trainer], batch: int, event: Event = Event.BATCH_START) -> Trainer:
    run = trainer('out', StopAfter(batch, event))
    with pytest.raises(Stop):
        run.fit()
    return run


WHOLE: list = []


@pytest.fixture
def whole(trainer):
    """What the undisturbed run recorded, trained once for all tests."""
    if not WHOLE:
        recorder = Recorder()
        run = trainer('whole', recorder)
        run.fit()
        weights = {name: tensor.clone() for name, tensor in run.state.model.state_dict().items()}
        WHOLE.extend((untimed_points(Path('whole')), recorder, weights))
    return WHOLE


MOMENTS = {
    'in-warmup': (5, Event.BATCH_START),
    'mid-cycle': (33, Event.AFTER_FORWARD),
    'a-batch-before-the-trough': (19, Event.BATCH_START),
    'at-the-trough-before-it-is-evaluated': (40, Event.BATCH_END),
    'as-its-evaluation-starts': (40, Event.EVAL_START),
    'during-its-evaluation': (40, Event.EVAL_BATCH_END),
    'as-its-evaluation-ends': (40, Event.EVAL_END),
    'after-its-point': (40, Event.BATCH_CHECKPOINT),
    'a-batch-after-the-trough': (41, Event.BATCH_START),
    'at-the-last-trough': (80, Event.EVAL_BATCH_START),
}


@pytest.mark.parametrize(
    ('moment', 'save_interval'),
    [*((moment, '7ba') for moment in MOMENTS), ('after-its-point', '39ba'), ('a-batch-after-the-trough', '1ep')],
)
def test_interrupted_anywhere(trainer, whole, moment, save_interval):
    expected, recorder, weights = whole
    trainer = partial(trainer, save_interval=save_interval)
    interrupt(trainer, *MOMENTS[moment])
    resumed = Recorder()
    second = trainer('out', resumed)
    start = second.state.timestamp.batch.value
    if save_interval == '7ba':
        assert start == 7 * (MOMENTS[moment][0] // 7)
    second.fit()
    assert untimed_points(Path('out')) == expected
    assert resumed.losses == recorder.losses[start:]
    assert resumed.evaluations == [evaluation for evaluation in recorder.evaluations if evaluation[0] > start]
    assert all(torch.equal(value, weights[name]) for name, value in second.state.model.state_dict().items())
    times = [p.wall_clock_train_s for p in curve().points]
    assert times[0] > 0
    assert times == sorted(times)


def test_interrupted_while_a_snapshot_is_written(trainer, whole, monkeypatch):
    save = composer_clr.recording.run_folder.save_checkpoint

    def cut_off(state, path, **arguments):
        if state.timestamp.batch == 40:
            save(state, path, **arguments)
            half = Path(path).read_bytes()[:1000]
            Path(path).write_bytes(half)
            raise Stop
        return save(state, path, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', cut_off)
        with pytest.raises(Stop):
            trainer().fit()
    assert not Path('out/cycle1-ba40.pt').exists()
    assert Path('out/.part-cycle1-ba40.pt').exists()
    second = trainer()
    second.fit()
    second.close()
    assert untimed_points(Path('out')) == whole[0]
    assert not list(Path('out').glob('.*'))


def test_recorded_points_stay_until_they_are_made_again(trainer):
    trainer = partial(trainer, save_interval='30ba', eval_interval=0)
    interrupt(trainer, 45)
    before = curve().points
    assert [p.batch for p in before] == [20, 40]
    interrupt(trainer, 35)
    assert curve().points == before
    trainer().fit()
    assert curve().points[0] == before[0]
    assert [(p.batch, p.metrics) for p in curve().points[:2]] == [(p.batch, p.metrics) for p in before]
    assert curve().points[1].wall_clock_train_s != before[1].wall_clock_train_s
    assert len(curve().points) == 3


def test_times_go_on_over_two_resumes(trainer, monkeypatch):
    FakeClock(monkeypatch)
    trainer = partial(trainer, max_duration='4ep', save_interval='13ba', eval_interval='1ba')
    interrupt(trainer, 13)
    started_at = curve().run.started_at
    interrupt(trainer, 27)
    trainer().fit()
    # A second per batch, ten per evaluation; that of the first trough is its own.
    assert [(p.wall_clock_train_s, p.wall_clock_total_s) for p in curve().points] == [(20, 220), (40, 440)]
    assert curve().run.started_at == started_at


def test_training_time_goes_on_across_a_resume_without_the_fast_forwarding(trainer, monkeypatch):
    clock = FakeClock(monkeypatch)

    def slow_to_collate_after_the_resume(samples):
        clock.now_s += clock.collates_s
        return default_collate(samples)

    data = DataLoader(loader(40).dataset, 4, collate_fn=slow_to_collate_after_the_resume)
    trainer = partial(trainer, train_dataloader=data, max_duration='2ep', save_interval='18ba', eval_interval=0)
    interrupt(trainer, 18)
    clock.collates_s = 100.0
    second = trainer()
    second.fit()
    # The 8 batches of the interrupted epoch are skipped, up to the arrival of the first of 2 that are trained on.
    (point,) = curve().points
    assert point.wall_clock_train_s == 20 + 100
    assert second.state.timestamp.total_wct.total_seconds() == 20 + 10 * 100


def test_the_state_is_plain_and_loads_safely(trainer):
    run = trainer()
    run.fit()
    callback = next(one for one in run.state.callbacks if type(one).__name__ == 'ParetoSnapshot')
    state = callback.state_dict()

    def plain(value) -> bool:
        if isinstance(value, dict):
            return type(value) is dict and all(type(k) is str and plain(v) for k, v in value.items())
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
    first = make_trainer(schedulers=doubling(), callbacks=callback, run_name='first', max_duration='4ep')
    first.fit()
    first.close()
    make_trainer(schedulers=doubling(), callbacks=callback, run_name='second', max_duration='2ep').fit()
    assert [len(curve(f'{name}/out').points) for name in ('first', 'second')] == [2, 1]


# With all four of the paper's algorithms.


@pytest.mark.slow
def test_all_four_algorithms_on_one_rank(tmp_path):
    arguments = [*ARGUMENTS, *ALL_FOUR]
    assert train(tmp_path / 'whole', arguments) == 0
    assert TradeoffCurve.read(tmp_path / 'whole' / 'out').run.method == 'BP+CL+LS+MX'
    passed = []
    for kill in (Kill('training', 16, 0.0), Kill('evaluation', 24, 0.005), Kill('snapshot', 48, 0.0)):
        assert train(tmp_path / 'killed', arguments, kill) == -9
        passed = check_whole(tmp_path / 'killed', passed)
    assert train(tmp_path / 'killed', arguments) == 0
    check_same(tmp_path / 'killed', tmp_path / 'whole')


@pytest.mark.slow
def test_all_four_algorithms_on_two_ranks_and_then_on_one(tmp_path):
    arguments = [*ARGUMENTS, *ALL_FOUR]
    assert train_ranks(tmp_path / 'whole', arguments) == [0, 0]
    for folder in ('killed', 'fewer'):
        assert train_ranks(tmp_path / folder, arguments, Kill('training', 28, 0.0), killed_rank=1)[1] == -9
    assert train_ranks(tmp_path / 'killed', arguments) == [0, 0]
    check_same(tmp_path / 'killed', tmp_path / 'whole')

    # One rank draws other mixtures and takes batch norm's statistics over 50 images instead of 25.
    assert train(tmp_path / 'fewer', arguments) == 0
    whole, fewer = points(tmp_path / 'whole'), points(tmp_path / 'fewer')
    assert fewer[0] == whole[0]
    for one, other in zip(whole, fewer, strict=True):
        assert [one[name] for name in ('cycle', 'epoch', 'batch', 'sample', 'lr')] == [
            other[name] for name in ('cycle', 'epoch', 'batch', 'sample', 'lr')
        ]
        accuracy = 'eval/MulticlassAccuracy'
        assert one['metrics'][accuracy] == pytest.approx(other['metrics'][accuracy], abs=0.1)
