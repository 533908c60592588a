"""Intervals against scipy's tests."""

import numpy as np
import pytest
from scipy import stats

from composer_clr.study.estimates import drawn, drawn_interval, figures, seeds_to_resolve, t_interval


@pytest.mark.parametrize('seeds', [2, 3, 10])
def test_paired_as_scipy_has_it(seeds):
    a, b = np.random.default_rng(seeds).normal(size=(2, seeds))
    found = t_interval(figures((a - b)[:, None]))
    test = stats.ttest_rel(a, b)
    assert [found.low[0], found.high[0]] == pytest.approx(list(test.confidence_interval(0.95)), rel=1e-9)
    assert (found.value / found.sem, found.seeds) == (pytest.approx(test.statistic), seeds)


@pytest.mark.parametrize('seeds', [(2, 2), (3, 5), (10, 4)], ids=str)
def test_unpaired_as_welch_has_it(seeds):
    rng = np.random.default_rng(17)
    samples = np.full((2, sum(seeds), 1), np.nan)
    samples[0, : seeds[0], 0], samples[1, seeds[0] :, 0] = (rng.normal(size=n) for n in seeds)
    sides = [figures(one) for one in samples]
    found = t_interval(sides[0] - sides[1], sides=sides)
    a, b = samples[0, : seeds[0], 0], samples[1, seeds[0] :, 0]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert [found.low[0], found.high[0]] == pytest.approx(list(expected), rel=1e-9)


def test_one_seed_has_no_interval():
    found = t_interval(figures(np.array([[2.0]])))
    assert (found.value[0], found.seeds[0]) == (2, 1)
    assert np.isnan([found.low[0], found.high[0], found.sem[0]]).all()


def test_a_difference_within_rounding_is_a_tie():
    values = np.array([0.562, 0.603, 0.644])[:, None]
    found = t_interval(figures(values - 0.603), scale=100, size=0.603)
    assert str(found.value[0]) == '0.0'


def test_seeds_that_do_not_differ_give_no_interval_but_of_a_tie():
    """0.3 - 0.2 and 0.2 - 0.1 differ by rounding."""
    a, b = np.array([[0.3, 0.3, 0.5], [0.2, 0.2, 0.5]]), np.array([[0.2, 0.2, 0.5], [0.1, 0.1 + 1e-6, 0.5]])
    found = t_interval(figures(a - b), scale=100, size=0.5)
    assert found.value == pytest.approx([10, 10 - 5e-5, 0])
    assert np.isnan([found.low, found.high]).tolist() == [[True, False, False]] * 2
    assert (found.low[2], found.high[2]) == (0, 0)


def test_of_a_linear_figure_a_drawn_interval_is_students():
    found = figures(np.random.default_rng(1).normal(size=(4, 1)))
    expected, draws = t_interval(found), drawn(found)
    of_draws = drawn_interval(float(found.value[0]), draws[:, 0], 4)
    assert of_draws.low == pytest.approx(expected.low[0], rel=0.1)
    assert of_draws.high == pytest.approx(expected.high[0], rel=0.1)


@pytest.mark.parametrize(('deviation', 'smallest'), [(0.17, 0.1), (2.2, 0.5), (0.01, 1.0)])
def test_so_many_paired_seeds_find_the_difference_in_four_of_five_studies(deviation, smallest):
    def power(n):
        return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, smallest / deviation * np.sqrt(n))

    n = seeds_to_resolve([deviation], smallest)
    assert n is not None
    assert power(n) > 0.78
    assert n <= 3 or power(n - 2) < 0.82


def test_so_many_seeds_of_independent_groups_find_it():
    """Groups of 2 and 10 seeds: the standard error of this study is not that of equal groups."""
    n = seeds_to_resolve([0.3, 0.1], 0.1)
    assert n is not None
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 0.3, (4000, n)), rng.normal(0.0, 0.1, (4000, n))
    p_values = np.asarray(stats.ttest_ind(a, b, axis=1, equal_var=False)[1])
    assert np.mean(p_values < 0.05) == pytest.approx(0.8, abs=0.02)
    assert seeds_to_resolve([0.3, np.nan], 0.1) is None
