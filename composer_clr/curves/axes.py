"""The axes that points lie on, and are paired along: epochs, batches, samples or tokens trained, or time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise, permutations
from typing import Literal, get_args

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint

__all__ = [
    'PLURALS',
    'UNITS',
    'Axis',
    'Count',
    'check_counts',
    'check_timed',
    'count_labels',
    'default_axis',
    'differing_epochs',
    'distinct_points',
    'point_count',
    'read_count',
    'shown_axis',
]

Count = Literal['epoch', 'batch', 'sample', 'token']
Axis = Literal['epoch', 'batch', 'sample', 'token', 'time']
# Composer's unit of each.
UNITS: dict[str, str] = {'epoch': 'ep', 'batch': 'ba', 'sample': 'sp', 'token': 'tok'}
PLURALS: dict[str, str] = {'epoch': 'epochs', 'batch': 'batches', 'sample': 'samples', 'token': 'tokens'}

_PREFIXES = {'': 1.0, 'k': 1e3, 'K': 1e3, 'M': 1e6, 'G': 1e9, 'B': 1e9, 'T': 1e12}
_COUNT = re.compile(r'([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*([kKMGBT]?)\s*(ep|ba|sp|tok)')
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
    shared: list[Count] = [
        axis for axis in get_args(Count) if all(point_count(one, axis) is not None for one in points)
    ]
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


def shown_axis(curves: Iterable[TradeoffCurve], axis: Axis | None = None) -> Axis:
    """Returns the axis of a figure or an answer: the one named, else what the schedules were counted in, if that is
    samples or tokens or a run has no times, else time.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        axis (str | None): The one specified. Default: ``None``.

    Raises:
        CurveError: If a run does not count the axis.
    """
    curves = list(curves)
    if axis is not None:
        check_counts(curves, axis)
        if axis == 'time':
            check_timed(curves)
        return axis
    is_timed = all(curve.is_timed for curve in curves)
    if is_timed and len({point.epoch is None for curve in curves for point in curve.points}) > 1:
        return 'time'
    counted = default_axis(curves)
    return counted if counted in ('sample', 'token') or not is_timed else 'time'


def check_counts(curves: Iterable[TradeoffCurve], axis: str) -> None:
    """Refuses runs that do not count what an axis shows.

    Raises:
        CurveError: If ``axis`` is unknown, or a point has no such count.
    """
    if axis == 'time':
        return
    if axis not in UNITS:
        raise CurveError(f'--axis {axis}: choose one of {", ".join(get_args(Axis))}')
    for curve in curves:
        if any(point_count(point, axis) is None for point in curve.points):
            raise CurveError(
                f'run {curve.place!r} counts no {PLURALS[axis]}: choose another axis, or leave the run out'
            )


def check_timed(curves: Iterable[TradeoffCurve]) -> None:
    """Refuses runs without training times, as of a log without them.

    Raises:
        CurveError: If there is one.
    """
    for curve in curves:
        if not curve.is_timed:
            raise CurveError(f'run {curve.place!r} has no training times: choose --axis epoch, or leave the run out')


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
    for axis in get_args(Count):
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


def read_count(text: str) -> tuple[float, Count] | None:
    """Returns a number of epochs, batches, samples or tokens and its axis; ``None`` if the text is not one.

    Example:
        >>> read_count('300Mtok'), read_count('16ep'), read_count('1.5h')
        ((300000000.0, 'token'), (16.0, 'epoch'), None)
    """
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return None
    axis = next(axis for axis in get_args(Count) if UNITS[axis] == match[4])
    count = float(match[1] + (match[2] or '')) * _PREFIXES[match[3]]
    return (count, axis) if 0 < count < float('inf') else None
