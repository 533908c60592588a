"""The table of a study: a row per run and point, in one metric and on one axis; and its curves, as arrays.

Everything that is compared, drawn or printed is decided here once: the metric, its unit and direction, the axis, the
seeds, and which points and runs are left out, and why.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from composer_clr.curves.axes import (
    PLURALS,
    Count,
    check_axis,
    count_labels,
    default_axis,
    differing_epochs,
    distinct_points,
)
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import is_perplexity, measured, study_direction, study_is_fraction
from composer_clr.curves.names import BASELINE, STANDARD
from composer_clr.study.estimates import Array, Estimates, figures, t_interval
from composer_clr.study.pooling import differing_kinds, differing_pace, mean_ranks, of_each_pace, resumed_otherwise
from composer_clr.study.screening import usable_curves
from composer_clr.utils.errors import listed

__all__ = ['Curve', 'Row', 'Study']

# Of a row, in the arrays of a curve.
_PARTS = ('value', 'time_s', 'ranks', 'shared_s', 'shared_count', 'trained_count')
# Counts that differ by less, relatively, are one point where they are of different seeds.
_NEAR = 0.01


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

    @property
    def has(self) -> np.ndarray:
        """Whether each seed has any point."""
        return ~np.isnan(self.value).all(axis=1)

    def of_seeds(self, keep: np.ndarray) -> Curve:
        """Returns the curve of some of its seeds, without the points that only others have."""
        some = ~np.isnan(self.value[keep]).all(axis=0)
        parts = {name: np.where(keep[:, None], getattr(self, name), np.nan)[:, some] for name in _PARTS}
        return replace(self, count=self.count[some], **parts)

    @cached_property
    def followed(self) -> Curve:
        """The curve over the same seeds everywhere, so that it can be followed from point to point.

        These are the seeds that reach from the first point to the last, a point that one lacks on the way interpolated
        between its own. Where no seed does, the curve goes as far as all of them do; where that is no point, it is as
        measured.
        """
        present, points = ~np.isnan(self.value), len(self.count)
        first, last = present.argmax(axis=1), points - 1 - present[:, ::-1].argmax(axis=1)
        keep, cut = self.has & (first == 0) & (last == points - 1), slice(0, points)
        if not keep.any():
            keep, cut = self.has, slice(int(first[self.has].max()), int(last[self.has].min()) + 1)
        if cut.start >= cut.stop:
            return self
        parts = {name: getattr(self, name).copy() for name in _PARTS}
        for seed in np.flatnonzero(keep & ~present[:, cut].all(axis=1)):
            _fill(parts, self.count, seed, present[seed], range(first[seed], last[seed] + 1))
        filled = {name: np.where(keep[:, None], values, np.nan)[:, cut] for name, values in parts.items()}
        return replace(self, count=self.count[cut], **filled)

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
        all_seeds (bool): Whether everything is over all seeds of each curve, whichever others have.
        is_timed (bool): Whether all runs have training times; if not, times are NaN and nothing is compared by them.
        rows (tuple[Row, ...]): The points.
        curves (dict[tuple[str, str], Curve]): By method and kind, in the order in which they first appear. Unless
            ``all_seeds``, each is over the seeds that the baseline's curve of its kind has too, if there are any.
        left_out (tuple[CurveError, ...]): Points and runs that cannot be compared.
        warnings (tuple[str, ...]): Why equal epochs, or times, are not comparable.
        notes (tuple[str, ...]): Which seeds a curve is over, where these are not all.
        runs (tuple[TradeoffCurve, ...]): The runs that are kept.
    """

    metric: str
    axis: Count
    baseline: str
    scale: float
    lower_is_better: bool
    is_ratio: bool
    all_seeds: bool
    is_timed: bool
    rows: tuple[Row, ...]
    curves: dict[tuple[str, str], Curve]
    left_out: tuple[CurveError, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    runs: tuple[TradeoffCurve, ...]

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
        all_seeds: bool = False,
        strict: bool = True,
    ) -> Study:
        """Makes the table of a study.

        Points of different seeds at slightly different counts are one point: each seed is interpolated to it, within
        its own range, values in the log of the count. A mean is over the seeds that have the point; what is followed
        along a curve, such as the time to a value, is over the same seeds everywhere (:attr:`Curve.followed`).

        Args:
            runs (Iterable[TradeoffCurve]): The runs; those without points are ignored.
            metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
            axis (str | None): What points are counted in. Default: ``None``, :func:`default_axis`; so for ``'time'``.
            peak (bool): Use the best value near each point. Default: ``False``.
            baseline (str): The method that improvements are over; of runs of one method, that one. Default:
                ``'baseline'``.
            lower_is_better (bool | None): Default: ``None``, as :func:`study_direction` finds it.
            all_seeds (bool): Use all seeds of every curve, not only those that the baseline's curve of its kind has
                too. Default: ``False``.
            strict (bool): Whether the first point that cannot be compared raises; if not, it is left out. Default:
                ``True``.

        Raises:
            CurveError: If nothing is left; if the runs do not share a metric, its unit, or an axis.
        """
        kept, metric, left_out = usable_curves(runs, metric, axis=axis, peak=peak, strict=strict)
        counted: Count = default_axis(kept) if axis in (None, 'time') else axis  # type: ignore[assignment]
        check_axis(kept, counted)
        rows = _rows(kept, metric, counted, peak)
        untimed = next((run for run in kept if not run.is_timed), None)
        if axis == 'time':
            check_axis(kept, axis)
        if untimed:
            rows = [replace(row, time_s=math.nan, shared_s=math.nan) for row in rows]
        no_times = f'run {untimed.place!r} has no training times: nothing is compared by time' if untimed else None
        is_ratio = is_perplexity(metric)
        if is_ratio:
            rows = [replace(row, value=math.log(row.value)) for row in rows]
        not_comparable = (differing_epochs(kept) if counted == 'epoch' else None, differing_pace(kept))
        methods = {run.run.method for run in kept}
        # Of runs of one method that one.
        baseline = methods.pop() if len(methods) == 1 and baseline == BASELINE else baseline
        curves, notes = _curves(rows, counted, kept), []
        if not all_seeds:
            curves, notes = _of_common_seeds(curves, baseline)
        return cls(
            metric=f'peak:{metric}' if peak else metric,
            axis=counted,
            baseline=baseline,
            scale=100.0 if study_is_fraction(kept, metric, peak=peak) else 1.0,
            lower_is_better=study_direction(kept, metric, lower_is_better),
            is_ratio=is_ratio,
            all_seeds=all_seeds,
            is_timed=not untimed,
            rows=tuple(rows),
            curves=curves,
            left_out=tuple(left_out),
            warnings=(*filter(None, (no_times, *not_comparable)), *differing_kinds(kept), *resumed_otherwise(kept)),
            notes=(*notes, *filter(None, map(_followed_by, curves.values()))),
            runs=tuple(kept),
        )

    def values(self, curve: Curve) -> Estimates:
        """Returns the mean at each point of a curve with its 95% interval, in the metric's own unit.

        Of perplexities it is the geometric mean.
        """
        found = t_interval(figures(curve.value))
        return found.exp() if self.is_ratio else found


def _rows(runs: Sequence[TradeoffCurve], metric: str, axis: Count, peak: bool) -> list[Row]:
    rows: list[Row] = []
    alone = _runs_alone(runs)
    seedless: dict[tuple[str, str], list[set[float]]] = defaultdict(list)
    for number, curve in enumerate(runs):
        run, ranks, points = curve.run, mean_ranks(curve), distinct_points(curve, axis)
        seed = f'seed {run.seed}'
        if run.seed is None:
            # Runs of one point without a seed make up curves, of which each has a point once.
            others = seedless[run.method, run.kind]
            place = next((i for i, taken in enumerate(others) if len(points) == 1 and not taken & set(points)), None)
            if place is None:
                place = len(others)
                others.append(set())
            others[place] |= set(points)
            seed = f'run {place} of {run.method}, {run.kind}'
        for count, point in points.items():
            value, time_s = measured(point, peak)[metric], point.wall_clock_train_s
            shared = _shared(curve, point, axis, count, id(curve) in alone)
            size = ranks.get(time_s) or math.nan
            rows.append(Row(run.method, run.kind, seed, number, count, value, time_s, size, *shared))
    return rows


def _runs_alone(runs: Sequence[TradeoffCurve]) -> set[int]:
    """Returns the ids of the runs that draw a curve alone, be it of one point so far; others make it up together."""
    groups: dict[tuple[str, str], list[TradeoffCurve]] = defaultdict(list)
    for curve in runs:
        if curve.run.parent is None:
            groups[curve.run.method, curve.run.kind].append(curve)
    alone: set[int] = set()
    for (_, kind), of_kind in groups.items():
        long = {id(curve) for curve in of_kind if len(curve.points) > 1}
        once = len({curve.run.seed for curve in of_kind}) == len(of_kind)
        alone |= {id(curve) for curve in of_kind} if kind != STANDARD and (long or once) else long
    return alone


def _shared(
    curve: TradeoffCurve, point: TradeoffPoint, axis: Count, count: float, is_alone: bool
) -> tuple[float, float, float]:
    """Returns how much of a point's time and count lies on a run that other points share, and what it has trained.

    The run is the point's own, or its trunk.
    """
    time_s, parent = point.wall_clock_train_s, curve.run.parent
    if parent is None or len(curve.points) > 1:
        return (time_s, count, count) if is_alone or parent is not None else (0.0, 0.0, count)
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
    # A sorted order, so that random draws of the seeds do not depend on the order of files.
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
        at = np.array(list(counts))
        kept = _aligned(at, parts)
        curves[method, kind] = Curve(
            *(method, kind, axis, tuple(seeds), at[kept]),
            **{name: values[:, kept] for name, values in parts.items()},
            paces=tuple(row.time_s / row.trained_count for row in last.values()),
            timed=of_each_pace([runs[number] for number in last]),
        )
    return curves


def _aligned(count: Array, parts: dict[str, Array]) -> list[int]:
    """Interpolates seeds to the points of others that they are measured around, and returns the points to keep."""
    present = ~np.isnan(parts['value'])
    some = present.any(axis=1)
    if present[some].all():
        return list(range(len(count)))
    reach = [np.flatnonzero(of_seed)[[0, -1]] if of_seed.any() else (1, 0) for of_seed in present]
    kept: list[int] = []
    start = 0
    while start < len(count):
        end = start + 1
        while (
            end < len(count)
            and count[end] < (1 + _NEAR) * count[start]
            and (present[:, start : end + 1].sum(axis=1) < 2).all()
        ):
            end += 1
        of_point = np.flatnonzero(present[:, start:end].any(axis=1))
        inside = [i for i in range(start, end) if all(reach[s][0] <= i <= reach[s][1] for s in of_point)]
        kept.extend(inside[:1] or range(start, end))
        start = end
    logs = np.log(count)
    for seed in np.flatnonzero(some):
        missing = [i for i in kept if reach[seed][0] < i < reach[seed][1] and not present[seed, i]]
        _fill(parts, count, seed, present[seed], [i for i in missing if _is_around(logs, present, seed, i)])
    return kept


def _is_around(logs: Array, present: np.ndarray, seed: int, i: int) -> bool:
    """Returns whether a seed has a point of its own between the neighbours of a point that others have."""
    low, high = -math.inf, math.inf
    for others in np.flatnonzero(present[:, i]):
        own = logs[present[others]]
        before, after = own[own < logs[i]], own[own > logs[i]]
        if not len(before) and not len(after):
            return False
        below = logs[i] - before[-1] if len(before) else after[0] - logs[i]
        above = after[0] - logs[i] if len(after) else below
        low, high = max(low, logs[i] - below), min(high, logs[i] + above)
    own = logs[present[seed]]
    return bool(((low < own) & (own < high)).any())


def _fill(parts: dict[str, Array], count: Array, seed: int, present: np.ndarray, places: Iterable[int]) -> None:
    """Interpolates what a seed has at its own points to others: values in the log of the count, times in the count."""
    places = list(places)
    for name, values in parts.items():
        x = np.log(count) if name == 'value' else count
        values[seed, places] = np.interp(x[places], x[present], values[seed, present])


def _of_common_seeds(
    curves: dict[tuple[str, str], Curve], baseline: str
) -> tuple[dict[tuple[str, str], Curve], list[str]]:
    """Returns the curves over the seeds that the baseline's curve of their kind has too, and what that leaves out."""
    found, notes = {}, []
    for (method, kind), curve in curves.items():
        base = curves.get((baseline, kind), curve)
        common, left_out = curve.has & base.has, curve.has & ~base.has
        if common.any() and left_out.any():
            curve = curve.of_seeds(common)
            notes.append(f'{curve}: without {_named(curve, left_out)}, which {baseline} does not have (--all-seeds)')
        found[method, kind] = curve
    return found, notes


def _followed_by(curve: Curve) -> str:
    over = curve.followed
    left_out = curve.has & ~over.has
    if left_out.any():
        first, last = count_labels(curve.count[[0, -1]].tolist(), curve.axis)
        return (
            f'{curve}: its line, and times to a value, are over {_named(curve, over.has)}; {_named(curve, left_out)} '
            f'{"do" if left_out.sum() > 1 else "does"} not reach from {first} to {last} {PLURALS[curve.axis]}'
        )
    if len(over.count) < len(curve.count):
        first, last = count_labels(over.count[[0, -1]].tolist(), curve.axis)
        return f'{curve}: its line goes from {first} to {last} {PLURALS[curve.axis]}, where all its seeds are measured'
    return ''


def _named(curve: Curve, seeds: np.ndarray) -> str:
    names = [seed.removeprefix('seed ') for seed, one in zip(curve.seeds, seeds, strict=True) if one]
    return f'seed{"s" if len(names) > 1 else ""} {listed(names)}'
