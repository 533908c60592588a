"""What the evaluators' metrics say: their direction, and values of which there may be too many for a curve."""

from __future__ import annotations

import pytest
import torch
from composer.models import ComposerClassifier
from torchmetrics import MeanMetric, MeanSquaredError, Metric, MetricCollection, MinMaxMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix
from torchmetrics.text import WordInfoPreserved

from composer_clr.recording.evaluation import MOST_VALUES, scalars
from tests.helpers.recorded_runs import curve, doubling, snapshot


class Score(MeanMetric):
    """The loss, under a name that does not say so."""

    higher_is_better = False

    def update(self, preds, target):  # type: ignore[override]
        super().update(torch.nn.functional.cross_entropy(preds, target))


class Quiet(Score):
    higher_is_better = None


class Preserved(WordInfoPreserved):
    def update(self, preds, target):
        del preds, target


Preserved.__name__ = 'WordInfoPreserved'


class OneHotError(MeanSquaredError):
    def update(self, preds, target):
        super().update(preds, torch.nn.functional.one_hot(target, 2).float())


def classifier_measured_by(**metrics: Metric) -> ComposerClassifier:
    torch.manual_seed(0)
    return ComposerClassifier(torch.nn.Linear(4, 2), num_classes=2, val_metrics=MetricCollection(dict(metrics)))


def test_the_direction_that_a_metric_states_is_recorded_and_used(make_trainer):
    model = classifier_measured_by(
        score=Score(), quiet=Quiet(), wrapped=MinMaxMetric(OneHotError()), preserved=Preserved(), own=Score()
    )
    callback = snapshot(peak_window='8ep', directions={'eval/own': 'max'})
    make_trainer(model=model, schedulers=doubling(), callbacks=callback, eval_interval='1ep').fit()
    recorded = curve()
    assert recorded.run.directions == {'eval/score': 'min', 'eval/wrapped': 'min', 'eval/own': 'max'}
    last = recorded.points[-1]
    # The loss falls within the cycle: what is best of it is its last value, and its first one for the other direction.
    assert last.peak_metrics['eval/score'] == last.metrics['eval/score'] < last.peak_metrics['eval/own']


def test_a_metric_of_very_many_values_is_left_out(make_trainer):
    network = torch.nn.Linear(4, 40)
    metrics = MetricCollection([MulticlassAccuracy(40), MulticlassConfusionMatrix(40)])
    model = ComposerClassifier(network, num_classes=40, val_metrics=metrics)
    trainer = make_trainer(model=model, schedulers=doubling(), callbacks=snapshot())
    with pytest.warns(UserWarning, match='eval/MulticlassConfusionMatrix has more than 1,000 values: it is left out'):
        trainer.fit()
    assert all(point.metrics.keys() == {'eval/MulticlassAccuracy'} for point in curve().points)


@pytest.mark.parametrize('nested', [False, True])
def test_as_many_values_as_that_are_kept(nested):
    def value(n):
        return {'a': {'b': torch.zeros(n - 1)}, 'c': [0.5]} if nested else torch.arange(float(n))

    assert len(scalars('eval/m', value(MOST_VALUES))) == MOST_VALUES
    with pytest.warns(UserWarning, match='eval/m has more than'):
        assert scalars('eval/m', value(MOST_VALUES + 1)) == {}
