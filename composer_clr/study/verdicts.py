"""Decides at which budgets a method is better or worse than the baseline, and what would be needed where it is open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.study.compare import Comparison
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Array, student_t
from composer_clr.study.reach import Crossing
from composer_clr.study.table import Study
from composer_clr.utils.errors import listed

__all__ = ['Verdict', 'decided_crossings', 'tiers', 'verdict_lines', 'verdicts']

_FAMILY_WISE, _POWER, _MOST_SEEDS = 0.05, 0.8, 1000
# Methods that a line names with their figures.
_MOST_SAID = 3


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


@lru_cache(maxsize=1)  # of one comparison, lines, record and findings ask
def verdicts(compared: Comparison) -> dict[str, dict[str, list[Verdict]]]:
    """Returns, by kind of curve and method, a verdict at each point that the baseline's curve covers.

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
    decided = {}
    for kind, found in compared.kinds.items():
        improved = {method: one.at_equal_counts for method, one in found.over_baseline.items()}
        noise = _Noise.of(compared.study, kind)
        family = sum(len(one.count) for one in improved.values() if one is not None)
        if improved:
            decided[kind] = {
                method: [] if one is None else _verdicts(compared.study, noise, family, method, one)
                for method, one in improved.items()
            }
    return decided


@dataclass(frozen=True, eq=False)
class _Noise:
    """The variances between seeds of the curves of a kind. ``square`` has shape ``(curves, counts)``, NaN for none."""

    methods: list[str]
    counts: Array
    square: Array
    freedom: float

    @classmethod
    def of(cls, study: Study, kind: str) -> _Noise:
        curves = {name: curve for (name, its_kind), curve in study.curves.items() if its_kind == kind}
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
        return cls(list(curves), counts, square, seeds * float(np.trace(shared)) ** 2 / size if size > 0 else seeds)

    def variance(self, a: str, b: str, count: float) -> float:
        """Returns the variance of a run at a budget, for the difference of two methods."""
        both = self.square[[self.methods.index(a), self.methods.index(b)]]
        known = np.flatnonzero(~np.isnan(self.square).all(axis=0))
        if not len(known):
            return math.nan
        at = known[np.abs(np.log(self.counts[known] / count)).argmin()]
        parts = [part[~np.isnan(part)] for part in (self.square, self.square[:, at], both, both[:, at])]
        return max(float(part.mean()) for part in parts if part.size)

    def quantile(self, family: int, factor: Array | float = 1.0) -> Array:
        """Returns how many standard errors the intervals of a family go to either side, with more or fewer seeds."""
        level = (1 - _FAMILY_WISE) ** (1 / family)
        return student_t(factor * self.freedom, (1 + level) / 2)


def _verdicts(study: Study, noise: _Noise, family: int, method: str, improved: Differences) -> list[Verdict]:
    verdicts = []
    for i, (count, value) in enumerate(zip(improved.count.tolist(), improved.each.value.tolist(), strict=True)):
        variance = study.scale**2 * noise.variance(method, study.baseline, count)
        sizes = [float(side.seeds[i]) for side in improved.sides] or [float(improved.figures.seeds[i])] * 2
        half = math.nan
        if min(sizes) > 1:
            half = float(noise.quantile(family)) * math.sqrt(variance * sum(1 / n for n in sizes))
        decided = '' if not abs(value) > half else 'better' if value > 0 else 'worse'
        would_do = None if decided else _would_do(noise, family, variance, abs(value), min(sizes))
        verdicts.append(Verdict(count, value, value - half, value + half, int(min(sizes)), decided, would_do))
    return verdicts


def _would_do(noise: _Noise, family: int, variance: float, size: float, seeds: float) -> int | None:
    if not (seeds > 1 and size > 0 and variance > 0):
        return None
    n = np.arange(int(seeds) + 1, _MOST_SEEDS + 1)
    errors = noise.quantile(family, (n - 1) / (seeds - 1)) + student_t(math.inf, _POWER)
    enough = errors * np.sqrt(2 * variance / n) <= size
    return int(n[enough.argmax()]) if enough.any() else None


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


def tiers(compared: Comparison, kind: str) -> dict[float, list[list[str]]]:
    """Returns the methods of a kind by count, best first, in groups of which each is decidedly better than the next.

    The intervals hold for all pairs of methods and all counts at once. Counts at which nothing is decided are left out.
    """
    found, study = compared.kinds[kind], compared.study
    curves = {name: curve for (name, its_kind), curve in study.curves.items() if its_kind == kind}
    noise, sign = _Noise.of(study, kind), -1 if study.lower_is_better else 1
    pairs = len(curves) * (len(curves) - 1) // 2
    result = {}
    for count, ranked in found.ranking.items():
        names = [name for tied in ranked for name in tied]
        at = {name: np.flatnonzero(curves[name].count == count) for name in names}
        if not all(len(place) for place in at.values()):
            continue
        values = {name: curves[name].value[:, at[name][0]] for name in names}
        groups = [[names[0]]]
        for i in range(1, len(names)):
            if all(
                _lead(noise, sign, values, (a, b), count, pairs * len(found.ranking))
                for a in reversed(names[:i])  # those next to each other are the least apart
                for b in names[i:]
            ):
                groups.append([])
            groups[-1].append(names[i])
        if len(groups) > 1:
            result[count] = groups
    return result


def _lead(
    noise: _Noise, sign: int, values: Mapping[str, Array], pair: tuple[str, str], count: float, family: int
) -> bool:
    a, b = (values[name] for name in pair)
    both = ~np.isnan(a) & ~np.isnan(b)
    sides = (a[both], b[both]) if both.any() else (a[~np.isnan(a)], b[~np.isnan(b)])
    if min(map(len, sides)) < 2:
        return False
    error = math.sqrt(noise.variance(*pair, count) * sum(1 / len(side) for side in sides))
    return bool(sign * (sides[0].mean() - sides[1].mean()) > noise.quantile(family) * error)


def verdict_lines(compared: Comparison) -> list[str]:
    """Returns a line per kind of curve and budget: methods that are better or worse, by how much if they are few."""
    lines, axis = [], compared.study.axis
    found = verdicts(compared)
    for kind, methods in found.items():
        every = [one for of_method in methods.values() for one in of_method]
        if len(methods) > _MOST_SAID and all(one.seeds < 2 for one in every):
            lines.append(f'{"" if len(found) == 1 else f"{kind}: "}undecided, one seed: train two or more')
            continue
        counts = sorted({one.at for one in every})
        for count, label in zip(counts, count_labels(counts, axis), strict=True):
            here = [(method, one) for method, of_method in methods.items() for one in of_method if one.at == count]
            said = [_said(method, one, len(methods) > 1) for method, one in here]
            if len(here) > _MOST_SAID:
                said = _counted(here)
            where = f'{label} {UNITS[axis]}' if len(found) == 1 else f'{kind}, {label} {UNITS[axis]}'
            lines.append(f'{where}: {"; ".join(said)}')
    return lines


def _counted(here: Sequence[tuple[str, Verdict]]) -> list[str]:
    """Returns the names of methods that are decided, and how many are not: more than a line has room for."""
    names = {verdict: [name for name, one in here if one.decided == verdict] for verdict in ('better', 'worse')}
    said = [f'{verdict}: {listed(found, 6)}' for verdict, found in names.items() if found]
    undecided = len(here) - sum(map(len, names.values()))
    return [*said, f'{undecided} undecided'] if undecided else said


def _said(method: str, found: Verdict, named: bool) -> str:
    size = max(abs(found.value), 1e-12) if math.isnan(found.high) else (found.high - found.low) / 2
    digits = min(max(0, -math.floor(math.log10(size))), 12) if size > 0 else 2
    value, low, high = (f'{0.0 if round(one, digits) == 0 else one:.{digits}f}' for one in found[1:4])
    if found.value == 0 and math.isnan(found.high):
        value = '0'
    if found.decided:
        sign = -1 if found.decided == 'worse' else 1
        ends = ' to '.join(f'{end:.{digits}f}' for end in sorted((sign * found.low, sign * found.high)))
        return f'{method} {found.decided} by {abs(found.value):.{digits}f} ({ends})'
    name = f'{method} ' if named else ''
    seeds = f'{found.seeds} seed{"s" if found.seeds > 1 else ""}'
    more = f', {found.would_do} would do' if found.would_do else ''
    span = '' if math.isnan(found.low) else f', {low} to {high}'
    return f'{name}undecided ({value}{span}; {seeds}{more})'
