"""The noise between seeds, beside the standard library's variance of each point."""

import math
import statistics

import numpy as np
import pytest

from composer_clr.study.noise import seed_deviation

ABSENT = math.nan
A = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 5.0]])
B = np.array([[0.0, 1.0, 1.0], [0.0, 2.0, ABSENT], [0.0, 3.0, 3.0]])


def test_it_is_pooled_over_curves_and_points():
    squares = freedom = 0.0
    for column in [*A.T, *B.T]:
        known = column[~np.isnan(column)]
        squares += (len(known) - 1) * statistics.variance(known.tolist())
        freedom += len(known) - 1
    expected = pytest.approx(math.sqrt(squares / freedom))
    alone = np.array([[7.0, 8.0, 9.0]])
    assert seed_deviation([A, B, alone], points_go_together=False) == (expected, freedom)
    assert seed_deviation([A, B, alone], points_go_together=True) == (expected, 1 + 2)


def test_it_is_not_known_where_no_point_has_two_seeds():
    for samples in ([], [A[:1]], [np.array([[1.0, ABSENT], [ABSENT, 2.0]])]):
        deviation, freedom = seed_deviation(samples, points_go_together=True)
        assert math.isnan(deviation)
        assert freedom == 0


@pytest.mark.parametrize(('together', 'correlation', 'freedom'), [(False, 0.0, 8), (True, 1.0, 2)])
def test_the_degrees_of_freedom_are_those_of_the_deviation(together, correlation, freedom):
    """Those of a chi-squared distribution: of s^2 / sigma^2 the mean is 1 and the variance 2 / freedom."""
    rng, squares = np.random.default_rng(5), []
    for _ in range(4000):
        of_run, of_point = rng.normal(size=(3, 1)), rng.normal(size=(3, 4))
        noise = math.sqrt(correlation) * of_run + math.sqrt(1 - correlation) * of_point
        deviation, said = seed_deviation([noise], points_go_together=together)
        assert said == freedom
        squares.append(deviation**2)
    assert np.mean(squares) == pytest.approx(1, abs=0.05)
    assert 2 / np.var(squares) == pytest.approx(freedom, rel=0.1)
