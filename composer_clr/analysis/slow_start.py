"""Corrects training times for a slow start, as the paper does: the first epochs get the pace of those after them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from composer_clr.curves.axes import point_count
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint

__all__ = ['without_slow_start']


class _Pace(NamedTuple):
    since: float
    lost_s: float
    s_per_epoch: float


def without_slow_start(curves: Iterable[TradeoffCurve], slow_epochs: float) -> list[TradeoffCurve]:
    r"""Returns curves with their training times as if the first epochs had the pace of the later ones.

    .. math::
        t'(e) = t(e) - \bar t(a) + a p \quad (e \ge a) \qquad t'(e) = e p \quad (e < a)
        \qquad p = \frac{\bar t(z) - \bar t(a)}{z - a}

    where :math:`a` is the first point at or after ``slow_epochs``, :math:`z` the last, and :math:`\bar t` the mean over
    all runs of the method and kind. What the start lost is in :math:`\bar t(a)` and falls out of the difference, in a
    standard curve too, each of whose runs lost the same.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        slow_epochs (float): How many epochs were slow, >= 0; batches where the train loader has no length. 0 changes
            nothing.

    Returns:
        list[TradeoffCurve]: The runs in their order, ``wall_clock_train_s`` corrected.

    Raises:
        CurveError: If ``slow_epochs`` is negative, or fewer than two points of a method and kind come after them.

    Example:
        >>> from composer_clr.curves.curve import Run, TradeoffPoint
        >>> point = TradeoffPoint(0, 2.0, 20, 0, 0, 120.0, 0.0, 0.0, {}, {})  # 100 s lost, then 10 s an epoch
        >>> later = replace(point, epoch=4.0, wall_clock_train_s=140.0)
        >>> (curve,) = without_slow_start([TradeoffCurve(Run('r', 'cyclic', 'baseline'), [point, later])], 2)
        >>> [point.wall_clock_train_s for point in curve.points]
        [20.0, 40.0]

    Source:
        Portes et al. 2022, arXiv:2206.00832.
    """
    if not 0 <= slow_epochs < math.inf:
        raise CurveError(f'slow_epochs={slow_epochs}: give the number of slow epochs, 0 for none')
    curves = list(curves)
    if slow_epochs == 0:
        return curves
    times: dict[tuple[str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for curve in curves:
        for point in curve.points:
            times[curve.run.method, curve.run.kind][_epoch(point)].append(point.wall_clock_train_s)
    paces = {key: _pace(key, at, slow_epochs) for key, at in times.items()}
    return [_corrected(curve, paces[curve.run.method, curve.run.kind]) for curve in curves if curve.points]


def _pace(key: tuple[str, str], times: Mapping[float, Sequence[float]], slow_epochs: float) -> _Pace:
    after = sorted(epoch for epoch in times if epoch >= slow_epochs)
    if len(after) < 2:
        raise CurveError(
            f'{", ".join(key)}: {len(after)} of its points come after the first {slow_epochs:g} epochs: '
            'the pace needs two, correct fewer epochs'
        )
    first, last = after[0], after[-1]
    pace = (fmean(times[last]) - fmean(times[first])) / (last - first)
    return _Pace(first, fmean(times[first]) - first * pace, pace)


def _corrected(curve: TradeoffCurve, pace: _Pace) -> TradeoffCurve:
    points = []
    for point in curve.points:
        epoch = _epoch(point)
        time_s = epoch * pace.s_per_epoch if epoch < pace.since else point.wall_clock_train_s - pace.lost_s
        points.append(replace(point, wall_clock_train_s=time_s))
    run = curve.run
    if run.parent is not None and isinstance(run.parent.get('wall_clock_train_s'), (int, float)):
        # The trunk had lost it before the branch left.
        left_s = max(0.0, run.parent['wall_clock_train_s'] - pace.lost_s)
        run = replace(run, parent={**run.parent, 'wall_clock_train_s': left_s})
    corrected = replace(curve, run=run, points=points)
    corrected.source = curve.source
    return corrected


def _epoch(point: TradeoffPoint) -> float:
    """Returns a point's epoch, or its batch where epochs are not counted."""
    return point_count(point, 'epoch') or float(point.batch)
