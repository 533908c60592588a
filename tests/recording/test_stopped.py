"""Runs that are stopped before a trough say so: by a warning, in the curve, and with a point of their own."""

from pathlib import Path

import pytest
import torch
from composer import Callback
from composer.callbacks import EarlyStopper
from composer.core import State
from composer.loggers import Logger
from composer.optim import CosineAnnealingWithWarmupScheduler

from composer_clr import AnytimeAverage, AnytimeScheduler, CyclicCosineScheduler
from tests.helpers.recorded_runs import At, Recorder, curve, doubling, snapshot


class StopTraining(Callback):
    def __init__(self, batch: int):
        self.batch = batch

    def batch_end(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch == self.batch:
            state.stop_training()


def standard(**changes):
    return {'schedulers': CosineAnnealingWithWarmupScheduler('1ep'), 'max_duration': '16ep', **changes}


def test_a_standard_run_that_is_stopped_early_has_a_point_at_its_end(make_trainer):
    recorder = Recorder()
    stopper = EarlyStopper('MulticlassAccuracy', 'eval', patience=1)
    trainer = make_trainer(**standard(callbacks=[snapshot(), stopper, recorder], eval_interval='1ep'))
    with pytest.warns(UserWarning, match="before the trough at '16ep': its point is marked stopped") as warned:
        trainer.fit()
    assert len([w for w in warned if 'before the trough' in str(w.message)]) == 1
    (point,) = curve().points
    batch = trainer.state.timestamp.batch.value
    assert 0 < batch < 160
    assert (point.cycle, point.batch, point.stopped, point.scheduled_lr) == (0, batch, True, None)
    assert curve().run.ended_at == {'batch': batch, 'epoch': batch / 10, 'trough': '16ep'}
    assert point.metrics['eval/MulticlassAccuracy'] == float(
        trainer.state.eval_metrics['eval']['MulticlassAccuracy'].compute()
    )
    weights = torch.load(f'out/{point.checkpoint}', weights_only=True)['state']['model']
    assert all(torch.equal(weights[name], tensor) for name, tensor in trainer.state.model.state_dict().items())


@pytest.mark.parametrize(
    ('callbacks', 'batch', 'points', 'trough'),
    [([StopTraining(25)], 25, [20], '4ep'), ([StopTraining(40)], 40, [20, 40], '8ep')],
    ids=['within-a-cycle', 'at-a-trough'],
)
def test_a_cyclic_run_that_is_stopped_has_its_troughs_alone(make_trainer, callbacks, batch, points, trough):
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), *callbacks])
    with pytest.warns(UserWarning, match=f"ended at batch {batch}, before the trough at '{trough}': there is no point"):
        trainer.fit()
    assert [(p.batch, p.stopped) for p in curve().points] == [(b, False) for b in points]
    assert curve().run.ended_at == {'batch': batch, 'epoch': batch / 10, 'trough': trough}


def test_an_end_that_the_schedule_does_not_know_is_within_a_cycle(make_trainer):
    scheduler = CyclicCosineScheduler('60sp', 1.0)  # 15 batches; max_duration is not counted in samples
    trainer = make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration='2ep')
    with pytest.warns(UserWarning, match="training ended at batch 20, before the trough at '120sp'"):
        trainer.fit()
    assert [p.batch for p in curve().points] == [15]
    assert curve().run.ended_at == {'batch': 20, 'epoch': 2.0, 'trough': '120sp'}


def test_marks_are_no_decays(make_trainer):
    trainer = make_trainer(
        schedulers=AnytimeScheduler(['80ba']), callbacks=[AnytimeAverage(bn_batches=0), snapshot(), StopTraining(25)]
    )
    with pytest.warns(UserWarning, match="before the mark at '8ep': there is no point"):
        trainer.fit()
    assert curve().points == []


@pytest.mark.filterwarnings('ignore:At is not in the state_dict')
def test_a_stopped_run_that_goes_on_has_the_point_of_its_trough(make_trainer):
    saving = {'save_folder': 'ck', 'save_interval': '5ba', 'autoresume': True, 'save_overwrite': True}
    arguments = standard(max_duration='4ep', **saving)
    with pytest.warns(UserWarning, match='marked stopped'):
        make_trainer(**arguments, callbacks=[snapshot(autoresume=True), StopTraining(25)]).fit()
    assert [(p.batch, p.stopped) for p in curve().points] == [(25, True)]
    during = []
    resumed = make_trainer(**arguments, callbacks=[snapshot(autoresume=True), At(30, lambda: during.append(curve()))])
    resumed.fit()
    assert [(p.batch, p.stopped) for p in during[0].points] == [(25, True)]
    assert [(p.batch, p.stopped) for p in curve().points] == [(40, False)]
    assert curve().run.ended_at is None


@pytest.mark.filterwarnings('ignore:StopTraining is not in the state_dict', 'ignore:training ended')
@pytest.mark.parametrize('end', ['shorter', 'stopped'])
def test_points_beyond_the_end_of_a_run_are_kept_aside(make_trainer, end):
    saving = {'save_folder': 'ck', 'save_interval': '1ep'}
    make_trainer(schedulers=doubling(), callbacks=snapshot(), **saving).fit()
    whole = curve()
    again = {'max_duration': '4ep'} if end == 'shorter' else {}
    callbacks = [snapshot()] if end == 'shorter' else [snapshot(), StopTraining(40)]
    trainer = make_trainer(schedulers=doubling(), callbacks=callbacks, load_path='ck/ep3-ba30-rank0.pt', **again)
    with pytest.warns(UserWarning, match='goes on beyond the end of this run: it is kept as curve-1.json'):
        trainer.fit()
    assert [p.batch for p in curve().points] == [20, 40]
    aside = curve(Path('out/curve-1.json'))
    assert [p.batch for p in aside.points] == [20, 40, 80]
    assert aside.points[-1] == whole.points[-1]
