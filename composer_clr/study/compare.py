"""Compares the curves of a study: one-run curves with the standard ones, and methods with a baseline."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import LOG, STANDARD, kind_order
from composer_clr.schedule.cycles import cost_ratio
from composer_clr.study.agreement import cosine_similarity, kendall_tau, ranking
from composer_clr.study.alignment import Alignment
from composer_clr.study.cost import Cost, study_cost
from composer_clr.study.curve import Curve
from composer_clr.study.differences import Differences, gap, improvement, leads
from composer_clr.study.estimates import Array, Estimates
from composer_clr.study.pooling import differing_pace
from composer_clr.study.reach import Crossing, Speedup, crossings, speedups
from composer_clr.study.table import Study
from composer_clr.study.verdicts import Verdict, verdicts

__all__ = [
    'Comparison',
    'KindComparison',
    'MethodComparison',
    'MethodOverBaseline',
    'compare',
    'gaps',
    'improvements',
]


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """One method's curve of a kind beside its standard one.

    ``improvement`` is the counts at which improvements over the baseline are known on both curves, and the improvements
    on either, of which ``cosine`` is the similarity; ``unlike_times`` says why the times are not comparable.
    """

    gap: Differences
    improvement: tuple[Array, Array, Array]
    cosine: Estimates | None
    cost: Cost
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class MethodOverBaseline:
    """One method's curve over the baseline's of the same kind; improvements above 0 favour the method.

    Improvements and verdicts are at each of its points, at its count or its training time; ``None`` if they do not
    overlap. The means of both are over the points that both have, if there are any; that of all points at equal counts
    is their ``mean_of_all``, which no noise of a time moves. Speedups are to the values of the
    baseline's points. Crossings are by axis: what the curves count, and ``'time'``.
    """

    at_equal_counts: Differences | None
    at_equal_time: Differences | None
    verdicts: list[Verdict]
    speedups: list[Speedup]
    crossings: dict[str, list[Crossing]]
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class KindComparison:
    """The curves of one kind, compared with the standard ones and with the baseline's.

    By method: ``methods`` that have a standard curve too, the baseline first; why others are ``skipped``; and all
    ``over_baseline``. By count of the baseline's points: ``taus``, of both kinds' rankings of the methods; and the
    ``ranking``, best first, in which those that tie stand together.
    """

    formula_cost_ratio: float | None = None
    methods: dict[str, MethodComparison] = field(default_factory=dict)
    taus: dict[float, Estimates | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    over_baseline: dict[str, MethodOverBaseline] = field(default_factory=dict)
    ranking: dict[float, list[list[str]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A whole study, compared by kind, standard first; and why kinds could not be compared with the standard one."""

    study: Study
    alignment: Alignment
    kinds: dict[str, KindComparison]
    left_out: dict[str, str]


def compare(study: Study, alignment: Alignment | None = None, *, strict: bool = True) -> Comparison:
    """Compares methods with the baseline on every kind of curve, and kinds with the standard one if there is one.

    Args:
        study (Study): The study.
        alignment (Alignment | None): How points are paired. Default: ``None``, interpolation in the log of what the
            schedules were counted in.
        strict (bool): Whether a kind or method that cannot be compared raises. Default: ``True``.

    Raises:
        CurveError: If nothing can be compared; with ``strict``, if a kind or a method cannot.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3 and figure 3.
    """
    alignment = alignment or Alignment()
    kinds = sorted({kind for _, kind in study.curves}, key=kind_order)
    compared: dict[str, KindComparison] = {}
    left_out: dict[str, str] = {}
    for kind in kinds:
        found = KindComparison()
        if kind != STANDARD and STANDARD in kinds:
            try:
                found = _with_standard(study, kind, alignment, strict)
            except CurveError as error:
                if strict:
                    raise
                left_out[kind] = str(error)
        found = replace(found, **_over_baseline(study, kind, alignment))
        if found.methods or found.over_baseline:
            compared[kind] = found
    if not compared:
        methods = list(dict.fromkeys(method for method, _ in study.curves))
        reason = next(iter(left_out.values()), '')
        if study.baseline not in methods:
            reason = f'no run is of the baseline {study.baseline!r}: choose one of {", ".join(methods)} with --baseline'
        raise CurveError(
            reason
            or f'nothing to compare: {study.baseline!r} has {", ".join(kinds)} runs and no other method or kind beside '
            'them: name runs of another method, or standard runs'
        )
    return Comparison(study, alignment, compared, left_out)


def gaps(study: Study, alignment: Alignment | None = None) -> dict[tuple[str, str], Differences]:
    """Returns the gap of each curve that is not a standard one to the standard one of its method.

    Curves of methods without standard runs are left out with a warning.

    Raises:
        CurveError: If nothing is left; if a curve has no point in common with the standard one.
    """
    others = {key: curve for key, curve in study.curves.items() if key[1] != STANDARD}
    if not others:
        raise CurveError('all runs are standard: name runs of another kind too, whose gap is to be drawn')
    paired = {key: curve for key, curve in others.items() if (curve.method, STANDARD) in study.curves}
    alone = [f'{curve}: {curve.method!r} has no standard runs' for key, curve in others.items() if key not in paired]
    if not paired:
        raise CurveError(f'{alone[0]}: name them too, or choose other methods')
    if alone:
        warnings.warn(f'left out: {"; ".join(alone)}', UserWarning, stacklevel=2)
    how = alignment or Alignment()
    return {key: gap(curve, study.curves[curve.method, STANDARD], how) for key, curve in paired.items()}


def improvements(study: Study, alignment: Alignment | None = None) -> dict[tuple[str, str], Differences]:
    """Returns the improvement of each method over the baseline on each kind of curve, at each of its points.

    Raises:
        CurveError: If there is no other method; if the baseline has no curve of a kind, or no point in common with one.
    """
    how, found = alignment or Alignment(), {}
    for (method, kind), curve in study.curves.items():
        if method == study.baseline:
            continue
        if (study.baseline, kind) not in study.curves:
            raise CurveError(
                f'{curve}: the baseline {study.baseline!r} has no {kind} runs: name them too, or another baseline'
            )
        improved = improvement(curve, study.curves[study.baseline, kind], how)
        if improved is None:
            raise CurveError(
                f'{curve}: no point can be compared with the baseline: train both to similar {how.axis or curve.axis}s'
            )
        found[method, kind] = improved
    if not found:
        raise CurveError(f'all runs are of the baseline {study.baseline!r}: name those of another method too')
    return found


def _with_standard(study: Study, kind: str, alignment: Alignment, strict: bool) -> KindComparison:
    compared: dict[str, MethodComparison] = {}
    skipped: dict[str, str] = {}
    pairs: dict[str, tuple[Curve, Curve]] = {}
    for method in dict.fromkeys([study.baseline, *(method for method, _ in study.curves)]):
        try:
            pair = _both_kinds(study, method, kind)
            compared[method] = _compared(pair, pairs.get(study.baseline, pair), alignment)
            pairs[method] = pair
        except CurveError as error:
            if method == study.baseline or (strict and not isinstance(error, _Missing)):
                raise
            skipped[method] = str(error)
    base, _ = pairs[study.baseline]
    ranked = [
        leads(of_kind, base.positions(alignment.axis), alignment) for of_kind in zip(*pairs.values(), strict=True)
    ]
    return KindComparison(
        formula_cost_ratio=cost_ratio(compared[study.baseline].cost.count.tolist()),
        methods=compared,
        taus={count: kendall_tau(ranked, i) for i, count in enumerate(base.count.tolist())},
        skipped=skipped,
    )


class _Missing(CurveError):
    """A method without one of the two kinds of curve."""


def _both_kinds(study: Study, method: str, kind: str) -> tuple[Curve, Curve]:
    missing = sorted({kind, STANDARD} - {its_kind for its_method, its_kind in study.curves if its_method == method})
    if missing and method == study.baseline:
        others = list(dict.fromkeys(other for other, _ in study.curves if other != method))
        cure = f'name them too, or choose another baseline (there are {others})'
        if kind == LOG:
            cure = 'plot and ask show a log beside them, and compare compares it with a log of that method'
        raise CurveError(f'the baseline {method!r} has no {" and no ".join(missing)} runs: {cure}')
    if missing:
        raise _Missing(f'no {" and no ".join(missing)} runs')
    both = study.curves[method, kind], study.curves[method, STANDARD]
    for curve in both:
        if len(curve.count) < 2:
            raise CurveError(f'{curve}: only one point: a curve needs two, train more durations')
    return both


def _compared(pair: tuple[Curve, Curve], base: tuple[Curve, Curve], how: Alignment) -> MethodComparison:
    cyclic, standard = pair
    of_curve, cost = gap(cyclic, standard, how), study_cost(cyclic, standard, how)
    improved, cosine = (np.array([]), np.array([]), np.array([])), None
    on_cyclic, on_standard = (improvement(one, over, how, at=cyclic) for one, over in zip(pair, base, strict=True))
    if on_cyclic is not None and on_standard is not None:
        count, i, j = np.intersect1d(on_cyclic.count, on_standard.count, return_indices=True)
        improved = count, on_cyclic.each.value[i], on_standard.each.value[j]
        if pair is not base:
            cosine = cosine_similarity(on_cyclic.figures[i], on_standard.figures[j])
    return MethodComparison(of_curve, improved, cosine, cost, differing_pace([*standard.timed, *cyclic.timed]))


def _over_baseline(study: Study, kind: str, alignment: Alignment) -> dict[str, Any]:
    """Returns ``over_baseline`` and ``ranking`` of a :class:`KindComparison`; nothing if the baseline has no curve."""
    of_kind = {method: curve for (method, its_kind), curve in study.curves.items() if its_kind == kind}
    base = of_kind.pop(study.baseline, None)
    if base is None:
        return {}
    by_count = Alignment(alignment.mode, tolerance=alignment.tolerance)
    by_time = Alignment('interpolate', 'time')  # no two runs end at the same time
    at_count = {method: improvement(curve, base, by_count) for method, curve in of_kind.items()}
    curves = {study.baseline: base, **of_kind}
    decided = verdicts(curves, study.baseline, at_count)
    over: dict[str, MethodOverBaseline] = {}
    for method, curve in of_kind.items():
        counted, timed = at_count[method], improvement(curve, base, by_time) if study.is_timed else None
        if counted and timed and len(both := np.intersect1d(counted.count, timed.count)):
            counted, timed = replace(counted, mean_count=both), replace(timed, mean_count=both)
        over[method] = MethodOverBaseline(
            counted,
            timed,
            verdicts=decided[method],
            speedups=speedups(curve, base) if study.is_timed else [],
            crossings={
                study.axis: crossings(curve, base, study.axis),
                'time': crossings(curve, base, 'time') if study.is_timed else [],
            },
            unlike_times=differing_pace([*base.timed, *curve.timed]),
        )
    scores: dict[float, dict[str, float]] = {count: {} for count in base.count.tolist()}
    for curve, found in zip(curves.values(), leads(curves.values(), base.count, by_count), strict=True):
        for count, value in zip(scores, base.sign * found.value, strict=True):
            if not math.isnan(value):
                scores[count][curve.method] = float(value)
    ranked = {count: ranking(by_method) for count, by_method in scores.items() if len(by_method) > 1}
    return {'over_baseline': over, 'ranking': ranked}
