"""Fits a smooth curve to few points: it passes near them, not through them, and its label says so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import Array
from composer_clr.curves.curve import CurveError

__all__ = ['FIT_LABEL', 'fit_curve', 'fit_weights']

# Its name wherever it is shown, followed by the axis, so that it is not taken for a measurement.
FIT_LABEL = 'the least squares parabola in log'
_COEFFICIENTS = 3


def fit_curve(time_s: npt.ArrayLike, value: npt.ArrayLike, at: npt.ArrayLike) -> tuple[Array, Array]:
    r"""Fits a smooth curve to few standard runs: the least squares parabola in log time.

    .. math::
        v(t) \approx c_0 + c_1 \ln t + c_2 (\ln t)^2

    It rises with diminishing returns and can turn down again, as the accuracy of runs that overfit does. Three points
    determine it, so that only a fourth can show by its residual how well it fits.

    Args:
        time_s (ArrayLike): Seconds of training, > 0, three or more different ones.
        value (ArrayLike): The metric at each.
        at (ArrayLike): Seconds at which to evaluate the fit, > 0.

    Returns:
        tuple[Array, Array]: The fit at each of these times, NaN outside the measured range; and the residuals,
        measured minus fitted, at each time measured.

    Raises:
        CurveError: If there are fewer than three different times.

    Example:
        >>> fitted, residuals = fit_curve([1, 10, 100, 1000], [0.49, 0.63, 0.67, 0.81], at=[10, 2000])
        >>> fitted.round(6).tolist(), residuals.round(6).tolist()
        ([0.6, nan], [-0.01, 0.03, -0.03, 0.01])
    """
    times, values, at = (np.asarray(column, dtype=float) for column in (time_s, value, at))
    residuals = values - fit_weights(times, times) @ values
    inside = (times.min() <= at) & (at <= times.max())
    return np.where(inside, fit_weights(at, times) @ values, np.nan), residuals


def fit_weights(positions: npt.ArrayLike, measured: npt.ArrayLike) -> Array:
    """Returns the fit as weights: a row per position, with the weight of the value at each measured one.

    Args:
        positions (ArrayLike): Epochs or times, > 0.
        measured (ArrayLike): Those of the points to fit to, > 0, three or more different ones.

    Raises:
        CurveError: If there are fewer than three different ones.
    """
    x, knots = np.log(np.asarray(positions, dtype=float)), np.log(np.asarray(measured, dtype=float))
    points = len(np.unique(knots))
    if points < _COEFFICIENTS:
        raise CurveError(f'a fit needs {_COEFFICIENTS} points or more, there are {points}: train more durations')
    # On [-1, 1] the powers are far enough from parallel for the pseudoinverse to keep its digits.
    first, last = knots.min(), knots.max()
    powers, at_positions = (np.vander(2 * (at - first) / (last - first) - 1, _COEFFICIENTS) for at in (knots, x))
    return at_positions @ np.linalg.pinv(powers)
