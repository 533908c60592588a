"""A study: runs in one metric and on one axis, as curves.

Everything that is compared, drawn or printed is decided here once: the metric, its unit and direction, the axis, the
seeds, and which points and runs are left out, and why.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
from composer_clr.study.curve import PARTS, Curve
from composer_clr.study.estimates import Estimates, figures, t_interval
from composer_clr.study.pooling import (
    by_curve,
    differing_kinds,
    differing_pace,
    mean_ranks,
    of_each_pace,
    resumed_otherwise,
)
from composer_clr.study.selection import usable_curves
from composer_clr.utils.errors import listed

__all__ = ['Study']


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
        if axis == 'time':
            check_axis(kept, axis)
        untimed = next((run for run in kept if not run.is_timed), None)
        not_comparable = (
            f'run {untimed.place!r} has no training times: nothing is compared by time' if untimed else None,
            differing_epochs(kept) if counted == 'epoch' else None,
            differing_pace(kept),
        )
        methods = list(dict.fromkeys(run.run.method for run in kept))
        baseline = methods[0] if len(methods) == 1 and baseline == BASELINE else baseline
        decided: dict[str, Any] = {
            'scale': 100.0 if study_is_fraction(kept, metric, peak=peak) else 1.0,
            'lower_is_better': study_direction(kept, metric, lower_is_better),
            'is_ratio': is_perplexity(metric),
            'all_seeds': all_seeds,
        }
        curves, notes = _of_common_seeds(_curves(kept, metric, counted, peak, decided), baseline)
        return cls(
            metric=f'peak:{metric}' if peak else metric,
            axis=counted,
            baseline=baseline,
            **decided,
            is_timed=untimed is None,
            curves=curves,
            left_out=tuple(left_out),
            warnings=(*filter(None, not_comparable), *differing_kinds(kept), *resumed_otherwise(kept)),
            notes=(*notes, *filter(None, map(_followed_by, curves.values()))),
            runs=tuple(kept),
        )

    def values(self, curve: Curve) -> Estimates:
        """Returns the mean at each point of a curve with its 95% interval, in the metric's own unit.

        Of perplexities it is the geometric mean.
        """
        found = t_interval(figures(curve.value))
        return found.exp() if self.is_ratio else found


def _curves(
    runs: Sequence[TradeoffCurve], metric: str, axis: Count, peak: bool, decided: dict[str, Any]
) -> dict[tuple[str, str], Curve]:
    is_timed, alone, counted = all(run.is_timed for run in runs), _runs_alone(runs), {}
    for key, of_curve in by_curve(runs).items():
        points = [distinct_points(run, axis) for run in of_curve]
        counted[key] = list(zip(_seeds(of_curve, points), of_curve, points, strict=True))
    # A sorted order, so that random draws of the seeds do not depend on the order of files.
    seeds = {seed: i for i, seed in enumerate(sorted({seed for rows in counted.values() for seed, _, _ in rows}))}
    curves = {}
    for (method, kind), rows in counted.items():
        counts = {count: i for i, count in enumerate(sorted({count for _, _, points in rows for count in points}))}
        parts, paces = {name: np.full((len(seeds), len(counts)), np.nan) for name in PARTS}, []
        rows.sort(key=lambda row: min(row[2]))
        for seed, run, points in rows:
            row, ranks, last = seeds[seed], mean_ranks(run), counts[max(points)]
            for count, point in points.items():
                value, time_s = measured(point, peak)[metric], point.wall_clock_train_s
                shared_s, *shared = _shared(run, point, axis, count, id(run) in alone)
                times = (time_s, ranks[time_s], shared_s) if is_timed else (math.nan,) * 3
                of_point = math.log(value) if decided['is_ratio'] else value, *times, *shared
                for name, amount in zip(PARTS, of_point, strict=True):
                    parts[name][row, counts[count]] = amount
            paces.append(float(parts['time_s'][row, last] / parts['trained_count'][row, last]))
        timed = of_each_pace([run for _, run, _ in rows])
        curve = Curve(
            *(method, kind, axis, tuple(seeds), np.array(list(counts))),
            **parts,
            paces=tuple(paces),
            timed=timed,
            **decided,
        )
        curves[method, kind] = curve.aligned
    return curves


def _seeds(runs: Sequence[TradeoffCurve], points: Sequence[Collection[float]]) -> list[str]:
    """Returns a label per run of a curve: runs of one point without a seed make up rows, of which each has it once."""
    labels: list[str] = []
    rows: list[set[float]] = []
    for run, counts in zip((run.run for run in runs), points, strict=True):
        if run.seed is not None:
            labels.append(f'seed {run.seed}')
            continue
        place = next((i for i, row in enumerate(rows) if len(counts) == 1 and not row & set(counts)), len(rows))
        rows[place:] = rows[place:] or [set()]
        rows[place].update(counts)
        labels.append(f'run {place} of {run.method}, {run.kind}')
    return labels


def _runs_alone(runs: Sequence[TradeoffCurve]) -> set[int]:
    """Returns the ids of the runs that draw a curve alone, be it of one point so far; others make it up together."""
    alone: set[int] = set()
    for (_, kind), of_kind in by_curve(run for run in runs if run.run.parent is None).items():
        long = {id(curve) for curve in of_kind if len(curve.points) > 1}
        once = len({curve.run.seed for curve in of_kind}) == len(of_kind)
        alone |= {id(curve) for curve in of_kind} if kind != STANDARD and (long or once) else long
    return alone


def _shared(
    curve: TradeoffCurve, point: TradeoffPoint, axis: Count, count: float, is_alone: bool
) -> tuple[float, float, float]:
    """Returns how much of a point's time and count lies on its own or its trunk's run, and what it has trained."""
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


def _of_common_seeds(
    curves: dict[tuple[str, str], Curve], baseline: str
) -> tuple[dict[tuple[str, str], Curve], list[str]]:
    """Returns the curves over the seeds that the baseline's curve of their kind has too, and what that leaves out."""
    found, notes = {}, []
    for (method, kind), curve in curves.items():
        found[method, kind], _ = curve.beside(curves.get((baseline, kind), curve))
        left_out = curve.has & ~found[method, kind].has
        if left_out.any():
            notes.append(f'{curve}: without {_named(curve, left_out)}, which {baseline} does not have (--all-seeds)')
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


def _named(curve: Curve, seeds: npt.NDArray[np.bool_]) -> str:
    names = [seed.removeprefix('seed ') for seed, one in zip(curve.seeds, seeds, strict=True) if one]
    return f'seed{"s" if len(names) > 1 else ""} {listed(names)}'
