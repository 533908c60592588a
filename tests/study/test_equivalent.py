"""Equivalent lengths and kappa: by hand, beside a slow reference, on the paper's curves, and in simulated studies."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.interpolate import PchipInterpolator

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.study.equivalent import EQUIVALENT, Equivalents, calibrate, equivalent_lengths, mean_distance
from composer_clr.study.table import Study
from tests.helpers.paper import paper_curves
from tests.helpers.runs_and_lines import ACC, point, run

TROUGHS = [16.0, 32.0, 64.0, 128.0]


def slow_lengths(troughs, kappa):
    lengths, before = [], 0.0
    for i, trough in enumerate(troughs):
        cycle = trough if i == 0 else trough - troughs[i - 1]
        before = cycle + (kappa * before if i else 0.0)
        lengths.append(before)
    return lengths


def slow_kappa(troughs, values, at, standard, apart=0.0):
    """The kappa at which the curve at its equivalent lengths is so far above a standard run."""

    def above(kappa):
        return PchipInterpolator(np.log(slow_lengths(troughs, kappa)), values)(math.log(at)) - standard - apart

    return optimize.brentq(above, 0.3, 1.0)


def law(length):
    return 0.6 + 0.05 * np.log(np.asarray(length) / 16) - 0.004 * np.log(np.asarray(length) / 16) ** 2


def study(kappa, noise=((0.0, 0.0),), method='baseline', at=32.0, turned=lambda value: value, metric=ACC, more=()):
    """Returns a study of curves that follow a law at their equivalent lengths, with a standard run at one length.

    The noise of a seed is that of all points of its curve, and that of its standard run.
    """
    runs = [*more]
    for seed, (of_curve, of_run) in enumerate(noise):
        values = turned(law(slow_lengths(TROUGHS, kappa)) + of_curve).tolist()
        runs.append(run(method, 'cyclic', list(zip(TROUGHS, values, strict=True)), seed, f'c{seed}', metric))
        runs.append(run(method, 'standard', [(at, float(turned(law(at) + of_run)))], seed, f's{seed}', metric))
    return Study.of(runs, metric)


class TestLengths:
    @pytest.mark.parametrize('kappa', [0.3, 0.73, 1.0])
    @pytest.mark.parametrize('troughs', [TROUGHS, [8.0, 16.0, 24.0, 32.0], [5.0]])
    def test_against_a_slow_reference(self, troughs, kappa):
        assert equivalent_lengths(troughs, kappa) == pytest.approx(slow_lengths(troughs, kappa))

    def test_at_one_a_trough_is_its_own_length_and_at_zero_its_cycle(self):
        assert equivalent_lengths(TROUGHS, [1.0, 0.0]).tolist() == [TROUGHS, [16.0, 16.0, 32.0, 64.0]]


class TestCalibrate:
    @pytest.mark.parametrize('kappa', [0.45, 0.73, 0.98])
    def test_the_kappa_of_the_law_comes_out(self, kappa):
        found = calibrate(study(kappa), 'cyclic')
        assert found.kappa == pytest.approx(kappa, abs=0.01)  # PCHIP is not the law between the points
        assert found.kappa == pytest.approx(
            slow_kappa(TROUGHS, law(slow_lengths(TROUGHS, kappa)), 32, law(32)), abs=1e-3
        )
        assert (found.at, found.method, found.seeds, found.recorded) == (32.0, 'baseline', 1, False)
        assert math.isnan(found.low)
        assert math.isnan(found.high)

    def test_percent_losses_and_perplexities_have_the_same(self):
        expected = calibrate(study(0.73), 'cyclic').kappa
        for metric, turned in (
            (ACC, lambda value: 100 * value),
            ('eval/loss', lambda value: 2 - value),
            ('eval/error_rate', lambda value: 1 - value),
            ('eval/Perplexity', lambda value: np.exp(2 - value)),
        ):
            assert calibrate(study(0.73, turned=turned, metric=metric), 'cyclic').kappa == pytest.approx(
                expected, abs=1e-6
            )

    def test_the_interval_is_that_of_the_difference_over_the_seeds(self):
        noise = [(0.002, 0.0), (-0.001, 0.001), (-0.001, -0.001)]
        found = calibrate(study(0.73, noise), 'cyclic')
        apart = np.array([a - b for a, b in noise])
        half = stats.t(2).ppf(0.975) * apart.std(ddof=1) / math.sqrt(3)
        values = law(slow_lengths(TROUGHS, 0.73))
        for end, expected in ((found.low, half), (found.high, -half)):
            assert end == pytest.approx(slow_kappa(TROUGHS, values, 32, law(32), expected), abs=2e-3)
        assert found.seeds == 3

    def test_seeds_that_differ_alike_tell_no_interval(self):
        found = calibrate(study(0.73, [(0.004, 0.004), (-0.004, -0.004)]), 'cyclic')
        assert found.kappa == pytest.approx(0.73, abs=1e-3)
        assert math.isnan(found.low)
        assert math.isnan(found.high)

    def test_the_run_nearest_to_the_second_trough_is_taken_but_not_one_at_the_first(self):
        others = [run('baseline', 'standard', [(at, float(law(at)))], 0, f'o{at}') for at in (16.0, 30.0, 64.0)]
        assert calibrate(study(0.73, at=40.0, more=others), 'cyclic').at == 30.0
        assert calibrate(study(0.73, at=64.0, more=others[:1]), 'cyclic').at == 64.0

    def test_a_trough_without_a_point_is_known_from_the_record(self):
        lengths = slow_lengths(TROUGHS, 0.73)
        schedule = {'scheduler': 'CyclicCosineScheduler', 't_0': '8ep', 't_mult': 2.0, 't_warmup': '8ep'}
        schedule |= {'alpha_f': 0.0, 'ssr': 1.0, 'unit': 'ba', 'troughs': [160, 320, 640, 1280]}
        points = [
            point(epoch, float(law(length)), batch=int(10 * epoch))
            for epoch, length in zip(TROUGHS, lengths, strict=True)
            if epoch != 64
        ]
        recorded = TradeoffCurve(Run('c', 'cyclic', 'baseline', 0, schedule=schedule), points)
        standard = run('baseline', 'standard', [(30.0, float(law(30)))], 0, 's')
        shown = Study.of([recorded, standard], axis='epoch')
        found = calibrate(shown, 'cyclic')
        assert found.recorded
        assert found.kappa == pytest.approx(0.73, abs=0.02)
        of_points = found.lengths(shown, shown.curves['baseline', 'cyclic'])
        assert of_points == pytest.approx(np.array(slow_lengths(TROUGHS, found.kappa))[[0, 1, 3]])

    @pytest.mark.parametrize(
        ('of', 'said'),
        [
            (study(1.3), 'above 1'),
            (study(0.1), 'below 0.3'),
            (study(0.73, at=16.0), 'no run longer than the first trough'),
            (study(0.73, at=900.0), 'does not reach it at any kappa'),
            (study(0.73, turned=lambda value: 0.7 + 0 * value), 'flat there'),
            (study(0.73, at=64.0, turned=lambda v: 0.6 + np.minimum(v - 0.6, 0.03 + v / 1e3)), 'flat there'),
            (study(0.73, turned=lambda value: -value), 'does not improve all along'),
            (study(0.73, [(0.1, 0.0), (-0.1, 0.0)]), 'any kappa would do within the noise of 2 seeds'),
            (Study.of([run('baseline', 'cyclic', [(e, 0.5) for e in TROUGHS])]), 'no standard runs'),
            (Study.of([run('baseline', 'standard', [(32.0, 0.5)], 1)]), 'no cyclic runs'),
        ],
    )  # fmt: skip
    def test_what_does_not_tell_kappa_is_refused(self, of, said):
        with pytest.raises(CurveError, match=said):
            calibrate(of, 'cyclic')

    def test_two_points_are_too_few(self):
        curves = [run('baseline', 'cyclic', [(16, 0.5), (32, 0.6)]), run('baseline', 'standard', [(32, 0.61)])]
        with pytest.raises(CurveError, match='has 2 of the three points'):
            calibrate(Study.of(curves), 'cyclic')

    def test_a_restart_that_loses_nothing_is_one_within_the_noise(self):
        noise = [(0.001, 0.0), (-0.0005, 0.0), (0.0005, 0.0)]
        found = calibrate(study(1.0, noise), 'cyclic')
        assert found.kappa == found.high == 1.0
        assert 0.9 < found.low < 1

    def test_without_restarts_there_is_none(self):
        with pytest.raises(CurveError, match='no run has restarts'):
            Equivalents.of(Study.of([run('baseline', 'standard', [(32.0, 0.5)], 1)]))


class TestEquivalents:
    def test_gaps_are_at_the_equivalent_lengths_and_named_by_the_trained_ones(self):
        standard = [
            run('baseline', 'standard', [(at, float(law(at)))], 0, f's{at}') for at in (12.0, 24.0, 50.0, 200.0)
        ]
        shown = study(0.73, more=standard)
        placed = Equivalents.of(shown)
        gap = placed.gaps['baseline', 'cyclic']
        lengths = slow_lengths(TROUGHS, placed.found['cyclic'].kappa)
        knots = np.log([12, 24, 32, 50, 200])
        expected = [
            100 * (law(slow_lengths(TROUGHS, 0.73)[i]) - np.interp(math.log(at), knots, law(np.exp(knots))))
            for i, at in enumerate(lengths)
        ]
        assert gap.count.tolist() == TROUGHS
        assert gap.position == pytest.approx(lengths)
        assert gap.each.value == pytest.approx(expected)
        assert gap.mean_count.tolist() == TROUGHS[1:]
        assert mean_distance(gap) == pytest.approx(np.abs(expected[1:]).mean())

    def test_one_run_of_the_baseline_serves_all_methods_and_times_move_alike(self):
        other = run('MX', 'cyclic', [(e, 0.5 + i / 50) for i, e in enumerate(TROUGHS)], 0, 'm')
        placed = Equivalents.of(study(0.73, more=[other]))
        assert placed.gaps == {}  # a single standard run is not a curve, so there are no gaps
        assert placed.left_out == ['MX, cyclic', 'baseline, cyclic']
        moved = placed.beside().curves['MX', f'cyclic{EQUIVALENT}']
        assert moved.count == pytest.approx(slow_lengths(TROUGHS, placed.found['cyclic'].kappa))
        assert moved.mean('time_s') == pytest.approx(100 * moved.count)
        assert moved.value.tolist() == placed.study.curves['MX', 'cyclic'].value.tolist()

    def test_another_kind_that_is_refused_is_said_or_raised(self):
        other = [run('baseline', 'wsd-s', [(e, 0.7 - i / 50) for i, e in enumerate(TROUGHS)], 0, 'w')]
        shown = study(0.73, more=other)
        placed = Equivalents.of(shown, strict=False)
        assert list(placed.found) == ['cyclic']
        assert 'does not improve all along' in placed.refused['wsd-s']
        assert placed.lines()[-1] == placed.refused['wsd-s']
        with pytest.raises(CurveError, match='kappa of wsd-s runs'):
            Equivalents.of(shown)

    def test_the_record_is_strict_json(self):
        standard = [run('baseline', 'standard', [(at, float(law(at)))], 0, f's{at}') for at in (12.0, 200.0)]
        written = json.loads(json.dumps(Equivalents.of(study(0.73, more=standard)).record(), allow_nan=False))
        of_kind = written['equivalent']['cyclic']
        assert (of_kind['epoch'], of_kind['interval'], of_kind['seeds'], of_kind['method']) == (
            32.0,
            None,
            1,
            'baseline',
        )
        assert set(of_kind['gap']['baseline']['by_epoch']) == {'16', '32', '64', '128'}
        assert written['equivalent_refused'] == {}


class TestPaper:
    """Portes et al. 2022, arXiv:2206.00832: the baseline's one run of 31 epochs serves all eight methods."""

    @pytest.mark.parametrize(('peak', 'before'), [(True, 0.360), (False, 0.354)])
    def test_points_are_nearer_to_the_standard_curves(self, tmp_path, peak, before):
        shown = Study.of(paper_curves(tmp_path), 'top1', peak=peak, strict=False)
        placed = Equivalents.of(shown)
        one = placed.found['cyclic']
        assert (one.at, one.method) == (31.0, 'baseline')
        assert one.kappa == pytest.approx(0.74, abs=0.01)
        as_trained = replace(one, kappa=1.0)
        both = [replace(placed, found={'cyclic': kappa}).gaps for kappa in (as_trained, one)]
        distances = np.array([[mean_distance(gap) for gap in of_kappa.values()] for of_kappa in both])
        assert distances.shape == (2, 8)
        assert distances[0].mean() == pytest.approx(before, abs=1e-3)
        assert distances[1].mean() <= 0.171
        assert (distances[1] < distances[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize(('seeds', 'kappa'), [(3, 0.6), (5, 0.8)])
def test_the_interval_holds_the_true_kappa(seeds, kappa):
    """What the curve itself gives without noise is the truth: between its points, PCHIP is not the law."""
    true, rng, held = calibrate(study(kappa), 'cyclic').kappa, np.random.default_rng(seeds), 0
    for _ in range(300):
        found = calibrate(study(kappa, (rng.normal(size=(seeds, 2)) * 0.001).tolist()), 'cyclic')
        held += found.low <= true <= found.high
    assert 0.92 <= held / 300 <= 0.98
