import math

import numpy as np
import pytest

from composer_clr.analysis.fit import fit_curve
from composer_clr.curves.curve import CurveError


def test_three_points_leave_nothing_to_spare():
    fitted, residuals = fit_curve([30, 90, 270], [0.70, 0.76, 0.77], [math.sqrt(30 * 90), 270])
    # In log time the middle lies half way, so that the parabola is its own interpolation.
    assert fitted == pytest.approx([0.375 * 0.70 + 0.75 * 0.76 - 0.125 * 0.77, 0.77], abs=1e-12)
    assert residuals == pytest.approx([0, 0, 0], abs=1e-12)


def test_residuals_keep_the_order_given():
    # In four even steps 1, -3, 3, -1 is orthogonal to every parabola, so that none of it is fitted.
    fitted, residuals = fit_curve([1000, 1, 10, 100], [-1, 1, -3, 3], [50])
    assert fitted == pytest.approx([0], abs=1e-9)
    assert residuals == pytest.approx([-1, 1, -3, 3], abs=1e-9)


def test_the_fit_is_that_of_numpy():
    rng = np.random.default_rng(17)
    times, values, at = rng.uniform(30, 3e5, 7), rng.random(7), np.geomspace(10, 1e6, 50)
    expected = np.polynomial.Polynomial.fit(np.log(times), values, 2)
    fitted, residuals = fit_curve(times, values, at)
    inside = (times.min() <= at) & (at <= times.max())
    assert fitted == pytest.approx(np.where(inside, expected(np.log(at)), math.nan), abs=1e-9, nan_ok=True)
    assert residuals == pytest.approx(values - expected(np.log(times)), abs=1e-9)


@pytest.mark.parametrize('times', [[30, 90], [30, 90, 90]], ids=['two points', 'two times'])
def test_too_few_points(times):
    with pytest.raises(CurveError, match='a fit needs 3 points or more, there are 2: train more durations'):
        fit_curve(times, times, [60])
