"""Selects the points and runs that can be compared, and says of each other one why it is left out."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
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
_WORD = re.compile(r'[A-Z]?[a-z]+')


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
    metric = metric or default_metric(with_points, peak=peak)
    with_points, metric = _of_full_name(with_points, metric, peak)
    with_points, unmeasured = _that_measure(with_points, metric, peak)
    errors.extend(unmeasured)
    if errors and strict:
        raise errors[0]
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


def _of_full_name(curves: Sequence[TradeoffCurve], metric: str, peak: bool) -> tuple[list[TradeoffCurve], str]:
    """Returns runs and a metric by its full name, of which the evaluator's label may be left out if only one has it.

    Runs that record it without a label, as other logs do beside one's own, then have it by that name too.
    """
    named = [set().union(*(measured(point, peak) for point in curve.points)) for curve in curves]
    names = sorted(set().union(*named))
    other_weights = tuple(f'{name}/' for name in METRIC_SETS)
    found = [name for name in names if name.endswith(f'/{metric}') and not name.startswith(other_weights)]
    if all(metric in of_curve for of_curve in named) or (metric in names and len(found) != 1):
        return list(curves), metric
    if len(found) > 1:
        raise CurveError(f'{metric}: several evaluators have it: name one of {listed(found)}')
    if names and not found and metric not in names:
        raise CurveError(f'no run has the metric {metric!r}, only {listed(names)}{_near(metric, names)}')
    if not found:
        return list(curves), metric
    return [
        curve if found[0] in of_curve or metric not in of_curve else _renamed(curve, metric, found[0])
        for curve, of_curve in zip(curves, named, strict=True)
    ], found[0]


def _near(metric: str, names: Sequence[str]) -> str:
    """Returns a suggestion: the metric of which the name, or a word of it, is spelled most alike."""
    spelled = {part.lower(): name for name in names for part in (*_WORD.findall(name), name.rpartition('/')[2], name)}
    close = difflib.get_close_matches(metric.lower(), spelled, n=1, cutoff=0.75)
    return f', did you mean {spelled[close[0]]!r}?' if close else ''


def _renamed(curve: TradeoffCurve, metric: str, name: str) -> TradeoffCurve:
    def of(metrics: dict[str, float]) -> dict[str, float]:
        return {name if key == metric else key: value for key, value in metrics.items()}

    return curve.of_points(
        replace(point, metrics=of(point.metrics), peak_metrics=of(point.peak_metrics)) for point in curve.points
    )


def _that_measure(
    curves: Iterable[TradeoffCurve], metric: str, peak: bool
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Returns the runs that have a metric at any point, and an error for all others that have the same metrics."""
    kept, without = [], defaultdict(list)
    for curve in curves:
        names = set().union(*(measured(point, peak) for point in curve.points))
        if metric in names or not names or all(point.diverged or point.stopped for point in curve.points):
            kept.append(curve)
        else:
            without[tuple(sorted(names))].append(curve)
    errors = []
    for names, runs in without.items():
        places = list(dict.fromkeys(repr(curve.place) for curve in runs))
        who = f'run {places[0]} has' if len(places) == 1 else f'{len(places)} runs have'
        which = '' if len(places) == 1 else f' ({listed(places, 3)})'
        short = metric.rpartition('/')[2]
        cure = f'--metric {short} takes both' if short in names else 'name one that all have (--metric), or rename it'
        label = f'peak:{metric}' if peak else metric
        errors.append(CurveError(f'{who} no metric {label!r}, only {listed(names)}: {cure}{which}'))
    return kept, errors


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
