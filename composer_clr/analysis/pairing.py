"""Finds the points of one curve on another that was measured at other epochs or times.

Between measured points, values are interpolated in the logarithm of epochs or time; they are never extrapolated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.fit import fit_weights
from composer_clr.analysis.mean_curve import Array, MeanCurve
from composer_clr.curves.axes import Axis, Count, default_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve

__all__ = ['INTERPOLATED', 'Align', 'Alignment', 'Pairing', 'meet', 'pair']

Align = Literal['interpolate', 'exact', 'nearest', 'fit']

# Times and epochs that went through a text file, or a mean over seeds, and still are the same.
_SAME = 1e-9


@dataclass(frozen=True)
class Alignment:
    """How points of two curves are paired: the arguments of :func:`pair`, and the axis they lie on.

    Args:
        mode (str): ``'interpolate'``, ``'exact'``, ``'nearest'`` or ``'fit'``. Default: ``'interpolate'``.
        axis (str | None): What curves are compared at equal values of: ``'epoch'``, ``'batch'``, ``'sample'``,
            ``'token'`` or ``'time'``. Default: ``None``, that of :func:`default_axis`.
        tolerance (float): For ``'nearest'``, >= 0, in natural log units: 0.05 is 5 percent. Default: ``0.05``.

    Raises:
        CurveError: If an argument is out of range.
    """

    mode: Align = 'interpolate'
    axis: Axis | None = None
    tolerance: float = 0.05

    def __post_init__(self):
        choices_of = {'align': (self.mode, get_args(Align)), 'axis': (self.axis, (None, *get_args(Axis)))}
        for name, (value, choices) in choices_of.items():
            if value not in choices:
                raise CurveError(f'{name}={value!r}: choose one of {", ".join(filter(None, choices))}')
        if not self.tolerance >= 0:
            raise CurveError(f'tolerance={self.tolerance}: give 0 or more, in log units (0.05 is 5 percent)')

    def positions(self, curve: MeanCurve) -> Array:
        """Returns where a curve's points lie on the axis."""
        return curve.time_s if self.axis == 'time' else curve.count

    def counted(self, curves: Iterable[TradeoffCurve]) -> Count:
        """Returns what the points of a study are counted in: the axis, or for time the default one."""
        return default_axis(curves) if self.axis in (None, 'time') else self.axis

    def of_cyclic(self) -> Alignment:
        """Returns the same for cyclic curves, which are measured: a fit stands in for standard runs alone."""
        return replace(self, mode='interpolate') if self.mode == 'fit' else self


INTERPOLATED = Alignment()


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which points of one curve were found on another, and how.

    Attributes:
        kept (NDArray[intp]): Indices of the points that were found.
        left_out (NDArray[intp]): Indices of the others.
        weights (Array): A row for each kept point: what each measured point of the other curve counts there.
        how (tuple[str, ...]): For each kept point ``'exact'``, ``'interpolated'``, ``'nearest'`` or ``'fit'``.
    """

    kept: npt.NDArray[np.intp]
    left_out: npt.NDArray[np.intp]
    weights: Array
    how: tuple[str, ...]


def pair(positions: npt.ArrayLike, measured: npt.ArrayLike, alignment: Alignment = INTERPOLATED) -> Pairing:
    r"""Finds positions on a curve measured at other ones, in the logarithm of the position.

    ==================  ============================================================================================
    mode                a position :math:`x` between measured :math:`a < x < b`
    ==================  ============================================================================================
    ``'interpolate'``   :math:`(1 - \lambda) v_a + \lambda v_b` with :math:`\lambda = \ln(x / a) / \ln(b / a)`
    ``'exact'``         left out
    ``'nearest'``       the value at the measured one nearest in :math:`|\ln(x / a)|`, if that is within ``tolerance``
    ``'fit'``           the least squares parabola in :math:`\ln x` through all measured points; a fit, no measurement
    ==================  ============================================================================================

    A position outside the measured range is left out, except that ``'nearest'`` may reach out by its tolerance. Two
    positions may be nearest to the same measured one.

    Args:
        positions (ArrayLike): Epochs or times, > 0.
        measured (ArrayLike): Epochs or times of the other curve, > 0, in any order.
        alignment (Alignment): Its mode and tolerance; the axis is the caller's. Default: interpolation.

    Returns:
        Pairing: Weights such that ``weights @ values`` are the other curve's values at the positions kept.

    Raises:
        CurveError: If a fit has fewer than three points.

    Example:
        >>> pairing = pair([15, 32, 1024], [16, 64, 512])
        >>> pairing.how, pairing.kept.tolist(), pairing.left_out.tolist(), pairing.weights.round(6).tolist()
        (('interpolated',), [1], [0, 2], [[0.5, 0.5, 0.0]])
    """
    x, knots = np.log(np.asarray(positions, dtype=float)), np.log(np.asarray(measured, dtype=float))
    distance = np.abs(x[:, None] - knots)
    exact = distance.min(axis=1) <= _SAME
    inside = exact | ((knots.min() < x) & (x < knots.max()))
    each = np.eye(len(knots))
    # A curve's own points are each itself, also where two have the same time.
    weights = each if np.array_equal(x, knots) else each[distance.argmin(axis=1)]
    if alignment.mode == 'exact':
        found, otherwise = exact, ''
    elif alignment.mode == 'nearest':
        found, otherwise = exact | (distance.min(axis=1) <= alignment.tolerance), 'nearest'
    elif alignment.mode == 'interpolate':
        found, otherwise = inside, 'interpolated'
        between, order = inside & ~exact, np.argsort(knots)
        weights[between] = np.stack([np.interp(x[between], knots[order], one[order]) for one in each], axis=1)
    else:
        found, otherwise = inside, 'fit'
        weights, exact = fit_weights(positions, measured), np.zeros_like(exact)
    how = tuple('exact' if same else otherwise for same in exact[found])
    return Pairing(np.flatnonzero(found), np.flatnonzero(~found), weights[found], how)


def meet(cyclic: MeanCurve, standard: MeanCurve, alignment: Alignment) -> Pairing:
    """Pairs a cyclic curve's points with the standard curve.

    Raises:
        CurveError: If no point can be paired, or a fit has fewer than three points.
    """
    positions, measured = alignment.positions(cyclic), alignment.positions(standard)
    try:
        pairing = pair(positions, measured, alignment)
    except CurveError as error:
        raise CurveError(f'{standard}: {error}') from error
    if not len(pairing.kept):
        raise CurveError(
            f'{cyclic.method}: the cyclic curve ({alignment.axis or cyclic.axis} {positions.min():g} to '
            f'{positions.max():g}) and the standard one ({measured.min():g} to {measured.max():g}) do not meet with '
            f"align='{alignment.mode}': "
            'train standard runs to both sides of a cyclic point, or align otherwise'
        )
    return pairing
