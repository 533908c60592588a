"""The same questions to all curves, answered by hand."""

import json
import math
from dataclasses import replace

import pytest

from composer_clr.analysis.ask import answer, answers_record
from composer_clr.curves.curve import CurveError, TradeoffCurve
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs

# In log time 0.4 lies half way from 10 to 1000 s, and from 5 to 500 s.
STUDY = [
    run('MX', 'cyclic', [(1, 0.2, 5), (2, 0.6, 500)]),
    run('baseline', 'cyclic', [(1, 0.2, 10), (2, 0.6, 1000)]),
    *standard_runs('baseline', [(1, 0.3, 20), (2, 0.5, 2000)]),
    run('LS', 'wsd-s', [(1, 0.1, 3), (2, 0.2, 30)]),
]


def near(*values):
    return tuple(value and pytest.approx(value, rel=1e-12) for value in values)


def exact(curve):
    """The answers in the measured range; ``None`` for bounds and what is not reached."""
    return (
        tuple(reached.exact for reached in curve.reached),
        tuple(speedup and speedup.answer.exact for speedup in curve.speedups),
        tuple(best.exact for best in curve.values),
    )


class TestAnswer:
    def test_by_hand(self):
        answers = answer(STUDY, reach=[0.4, 0.6], within=[100, 1e4])
        found = {(a.curve.method, a.curve.kind): exact(a) for a in answers.curves}
        assert list(found) == [('baseline', 'standard'), ('baseline', 'cyclic'), ('MX', 'cyclic'), ('LS', 'wsd-s')]
        assert found['baseline', 'standard'] == (
            near(200, None),
            near(1, None),
            near(0.3 + 0.2 * math.log(5, 100), None),
        )
        assert found['baseline', 'cyclic'] == (near(100, 1000), near(1, 1), near(0.4, None))
        assert found['MX', 'cyclic'] == (near(50, 500), near(2, 2), near(0.2 + 0.4 * math.log(20, 100), None))
        assert found['LS', 'wsd-s'] == ((None, None), (None, None), (None, None))
        assert (answers.metric, answers.scale, answers.baseline) == (ACC, 100, 'baseline')

    def test_another_baseline(self):
        answers = answer(STUDY, reach=[0.4], baseline='MX')
        assert [(str(a.curve), exact(a)[1][0]) for a in answers.curves[:2]] == [
            ('MX, cyclic', pytest.approx(1)),
            ('baseline, standard', None),
        ]
        assert exact(answers.curves[2])[1][0] == pytest.approx(0.5)

    def test_a_loss_is_reached_from_above(self):
        curves = [run('baseline', 'cyclic', [(1, 3.0, 10), (2, 1.0, 1000)], metric='eval/loss')]
        answers = answer(curves, reach=[2], within=[100])
        assert (exact(answers.curves[0])[0][0], exact(answers.curves[0])[2][0], answers.scale) == (
            pytest.approx(100),
            pytest.approx(2),
            1,
        )
        assert [point.value for point in answers.frontier] == [3.0, 1.0]
        answers = answer(curves, reach=[2], lower_is_better=False)
        assert exact(answers.curves[0])[0] == (None,)
        assert [point.value for point in answers.frontier] == [3.0]

    @pytest.mark.parametrize('metric', ['eval/loss_by_class/0', 'loss/val', 'val_loss/epoch'])
    def test_a_loss_by_any_part_of_its_name(self, metric):
        answers = answer([run('baseline', 'cyclic', [(16, 2.0), (32, 1.5), (64, 1.2)], metric=metric)], reach=[1.4])
        assert exact(answers.curves[0])[0] == (pytest.approx(3200 * 2 ** (1 / 3)),)
        assert [point.value for point in answers.frontier] == [2.0, 1.5, 1.2]

    def test_the_direction_that_a_run_was_given(self):
        curve = run('baseline', 'cyclic', [(1, 3.0, 10), (2, 1.0, 1000)], metric='eval/F1')
        curve = replace(curve, run=replace(curve.run, directions={'eval/F1': 'min'}))
        assert exact(answer([curve], reach=[2]).curves[0])[0] == (pytest.approx(100),)

    @pytest.mark.parametrize(
        ('asked', 'values', 'target'),
        [
            ('76%', [70.0, 80.0], 76),
            (76, [70.0, 80.0], 76),
            ('76%', [0.70, 0.80], 0.76),
            ('0.76', [0.70, 0.80], 0.76),
        ],
        ids=['percent of percent', 'number of percent', 'percent of a fraction', 'a fraction'],
    )
    def test_a_value_is_asked_for_in_the_unit_of_the_data(self, asked, values, target):
        curve = run('baseline', 'cyclic', list(zip((1, 2), values, strict=True)), metric='top1')
        answers = answer([curve], reach=[asked])
        assert answers.reach == (pytest.approx(target),)
        assert answers.curves[0].reached[0].state == 'reached'

    @pytest.mark.parametrize(
        ('asked', 'metric', 'values', 'match'),
        [
            ('0.76', 'top1', [70.0, 80.0], '--reach 0.76: top1 is in percent here, write 76 or 76%'),
            ('40%', 'val_loss', [2.0, 1.0], '--reach 40%: val_loss is not a percentage, write 40 or 0.4'),
            ('76', 'top1', [0.7, 0.8], 'no run can reach 76: top1 is a fraction here, write 0.75 or 75%'),
            ('high', 'top1', [0.7, 0.8], '--reach high: must be a number, such as 0.75 or 75%'),
        ],
    )
    def test_a_value_in_another_unit_is_refused(self, asked, metric, values, match):
        curve = run('baseline', 'cyclic', list(zip((1, 2), values, strict=True)), metric=metric)
        with pytest.raises(CurveError, match=match):
            answer([curve], reach=[asked])

    def test_the_best_near_a_point(self):
        curve = TradeoffCurve(STUDY[0].run, [point(1, 0.2, 10, peak=0.3), point(2, 0.6, 1000, peak=0.7)])
        answers = answer([curve], reach=[0.5], peak=True)
        assert (answers.metric, exact(answers.curves[0])[0]) == (f'peak:{ACC}', (pytest.approx(100),))

    @pytest.mark.parametrize(
        ('options', 'match'),
        [
            ({'reach': [75]}, f'no run can reach 75: {ACC} is a fraction here, write 0.75 or 75%'),
            ({'reach': [math.nan]}, '--reach nan: must be a finite number'),
            ({'reach': [0.5], 'baseline': 'XX'}, "no run is of the baseline 'XX': choose one of MX, baseline, LS"),
            ({'metric': 'eval/F1'}, "has no metric 'eval/F1'"),
        ],
        ids=['percent', 'nan', 'baseline', 'metric'],
    )
    def test_refused(self, options, match):
        with pytest.raises(CurveError, match=match):
            answer(STUDY, **options)


def test_the_record_is_strict_json():
    record = json.loads(json.dumps(answers_record(answer(STUDY[:2], reach=[0.6], within=[1])), allow_nan=False))
    assert record == {
        'metric': ACC,
        'direction': 'max',
        'baseline': 'baseline',
        'axis': 'time',
        'curves': [
            {
                'method': method,
                'kind': 'cyclic',
                'reach': [
                    {
                        'value': 0.6,
                        'time_s': time_s,
                        'state': 'reached',
                        'bound': None,
                        'speedup': speedup,
                        'speedup_state': 'reached',
                        'speedup_bound': None,
                        'speedup_interval': None,
                        'seeds': 1,
                    }
                ],
                'within': [{'time_s': 1, 'value': None, 'state': 'not reached', 'bound': None}],
                'unlike_times': None,
            }
            for method, time_s, speedup in (('baseline', 1000, 1), ('MX', 500, 2))
        ],
        'frontier': [
            {'method': 'MX', 'kind': 'cyclic', 'epoch': epoch, 'time_s': time_s, 'value': value}
            for epoch, time_s, value in ((1, 5, 0.2), (2, 500, 0.6))
        ],
        'warning': None,
    }
