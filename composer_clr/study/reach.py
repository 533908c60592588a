"""Answers on curves: the time to a value, the best value within a budget, speedups, crossings, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from composer_clr.study.estimates import TIE, Array, figures, student_t
from composer_clr.study.table import Curve

__all__ = ['Answer', 'Crossing', 'FrontierPoint', 'Line', 'Speedup', 'crossings', 'frontier', 'speedups']

# An end of an interval, which is the root of a polynomial, is found to this.
_ROUGH = 1e-7
_MOST_NUMBERS = 2_000_000


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


def common_seeds(a: Curve, b: Curve, all_seeds: bool = False) -> tuple[Curve, Curve]:
    """Returns two curves as they are followed over the seeds that both have; over their own if there are none."""
    common = a.followed.has & b.followed.has
    if all_seeds or not common.any():
        return a.followed, b.followed
    return a.followed.of_seeds(common), b.followed.of_seeds(common)


class Line(NamedTuple):
    """A curve's mean along the logarithm of counts or times: straight pieces, each with the influence of the seeds.

    Attributes:
        x (Array): Where each piece begins and ends. Shape ``(2, pieces)``.
        value (Array): The mean there, turned so that more is better. Shape ``(2, pieces)``.
        influence (Array): How far each seed moves the value at that place, as of :class:`Figures`; along times, by its
            own times too. Shape ``(2, seeds, pieces)``.
        seeds (int): The number of seeds.
    """

    x: Array
    value: Array
    influence: Array
    seeds: int

    @classmethod
    def of(cls, curve: Curve, axis: str, sign: float = 1.0) -> Line:
        """Returns the line of a curve along ``'time'``, or what it counts; ``sign`` is -1 where less is better."""
        values, x = figures(sign * curve.value), np.log(curve.positions(axis))
        later = figures(curve.time_s).influence / np.exp(x) if axis == 'time' else np.zeros_like(values.influence)
        order = np.argsort(x, kind='stable')
        order = order if len(order) > 1 else order[[0, 0]]
        x, value, moved, later = x[order], values.value[order], values.influence[:, order], later[:, order]
        # A seed that is later than others is worse at a given time, by the slope.
        shift = _slope(x[1:] - x[:-1], value[1:] - value[:-1]) * np.stack([later[:, :-1], later[:, 1:]])
        ends = [np.stack([one[..., :-1], one[..., 1:]]) for one in (x, value, moved)]
        return cls(ends[0], ends[1], ends[2] - shift, int(values.seeds.min()))

    def at(self, x: Array, within: Array | None = None) -> tuple[Array, Array, Array]:
        """Returns values, influences and slopes at places; of the pieces that other places lie in, if they are given.

        Shapes ``(places,)``, ``(seeds, places)`` and ``(places,)``.
        """
        piece = np.searchsorted(self.x[0], x if within is None else within, side='right') - 1
        piece = np.clip(piece, 0, self.x.shape[1] - 1)
        (first, last), value, moved = self.x[:, piece], self.value[:, piece], self.influence[:, :, piece]
        share = np.clip(_slope(last - first, x - first), 0, 1)
        slope = _slope(last - first, value[1] - value[0])
        return (1 - share) * value[0] + share * value[1], (1 - share) * moved[0] + share * moved[1], slope

    def best_within(self, x: float) -> tuple[float, Array]:
        """Returns the best value up to a place, and the influence of the seeds on it."""
        before = self.x.ravel()[self.x.ravel() <= x + TIE]
        values, moved, _ = self.at(np.append(before, np.clip(x, self.x[0, 0], self.x[1, -1])))
        best = int(values.argmax())
        return float(values[best]), moved[:, best]

    def minus(self, other: Line) -> Line | None:
        """Returns the difference of two lines over the same seeds; ``None`` where they do not overlap."""
        knots = np.unique(np.concatenate([self.x, other.x], axis=1))
        first, last = max(self.x[0, 0], other.x[0, 0]), min(self.x[1, -1], other.x[1, -1])
        knots = knots[(knots >= first) & (knots <= last)]
        if len(knots) < 2:
            return None
        ends = np.stack([knots[:-1], knots[1:]])
        one, two = ([line.at(x, ends.mean(axis=0)) for x in ends] for line in (self, other))
        a, b = (np.stack([end[0] for end in line]) for line in (one, two))
        lead = np.where(np.abs(a - b) <= TIE * np.maximum(np.abs(a), np.abs(b)), 0.0, a - b)
        moved = np.stack([mine[1] - others[1] for mine, others in zip(one, two, strict=True)])
        return Line(ends, lead, moved, min(self.seeds, other.seeds))

    def places(
        self, targets: Array, moved: Array | float = 0.0, later: Array | float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Returns all places where the line, or an end of its interval, may pass a target.

        Each with line - target, and half of the 95% interval of that. Shapes ``(targets, places)``, in order. The
        arguments are those of :meth:`reach`.
        """
        length = self.x[1] - self.x[0]
        v0, rise = self.value[0] - targets[:, None], self.value[1] - self.value[0]
        shift = np.asarray(later)[..., None] * _slope(length, rise) - np.asarray(moved)[..., None]
        e0, risen = self.influence[0] + shift, self.influence[1] - self.influence[0]
        # The squared standard error is a polynomial of the share of a piece.
        square, mixed, growth = (e0**2).sum(axis=-2), (e0 * risen).sum(axis=-2), (risen**2).sum(axis=-2)
        q = float(student_t(self.seeds - 1)) ** 2 if self.seeds > 1 else 0.0
        square, mixed, growth = (np.nan_to_num(q * one) for one in (square, mixed, growth))
        a, b, c = rise**2 - growth, 2 * (v0 * rise - mixed), v0**2 - square
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
            roots = [0 * v0, (-b - root) / (2 * a), (-b + root) / (2 * a), -v0 / rise, -c / b, 0 * v0 + 1]
        shares = np.stack(np.broadcast_arrays(*roots))
        shares = np.sort(np.where((shares >= 0) & (shares < 1), shares, 1.0), axis=0)
        half = np.sqrt(np.maximum(square + shares * (2 * mixed + shares * growth), 0))
        found = (self.x[0] + shares * length, v0 + shares * rise, half)
        x, lead, half = (np.moveaxis(one, 0, 2).reshape(len(targets), -1) for one in found)
        return x, lead, half

    def reach(self, targets: Array, moved: Array | float = 0.0, later: Array | float = 0.0) -> Array:
        r"""Returns where the line first reaches values, with the ends of the 95% intervals: as logarithms.

        Between points :math:`\ln t = (1 - \lambda) \ln t_a + \lambda \ln t_b`, :math:`\lambda = (v - v_a) / (v_b -
        v_a)`. An interval goes from where the upper end of the value's interval first reaches the target to where its
        lower end does. So it is not symmetric, and as exact as Student's interval of the value.

        Args:
            targets (Array): The values. Shape ``(targets,)``.
            moved (Array | float): The influence of the seeds on each. Shape ``(targets, seeds)``. Default: ``0.0``.
            later (Array | float): Their influence on the logarithm that the place is subtracted from. Default: ``0.0``.

        Returns:
            Array: Places, lower and upper ends, of shape ``(3, targets)``. The place is NaN if it is not reached,
            ``-inf`` if it was before the line begins; ends are infinite where the line does not tell, NaN without an
            interval.
        """
        step = max(1, _MOST_NUMBERS // self.influence[0].size)
        found = np.full((3, len(targets)), np.nan)
        for part in (slice(i, i + step) for i in range(0, len(targets), step)):
            x, lead, half = self.places(
                targets[part], *(one[part] if isinstance(one, np.ndarray) else one for one in (moved, later))
            )
            rough, slack = _ROUGH * np.maximum(np.abs(lead), half), TIE * np.abs(targets[part, None])
            for row, holds in enumerate((lead >= -slack, lead + half >= -rough, lead - half >= -rough)):
                found[row, part] = np.where(
                    holds.any(axis=1), x[np.arange(len(x)), holds.argmax(axis=1)], np.nan if row == 0 else np.inf
                )
        found[0, self.value[0, 0] > targets + TIE * np.abs(targets)] = -np.inf
        found[1, found[1] <= self.x[0, 0]] = -np.inf
        found[1:, np.isnan(found[0]) | (self.seeds < 2)] = np.nan
        return found


def _slope(length: Array, rise: Array) -> Array:
    return np.divide(rise, length, out=np.zeros(np.broadcast(length, rise).shape), where=length > 0)


def times_to(curve: Curve, targets: Sequence[float], *, axis: str, lower_is_better: bool = False) -> list[Answer]:
    """Returns when a curve first reaches each value: seconds of training, or what it counts.

    A curve whose first point is better than the value reached it within the time of that point: an upper bound.
    """
    sign = -1.0 if lower_is_better else 1.0
    line = Line.of(curve.followed, axis, sign)
    found = line.reach(sign * np.asarray(targets, dtype=float))
    return [
        Answer(math.exp(max(x, line.x[0, 0])), '<=' if x == -math.inf else '=', low, high, line.seeds)
        for x, low, high in zip(found[0].tolist(), *np.exp(found[1:]).tolist(), strict=True)
    ]


def value_within(curve: Curve, budget: float, *, axis: str, lower_is_better: bool = False) -> Answer:
    """Returns the best value that a curve reaches within a budget, interpolated in log time: the inverse of reaching.

    The best so far and not the last: a budget need not be used up. Beyond the last point it is a bound.
    """
    sign = -1.0 if lower_is_better else 1.0
    line, x = Line.of(curve.followed, axis, sign), math.log(budget)
    if x < line.x[0, 0] - TIE:
        return Answer(math.nan, seeds=line.seeds)
    value, moved = line.best_within(x)
    half = float(student_t(line.seeds - 1)) * float(np.linalg.norm(moved))
    relation = '=' if x <= line.x[1, -1] + TIE else '<=' if lower_is_better else '>='
    return Answer(sign * value, relation, sign * value - half, sign * value + half, line.seeds)


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
    method: Curve,
    baseline: Curve,
    targets: Sequence[float] | None = None,
    *,
    lower_is_better: bool = False,
    axis: str = 'time',
    all_seeds: bool = False,
) -> list[Speedup]:
    r"""Returns how many times sooner a method reaches values than the baseline, with 95% intervals.

    A speedup is a bound if one of the two is already better at its first point, and not known if both are, or one never
    reaches the value. Its interval is that of :meth:`Line.reach` of the method, of a target and a time that move with
    the seeds as the baseline's do.

    Args:
        method (Curve): The method's curve.
        baseline (Curve): The baseline's.
        targets (Sequence[float] | None): The values, in the metric's own unit. Default: ``None``, those of the
            baseline's points, which move with the seeds.
        lower_is_better (bool): Whether to reach is to come down to. Default: ``False``.
        axis (str): Speedup in ``'time'``, or in what the curves count. Default: ``'time'``.
        all_seeds (bool): Over all seeds of both, not only those that both have. Default: ``False``.

    Source:
        Fieller 1954, Some problems in interval estimation, doi:10.1111/j.2517-6161.1954.tb00159.x.
    """
    sign = -1.0 if lower_is_better else 1.0
    is_itself = method is baseline
    method, baseline = common_seeds(method, baseline, all_seeds)
    line, base = Line.of(method, axis, sign), Line.of(baseline, axis, sign)
    own = figures(sign * baseline.value)
    values, moved = own.value, own.influence.T
    if targets is not None:
        values = sign * np.asarray(targets, dtype=float)
        moved = np.zeros((len(values), len(moved[0])))
    at_base = base.reach(values)[0]
    counted = Line.of(baseline, baseline.axis, sign).reach(values)[0]
    # The time at which the baseline has the value moves against its value there.
    _, there, slope = base.at(np.where(np.isfinite(at_base), at_base, base.x[0, 0]))
    later = _slope(slope[:, None], moved - there.T)
    if targets is None:
        # That of a point, as the point's own time does.
        at_point = np.abs(at_base - np.log(baseline.positions(axis))) <= TIE
        times = figures(baseline.time_s).influence / baseline.mean('time_s') if axis == 'time' else 0 * own.influence
        later = np.where(at_point[:, None], times.T, later)
    found, low, high = line.reach(values, moved, later)
    seeds, result = min(line.seeds, base.seeds), []
    for i, value in enumerate(values.tolist()):
        is_bound, base_is_bound = found[i] == -np.inf, at_base[i] == -np.inf
        answer = Answer(math.nan, seeds=seeds)
        if not (np.isnan(found[i] + at_base[i]) or (is_bound and base_is_bound)):
            ratio = math.exp(max(at_base[i], base.x[0, 0]) - max(found[i], line.x[0, 0]))
            ends = np.array([math.nan, math.nan] if base_is_bound else [at_base[i] - high[i], at_base[i] - low[i]])
            lowest, highest = (1.0, 1.0) if is_itself and line.seeds > 1 else np.exp(ends).tolist()
            answer = Answer(ratio, '>=' if is_bound else '<=' if base_is_bound else '=', lowest, highest, seeds)
        # Twelve digits: a count is not an epoch less a rounding error.
        count = float(f'{math.exp(max(counted[i], math.log(baseline.count[0]))):.12g}')
        result.append(Speedup(sign * value, count, answer))
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


def crossings(
    method: Curve, baseline: Curve, *, by_time: bool, lower_is_better: bool = False, all_seeds: bool = False
) -> list[Crossing]:
    """Returns where the better of two curves changes, interpolated in the log of the count or time.

    The interval goes to where the difference of the two is decided, by Student's interval of it, on either side.
    """
    sign, axis = -1.0 if lower_is_better else 1.0, 'time' if by_time else method.axis
    one, two = (Line.of(curve, axis, sign) for curve in common_seeds(method, baseline, all_seeds))
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
            decided = np.abs(leads) >= (1 - _ROUGH) * half
            before, after = (x <= at) & decided & (rises * leads <= 0), (x >= at) & decided & (rises * leads >= 0)
            low = math.exp(_inward(x, before, knots))
            high = math.exp(-_inward(-x[::-1], after[::-1], -knots[::-1]))
        better = (method if rises > 0 else baseline).method
        found.append(Crossing(math.exp(at), better, low, high, difference.seeds))
    return found


def _inward(x: Array, decided: np.ndarray, knots: Array) -> float:
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


def frontier(curves: Iterable[Curve], *, lower_is_better: bool = False, all_seeds: bool = False) -> list[FrontierPoint]:
    """Returns the points of all curves that no other is at least as good as in time and value, and better in one."""
    sign, curves = -1 if lower_is_better else 1, list(curves)
    points: list[tuple[Curve, float, float, float]] = []
    for curve in curves:
        over = curve.followed
        points += zip([curve] * len(over.count), over.count, over.mean('time_s'), over.mean(), strict=True)
    kept: list[tuple[Curve, float, float, float]] = []
    for point in sorted(points, key=lambda one: (one[2], -sign * one[3])):
        last = kept[-1] if kept else None
        equal = last is not None and point[2:] == last[2:]
        if last is None or equal or sign * point[3] > sign * last[3]:
            kept.append(point)
    return [
        FrontierPoint(
            *(curve.method, curve.kind, curve.axis, float(count), float(time_s), float(value)),
            decided=all(
                _is_better(curve, count, time_s, other, sign, all_seeds) for other in curves if other is not curve
            ),
        )
        for curve, count, time_s, value in kept
    ]


def _is_better(curve: Curve, count: float, time_s: float, other: Curve, sign: int, all_seeds: bool) -> bool:
    """Returns whether a point of a curve is decidedly better than the best of another within its time."""
    one, two = common_seeds(curve, other, all_seeds)
    line, x, place = Line.of(two, 'time', sign), math.log(time_s), np.flatnonzero(one.count == count)
    if x < line.x[0, 0] - TIE or not len(place):
        return len(place) > 0
    best, moved = line.best_within(x)
    own = figures(sign * one.value)[place]
    half = float(student_t(min(float(own.seeds[0]), line.seeds) - 1)) * np.linalg.norm(own.influence[:, 0] - moved)
    return bool(own.value[0] - best > half)
