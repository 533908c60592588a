import math
import statistics
from dataclasses import replace

import pytest

from composer_clr.analysis.mean_curve import mean_curves, standard_error
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.study.screening import usable_curves
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs


def unsized(method, kind, *points):
    """A run whose train loader has no length."""
    return TradeoffCurve(Run('unsized', kind, method), [point(None, value, 1.0, batch=at) for at, value in points])


class TestMeanCurves:
    def test_seeds_are_one_curve_with_a_spread(self):
        curves = mean_curves(
            [
                run('MX', 'cyclic', [(32, 0.6, 310), (16, 0.4, 100)], seed=1),
                run('MX', 'cyclic', [(16.0000001, 0.6, 200)], seed=2),
            ],
            ACC,
        )
        curve = curves['MX', 'cyclic']
        assert curve.count.tolist() == [16, 32]
        assert curve.time_s.tolist() == [150, 310]
        assert curve.value == pytest.approx([0.5, 0.6], abs=1e-12)
        assert curve.spread == pytest.approx([math.sqrt(0.02), math.nan], abs=1e-12, nan_ok=True)
        assert curve.samples == ({'seed 1': 0.4, 'seed 2': 0.6}, {'seed 1': 0.6})

    def test_a_standard_curve_is_put_together_from_its_runs(self):
        curves = mean_curves([*standard_runs('LS', [(64, 0.7), (16, 0.5)]), run('LS', 'cyclic', [(16, 0.4)])], ACC)
        assert list(curves) == [('LS', 'standard'), ('LS', 'cyclic')]
        assert curves['LS', 'standard'].count.tolist() == [16, 64]

    def test_runs_without_a_seed_count_as_different_ones(self):
        (curve,) = mean_curves([run('MX', 'cyclic', [(16, v)]) for v in (0.4, 0.6)], ACC).values()
        assert curve.value.tolist() == [0.5]
        assert len(curve.samples[0]) == 2

    def test_peaks_are_taken_when_asked_for(self):
        curves = [TradeoffCurve(Run('r', 'cyclic', 'MX'), [point(16, 0.5, peak=0.6)])]
        assert mean_curves(curves, ACC, peak=True)['MX', 'cyclic'].value.tolist() == [0.6]

    def test_batches_stand_in_where_no_loader_has_a_length(self):
        runs = [unsized('MX', 'cyclic', (500, 0.5), (900, 0.7)), unsized('MX', 'cyclic', (500, 0.3))]
        curve = mean_curves([*runs, run('LS', 'cyclic', [(16, 0.5)])], ACC)['MX', 'cyclic']
        assert curve.count.tolist() == [500, 900]
        assert curve.value == pytest.approx([0.4, 0.7], abs=1e-12)

    def test_cycles_that_one_batch_ended_together_are_one_point(self):
        (curve,) = mean_curves([run('MX', 'cyclic', [(1, 0.5), (1, 0.5), (2, 0.6)], seed=17)], ACC).values()
        assert curve.count.tolist() == [1, 2]
        assert curve.samples == ({'seed 17': 0.5}, {'seed 17': 0.6})

    @pytest.mark.parametrize('value', [math.nan, math.inf])
    def test_a_mean_is_nan_where_it_may_be(self, value):
        runs = [run('MX', 'cyclic', [(16, 0.5), (32, other)], seed) for seed, other in ((17, value), (18, -math.inf))]
        curve = mean_curves(runs, ACC, allow_nan=True)['MX', 'cyclic']
        assert curve.value == pytest.approx([0.5, math.nan], nan_ok=True)
        assert curve.spread == pytest.approx([0, math.nan], nan_ok=True)

    def test_runs_without_points_are_passed_over(self):
        assert mean_curves([TradeoffCurve(Run('r', 'cyclic', 'MX'), [])], ACC) == {}

    @pytest.mark.parametrize(
        ('curves', 'message'),
        [
            pytest.param(
                [run('MX', 'cyclic', [(16, math.nan)], name='bad')],
                "run 'bad': .*Accuracy is nan at epoch 16: leave the run out",
                id='nan',
            ),
            pytest.param([run('MX', 'cyclic', [(16, math.inf)])], 'is inf at epoch 16', id='infinity'),
            pytest.param(
                [run('MX', 'cyclic', [(16, 1.7e308)], seed) for seed in (1, 2)], 'is 1.7e.308 at epoch 16', id='huge'
            ),
            pytest.param(
                [TradeoffCurve(Run('r', 'cyclic', 'MX'), [replace(point(16, 0.1), diverged=True)])],
                "run 'r': has diverged at epoch 16: leave the run out",
                id='diverged',
            ),
            pytest.param(
                [run('MX', 'cyclic', [(16, 0.5), (16, 0.6)])],
                "run 'r': two of its points at epoch 16 have different values: leave one out",
                id='two values at one epoch',
            ),
            pytest.param(
                [run('MX', 'cyclic', [(16, 0.5)], metric='eval/f1', name='odd')],
                f"run 'odd' has no metric '{ACC}' at epoch 16, only eval/f1: name a shared metric",
                id='no such metric',
            ),
            pytest.param([run('MX', 'cyclic', [(0, 0.5, 1)])], 'epoch 0.0: it must be above 0', id='epoch 0'),
            pytest.param([run('MX', 'cyclic', [(1, 0.5, 0)])], 'wall_clock_train_s 0.* above 0', id='time 0'),
            pytest.param(
                [run('MX', 'cyclic', [(16, 0.5)], 17, name) for name in 'ab'],
                "MX, cyclic: runs 'a' and 'b' both have seed 17 and epoch 16: leave one out",
                id='one seed twice',
            ),
            pytest.param(
                [run('MX', 'cyclic', [(16, 0.5)], name='sized'), unsized('MX', 'cyclic', (9, 0.5))],
                "run 'sized' counts epochs, run 'unsized' does not: compare them separately",
                id='epochs and batches',
            ),
        ],
    )
    def test_what_cannot_be_averaged_is_named(self, curves, message):
        with pytest.raises(CurveError, match=message):
            mean_curves(curves, ACC)

    def test_peaks_that_are_missing_are_named_as_columns_are(self):
        with pytest.raises(CurveError, match=f"has no metric 'peak:{ACC}' at epoch 16"):
            mean_curves([run('MX', 'cyclic', [(16, 0.5)])], ACC, peak=True)


class TestStandardError:
    cyclic = ({'1': 5.0, '2': 9.0, '3': 10.0}, {'1': 6.0, '2': 9.0, '3': 12.0})
    standard = ({'1': 4.0, '2': 9.0, '3': 8.0}, {'1': 6.0, '2': 7.0, '3': 11.0})

    def test_shared_seeds_give_the_error_of_their_own_gaps(self):
        terms = [*((0.5, sample) for sample in self.cyclic), *((-0.5, sample) for sample in self.standard)]
        gaps = [
            statistics.fmean(c[seed] - s[seed] for c, s in zip(self.cyclic, self.standard, strict=True))
            for seed in '123'
        ]
        assert standard_error(terms) == pytest.approx(statistics.stdev(gaps) / math.sqrt(3), abs=1e-12)

    def test_different_seeds_give_the_root_of_the_summed_squares(self):
        cyclic, other = self.cyclic[0], {'7': 4.0, '8': 9.0}
        by_hand = math.sqrt(statistics.variance(cyclic.values()) / 3 + statistics.variance(other.values()) / 2)
        assert standard_error([(1, cyclic), (-1, other)]) == pytest.approx(by_hand, abs=1e-12)

    @pytest.mark.parametrize(
        ('terms', 'expected'),
        [([(1, {'1': 5.0, '2': 7.0}), (-1, {'1': 5.0})], None), ([(0, {'1': 5.0}), (1, {'1': 5.0, '2': 7.0})], 1.0)],
        ids=['one seed', 'one seed that counts for nothing'],
    )
    def test_one_seed_has_no_error(self, terms, expected):
        assert standard_error(terms) == (expected and pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize('amount', [0.0, -1.0, 1e-101, 1e101, math.inf, math.nan])
def test_times_that_cannot_be_computed_with_are_refused(amount):
    curves = [run('A', 'cyclic', [(4, 0.5), (8, 0.6, amount)])]
    with pytest.raises(CurveError, match="run 'r': a point has wall_clock_train_s .*: it must be above 0"):
        mean_curves(curves, ACC)
    kept, _, errors = usable_curves(curves, ACC)
    assert [[point.epoch for point in curve.points] for curve in kept] == [[4]]
    assert len(errors) == 1
    assert 'wall_clock_train_s' in str(errors[0])


@pytest.mark.parametrize('value', [-1e101, 1e101, math.inf, math.nan])
def test_values_that_cannot_be_computed_with_are_refused(value):
    curves = [run('A', 'cyclic', [(4, 0.5), (8, value)])]
    with pytest.raises(CurveError, match=f"run 'r': {ACC} is .* at epoch 8: leave the run out"):
        mean_curves(curves, ACC)
    kept, _, errors = usable_curves(curves, ACC)
    assert [[point.epoch for point in curve.points] for curve in kept] == [[4]]
    assert len(errors) == 1
    assert ACC in str(errors[0])
