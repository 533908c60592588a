"""Answers on curves: the time to a value, the best value within a budget, speedups, crossings, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from composer_clr.study.estimates import Array, student_t
from composer_clr.study.table import Curve

__all__ = [
    'Answer',
    'Crossing',
    'Draws',
    'FrontierPoint',
    'Speedup',
    'crossings',
    'draws_of',
    'frontier',
    'reach',
    'speedups',
    'value_within',
]

_DRAWS = 1000
# An interval needs the figure in nearly all draws.
_MISSING = 0.025
_TIE = 1e-9


class Answer(NamedTuple):
    """An answer: within the measured range it is ``=`` the value, beyond it the value is a bound, ``<=`` or ``>=``.

    It is NaN if the value is not reached.
    """

    value: float
    relation: str = '='

    @property
    def exact(self) -> float | None:
        """The answer if it lies in the measured range, else ``None``."""
        return self.value if self.relation == '=' and not math.isnan(self.value) else None


def reach(times: Array, values: Array, targets: Array) -> tuple[Array, np.ndarray]:
    r"""Returns the times at which curves first reach values, interpolated in log time, and whether each is a bound.

    Between points, :math:`t = t_a (t_b / t_a)^\lambda` with :math:`\lambda = (v - v_a) / (v_b - v_a)`. A curve whose
    first point is better than the value reached it within the time of that point, which is an upper bound.

    Args:
        times (Array): Seconds of training, or counts. Shape ``(curves, points)``.
        values (Array): The metric, turned so that more is better. Shape ``(curves, points)``.
        targets (Array): The values to reach. Shape ``(curves, targets)``.

    Returns:
        tuple[Array, NDArray[bool]]: The times, NaN if not reached. Shape ``(curves, targets)``.
    """
    order = np.argsort(times, axis=1, kind='stable')
    times, values = np.take_along_axis(times, order, 1), np.take_along_axis(values, order, 1)
    slack, points, rows = _TIE * np.abs(targets), values.shape[1], np.arange(len(values))[:, None]
    best = np.maximum.accumulate(values, axis=1)
    # The number of points before the first one that is as good: at most some points, so all pairs are compared.
    after = (best[:, None, :] < (targets - slack)[:, :, None]).sum(axis=2)
    reached, after = after < points, np.minimum(after, points - 1)
    before = np.maximum(after - 1, 0)
    rise = values[rows, after] - values[rows, before]
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.where(after > 0, np.clip((targets - values[rows, before]) / rise, 0, 1), 1.0)
    found = times[rows, before] * (times[rows, after] / times[rows, before]) ** share
    found[~reached] = np.nan
    return found, (after == 0) & (values[:, :1] > targets + slack)


def value_within(curve: Curve, budget: float, *, axis: str, lower_is_better: bool = False) -> Answer:
    """Returns the best value that a curve reaches within a budget, interpolated in log time: the inverse of reaching.

    The best so far and not the last: a budget need not be used up. Beyond the last point it is a bound.

    Args:
        curve (Curve): The curve.
        budget (float): Seconds of training, or a count.
        axis (str): ``'time'``, or what the curve counts.
        lower_is_better (bool): Whether the best is the lowest. Default: ``False``.
    """
    sign, positions = -1.0 if lower_is_better else 1.0, curve.positions(axis)
    order = np.argsort(positions, kind='stable')
    positions, values = positions[order], sign * curve.mean()[order]
    if budget < positions[0]:
        return Answer(math.nan)
    best = max(np.interp(math.log(budget), np.log(positions), values), values[positions <= budget].max())
    beyond = budget > positions[-1]
    return Answer(sign * float(best), ('<=' if lower_is_better else '>=') if beyond else '=')


class Draws(NamedTuple):
    """Two curves over the same seeds, and bootstrap draws of their means, each of shape ``(1 + draws, points)``.

    The first row of each is the measured mean. There are no draws with one seed, or if no seed has all points.
    """

    method: Curve
    baseline: Curve
    seeds: int
    times: tuple[Array, Array]
    values: tuple[Array, Array]


def draws_of(method: Curve, baseline: Curve, *, all_seeds: bool = False) -> Draws:
    """Returns two curves over the seeds that have all points of both, with joint bootstrap draws.

    Curves without a common seed, and all seeds of either curve, are drawn independently.
    """
    curves = [method, baseline]
    complete = [~np.isnan(curve.value).any(axis=1) for curve in curves]
    common = complete[0] & complete[1]
    paired = common.any() and (not all_seeds or np.array_equal(*complete))
    chosen = [common, common] if paired else complete
    if not all(one.any() for one in chosen):
        seeds = min(int((~np.isnan(curve.value)).sum(axis=0).min()) for curve in curves)
        means = [tuple(curve.mean(what)[None] for curve in curves) for what in ('time_s', 'value')]
        return Draws(method, baseline, seeds, *means)  # type: ignore[arg-type]
    if not all_seeds:
        curves = [curve.of_seeds(one) for curve, one in zip(curves, chosen, strict=True)]
    seeds = min(int(one.sum()) for one in chosen)
    random = np.random.default_rng(0)
    indices = [random.integers(one.sum(), size=(_DRAWS if seeds > 1 else 0, one.sum())) for one in chosen]
    indices[1] = indices[0] if paired else indices[1]
    times, values = (
        tuple(
            np.concatenate([curve.mean(what)[None], getattr(curve, what)[one][index].mean(axis=1)])
            for curve, one, index in zip(curves, chosen, indices, strict=True)
        )
        for what in ('time_s', 'value')
    )
    return Draws(*curves, seeds, times, values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Speedup:
    """How many times sooner a method reaches a value than the baseline.

    Attributes:
        target (float): The value.
        answer (Answer): The speedup, or its bound.
        low (float): Lower end of its 95% interval; NaN with one seed, or if more than 2.5% of the draws do not reach
            the value.
        high (float): Upper end.
        seeds (int): The number of seeds that it rests on.
    """

    target: float
    answer: Answer
    low: float
    high: float
    seeds: int


def speedups(
    pair: Draws, targets: Sequence[float] | None = None, *, lower_is_better: bool = False, axis: str = 'time'
) -> list[Speedup]:
    r"""Returns how many times sooner a method reaches values than the baseline, with 95% intervals.

    A speedup is a bound if one of the two is already better at its first point, and not known if both are, or one never
    reaches the value. The interval is :math:`\hat{r} \exp( \pm t_{0.975,\, n-1} \sqrt{n / (n-1)} \, s^*)`, where
    :math:`s^*` is the deviation of :math:`\ln r` over 1000 bootstrap draws of the seeds, which with few seeds is too
    small by :math:`\sqrt{(n-1)/n}`. In 1000 simulated studies of 3, of 5 and of 10 seeds it holds the truth in 95%
    (percentiles of the draws: 76%, 86% and 92%).

    Args:
        pair (Draws): The curves.
        targets (Sequence[float] | None): The values, in the metric's own unit. Default: ``None``, those of the
            baseline's points, which in each draw are that draw's.
        lower_is_better (bool): Whether to reach is to come down to. Default: ``False``.
        axis (str): Speedup in ``'time'``, or in what the curves count. Default: ``'time'``.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 12.
    """
    sign = -1.0 if lower_is_better else 1.0
    values = [sign * one for one in pair.values]
    at = (
        values[1]
        if targets is None
        else np.broadcast_to(sign * np.asarray(targets, float), (len(values[1]), len(targets)))
    )
    x = pair.times
    if axis != 'time':
        x = tuple(np.broadcast_to(c.count, v.shape) for c, v in zip((pair.method, pair.baseline), values, strict=True))
    (of_method, is_bound), (of_baseline, is_other_bound) = (
        reach(times, of_curve, at) for times, of_curve in zip(x, values, strict=True)
    )
    ratios = of_baseline / of_method
    relations = np.where(is_bound, '>=', np.where(is_other_bound, '<=', '='))
    exact = np.where(is_bound | is_other_bound, np.nan, ratios)
    found = []
    for i, target in enumerate((sign * at[0]).tolist()):
        answer = Answer(
            math.nan if is_bound[0, i] and is_other_bound[0, i] else float(ratios[0, i]), str(relations[0, i])
        )
        ends = _interval(float(exact[0, i]), exact[1:, i], pair.seeds)
        found.append(Speedup(target, answer if not math.isnan(answer.value) else Answer(math.nan), *ends, pair.seeds))
    return found


def _interval(value: float, draws: Array, seeds: int) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    if math.isnan(value) or not len(draws) or len(known) < (1 - _MISSING) * len(draws):
        return math.nan, math.nan
    half = float(student_t(seeds - 1)) * math.sqrt(seeds / (seeds - 1)) * float(np.log(known).std())
    return value * math.exp(-half), value * math.exp(min(half, 700.0))


@dataclass(frozen=True)
class Crossing:
    """A budget, a count or seconds, from which on one of two curves is better; with its interval as of a speedup."""

    budget: float
    better: str
    low: float
    high: float
    seeds: int


def crossings(pair: Draws, *, by_time: bool, lower_is_better: bool = False) -> list[Crossing]:
    """Returns where the better of two curves changes, interpolated in the log of the count or time.

    The interval is that of :func:`speedups`. In 200 simulated studies of 3, of 5 and of 10 seeds it holds the truth in
    94%, 95% and 98%.
    """
    sign, both = -1.0 if lower_is_better else 1.0, (pair.method, pair.baseline)
    x = (
        pair.times
        if by_time
        else tuple(np.broadcast_to(c.count, v.shape) for c, v in zip(both, pair.values, strict=True))
    )
    estimated, *drawn = (
        _changes(one, sign * values, other, sign * base)
        for one, values, other, base in zip(x[0], pair.values[0], x[1], pair.values[1], strict=True)
    )
    found = []
    for budget, rises in estimated:
        nearest = np.full(len(drawn), np.nan)
        for i, of_draw in enumerate(drawn):
            logs = [math.log(at / budget) for at, up in of_draw if up == rises]
            if logs:
                nearest[i] = budget * math.exp(min(logs, key=abs))
        better = both[0 if rises else 1].method
        found.append(Crossing(budget, better, *_interval(budget, nearest, pair.seeds), pair.seeds))
    return found


def _changes(x: Array, values: Array, base_x: Array, base_values: Array) -> list[tuple[float, bool]]:
    """Returns the positions at which the first curve comes to lie above (true) or below (false) the second."""
    order, base_order = np.argsort(x, kind='stable'), np.argsort(base_x, kind='stable')
    knots = np.unique(np.log(np.concatenate([x, base_x])))
    first, last = max(np.log(x.min()), np.log(base_x.min())), min(np.log(x.max()), np.log(base_x.max()))
    knots = knots[(knots >= first) & (knots <= last)]
    if len(knots) < 2:
        return []
    above = np.interp(knots, np.log(x[order]), values[order])
    below = np.interp(knots, np.log(base_x[base_order]), base_values[base_order])
    lead = above - below
    lead[np.abs(lead) <= _TIE * np.maximum(np.abs(above), np.abs(below))] = 0
    led = np.flatnonzero(lead)
    found = []
    for j in led[1:][lead[led[:-1]] * lead[led[1:]] < 0].tolist():
        # Points at which the two tie are one crossing, which ends at the last of them.
        share = lead[j - 1] / (lead[j - 1] - lead[j])
        found.append((float(np.exp(knots[j - 1] + share * (knots[j] - knots[j - 1]))), bool(lead[j] > 0)))
    return found


@dataclass(frozen=True)
class FrontierPoint:
    """A point that no other point beats."""

    method: str
    kind: str
    axis: str
    count: float
    time_s: float
    value: float


def frontier(curves: Iterable[Curve], *, lower_is_better: bool = False) -> list[FrontierPoint]:
    """Returns the points of all curves that no other is at least as good as in time and value, and better in one."""
    sign = -1 if lower_is_better else 1
    points = [
        FrontierPoint(curve.method, curve.kind, curve.axis, *one)
        for curve in curves
        for one in zip(curve.count.tolist(), curve.mean('time_s').tolist(), curve.mean().tolist(), strict=True)
    ]
    kept: list[FrontierPoint] = []
    for point in sorted(points, key=lambda p: (p.time_s, -sign * p.value)):
        last = kept[-1] if kept else None
        equal = last is not None and (point.time_s, point.value) == (last.time_s, last.value)
        if last is None or equal or sign * point.value > sign * last.value:
            kept.append(point)
    return kept
