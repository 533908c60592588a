"""Averages runs over their seeds, point by point, with the standard error over seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from composer_clr.curves.axes import Count, check_counts, default_axis, distinct_points
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import measured
from composer_clr.study.pooling import mean_ranks, mixed_curves, of_each_pace
from composer_clr.study.screening import is_amount, is_value
from composer_clr.utils.errors import listed

__all__ = ['Array', 'MeanCurve', 'mean_curves', 'seed_shares', 'standard_error']

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """One method's runs of one kind, averaged point by point over their seeds; points in the order of their epochs.

    Attributes:
        method (str): The set of algorithms.
        kind (str): ``'cyclic'``, ``'standard'`` or another.
        count (Array): Epochs, batches, samples or tokens trained, > 0: what ``axis`` says.
        time_s (Array): Mean seconds of training, > 0.
        value (Array): Mean of the metric.
        samples (tuple[dict[str, float], ...]): For each point, the value of each seed that reached it. Runs without a
            seed have a label of their own.
        shared_s (Array | None): For each point, the mean seconds of its time on a run that other points share: none for
            separate runs, all for the points of one run, the trunk's part for branches. Default: ``None``, all.
        axis (str): What ``count`` counts: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        shared_count (Array | None): As ``shared_s``, in the unit of ``count``.
        trained_count (Array | None): What each point took to train, where that is more than its count: fast cycles
            after a trough are shown at the trough. Default: ``None``, the counts.
        times (tuple[dict[str, float], ...]): As ``samples``, the seconds of training. Default: ``()``, not known.
        paces (tuple[float, ...]): Seconds per count of each run. Default: ``()``.
        ranks (tuple[dict[str, float | None], ...]): As ``samples``, the mean number of ranks over the time; ``None`` is
            not known. Default: ``()``, not known.
        timed (tuple[TradeoffCurve, ...]): :func:`of_each_pace` of the runs. Default: ``()``.
    """

    method: str
    kind: str
    count: Array
    time_s: Array
    value: Array
    samples: tuple[dict[str, float], ...]
    shared_s: Array | None = None
    axis: Count = 'epoch'
    shared_count: Array | None = None
    trained_count: Array | None = None
    times: tuple[dict[str, float], ...] = ()
    paces: tuple[float, ...] = ()
    ranks: tuple[dict[str, float | None], ...] = ()
    timed: tuple[TradeoffCurve, ...] = ()

    @property
    def seeds(self) -> set[str]:
        """The seeds that reached any point."""
        return set().union(*self.samples)

    @property
    def complete_seeds(self) -> list[str]:
        """The seeds that reached every point, in the order of their runs."""
        return [seed for seed in self.samples[0] if all(seed in sample for sample in self.samples)]

    @property
    def spread(self) -> Array:
        """Standard deviation over the seeds at each point; NaN where a point has one seed."""
        return np.array([np.std(list(s.values()), ddof=1) if len(s) > 1 else math.nan for s in self.samples])

    def terms(self, weights: Array) -> list[tuple[float, Mapping[str, float]]]:
        """Returns a weighted sum of the points' values as weight and value by seed of each point that counts."""
        return [(float(weights[i]), self.samples[i]) for i in np.flatnonzero(weights)]

    def __str__(self) -> str:
        return f'{self.method}, {self.kind}'


def mean_curves(
    curves: Iterable[TradeoffCurve],
    metric: str,
    *,
    axis: Count | None = None,
    peak: bool = False,
    allow_nan: bool = False,
) -> dict[tuple[str, str], MeanCurve]:
    """Averages the seeds: one curve per method and kind, in the order in which they first appear.

    Points are the same when they have the same count on the axis, epochs to eight digits. So a standard curve is made
    of its runs, one per point. A seed counts once at a point: a second run of it, which is not an independent sample,
    would make the error look smaller than it is, and is refused.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; those without points are ignored.
        metric (str): ``label/metric``.
        axis (str | None): What points are counted in. Default: ``None``, :func:`default_axis` of all curves, or of each
            where they have none in common.
        peak (bool): Use the best value near each point. Default: ``False``.
        allow_nan (bool): Whether a value that is not finite makes its mean NaN, for a figure to leave out, rather than
            raise. Default: ``False``.

    Returns:
        dict[tuple[str, str], MeanCurve]: By method and kind.

    Raises:
        CurveError: If a point lacks the metric, or its value, time or count cannot be compared; if two runs of one
            method, kind and seed reach the same count, runs of one method and kind differ in more than the seed, or a
            run does not count what the axis shows.
    """
    curves = list(curves)
    if axis is not None:
        check_counts(curves, axis)
    groups: dict[tuple[str, str], list[tuple[str, TradeoffCurve]]] = defaultdict(list)
    for index, curve in enumerate(curves):
        if curve.points:
            key = curve.run.method, curve.run.kind
            # A run without a seed pairs with no other.
            label = f'run {index} of {", ".join(key)}' if curve.run.seed is None else f'seed {curve.run.seed}'
            groups[key].append((label, curve))
    for error in mixed_curves(curve for curve in curves if curve.points):
        raise error
    axis = axis or _common_axis(curves)
    return {
        key: _mean(*key, runs, metric, axis or default_axis([run for _, run in runs]), peak, allow_nan)
        for key, runs in groups.items()
    }


def _common_axis(curves: Sequence[TradeoffCurve]) -> Count | None:
    """Returns the default axis of all curves, or ``None`` where each has its own: some count epochs, some batches."""
    try:
        return default_axis(curves)
    except CurveError:
        return None


def _mean(
    method: str,
    kind: str,
    runs: Sequence[tuple[str, TradeoffCurve]],
    metric: str,
    axis: Count,
    peak: bool,
    allow_nan: bool,
) -> MeanCurve:
    at: dict[float, dict[str, _Reached]] = defaultdict(dict)
    paces = []
    trunks = {curve.run.parent.get('run_name') for _, curve in runs if curve.run.parent is not None}
    for seed, curve in runs:
        points, ranks = distinct_points(curve, axis), mean_ranks(curve)
        for count, point in points.items():
            if seed in at[count]:
                raise CurveError(
                    f'{method}, {kind}: runs {at[count][seed].run!r} and {curve.place!r} both have {seed} and '
                    f'{axis} {count:g}: leave one out, or give them methods or seeds of their own'
                )
            time_s = _time(curve.place, point, axis, count)
            value = _value(curve.place, point, metric, f'{axis} {count:g}', peak, allow_nan)
            shared = _shared(curve, point, axis, count, trunks)
            at[count][seed] = _Reached(curve.place, time_s, value, ranks.get(time_s), *shared)
        last = at[max(points)][seed]
        paces.append(last.time_s / last.trained_count)
    counts = sorted(at)
    reached = [at[count] for count in counts]

    def means(part: str) -> Array:
        return np.array([fmean(getattr(one, part) for one in by_seed.values()) for by_seed in reached])

    return MeanCurve(
        method,
        kind,
        np.array(counts),
        means('time_s'),
        means('value'),
        samples=tuple({seed: one.value for seed, one in by_seed.items()} for by_seed in reached),
        shared_s=means('shared_s'),
        axis=axis,
        shared_count=means('shared_count'),
        trained_count=means('trained_count'),
        times=tuple({seed: one.time_s for seed, one in by_seed.items()} for by_seed in reached),
        paces=tuple(paces),
        ranks=tuple({seed: one.ranks for seed, one in by_seed.items()} for by_seed in reached),
        timed=of_each_pace([curve for _, curve in runs]),
    )


class _Reached(NamedTuple):
    """A run's point: the run's name, and what :class:`MeanCurve` averages."""

    run: str
    time_s: float
    value: float
    ranks: float | None
    shared_s: float
    shared_count: float
    trained_count: float


def _shared(
    curve: TradeoffCurve, point: TradeoffPoint, axis: Count, count: float, trunks: Collection[object]
) -> tuple[float, float, float]:
    """Returns how much of a point's time and count lies on a run that other points share, and what it has trained.

    The run is the point's own, or its trunk.
    """
    time_s, parent = point.wall_clock_train_s, curve.run.parent
    if parent is None or len(curve.points) > 1:
        shares = len(curve.points) > 1 or curve.run.run_name in trunks
        return (time_s, count, count) if shares else (0.0, 0.0, count)
    shared_s, left = parent.get('wall_clock_train_s'), parent.get('batch')
    if not isinstance(shared_s, (int, float)) or not 0 <= shared_s <= time_s:
        raise CurveError(
            f'run {curve.run.run_name!r}: its parent has wall_clock_train_s {shared_s!r}, which must be the seconds at '
            f'which it left it, up to {time_s:g}: correct the file or leave the run out'
        )
    part = left / point.batch if isinstance(left, int) and 0 < left <= point.batch else shared_s / time_s
    if axis != 'batch' and axis in parent and part > 0:
        # A second set of metrics: it is shown at the count of its trough.
        return float(shared_s), count, count / part
    return float(shared_s), count * part, count


def _time(run: str, point: TradeoffPoint, axis: str, count: float) -> float:
    for what, amount in ((axis, count), ('wall_clock_train_s', point.wall_clock_train_s)):
        if not is_amount(amount):
            raise CurveError(f'run {run!r}: a point has {what} {amount}: it must be above 0, leave the point out')
    return point.wall_clock_train_s


def _value(run: str, point: TradeoffPoint, metric: str, place: str, peak: bool, allow_nan: bool) -> float:
    label, values = f'peak:{metric}' if peak else metric, measured(point, peak)
    if metric not in values:
        others = listed(sorted(values)) or 'none'
        raise CurveError(f'run {run!r} has no metric {label!r} at {place}, only {others}: name a shared metric')
    usable = is_value(values[metric]) and not (point.diverged or point.stopped)
    if not (allow_nan or usable):
        fault = f'{label} is {values[metric]}'
        if point.diverged or point.stopped:
            fault = 'has diverged' if point.diverged else 'was stopped before its trough'
        raise CurveError(f'run {run!r}: {fault} at {place}: leave the run out')
    return values[metric] if usable else math.nan


def standard_error(terms: Iterable[tuple[float, Mapping[str, float]]]) -> float | None:
    r"""Returns the standard error over seeds of a weighted sum of means, :math:`\sum_i w_i \bar{v}_i`.

    .. math::
        SE^2 = \sum_s \Bigl( \sum_i w_i \frac{v_{i,s} - \bar{v}_i}{\sqrt{n_i (n_i - 1)}} \Bigr)^2

    where :math:`v_{i,s}` is the value of seed :math:`s` in mean :math:`i`, of :math:`n_i` seeds. The deviations of one
    seed in several means are added, since the points of one cyclic run go up and down together. With the same seeds
    in all means this is the deviation of the seeds' own sums over :math:`\sqrt{n}`; with different ones it is the root
    of the sum of the means' squared errors.

    Args:
        terms (Iterable[tuple[float, Mapping[str, float]]]): Weight, and value by seed, of each mean.

    Returns:
        float | None: ``None`` if a mean with a weight other than 0 is of one seed.

    Example:
        >>> standard_error([(1, {'17': 3, '18': 3, '19': 6, '20': 6}), (-1, {'17': 1, '18': 1, '19': 4, '20': 4})])
        0.0
        >>> standard_error([(1, {'17': 0, '18': 0, '19': 0, '20': 4})]), standard_error([(1, {'17': 3})])
        (1.0, None)
    """
    shares = seed_shares(terms)
    return None if shares is None else math.sqrt(math.fsum(share**2 for share in shares.values()))


def seed_shares(terms: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float] | None:
    """Returns each seed's share in the error of a weighted sum of means: the inner sums of :func:`standard_error`.

    Example:
        >>> seed_shares([(1.0, {'17': 1.0, '18': 3.0})])
        {'17': -0.7071067811865475, '18': 0.7071067811865475}
    """
    by_seed: dict[str, float] = defaultdict(float)
    for weight, sample in terms:
        if weight == 0:
            continue
        n = len(sample)
        if n < 2:
            return None
        mean = fmean(sample.values())
        for seed, value in sample.items():
            by_seed[seed] += weight * (value - mean) / math.sqrt(n * (n - 1))
    return dict(by_seed)
