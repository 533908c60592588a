"""Answers the same queries for all curves of a study: times to values, best values within budgets, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from composer_clr.analysis.comparison_record import bound_record, speedup_record
from composer_clr.analysis.mean_curve import MeanCurve, mean_curves
from composer_clr.analysis.queries import Answer, FrontierPoint, frontier, time_to_reach, value_within
from composer_clr.analysis.resampling import Speedup, pair_of, speedups_with_interval
from composer_clr.analysis.uncertainty import Seeds
from composer_clr.curves.axes import Axis, shown_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import default_metric, full_name, is_percentage, study_direction, study_is_fraction
from composer_clr.curves.names import BASELINE, kind_order, study_baseline
from composer_clr.study.pooling import differing_pace

__all__ = ['Answers', 'Budget', 'CurveAnswers', 'answer', 'answers_record']


class Budget(NamedTuple):
    """A budget: an amount of seconds, epochs, batches, samples or tokens."""

    amount: float
    axis: Axis


@dataclass(frozen=True, eq=False)
class CurveAnswers:
    """One curve's answers.

    Attributes:
        curve (MeanCurve): The curve.
        reached (tuple[Answer, ...]): :func:`time_to_reach` for each value of ``reach``, along the axis.
        speedups (tuple[Speedup | None, ...]): The speedup over the baseline's curve of the same kind for each;
            ``None`` without such a curve.
        values (tuple[Answer, ...]): :func:`value_within` for each budget.
        unlike_times (str | None): Why the times of its runs, or of these and the baseline's, are not comparable.
        reached_counts (tuple[Answer, ...]): As ``reached``, in what the curve counts; empty where times are comparable,
            or not asked for.
    """

    curve: MeanCurve
    reached: tuple[Answer, ...]
    speedups: tuple[Speedup | None, ...]
    values: tuple[Answer, ...]
    unlike_times: str | None
    reached_counts: tuple[Answer, ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of all curves.

    Attributes:
        metric (str): The metric; with ``peak:`` before it for the best value near a point.
        baseline (str): The method that speedups are over.
        scale (float): 100 where the metric is a fraction, which is shown in percent; else 1.
        lower_is_better (bool): Whether less is better.
        reach (tuple[float, ...]): The values to reach.
        within (tuple[Budget, ...]): The budgets.
        axis (str): What values are reached in: ``'time'``, or a count such as ``'token'``.
        curves (list[CurveAnswers]): By method, the baseline first, and by kind.
        frontier (list[FrontierPoint]): :func:`frontier` of all curves together.
        warning (str | None): Why times are not comparable.
    """

    metric: str
    baseline: str
    scale: float
    lower_is_better: bool
    reach: tuple[float, ...]
    within: tuple[Budget, ...]
    axis: Axis
    curves: list[CurveAnswers]
    frontier: list[FrontierPoint]
    warning: str | None = None


def answer(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    reach: Sequence[float | str] = (),
    within: Sequence[tuple[float, Axis] | float] = (),
    axis: Axis | None = None,
    baseline: str = BASELINE,
    peak: bool = False,
    lower_is_better: bool | None = None,
    seeds: Seeds = 'common',
) -> Answers:
    """Answers the same queries for every curve: each method's and kind's, averaged over seeds.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        reach (Sequence[float | str]): The values to reach, in the metric's own unit; ``'75%'`` is 0.75 of a fraction,
            and 75 where the data are in percent.
        within (Sequence[tuple[float, str] | float]): The budgets, each above 0: seconds, or an amount and its axis,
            such as ``(3e8, 'token')``.
        axis (str | None): What to reach a value in. Default: ``None``, samples or tokens where the schedules were
            counted in them (:func:`default_axis`), else ``'time'``.
        baseline (str): The method that speedups are over. Default: ``'baseline'``.
        peak (bool): Use the best value near each point. Default: ``False``.
        lower_is_better (bool | None): Whether less is better. Default: ``None``, as :func:`study_direction` finds it.
        seeds (str): ``'common'``: speedups are over the seeds that both curves have; ``'all'``: over all of either.
            Default: ``'common'``.

    Raises:
        CurveError: If a value to reach is in another unit than the data, no run is of a baseline that is named, and as
            for :func:`mean_curves`.
    """
    runs = [curve for curve in curves if curve.points]
    metric = full_name(runs, metric, peak=peak) if metric else default_metric(runs, peak=peak)
    baseline = study_baseline(runs, baseline)
    lower = study_direction(runs, metric, lower_is_better)
    fraction = study_is_fraction(runs, metric, peak=peak)
    axis = shown_axis(runs, axis)
    means = mean_curves(runs, metric, axis=None if axis == 'time' else axis, peak=peak)
    budgets = [Budget(*one) if isinstance(one, tuple) else Budget(one, 'time') for one in within]
    along = {
        on: mean_curves(runs, metric, axis=on, peak=peak)
        for _, on in budgets
        if on != 'time' and any(curve.axis != on for curve in means.values())
    }
    counted, warning = axis != 'time', differing_pace(runs)
    lowest = min(float(curve.value.min()) for curve in means.values())
    targets = [_target(asked, metric, fraction=fraction, lowest=lowest) for asked in reach]
    methods = list(dict.fromkeys(method for method, _ in means))
    if baseline not in (*methods, BASELINE):
        raise CurveError(f'no run is of the baseline {baseline!r}: choose one of {", ".join(methods)}')
    answers = []
    for (_, kind), curve in sorted(means.items(), key=lambda item: _place(item[0], baseline, methods)):
        base = means.get((baseline, kind))
        timed = [*(() if base is None else base.timed), *curve.timed]
        pair = None if base is None else pair_of(curve, base, seeds)
        answers.append(
            CurveAnswers(
                curve,
                tuple(time_to_reach(curve, target, lower_is_better=lower, counted=counted) for target in targets),
                tuple(speedups_with_interval(pair, targets, lower_is_better=lower, counted=counted))
                if pair
                else (None,) * len(targets),
                tuple(
                    value_within(
                        along.get(on, means)[curve.method, kind], amount, lower_is_better=lower, counted=on != 'time'
                    )
                    for amount, on in budgets
                ),
                differing_pace(timed),
                tuple(time_to_reach(curve, target, lower_is_better=lower, counted=True) for target in targets)
                if warning and not counted
                else (),
            )
        )
    return Answers(
        metric=f'peak:{metric}' if peak else metric,
        baseline=baseline,
        scale=100.0 if fraction else 1.0,
        lower_is_better=lower,
        reach=tuple(targets),
        within=tuple(budgets),
        axis=axis,
        curves=answers,
        frontier=frontier(means.values(), lower_is_better=lower),
        warning=warning,
    )


def _target(asked: float | str, metric: str, *, fraction: bool, lowest: float) -> float:
    """Returns a value to reach in the unit of the data."""
    text = f'{asked:g}' if isinstance(asked, (int, float)) else asked.strip()
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
        ``'reached'``, ``'bound'`` or ``'not reached'``, and ``bound`` is such as ``{'<=': 3294.0}``. Where times are
        not comparable, ``unlike_times`` says why, and what is reached has its count, such as ``epoch``, too.
    """
    return {
        'metric': answers.metric,
        'direction': 'min' if answers.lower_is_better else 'max',
        'baseline': answers.baseline,
        'axis': answers.axis,
        'curves': [
            {
                'method': found.curve.method,
                'kind': found.curve.kind,
                'reach': [
                    {
                        'value': value,
                        _key(answers.axis): reached.exact,
                        'state': reached.state,
                        'bound': bound_record(reached),
                        **_speedup_keys(speedup),
                        **({found.curve.axis: found.reached_counts[i].exact} if found.reached_counts else {}),
                    }
                    for i, (value, reached, speedup) in enumerate(
                        zip(answers.reach, found.reached, found.speedups, strict=True)
                    )
                ],
                'within': [
                    {
                        _key(budget.axis): budget.amount,
                        'value': best.exact,
                        'state': best.state,
                        'bound': bound_record(best),
                    }
                    for budget, best in zip(answers.within, found.values, strict=True)
                ],
                'unlike_times': found.unlike_times,
            }
            for found in answers.curves
        ],
        'frontier': [
            {
                'method': point.method,
                'kind': point.kind,
                point.axis: point.count,
                'time_s': point.time_s,
                'value': point.value,
            }
            for point in answers.frontier
        ],
        'warning': answers.warning,
    }


def _key(axis: str) -> str:
    return 'time_s' if axis == 'time' else axis


def _speedup_keys(speedup: Speedup | None) -> dict[str, Any]:
    if speedup is None:
        return {'speedup': None, 'speedup_state': None, 'speedup_bound': None, 'speedup_interval': None, 'seeds': None}
    written = speedup_record(speedup)
    return {
        'speedup': written['speedup'],
        'speedup_state': written['state'],
        'speedup_bound': written['bound'],
        'speedup_interval': written['interval'],
        'seeds': written['seeds'],
    }
