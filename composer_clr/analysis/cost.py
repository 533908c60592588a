"""What separate runs cost over one cyclic run, as measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, meet

__all__ = ['counted_cost_ratio', 'curve_cost', 'measured_cost_ratio']


def curve_cost(curve: MeanCurve, points: npt.ArrayLike | None = None) -> float:
    r"""Seconds of training that it took to draw a curve, or some of its points.

    .. math::
        \max_i c_i + \sum_i (t_i - c_i)

    where :math:`t_i` is the time of point :math:`i` and :math:`c_i` the part of it that lies on a run which the points
    have in common: for one run :math:`c_i = t_i` and the cost is the time of its last point; for runs of their own
    :math:`c_i = 0` and it is their sum; for branches :math:`c_i` is the time at which each left the trunk, and the cost
    that of the trunk to the last branch, and of the branches.

    Args:
        curve (MeanCurve): The curve.
        points (ArrayLike | None): Indices of the points that count. Default: ``None``, all.

    Example:
        >>> import numpy as np
        >>> time_s, left_s = np.array([10.0, 20.0, 40.0]), np.array([8.0, 16.0, 40.0])
        >>> branches = MeanCurve('m', 'branch', time_s, time_s, time_s, ({},) * 3, shared_s=left_s)
        >>> curve_cost(branches), curve_cost(branches, [0, 1])
        (46.0, 22.0)
    """
    counted = np.arange(len(curve.count)) if points is None else np.asarray(points)
    time_s = curve.time_s[counted]
    shared_s = time_s if curve.shared_s is None else curve.shared_s[counted]
    return float(shared_s.max() + (time_s - shared_s).sum())


def measured_cost_ratio(cyclic: MeanCurve, standard: MeanCurve, alignment: Alignment = INTERPOLATED) -> float:
    r"""What the paired standard runs took, over what the other curve took to draw the points that were paired.

    What a curve took is :func:`curve_cost`: of a cyclic run, the time to the last of the points.
    A run counts once for each point that it is paired with. Where no run was trained to a point, the time is
    interpolated as values are, but in its logarithm, :math:`\ln t = (1 - \lambda) \ln t_a + \lambda \ln t_b`, which is
    exact for runs of one pace.

    Raises:
        CurveError: If no point meets the standard curve.
    """
    pairing = meet(cyclic, standard, alignment)
    separate = np.exp(pairing.weights @ np.log(standard.time_s))
    return float(separate.sum() / curve_cost(cyclic, pairing.kept))


def counted_cost_ratio(cyclic: MeanCurve, standard: MeanCurve, alignment: Alignment = INTERPOLATED) -> float:
    """Returns :func:`measured_cost_ratio` in what the curves count, such as tokens, in place of seconds.

    Raises:
        CurveError: If no point meets the standard curve.
    """
    pairing = meet(cyclic, standard, alignment)
    separate = np.exp(pairing.weights @ np.log(standard.count))
    return float(
        separate.sum() / curve_cost(replace(cyclic, time_s=cyclic.count, shared_s=cyclic.shared_count), pairing.kept)
    )
