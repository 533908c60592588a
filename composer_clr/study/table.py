"""The table of a study: a row per run and point, in one metric and on one axis; and its curves, as arrays.

Everything that is compared, drawn or printed is decided here once: the metric, its unit and direction, the axis, and
which points and runs are left out, and why.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer_clr.curves.axes import Count, check_counts, default_axis, differing_epochs, distinct_points
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import is_perplexity, measured, study_direction, study_is_fraction
from composer_clr.curves.names import BASELINE, study_baseline
from composer_clr.study.estimates import Array
from composer_clr.study.pooling import differing_kinds, differing_pace, mean_ranks, of_each_pace, resumed_otherwise
from composer_clr.study.screening import usable_curves

__all__ = ['Curve', 'Row', 'Study']

# Of a row, in the arrays of a curve.
_PARTS = ('value', 'time_s', 'ranks', 'shared_s', 'shared_count', 'trained_count')


@dataclass(frozen=True)
class Row:
    """A point of a run, in the metric and on the axis of a study.

    Attributes:
        method (str): The set of algorithms.
        kind (str): ``'cyclic'``, ``'standard'`` or another.
        seed (str): ``'seed 17'``; a run without a seed has a label of its own, and pairs with no other.
        run (int): The number of the run.
        count (float): Epochs, batches, samples or tokens trained.
        value (float): The metric.
        time_s (float): Seconds of training.
        ranks (float): The mean number of ranks over that time; NaN if it is not known.
        shared_s (float): Those on a run that other points share: none for separate runs, all for the points of one run,
            the trunk's part for branches.
        shared_count (float): The same in the unit of ``count``.
        trained_count (float): What the point took to train, where that is more than its count.
    """

    method: str
    kind: str
    seed: str
    run: int
    count: float
    value: float
    time_s: float
    ranks: float
    shared_s: float
    shared_count: float
    trained_count: float


@dataclass(frozen=True, eq=False)
class Curve:
    """The runs of one method and kind. Arrays have a row per seed of the study, NaN where it has no such point.

    Attributes:
        method (str): The set of algorithms.
        kind (str): ``'cyclic'``, ``'standard'`` or another.
        axis (str): What ``count`` counts: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        seeds (tuple[str, ...]): The labels of the rows.
        count (Array): What the points have trained, ascending. Shape ``(points,)``.
        value, time_s, ranks, shared_s, shared_count, trained_count (Array): As in :class:`Row`. Shape ``(seeds,
            points)``.
        paces (tuple[float, ...]): Seconds per count of each run.
        timed (tuple[TradeoffCurve, ...]): :func:`of_each_pace` of the runs.
    """

    method: str
    kind: str
    axis: Count
    seeds: tuple[str, ...]
    count: Array
    value: Array
    time_s: Array
    ranks: Array
    shared_s: Array
    shared_count: Array
    trained_count: Array
    paces: tuple[float, ...]
    timed: tuple[TradeoffCurve, ...]

    def mean(self, what: str = 'value') -> Array:
        """Returns the mean over the seeds at each point."""
        return np.nanmean(getattr(self, what), axis=0)

    def positions(self, axis: str | None) -> Array:
        """Returns where the points lie on an axis."""
        return self.mean('time_s') if axis == 'time' else self.count

    def of_seeds(self, keep: Array) -> Curve:
        """Returns the curve of some of its seeds."""
        return replace(self, **{name: np.where(keep[:, None], getattr(self, name), np.nan) for name in _PARTS})

    def __str__(self) -> str:
        return f'{self.method}, {self.kind}'


@dataclass(frozen=True, eq=False)
class Study:
    """Runs in one metric and on one axis.

    Attributes:
        metric (str): ``label/metric``; with ``peak:`` before it for the best value near a point.
        axis (str): What points are counted in: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        baseline (str): The method that improvements are over.
        scale (float): 100 where differences are percentage points, else 1.
        lower_is_better (bool): Whether less is better.
        is_ratio (bool): Whether gaps are ratios, as of perplexities: the values of ``curves`` are logarithms.
        rows (tuple[Row, ...]): The points.
        curves (dict[tuple[str, str], Curve]): By method and kind, in the order in which they first appear.
        left_out (tuple[CurveError, ...]): Points and runs that cannot be compared.
        warnings (tuple[str, ...]): Why equal epochs, or times, are not comparable.
    """

    metric: str
    axis: Count
    baseline: str
    scale: float
    lower_is_better: bool
    is_ratio: bool
    rows: tuple[Row, ...]
    curves: dict[tuple[str, str], Curve]
    left_out: tuple[CurveError, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        runs: Iterable[TradeoffCurve],
        metric: str | None = None,
        *,
        axis: str | None = None,
        peak: bool = False,
        baseline: str = BASELINE,
        lower_is_better: bool | None = None,
        strict: bool = True,
    ) -> Study:
        """Makes the table of a study.

        Args:
            runs (Iterable[TradeoffCurve]): The runs; those without points are ignored.
            metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
            axis (str | None): What points are counted in. Default: ``None``, :func:`default_axis`; so for ``'time'``.
            peak (bool): Use the best value near each point. Default: ``False``.
            baseline (str): The method that improvements are over; of runs of one method, that one. Default:
                ``'baseline'``.
            lower_is_better (bool | None): Default: ``None``, as :func:`study_direction` finds it.
            strict (bool): Whether the first point that cannot be compared raises; if not, it is left out. Default:
                ``True``.

        Raises:
            CurveError: If nothing is left; if the runs do not share a metric, its unit, or an axis.
        """
        kept, metric, left_out = usable_curves(runs, metric, axis=axis, peak=peak, strict=strict)
        counted: Count = default_axis(kept) if axis in (None, 'time') else axis  # type: ignore[assignment]
        check_counts(kept, counted)
        rows = _rows(kept, metric, counted, peak)
        is_ratio = is_perplexity(metric)
        if is_ratio:
            rows = [replace(row, value=math.log(row.value)) for row in rows]
        not_comparable = (differing_epochs(kept) if counted == 'epoch' else None, differing_pace(kept))
        return cls(
            metric=f'peak:{metric}' if peak else metric,
            axis=counted,
            baseline=study_baseline(kept, baseline),
            scale=100.0 if study_is_fraction(kept, metric, peak=peak) else 1.0,
            lower_is_better=study_direction(kept, metric, lower_is_better),
            is_ratio=is_ratio,
            rows=tuple(rows),
            curves=_curves(rows, counted, kept),
            left_out=tuple(left_out),
            warnings=(*filter(None, not_comparable), *differing_kinds(kept), *resumed_otherwise(kept)),
        )


def _rows(runs: Sequence[TradeoffCurve], metric: str, axis: Count, peak: bool) -> list[Row]:
    rows: list[Row] = []
    trunks = {(run.run.method, run.run.kind, run.run.parent.get('run_name')) for run in runs if run.run.parent}
    for number, curve in enumerate(runs):
        run, ranks = curve.run, mean_ranks(curve)
        seed = f'run {number} of {run.method}, {run.kind}' if run.seed is None else f'seed {run.seed}'
        for count, point in distinct_points(curve, axis).items():
            value, time_s = measured(point, peak)[metric], point.wall_clock_train_s
            shared = _shared(curve, point, axis, count, (run.method, run.kind, run.run_name) in trunks)
            size = ranks.get(time_s) or math.nan
            rows.append(Row(run.method, run.kind, seed, number, count, value, time_s, size, *shared))
    return rows


def _shared(
    curve: TradeoffCurve, point: TradeoffPoint, axis: Count, count: float, is_trunk: bool
) -> tuple[float, float, float]:
    """Returns how much of a point's time and count lies on a run that other points share, and what it has trained.

    The run is the point's own, or its trunk.
    """
    time_s, parent = point.wall_clock_train_s, curve.run.parent
    if parent is None or len(curve.points) > 1:
        return (time_s, count, count) if len(curve.points) > 1 or is_trunk else (0.0, 0.0, count)
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


def _curves(rows: Sequence[Row], axis: Count, runs: Sequence[TradeoffCurve]) -> dict[tuple[str, str], Curve]:
    seeds = {seed: i for i, seed in enumerate(sorted({row.seed for row in rows}))}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.method, row.kind].append(row)
    curves = {}
    for (method, kind), group in groups.items():
        counts = {count: i for i, count in enumerate(sorted({row.count for row in group}))}
        parts = {name: np.full((len(seeds), len(counts)), np.nan) for name in _PARTS}
        last: dict[int, Row] = {}
        for row in sorted(group, key=lambda row: row.count):
            place = seeds[row.seed], counts[row.count]
            for name, values in parts.items():
                values[place] = getattr(row, name)
            last[row.run] = row
        curves[method, kind] = Curve(
            *(method, kind, axis, tuple(seeds), np.array(list(counts))),
            **parts,
            paces=tuple(row.time_s / row.trained_count for row in last.values()),
            timed=of_each_pace([runs[number] for number in last]),
        )
    return curves
