"""Answers the same queries for all curves of a study: times to values, best values within budgets, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from composer_clr.curves.axes import Axis, check_axis, default_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import is_percentage
from composer_clr.curves.names import BASELINE, kind_order
from composer_clr.study.curve import Curve
from composer_clr.study.pooling import differing_pace
from composer_clr.study.reach import Answer, FrontierPoint, Speedup, frontier, speedups, times_to, value_within
from composer_clr.study.record import answer_record, plain, speedup_record
from composer_clr.study.table import Study

__all__ = ['Answers', 'Budget', 'CurveAnswers', 'answer', 'answers_record']


class Budget(NamedTuple):
    """A budget: an amount of seconds, epochs, batches, samples or tokens."""

    amount: float
    axis: Axis


@dataclass(frozen=True, eq=False)
class CurveAnswers:
    """One curve's answers: for each value, when it first reaches it and the speedup; and the best within each budget.

    A speedup is ``None`` where the baseline has no curve of the kind. ``reached_counts`` are in what the curve counts,
    empty where times are comparable or not asked for; ``unlike_times`` says why they are not.
    """

    curve: Curve
    reached: list[Answer]
    speedups: Sequence[Speedup | None]
    values: list[Answer]
    unlike_times: str | None
    reached_counts: list[Answer]

    @property
    def speedup_answers(self) -> list[Answer]:
        """The speedups that there are."""
        return [one.answer for one in self.speedups if one is not None]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of all curves, by method, the baseline first, and by kind.

    Values to ``reach`` are in the metric's own unit, along ``axis``: ``'time'``, or a count such as ``'token'``.
    ``frontier`` is that of all curves together; ``warning`` says why times are not comparable.
    """

    study: Study
    reach: list[float]
    within: list[Budget]
    axis: Axis
    curves: list[CurveAnswers]
    frontier: list[FrontierPoint]
    warning: str | None


def answer(
    runs: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    reach: Sequence[float | str] = (),
    within: Sequence[tuple[float, Axis] | float] = (),
    axis: Axis | None = None,
    **options: Any,
) -> Answers:
    """Answers the same queries for every curve: each method's and kind's, over its seeds.

    Args:
        runs (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        reach (Sequence[float | str]): The values to reach, in the metric's own unit; ``'75%'`` is 0.75 of a fraction,
            and 75 where the data are in percent.
        within (Sequence[tuple[float, str] | float]): The budgets, each above 0: seconds, or an amount and its axis,
            such as ``(3e8, 'token')``.
        axis (str | None): What to reach a value in. Default: ``None``, samples or tokens where the schedules were
            counted in them (:func:`default_axis`), else ``'time'``.
        **options: ``baseline``, ``peak``, ``lower_is_better``, ``all_seeds`` and ``strict`` of :meth:`Study.of`.

    Raises:
        CurveError: If a value to reach is in another unit than the data, no run is of a baseline that is named, and as
            for :meth:`Study.of`.
    """
    runs = list(runs)
    with_points = [run for run in runs if run.points]
    some_without_epochs = len({point.epoch is None for run in runs for point in run.points}) > 1
    if axis is not None:
        check_axis(with_points, axis)
    elif some_without_epochs and all(run.is_timed for run in with_points):
        axis = 'time'
    else:
        by_count = (counted := default_axis(with_points)) in ('sample', 'token')
        axis = counted if by_count or not all(run.is_timed for run in with_points) else 'time'
    study = Study.of(runs, metric, axis='batch' if axis == 'time' and some_without_epochs else axis, **options)
    methods = list(dict.fromkeys(method for method, _ in study.curves))
    if study.baseline not in (*methods, BASELINE):
        raise CurveError(f'no run is of the baseline {study.baseline!r}: choose one of {", ".join(methods)}')
    budgets = [Budget(*one) if isinstance(one, tuple) else Budget(one, 'time') for one in within]
    axes = dict.fromkeys(on for _, on in budgets)
    for on in (axis, *axes):
        if on != 'time' or not study.is_timed:
            check_axis(runs, on)
    along = {on: study if on in ('time', study.axis) else Study.of(runs, metric, axis=on, **options) for on in axes}
    targets = [_target(asked, study) for asked in reach]
    warning = differing_pace(run for curve in study.curves.values() for run in curve.timed)
    answers = []
    for method, kind in sorted(study.curves, key=lambda key: _place(key, study.baseline, methods)):
        curve, base = study.curves[method, kind], study.curves.get((study.baseline, kind))
        answers.append(
            CurveAnswers(
                curve,
                times_to(curve, targets, axis),
                [None] * len(targets) if base is None else speedups(curve, base, targets, axis=axis),
                [value_within(along[on].curves[method, kind], amount, on) for amount, on in budgets],
                differing_pace([*(() if base is None else base.timed), *curve.timed]),
                times_to(curve, targets, curve.axis) if warning and axis == 'time' else [],
            )
        )
    best = frontier(study.curves.values()) if study.is_timed else []
    return Answers(study, targets, budgets, axis, answers, best, warning)


def _target(asked: float | str, study: Study) -> float:
    """Returns a value to reach in the unit of the data."""
    text = f'{asked:g}' if isinstance(asked, (int, float)) else asked.strip()
    metric, fraction = study.metric.removeprefix('peak:'), study.scale == 100
    try:
        value = float(text.removesuffix('%'))
    except ValueError as error:
        raise CurveError(f'--reach {text}: must be a number, such as 0.75 or 75%') from error
    if text.endswith('%'):
        if not fraction and not is_percentage(metric):
            raise CurveError(f'--reach {text}: {metric} is not a percentage, write {value:g} or {value / 100:g}')
        value = value / 100 if fraction else value
    elif not isinstance(asked, str):
        value = float(asked)
    if not math.isfinite(value):
        raise CurveError(f'--reach {text}: must be a finite number')
    if fraction and value > 1:
        raise CurveError(f'no run can reach {text}: {metric} is a fraction here, write 0.75 or 75%')
    lowest = min(float(curve.mean().min()) for curve in study.curves.values())
    if not fraction and is_percentage(metric) and '%' not in text and 0 < value <= 1 < lowest:
        raise CurveError(f'--reach {text}: {metric} is in percent here, write {100 * value:g} or {100 * value:g}%')
    return value


def _place(key: tuple[str, str], baseline: str, methods: Sequence[str]) -> tuple[bool, int, tuple[bool, bool, str]]:
    """Returns the key that sorts curves: the baseline first, the other methods as they appear; then by kind."""
    method, kind = key
    return method != baseline, methods.index(method), kind_order(kind)


def answers_record(answers: Answers) -> dict[str, Any]:
    """Returns answers as strict JSON has them: what ``composer-clr ask --json`` writes.

    Returns:
        dict: ``time_s``, ``speedup`` and ``value`` are ``null`` unless they lie in the measured range. ``state`` is
        ``'reached'``, ``'bound'`` or ``'not reached'``, and ``bound`` is such as ``{'<=': 3294.0}``; the upper end of
        an interval is ``null`` where the curve ends within it. Where times are not comparable, ``unlike_times`` says
        why, and what is reached has its count, such as ``epoch``, too.
    """
    study = answers.study
    written = {
        'metric': study.metric,
        'direction': 'min' if study.lower_is_better else 'max',
        'baseline': study.baseline,
        'axis': answers.axis,
        'curves': [_curve_record(answers, found) for found in answers.curves],
        'frontier': [
            {
                **{'method': point.method, 'kind': point.kind, point.axis: point.count},
                **{'time_s': point.time_s, 'value': point.value, 'decided': point.decided},
            }
            for point in answers.frontier
        ],
        'warning': answers.warning,
        'seed_notes': study.notes,
    }
    return plain(written)


def _curve_record(answers: Answers, found: CurveAnswers) -> dict[str, Any]:
    counts = found.reached_counts or [None] * len(answers.reach)
    return {
        'method': found.curve.method,
        'kind': found.curve.kind,
        'reach': [
            {
                'value': value,
                _key(answers.axis): reached.exact,
                **answer_record(reached),
                **_speedup_keys(speedup),
                **({} if count is None else {found.curve.axis: count.exact}),
            }
            for value, reached, speedup, count in zip(answers.reach, found.reached, found.speedups, counts, strict=True)
        ],
        'within': [
            {_key(on): amount, 'value': best.exact, **answer_record(best)}
            for (amount, on), best in zip(answers.within, found.values, strict=True)
        ],
        'unlike_times': found.unlike_times,
    }


def _key(axis: str) -> str:
    return 'time_s' if axis == 'time' else axis


def _speedup_keys(speedup: Speedup | None) -> dict[str, Any]:
    written = {} if speedup is None else speedup_record(speedup)
    names = {'speedup': 'speedup', 'speedup_state': 'state', 'speedup_bound': 'bound', 'speedup_interval': 'interval'}
    return {name: written.get(key) for name, key in names.items()} | {'speedup_seeds': written.get('seeds')}
