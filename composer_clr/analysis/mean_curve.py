"""Runs averaged over their seeds, point by point, and the error that the seeds tell of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import measured

__all__ = ['Array', 'MeanCurve', 'check_counted_alike', 'mean_curves', 'point_epoch', 'standard_error']

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """One method's runs of one kind, averaged point by point over their seeds; points in the order of their epochs.

    Attributes:
        method (str): The set of algorithms.
        kind (str): ``'cyclic'``, ``'standard'`` or another.
        epoch (Array): Epochs trained, > 0; batches where the train loaders have no length.
        time_s (Array): Mean seconds of training, > 0.
        value (Array): Mean of the metric.
        samples (tuple[dict[str, float], ...]): For each point, the value of each seed that reached it. Runs without a
            seed have a label of their own.
        shared_s (Array | None): Of the time of each point, the mean seconds that lie on a run which other points lie on
            too: nothing for runs of their own, all of it for the points of one run, the trunk's part for branches.
            Default: ``None``, all of it.
    """

    method: str
    kind: str
    epoch: Array
    time_s: Array
    value: Array
    samples: tuple[dict[str, float], ...]
    shared_s: Array | None = None

    @property
    def spread(self) -> Array:
        """Standard deviation over the seeds at each point; NaN where there is one seed only."""
        return np.array([np.std(list(s.values()), ddof=1) if len(s) > 1 else math.nan for s in self.samples])

    def __str__(self) -> str:
        return f'{self.method}, {self.kind}'


def mean_curves(
    curves: Iterable[TradeoffCurve], metric: str, *, peak: bool = False, allow_nan: bool = False
) -> dict[tuple[str, str], MeanCurve]:
    """Average the seeds: one curve for each method and kind, in the order in which they first appear.

    Points are one when their epochs agree to six decimals, or their batches where the train loader has no length. So a
    standard curve is put together from its runs, one a point. A seed counts once at a point: a second run of it, being
    no independent sample, would make the error look smaller than it is, and is refused.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; those without points are passed over.
        metric (str): ``label/metric``.
        peak (bool): Whether to take the best value near each point. Default: ``False``.
        allow_nan (bool): Whether a value that is no finite number makes its mean NaN, for a figure to leave out,
            rather than stop everything. Default: ``False``.

    Returns:
        dict[tuple[str, str], MeanCurve]: By method and kind.

    Raises:
        CurveError: If a point lacks the metric, or its value, time or epoch is no number to compare; if two runs of
            one method, kind and seed reach the same epoch, or one counts epochs and another only batches.
    """
    groups: dict[tuple[str, str], list[tuple[str, TradeoffCurve]]] = defaultdict(list)
    for index, curve in enumerate(curves):
        if curve.points:
            seed = f'run {index}' if curve.run.seed is None else f'seed {curve.run.seed}'
            groups[curve.run.method, curve.run.kind].append((seed, curve))
    return {key: _mean(*key, runs, metric, peak, allow_nan) for key, runs in groups.items()}


def _mean(
    method: str, kind: str, runs: Sequence[tuple[str, TradeoffCurve]], metric: str, peak: bool, allow_nan: bool
) -> MeanCurve:
    check_counted_alike(curve for _, curve in runs)
    at: dict[float, dict[str, tuple[str, float, float, float]]] = defaultdict(dict)
    trunks = {curve.run.parent.get('run_name') for _, curve in runs if curve.run.parent is not None}
    for seed, curve in runs:
        name = curve.place
        # Cycles that end with the same batch have points that are alike: they are one here.
        for epoch, point in {point_epoch(point): point for point in curve.points}.items():
            if seed in at[epoch]:
                raise CurveError(
                    f'{method}, {kind}: runs {at[epoch][seed][0]!r} and {name!r} both have {seed} and '
                    f'epoch {epoch:g}: leave one out, or give them methods or seeds of their own'
                )
            time_s, value = _time(name, point), _value(name, point, metric, peak, allow_nan)
            at[epoch][seed] = name, time_s, value, _shared(curve, time_s, trunks)
    epochs = sorted(at)
    times = [fmean(time_s for _, time_s, _, _ in at[epoch].values()) for epoch in epochs]
    samples = tuple({seed: value for seed, (_, _, value, _) in at[epoch].items()} for epoch in epochs)
    means = [fmean(sample.values()) for sample in samples]
    shared = [fmean(shared_s for *_, shared_s in at[epoch].values()) for epoch in epochs]
    return MeanCurve(method, kind, np.array(epochs), np.array(times), np.array(means), samples, np.array(shared))


def _shared(curve: TradeoffCurve, time_s: float, trunks: Collection[object]) -> float:
    """How much of a point's time lies on a run that other points lie on: its own, or the trunk that it left."""
    if curve.run.parent is None:
        return time_s if len(curve.points) > 1 or curve.run.run_name in trunks else 0.0
    shared_s = curve.run.parent.get('wall_clock_train_s')
    if not isinstance(shared_s, (int, float)) or not 0 <= shared_s <= time_s:
        raise CurveError(
            f'run {curve.run.run_name!r}: its parent has wall_clock_train_s {shared_s!r}, which must be the seconds at '
            f'which it left it, up to {time_s:g}: correct the file or leave the run out'
        )
    return float(shared_s)


def point_epoch(point: TradeoffPoint) -> float:
    """Where a point lies among those of other runs: its epoch to six decimals, or its batch where there are none."""
    return float(point.batch) if point.epoch is None else round(point.epoch, 6)


def _time(run: str, point: TradeoffPoint) -> float:
    for what, amount in (('epoch', point_epoch(point)), ('wall_clock_train_s', point.wall_clock_train_s)):
        if not 0 < amount < math.inf:
            raise CurveError(f'run {run!r}: a point has {what} {amount}: it must be above 0, leave the point out')
    return point.wall_clock_train_s


def _value(run: str, point: TradeoffPoint, metric: str, peak: bool, allow_nan: bool) -> float:
    label, values = f'peak:{metric}' if peak else metric, measured(point, peak)
    place = f'at epoch {point_epoch(point):g}'
    if metric not in values:
        raise CurveError(f'run {run!r} has no metric {label!r} {place}, only {sorted(values)}: name a shared metric')
    if not (allow_nan or math.isfinite(values[metric])):
        raise CurveError(f'run {run!r}: {label} is {values[metric]} {place}: leave the run out')
    return values[metric] if math.isfinite(values[metric]) else math.nan


def check_counted_alike(curves: Iterable[TradeoffCurve]) -> None:
    """Refuse runs of which some count epochs and others, whose train loader has no length, batches alone.

    Raises:
        CurveError: If they do.
    """
    counted = {point.epoch is not None: curve.place for curve in curves for point in curve.points}
    if len(counted) > 1:
        raise CurveError(f'run {counted[True]!r} counts epochs, run {counted[False]!r} batches alone: take them apart')


def standard_error(terms: Iterable[tuple[float, Mapping[str, float]]]) -> float | None:
    r"""Standard error over seeds of a weighted sum of means, :math:`\sum_i w_i \bar{v}_i`.

    .. math::
        SE^2 = \sum_s \Bigl( \sum_i w_i \frac{v_{i,s} - \bar{v}_i}{\sqrt{n_i (n_i - 1)}} \Bigr)^2

    where :math:`v_{i,s}` is the value of seed :math:`s` in mean :math:`i`, of :math:`n_i` seeds. What one seed does in
    several means is taken together, as the points of one cyclic run go up and down together. With the same seeds
    everywhere this is the deviation of the seeds' own sums over :math:`\sqrt{n}`; with different ones it is the root
    of the sum of the means' squared errors.

    Args:
        terms (Iterable[tuple[float, Mapping[str, float]]]): Weight, and value by seed, of each mean.

    Returns:
        float | None: ``None`` where a mean that counts is of one seed only.

    Example:
        >>> standard_error([(1, {'17': 3, '18': 3, '19': 6, '20': 6}), (-1, {'17': 1, '18': 1, '19': 4, '20': 4})])
        0.0
        >>> standard_error([(1, {'17': 0, '18': 0, '19': 0, '20': 4})]), standard_error([(1, {'17': 3})])
        (1.0, None)
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
    return math.sqrt(math.fsum(share**2 for share in by_seed.values()))
