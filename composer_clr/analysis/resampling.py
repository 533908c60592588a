"""Computes intervals by a bootstrap over seeds, for what is not linear: speedups, and where curves cross."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer_clr.analysis.mean_curve import Array, MeanCurve
from composer_clr.analysis.queries import Answer, first_reach, speedup
from composer_clr.analysis.uncertainty import Seeds, student_t

__all__ = ['Crossing', 'Pair', 'Speedup', 'crossings', 'pair_of', 'speedups_with_interval']

_DRAWS = 1000
# An interval needs the figure in nearly all draws.
_MISSING = 0.025
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Pair:
    """Two curves over the same seeds, with bootstrap draws of their means.

    Attributes:
        method (MeanCurve): The method's curve, over the seeds that count.
        baseline (MeanCurve): The baseline's.
        seeds (int): Their number, in the curve with fewer.
        draws (tuple[Array, Array, Array, Array] | None): Times and values of the method, and of the baseline, each of
            shape (draws, points); ``None`` with one seed.
    """

    method: MeanCurve
    baseline: MeanCurve
    seeds: int
    draws: tuple[Array, Array, Array, Array] | None


def pair_of(method: MeanCurve, baseline: MeanCurve, seeds: Seeds = 'common') -> Pair:
    """Returns two curves over the seeds that have all points of both, with joint bootstrap draws.

    Curves without a common seed are drawn independently. If no seed has all points, the curves are returned without
    draws.

    Args:
        method (MeanCurve): The method's curve.
        baseline (MeanCurve): The baseline's.
        seeds (str): ``'common'``, or ``'all'`` for each curve's own seeds. Default: ``'common'``.
    """
    complete = [curve.complete_seeds if curve.times else [] for curve in (method, baseline)]
    common = [seed for seed in complete[0] if seed in complete[1]]
    paired = bool(common) and (seeds == 'common' or set(complete[0]) == set(complete[1]))
    chosen = [common, common] if paired else complete
    if not all(chosen):
        return Pair(method, baseline, min(len(s) for c in (method, baseline) for s in c.samples), None)
    if seeds == 'common':
        method, baseline = _over(method, chosen[0]), _over(baseline, chosen[1])
    count = min(map(len, chosen))
    if count < 2:
        return Pair(method, baseline, count, None)
    random = np.random.default_rng(0)
    indices = [random.integers(len(each), size=(_DRAWS, len(each))) for each in chosen]
    if paired:
        indices[1] = indices[0]
    draws = [
        np.array([[by_seed[seed] for by_seed in points] for seed in of_curve])[index].mean(axis=1)
        for curve, of_curve, index in zip((method, baseline), chosen, indices, strict=True)
        for points in (curve.times, curve.samples)
    ]
    return Pair(method, baseline, count, (draws[0], draws[1], draws[2], draws[3]))


def _over(curve: MeanCurve, seeds: Sequence[str]) -> MeanCurve:
    """Returns a curve over some of its seeds, all of which have all its points."""
    if len(seeds) == len(curve.seeds):
        return curve
    samples, times = (tuple({s: at[s] for s in seeds} for at in points) for points in (curve.samples, curve.times))
    means = [np.array([np.mean(list(at.values())) for at in points]) for points in (samples, times)]
    return replace(curve, value=means[0], time_s=means[1], samples=samples, times=times)


@dataclass(frozen=True)
class Speedup:
    """How many times sooner a method reaches a value than the baseline.

    Attributes:
        target (float): The value.
        answer (Answer): The speedup, or its bound.
        low (float | None): Lower end of its 95% interval; ``None`` with one seed, or if more than 2.5% of the draws do
            not reach the value.
        high (float | None): Upper end.
        seeds (int): The number of seeds that it rests on.
    """

    target: float
    answer: Answer
    low: float | None
    high: float | None
    seeds: int


def speedups_with_interval(
    pair: Pair, targets: Sequence[float] | None = None, *, lower_is_better: bool = False, counted: bool = False
) -> list[Speedup]:
    r"""Returns :func:`~composer_clr.analysis.queries.speedup` at several values, with 95% intervals.

    .. math::
        \hat{r} \exp\left( \pm t_{0.975,\, n-1} \sqrt{\tfrac{n}{n-1}} \, s^* \right)

    where :math:`s^*` is the deviation of :math:`\ln r` over 1000 bootstrap draws of the seeds, which with few seeds is
    too small by :math:`\sqrt{(n-1)/n}`. In 1000 simulated studies of 3, of 5 and of 10 seeds it holds the truth in 95%
    (percentiles of the draws: 76%, 86% and 92%).

    Args:
        pair (Pair): The curves.
        targets (Sequence[float] | None): The values, in the metric's own unit. Default: ``None``, those of the
            baseline's points, which in each draw are that draw's.
        lower_is_better (bool): Whether to reach is to come down to. Default: ``False``.
        counted (bool): Whether in what the curves count, such as tokens, in place of seconds. Default: ``False``.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 12.
    """
    values = pair.baseline.value.tolist() if targets is None else list(targets)
    found = [
        speedup(pair.method, pair.baseline, value, lower_is_better=lower_is_better, counted=counted) for value in values
    ]
    ratios = np.full((_DRAWS, len(values)), np.nan)
    if pair.draws is not None:
        sign = -1.0 if lower_is_better else 1.0
        method_x, method_values, baseline_x, baseline_values = pair.draws
        if counted:
            counts = pair.method.count, pair.baseline.count
            method_x, baseline_x = (np.broadcast_to(count, (_DRAWS, len(count))) for count in counts)
        drawn = baseline_values if targets is None else np.broadcast_to(values, ratios.shape)
        method_s, is_bound = first_reach(method_x, sign * method_values, sign * drawn)
        baseline_s, is_other_bound = first_reach(baseline_x, sign * baseline_values, sign * drawn)
        ratios = np.where(is_bound | is_other_bound, np.nan, baseline_s / method_s)
    intervals = [
        (None, None) if one.exact is None else _interval(one.exact, of_value, pair.seeds)
        for one, of_value in zip(found, ratios.T, strict=True)
    ]
    return [Speedup(value, one, *ends, pair.seeds) for value, one, ends in zip(values, found, intervals, strict=True)]


def _interval(value: float, draws: Array, seeds: int) -> tuple[float | None, float | None]:
    known = draws[~np.isnan(draws)]
    if len(known) < (1 - _MISSING) * len(draws):
        return None, None
    half = student_t(seeds - 1) * math.sqrt(seeds / (seeds - 1)) * float(np.log(known).std())
    return value * math.exp(-half), value * math.exp(min(half, 700.0))


@dataclass(frozen=True)
class Crossing:
    """A budget from which on one of two curves is the better one.

    Attributes:
        budget (float): A count, such as epochs, or seconds.
        better (str): The method that is better from there on.
        low (float | None): Lower end of the budget's 95% interval; ``None`` with one seed, or if the curves do not
            cross in more than 2.5% of the draws.
        high (float | None): Upper end.
        seeds (int): The number of seeds that it rests on.
    """

    budget: float
    better: str
    low: float | None
    high: float | None
    seeds: int


def crossings(pair: Pair, *, by_time: bool, lower_is_better: bool = False) -> list[Crossing]:
    """Returns where the better of two curves changes, interpolated in the log of the count or time.

    The interval is that of :func:`speedups_with_interval`. In 200 simulated studies of 3, of 5 and of 10 seeds it holds
    the truth in 94%, 95% and 98%.

    Args:
        pair (Pair): The curves.
        by_time (bool): Whether the curves are compared at equal training time, else at equal counts.
        lower_is_better (bool): Whether less of the metric is better. Default: ``False``.
    """
    sign = -1.0 if lower_is_better else 1.0
    a, b = pair.method, pair.baseline
    positions = (a.time_s, b.time_s) if by_time else (a.count, b.count)
    estimated = _crossings(positions[0], sign * a.value, positions[1], sign * b.value)
    drawn = []
    if estimated and pair.draws is not None:
        for times, values, base_times, base_values in zip(*pair.draws, strict=True):
            x, base_x = (times, base_times) if by_time else positions
            drawn.append(_crossings(x, sign * values, base_x, sign * base_values))
    found = []
    for budget, rises in estimated:
        low = high = None
        if drawn:
            nearest = np.full(_DRAWS, np.nan)
            for i, of_draw in enumerate(drawn):
                logs = [math.log(at / budget) for at, up in of_draw if up == rises]
                if logs:
                    nearest[i] = budget * math.exp(min(logs, key=abs))
            low, high = _interval(budget, nearest, pair.seeds)
        found.append(Crossing(budget, a.method if rises else b.method, low, high, pair.seeds))
    return found


def _crossings(x: Array, values: Array, base_x: Array, base_values: Array) -> list[tuple[float, bool]]:
    """Returns the positions at which the first curve comes to lie above (true) or below (false) the second."""
    order, base_order = np.argsort(x, kind='stable'), np.argsort(base_x, kind='stable')
    knots = np.unique(np.log(np.concatenate([x, base_x])))
    first, last = (pick(np.log([end(x), end(base_x)])) for pick, end in ((np.max, np.min), (np.min, np.max)))
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
        start = j - 1
        share = lead[start] / (lead[start] - lead[j])
        found.append((float(np.exp(knots[start] + share * (knots[j] - knots[start]))), bool(lead[j] > 0)))
    return found
