"""The same questions to all curves, answered by hand."""

import json
import math
from dataclasses import replace

import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.study.ask import answer, answers_record
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs

# In log time 0.4 lies half way from 10 to 1000 s, and from 5 to 500 s.
STUDY = [
    run('MX', 'cyclic', [(1, 0.2, 5), (2, 0.6, 500)]),
    run('baseline', 'cyclic', [(1, 0.2, 10), (2, 0.6, 1000)]),
    *standard_runs('baseline', [(1, 0.3, 20), (2, 0.5, 2000)]),
    run('LS', 'wsd-s', [(1, 0.1, 3), (2, 0.2, 30)]),
]


def near(*values):
    return [value and pytest.approx(value, rel=1e-9) for value in values]


def exact(curve):
    """The answers in the measured range; ``None`` for bounds and what is not reached."""
    return (
        [reached.exact for reached in curve.reached],
        [speedup and speedup.answer.exact for speedup in curve.speedups],
        [best.exact for best in curve.values],
    )


def test_by_hand():
    answers = answer(STUDY, reach=[0.4, 0.6], within=[100, 1e4])
    found = {(a.curve.method, a.curve.kind): exact(a) for a in answers.curves}
    assert list(found) == [('baseline', 'standard'), ('baseline', 'cyclic'), ('MX', 'cyclic'), ('LS', 'wsd-s')]
    assert found['baseline', 'standard'] == (near(200, None), near(1, None), near(0.3 + 0.2 * math.log(5, 100), None))
    assert found['baseline', 'cyclic'] == (near(100, 1000), near(1, 1), near(0.4, None))
    assert found['MX', 'cyclic'] == (near(50, 500), near(2, 2), near(0.2 + 0.4 * math.log(20, 100), None))
    assert found['LS', 'wsd-s'] == ([None, None], [None, None], [None, None])
    other = {str(a.curve): exact(a)[1] for a in answer(STUDY, reach=[0.4], baseline='MX').curves}
    assert other == {
        'MX, cyclic': near(1),
        'baseline, standard': [None],
        'baseline, cyclic': near(0.5),
        'LS, wsd-s': [None],
    }


def test_intervals_over_seeds_and_bounds_where_the_curve_ends():
    """Two seeds 0.001 apart: half of the interval at every point is 12.7 times 0.0005."""
    curves = [run('A', 'cyclic', [(1, v, 10), (2, 0.8 + v, 1000)], s, f'{s}') for s, v in ((1, 0.0), (2, 0.001))]
    (found,) = answer(curves, reach=[0.4, 0.8], within=[100.0]).curves
    half = 12.706204736 * 0.0005
    x, wide = 10 * 100 ** ((0.4 - 0.0005) / 0.8), half / 0.8
    assert [found.reached[0].low, found.reached[0].value, found.reached[0].high] == near(
        x * 100**-wide, x, x * 100**wide
    )
    assert found.reached[1].high == math.inf
    assert [found.values[0].low, found.values[0].high] == near(0.4005 - half, 0.4005 + half)
    written = answers_record(answer(curves, reach=[0.4, 0.8]))['curves'][0]['reach']
    assert written[0]['interval'] == near(x * 100**-wide, x * 100**wide)
    assert (written[1]['interval'][1], written[1]['seeds']) == (None, 2)


def test_runs_that_count_epochs_beside_runs_that_count_batches():
    def counted(method, epochs):
        points = [point(e, v, s, batch=b) for e, b, s, v in zip(epochs, (400, 800), (10, 20), (0.5, 0.6), strict=True)]
        return TradeoffCurve(run(method, 'cyclic', []).run, points)

    curves = [counted('MX', (None, None)), counted('baseline', (4, 8))]
    for order in (curves, curves[::-1]):
        answers = answer(order, within=[(400 * 2**0.5, 'batch')])
        assert [one.values[0].exact for one in answers.curves] == near(0.55, 0.55)
        with pytest.raises(CurveError, match='counts no epochs'):
            answer(order, within=[(6, 'epoch')])


def test_a_loss_is_reached_from_above():
    curves = [run('baseline', 'cyclic', [(1, 3.0, 10), (2, 1.0, 1000)], metric='eval/loss')]
    answers = answer(curves, reach=[2], within=[100])
    assert exact(answers.curves[0])[::2] == (near(100), near(2))
    assert [point.value for point in answers.frontier] == [3.0, 1.0]
    seeds = [
        run('A', 'cyclic', [(1, 3.0 + v, 10), (2, 1.0 + v, 1000)], s, f'{s}', 'loss') for s, v in ((1, 0), (2, 0.1))
    ]
    best = answer(seeds, within=[100]).curves[0].values[0]
    assert [best.low, best.value, best.high] == near(2.05 - 12.706204736 * 0.05, 2.05, 2.05 + 12.706204736 * 0.05)
    upwards = answer(curves, reach=[2], lower_is_better=False)
    assert exact(upwards.curves[0])[0] == [None]
    given = replace(curves[0], run=replace(curves[0].run, directions={'eval/loss': 'max'}))
    assert [point.value for point in answer([given], reach=[2]).frontier] == [3.0]


@pytest.mark.parametrize(
    ('asked', 'values', 'target'),
    [('76%', [70.0, 80.0], 76), (76, [70.0, 80.0], 76), ('76%', [0.70, 0.80], 0.76), ('0.76', [0.70, 0.80], 0.76)],
    ids=['percent of percent', 'number of percent', 'percent of a fraction', 'a fraction'],
)
def test_a_value_is_asked_for_in_the_unit_of_the_data(asked, values, target):
    curve = run('baseline', 'cyclic', list(zip((1, 2), values, strict=True)), metric='top1')
    answers = answer([curve], reach=[asked])
    assert answers.reach == near(target)
    assert answers.curves[0].reached[0].state == 'reached'


@pytest.mark.parametrize(
    ('asked', 'metric', 'values', 'match'),
    [
        ('0.76', 'top1', [70.0, 80.0], '--reach 0.76: top1 is in percent here, write 76 or 76%'),
        ('40%', 'val_loss', [2.0, 1.0], '--reach 40%: val_loss is not a percentage, write 40 or 0.4'),
        ('76', 'top1', [0.7, 0.8], 'no run can reach 76: top1 is a fraction here, write 0.75 or 75%'),
        ('high', 'top1', [0.7, 0.8], '--reach high: must be a number, such as 0.75 or 75%'),
        (math.nan, 'top1', [0.7, 0.8], '--reach nan: must be a finite number'),
    ],
)
def test_a_value_in_another_unit_is_refused(asked, metric, values, match):
    curve = run('baseline', 'cyclic', list(zip((1, 2), values, strict=True)), metric=metric)
    with pytest.raises(CurveError, match=match):
        answer([curve], reach=[asked])


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'reach': [0.5], 'baseline': 'XX'}, "no run is of the baseline 'XX': choose one of MX, baseline, LS"),
        ({'metric': 'eval/F1'}, "no run has the metric 'eval/F1', only eval/"),
    ],
)
def test_refused(options, match):
    with pytest.raises(CurveError, match=match):
        answer(STUDY, **options)


def test_the_best_near_a_point():
    curve = TradeoffCurve(STUDY[0].run, [point(1, 0.2, 10, peak=0.3), point(2, 0.6, 1000, peak=0.7)])
    answers = answer([curve], reach=[0.5], peak=True)
    assert (answers.study.metric, exact(answers.curves[0])[0]) == (f'peak:{ACC}', near(100))


def test_times_on_different_numbers_of_ranks_have_counts_too():
    on_eight = TradeoffCurve(replace(STUDY[0].run, world_size=8, run_name='eight'), STUDY[0].points)
    answers = answer([on_eight, *STUDY[1:]], reach=[0.4])
    assert str(answers.warning).endswith("run 'eight' has world_size=8, run 'r' 1")
    found = {one.curve.method: one.reached_counts[0].exact for one in answers.curves if one.curve.kind == 'cyclic'}
    assert list(found.values()) == near(2**0.5, 2**0.5)


def test_the_record_is_strict_json():
    written = json.loads(json.dumps(answers_record(answer(STUDY, reach=[0.2, 0.4], within=[100])), allow_nan=False))
    of_mx = next(one for one in written['curves'] if one['method'] == 'MX')
    assert of_mx['reach'][1] == {
        **{'value': 0.4, 'time_s': pytest.approx(50), 'state': 'reached', 'bound': None, 'interval': None, 'seeds': 1},
        **{'speedup': pytest.approx(2), 'speedup_state': 'reached', 'speedup_bound': None, 'speedup_interval': None},
        'speedup_seeds': 1,
    }
    of_ls = next(one for one in written['curves'] if one['method'] == 'LS')
    assert (of_ls['reach'][1]['state'], of_ls['reach'][1]['speedup_state']) == ('not reached', None)
    assert of_ls['within'][0] == {
        **{'time_s': 100, 'value': None, 'state': 'bound', 'bound': {'>=': 0.2}, 'interval': None, 'seeds': 1}
    }
    assert written['frontier'][0] == {
        **{'method': 'LS', 'kind': 'wsd-s', 'epoch': 1, 'time_s': 3, 'value': 0.1, 'decided': True}
    }
