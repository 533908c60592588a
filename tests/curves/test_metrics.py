import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import default_metric, is_fraction, is_lower_better
from tests.helpers.runs_and_lines import ACC, run


@pytest.mark.parametrize(
    ('metric', 'expected'),
    [
        ('eval/MulticlassAccuracy', False),
        ('eval/LanguageCrossEntropy', True),
        ('eval/LanguagePerplexity', True),
        ('WordErrorRate', True),
        ('eval/loss', True),
        ('loss-study/MulticlassAccuracy', False),
    ],
)
def test_direction_is_told_from_the_last_part_of_the_name(metric, expected):
    assert is_lower_better(metric) is expected


@pytest.mark.parametrize(
    ('metric', 'values', 'expected'),
    [
        ('eval/MulticlassAccuracy', [0, 1], True),
        ('eval/MulticlassAccuracy', [71.0, 76.0], False),
        ('eval/CrossEntropy', [0.9, 0.4], False),
        ('eval/MeanSquaredError', [0.9, 0.4], False),
        ('eval/WordErrorRate', [0.9, 0.4], True),
        ('eval/reward', [-0.1, 0.4], False),
    ],
)
def test_fractions_are_told_from_name_and_values(metric, values, expected):
    assert is_fraction(metric, values) is expected


class TestDefaultMetric:
    def test_an_accuracy_that_all_have_comes_first(self):
        points = [TradeoffPoint(0, 1.0, 0, 0, 0, 1.0, 1.0, 0.0, {'eval/loss': 1.0, ACC: 0.5}, {'eval/loss': 0.9})]
        curve = TradeoffCurve(Run('r', 'cyclic', 'MX'), points)
        assert default_metric([curve]) == ACC
        assert default_metric([curve], peak=True) == 'eval/loss'
        assert default_metric([curve, run('MX', 'cyclic', [(1, 0.5)], metric='eval/loss')]) == 'eval/loss'

    def test_metrics_that_do_not_meet(self):
        curves = [run('MX', 'cyclic', [(1, 0.5)], metric=name) for name in ('a/x', 'b/x')]
        with pytest.raises(CurveError, match=r"share no metric \(they have \['a/x', 'b/x'\]\): take those"):
            default_metric(curves)

    def test_no_peaks(self):
        with pytest.raises(CurveError, match=r'share no peak metric \(they have \[\]\)'):
            default_metric([run('MX', 'cyclic', [(1, 0.5)])], peak=True)

    def test_no_points(self):
        with pytest.raises(CurveError, match='no points to compare: name runs that have passed a trough'):
            default_metric([])
