"""Computes 95% intervals over seeds, and the number of seeds that a difference takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from composer_clr.analysis.mean_curve import MeanCurve, standard_error

__all__ = ['LEVEL', 'Estimate', 'Groups', 'Seeds', 'Term', 'difference', 'estimate', 'pairing_of', 'seeds_to_resolve']

LEVEL = 0.95
_POWER = 0.8
# Differences within rounding are ties.
_TIE = 1e-9

Term = tuple[float, Mapping[str, float]]
# Terms whose seeds are independent of those of the other groups.
Groups = tuple[Sequence[Term], ...]
# Whether a difference is over the seeds that both sides have, or over all of either.
Seeds = Literal['common', 'all']


@dataclass(frozen=True)
class Estimate:
    """A figure that rests on seeds.

    Attributes:
        value (float): The figure.
        seeds (int): The number of seeds that it rests on, at the point with the fewest.
        sem (float | None): Its standard error; ``None`` with one seed.
        low (float | None): Lower end of its 95% interval; ``None`` with one seed.
        high (float | None): Upper end.
    """

    value: float
    seeds: int
    sem: float | None = None
    low: float | None = None
    high: float | None = None


def pairing_of(a: MeanCurve, b: MeanCurve, seeds: Seeds) -> Literal['paired', 'unpaired', 'all']:
    """Returns how two curves' seeds are compared: paired if they share seeds, unless all seeds are asked for."""
    if seeds == 'all':
        return 'all'
    return 'paired' if a.seeds & b.seeds else 'unpaired'


def difference(plus: Sequence[Term], minus: Sequence[Term], how: Literal['paired', 'unpaired', 'all']) -> Groups | None:
    """Returns one weighted sum of means minus another as terms for :func:`estimate`.

    Args:
        plus (Sequence[tuple[float, Mapping[str, float]]]): Weight, and value by seed, of each mean.
        minus (Sequence[tuple[float, Mapping[str, float]]]): The same of the sum to subtract.
        how (str): ``'paired'``: the differences of the seeds that all means have. ``'unpaired'``: two independent
            groups of seeds. ``'all'``: all seeds, of which those that several means have count together.

    Returns:
        tuple[Sequence[tuple[float, Mapping[str, float]]], ...] | None: ``None`` if the means share no seed to pair.

    Example:
        >>> difference([(1, {'1': 5.0, '2': 7.0, '3': 9.0})], [(1, {'1': 4.0, '2': 4.0})], 'paired')
        ([(1.0, {'1': 1.0, '2': 3.0})],)
    """
    plus, minus = ([term for term in side if term[0] != 0] for side in (plus, minus))
    subtracted = [(-weight, sample) for weight, sample in minus]
    if how == 'unpaired':
        return plus, subtracted
    terms = [*plus, *subtracted]
    if how == 'all':
        return (terms,)
    common = [seed for seed in terms[0][1] if all(seed in sample for _, sample in terms)]
    if not common:
        return None
    return ([(1.0, {seed: math.fsum(weight * sample[seed] for weight, sample in terms) for seed in common})],)


def estimate(groups: Groups, scale: float = 1.0, magnitude: float = 0.0) -> Estimate:
    r"""Returns the sum of weighted means, with its 95% interval by Student's t.

    .. math::
        \hat{x} \pm t_{0.975,\, \nu} \, SE \qquad SE^2 = \sum_g SE_g^2 \qquad
        \nu = \frac{\left( \sum_g SE_g^2 \right)^2}{\sum_g SE_g^4 / (n_g - 1)}

    where :math:`SE_g` is :func:`standard_error` of a group of terms and :math:`n_g` the seeds of its smallest mean: of
    one group, as of differences paired by seed, :math:`\nu = n - 1`; of two, Welch and Satterthwaite's.

    Args:
        groups (tuple[Sequence[tuple[float, Mapping[str, float]]], ...]): From :func:`difference`.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        magnitude (float): Size of the values subtracted, in their unit; a sum within 1e-9 of it is a tie, exactly 0.
            Default: ``0.0``.

    Example:
        >>> found = estimate(([(1.0, {'1': 1.0, '2': 3.0, '3': 2.0})],))
        >>> found.value, found.seeds, round(found.sem, 6), round(found.low, 4), round(found.high, 4)
        (2.0, 3, 0.57735, -0.4841, 4.4841)

    Source:
        Student 1908, doi:10.1093/biomet/6.1.1; Welch 1947, doi:10.1093/biomet/34.1-2.28.
    """
    value = math.fsum(weight * fmean(sample.values()) for group in groups for weight, sample in group)
    value = 0.0 if abs(value) <= _TIE * magnitude else scale * value
    counts = [min(len(sample) for _, sample in group) for group in groups]
    errors = [standard_error(group) for group in groups]
    squares = [(scale * error) ** 2 for error in errors if error is not None]
    if len(squares) < len(groups):
        return Estimate(value, min(counts))
    total = math.fsum(squares)
    freedom = float(min(counts) - 1)
    if total > 0:
        parts = [square / total for square in squares]
        freedom = 1 / math.fsum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    half = student_t(freedom) * math.sqrt(total)
    return Estimate(value, min(counts), math.sqrt(total), value - half, value + half)


def student_t(freedom: float, probability: float = (1 + LEVEL) / 2) -> float:
    """Returns a quantile of Student's t.

    Example:
        >>> round(student_t(2), 4)
        4.3027
    """
    from scipy.special import stdtrit  # figures need not wait for scipy

    return float(stdtrit(freedom, probability))


def seeds_to_resolve(found: Estimate, smallest: float) -> int | None:
    r"""Returns the number of seeds with which a difference of a given size would be found.

    The smallest :math:`n \ge 2` with :math:`(t_{0.975,\, n-1} + t_{0.8,\, n-1}) \, s / \sqrt{n} \le \delta`: at the 5%
    level, in 80% of studies. :math:`s` is the deviation between the seeds of this study.

    Args:
        found (Estimate): The figure.
        smallest (float): The difference :math:`\delta`, in the unit of the figure, > 0.

    Returns:
        int | None: ``None`` with one seed, which has no deviation.

    Example:
        >>> seeds_to_resolve(Estimate(0.3, seeds=3, sem=0.1), 0.1), seeds_to_resolve(Estimate(0.3, seeds=1), 0.1)
        (26, None)
    """
    if found.sem is None:
        return None
    deviation = found.sem * math.sqrt(found.seeds)
    least = (student_t(math.inf) + student_t(math.inf, _POWER)) * deviation / smallest
    n = max(2, math.floor(least**2))
    while (student_t(n - 1) + student_t(n - 1, _POWER)) * deviation / math.sqrt(n) > smallest:
        n += 1
    return n
