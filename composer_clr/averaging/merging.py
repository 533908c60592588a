r"""Weights of an average of iterates that stands for a decay of the learning rate: plain mathematics.

An average of the last iterates of a run at a constant rate is, to first order, the weights that the run would have
reached had its rate decayed over them. Which decay depends on the average's shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ['merging_shares', 'share']


def merging_shares(decay: Callable, count: int, one: Any = 1.0) -> list:
    r"""Returns the shares of the last iterates in an average that stands for a decay over them.

    .. math::
        c_j = d\Bigl(\frac{j - 1}{k}\Bigr) - d\Bigl(\frac{j}{k}\Bigr), \qquad j = 1, \ldots, k

    With :math:`w_j = w_{j-1} + u_j`, the average is :math:`\sum_j c_j w_j = w_0 + \sum_i d((i-1)/k) \, u_i`: each
    update is scaled as the decay would have scaled its learning rate. The linear decay gives equal shares.

    Args:
        decay (Callable): :math:`d`, from 1 at 0 to 0 at 1.
        count (int): :math:`k`, the number of iterates, >= 1.
        one (Any): The number 1 in the arithmetic to use, such as ``Fraction(1)``. Default: ``1.0``.

    Returns:
        list: The shares, from the earliest iterate to the last. Their sum is 1.

    Example:
        >>> from composer_clr.schedule.shapes import linear, one_minus_sqrt
        >>> merging_shares(linear, 4), merging_shares(one_minus_sqrt, 4)[0]
        ([0.25, 0.25, 0.25, 0.25], 0.5)

    Source:
        Tian et al. 2025 (WSM), arXiv:2507.17634, section 3.
    """
    return [decay((j - 1) * one / count) - decay(j * one / count) for j in range(1, count + 1)]


def share(decay: Callable[[float], float], start: float, end: float, before: float, after: float) -> float:
    """Returns the share of the iterate of a step from ``before`` to ``after`` in an average over ``(start, end]``.

    Example:
        >>> from composer_clr.schedule.shapes import linear
        >>> share(linear, start=6, end=8, before=6, after=7), share(linear, start=6, end=8, before=5, after=6)
        (0.5, 0.0)
    """
    length = end - start
    tau_before, tau_after = (min(max((t - start) / length, 0.0), 1.0) for t in (before, after))
    return decay(tau_before) - decay(tau_after)
