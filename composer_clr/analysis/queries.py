"""Queries on tradeoff curves: the time to a value, the best value within a budget, speedups, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from composer_clr.analysis.mean_curve import Array, MeanCurve

__all__ = [
    'NOT_REACHED',
    'Answer',
    'FrontierPoint',
    'first_reach',
    'frontier',
    'speedup',
    'time_to_reach',
    'value_within',
]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Answer:
    """An answer within the measured range, a bound beyond it, or none.

    Attributes:
        state (str): ``'reached'``, ``'bound'`` or ``'not reached'``.
        value (float | None): The answer, or its bound; ``None`` if not reached.
        relation (str): What the true answer is to the value: ``'='``, ``'<='`` or ``'>='``.
    """

    state: Literal['reached', 'bound', 'not reached']
    value: float | None = None
    relation: Literal['=', '<=', '>='] = '='

    @property
    def exact(self) -> float | None:
        """The answer if it lies in the measured range, else ``None``."""
        return self.value if self.state == 'reached' else None


NOT_REACHED = Answer('not reached')


def time_to_reach(curve: MeanCurve, target: float, *, lower_is_better: bool = False, counted: bool = False) -> Answer:
    r"""Returns the training time at which a curve first reaches a value, interpolated in log time.

    Between points, :math:`t = t_a (t_b / t_a)^\lambda` with :math:`\lambda = (v - v_a) / (v_b - v_a)`. A curve whose
    first point is better than the value reached it within the time of that point, which is an upper bound.

    Args:
        curve (MeanCurve): The curve.
        target (float): The value, in the metric's own unit.
        lower_is_better (bool): Whether to reach is to come down to. Default: ``False``.
        counted (bool): Whether to answer in what the curve counts, such as tokens, in place of seconds. Default:
            ``False``.
    """
    sign = -1.0 if lower_is_better else 1.0
    positions = curve.count if counted else curve.time_s
    times, is_bound = first_reach(positions[None], sign * curve.value[None], np.array([[sign * target]]))
    found = float(times[0, 0])
    if math.isnan(found):
        return NOT_REACHED
    return Answer('bound', found, '<=') if is_bound[0, 0] else Answer('reached', found)


def first_reach(times: Array, values: Array, targets: Array) -> tuple[Array, np.ndarray]:
    """Returns the times at which several curves first reach several values, as :func:`time_to_reach` has it.

    Args:
        times (Array): Seconds of training.
        values (Array): The metric, turned so that more is better.
        targets (Array): The values that each curve is to reach.

    Returns:
        tuple[Array, NDArray[bool]]: The times, NaN if not reached; and whether each is an upper bound.

    Shape:
        Times and values (curves, points); targets and the results (curves, targets).
    """
    order = np.argsort(times, axis=1, kind='stable')
    times, values = np.take_along_axis(times, order, 1), np.take_along_axis(values, order, 1)
    slack = _ROUNDING * np.abs(targets)
    best = np.maximum.accumulate(values, axis=1)
    points, rows = values.shape[1], np.arange(len(values))[:, None]
    # A target is first reached after as many points as have a best value so far that sorts before it.
    places = np.argsort(np.concatenate([targets - slack, best], axis=1), axis=1, kind='stable')
    are_points = places >= targets.shape[1]
    after = np.empty_like(places)
    after[rows, places] = np.cumsum(are_points, axis=1)
    after = after[:, : targets.shape[1]]
    reached, after = after < points, np.minimum(after, points - 1)
    before = np.maximum(after - 1, 0)
    rise = values[rows, after] - values[rows, before]
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.where(after > 0, np.clip((targets - values[rows, before]) / rise, 0, 1), 1.0)
    found = times[rows, before] * (times[rows, after] / times[rows, before]) ** share
    found[~reached] = np.nan
    return found, (after == 0) & (values[:, :1] > targets + slack)


def value_within(curve: MeanCurve, budget: float, *, lower_is_better: bool = False, counted: bool = False) -> Answer:
    """Returns the best value that a curve reaches within a training time, interpolated in log time.

    The best so far and not the last: a budget need not be used up. So it is the inverse of :func:`time_to_reach`. A
    budget beyond the last point reaches at least the best of all points, which is a bound.

    Args:
        curve (MeanCurve): The curve.
        budget (float): Seconds of training, or a count.
        lower_is_better (bool): Whether the best is the lowest. Default: ``False``.
        counted (bool): Whether the budget is in what the curve counts, such as tokens. Default: ``False``.
    """
    sign = -1.0 if lower_is_better else 1.0
    positions = curve.count if counted else curve.time_s
    order = np.argsort(positions, kind='stable')
    positions, values = positions[order], sign * curve.value[order]
    if budget < positions[0]:
        return NOT_REACHED
    measured = max(np.interp(math.log(budget), np.log(positions), values), values[positions <= budget].max())
    best = sign * float(measured)
    beyond = budget > positions[-1]
    return Answer('bound', best, '<=' if lower_is_better else '>=') if beyond else Answer('reached', best)


def speedup(
    method: MeanCurve, over: MeanCurve, target: float, *, lower_is_better: bool = False, counted: bool = False
) -> Answer:
    """Returns how many times sooner one curve reaches a value than another.

    It is a bound if one of them is already better at its first point, and not known if both are, or one never reaches
    the value.
    """
    times, over_times = (
        time_to_reach(curve, target, lower_is_better=lower_is_better, counted=counted) for curve in (method, over)
    )
    bounds = [found.state == 'bound' for found in (times, over_times)]
    if times.value is None or over_times.value is None or all(bounds):
        return NOT_REACHED
    ratio = over_times.value / times.value
    return Answer('bound', ratio, '>=' if bounds[0] else '<=') if any(bounds) else Answer('reached', ratio)


@dataclass(frozen=True)
class FrontierPoint:
    """A point that no other point beats."""

    method: str
    kind: str
    axis: str
    count: float
    time_s: float
    value: float


def frontier(curves: Iterable[MeanCurve], *, lower_is_better: bool = False) -> list[FrontierPoint]:
    """Returns the non-dominated points of all curves together, by time.

    A point is dominated if another is at least as good in time and value, and better in one. Equal points are both
    kept.

    Args:
        curves (Iterable[MeanCurve]): Of any methods and kinds.
        lower_is_better (bool): Whether a lower value is better. Default: ``False``.
    """
    sign = -1 if lower_is_better else 1
    points = [
        FrontierPoint(curve.method, curve.kind, curve.axis, float(count), float(time_s), float(value))
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
