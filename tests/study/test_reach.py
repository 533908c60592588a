"""Times to values, speedups, crossings and the frontier: by hand, and beside searches on a dense grid."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from composer_clr.study.reach import Answer, crossings, frontier, speedups, times_to, value_within
from tests.helpers.runs_and_lines import line

CURVE = line([1, 2], [0.2, 0.6], times=[10, 1000])
NOT_REACHED = Answer(math.nan)


def alone(found):
    """What is known with one seed: the value and what it is to the answer."""
    return (None if math.isnan(found.value) else pytest.approx(found.value, rel=1e-12)), found.relation


class TestOneSeed:
    @pytest.mark.parametrize(
        ('target', 'expected'),
        [(0.2, (10, '=')), (0.4, (100, '=')), (0.6, (1000, '=')), (0.1, (10, '<=')), (0.7, (None, '='))],
    )
    def test_time_to_a_value(self, target, expected):
        (found,) = times_to(CURVE, [target], 'time')
        assert alone(found) == expected
        assert math.isnan(found.low)
        loss = replace(line([1, 2], [-0.2, -0.6], times=[10, 1000]), lower_is_better=True)
        (lower,) = times_to(loss, [-target], 'time')
        assert alone(lower) == expected

    @pytest.mark.parametrize(
        ('time_s', 'expected'), [(9, (None, '=')), (10, (0.2, '=')), (100, (0.4, '=')), (1001, (0.6, '>='))]
    )
    def test_value_within(self, time_s, expected):
        assert alone(value_within(CURVE, time_s, 'time')) == expected

    def test_the_best_so_far_counts(self):
        dips = line([1, 2, 3], [0.6, 0.5, 0.55])
        assert alone(value_within(dips, 250, 'time')) == (0.6, '=')
        assert alone(times_to(dips, [0.55], 'time')[0]) == (100, '<=')

    def test_a_time_that_is_a_mean_with_rounding_dust_is_its_own(self):
        dust = line([4, 8], [[0.5, 0.6]] * 3, times=[[10.1, 21], [10.2, 22], [10.3, 23]])
        first, last = dust.mean('time_s')
        assert alone(value_within(dust, np.nextafter(first, 0), 'time')) == (0.5, '=')
        assert alone(value_within(dust, np.nextafter(last, 99), 'time')) == (0.6, '=')

    def test_speedup(self):
        sooner, better = line([1, 2], [0.2, 0.6], times=[5, 500]), line([1, 2], [0.5, 0.9], times=[20, 2000])
        for method, base, target, expected in (
            (sooner, CURVE, 0.4, (2, '=')),
            (CURVE, sooner, 0.4, (0.5, '=')),
            (sooner, CURVE, 0.7, (None, '=')),
            (better, CURVE, 0.4, (5, '>=')),
            (CURVE, better, 0.4, (0.2, '<=')),
            (better, better, 0.4, (None, '=')),
        ):
            assert alone(speedups(method, base, [target])[0].answer) == expected

    def test_a_target_that_the_baseline_passed_before_its_point_is_at_the_count_where_it_did(self):
        """0.72 lies at 2/5 of the way from 0.70 at 16 epochs to 0.75 at 32."""
        base, method = line([16, 32, 64], [0.70, 0.75, 0.72]), line([16, 32, 64], [0.69, 0.72, 0.74])
        found = speedups(method, base)
        assert [one.count for one in found] == pytest.approx([16, 32, 16 * 2**0.4])
        assert found[2].answer.value == pytest.approx(2**0.4 / 2)


def curves(seed, seeds=5, noise=0.01):
    """Two rising curves of five points, of which each seed has its own level, noise and pace."""
    rng, epochs = np.random.default_rng(seed), np.array([16.0, 32, 64, 128, 256])
    found = []
    for method, lead, pace in (('A', np.linspace(-0.02, 0.02, 5), 80), ('B', 0.0, 100)):
        values = 0.6 + 0.05 * np.log2(epochs / 16) + lead + rng.normal(scale=noise, size=(seeds, 1))
        values = values + rng.normal(scale=noise, size=(seeds, 5))
        found.append(line(epochs, values, pace * epochs * rng.lognormal(sigma=0.01, size=(seeds, 1)), method))
    return found


def level(curve, x):
    """Each seed's value at counts, interpolated in their log."""
    return np.array([np.interp(np.log(x), np.log(curve.count), one) for one in curve.value])


class TestIntervalsBesideADenseSearch:
    """Along counts, where a seed's value at a place is its own interpolation; the ends are where scipy's t test is."""

    grid = np.exp(np.linspace(math.log(16), math.log(256), 40001))

    def band(self, values):
        mean, half = values.mean(axis=0), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values, axis=0)
        return mean, half

    @pytest.mark.parametrize('seed', range(6))
    def test_the_time_to_a_value(self, seed):
        curve = curves(seed)[1]
        mean, half = self.band(level(curve, self.grid))
        for target in (0.62, 0.70, 0.79):
            (found,) = times_to(curve, [target], 'epoch')
            for one, reached, otherwise in (
                (found.value, mean >= target, math.nan),
                (found.low, mean + half >= target, math.inf),
                (found.high, mean - half >= target, math.inf),
            ):
                expected = self.grid[reached.argmax()] if reached.any() else otherwise
                expected = 0.0 if reached[0] and one == found.low else expected
                assert one == pytest.approx(expected, rel=2e-4, nan_ok=True)
            assert found.seeds == 5

    @pytest.mark.parametrize('seed', range(6))
    def test_the_speedup_to_the_baselines_points(self, seed):
        """At a candidate ratio the method's value is compared with the baseline's at that many times its count."""
        method, base = curves(seed)
        for i, found in enumerate(speedups(method, base, axis='epoch')):
            mean, half = self.band(level(method, self.grid) - base.value[:, i : i + 1])
            if math.isnan(found.answer.value) or found.answer.state == 'bound' or found.count < base.count[i] - 1e-6:
                continue
            low, high = mean + half >= 0, mean - half >= 0
            highest = math.inf if low[0] else base.count[i] / self.grid[low.argmax()]
            lowest = base.count[i] / self.grid[high.argmax()] if high.any() else 0.0
            assert [found.answer.low, found.answer.high] == pytest.approx([lowest, highest], rel=2e-4)

    @pytest.mark.parametrize('seed', range(6))
    def test_crossings(self, seed):
        """From the nearest points at which the sign is decided, inwards for as long as it is."""
        method, base = curves(seed, noise=0.004)
        mean, half = self.band(level(method, self.grid) - level(base, self.grid))
        points = np.abs(self.grid[:, None] - method.count).argmin(axis=0)
        for found in crossings(method, base, 'epoch'):
            rising = 1 if found.better == 'A' else -1
            at = np.abs(self.grid - found.budget).argmin()
            assert rising * mean[max(at - 3, 0)] <= 1e-4
            assert rising * mean[min(at + 3, len(mean) - 1)] >= -1e-4
            before = [i for i in points if i <= at and -rising * mean[i] > half[i]]
            after = [i for i in points if i >= at and rising * mean[i] > half[i]]
            low, high = 0.0, math.inf
            if before:
                i = before[-1]
                low = self.grid[i + (-rising * mean[i:] <= half[i:]).argmax()]
            if after:
                i = after[0]
                high = self.grid[i - (rising * mean[i::-1] <= half[i::-1]).argmax()]
            assert [found.low, found.high] == pytest.approx([low, high], rel=2e-4)

    def test_along_time_a_late_seed_is_worse_at_a_given_time(self):
        """Values are alike, and only the pace is not: the interval is that of the time itself."""
        paces = np.array([[90.0], [100.0], [115.0]])
        curve = line([1, 2, 4], [[0.5, 0.6, 0.7]] * 3, times=paces * [1, 2, 4])
        (found,) = times_to(curve, [0.65], 'time')
        deviation = stats.t.ppf(0.975, 2) * stats.sem(paces[:, 0]) / paces.mean()
        expected = 2**1.5 * paces.mean()
        assert [found.low, found.value, found.high] == pytest.approx(
            [expected * math.exp(-deviation), expected, expected * math.exp(deviation)], rel=1e-6
        )
        # The baseline's own time moves as much, and with it.
        assert speedups(curve, curve)[1].answer[:1] == (pytest.approx(1),)


class TestFrontier:
    def slow_reference(self, of_curves, sign):
        """Every point against every other."""
        points = [(t, sign * v) for c in of_curves for t, v in zip(c.mean('time_s'), c.mean(), strict=True)]
        kept = [(t, v) for t, v in points if not any(u <= t and w >= v and (u < t or w > v) for u, w in points)]
        return sorted((float(t), float(sign * v)) for t, v in kept)

    @pytest.mark.parametrize('lower', [False, True], ids=['higher is better', 'lower is better'])
    def test_against_every_pair(self, lower):
        rng = np.random.default_rng(17)
        for _ in range(50):
            some = [line(range(1, 9), rng.integers(0, 6, 8) / 8, rng.integers(1, 9, 8)) for _ in range(3)]
            some = [replace(one, lower_is_better=lower) for one in some]
            found = sorted((p.time_s, p.value) for p in frontier(some))
            assert found == self.slow_reference(some, -1 if lower else 1)

    def test_a_point_is_decided_if_no_other_curve_could_be_as_good(self):
        base = np.array([0.50, 0.51, 0.52])[:, None]
        a = line([1, 2], np.hstack([base, base + 0.1]), method='A')
        b = line([1, 2], np.hstack([base - 0.05, base + 0.1 + np.array([[-0.02], [0.0], [0.01]])]), method='B')
        assert [(p.method, p.count, p.decided) for p in frontier([a, b])] == [('A', 1, True), ('A', 2, False)]
        assert [p.decided for p in frontier([line([1], [0.5], method='A'), line([1], [0.4], method='B')])] == [False]
