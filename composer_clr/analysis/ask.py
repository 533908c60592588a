"""What all curves of a study answer to the same questions: how soon, how good within a budget, what nothing beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from composer_clr.analysis.mean_curve import MeanCurve, mean_curves
from composer_clr.analysis.queries import FrontierPoint, frontier, speedup, time_to_reach, value_within
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.kinds import kind_order
from composer_clr.curves.methods import BASELINE
from composer_clr.curves.metrics import default_metric, is_fraction, study_direction

__all__ = ['Answers', 'CurveAnswers', 'answer', 'answers_record']


@dataclass(frozen=True, eq=False)
class CurveAnswers:
    """One curve's answers; ``None`` where the question leads out of what was measured.

    Attributes:
        curve (MeanCurve): Whose they are.
        time_s (tuple[float | None, ...]): :func:`time_to_reach` for each value asked for.
        speedup (tuple[float | None, ...]): :func:`speedup` over the baseline's curve of the same kind, for each.
        value (tuple[float | None, ...]): :func:`value_within` for each time asked for.
    """

    curve: MeanCurve
    time_s: tuple[float | None, ...]
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
        within_s (tuple[float, ...]): The times asked for, in seconds.
        curves (list[CurveAnswers]): By method, the baseline first, and by kind.
        frontier (list[FrontierPoint]): :func:`frontier` of all curves together.
    """

    metric: str
    baseline: str
    scale: float
    reach: tuple[float, ...]
    within_s: tuple[float, ...]
    curves: list[CurveAnswers]
    frontier: list[FrontierPoint]


def answer(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    reach: Sequence[float] = (),
    within_s: Sequence[float] = (),
    baseline: str = BASELINE,
    peak: bool = False,
    lower_is_better: bool | None = None,
) -> Answers:
    """Put the same questions to every curve: each method's and kind's, its seeds averaged.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        reach (Sequence[float]): How long to these values? In the metric's own unit, 0.75 for 75 percent.
        within_s (Sequence[float]): How good within these seconds of training? Each above 0.
        baseline (str): The method that speedups are over. Default: ``'baseline'``.
        peak (bool): Whether to take the best value near each point. Default: ``False``.
        lower_is_better (bool | None): Default: ``None``, told from the metric's name.

    Raises:
        CurveError: If a value of a fraction is asked for above 1, no run is of a baseline that is named, and as for
            :func:`mean_curves`.
    """
    runs = [curve for curve in curves if curve.points]
    metric = metric or default_metric(runs, peak=peak)
    lower = study_direction(runs, metric, lower_is_better)
    means = mean_curves(runs, metric, peak=peak)
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
        told.append(
            CurveAnswers(
                curve,
                tuple(time_to_reach(curve, target, lower_is_better=lower) for target in reach),
                tuple(base and speedup(curve, base, target, lower_is_better=lower) for target in reach),
                tuple(value_within(curve, time_s, lower_is_better=lower) for time_s in within_s),
            )
        )
    return Answers(
        metric=f'peak:{metric}' if peak else metric,
        baseline=baseline,
        scale=100.0 if fraction else 1.0,
        reach=tuple(reach),
        within_s=tuple(within_s),
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
        'curves': [
            {
                'method': told.curve.method,
                'kind': told.curve.kind,
                'reach': [
                    {'value': value, 'time_s': time_s, 'speedup': times}
                    for value, time_s, times in zip(answers.reach, told.time_s, told.speedup, strict=True)
                ],
                'within': [
                    {'time_s': time_s, 'value': value}
                    for time_s, value in zip(answers.within_s, told.value, strict=True)
                ],
            }
            for told in answers.curves
        ],
        'frontier': [vars(point) for point in answers.frontier],
    }
