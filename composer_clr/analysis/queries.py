"""Questions put to tradeoff curves: how soon, how good within a budget, how much sooner, and what nothing beats."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from composer_clr.analysis.mean_curve import Array, MeanCurve

__all__ = ['FrontierPoint', 'frontier', 'speedup', 'time_to_reach', 'value_within']


def time_to_reach(
    curve: MeanCurve, target: float, *, lower_is_better: bool = False, counted: bool = False
) -> float | None:
    r"""Returns the training time at which a curve first reaches a value, interpolated in log time.

    Between points, :math:`t = t_a (t_b / t_a)^\lambda` with :math:`\lambda = (v - v_a) / (v_b - v_a)`.

    Args:
        curve (MeanCurve): The curve.
        target (float): The value, in the metric's own unit.
        lower_is_better (bool): Whether to reach is to come down to. Default: ``False``.
        counted (bool): Whether to answer in what the curve counts, such as tokens, in place of seconds. Default:
            ``False``.

    Returns:
        float | None: Seconds, or the count; ``None`` where it is not reached in the measured range, or passed before.
    """
    times, values, target = *_in_order(curve, lower_is_better, counted), -target if lower_is_better else target
    reached = np.flatnonzero(values >= target)
    if not len(reached) or (reached[0] == 0 and values[0] > target):
        return None
    after = int(reached[0])
    if after == 0:
        return float(times[0])
    share = (target - values[after - 1]) / (values[after] - values[after - 1])
    return float(times[after - 1] * (times[after] / times[after - 1]) ** share)


def value_within(
    curve: MeanCurve, budget: float, *, lower_is_better: bool = False, counted: bool = False
) -> float | None:
    """Returns the best value that a curve reaches within a training time, interpolated in log time.

    The best so far and not the last: a budget need not be used up. So it is the inverse of :func:`time_to_reach`.

    Args:
        curve (MeanCurve): The curve.
        budget (float): Seconds of training, or a count.
        lower_is_better (bool): Whether the best is the lowest. Default: ``False``.
        counted (bool): Whether the budget is in what the curve counts, such as tokens. Default: ``False``.

    Returns:
        float | None: ``None`` where the budget lies outside the measured range.
    """
    times, values = _in_order(curve, lower_is_better, counted)
    if not times[0] <= budget <= times[-1]:
        return None
    best = max(np.interp(math.log(budget), np.log(times), values), values[times <= budget].max())
    return float(-best if lower_is_better else best)


def _in_order(curve: MeanCurve, lower_is_better: bool, counted: bool) -> tuple[Array, Array]:
    """Returns times or counts in order, and values turned so that more is better."""
    positions = curve.count if counted else curve.time_s
    order = np.argsort(positions, kind='stable')
    return positions[order], (-1 if lower_is_better else 1) * curve.value[order]


def speedup(
    method: MeanCurve, over: MeanCurve, target: float, *, lower_is_better: bool = False, counted: bool = False
) -> float | None:
    """Returns how many times sooner one curve reaches a value than another; ``None`` where either does not reach it."""
    ours, theirs = (
        time_to_reach(curve, target, lower_is_better=lower_is_better, counted=counted) for curve in (method, over)
    )
    return None if ours is None or theirs is None else theirs / ours


@dataclass(frozen=True)
class FrontierPoint:
    """A point that no other point beats."""

    method: str
    kind: str
    count: float
    time_s: float
    value: float


def frontier(curves: Iterable[MeanCurve], *, lower_is_better: bool = False) -> list[FrontierPoint]:
    """The non-dominated points of all curves together, by time.

    A point is dominated where another is at least as good in time and value, and better in one. Equal points stand
    side by side.

    Args:
        curves (Iterable[MeanCurve]): Of any methods and kinds.
        lower_is_better (bool): Whether a lower value is better. Default: ``False``.
    """
    sign = -1 if lower_is_better else 1
    points = [
        FrontierPoint(curve.method, curve.kind, float(count), float(time_s), float(value))
        for curve in curves
        for count, time_s, value in zip(curve.count, curve.time_s, curve.value, strict=True)
    ]
    kept: list[FrontierPoint] = []
    for point in sorted(points, key=lambda p: (p.time_s, -sign * p.value)):
        last = kept[-1] if kept else None
        equal = last is not None and (point.time_s, point.value) == (last.time_s, last.value)
        if last is None or equal or sign * point.value > sign * last.value:
            kept.append(point)
    return kept
