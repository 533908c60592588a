"""Compares the curves of a study: one-run curves with the standard ones, and methods with a baseline."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import CYCLIC, STANDARD, kind_order, kind_without_shape
from composer_clr.schedule.cycles import cost_ratio
from composer_clr.study.agreement import cosine_similarity, kendall_tau, ranking
from composer_clr.study.alignment import Alignment, weights
from composer_clr.study.cost import Cost, check_overlap, study_cost
from composer_clr.study.differences import Differences, difference, differences
from composer_clr.study.estimates import Array, Estimates, Figures
from composer_clr.study.pooling import differing_pace
from composer_clr.study.reach import Crossing, Speedup, crossings, speedups
from composer_clr.study.table import Curve, Study

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

    Attributes:
        gap (Differences): The curve minus the standard one at each of its points; of perplexities, their ratio. The
            mean leaves out the first point of a cyclic run, which is the standard run's by construction.
        improvement (tuple[Array, Array, Array]): The counts at which improvements over the baseline are known on both
            curves, and the improvements on either.
        cosine (Estimates | None): Their cosine similarity; ``None`` of the baseline, or if it is not defined.
        cost (Cost): The cost of the curve and of separate runs.
        unlike_times (str | None): Why the times of the two curves are not comparable.
    """

    gap: Differences
    improvement: tuple[Array, Array, Array]
    cosine: Estimates | None
    cost: Cost
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class MethodOverBaseline:
    """One method's curve over the baseline's of the same kind; improvements above 0 favour the method.

    Attributes:
        at_equal_counts (Differences | None): Its improvement at each of its points; ``None`` if they do not overlap.
        at_equal_time (Differences | None): The same at the training time of each point. Both means are over the points
            that both have, if there are any.
        speedups (list[Speedup]): How many times sooner it reaches the value of each of the baseline's points.
        crossings_in_counts (list[Crossing]): The counts from which on one of the two is better than the other.
        crossings_in_time (list[Crossing]): The same in seconds of training.
        unlike_times (str | None): Why the times of the two are not comparable.
    """

    at_equal_counts: Differences | None
    at_equal_time: Differences | None
    speedups: list[Speedup]
    crossings_in_counts: list[Crossing]
    crossings_in_time: list[Crossing]
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class KindComparison:
    """The curves of one kind, compared with the standard ones and with the baseline's.

    Attributes:
        formula_cost_ratio (float | None): :func:`cost_ratio` of the baseline's paired points.
        methods (dict[str, MethodComparison]): Each method that has a standard curve too, the baseline first.
        taus (dict[float, Estimates | None]): Kendall's tau of both kinds' rankings of the methods, by count.
        skipped (dict[str, str]): Each method that could not be compared with its standard curve, and why.
        over_baseline (dict[str, MethodOverBaseline]): Each method beside the baseline.
        ranking (dict[float, list[list[str]]]): By count of the baseline's points, the methods, best first; those that
            tie stand together.
    """

    formula_cost_ratio: float | None = None
    methods: dict[str, MethodComparison] = field(default_factory=dict)
    taus: dict[float, Estimates | None] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    over_baseline: dict[str, MethodOverBaseline] = field(default_factory=dict)
    ranking: dict[float, list[list[str]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A whole study, compared.

    Attributes:
        study (Study): The study.
        alignment (Alignment): How points are paired.
        kinds (dict[str, KindComparison]): By kind, standard first.
        left_out (dict[str, str]): Each kind that could not be compared with the standard one, and why.
    """

    study: Study
    alignment: Alignment
    kinds: dict[str, KindComparison]
    left_out: dict[str, str]


def compare(
    study: Study, alignment: Alignment | None = None, *, gpus: int | None = None, strict: bool = True
) -> Comparison:
    """Compares methods with the baseline on every kind of curve, and kinds with the standard one if there is one.

    Args:
        study (Study): The study.
        alignment (Alignment | None): How points are paired. Default: ``None``, interpolation in the log of what the
            schedules were counted in.
        gpus (int | None): Number of GPUs of runs that do not record it. Default: ``None``, not known.
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
                found = _with_standard(study, kind, alignment, gpus, strict)
            except CurveError as error:
                if strict:
                    raise
                left_out[kind] = str(error)
        over, ranks = _over_baseline(study, kind, alignment)
        if found.methods or over:
            compared[kind] = replace(found, over_baseline=over, ranking=ranks)
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
    return {
        key: _gap(study, curve, study.curves[curve.method, STANDARD], alignment or Alignment())
        for key, curve in paired.items()
    }


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
        base = study.curves[study.baseline, kind]
        improved = _improvement(study, curve, base, curve.positions(how.axis), how, curve.count)
        if improved is None:
            raise CurveError(
                f'{curve}: no point can be compared with the baseline: train both to similar {how.axis or curve.axis}s'
            )
        found[method, kind] = improved
    if not found:
        raise CurveError(f'all runs are of the baseline {study.baseline!r}: name those of another method too')
    return found


def _gap(study: Study, curve: Curve, standard: Curve, how: Alignment) -> Differences:
    gap = differences(
        curve,
        standard,
        curve.positions(how.axis),
        Alignment('exact', how.axis),
        how,
        counts=curve.count,
        scale=1.0 if study.is_ratio else study.scale,
        is_ratio=study.is_ratio,
        all_seeds=study.all_seeds,
    )
    if gap is None:
        check_overlap(curve, standard, how)
        raise CurveError(
            f'{curve.method}: no point of the {curve.kind} curve has a seed in common with the {standard.kind} one: '
            'train the missing seeds, or compare over all seeds (compare --all-seeds)'
        )
    is_first = gap.count[0] == curve.count[0] and kind_without_shape(curve.kind) == CYCLIC
    return replace(gap, mean_count=gap.count[1:]) if is_first and len(gap.count) > 1 else gap


def _improvement(
    study: Study, curve: Curve, base: Curve, at: Array, how: Alignment, counts: Array
) -> Differences | None:
    """Returns a method's improvement over the baseline at each position: above 0 is better, also where less is."""
    a, b = (base, curve) if study.lower_is_better else (curve, base)
    return differences(a, b, at, how, how, counts=counts, scale=study.scale, all_seeds=study.all_seeds)


def _with_standard(study: Study, kind: str, alignment: Alignment, gpus: int | None, strict: bool) -> KindComparison:
    methods = dict.fromkeys([study.baseline, *(method for method, _ in study.curves)])
    compared: dict[str, MethodComparison] = {}
    skipped: dict[str, str] = {}
    pairs: dict[str, tuple[Curve, Curve]] = {}
    for method in methods:
        try:
            pair = _both_kinds(study, method, kind)
            base = pairs.get(study.baseline, pair)
            compared[method] = _compared(study, pair, base, alignment, gpus)
            pairs[method] = pair
        except CurveError as error:
            if method == study.baseline or (strict and not isinstance(error, _Missing)):
                raise
            skipped[method] = str(error)
    at = pairs[study.baseline][0].positions(alignment.axis)
    ranked = [_improved(study, of_kind, at, alignment) for of_kind in zip(*pairs.values(), strict=True)]
    return KindComparison(
        formula_cost_ratio=cost_ratio(compared[study.baseline].cost.count.tolist()),
        methods=compared,
        taus={count: kendall_tau(ranked, i) for i, count in enumerate(pairs[study.baseline][0].count.tolist())},
        skipped=skipped,
    )


def _improved(study: Study, curves: Iterable[Curve], at: Array, how: Alignment) -> list[Figures]:
    """Returns how far each curve lies above the first, which is the baseline's, at positions."""
    base, *others = curves
    at_base, _ = weights(at, base.positions(how.axis), how)
    found = [
        difference(curve, base, weights(at, curve.positions(how.axis), how)[0], at_base, study.all_seeds)[0]
        for curve in others
    ]
    zero = np.zeros((len(base.seeds), len(at)))
    value = np.where(np.isnan(at_base[:, 0]), np.nan, 0.0)
    return [Figures(value, zero, zero > 0, np.full(len(at), np.inf)), *found]


class _Missing(CurveError):
    """A method without one of the two kinds of curve."""


def _both_kinds(study: Study, method: str, kind: str) -> tuple[Curve, Curve]:
    missing = sorted({kind, STANDARD} - {its_kind for its_method, its_kind in study.curves if its_method == method})
    if missing and method == study.baseline:
        others = list(dict.fromkeys(other for other, _ in study.curves if other != method))
        raise CurveError(
            f'the baseline {method!r} has no {" and no ".join(missing)} runs: name them too, or choose another '
            f'baseline (there are {others})'
        )
    if missing:
        raise _Missing(f'no {" and no ".join(missing)} runs')
    both = study.curves[method, kind], study.curves[method, STANDARD]
    for curve in both:
        if len(curve.count) < 2:
            raise CurveError(f'{curve}: only one point: a curve needs two, train more durations')
    return both


def _compared(
    study: Study, pair: tuple[Curve, Curve], base: tuple[Curve, Curve], how: Alignment, gpus: int | None
) -> MethodComparison:
    cyclic, standard = pair
    gap = _gap(study, cyclic, standard, how)
    improved, cosine = (np.array([]), np.array([]), np.array([])), None
    at = cyclic.positions(how.axis)
    on_cyclic, on_standard = (
        _improvement(study, one, over, at, how, cyclic.count) for one, over in zip(pair, base, strict=True)
    )
    if on_cyclic is not None and on_standard is not None:
        count, i, j = np.intersect1d(on_cyclic.count, on_standard.count, return_indices=True)
        improved = count, on_cyclic.each.value[i], on_standard.each.value[j]
        if cyclic.method != study.baseline:
            cosine = cosine_similarity(on_cyclic.figures[i], on_standard.figures[j])
    unlike = differing_pace([*standard.timed, *cyclic.timed])
    return MethodComparison(gap, improved, cosine, study_cost(cyclic, standard, how, gpus, study.all_seeds), unlike)


def _over_baseline(
    study: Study, kind: str, alignment: Alignment
) -> tuple[dict[str, MethodOverBaseline], dict[float, list[list[str]]]]:
    of_kind = {method: curve for (method, its_kind), curve in study.curves.items() if its_kind == kind}
    base = of_kind.pop(study.baseline, None)
    if base is None:
        return {}, {}
    by_count = Alignment(alignment.mode, tolerance=alignment.tolerance)
    by_time = Alignment('interpolate', 'time')  # no two runs end at the same time
    options: dict[str, Any] = {'lower_is_better': study.lower_is_better, 'all_seeds': study.all_seeds}
    over: dict[str, MethodOverBaseline] = {}
    scores: dict[float, dict[str, float]] = {count: {study.baseline: 0.0} for count in base.count.tolist()}
    for method, curve in of_kind.items():
        found = speedups(curve, base, **options) if study.is_timed else []
        if study.is_ratio:
            found = [replace(one, target=math.exp(one.target)) for one in found]
        at_count = _improvement(study, curve, base, curve.count, by_count, curve.count)
        at_time = None
        if study.is_timed:
            at_time = _improvement(study, curve, base, curve.positions('time'), by_time, curve.count)
        if at_count is not None and at_time is not None:
            both = np.intersect1d(at_count.count, at_time.count)
            if len(both):
                at_count, at_time = (replace(one, mean_count=both) for one in (at_count, at_time))
        over[method] = MethodOverBaseline(
            at_count,
            at_time,
            found,
            crossings(curve, base, by_time=False, **options),
            crossings(curve, base, by_time=True, **options) if study.is_timed else [],
            differing_pace([*base.timed, *curve.timed]),
        )
        at_base = _improvement(study, curve, base, base.count, by_count, base.count)
        if at_base is not None:
            for count, value in zip(at_base.count.tolist(), at_base.each.value.tolist(), strict=True):
                scores[count][method] = value
    return over, {count: ranking(at_count) for count, at_count in scores.items() if len(at_count) > 1}
