"""Decides at which budgets a method is better or worse than the baseline, and what would be needed where it is open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from composer_clr.study.curve import Curve
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Array, student_t
from composer_clr.study.reach import Crossing

__all__ = ['Verdict', 'decided_crossings', 'tiers', 'verdicts']

_FAMILY_WISE, _POWER, _MOST_SEEDS = 0.05, 0.8, 1000


class Verdict(NamedTuple):
    """Whether a method is better than the baseline at a budget.

    Attributes:
        at (float): The budget: a count, such as epochs.
        value (float): The improvement; above 0 favours the method.
        low (float): Lower end of the interval that holds for all budgets and methods of the kind at once; NaN with one
            seed.
        high (float): Upper end.
        seeds (int): The number of seeds.
        decided (str): ``'better'``, ``'worse'``, or empty where the interval holds 0.
        would_do (int | None): Where it is not decided, the number of seeds with which an improvement of this size would
            be in 4 of 5 studies; ``None`` if that is more than 1,000 or not known.
    """

    at: float
    value: float
    low: float
    high: float
    seeds: int
    decided: str
    would_do: int | None


def verdicts(
    curves: Mapping[str, Curve], baseline: str, improved: Mapping[str, Differences | None]
) -> dict[str, list[Verdict]]:
    """Returns, by method, a verdict at each point of the improvements over the baseline on the curves of a kind.

    The intervals of one kind hold the truth at all budgets and for all methods at once in 95% of studies. A deviation
    of three seeds is hardly known, so it is pooled over all curves and points of the kind, or is that of the budget, of
    the two curves or of the two points, whichever is largest: a pooled one alone is too small where curves or points
    differ. Runs of different methods are taken as independent, which is on the safe side where equal seeds go together.
    Points of a run are not: the degrees of freedom are Box's, of the covariance of the points. The quantile is
    Student's at Sidak's level.

    In 2,000 simulated studies of a baseline and two methods, 3 seeds and 6 points that are correlated at 0.6 within a
    run, these find 41% of the differences of three standard deviations, and Holm's method on the paired t 6%. Where no
    method differs, they err in 1.1% of the studies, Holm's method in 5.0%.

    Source:
        Box 1954, doi:10.1214/aoms/1177728786; Sidak 1967, doi:10.1080/01621459.1967.10482935.
    """
    noise, methods = _Noise.of(curves), list(curves)
    family = max(1, sum(len(one.count) for one in improved.values() if one is not None))
    quantile = float(noise.quantile(family))

    def verdict(method: str, one: Differences, i: int) -> Verdict:
        count, value = float(one.count[i]), float(one.each.value[i])
        square = one.scale**2 * float(noise.variances(count)[methods.index(method), methods.index(baseline)])
        sizes = [float(side.seeds[i]) for side in one.sides or (one.figures,) * 2]
        half = math.nan
        if min(sizes) > 1:
            half = quantile * math.sqrt(square * sum(1 / n for n in sizes))
        decided = '' if not abs(value) > half else 'better' if value > 0 else 'worse'
        would_do = None if decided else noise.would_do(family, square, abs(value), min(sizes))
        return Verdict(count, value, value - half, value + half, int(min(sizes)), decided, would_do)

    return {
        method: [] if one is None else [verdict(method, one, i) for i in range(len(one.count))]
        for method, one in improved.items()
    }


def tiers(curves: Mapping[str, Curve], ranking: Mapping[float, list[list[str]]]) -> dict[float, list[list[str]]]:
    """Returns the methods of a kind by count, best first, in groups of which each is decidedly better than the next.

    The intervals hold for all pairs of methods and all counts at once. Counts at which nothing is decided are left out.
    """
    noise, result = _Noise.of(curves), {}
    quantile = noise.quantile(max(1, len(curves) * (len(curves) - 1) // 2 * len(ranking)))
    for count, ranked in ranking.items():
        names = [name for tied in ranked for name in tied]
        at = [np.flatnonzero(curves[name].count == count) for name in names]
        if not all(len(place) for place in at):
            continue
        values = np.stack([curves[name].sign * curves[name].value[:, i[0]] for name, i in zip(names, at, strict=True)])
        order = [list(curves).index(name) for name in names]
        leads, errors = _leads(values, noise.variances(count)[np.ix_(order, order)])
        decided = leads > quantile * errors
        starts = [0, *(i for i in range(1, len(names)) if decided[:i, i:].all())]
        if len(starts) > 1:
            result[count] = [names[i:j] for i, j in zip(starts, [*starts[1:], None], strict=True)]
    return result


def _leads(values: Array, variances: Array) -> tuple[Array, Array]:
    """Returns the mean of each row minus that of each other, and its standard error; NaN with one seed.

    It is over the seeds that both rows have, or over their own if there are none.
    """
    present = (~np.isnan(values)).astype(float)
    sizes, sums = present @ present.T, np.nan_to_num(values) @ present.T
    own_sizes, own_sums = (np.broadcast_to(np.diag(one)[:, None], one.shape) for one in (sizes, sums))
    alone = sizes == 0
    sizes, sums = np.where(alone, own_sizes, sizes), np.where(alone, own_sums, sums)
    errors = np.sqrt(variances * (1 / sizes + 1 / sizes.T))
    errors[np.minimum(sizes, sizes.T) < 2] = np.nan
    return sums / sizes - (sums / sizes).T, errors


@dataclass(frozen=True, eq=False)
class _Noise:
    """The variances between seeds of the curves of a kind. ``square`` has shape ``(curves, counts)``, NaN for none."""

    counts: Array
    square: Array
    freedom: float

    @classmethod
    def of(cls, curves: Mapping[str, Curve]) -> _Noise:
        counts = np.unique(np.concatenate([curve.count for curve in curves.values()]))
        square, shared = np.full((len(curves), len(counts)), np.nan), np.zeros((len(counts), len(counts)))
        seeds, pairs = 0, np.zeros_like(shared)
        for i, curve in enumerate(curves.values()):
            n = (~np.isnan(curve.value)).sum(axis=0)
            some = n > 1
            if not some.any():
                continue
            values = curve.value[:, some]
            of_seeds = np.nan_to_num(values - np.nanmean(values, axis=0)) / np.sqrt(n[some] - 1.0)
            at = np.searchsorted(counts, curve.count[some])
            square[i, at] = (of_seeds**2).sum(axis=0)
            shared[np.ix_(at, at)] += of_seeds.T @ of_seeds
            pairs[np.ix_(at, at)] += 1
            seeds += int(n[some].min()) - 1
        shared = shared / np.maximum(pairs, 1)
        size = float((shared**2).sum())
        return cls(counts, square, seeds * float(np.trace(shared)) ** 2 / size if size > 0 else seeds)

    def variances(self, count: float) -> Array:
        """Returns the variance of a run at a budget, for the difference of each two curves; NaN with one seed."""
        known = np.flatnonzero(~np.isnan(self.square).all(axis=0))
        if not len(known):
            return np.full((len(self.square),) * 2, np.nan)
        at = known[np.abs(np.log(self.counts[known] / count)).argmin()]
        parts = [self.square, self.square[:, [at]]]
        return np.fmax(np.fmax(*map(_mean_of_both, parts)), max(map(np.nanmean, parts)))

    def quantile(self, family: int, factor: Array | float = 1.0) -> Array:
        """Returns how many standard errors the intervals of a family go to either side, with more or fewer seeds."""
        level = (1 - _FAMILY_WISE) ** (1 / family)
        return student_t(factor * self.freedom, (1 + level) / 2)

    def would_do(self, family: int, variance: float, size: float, seeds: float) -> int | None:
        """Returns the number of seeds with which a difference of a size would be decided in 4 of 5 studies."""
        if not (seeds > 1 and size > 0 and variance > 0):
            return None
        n = np.arange(int(seeds) + 1, _MOST_SEEDS + 1)
        errors = self.quantile(family, (n - 1) / (seeds - 1)) + student_t(math.inf, _POWER)
        enough = errors * np.sqrt(2 * variance / n) <= size
        return int(n[enough.argmax()]) if enough.any() else None


def _mean_of_both(square: Array) -> Array:
    """Returns the mean of what each two rows have; NaN where it is nothing."""
    n, total = (~np.isnan(square)).sum(axis=1), np.nansum(square, axis=1)
    with np.errstate(invalid='ignore'):
        return np.add.outer(total, total) / np.add.outer(n, n)


def decided_crossings(verdicts: Sequence[Verdict], crossings: Sequence[Crossing], method: str) -> list[Crossing]:
    """Returns the crossings on either side of which the verdicts are decided, and are opposite."""
    found = []
    for crossing in crossings:
        before = [one.decided for one in verdicts if one.decided and one.at < crossing.budget]
        after = [one.decided for one in verdicts if one.decided and one.at >= crossing.budget]
        wanted = ['worse', 'better'] if crossing.better == method else ['better', 'worse']
        if [*before[-1:], *after[:1]] == wanted:
            found.append(crossing)
    return found
