"""What all curves of a study answer to the same questions: how soon, how good within a budget, what nothing beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from composer_clr.analysis.mean_curve import MeanCurve, mean_curves
from composer_clr.analysis.queries import FrontierPoint, frontier, speedup, time_to_reach, value_within
from composer_clr.curves.axes import Axis, shown_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.kinds import kind_order
from composer_clr.curves.methods import BASELINE, study_baseline
from composer_clr.curves.metrics import default_metric, full_name, is_fraction, study_direction

__all__ = ['Answers', 'Budget', 'CurveAnswers', 'answer', 'answers_record']


class Budget(NamedTuple):
    """How much may be trained: seconds, epochs, batches, samples or tokens."""

    amount: float
    axis: Axis


@dataclass(frozen=True, eq=False)
class CurveAnswers:
    """One curve's answers; ``None`` where the question leads out of what was measured.

    Attributes:
        curve (MeanCurve): Whose they are.
        reached (tuple[float | None, ...]): :func:`time_to_reach` for each value asked for, along the axis.
        speedup (tuple[float | None, ...]): :func:`speedup` over the baseline's curve of the same kind, for each.
        value (tuple[float | None, ...]): :func:`value_within` for each budget asked for.
    """

    curve: MeanCurve
    reached: tuple[float | None, ...]
    speedup: tuple[float | None, ...]
    value: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of all curves.

    Attributes:
        metric (str): What was asked about; ``peak:`` before it for the best value near a point.
        baseline (str): The method that speedups are over.
        scale (float): 100 where the metric is a fraction, which people read in percent; else 1.
        reach (tuple[float, ...]): The values asked for.
        within (tuple[Budget, ...]): The budgets asked for.
        axis (str): What values are reached in: ``'time'``, or a count such as ``'token'``.
        curves (list[CurveAnswers]): By method, the baseline first, and by kind.
        frontier (list[FrontierPoint]): :func:`frontier` of all curves together.
    """

    metric: str
    baseline: str
    scale: float
    reach: tuple[float, ...]
    within: tuple[Budget, ...]
    axis: Axis
    curves: list[CurveAnswers]
    frontier: list[FrontierPoint]


def answer(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    reach: Sequence[float] = (),
    within: Sequence[tuple[float, Axis] | float] = (),
    axis: Axis | None = None,
    baseline: str = BASELINE,
    peak: bool = False,
    lower_is_better: bool | None = None,
) -> Answers:
    """Put the same questions to every curve: each method's and kind's, its seeds averaged.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        reach (Sequence[float]): How long to these values? In the metric's own unit, 0.75 for 75 percent.
        within (Sequence[tuple[float, str] | float]): How good within these budgets? Seconds, or an amount and its
            axis, such as ``(3e8, 'token')``; each above 0.
        axis (str | None): What to reach a value in. Default: ``None``, samples or tokens where the schedules were
            counted in them (:func:`default_axis`), else ``'time'``.
        baseline (str): The method that speedups are over. Default: ``'baseline'``.
        peak (bool): Whether to take the best value near each point. Default: ``False``.
        lower_is_better (bool | None): Default: ``None``, told from the metric's name.

    Raises:
        CurveError: If a value of a fraction is asked for above 1, no run is of a baseline that is named, and as for
            :func:`mean_curves`.
    """
    runs = [curve for curve in curves if curve.points]
    metric = full_name(runs, metric, peak=peak) if metric else default_metric(runs, peak=peak)
    baseline = study_baseline(runs, baseline)
    lower = study_direction(runs, metric, lower_is_better)
    axis = shown_axis(runs, axis)
    means = mean_curves(runs, metric, axis=None if axis == 'time' else axis, peak=peak)
    count = next(iter(means.values())).axis
    budgets = [Budget(*one) if isinstance(one, tuple) else Budget(one, 'time') for one in within]
    along = {on: mean_curves(runs, metric, axis=on, peak=peak) for _, on in budgets if on not in ('time', count)}
    values = [value for curve in means.values() for value in curve.value]
    fraction = is_fraction(metric, values)
    for target in reach:
        if not math.isfinite(target) or (fraction and target > 1):
            raise CurveError(f'no run can reach {target:g}: {metric} is a fraction here, write 0.75 or 75%')
    methods = list(dict.fromkeys(method for method, _ in means))
    if baseline not in (*methods, BASELINE):
        raise CurveError(f'no run is of the baseline {baseline!r}: choose one of {", ".join(methods)}')
    told = []
    for (_, kind), curve in sorted(means.items(), key=lambda item: _place(item[0], baseline, methods)):
        base = means.get((baseline, kind))
        along_axis: dict[str, bool] = {'lower_is_better': lower, 'counted': axis != 'time'}
        told.append(
            CurveAnswers(
                curve,
                tuple(time_to_reach(curve, target, **along_axis) for target in reach),
                tuple(base and speedup(curve, base, target, **along_axis) for target in reach),
                tuple(
                    value_within(
                        along.get(on, means)[curve.method, kind], amount, lower_is_better=lower, counted=on != 'time'
                    )
                    for amount, on in budgets
                ),
            )
        )
    return Answers(
        metric=f'peak:{metric}' if peak else metric,
        baseline=baseline,
        scale=100.0 if fraction else 1.0,
        reach=tuple(reach),
        within=tuple(budgets),
        axis=axis,
        curves=told,
        frontier=frontier(means.values(), lower_is_better=lower),
    )


def _place(key: tuple[str, str], baseline: str, methods: Sequence[str]) -> tuple[bool, int, tuple[bool, bool, str]]:
    """Sorts curves: the baseline first, the other methods as they appear; of each the standard one first."""
    method, kind = key
    return method != baseline, methods.index(method), kind_order(kind)


def answers_record(answers: Answers) -> dict[str, Any]:
    """Answers as strict JSON has them: what ``composer-clr ask --json`` writes. ``None`` is "not reached"."""
    return {
        'metric': answers.metric,
        'baseline': answers.baseline,
        'axis': answers.axis,
        'curves': [
            {
                'method': told.curve.method,
                'kind': told.curve.kind,
                'reach': [
                    {'value': value, _key(answers.axis): reached, 'speedup': times}
                    for value, reached, times in zip(answers.reach, told.reached, told.speedup, strict=True)
                ],
                'within': [
                    {_key(budget.axis): budget.amount, 'value': value}
                    for budget, value in zip(answers.within, told.value, strict=True)
                ],
            }
            for told in answers.curves
        ],
        'frontier': [
            {answers.curves[0].curve.axis if name == 'count' else name: value for name, value in vars(point).items()}
            for point in answers.frontier
        ],
    }


def _key(axis: str) -> str:
    return 'time_s' if axis == 'time' else axis
