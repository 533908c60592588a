"""Measures how far two kinds of curve agree: on the shape of the improvements, and the ranking of methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from composer_clr.study.estimates import TIE, Array, Estimates, Figures, drawn, drawn_interval

__all__ = ['cosine_similarity', 'kendall_tau', 'ranking']

_LEVEL = 0.975


def cosine_similarity(a: Figures, b: Figures) -> Estimates | None:
    r"""Returns how alike two series of improvements are in shape, :math:`a \cdot b / (|a| |b|)`, with its interval.

    Noise makes the measured angle larger than the true one, which may be 0, so an interval around it would not do. The
    square of the distance :math:`d = |b / |b| - a / |a||` has, for a true :math:`\delta`, about a scaled
    :math:`\chi^2` distribution of mean :math:`\delta^2 + \mathrm{tr} S` and variance :math:`2 \, \mathrm{tr} S^2 + 4
    \delta^2 \sigma^2`, with :math:`S` the covariance of :math:`d` between seeds and :math:`\sigma` its deviation along
    it. The interval holds those :math:`\delta` for which the measured one is not improbable, by Student's t of its cube
    root. In 1,000 simulated studies each of 3, 5 and 10 seeds, whose points are correlated at 0.6, with noise of 0.1 to
    0.6 of the improvements, it holds a true cosine of 1, 0.997, 0.98 and 0.8 in 93% to 97%, of 1 with 10 seeds in 98%.

    It is ``None`` for fewer than two improvements, or where one series is all zero.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3; Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684.
    """
    cosine = float(_cosines(a.value, b.value)) if len(a.value) > 1 else math.nan
    if math.isnan(cosine):
        return None
    seeds, units, moved = min(a.seeds.min(), b.seeds.min()), [], []
    for side in (a, b):
        length = float(np.linalg.norm(side.value))
        units.append(side.value / length)
        moved.append((side.influence - np.outer(side.influence @ units[-1], units[-1])) / length)
    distance = units[1] - units[0]
    ends = _distances(float(distance @ distance), moved[1] - moved[0], distance, float(seeds) - 1)
    high, low = np.cos(2 * np.arcsin(np.minimum(np.array(ends) / 2, 1)))
    return Estimates(*map(np.array, (cosine, math.nan, low, high, seeds)))


def _distances(square: float, moved: Array, along: Array, freedom: float) -> tuple[float, float]:
    """Returns the ends of the interval of a distance of points on a sphere, of which its square is measured."""
    shared = moved.T @ moved
    trace, squares = float(np.trace(shared)), float((shared**2).sum())
    if freedom < 1 or math.isnan(trace):
        return math.nan, math.nan
    if trace <= TIE**2:
        return math.sqrt(square), math.sqrt(square)
    # The trace of the square of a covariance that is estimated is too large: as many seeds, so few dimensions.
    if freedom > 1:
        squares = freedom**2 / ((freedom - 1) * (freedom + 2)) * (squares - trace**2 / freedom)
        squares = min(max(squares, trace**2 / max(len(along) - 1, 1)), trace**2)
    variance = float(((moved @ along) ** 2).sum()) / square if square > 0 else 0.0

    def probability(distance: float) -> float:
        mean = distance**2 + trace
        dimensions = mean**2 / (squares + 2 * distance**2 * variance)
        share = distance**2 / mean
        root = 2 / (9 * dimensions)
        score = ((square / mean) ** (1 / 3) - 1 + root) / math.sqrt(root)
        return float(stdtr(freedom * (share + (1 - share) * trace**2 / squares), score))

    def end(wanted: float) -> float:
        low, high = 0.0, 2.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if probability(middle) > wanted else (low, middle)
        return low

    from scipy.special import stdtr  # figures need not wait for scipy

    return end(_LEVEL), end(1 - _LEVEL)


def kendall_tau(ranked: Sequence[Sequence[Figures]], i: int) -> Estimates | None:
    r"""Returns Kendall's tau-b of both kinds' rankings of the methods by their values at a point, with its interval.

    It is 1 where they agree on every pair of methods, -1 where they agree on none. A pair that one of them ties counts
    neither for nor against, and keeps tau away from 1. The interval is :func:`drawn_interval`, cut at 1 and -1. In
    simulated studies of 4 and 8 methods, 3 to 10 seeds, it holds the truth in 98% or more where methods next to each
    other differ by as much as a seed's standard deviation, and in 69% to 97% where by 0.3 of it: noise makes a measured
    tau smaller than the true one, for which the interval does not correct.

    It is over the methods with a value of both kinds there, ``None`` for fewer than two, or if all tie. Of two methods,
    tau can only be 1 or -1, and has no interval.

    Source:
        Kendall 1945, The treatment of ties in ranking problems, doi:10.1093/biomet/33.3.239.
    """
    both = [pair for pair in zip(*ranked, strict=True) if not any(np.isnan(one.value[i]) for one in pair)]
    if len(both) < 2:
        return None
    sides = [_joined([one[i : i + 1] for one in side]) for side in zip(*both, strict=True)]
    tau = float(_taus(*(np.array(ranks(side.value.tolist()), dtype=float) for side in sides)))
    if np.isnan(tau):
        return None
    seeds = min(side.seeds.min() for side in sides)
    if len(both) == 2:
        return Estimates(*map(np.array, (tau, math.nan, math.nan, math.nan, seeds)))
    draws = drawn(_joined(sides))
    taus = _taus(draws[:, : len(both)], draws[:, len(both) :])
    return drawn_interval(tau, taus, seeds, inverse=lambda ends: np.clip(ends, -1, 1))


def ranking(scores: Mapping[str, float]) -> list[list[str]]:
    """Returns names by their score, best first; those that tie stand together.

    Example:
        >>> ranking({'a': 0.3, 'b': 0.1 + 0.2, 'c': 0.5})
        [['c'], ['a', 'b']]
    """
    places = ranks(list(scores.values()))
    return [
        [name for name, rank in zip(scores, places, strict=True) if rank == one] for one in range(max(places), -1, -1)
    ]


def ranks(values: Sequence[float]) -> list[int]:
    """Returns the rank of each value, from 0 for the lowest; values within 1e-9 of the next lower one share it."""
    found, rank = [0] * len(values), 0
    order = sorted(range(len(values)), key=lambda i: values[i])
    for before, i in pairwise(order):
        rank += values[i] - values[before] > TIE * max(abs(values[i]), abs(values[before]))
        found[i] = rank
    return found


def _joined(parts: Sequence[Figures]) -> Figures:
    return Figures(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


def _cosines(a: Array, b: Array) -> Array:
    """Returns the cosine similarity along the last axis, NaN where one side is all zero."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(norms > 0, np.clip((a * b).sum(axis=-1) / norms, -1, 1), np.nan)


def _taus(a: Array, b: Array) -> Array:
    """Returns Kendall's tau-b along the last axis: the cosine similarity of the signs of all pairs' differences."""
    i, j = np.triu_indices(a.shape[-1], 1)
    return _cosines(np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j]))
