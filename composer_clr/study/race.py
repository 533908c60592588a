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
from composer_clr.study.forecast import DOUBLE_WITHIN
from composer_clr.study.noise import seed_deviation
from composer_clr.study.table import Study
from composer_clr.utils.errors import UserError

__all__ = ['FIRST_STOP', 'check_doublings', 'decide', 'hopeless']

# The number of the first trough at which a method may be stopped.
FIRST_STOP = 4
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
        if abs(trough / before / 2 - 1) > DOUBLE_WITHIN:
            raise UserError(
                f'--race: the trough at {trough}{unit} is at {trough / before:.3g} times the length of the one before, '
                'and a race is decided by doublings: pass t_mult=2 and a warmup as long as t_0, or cycle_ends'
            )


def decide(
    runs: Sequence[TradeoffCurve], trough: str, left: int, *, metric: str | None = None, sigma: float | None = None
) -> list[Stop]:
    """Judges the methods of runs that have all been trained to one trough, and returns why it stops the hopeless ones.

    A method is the mean over its seeds. The noise of one value is ``sigma`` where it is stated, else that between the
    seeds of all methods at the last three troughs, those that the rule looks at, by :func:`.seed_deviation` and the
    quantile of Student's t distribution. One method whose seeds differ much widens the margins of all, so that fewer
    are stopped. The noise of a mean is less by the square root of its seeds.

    Args:
        runs (Sequence[TradeoffCurve]): Their curves up to that trough.
        trough (str): The trough as a time string.
        left (int): The number of troughs that are left.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`~.metrics.default_metric`.
        sigma (float | None): The standard deviation of one value between seeds, as :func:`.forecasts` takes it.
            Default: ``None``, measured.

    Raises:
        CurveError: If the runs cannot be compared, or neither two seeds nor ``sigma`` tell the noise.
    """
    study = Study.of(runs, metric, all_seeds=True)
    curves = list(study.curves.values())
    samples = [curve.value[curve.has] for curve in curves]
    methods = [curve.method for curve in curves]
    points = {*(len(run.points) for run in runs), *(one.shape[1] for one in samples)}
    if len(points) > 1 or any(np.isnan(one).any() for one in samples):
        raise CurveError(f'--race: not every run has a value of {study.metric} at every trough up to {trough}')
    if len(set(methods)) < len(methods):
        raise CurveError(f'--race: two kinds of curve are of one method: {", ".join(map(str, curves))}')
    # The levels are compared, so that points that go up and down together do not tell the noise several times.
    measured, known = seed_deviation([one[:, -3:] for one in samples], points_go_together=True)
    if sigma is None and not known:
        raise CurveError('--race: the noise is not known from one seed: pass two --seeds, or --sigma such as 0.1')
    deviation, freedom = (measured, known) if sigma is None else (sigma / study.scale, math.inf)
    turned = np.array([curve.sign * curve.mean() for curve in curves])
    of_mean = deviation / np.sqrt([len(one) for one in samples])
    judged = hopeless(turned, left, of_mean, float(student_t(freedom, _ONE_SIDED)))
    last, most = (curves[0].in_own_unit(one) for one in (turned[:, -1], judged.most))
    (leads_with,) = curves[0].in_own_unit([judged.leads_with])
    return [
        Stop(
            method=methods[i],
            trough=trough,
            points=turned.shape[1],
            metric=study.metric,
            lower_is_better=study.lower_is_better,
            scale=study.scale,
            value=last[i],
            most=most[i],
            leader=methods[judged.leader],
            leader_value=leads_with,
            sigma=deviation * study.scale,
            is_stated=sigma is not None,
        )
        for i in np.flatnonzero(judged.stopped)
    ]
