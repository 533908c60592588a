"""Whether cyclic and standard curves agree: the shape of the improvements on each, and the ranking of methods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, values_at

__all__ = ['cosine_similarity', 'kendall_tau', 'ranking_agreement', 'ranks']

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
    a, b = a[known], b[known]
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / norms, -1, 1)) if len(a) > 1 and norms > 0 else None


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
    a, b = ranks(a), ranks(b)
    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    from scipy.stats import kendalltau  # takes half a second to import, which figures need not wait for

    return float(kendalltau(a, b)[0])  # type: ignore[arg-type]


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
) -> list[float | None]:
    """Returns whether cyclic and standard curves rank the methods alike: :func:`kendall_tau` at each position.

    Args:
        curves (Sequence[tuple[MeanCurve, MeanCurve]]): Each method's cyclic and standard curve.
        positions (ArrayLike): Epochs or times.
        alignment (Alignment): How, and what the positions are. Default: interpolation in log epochs.

    Returns:
        list[float | None]: Over the methods with both values there; ``None`` for fewer than two.
    """
    cyclic = np.array([values_at(curve, positions, alignment.of_cyclic()) for curve, _ in curves])
    standard = np.array([values_at(curve, positions, alignment) for _, curve in curves])
    known = ~np.isnan(cyclic) & ~np.isnan(standard)
    return [
        kendall_tau(cyclic[there, i].tolist(), standard[there, i].tolist())
        for i, there in enumerate(known.reshape(len(curves), -1).T)
    ]
