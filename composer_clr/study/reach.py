"""Answers on curves: the time to a value, the best value within a budget, speedups, crossings, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from composer_clr.study.curve import Curve
from composer_clr.study.estimates import TIE, Array, figures, half_width
from composer_clr.study.line import ROUGH, Line, quotient

__all__ = [
    'Answer',
    'Crossing',
    'FrontierPoint',
    'Speedup',
    'crossings',
    'frontier',
    'speedups',
    'times_to',
    'value_within',
]


class Answer(NamedTuple):
    """An answer: within the measured range it is ``=`` the value, beyond it the value is a bound, ``<=`` or ``>=``.

    Attributes:
        value (float): The answer or its bound; NaN if it is not reached.
        relation (str): ``'='``, ``'<='`` or ``'>='``.
        low (float): Lower end of the 95% interval; 0 where the curve begins within it; NaN without one.
        high (float): Upper end; infinite where the curve ends within the interval.
        seeds (int): The number of seeds.
    """

    value: float
    relation: str = '='
    low: float = math.nan
    high: float = math.nan
    seeds: int = 1

    @property
    def exact(self) -> float | None:
        """The answer if it lies in the measured range, else ``None``."""
        return self.value if self.state == 'reached' else None

    @property
    def state(self) -> str:
        """``'reached'``, ``'bound'`` or ``'not reached'``."""
        return 'not reached' if math.isnan(self.value) else 'reached' if self.relation == '=' else 'bound'


def times_to(curve: Curve, targets: Sequence[float], axis: str) -> list[Answer]:
    """Returns when a curve first reaches each value, in seconds of training (``'time'``) or what it counts.

    A curve whose first point is better than the value reached it within the time of that point: an upper bound.
    """
    line = Line.of(curve.followed, axis)
    found = line.reach(curve.turned(targets))
    return [
        Answer(math.exp(max(x, line.x[0, 0])), '<=' if x == -math.inf else '=', low, high, line.seeds)
        for x, low, high in zip(found[0].tolist(), *np.exp(found[1:]).tolist(), strict=True)
    ]


def value_within(curve: Curve, budget: float, axis: str) -> Answer:
    """Returns the best value that a curve reaches within a budget, interpolated in log time: the inverse of reaching.

    The best so far and not the last: a budget need not be used up. Beyond the last point it is a bound.
    """
    line, x = Line.of(curve.followed, axis), math.log(budget)
    if x < line.x[0, 0] - TIE:
        return Answer(math.nan, seeds=line.seeds)
    best, moved = line.best_within(x)
    half = half_width(moved, line.seeds)
    value, *ends = curve.in_own_unit([best, best - half, best + half])
    relation = '=' if x <= line.x[1, -1] + TIE else '<=' if curve.lower_is_better else '>='
    return Answer(value, relation, min(ends), max(ends), line.seeds)


@dataclass(frozen=True)
class Speedup:
    """How many times sooner a method reaches a value than the baseline.

    Attributes:
        target (float): The value.
        count (float): The count at which the baseline first reaches it; NaN if it does not.
        answer (Answer): The speedup, or its bound.
    """

    target: float
    count: float
    answer: Answer


def speedups(
    method: Curve, baseline: Curve, targets: Sequence[float] | None = None, *, axis: str = 'time'
) -> list[Speedup]:
    """Returns how many times sooner a method reaches values than the baseline, with 95% intervals, on an axis.

    Without ``targets`` the values are those of the baseline's points, which move with the seeds. A speedup is a bound
    if one of the two is already better at its first point, and not known if both are, or one never reaches the value.
    Its interval is that of :meth:`Line.reach` of the method, of a target and a time that move with the seeds as the
    baseline's do.

    Source:
        Fieller 1954, Some problems in interval estimation, doi:10.1111/j.2517-6161.1954.tb00159.x.
    """
    is_itself = method is baseline
    method, baseline = method.followed.beside(baseline.followed)
    line, base = Line.of(method, axis), Line.of(baseline, axis)
    own = figures(baseline.sign * baseline.value)
    values, moved = own.value, own.influence.T
    if targets is not None:
        values = baseline.turned(targets)
        moved = np.zeros((len(values), len(moved[0])))
    at_base = base.reach(values)[0]
    counted = Line.of(baseline, baseline.axis).reach(values)[0]
    # The time at which the baseline has the value moves against its value there.
    _, there, slope = base.at(np.where(np.isfinite(at_base), at_base, base.x[0, 0]))
    later = quotient(moved - there.T, slope[:, None])
    if targets is None:
        # That of a point, as the point's own time does.
        at_point = np.abs(at_base - np.log(baseline.positions(axis))) <= TIE
        times = figures(baseline.time_s).influence / baseline.mean('time_s') if axis == 'time' else 0 * own.influence
        later = np.where(at_point[:, None], times.T, later)
    found, low, high = line.reach(values, moved, later)
    seeds, result = min(line.seeds, base.seeds), []
    for i, target in enumerate(baseline.in_own_unit(values)):
        is_bound, base_is_bound = found[i] == -np.inf, at_base[i] == -np.inf
        answer = Answer(math.nan, seeds=seeds)
        if not (np.isnan(found[i] + at_base[i]) or (is_bound and base_is_bound)):
            ratio = math.exp(max(at_base[i], base.x[0, 0]) - max(found[i], line.x[0, 0]))
            ends = np.array([math.nan, math.nan] if base_is_bound else [at_base[i] - high[i], at_base[i] - low[i]])
            lowest, highest = (1.0, 1.0) if is_itself and line.seeds > 1 else np.exp(ends).tolist()
            answer = Answer(ratio, '>=' if is_bound else '<=' if base_is_bound else '=', lowest, highest, seeds)
        # Twelve digits: a count is not an epoch less a rounding error.
        count = float(f'{math.exp(max(counted[i], math.log(baseline.count[0]))):.12g}')
        result.append(Speedup(target, count, answer))
    return result


class Crossing(NamedTuple):
    """A budget, a count or seconds, from which on one of two curves is better.

    Attributes:
        budget (float): The count, or the seconds.
        better (str): The method that is better from there on.
        low (float): Lower end of the 95% interval of the budget; 0 if the other is not decidedly better before.
        high (float): Upper end; infinite if it is not decidedly better after. Both are NaN with one seed.
        seeds (int): The number of seeds.
    """

    budget: float
    better: str
    low: float
    high: float
    seeds: int


def crossings(method: Curve, baseline: Curve, axis: str) -> list[Crossing]:
    """Returns where the better of two curves changes, interpolated in the log of the axis.

    The interval goes to where the difference of the two is decided, by Student's interval of it, on either side.
    """
    one, two = (Line.of(curve, axis) for curve in method.followed.beside(baseline.followed))
    difference = one.minus(two)
    if difference is None:
        return []
    knots, lead = (np.append(of[0], of[1, -1]) for of in (difference.x, difference.value))
    (x,), (leads,), (half,) = difference.places(np.zeros(1))
    led, found = np.flatnonzero(lead), []
    for j in led[1:][lead[led[:-1]] * lead[led[1:]] < 0].tolist():
        # Points at which the two tie are one crossing, which ends at the last of them.
        share = lead[j - 1] / (lead[j - 1] - lead[j])
        at, rises = float(knots[j - 1] + share * (knots[j] - knots[j - 1])), float(np.sign(lead[j]))
        low = high = math.nan
        if difference.seeds > 1:
            decided = np.abs(leads) >= (1 - ROUGH) * half
            before, after = (x <= at) & decided & (rises * leads <= 0), (x >= at) & decided & (rises * leads >= 0)
            low = math.exp(_inward(x, before, knots))
            high = math.exp(-_inward(-x[::-1], after[::-1], -knots[::-1]))
        better = (method if rises > 0 else baseline).method
        found.append(Crossing(math.exp(at), better, low, high, difference.seeds))
    return found


def _inward(x: Array, decided: npt.NDArray[np.bool_], knots: Array) -> float:
    """Returns how far it stays decided from the last measured point that is; ``-inf`` if none is."""
    measured = np.flatnonzero(decided & np.isin(x, knots))
    if not len(measured):
        return -math.inf
    open_ = np.flatnonzero(~decided[measured[-1] :])
    return float(x[measured[-1] + open_[0] - 1] if len(open_) else x[-1])


@dataclass(frozen=True)
class FrontierPoint:
    """A point that no other point beats; ``decided`` if no other curve could be as good within its time.

    That is, if it is better than the best of every other within its time by more than the 95% interval of the
    difference.
    """

    method: str
    kind: str
    axis: str
    count: float
    time_s: float
    value: float
    decided: bool


def frontier(curves: Iterable[Curve]) -> list[FrontierPoint]:
    """Returns the points of all curves that no other is at least as good as in time and value, and better in one."""
    curves = list(curves)
    points: list[tuple[float, float, float, Curve]] = []
    for curve in curves:
        over = curve.followed
        points += zip(over.mean('time_s'), over.sign * over.mean(), over.count, [curve] * len(over.count), strict=True)
    kept: list[tuple[float, float, float, Curve]] = []
    for point in sorted(points, key=lambda one: (one[0], -one[1])):
        if not kept or point[:2] == kept[-1][:2] or point[1] > kept[-1][1]:
            kept.append(point)
    return [
        FrontierPoint(
            *(curve.method, curve.kind, curve.axis, float(count), float(time_s), *curve.in_own_unit([value])),
            decided=all(_is_better(curve, count, time_s, other) for other in curves if other is not curve),
        )
        for time_s, value, count, curve in kept
    ]


def _is_better(curve: Curve, count: float, time_s: float, other: Curve) -> bool:
    """Returns whether a point of a curve is decidedly better than the best of another within its time."""
    one, two = curve.followed.beside(other.followed)
    line, x, place = Line.of(two, 'time'), math.log(time_s), np.flatnonzero(one.count == count)
    if x < line.x[0, 0] - TIE or not len(place):
        return len(place) > 0
    best, moved = line.best_within(x)
    own = figures(one.sign * one.value)[place]
    half = half_width(own.influence[:, 0] - moved, min(float(own.seeds[0]), line.seeds))
    return bool(own.value[0] - best > half)
