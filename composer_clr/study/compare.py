"""Compares the curves of a study: one-run curves with the standard ones, and methods with a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import STANDARD, kind_order
from composer_clr.schedule.cycles import cost_ratio
from composer_clr.study.agreement import cosine_similarity, kendall_tau, ranking
from composer_clr.study.alignment import Alignment, weights
from composer_clr.study.cost import Cost, study_cost
from composer_clr.study.differences import Differences, as_ratio, differences
from composer_clr.study.estimates import Array, Estimates, figures
from composer_clr.study.pooling import differing_pace
from composer_clr.study.reach import Crossing, Speedup, crossings, draws_of, speedups
from composer_clr.study.table import Curve, Study

__all__ = [
    'Comparison',
    'KindComparison',
    'MethodComparison',
    'MethodOverBaseline',
    'compare',
]


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """One method's curve of a kind beside its standard one.

    Attributes:
        gap (Differences): The curve minus the standard one at each of its points; of perplexities, their ratio.
        improvement (tuple[Array, Array, Array]): The counts at which improvements over the baseline are known on both
            curves, and the improvements on either.
        cosine (Estimates | None): Their cosine similarity; ``None`` of the baseline, or if it is not defined.
        cost (Cost): The cost of the curve and of separate runs.
        residuals (dict[float, float] | None): With a fit, the standard curve's, measured minus fitted.
        unlike_times (str | None): Why the times of the two curves are not comparable.
    """

    gap: Differences
    improvement: tuple[Array, Array, Array]
    cosine: Estimates | None
    cost: Cost
    residuals: dict[float, float] | None
    unlike_times: str | None


@dataclass(frozen=True, eq=False)
class MethodOverBaseline:
    """One method's curve over the baseline's of the same kind; improvements above 0 favour the method.

    Attributes:
        at_equal_counts (Differences | None): Its improvement at each of its points; ``None`` if they do not overlap.
        at_equal_time (Differences | None): The same at the training time of each point.
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
    study: Study,
    alignment: Alignment | None = None,
    *,
    all_seeds: bool = False,
    gpus: int | None = None,
    strict: bool = True,
) -> Comparison:
    """Compares methods with the baseline on every kind of curve, and kinds with the standard one if there is one.

    Args:
        study (Study): The study.
        alignment (Alignment | None): How points are paired. Default: ``None``, interpolation in the log of what the
            schedules were counted in.
        all_seeds (bool): Differences are over all seeds of either side, not only those that both have. Default:
            ``False``.
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
                found = _with_standard(study, kind, alignment, all_seeds, gpus, strict)
            except CurveError as error:
                if strict:
                    raise
                left_out[kind] = str(error)
        over, ranks = _over_baseline(study, kind, alignment, all_seeds)
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


def _with_standard(
    study: Study, kind: str, alignment: Alignment, all_seeds: bool, gpus: int | None, strict: bool
) -> KindComparison:
    methods = dict.fromkeys([study.baseline, *(method for method, _ in study.curves)])
    compared: dict[str, MethodComparison] = {}
    skipped: dict[str, str] = {}
    base: tuple[Curve, Curve] | None = None
    for method in methods:
        try:
            pair = _both_kinds(study, method, kind)
            base = base or pair
            compared[method] = _compared(study, pair, base, alignment, all_seeds, gpus)
        except CurveError as error:
            if method == study.baseline or (strict and not isinstance(error, _Missing)):
                raise
            skipped[method] = str(error)
    assert base is not None
    cyclic, standard = base
    pairs = [_both_kinds(study, method, kind) for method in compared]
    at = cyclic.positions(alignment.axis)
    ranked = [
        [figures(curve.value, weights(at, curve.positions(how.axis), how)[0]) for curve in of_kind]
        for of_kind, how in zip(zip(*pairs, strict=True), (alignment.of_cyclic(), alignment), strict=True)
    ]
    paired = ~np.isnan(weights(at, standard.positions(alignment.axis), alignment)[0][:, 0])
    return KindComparison(
        # Of the points that the measured ratio is over: the gap has none where the two sides share no seed.
        formula_cost_ratio=cost_ratio(cyclic.count[paired].tolist()),
        methods=compared,
        taus={count: kendall_tau(ranked, i) for i, count in enumerate(cyclic.count.tolist())},
        skipped=skipped,
    )


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
    study: Study,
    pair: tuple[Curve, Curve],
    base: tuple[Curve, Curve],
    how: Alignment,
    all_seeds: bool,
    gpus: int | None,
) -> MethodComparison:
    cyclic, standard = pair
    at = cyclic.positions(how.axis)
    gap = differences(
        cyclic,
        standard,
        at,
        Alignment('exact', how.axis),
        how,
        counts=cyclic.count,
        scale=1.0 if study.is_ratio else study.scale,
        all_seeds=all_seeds,
    )
    cost = study_cost(cyclic, standard, how, gpus)
    if gap is None:
        raise CurveError(
            f'{cyclic.method}: no point of the {cyclic.kind} curve has a seed in common with the {standard.kind} one: '
            'train the missing seeds, or compare over all seeds (compare --all-seeds)'
        )
    on_cyclic, on_standard = (
        _improvement(study, one, over, at, one_how, cyclic.count, all_seeds)
        for one, over, one_how in zip(pair, base, (how.of_cyclic(), how), strict=True)
    )
    improved, cosine = (np.array([]), np.array([]), np.array([])), None
    if on_cyclic is not None and on_standard is not None:
        count, i, j = np.intersect1d(on_cyclic.count, on_standard.count, return_indices=True)
        improved = count, on_cyclic.each.value[i], on_standard.each.value[j]
        if cyclic.method != study.baseline:
            cosine = cosine_similarity(*improved[1:], on_cyclic.figures[i], on_standard.figures[j])
    residuals = None
    if how.mode == 'fit':
        x = standard.positions(how.axis)
        left = study.scale * (standard.mean() - weights(x, x, how)[0] @ standard.mean())
        residuals = dict(zip(x.tolist(), left.tolist(), strict=True))
    if study.is_ratio:
        gap = as_ratio(gap)
    unlike = differing_pace([*standard.timed, *cyclic.timed])
    return MethodComparison(gap, improved, cosine, cost, residuals, unlike)


def _improvement(
    study: Study, curve: Curve, base: Curve, at: Array, how: Alignment, counts: Array, all_seeds: bool
) -> Differences | None:
    """Returns a method's improvement over the baseline at each position: above 0 is better, also where less is."""
    a, b = (base, curve) if study.lower_is_better else (curve, base)
    return differences(a, b, at, how, how, counts=counts, scale=study.scale, all_seeds=all_seeds)


def _over_baseline(
    study: Study, kind: str, alignment: Alignment, all_seeds: bool
) -> tuple[dict[str, MethodOverBaseline], dict[float, list[list[str]]]]:
    of_kind = {method: curve for (method, its_kind), curve in study.curves.items() if its_kind == kind}
    base = of_kind.pop(study.baseline, None)
    if base is None:
        return {}, {}
    by_count = Alignment(alignment.of_cyclic().mode, tolerance=alignment.tolerance)
    by_time = Alignment('interpolate', 'time')  # no two runs end at the same time
    over: dict[str, MethodOverBaseline] = {}
    scores: dict[float, dict[str, float]] = {count: {study.baseline: 0.0} for count in base.count.tolist()}
    for method, curve in of_kind.items():
        pair = draws_of(curve, base, all_seeds=all_seeds)
        lower = study.lower_is_better

        def improved(at: Array, counts: Array, how: Alignment, curve: Curve = curve) -> Differences | None:
            return _improvement(study, curve, base, at, how, counts, all_seeds)

        found = speedups(pair, lower_is_better=lower)
        if study.is_ratio:
            found = [replace(one, target=math.exp(one.target)) for one in found]
        over[method] = MethodOverBaseline(
            improved(curve.count, curve.count, by_count),
            improved(curve.positions('time'), curve.count, by_time),
            found,
            crossings(pair, by_time=False, lower_is_better=lower),
            crossings(pair, by_time=True, lower_is_better=lower),
            differing_pace([*base.timed, *curve.timed]),
        )
        at_base = improved(base.count, base.count, by_count)
        if at_base is not None:
            for count, value in zip(at_base.count.tolist(), at_base.each.value.tolist(), strict=True):
                scores[count][method] = value
    return over, {count: ranking(at_count) for count, at_count in scores.items() if len(at_count) > 1}
