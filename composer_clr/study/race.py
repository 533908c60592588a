"""A race of methods: one that cannot reach what the leader already has is stopped, by its own curve and the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.stops import Stop
from composer_clr.study.estimates import Array, student_t
from composer_clr.study.table import Study
from composer_clr.utils.errors import UserError

__all__ = ['FIRST_STOP', 'check_doublings', 'decide', 'hopeless', 'seed_deviation']

# The number of the first trough at which a method may be stopped.
FIRST_STOP = 4
_DOUBLE_WITHIN = 0.05
_ONE_SIDED = 0.95


class Judged(NamedTuple):
    """Whether each method is stopped, the most that it can reach, and who leads with what. Larger is better."""

    stopped: np.ndarray
    most: Array
    leader: int
    leads_with: float


def hopeless(values: Array, left: int, sigma: Array, quantile: float = 1.645) -> Judged:
    r"""Judges methods that were trained equally long, each by its own power law.

    The gains of the last two doublings are :math:`d_0` and :math:`d_1`. A power law of the length with an offset gains
    :math:`d_1 r^j` in the doubling :math:`j` from now, with :math:`r = d_1 / d_0`. With noise, a method reaches at most

    .. math:: y + \max(d_1, 0) \sum_{j=1}^{left} r^j + 2 q \sigma, \quad 0 \le r \le 1,

    where :math:`r = 1` after a doubling without a gain. It is stopped if that is below the leader's best value less
    :math:`q \sigma`; the leader itself is not. The value alone stops none: rankings may be reversed by later troughs.

    Args:
        values (Array): Means over seeds; larger is better. Shape ``(methods, troughs)``, at least three troughs, each
            twice as long as the one before.
        left (int): The number of doublings that are left, 1 or more.
        sigma (Array): The standard deviation of each method's mean. Shape ``(methods,)``.
        quantile (float): :math:`q`, of the noise. Default: ``1.645``, the 95th percentile of a normal distribution.

    Example:
        >>> values = np.array([[60.0, 68.0, 72.0, 74.0], [64.0, 72.0, 76.0, 78.0]])
        >>> hopeless(values, 2, np.array([0.1, 0.1])).most.round(2), hopeless(values, 2, np.array([0.1, 0.1])).stopped
        (array([75.83, 79.83]), array([ True, False]))

    Source:
        Measured on the curves of Portes et al. 2022, arXiv:2206.00832: see ``tests/study/test_race.py``.
    """
    before, after = np.diff(values[:, -3:]).T
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = np.where(before > 0, np.clip(after / before, 0.0, 1.0), 1.0)
    gain = np.maximum(after, 0.0) * sum(ratio**step for step in range(1, left + 1))
    most = values[:, -1] + gain + 2 * quantile * sigma
    best = values.max(axis=1)
    leader = int(best.argmax())
    stopped = most < best[leader] - quantile * sigma[leader]
    stopped[leader] = False
    return Judged(stopped, most, leader, float(best[leader]))


def seed_deviation(samples: Sequence[Array]) -> tuple[float, int]:
    """Returns the standard deviation of one value between seeds, and its degrees of freedom.

    It is pooled over methods and over the last three troughs, those that the rule looks at. The troughs of a run go up
    and down together, so a method with :math:`n` seeds counts :math:`n - 1` degrees of freedom, however many they are.
    One method whose seeds differ much widens the margins of all, so that fewer are stopped; ``--sigma`` states them.

    Args:
        samples (Sequence[Array]): Of each method, shape ``(seeds, troughs)``.

    Example:
        >>> seed_deviation([np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 5.0]]), np.array([[1.0, 2.0, 3.0]])])
        (0.816496580927726, 1)
    """
    several = [one[:, -3:] for one in samples if len(one) > 1]
    squares = sum(float(np.square(one - one.mean(axis=0)).mean(axis=1).sum()) for one in several)
    freedom = sum(len(one) - 1 for one in several)
    return math.sqrt(squares / freedom) if freedom else math.nan, freedom


def check_doublings(troughs: Sequence[int], unit: str) -> None:
    """Refuses troughs that a race cannot be decided at: fewer than five, or lengths that do not double.

    Raises:
        UserError: If they are; lengths count from the second trough on, and double within 5%.

    Example:
        >>> check_doublings([8, 16, 24, 32, 40], 'ep')
        Traceback (most recent call last):
        composer_clr.utils.errors.UserError: --race: the trough at 24ep is at 1.5 times the length of the one before, \
and a race is decided by doublings: pass t_mult=2 and a warmup as long as t_0, or cycle_ends
    """
    if len(troughs) <= FIRST_STOP:
        raise UserError(
            f'--race: the runs have {len(troughs)} troughs, and methods are stopped from trough {FIRST_STOP} on: pass '
            'a longer max_duration, or a shorter schedule.t_0'
        )
    for before, trough in pairwise(troughs[1:]):
        if abs(trough / before / 2 - 1) > _DOUBLE_WITHIN:
            raise UserError(
                f'--race: the trough at {trough}{unit} is at {trough / before:.3g} times the length of the one before, '
                'and a race is decided by doublings: pass t_mult=2 and a warmup as long as t_0, or cycle_ends'
            )


def decide(
    runs: Sequence[TradeoffCurve], trough: str, left: int, *, metric: str | None = None, sigma: float | None = None
) -> list[Stop]:
    """Judges the methods of runs that have all been trained to one trough, and returns why it stops the hopeless ones.

    A method is the mean over its seeds. The noise of one value is ``sigma`` where it is stated, else that of
    :func:`seed_deviation` with the quantile of Student's t distribution; that of a mean is less by the square root of
    its seeds.

    Args:
        runs (Sequence[TradeoffCurve]): Their curves up to that trough.
        trough (str): The trough as a time string.
        left (int): The number of troughs that are left.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`~.metrics.default_metric`.
        sigma (float | None): The standard deviation of one value between seeds: in percentage points of a
            fraction, else in the metric's own unit. Default: ``None``, measured.

    Raises:
        CurveError: If the runs cannot be compared, or neither two seeds nor ``sigma`` tell the noise.
    """
    study = Study.of(runs, metric, all_seeds=True)
    sign = -1.0 if study.lower_is_better else 1.0
    samples = [curve.value[curve.has] for curve in study.curves.values()]
    methods = [method for method, _ in study.curves]
    points = {*(len(run.points) for run in runs), *(one.shape[1] for one in samples)}
    if len(points) > 1 or any(np.isnan(one).any() for one in samples):
        raise CurveError(f'--race: not every run has a value of {study.metric} at every trough up to {trough}')
    if len(set(methods)) < len(methods):
        raise CurveError(f'--race: two kinds of curve are of one method: {", ".join(map(str, study.curves.values()))}')
    deviation, freedom = seed_deviation(samples)
    if sigma is None and not freedom:
        raise CurveError('--race: the noise is not known from one seed: pass two --seeds, or --sigma such as 0.1')
    means = np.array([one.mean(axis=0) for one in samples])
    # What a difference of the study's values is in the unit of sigma: of logarithms, to first order.
    unit = np.exp(means[:, -1]) if study.is_ratio else np.full(len(means), study.scale)
    of_value = np.full(len(means), deviation) if sigma is None else sigma / unit
    quantile = float(student_t(freedom if sigma is None else math.inf, _ONE_SIDED))
    judged = hopeless(sign * means, left, of_value / np.sqrt([len(one) for one in samples]), quantile)

    def in_unit(value: float) -> float:
        return math.exp(value) if study.is_ratio else value

    return [
        Stop(
            method=methods[i],
            trough=trough,
            points=means.shape[1],
            metric=study.metric,
            lower_is_better=study.lower_is_better,
            scale=study.scale,
            value=in_unit(float(means[i, -1])),
            most=in_unit(sign * float(judged.most[i])),
            leader=methods[judged.leader],
            leader_value=in_unit(sign * judged.leads_with),
            sigma=float(of_value[i] * unit[i]),
            is_stated=sigma is not None,
        )
        for i in np.flatnonzero(judged.stopped)
    ]
