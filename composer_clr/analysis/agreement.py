"""Whether cyclic and standard curves say the same: the gap between them, what methods gain on each, the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import Array, MeanCurve, standard_error
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, meet, values_at

__all__ = ['Gap', 'cosine_similarity', 'gap', 'improvement', 'kendall_tau', 'ranking_agreement']


@dataclass(frozen=True, eq=False)
class Gap:
    """Cyclic minus standard, in the metric's unit times the scale asked for.

    Attributes:
        count (Array): The cyclic curve's counts, such as epochs, that met the standard curve.
        value (Array): The gap at each.
        sem (tuple[float | None, ...]): Its standard error over seeds; ``None`` where a curve has one seed there.
        how (tuple[str, ...]): How each was paired, as in :class:`Pairing`.
        left_out (Array): The cyclic curve's counts that did not meet the standard curve.
        mean (float): Mean over the points.
        mean_sem (float | None): Standard error of the mean over seeds.
    """

    count: Array
    value: Array
    sem: tuple[float | None, ...]
    how: tuple[str, ...]
    left_out: Array
    mean: float
    mean_sem: float | None


def gap(cyclic: MeanCurve, standard: MeanCurve, alignment: Alignment = INTERPOLATED, scale: float = 1.0) -> Gap:
    r"""How far the cyclic curve lies above the standard one: at each of its points, and on average.

    .. math::
        g_i = v^{cyclic}(x_i) - v^{standard}(x_i) \qquad \bar{g} = \frac{1}{P} \sum_{i=1}^{P} g_i

    The sign is that of the difference also where lower is better: a negative gap in loss favours the cyclic curve.

    Args:
        cyclic (MeanCurve): Gives the points :math:`x_i`.
        standard (MeanCurve): Is found at them as by :func:`pair`.
        alignment (Alignment): How. Default: interpolation in the log of the count.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.

    Raises:
        CurveError: If no point meets the standard curve.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3.
    """
    pairing = meet(cyclic, standard, alignment)
    value = scale * (cyclic.value[pairing.kept] - pairing.weights @ standard.value)
    terms = [
        [(scale, cyclic.samples[i]), *zip(-scale * row, standard.samples, strict=True)]
        for i, row in zip(pairing.kept, pairing.weights, strict=True)
    ]
    total = standard_error(chain.from_iterable(terms))
    return Gap(
        count=cyclic.count[pairing.kept],
        value=value,
        sem=tuple(standard_error(point) for point in terms),
        how=pairing.how,
        left_out=cyclic.count[pairing.left_out],
        mean=float(value.mean()),
        mean_sem=None if total is None else total / len(terms),
    )


def improvement(
    method: MeanCurve,
    baseline: MeanCurve,
    positions: npt.ArrayLike,
    alignment: Alignment = INTERPOLATED,
    *,
    lower_is_better: bool = False,
) -> Array:
    """What a method gains over the baseline at each position: above 0 is better, also where less is.

    Args:
        method (MeanCurve): The method's curve.
        baseline (MeanCurve): The baseline's curve of the same kind.
        positions (ArrayLike): Epochs or times.
        alignment (Alignment): How, and what the positions are. Default: interpolation in the log of the count.
        lower_is_better (bool): Whether the metric is one of which less is better. Default: ``False``.

    Returns:
        Array: NaN where either curve has no value.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3A-C.
    """
    ours, theirs = (values_at(curve, positions, alignment) for curve in (method, baseline))
    return theirs - ours if lower_is_better else ours - theirs


def cosine_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float | None:
    r"""How alike two series of improvements are in shape, :math:`a \cdot b / (|a| |b|)`, over the places both know.

    Returns:
        float | None: In [-1, 1]; ``None`` where fewer than two places are known to both, or one series is all zero.

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
    the rankings counts neither for nor against; one tied in only one of them keeps tau away from 1.

    Returns:
        float | None: In [-1, 1]; ``None`` where either ranking ties every pair, or has no pair.

    Example:
        >>> round(kendall_tau([1, 2, 3], [10, 30, 20]), 6)
        0.333333

    Source:
        Kendall 1945, The treatment of ties in ranking problems, doi:10.1093/biomet/33.3.239.
    """
    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    from scipy.stats import kendalltau  # takes half a second to import, which figures need not wait for

    return float(kendalltau(a, b)[0])  # type: ignore[arg-type]


def ranking_agreement(
    curves: Sequence[tuple[MeanCurve, MeanCurve]],
    positions: npt.ArrayLike,
    alignment: Alignment = INTERPOLATED,
) -> list[float | None]:
    """Whether cyclic and standard curves rank the methods alike: :func:`kendall_tau` at each position.

    Args:
        curves (Sequence[tuple[MeanCurve, MeanCurve]]): Each method's cyclic and standard curve.
        positions (ArrayLike): Epochs or times.
        alignment (Alignment): How, and what the positions are. Default: interpolation in the log of the count.

    Returns:
        list[float | None]: Over the methods that have both values there; ``None`` where fewer than two have.
    """
    cyclic = np.array([values_at(curve, positions, alignment.of_cyclic()) for curve, _ in curves])
    standard = np.array([values_at(curve, positions, alignment) for _, curve in curves])
    known = ~np.isnan(cyclic) & ~np.isnan(standard)
    return [
        kendall_tau(cyclic[there, i].tolist(), standard[there, i].tolist())
        for i, there in enumerate(known.reshape(len(curves), -1).T)
    ]
