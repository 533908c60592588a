"""Evaluation around troughs in real Trainers: when evaluators run, and what of it goes into a point."""

import math
import warnings
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from composer import Callback, Evaluator, Event
from composer.algorithms import EMA
from composer.core import State
from composer.loggers import Logger
from torch.utils.data import DataLoader, IterableDataset, Subset
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from composer_clr import CyclicCosineScheduler
from tests.helpers.recorded_runs import Recorder, Stop, StopAfter, curve, doubling, snapshot
from tests.helpers.trainers import classifier, loader

ACCURACY = 'eval/MulticlassAccuracy'


def evaluated_batches(recorder: Recorder, label: str = 'eval') -> list[int]:
    return [batch for batch, of in recorder.evaluations if of == label]


def evaluator(label: str = 'v', **changes) -> Evaluator:
    arguments = {'dataloader': loader(40, batch_size=20, seed=1), 'metric_names': ['MulticlassAccuracy']}
    return Evaluator(label=label, **{**arguments, **changes})


@pytest.mark.parametrize(
    ('interval', 'users'), [(0, []), ('1ep', [10, 20]), ('1ba', range(1, 27)), ('10ba', [10, 20]), ('0.5dur', [13, 26])]
)
def test_a_trough_within_an_epoch_is_evaluated_at_its_batch_once(make_trainer, interval, users):
    recorder, scheduler = Recorder(), CyclicCosineScheduler(cycle_ends=['13ba', '26ba'], t_warmup='3ba')
    callbacks = [snapshot(), recorder]
    make_trainer(schedulers=scheduler, callbacks=callbacks, max_duration='26ba', eval_interval=interval).fit()
    assert evaluated_batches(recorder) == sorted({*users, 13, 26})
    assert [p.batch for p in curve().points] == [13, 26]


@pytest.mark.parametrize(
    ('interval', 'users'),
    [('1ep', range(2, 17, 2)), ('2ba', range(2, 17, 2)), ('1ba', range(1, 17)), ('0.25dur', range(4, 17, 4))],
)
def test_every_evaluator_runs_once_at_a_trough_at_an_epochs_end(make_trainer, interval, users):
    """Whatever its own interval; an epoch has two batches."""
    recorder = Recorder()
    make_trainer(
        schedulers=doubling(),
        callbacks=[snapshot(), recorder],
        train_dataloader=loader(8),
        eval_dataloader=[evaluator('often', eval_interval=interval), evaluator('never', eval_interval=0)],
    ).fit()
    assert evaluated_batches(recorder, 'often') == sorted({*users, 4, 8, 16})
    assert evaluated_batches(recorder, 'never') == [4, 8, 16]
    assert set(curve().points[0].metrics) == {'often/MulticlassAccuracy', 'never/MulticlassAccuracy'}


def test_the_users_interval_is_always_asked_since_it_may_keep_count(make_trainer):
    asked = []

    def every_third_time(state: State, event: Event) -> bool:
        asked.append((state.timestamp.batch.value, event))
        return len(asked) % 3 == 0

    train = {'train_dataloader': loader(8), 'eval_interval': every_third_time}
    make_trainer(schedulers=doubling(), callbacks=snapshot(), **train).fit()
    batch_ends = {(batch, Event.BATCH_END) for batch in range(1, 17)}
    epoch_ends = {(batch, Event.EPOCH_END) for batch in range(2, 17, 2)}
    assert len(asked) == 16 + 8 + 1
    assert set(asked) == batch_ends | epoch_ends | {(16, Event.FIT_END)}


class Scripted(MulticlassAccuracy):
    """An accuracy of given values, one per evaluation."""

    values: ClassVar[list[float]] = []

    def compute(self):
        return torch.tensor(type(self).values[0])


class NextValue(Callback):
    def eval_after_all(self, state: State, logger: Logger) -> None:
        del Scripted.values[0]


def scripted_model():
    model = classifier()
    model.val_metrics = MetricCollection({'Scripted': Scripted(num_classes=2)})
    return model


def scripted_peaks(make_trainer, values: list[float], window: str, **changes):
    """Returns the peaks, and the values at the troughs; an epoch has two batches."""
    Scripted.values = list(values)
    make_trainer(
        model=scripted_model(),
        train_dataloader=loader(8),
        schedulers=doubling(),
        callbacks=[snapshot(peak_window=window, **changes), NextValue()],
        eval_interval='1ep',
    ).fit()
    points = curve().points
    return [p.peak_metrics['eval/Scripted'] for p in points], [p.metrics['eval/Scripted'] for p in points]


RISING_THEN_WORSE = [0.9, 0.1, 0.5, 0.2, 0.8, 0.7, 0.6, 0.3]  # at epochs 1 to 8; troughs at 2, 4 and 8


@pytest.mark.parametrize(
    ('window', 'peaks'),
    [
        ('1ep', [0.9, 0.5, 0.6]),
        ('1ba', [0.1, 0.2, 0.3]),
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


@pytest.mark.filterwarnings('ignore:max_duration=.* stops in the middle of a cycle')
def test_an_evaluation_at_the_end_of_a_fit_is_no_peak(make_trainer):
    """Composer adds it; in an anytime run it is of the weights in training, under the name of the average's metrics."""
    Scripted.values = [0.5, 0.9, 0.6, 0.7, 0.8]  # at batches 20, 30, 40, 60 and 80
    trainer = make_trainer(
        model=scripted_model(),
        schedulers=doubling(),
        callbacks=[snapshot(peak_window='2ep'), NextValue()],
        max_duration=None,
        eval_interval='2ep',
    )
    trainer.fit(duration='3ep')
    trainer.fit(duration='5ep')
    assert [p.peak_metrics['eval/Scripted'] for p in curve().points] == pytest.approx([0.5, 0.6, 0.8])


@pytest.mark.parametrize('last', ['10ba', '15ba'], ids=['at-an-epochs-end', 'within-an-epoch'])
def test_evaluating_by_hand_adds_no_point(make_trainer, last):
    scheduler = CyclicCosineScheduler(cycle_ends=['5ba', last])
    trainer = make_trainer(schedulers=scheduler, callbacks=snapshot(), max_duration=last)
    trainer.eval()
    trainer.fit()
    before = Path('out/curve.json').read_text()
    trainer.eval()
    assert Path('out/curve.json').read_text() == before


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


def test_the_curve_says_on_how_many_samples_it_was_evaluated(make_trainer):
    whole = loader(40, batch_size=20, seed=1)
    part = DataLoader(Subset(Subset(whole.dataset, range(30)), range(0, 30, 3)), 4)
    make_trainer(
        eval_dataloader=[
            evaluator('whole', dataloader=whole),
            evaluator('part', dataloader=part),
            evaluator('cut', dataloader=whole, subset_num_batches=1),
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


@pytest.mark.parametrize('ends', ['well', 'with-an-error', 'closed-after-an-error'])
def test_evaluators_are_given_back_when_training_ends(make_trainer, ends):
    shared = evaluator(eval_interval='1ep')
    interval = shared.eval_interval
    callbacks = [snapshot(folder='first'), *([] if ends == 'well' else [StopAfter(25, Event.BATCH_START)])]
    first = make_trainer(eval_dataloader=shared, schedulers=doubling(), callbacks=callbacks, max_duration='4ep')
    if ends == 'well':
        first.fit()
    else:
        with pytest.raises(Stop):
            first.fit()
    if ends == 'closed-after-an-error':
        first.close()
    if ends != 'with-an-error':
        assert shared.eval_interval is interval
    # A Trainer without a snapshot has the user's evaluations, and no others.
    recorder = Recorder()
    second = make_trainer(eval_dataloader=shared, schedulers=doubling(), callbacks=recorder, max_duration='4ep')
    second.fit()
    assert evaluated_batches(recorder, 'v') == [*range(10, 41, 10)]


SHARED = DataLoader(loader(40).dataset, 4, num_workers=1, persistent_workers=True)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'eval_subset_num_batches': 0}, "evaluator 'eval': eval_subset_num_batches=0 evaluates on no sample"),
        ({'eval_dataloader': evaluator(subset_num_batches=0)}, "evaluator 'v': eval_subset_num_batches=0"),
        ({'eval_dataloader': DataLoader(Subset(loader(4).dataset, []), 4)}, "'eval': its loader has no batch"),
        ({'eval_dataloader': DataLoader(loader(3).dataset, 4, drop_last=True)}, 'its loader has no batch'),
        (
            dict.fromkeys(('train_dataloader', 'eval_dataloader'), SHARED),
            "'eval' has the train loader, whose workers persist",
        ),
    ],
    ids=['subset', 'an-evaluators-subset', 'no-data', 'drop-last', 'that-of-training'],
)
def test_an_evaluation_that_cannot_be_right_is_refused_before_the_first_batch(make_trainer, changes, match):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), **changes)
    with pytest.raises(ValueError, match=match):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


class OneEvaluation(IterableDataset):
    """Yields its samples once, and then none."""

    def __init__(self):
        dataset = loader(40, seed=1).dataset
        self.samples = iter([dataset[index] for index in range(40)])

    def __iter__(self):
        return self.samples


# Composer's own warning of the same.
@pytest.mark.filterwarnings('ignore:No batches were evaluated for global rank 0:UserWarning')
@pytest.mark.filterwarnings('ignore:The ``compute`` method of metric:UserWarning')
def test_an_evaluation_that_turns_out_to_have_no_sample_is_left_out_of_the_point(make_trainer):
    trainer = make_trainer(
        eval_dataloader=DataLoader(OneEvaluation(), 20),
        eval_subset_num_batches=2,
        schedulers=doubling(),
        callbacks=snapshot(),
        max_duration='4ep',
    )
    with pytest.warns(UserWarning, match="evaluator 'eval' has no sample: its metrics are left out"):
        trainer.fit()
    first, second = curve().points
    assert set(first.metrics) == {ACCURACY, 'eval/CrossEntropy'}
    assert second.metrics == {}
