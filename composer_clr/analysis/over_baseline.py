"""Compares methods with a baseline on one kind of curve: at equal counts, at equal time, at equal accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from composer_clr.analysis.agreement import ranks
from composer_clr.analysis.differences import Differences, improvement
from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.analysis.resampling import Crossing, Speedup, crossings, pair_of, speedups_with_interval
from composer_clr.analysis.uncertainty import Seeds
from composer_clr.curves.curve import CurveError
from composer_clr.study.pooling import differing_pace

__all__ = ['MethodOverBaseline', 'OverBaseline', 'over_baseline']


@dataclass(frozen=True, eq=False)
class MethodOverBaseline:
    """One method's curve over the baseline's of the same kind; improvements above 0 favour the method.

    Attributes:
        curve (MeanCurve): The method's curve.
        at_equal_counts (Differences | None): Its improvement at each of its points; ``None`` where the curves do not
            overlap.
        at_equal_time (Differences | None): The same at the training time of each point.
        speedups (list[Speedup]): How many times sooner it reaches the value of each of the baseline's points.
        crossings_in_counts (list[Crossing]): The counts from which on one of the two is better than the other.
        crossings_in_time (list[Crossing]): The same in seconds of training.
        unlike_times (str | None): Why the times of the two are not comparable.
    """

    curve: MeanCurve
    at_equal_counts: Differences | None
    at_equal_time: Differences | None
    speedups: list[Speedup]
    crossings_in_counts: list[Crossing]
    crossings_in_time: list[Crossing]
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class OverBaseline:
    """All methods with curves of one kind.

    Attributes:
        kind (str): The kind of curve.
        baseline (MeanCurve): The baseline's curve.
        methods (dict[str, MethodOverBaseline]): The other methods.
        ranking (dict[float, list[list[str]]]): By count of the baseline's points, the methods that have a value there,
            best first; those that tie stand together.
    """

    kind: str
    baseline: MeanCurve
    methods: dict[str, MethodOverBaseline]
    ranking: dict[float, list[list[str]]]


def over_baseline(
    means: Mapping[tuple[str, str], MeanCurve],
    kind: str,
    baseline: str,
    alignment: Alignment = INTERPOLATED,
    *,
    lower_is_better: bool = False,
    scale: float = 1.0,
    seeds: Seeds = 'common',
) -> OverBaseline:
    """Compares all methods with curves of a kind with the baseline's.

    Args:
        means (Mapping[tuple[str, str], MeanCurve]): From :func:`mean_curves`.
        kind (str): The kind of curve.
        baseline (str): The method that improvements are over.
        alignment (Alignment): How points are paired at equal counts; its axis is not used. At equal time they are
            always interpolated. Default: interpolation.
        lower_is_better (bool): Whether less of the metric is better. Default: ``False``.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        seeds (str): ``'common'``: over the seeds that both have; ``'all'``: over all. Default: ``'common'``.

    Raises:
        CurveError: If the baseline has no curve of the kind.
    """
    of_kind = {method: curve for (method, its_kind), curve in means.items() if its_kind == kind}
    if baseline not in of_kind:
        raise CurveError(
            f'the baseline {baseline!r} has no {kind} runs: name them too, or choose another baseline '
            f'(there are {list(of_kind)})'
        )
    base = of_kind.pop(baseline)
    by_count = Alignment(alignment.of_cyclic().mode, tolerance=alignment.tolerance)
    # No two runs end at the same time.
    by_time = Alignment('interpolate', 'time')
    common = {'lower_is_better': lower_is_better, 'scale': scale, 'seeds': seeds}
    methods: dict[str, MethodOverBaseline] = {}
    scores: dict[float, dict[str, float]] = {count: {baseline: 0.0} for count in base.count.tolist()}
    for method, curve in of_kind.items():
        pair = pair_of(curve, base, seeds)
        methods[method] = MethodOverBaseline(
            curve,
            improvement(curve, base, curve.count, by_count, **common),
            improvement(curve, base, curve.time_s, by_time, counts=curve.count, **common),
            speedups_with_interval(pair, lower_is_better=lower_is_better),
            crossings(pair, by_time=False, lower_is_better=lower_is_better),
            crossings(pair, by_time=True, lower_is_better=lower_is_better),
            differing_pace([*base.timed, *curve.timed]),
        )
        at_base = improvement(curve, base, base.count, by_count, **common)
        if at_base is not None:
            for count, value in zip(at_base.count.tolist(), at_base.value.tolist(), strict=True):
                scores[count][method] = value
    ranking = {count: _ranked(at_count) for count, at_count in scores.items() if len(at_count) > 1}
    return OverBaseline(kind, base, methods, ranking)


def _ranked(scores: Mapping[str, float]) -> list[list[str]]:
    rank = np.array(ranks(list(scores.values())))
    return [[m for m, r in zip(scores, rank, strict=True) if r == place] for place in sorted(set(rank), reverse=True)]
