"""Selects the points and runs that can be compared, and says of each other one why it is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from composer_clr.curves.axes import default_axis, distinct_points, point_count
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import default_metric, is_perplexity, measured
from composer_clr.curves.names import METRIC_SETS
from composer_clr.curves.settings import Difference, Effect, listed_differences
from composer_clr.study.pooling import MOST_NAMED, Setting, by_curve, differing_settings
from composer_clr.utils.errors import listed

__all__ = ['usable_curves', 'without_odd_runs']

# Of values, counts and times: squares and products of larger ones overflow.
_LARGEST = 1e100


def usable_curves(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    axis: str | None = None,
    peak: bool = False,
    strict: bool = False,
) -> tuple[list[TradeoffCurve], str, list[CurveError]]:
    """Returns the runs that can be compared, the metric, and what is left out, with its name and the remedy.

    Raises:
        CurveError: If nothing is left, no metric can be chosen, most runs of a method and kind do not agree in their
            settings, or ``strict`` and something is left out.
    """
    with_points, errors = without_odd_runs(curve for curve in curves if curve.points)
    if errors and strict:
        raise errors[0]
    metric = _full_name(with_points, metric, peak) if metric else default_metric(with_points, peak=peak)
    kept: dict[int, TradeoffCurve] = {}
    places: dict[tuple[str, str, int, float], str] = {}
    # Of a run and a longer one of its seed, the longer one stays.
    for i, curve in sorted(enumerate(with_points), key=lambda one: -len(one[1].points)):
        counted = default_axis([curve]) if axis in (None, 'time') else axis
        faults = [_fault(point, metric, counted, peak, curve.is_timed) for point in curve.points]
        errors.extend(
            CurveError(f'run {curve.place!r}: its point at {counted} {point_count(point, counted) or 0:g} {fault}')
            for point, fault in zip(curve.points, faults, strict=True)
            if fault
        )
        if any(faults):
            curve = curve.of_points(point for point, fault in zip(curve.points, faults, strict=True) if not fault)
        try:
            _register(curve, counted, places)
        except CurveError as error:
            errors.append(error)
        else:
            kept |= {i: curve} if curve.points else {}
        if errors and strict:
            raise errors[0]
    if not kept:
        raise errors[0] if errors else CurveError('there are no points to compare: name runs that have passed a trough')
    return [kept[i] for i in sorted(kept)], metric, errors


def _full_name(curves: Iterable[TradeoffCurve], metric: str, peak: bool) -> str:
    """Returns a metric's name with its evaluator's label, which may be left out where one evaluator has the metric."""
    names = dict.fromkeys(name for curve in curves for point in curve.points for name in measured(point, peak))
    if metric in names:
        return metric
    other_weights = tuple(f'{name}/' for name in METRIC_SETS)
    found = [name for name in names if name.endswith(f'/{metric}') and not name.startswith(other_weights)]
    if len(found) > 1:
        raise CurveError(f'{metric}: several evaluators have it: name one of {listed(sorted(found))}')
    return found[0] if found else metric


def without_odd_runs(curves: Iterable[TradeoffCurve]) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Returns the runs whose settings are those of most runs of their method and kind, and why others are left out.

    Raises:
        CurveError: If runs of a method and kind differ, and most of them do not agree.
    """
    curves = list(curves)
    odd: dict[int, list[Difference]] = defaultdict(list)
    for runs in by_curve(curves).values():
        settings = differing_settings(runs, Effect.CURVE)
        for setting in settings:
            usual = _usual(setting)
            for run, value in setting.values:
                if value != usual:
                    odd[id(run)].append(Difference(setting.name, value, usual))
        if settings and 2 * sum(id(run) in odd for run in runs) >= len(runs):
            raise settings[0].refusal()
    errors = [_left_out(curve, odd[id(curve)]) for curve in curves if id(curve) in odd]
    return [curve for curve in curves if id(curve) not in odd], errors


def _usual(setting: Setting) -> Any:
    """Returns the value of more than half of the runs that record a setting."""
    values = [value for _, value in setting.values]
    usual = max(values, key=values.count)
    if 2 * values.count(usual) <= len(values):
        raise setting.refusal()
    return usual


def _left_out(curve: TradeoffCurve, found: list[Difference]) -> CurveError:
    others = f'most runs of {curve.run.method}, {curve.run.kind}'
    more = f' and {len(found) - MOST_NAMED} more' if len(found) > MOST_NAMED else ''
    return CurveError(
        f'run {curve.place!r} has {listed_differences(found[:MOST_NAMED], others)}{more}: give it a method of its own '
        '(snapshot.method), or leave it out'
    )


def _fault(point: TradeoffPoint, metric: str, axis: str, peak: bool, is_timed: bool) -> str:
    values = measured(point, peak)
    label = f'peak:{metric}' if peak else metric
    if point.diverged:
        return 'has diverged: it is left out; train the run again with a lower learning rate'
    if point.stopped:
        return 'was stopped before its trough: it is left out; start the run again with its checkpoints, to its end'
    if metric not in values:
        others = f', only {listed(sorted(values))}' if values else ''
        return f'has no metric {label!r}{others}: it is left out; name a metric that all points have'
    if not abs(values[metric]) < _LARGEST or (is_perplexity(metric) and values[metric] <= 0):
        return f'has {label} {values[metric]}: it is left out; train the run again, or correct the file'
    amounts = {axis: point_count(point, axis) or 0.0}
    for what, amount in (amounts | ({'wall_clock_train_s': point.wall_clock_train_s} if is_timed else {})).items():
        if not 1 / _LARGEST < amount < _LARGEST:
            return f'has {what} {amount}: it is left out; it must be above 0, correct the file'
    return ''


def _register(curve: TradeoffCurve, axis: str, places: dict[tuple[str, str, int, float], str]) -> None:
    """Registers the counts of a run; refuses one of which two points, or another run of its seed, have the same."""
    run, counts = curve.run, distinct_points(curve, axis)
    if run.seed is None:
        return
    keys = [(run.method, run.kind, run.seed, count) for count in counts]
    if taken := next((key for key in keys if key in places), None):
        raise CurveError(
            f'run {curve.place!r} is left out: run {places[taken]!r} too is {run.method}, {run.kind}, seed {run.seed}, '
            f'with a point at {axis} {taken[3]:g}: leave one out, or give them methods or seeds of their own'
        )
    places.update((key, curve.place) for key in keys)
