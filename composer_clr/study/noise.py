"""The noise of one value between seeds, as the seeds of a study have it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from composer_clr.study.estimates import Array

__all__ = ['seed_deviation']


def seed_deviation(samples: Sequence[Array], *, points_go_together: bool) -> tuple[float, float]:
    r"""Returns the standard deviation of one value between seeds, and its degrees of freedom.

    .. math:: s^2 = \frac{\sum_i \sum_j \sum_k (y_{ijk} - \bar y_{ik})^2}{\sum_i \sum_k (n_{ik} - 1)}

    over the curves :math:`i`, their seeds :math:`j` and points :math:`k`: at one point, two or three seeds hardly show
    it. The denominator counts the degrees of freedom of points that vary on their own. Where the points of a run go up
    and down together, a curve has only those of its point with the most seeds, :math:`\max_k (n_{ik} - 1)`.

    Args:
        samples (Sequence[Array]): The values of each curve; NaN where a seed has no such point. Shape ``(seeds,
            points)``.
        points_go_together (bool): Whether to count a degree of freedom per seed, not per seed and point.

    Returns:
        tuple[float, float]: The deviation, NaN where no point has two seeds, and its degrees of freedom.

    Example:
        >>> samples = [np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 5.0]]), np.array([[1.0, 2.0, 3.0]])]
        >>> seed_deviation(samples, points_go_together=True)
        (0.816496580927726, 1.0)
        >>> seed_deviation(samples, points_go_together=False)
        (0.816496580927726, 3.0)
    """
    squares = of_points = of_seeds = 0.0
    for one in samples:
        several = one[:, (~np.isnan(one)).sum(axis=0) > 1]
        if not several.size:
            continue
        freedom = (~np.isnan(several)).sum(axis=0) - 1.0
        squares += float(np.nansum((several - np.nanmean(several, axis=0)) ** 2))
        of_points += float(freedom.sum())
        of_seeds += float(freedom.max())
    deviation = math.sqrt(squares / of_points) if of_points else math.nan
    return deviation, of_seeds if points_go_together else of_points
