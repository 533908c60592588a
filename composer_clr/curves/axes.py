"""The axes that points lie on, and are paired along: epochs, batches, samples or tokens trained, or time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise, permutations
from typing import Literal, get_args

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint

__all__ = [
    'COUNTS',
    'PLURALS',
    'UNITS',
    'Axis',
    'Count',
    'check_axis',
    'count_labels',
    'default_axis',
    'differing_epochs',
    'distinct_points',
    'point_count',
    'shared_counts',
]

Count = Literal['epoch', 'batch', 'sample', 'token']
Axis = Literal['epoch', 'batch', 'sample', 'token', 'time']
COUNTS: tuple[Count, ...] = get_args(Count)
# Composer's unit of each.
UNITS: dict[str, str] = {'epoch': 'ep', 'batch': 'ba', 'sample': 'sp', 'token': 'tok'}
PLURALS: dict[str, str] = {'epoch': 'epochs', 'batch': 'batches', 'sample': 'samples', 'token': 'tokens'}

# How far the lengths of two epochs may differ: an incomplete last batch is dropped or not.
_SAME_LENGTH = 0.01


def point_count(point: TradeoffPoint, axis: str) -> float | None:
    """Returns what a point has trained, in epochs, batches, samples or tokens; ``None`` if that was not counted.

    Epochs are rounded to eight significant digits, which survive a text file; so points far below one epoch stay apart.

    Example:
        >>> point = TradeoffPoint(0, 6.7e-8, 64, 512, 65536, 1.0, 1.0, 0.0, {}, {})
        >>> point_count(point, 'epoch'), point_count(point, 'token')
        (6.7e-08, 65536.0)
    """
    if axis == 'epoch':
        return None if point.epoch is None else float(f'{point.epoch:.8g}')
    count = float(getattr(point, axis))
    return count if count > 0 else None


def distinct_points(curve: TradeoffCurve, axis: str) -> dict[float, TradeoffPoint]:
    """Returns a run's points by what they have trained, 0 if that was not counted.

    Points of cycles that end with the same batch are alike, and are one.

    Raises:
        CurveError: If points with the same count have different values.
    """
    points: dict[float, TradeoffPoint] = {}
    for point in curve.points:
        count = point_count(point, axis) or 0.0
        if repr(points.setdefault(count, point).metrics) != repr(point.metrics):
            raise CurveError(
                f'run {curve.place!r}: two of its points at {axis} {count:g} have different values: leave one out'
            )
        points[count] = point
    return points


def shared_counts(points: Iterable[TradeoffPoint]) -> list[Count]:
    """Returns what all of the points count, in the order epochs, batches, samples, tokens."""
    points = list(points)
    return [axis for axis in COUNTS if all(point_count(point, axis) is not None for point in points)]


def default_axis(curves: Iterable[TradeoffCurve]) -> Count:
    """Returns the axis that a study's points are paired along: the unit that its schedules were counted in.

    Of schedules in epochs, and of runs that do not record their schedule, that is epochs; but tokens, where every run
    counts them and all its epochs are below 1, or the epochs of two methods differ in tokens; and batches or samples,
    where the train loaders have no length.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.

    Raises:
        CurveError: If some runs count epochs and others, whose train loader has no length, do not; the message names an
            axis that they share.
    """
    curves = [curve for curve in curves if curve.points]
    points = [point for curve in curves for point in curve.points]
    shared = shared_counts(points)
    scheduled: set[Count] = {_scheduled(curve) for curve in curves}
    if len(scheduled) == 1 and 'epoch' not in scheduled and scheduled <= {*shared}:
        return scheduled.pop()
    if 'token' in shared and (
        'epoch' not in shared or all((point.epoch or 0.0) < 1 for point in points) or _differ(curves, 'token')
    ):
        return 'token'
    counted = {point.epoch is not None: curve.place for curve in curves for point in curve.points}
    if len(counted) > 1:
        remedy = (
            f'--axis {shared[0]} pairs equal numbers of {PLURALS[shared[0]]}' if shared else 'compare them separately'
        )
        raise CurveError(f'run {counted[True]!r} counts epochs, run {counted[False]!r} does not: {remedy}')
    return shared[0] if shared else 'batch'


def check_axis(curves: Iterable[TradeoffCurve], axis: str) -> None:
    """Refuses runs without what an axis shows: a count, or training times.

    Raises:
        CurveError: If ``axis`` is unknown, a point has no such count, or a run has no training times.
    """
    if axis not in get_args(Axis):
        raise CurveError(f'--axis {axis}: choose one of {", ".join(get_args(Axis))}')
    for curve in curves:
        if axis == 'time' and not curve.is_timed:
            raise CurveError(f'run {curve.place!r} has no training times: choose --axis epoch, or leave the run out')
        if axis != 'time' and axis not in shared_counts(curve.points):
            raise CurveError(
                f'run {curve.place!r} counts no {PLURALS[axis]}: choose another axis, or leave the run out'
            )


def differing_epochs(curves: Iterable[TradeoffCurve]) -> str | None:
    """Returns a sentence where the epochs of two methods differ in tokens or samples, so that they are not comparable.

    Example:
        >>> from composer_clr.curves.curve import Run
        >>> points = [TradeoffPoint(0, 1.0, 10, samples, 0, 1.0, 1.0, 0.0, {}, {}) for samples in (100, 200)]
        >>> differing_epochs([TradeoffCurve(Run(n, 'cyclic', n), [p]) for n, p in zip('AB', points)])
        'epochs differ in length: A has 100 samples per epoch, B 200: --axis sample pairs equal numbers of samples'
    """
    curves = list(curves)
    for axis in ('token', 'sample'):
        if found := _differ(curves, axis):
            (one, length), (other, others) = found
            return (
                f'epochs differ in length: {one} has {length:.6g} {axis}s per epoch, {other} {others:.6g}: '
                f'--axis {axis} pairs equal numbers of {axis}s'
            )
    return None


def _differ(curves: Sequence[TradeoffCurve], axis: str) -> tuple[tuple[str, float], tuple[str, float]] | None:
    """Returns the shortest epoch of a method and the longest of another, with the methods, if they are not alike."""
    lengths: dict[str, list[float]] = defaultdict(list)
    for curve in curves:
        for point in curve.points:
            if point.epoch and (count := point_count(point, axis)):
                lengths[curve.run.method].append(count / point.epoch)
    pairs = [((one, min(lengths[one])), (other, max(lengths[other]))) for one, other in permutations(lengths, 2)]
    found = max(pairs, key=lambda pair: pair[1][1] / pair[0][1], default=None)
    return found if found and found[1][1] > (1 + _SAME_LENGTH) * found[0][1] else None


def _scheduled(curve: TradeoffCurve) -> Count:
    """Returns what a run's schedule was counted in: batches only where its duration is in batches too."""
    unit, duration = curve.run.schedule.get('unit'), str(curve.run.schedule.get('max_duration'))
    for axis in COUNTS:
        if unit == UNITS[axis] and (unit != 'ba' or duration.endswith('ba')):
            return axis
    return 'epoch'


def count_labels(counts: Sequence[float], axis: str) -> list[str]:
    """Returns counts as headings: with a prefix where they are large, to as many digits as distinguish them.

    Example:
        >>> count_labels([65536, 131072, 1048576], 'token')
        ['65.5k', '131k', '1.05M']
        >>> count_labels([0.5, 16, 512], 'epoch'), count_labels([65536, 65540], 'batch')
        (['0.5', '16', '512'], ['65536', '65540'])
    """
    if axis == 'epoch':
        return [f'{count:g}' for count in counts]
    labels = [_with_prefix(count) for count in counts]
    return labels if all(a != b for a, b in pairwise(labels)) else [f'{count:.12g}' for count in counts]


def _with_prefix(count: float) -> str:
    for prefix, size in (('T', 1e12), ('G', 1e9), ('M', 1e6), ('k', 1e3)):
        # 999,600 is 1M and not 1000k.
        if count >= 0.9995 * size and (prefix != 'k' or count >= 9999.5):
            return f'{count / size:.3g}{prefix}'
    return f'{count:.12g}'
