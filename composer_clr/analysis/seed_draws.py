"""Computes intervals of figures that are not linear in the values, from random draws of the means over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np

from composer_clr.analysis.mean_curve import Array, seed_shares
from composer_clr.analysis.uncertainty import Estimate, Term, student_t

__all__ = ['drawn_interval', 'drawn_means', 'fewest_seeds', 'weighted_sum']

_DRAWS = 1000


def drawn_means(sums: Sequence[Sequence[Term]]) -> Array | None:
    r"""Returns random draws of several weighted sums of means, as other seeds might give them.

    .. math::
        m_i^* = m_i + \sum_s z_s e_{i,s} \qquad z_s \sim N(0, 1)

    where :math:`e_{i,s}` is the share of seed :math:`s` in the error of sum :math:`i` (:func:`seed_shares`). A seed has
    one :math:`z_s` in all sums, so that what goes up and down together does so in the draws, and each sum varies by its
    standard error. Unlike resampling the seeds, this is not too narrow with few seeds, and needs no seed to have
    all points.

    Args:
        sums (Sequence[Sequence[tuple[float, Mapping[str, float]]]]): For each sum, weight and value by seed of each
            mean.

    Returns:
        Array | None: 1000 draws; ``None`` if a mean is of one seed.

    Shape:
        (draws, sums).

    Source:
        Wu 1986, Jackknife, bootstrap and other resampling methods in regression analysis, doi:10.1214/aos/1176350142.
    """
    shares = [seed_shares(terms) for terms in sums]
    known = [one for one in shares if one is not None]
    if len(known) < len(shares):
        return None
    seeds = sorted(set().union(*known))
    errors = np.array([[one.get(seed, 0.0) for seed in seeds] for one in known]).reshape(len(known), len(seeds))
    means = np.array([weighted_sum(terms) for terms in sums])
    return means + np.random.default_rng(0).normal(size=(_DRAWS, len(seeds))) @ errors.T


def weighted_sum(terms: Sequence[Term]) -> float:
    """Returns a weighted sum of means over seeds."""
    return math.fsum(weight * fmean(sample.values()) for weight, sample in terms)


def fewest_seeds(sums: Sequence[Sequence[Term]]) -> int:
    """Returns the number of seeds of the mean with the fewest."""
    return min(len(sample) for terms in sums for _, sample in terms)


def drawn_interval(
    value: float,
    draws: Array | None,
    seeds: int,
    scale: Callable[[Array], Array],
    inverse: Callable[[Array], Array],
) -> Estimate:
    r"""Returns a figure with its 95% interval.

    .. math::
        f^{-1} \left( f(\hat{x}) \pm t_{0.975,\, n-1} \, s^* \right)

    where :math:`s^*` is the deviation of :math:`f(x)` over the draws.

    Args:
        value (float): The figure.
        draws (Array | None): The figure of each draw; NaN where it is not defined.
        seeds (int): The number of seeds that it rests on.
        scale (Callable[[Array], Array]): :math:`f`, the scale on which the errors are about normal.
        inverse (Callable[[Array], Array]): :math:`f^{-1}`.
    """
    if draws is None or np.isnan(draws).any():
        return Estimate(value, seeds)
    half = student_t(seeds - 1) * float(scale(draws).std())
    ends = inverse(scale(np.array([value])) + np.array([-half, half]))
    return Estimate(value, seeds, low=float(ends.min()), high=float(ends.max()))
