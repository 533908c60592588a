"""Second sets of metrics, such as those of averaged weights, as curves of their own kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint

__all__ = ['METRIC_SETS', 'with_metric_sets']

# Prefixes of the label where an evaluator ran on other weights than those in training.
METRIC_SETS = ('averaged', 'fast-cycles', 'plain')


def with_metric_sets(curves: Iterable[TradeoffCurve]) -> list[TradeoffCurve]:
    """Returns the curves, and after each a further one for every second set of metrics, of the points that have it.

    The further curve is of the kind ``{kind}-{set}``, such as ``cyclic-averaged``, and its metrics have the plain
    names, so that it is compared with the plain ones and drawn beside them. Its times are those of the same run; where
    a set took training of its own, each point is a branch off the run, with the time and batches of both.

    Example:
        >>> from composer_clr.curves.curve import Run, TradeoffPoint
        >>> both = {'eval/accuracy': 0.7, 'averaged/eval/accuracy': 0.8}
        >>> point = TradeoffPoint(0, 16.0, 100, 0, 0, 60.0, 61.0, 0.0, both, both)
        >>> of_average = with_metric_sets([TradeoffCurve(Run('demo', 'cyclic', 'baseline'), [point])])[1]
        >>> of_average.run.kind, of_average.points[0].metrics
        ('cyclic-averaged', {'eval/accuracy': 0.8})
    """
    expanded = []
    for curve in curves:
        expanded.append(curve)
        for name in METRIC_SETS:
            points = [
                replace(point, metrics=metrics, peak_metrics=_of_set(point.peak_metrics, name))
                for point in curve.points
                if (metrics := _of_set(point.metrics, name))
            ]
            if not points:
                continue
            run = replace(curve.run, kind=f'{curve.run.kind}-{name}')
            if any(name in point.extra for point in points):
                expanded.extend(_branch(run, point, point.extra.get(name, {})) for point in points)
            else:
                expanded.append(replace(curve, run=run, points=points))
                expanded[-1].source = curve.source
    return expanded


def _branch(run: Run, point: TradeoffPoint, extra: dict[str, float]) -> TradeoffCurve:
    counts = {axis: getattr(point, axis) for axis in ('epoch', 'batch', 'sample', 'token')}
    parent = {'run_name': run.run_name, **counts, 'wall_clock_train_s': point.wall_clock_train_s}
    time_s = point.wall_clock_train_s + extra.get('train_s', 0.0)
    reached = replace(point, wall_clock_train_s=time_s, batch=point.batch + round(extra.get('batches', 0)))
    return TradeoffCurve(replace(run, run_name=f'{run.run_name}-cycle{point.cycle}', parent=parent), [reached])


def _of_set(metrics: dict[str, float], name: str) -> dict[str, float]:
    return {key.removeprefix(f'{name}/'): value for key, value in metrics.items() if key.startswith(f'{name}/')}
