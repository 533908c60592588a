"""What ParetoSnapshot refuses, on construction and before the first batch."""

from pathlib import Path

import pytest
from composer import Event
from torch.utils.data import DataLoader, IterableDataset

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from tests.helpers.recorded_runs import Stop, StopAfter, curve, doubling, snapshot
from tests.helpers.trainers import loader


@pytest.mark.parametrize(
    ('folder', 'run_name', 'match'),
    [
        ('{run_name}', 'lr{0}', "run_name='lr\\{0\\}' cannot be filled in: it comes to"),
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
        pytest.param(lambda state: 1.0, "troughs of the scheduler <lambda>.*scheduler=\\['16ep'", id='unknown'),
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


def test_training_on_the_data_of_an_evaluation_that_was_interrupted(make_trainer):
    """Composer leaves the evaluator's loader in the place of the train loader."""
    stop = StopAfter(25, Event.EVAL_BATCH_END)
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), stop], eval_interval='25ba')
    with pytest.raises(Stop):
        trainer.fit()
    stop.batch = -1
    with pytest.raises(ValueError, match="data of 'eval' would be trained on: pass train_dataloader"):
        trainer.fit()
    assert trainer.state.timestamp.batch == 25
    trainer.fit(train_dataloader=loader(40))
    assert [point.batch for point in curve().points] == [20, 40, 80]


@pytest.mark.filterwarnings('ignore:No batches were trained for global rank 0')
def test_a_trough_whose_evaluation_was_interrupted_is_warned_of(make_trainer):
    stop = StopAfter(40, Event.EVAL_BATCH_END)
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), stop])
    with pytest.raises(Stop):
        trainer.fit()
    stop.batch = -1
    with pytest.warns(UserWarning, match='no point at 4ep, a trough that has passed: its evaluation was interrupted'):
        trainer.fit(train_dataloader=loader(40))
    assert [point.batch for point in curve().points] == [20, 80]


def test_a_file_in_place_of_the_folder(make_trainer):
    Path('occupied').write_text('')
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(folder='occupied/{run_name}'))
    with pytest.raises(OSError, match=r"folder='occupied/run' cannot be created \(Not a directory\): name a folder"):
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
        ({'on_nan': 'halt'}, "on_nan='halt'.*'stop' or 'continue'"),
        ({'on_change': 'ignore'}, "on_change='ignore': must be 'refuse' or 'continue'"),
    ],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        ParetoSnapshot(**arguments)


def test_no_curve_before_training():
    with pytest.raises(RuntimeError, match='before training'):
        _ = ParetoSnapshot().curve


@pytest.mark.parametrize(
    ('max_duration', 'match'),
    [
        ('8iter', "max_duration='8iter': no curve can be counted in 'iter'"),
        ('0ep', 'max_duration .0ep. is less than or equal to the elapsed training duration'),
        ('-1ep', 'max_duration .-1ep. is less than or equal to the elapsed training duration'),
    ],
)
def test_durations_without_a_trough(make_trainer, max_duration, match):
    with pytest.raises(ValueError, match=match):
        make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration=max_duration).fit()


class Overstated(IterableDataset):
    """Ten batches of four, said to be forty."""

    def __len__(self) -> int:
        return 160

    def __iter__(self):
        return iter(loader(40).dataset)


@pytest.mark.filterwarnings("ignore:training ended at batch 40, before the trough at '2ep'")
def test_warns_of_a_loader_whose_length_is_not_true(make_trainer):
    trainer = make_trainer(
        schedulers=doubling(), callbacks=snapshot(), max_duration='4ep', train_dataloader=DataLoader(Overstated(), 4)
    )
    with pytest.warns(UserWarning, match='the first epoch had') as warned:
        trainer.fit()
    message = str(warned[0].message)
    assert 'the first epoch had 10 batches, but the length of the train dataloader is 40' in message
    assert "a trough at '1ep' comes after 4 epochs of data" in message
    assert 'train_subset_num_batches=10' in message


def test_a_run_that_is_cut_is_warned_of_once(make_trainer):
    with pytest.warns(UserWarning, match='stops in the middle of a cycle') as warned:
        make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration='5ep').fit()
    assert len(warned) == 1
