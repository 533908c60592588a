"""Interrupted anywhere and resumed: the run that would have been, whatever is on and on however many ranks."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
import torch
from composer import Callback, Event
from torch.utils.data import DataLoader, default_collate

import composer_clr.recording.run_folder
from composer_clr import TradeoffCurve
from tests.conftest import classifier, loader
from tests.helpers.killed_runs import ARGUMENTS, check_same, check_whole, points, train, train_ranks
from tests.helpers.kills import Kill
from tests.helpers.recorded_runs import Recorder, Stop, StopAfter, curve, doubling, snapshot

ALL_FOUR = [
    'algorithms={BlurPool: {}, ChannelsLast: {}, MixUp: {alpha: 0.2}, LabelSmoothing: {smoothing: 0.1}}',
    'max_duration=8ep',
    'run_name=run',
]


@pytest.fixture
def trainer(make_trainer):
    """A Trainer with troughs after 20, 40 and 80 batches that saves and resumes."""

    def make(folder: str, *callbacks, **changes):
        model = classifier()
        return make_trainer(
            model=model,
            optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
            schedulers=doubling(),
            callbacks=[snapshot(folder=folder, autoresume=True), *callbacks],
            save_folder=f'{folder}-own',
            save_interval='7ba',
            save_overwrite=True,
            autoresume=True,
            **changes,
        )

    return make


def without_times(folder: str):
    return [(p.cycle, p.batch, p.lr, p.metrics, p.peak_metrics, p.checkpoint) for p in curve(folder).points]


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


@pytest.mark.filterwarnings('ignore:Recorder is not in the state_dict:UserWarning')
@pytest.mark.parametrize('moment', MOMENTS)
def test_interrupted_anywhere(trainer, moment):
    whole, resumed = Recorder(), Recorder()
    undisturbed = trainer('whole', whole)
    undisturbed.fit()
    with pytest.raises(Stop):
        trainer('out', StopAfter(*MOMENTS[moment])).fit()
    second = trainer('out', resumed)
    start = second.state.timestamp.batch.value
    assert start == 7 * (MOMENTS[moment][0] // 7)
    second.fit()
    assert without_times('out') == without_times('whole')
    assert resumed.losses == whole.losses[start:]
    final = undisturbed.state.model.state_dict()
    assert all(torch.equal(value, final[name]) for name, value in second.state.model.state_dict().items())
    times = [p.wall_clock_train_s for p in curve().points]
    assert times == sorted(times)


def test_interrupted_while_a_snapshot_is_written(trainer, monkeypatch):
    trainer('whole').fit()
    save = composer_clr.recording.run_folder.save_checkpoint

    def cut_off(state, path, **arguments):
        if state.timestamp.batch == 40:
            save(state, path, **arguments)
            half = Path(path).read_bytes()[:1000]
            Path(path).write_bytes(half)
            raise Stop
        return save(state, path, **arguments)

    monkeypatch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', cut_off)
    with pytest.raises(Stop):
        trainer('out').fit()
    assert not Path('out/cycle1-ba40.pt').exists()
    assert Path('out/.part-cycle1-ba40.pt').exists()
    monkeypatch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', save)
    second = trainer('out')
    second.fit()
    second.close()
    assert without_times('out') == without_times('whole')
    assert not list(Path('out').glob('.*'))


@pytest.mark.filterwarnings(
    # Composer's, of a checkpoint made at an epoch's last batch.
    'ignore:No batches were trained for global rank 0:UserWarning',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before:UserWarning',
)
def test_recorded_points_stay_until_they_are_made_again(make_trainer):
    own = {'save_folder': 'own', 'save_interval': '30ba', 'autoresume': True, 'save_overwrite': True}
    with pytest.raises(Stop):
        make_trainer(schedulers=doubling(), callbacks=[snapshot(), StopAfter(45, Event.BATCH_START)], **own).fit()
    before = curve().points
    assert [p.batch for p in before] == [20, 40]
    with pytest.raises(Stop):
        make_trainer(schedulers=doubling(), callbacks=[snapshot(), StopAfter(35, Event.BATCH_START)], **own).fit()
    assert curve().points == before
    make_trainer(schedulers=doubling(), callbacks=snapshot(), **own).fit()
    assert curve().points[0] == before[0]
    assert [(p.batch, p.metrics) for p in curve().points[:2]] == [(p.batch, p.metrics) for p in before]
    assert curve().points[1].wall_clock_train_s != before[1].wall_clock_train_s
    assert len(curve().points) == 3


def test_times_go_on_over_two_resumes(make_trainer):
    own = {'save_folder': 'own', 'save_interval': '1ba', 'autoresume': True, 'save_overwrite': True}
    states, started_at = [], set()
    for stop in (13, 27, None):
        callbacks = [snapshot(), *([] if stop is None else [StopAfter(stop, Event.BATCH_START)])]
        trainer = make_trainer(
            schedulers=doubling(), callbacks=callbacks, max_duration='4ep', eval_interval='1ba', **own
        )
        kept = next(c for c in trainer.state.callbacks if type(c).__name__ == 'ParetoSnapshot')
        if states:
            # As the last checkpoint has them, to the last bit.
            assert kept.state_dict()['paused_s'] == pytest.approx(states[-1]['paused_s'], abs=0.05)
            assert kept.state_dict()['paused_s'] > 0
            assert kept.state_dict()['train_s'] == pytest.approx(states[-1]['train_s'], abs=0.5)
        try:
            trainer.fit()
        except Stop:
            assert stop is not None
        states.append(kept.state_dict())
        started_at.add(curve().run.started_at)
    assert len(started_at) == 1
    assert states[0]['paused_s'] < states[1]['paused_s'] < states[2]['paused_s']
    assert 0 < states[0]['train_s'] < states[1]['train_s'] < states[2]['train_s']


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
    resumed = threading.Event()

    def slow_to_collate_after_the_resume(samples):
        time.sleep(0.05 if resumed.is_set() else 0.0)
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
    resumed.set()
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


# With all four of the paper's algorithms.


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
