"""Measures how far cyclic and standard curves agree: on the shape of the improvements, and the ranking of methods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import Array, MeanCurve
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, pair
from composer_clr.analysis.seed_draws import drawn_interval, drawn_means, fewest_seeds, weighted_sum
from composer_clr.analysis.uncertainty import Estimate, Term

__all__ = ['cosine_estimate', 'cosine_similarity', 'kendall_tau', 'ranking_agreement', 'ranks']

_TIE = 1e-9


def cosine_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float | None:
    r"""Returns how alike two series of improvements are in shape, :math:`a \cdot b / (|a| |b|)`, where both are known.

    Returns:
        float | None: In [-1, 1]; ``None`` where both are known at fewer than two places, or one series is all zero, and
        so has no direction.

    Example:
        >>> cosine_similarity([3, 4, float('nan')], [4, 3, 1])
        0.96

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    known = ~np.isnan(a) & ~np.isnan(b)
    return _number(_cosines(a[known], b[known])) if known.sum() > 1 else None


def cosine_estimate(
    a: npt.ArrayLike, b: npt.ArrayLike, of_a: Sequence[Sequence[Term]], of_b: Sequence[Sequence[Term]]
) -> Estimate | None:
    r"""Returns :func:`cosine_similarity` with its 95% interval over seeds.

    The interval is :func:`drawn_interval` on the angle :math:`\arccos`. In simulated studies it holds the truth in 94%
    to 98% with 3 seeds, 92% to 96% with 5, 90% to 95% with 10 (percentiles of seeds drawn with replacement: 1% to 78%
    with 3). The fewest are where the noise of a seed is half of the improvement, which makes a measured cosine smaller
    than the true one; the interval does not correct for that.

    Args:
        a (ArrayLike): Improvements on curves of one kind.
        b (ArrayLike): Improvements on curves of the other, at the same places.
        of_a (Sequence[Sequence[tuple[float, Mapping[str, float]]]]): The means that each improvement is made of.
        of_b (Sequence[Sequence[tuple[float, Mapping[str, float]]]]): The same of the other.

    Returns:
        Estimate | None: ``None`` if the cosine is not defined.
    """
    found = cosine_similarity(a, b)
    if found is None:
        return None
    sums = [*of_a, *of_b]
    draws = drawn_means(sums)
    cosines = None if draws is None else _cosines(draws[:, : len(of_a)], draws[:, len(of_a) :])
    return drawn_interval(
        found, cosines, fewest_seeds(sums), np.arccos, lambda angles: np.cos(np.clip(angles, 0, np.pi))
    )


def _cosines(a: Array, b: Array) -> Array:
    """Returns the cosine similarity along the last axis, NaN where one side is all zero."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(norms > 0, np.clip((a * b).sum(axis=-1) / norms, -1, 1), np.nan)


def _number(value: npt.ArrayLike) -> float | None:
    return None if np.isnan(value) else float(value)  # type: ignore[arg-type]


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float | None:
    r"""Returns Kendall's tau-b: 1 where two rankings agree on every pair, -1 where they agree on none.

    .. math::
        \tau_b = \frac{\sum_{i<j} \operatorname{sgn}(a_i - a_j) \operatorname{sgn}(b_i - b_j)}
                      {\sqrt{p_a p_b}}

    where :math:`p_a` and :math:`p_b` count the pairs that :math:`a` and :math:`b` do not tie. A pair tied in one of
    the rankings counts neither for nor against; one tied in only one of them keeps tau away from 1. Values within
    rounding, 1e-9 of each other, are tied.

    Returns:
        float | None: In [-1, 1]; ``None`` where either ranking ties every pair, or has no pair.

    Example:
        >>> round(kendall_tau([1, 2, 3], [10, 30, 20]), 6)
        0.333333

    Source:
        Kendall 1945, The treatment of ties in ranking problems, doi:10.1093/biomet/33.3.239.
    """
    return _number(_taus(np.array(ranks(a), dtype=float), np.array(ranks(b), dtype=float)))


def _taus(a: Array, b: Array) -> Array:
    """Returns Kendall's tau-b along the last axis: the cosine similarity of the signs of all pairs' differences.

    scipy's takes one pair of rankings at a time, 0.3 ms, which is too slow for a thousand draws.
    """
    i, j = np.triu_indices(a.shape[-1], 1)
    return _cosines(np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j]))


def ranks(values: Sequence[float]) -> list[int]:
    """Returns the rank of each value, from 0 for the lowest; values within 1e-9 of the next lower one share its rank.

    Example:
        >>> ranks([0.3, 0.1 + 0.2, 0.1])
        [1, 1, 0]
    """
    found, rank = [0] * len(values), 0
    order = sorted(range(len(values)), key=lambda i: values[i])
    for before, i in pairwise(order):
        rank += values[i] - values[before] > _TIE * max(abs(values[i]), abs(values[before]))
        found[i] = rank
    return found


def ranking_agreement(
    curves: Sequence[tuple[MeanCurve, MeanCurve]],
    positions: npt.ArrayLike,
    alignment: Alignment = INTERPOLATED,
) -> list[Estimate | None]:
    """Returns whether cyclic and standard curves rank the methods alike: :func:`kendall_tau` at each position.

    The interval is :func:`drawn_interval`, cut at 1 and -1. In simulated studies of 4 and 8 methods, 3 to 10 seeds, it
    holds the truth in 98% or more where methods next to each other differ by as much as a seed's standard deviation,
    and in 69% to 97% where by 0.3 of it: noise makes a measured tau smaller than the true one, for which the interval
    does not correct.

    Args:
        curves (Sequence[tuple[MeanCurve, MeanCurve]]): Each method's cyclic and standard curve.
        positions (ArrayLike): Epochs or times.
        alignment (Alignment): How, and what the positions are. Default: interpolation in log epochs.

    Returns:
        list[Estimate | None]: Over the methods with both values there; ``None`` for fewer than two.
    """
    cyclic = [_terms_at(curve, positions, alignment.of_cyclic()) for curve, _ in curves]
    standard = [_terms_at(curve, positions, alignment) for _, curve in curves]
    return [_ranking_agreement(cyclic, standard, i) for i in range(np.size(positions))]


def _ranking_agreement(
    cyclic: Sequence[dict[int, list[Term]]], standard: Sequence[dict[int, list[Term]]], i: int
) -> Estimate | None:
    both = [(one[i], other[i]) for one, other in zip(cyclic, standard, strict=True) if i in one and i in other]
    tau = kendall_tau(*([weighted_sum(terms) for terms in side] for side in zip(*both, strict=True))) if both else None
    if tau is None:
        return None
    sums = [side[k] for k in (0, 1) for side in both]
    draws = drawn_means(sums)
    taus = None if draws is None else _taus(draws[:, : len(both)], draws[:, len(both) :])
    return drawn_interval(tau, taus, fewest_seeds(sums), np.asarray, lambda ends: np.clip(ends, -1, 1))


def _terms_at(curve: MeanCurve, positions: npt.ArrayLike, alignment: Alignment) -> dict[int, list[Term]]:
    """Returns the terms of a curve's value at each position, by index; positions outside the curve are left out."""
    pairing = pair(positions, alignment.positions(curve), alignment)
    return {int(i): curve.terms(row) for i, row in zip(pairing.kept, pairing.weights, strict=True)}
