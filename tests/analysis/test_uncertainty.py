"""Intervals against scipy's tests, and simulated studies whose true difference is known."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import numpy as np
import pytest
from scipy import stats

from composer_clr.analysis.differences import gap
from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.analysis.uncertainty import Estimate, difference, estimate, seeds_to_resolve


def samples(rng, seeds, first=0):
    return {f'seed {first + i}': float(value) for i, value in enumerate(rng.normal(size=seeds))}


@pytest.mark.parametrize('seeds', [2, 3, 10])
def test_paired_as_scipy_has_it(seeds):
    rng = np.random.default_rng(seeds)
    a, b = samples(rng, seeds), samples(rng, seeds)
    found = estimate(difference([(1.0, a)], [(1.0, b)], 'paired') or ())
    test = stats.ttest_rel(list(a.values()), list(b.values()))
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (found.value / found.sem, found.seeds) == (pytest.approx(test.statistic), seeds)


@pytest.mark.parametrize('seeds', [(2, 2), (3, 5), (10, 4)], ids=str)
def test_unpaired_as_welch_has_it(seeds):
    rng = np.random.default_rng(17)
    a, b = samples(rng, seeds[0]), samples(rng, seeds[1], first=100)
    found = estimate(difference([(1.0, a)], [(1.0, b)], 'unpaired') or ())
    expected = stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_one_seed_has_no_interval():
    assert estimate(([(1.0, {'seed 1': 2.0})],)) == Estimate(2.0, 1)


def test_a_difference_within_rounding_is_a_tie():
    a, b = {'1': 0.562, '2': 0.603, '3': 0.644}, dict.fromkeys('123', 0.603)
    groups = difference([(1.0, a)], [(1.0, b)], 'paired') or ()
    assert estimate(groups, 100, magnitude=0.603).value == 0
    assert str(estimate(groups, 100, magnitude=0.603).value) == '0.0'


@pytest.mark.parametrize(('seeds', 'sem', 'smallest'), [(3, 0.1, 0.1), (5, 1.0, 0.5), (2, 0.01, 1.0)])
def test_so_many_seeds_find_the_difference_in_four_of_five_studies(seeds, sem, smallest):
    n = seeds_to_resolve(Estimate(0.0, seeds, sem), smallest)
    noncentral = smallest / (sem * np.sqrt(seeds)) * np.sqrt(n)
    power = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, noncentral)
    assert power > 0.78
    if n > 2:
        noncentral *= np.sqrt((n - 2) / n)
        assert stats.nct.sf(stats.t.ppf(0.975, n - 3), n - 3, noncentral) < 0.82 if n > 3 else True


def curve(kind, values):
    """A curve of three points; values of shape (points, seeds), NaN where a seed is missing."""
    samples = tuple({f'seed {i}': float(v) for i, v in enumerate(row) if not np.isnan(v)} for row in values)
    counts = np.array([16.0, 32.0, 64.0])
    return MeanCurve('m', kind, counts, 100 * counts, np.nanmean(values, axis=1), samples)


@pytest.mark.parametrize('seeds', [3, 5, 10])
def test_intervals_hold_the_truth(seeds):
    """2,000 studies with gaps of -0.2, 0 and 0.3 points: seeds differ, and the points of a run go together."""
    rng, studies = np.random.default_rng(seeds), 2000
    truth = np.array([-0.2, 0.0, 0.3])
    covered = np.zeros(4)
    for _ in range(studies):
        values = 70 + rng.normal(scale=0.3, size=seeds) + rng.normal(scale=0.2, size=(2, 3, seeds))
        values[0] += truth[:, None] + rng.normal(scale=0.2, size=seeds)
        found = gap(curve('cyclic', values[0]), curve('standard', values[1]))
        estimates = (*found.estimates, found.average)
        covered += [one.low <= true <= one.high for one, true in zip(estimates, (*truth, truth.mean()), strict=True)]
    assert ((covered / studies >= 0.93) & (covered / studies <= 0.97)).all(), covered / studies


def test_intervals_hold_the_truth_where_seeds_are_missing():
    rng, studies, covered = np.random.default_rng(5), 1000, 0
    for _ in range(studies):
        values = 70 + rng.normal(scale=0.3, size=(2, 3, 6))
        values[0, 2, 0] = values[1, 1, 3] = np.nan
        one = gap(curve('cyclic', values[0]), curve('standard', values[1])).average
        covered += one.low <= 0 <= one.high
    assert 0.93 <= covered / studies <= 0.98
