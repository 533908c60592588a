"""Measures how far two kinds of curve agree: on the shape of the improvements, and the ranking of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from composer_clr.study.estimates import Array, Estimates, Figures, drawn, drawn_interval

__all__ = ['cosine_similarity', 'kendall_tau', 'ranking']

_TIE = 1e-9


def cosine_similarity(a: Array, b: Array, of_a: Figures, of_b: Figures) -> Estimates | None:
    r"""Returns how alike two series of improvements are in shape, :math:`a \cdot b / (|a| |b|)`, with its interval.

    The interval is :func:`drawn_interval` on the angle. In simulated studies it holds the truth in 94% to 98% with 3
    seeds, 92% to 96% with 5, 90% to 95% with 10. The fewest are where the noise of a seed is half of the improvement,
    which makes a measured cosine smaller than the true one; the interval does not correct for that.

    Args:
        a (Array): Improvements on curves of one kind.
        b (Array): Improvements on curves of the other, at the same places.
        of_a (Figures): The same, with the influence of seeds.
        of_b (Figures): Likewise.

    Returns:
        Estimates | None: ``None`` where there are fewer than two, or one series is all zero.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3.
    """
    found = float(_cosines(a, b)) if len(a) > 1 else np.nan
    if np.isnan(found):
        return None
    draws = drawn(_joined([of_a, of_b]))
    return drawn_interval(
        found,
        _cosines(draws[:, : len(a)], draws[:, len(a) :]),
        min(of_a.seeds.min(), of_b.seeds.min()),
        np.arccos,
        lambda angles: np.cos(np.clip(angles, 0, np.pi)),
    )


def kendall_tau(ranked: Sequence[Sequence[Figures]], i: int) -> Estimates | None:
    r"""Returns Kendall's tau-b of two rankings of the methods at a point, with its interval.

    It is 1 where they agree on every pair of methods, -1 where they agree on none. A pair that one of them ties counts
    neither for nor against, and keeps tau away from 1. The interval is :func:`drawn_interval`, cut at 1 and -1. In
    simulated studies of 4 and 8 methods, 3 to 10 seeds, it holds the truth in 98% or more where methods next to each
    other differ by as much as a seed's standard deviation, and in 69% to 97% where by 0.3 of it: noise makes a measured
    tau smaller than the true one, for which the interval does not correct.

    Args:
        ranked (Sequence[Sequence[Figures]]): For both kinds of curve, each method's values.
        i (int): The point.

    Returns:
        Estimates | None: Over the methods with both values there; ``None`` for fewer than two, or if all tie.

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
    draws = drawn(_joined(sides))
    seeds = min(side.seeds.min() for side in sides)
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
        rank += values[i] - values[before] > _TIE * max(abs(values[i]), abs(values[before]))
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
