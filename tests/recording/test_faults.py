"""Disks that fill, folders that vanish, stores that fail: what is lost, and what is said."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import time
import warnings
from pathlib import Path

import pytest
import torch
from composer import Evaluator, Event

import composer_clr.recording.run_folder
import composer_clr.utils.files
from composer_clr import ParetoSnapshot, TradeoffCurve
from tests.helpers.object_store import names
from tests.helpers.recorded_runs import At, Stop, StopAfter, curve, doubling, snapshot
from tests.helpers.trainers import classifier, loader


def full_disk(*_args, **_keywords):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def points(folder: str = 'out') -> list[tuple[int, str | None]]:
    return [(point.batch, point.checkpoint) for point in curve(folder).points]


# The curve: training stops at the trough.


def test_a_full_disk_stops_training_at_the_next_trough_and_loses_no_point(make_trainer, monkeypatch):
    def fill():
        monkeypatch.setattr(composer_clr.utils.files, 'put_in_place', full_disk)

    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(save_weights=False), At(25, fill)])
    with pytest.raises(
        OSError, match=r"folder='out': curve.json cannot be written, so training stops at cycle 1 .*No sp"
    ):
        trainer.fit()
    assert trainer.state.timestamp.batch == 40
    assert points() == [(20, None)]


def test_the_run_goes_on_once_there_is_space(make_trainer, monkeypatch):
    own = {'save_folder': 'own', 'save_interval': '39ba', 'autoresume': True, 'save_overwrite': True}

    with monkeypatch.context() as full:
        fill = At(25, lambda: full.setattr(composer_clr.utils.files, 'put_in_place', full_disk))
        trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(save_weights=False), fill], **own)
        with pytest.raises(OSError, match='No space'):
            trainer.fit()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        make_trainer(schedulers=doubling(), callbacks=snapshot(save_weights=False), **own).fit()
    assert [batch for batch, _ in points()] == [20, 40, 80]


def test_a_folder_that_has_become_a_file(make_trainer):
    def replace():
        shutil.rmtree('out')
        Path('out').write_text('')

    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(save_weights=False), At(25, replace)])
    with pytest.raises(OSError, match='curve.json cannot be written, so training stops at cycle 1'):
        trainer.fit()
    assert trainer.state.timestamp.batch == 40


def test_a_folder_that_takes_no_file_is_told_before_the_first_batch(make_trainer, monkeypatch):
    monkeypatch.setattr(composer_clr.utils.files, 'put_in_place', full_disk)
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot())
    with pytest.raises(OSError, match='No space'):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


# The weights: training goes on, with a warning.


def torch_cannot_write(*_args, **_keywords):
    raise RuntimeError('PytorchStreamWriter failed writing file data/0: file write failed\nat inline_container.cc')


@pytest.mark.parametrize('fails', [full_disk, torch_cannot_write], ids=['disk', 'torch'])
def test_weights_that_cannot_be_saved_are_warned_of_and_the_point_stays(make_trainer, monkeypatch, fails):
    save = composer_clr.recording.run_folder.save_checkpoint

    def fails_once(state, path, **arguments):
        monkeypatch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', save)
        Path(path).write_text('half')
        fails()

    def fill():
        monkeypatch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', fails_once)

    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), At(25, fill)])
    with pytest.warns(
        UserWarning, match=r"folder='out': the weights of cycle 1 are NOT saved \([^\n]*fail|space[^\n]*\)"
    ):
        trainer.fit()
    assert points() == [(20, 'cycle0-ba20.pt'), (40, None), (80, 'cycle2-ba80.pt')]
    assert not list(Path('out').glob('.part-*'))


def test_weights_that_cannot_be_saved_are_tried_once_whatever_the_number_of_evaluators(make_trainer, monkeypatch):
    """Only rank 0 knows that it has failed: if it tried again, it would wait for the others for ever."""
    tried = []

    def fails(state, *_args, **_keywords):
        tried.append(state.timestamp.batch.value)
        full_disk()

    monkeypatch.setattr(composer_clr.recording.run_folder, 'save_checkpoint', fails)
    evaluators = [
        Evaluator(label=label, dataloader=loader(20), metric_names=['MulticlassAccuracy']) for label in ('a', 'b')
    ]
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), eval_dataloader=evaluators)
    with pytest.warns(UserWarning, match='NOT saved'):
        trainer.fit()
    assert tried == [20, 40, 80]


# An object store; what it was once able to do is tried again.


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(composer_clr.recording.run_folder, 'PAUSE_S', 0.01)
    monkeypatch.setattr('random.random', lambda: 0.0)


class Flaky:
    """Fails the named upload so often, from now on."""

    def __init__(self, callback: ParetoSnapshot, ending: str, times: int):
        self.callback, self.ending, self.times = callback, ending, times

    def __call__(self) -> None:
        store = self.callback._recorder.folder._store  # type: ignore[union-attr]
        upload = store.upload_object  # type: ignore[union-attr]

        def fail(name, path, *rest):
            if name.endswith(self.ending) and self.times:
                self.times -= 1
                raise ConnectionError('503 Slow Down')
            return upload(name, path, *rest)

        store.upload_object = fail  # type: ignore[union-attr,method-assign]


@pytest.mark.parametrize('ending', ['curve.json', '.pt'])
def test_an_upload_that_fails_three_times_is_made_at_the_fourth(bucket, make_trainer, impatient, ending):
    callback = snapshot(folder='s3://curves/study/{run_name}')
    flaky = Flaky(callback, ending, times=3)
    make_trainer(schedulers=doubling(), callbacks=[callback, At(25, flaky)]).fit()
    assert flaky.times == 0
    assert len(names(bucket)) == 4


def test_a_store_that_keeps_failing_costs_the_weights_and_not_the_run(bucket, make_trainer, impatient):
    callback = snapshot(folder='s3://curves/study/{run_name}')
    trainer = make_trainer(schedulers=doubling(), callbacks=[callback, At(25, Flaky(callback, '.pt', times=4))])
    with pytest.warns(UserWarning, match='weights of cycle 1 are NOT saved.*503 Slow Down'):
        trainer.fit()
    assert [point.checkpoint for point in callback.curve.points] == ['cycle0-ba20.pt', None, 'cycle2-ba80.pt']
    assert names(bucket) == [f'study/run/{name}' for name in ('curve.json', 'cycle0-ba20.pt', 'cycle2-ba80.pt')]


def test_a_store_that_keeps_failing_stops_the_run_where_it_costs_the_curve(bucket, make_trainer, impatient):
    callback = snapshot(folder='s3://curves/study/{run_name}')
    trainer = make_trainer(schedulers=doubling(), callbacks=[callback, At(25, Flaky(callback, 'curve.json', times=4))])
    with pytest.raises(OSError, match=r'curve.json cannot be written, so training stops at cycle 1.*503 Slow Down'):
        trainer.fit()
    text = bucket.get_object(Bucket='curves', Key='study/run/curve.json')['Body'].read().decode()
    assert [point.batch for point in TradeoffCurve.from_json(text).points] == [20]


def test_two_runs_in_one_place_of_a_store_are_never_interleaved(bucket, make_trainer):
    callback = snapshot(folder='s3://curves/study/{run_name}')

    def another_run():
        bucket.put_object(Bucket='curves', Key='study/run/curve.json', Body=b'{}')

    trainer = make_trainer(schedulers=doubling(), callbacks=[callback, At(25, another_run)])
    with pytest.raises(OSError, match=r"'s3://curves/study/run': curve.json was written by another run since"):
        trainer.fit()
    assert bucket.get_object(Bucket='curves', Key='study/run/curve.json')['Body'].read() == b'{}'


def test_a_slow_store_is_waited_for_and_not_charged(bucket, make_trainer):
    callback = snapshot(folder='s3://curves/study/{run_name}')

    def slow_down():
        store = callback._recorder.folder._store  # type: ignore[union-attr]
        upload = store.upload_object  # type: ignore[union-attr]
        store.upload_object = lambda *rest: (time.sleep(0.1), upload(*rest))  # type: ignore[union-attr]

    make_trainer(schedulers=doubling(), callbacks=[callback, At(25, slow_down)]).fit()
    first, *_, last = callback.curve.points
    # Two snapshots and the curve between them; the last curve is written after its own point is made.
    paused_s = (last.wall_clock_total_s - last.wall_clock_train_s) - (
        first.wall_clock_total_s - first.wall_clock_train_s
    )
    assert paused_s >= 3 * 0.1
    assert len(names(bucket)) == 4


# Nothing is left open, also where a run ends with an error.


@pytest.mark.parametrize(
    ('folder', 'ends'), [('out', 'well'), ('out', 'with an error'), ('s3://curves/study/{run_name}', 'well')]
)
def test_nothing_is_left_open(request, make_trainer, tmp_path, folder, ends):
    if folder != 'out':
        request.getfixturevalue('bucket')
    callback = snapshot(folder=folder)
    callbacks = [callback] if ends == 'well' else [callback, StopAfter(25, Event.BATCH_START)]
    trainer = make_trainer(schedulers=doubling(), callbacks=callbacks, max_duration='4ep')
    if ends == 'well':
        trainer.fit()
        trainer.state.max_duration = '8ep'
        trainer.fit()
        assert [point.batch for point in callback.curve.points] == [20, 40, 80]
    else:
        with pytest.raises(Stop):
            trainer.fit()
    trainer.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        del callbacks, callback
        gc.collect()
    assert not [w for w in caught if issubclass(w.category, ResourceWarning) and 'composer_clr' in str(w.message)]
    open_here = [str(link.resolve()) for link in Path('/proc/self/fd').iterdir() if link.exists()]
    assert not [name for name in open_here if str(tmp_path) in name or 'composer_clr-' in name]


def test_started_over_without_a_checkpoint_the_earlier_curve_is_kept_aside(make_trainer):
    with pytest.raises(Stop):
        make_trainer(schedulers=doubling(), callbacks=[snapshot(), StopAfter(25, Event.BATCH_START)]).fit()
    model = classifier()
    trainer = make_trainer(
        model=model,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
        schedulers=doubling(),
        callbacks=snapshot(autoresume=True),
        save_folder='own',
        autoresume=True,
    )
    with pytest.warns(UserWarning, match='with 1 points, has no checkpoint.*starts over: it is kept as curve-1.json'):
        trainer.fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    aside = TradeoffCurve.read(Path('out/curve-1.json'))
    assert [p.batch for p in aside.points] == [20]
    assert aside.points[0].metrics == curve().points[0].metrics
