"""The cost of separate runs relative to one cyclic run, by formula."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ['cost_ratio', 'geometric_cost_ratio']


def geometric_cost_ratio(n: int, r: float) -> float:
    r"""Returns the cost of separate runs to :math:`n` points, each :math:`r` times as long, relative to one cyclic run.

    .. math::
        \frac{1 - r^n}{(1 - r) \, r^{n-1}} = \sum_{k=0}^{n-1} r^{-k}

    The sum is what is computed: it holds for :math:`r = 1` too, and is exact near it.

    Example:
        >>> geometric_cost_ratio(6, 2), geometric_cost_ratio(6, 1)
        (1.96875, 6.0)

    Source:
        Portes et al. 2022, arXiv:2206.00832, equation 1.
    """
    if n < 1 or not 1 <= r < math.inf:
        raise ValueError(f'{n=}, {r=}: give one point or more, and a finite ratio >= 1')
    return math.fsum(r**-k for k in range(n))


def cost_ratio(points: Iterable[float]) -> float:
    """Returns the cost of separate runs to any points relative to one run through them: their sum over the largest.

    Example:
        >>> cost_ratio([16, 32, 64, 128, 256, 512])
        1.96875
    """
    listed = list(points)
    if not listed or min(listed) <= 0:
        raise ValueError(f'points={listed}: give one or more, each above 0')
    return math.fsum(listed) / max(listed)
