"""Compares one-run curves with standard ones, method by method: the gap, the agreement of improvements, the cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from composer_clr.analysis.agreement import cosine_estimate, ranking_agreement
from composer_clr.analysis.basis import Basis, basis_of, in_log
from composer_clr.analysis.cost import StudyCost, study_cost
from composer_clr.analysis.differences import Differences, as_ratio, gap, improvement
from composer_clr.analysis.fit import fit_curve
from composer_clr.analysis.mean_curve import Array, MeanCurve, mean_curves
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, meet
from composer_clr.analysis.uncertainty import Estimate, Seeds
from composer_clr.curves.axes import Count
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import default_metric
from composer_clr.curves.names import CYCLIC, STANDARD, kind_order
from composer_clr.schedule.cycles import cost_ratio
from composer_clr.study.pooling import differing_pace

__all__ = ['Comparison', 'Improvement', 'MethodComparison', 'compare', 'compare_kinds']


@dataclass(frozen=True, eq=False)
class Improvement:
    """A method's improvement over the baseline on both kinds of curve, at the counts where both are known.

    Attributes:
        count (Array): The counts, such as epochs.
        cyclic (Array): The improvement on cyclic curves at each.
        standard (Array): The improvement on standard curves at each.
        cosine (Estimate | None): Their cosine similarity, with its interval.
    """

    count: Array
    cyclic: Array
    standard: Array
    cosine: Estimate | None


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """One method's curves and figures; ``cyclic`` is the curve of the kind that is compared with the standard one.

    See :func:`gap`, :func:`cosine_estimate`, :func:`study_cost`. The baseline has no cosine. With a fit,
    ``fit_residuals`` are the standard curve's, measured minus fitted, by count or time as it was fitted.
    ``unlike_times`` says why the times of the two curves are not comparable.
    """

    cyclic: MeanCurve
    standard: MeanCurve
    gap: Differences
    improvement: Improvement
    cosine: Estimate | None
    cost: StudyCost
    fit_residuals: dict[float, float] | None = None
    unlike_times: str | None = None

    @property
    def cosine_similarity(self) -> float | None:
        """The cosine similarity without its interval."""
        return None if self.cosine is None else self.cosine.value

    @property
    def cost_ratio(self) -> float:
        """:func:`measured_cost_ratio`."""
        return self.cost.ratio

    @property
    def counted_cost_ratio(self) -> float:
        """:func:`counted_cost_ratio`: the cost ratio in what the curves count, such as tokens."""
        return self.cost.counted_ratio


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Basis):
    """One kind of curve compared with the standard one.

    Attributes:
        kind (str): The kind of curve that was compared with the standard one.
        formula_cost_ratio (float): :func:`cost_ratio` of the baseline's paired points.
        methods (dict[str, MethodComparison]): Each method that has both kinds of curve, the baseline first.
        rankings (dict[float, Estimate | None]): :func:`ranking_agreement`, by count.
        skipped (dict[str, str]): Each method that could not be compared, and why.
    """

    kind: str
    formula_cost_ratio: float
    methods: dict[str, MethodComparison]
    rankings: dict[float, Estimate | None]
    skipped: dict[str, str]

    @property
    def agreement(self) -> dict[float, float | None]:
        """Kendall's tau by count, without its interval."""
        return {count: tau and tau.value for count, tau in self.rankings.items()}


def compare(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    kind: str = 'cyclic',
    baseline: str = 'baseline',
    alignment: Alignment = INTERPOLATED,
    peak: bool = False,
    lower_is_better: bool | None = None,
    seeds: Seeds = 'common',
    gpus: int | None = None,
    strict: bool = True,
) -> Comparison:
    """Compares cyclic curves, or those of another kind, with standard ones.

    Methods with curves of only one of the two kinds are named in ``skipped``.

    Args:
        curves (Iterable[TradeoffCurve]): The runs of the study, cyclic and standard, of one seed or several.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        kind (str): The kind of curve to compare with the standard one. Default: ``'cyclic'``.
        baseline (str): The method that improvements are over; of runs of one method, that one. Default:
            ``'baseline'``.
        alignment (Alignment): How points are paired. Default: interpolation in the log of what the schedules
            were counted in.
        peak (bool): Use the best value near each point. Default: ``False``.
        lower_is_better (bool | None): Whether less is better. Default: ``None``, as :func:`study_direction` finds it.
        seeds (str): ``'common'``: differences are over the seeds that both sides have; ``'all'``: over all of either.
            Default: ``'common'``.
        gpus (int | None): Number of GPUs of runs that do not record it. Default: ``None``, not known.
        strict (bool): Whether a method with a bad curve raises; if not, it is named in ``skipped``. The baseline always
            raises. Default: ``True``.

    Raises:
        CurveError: If the baseline lacks one of the kinds of curve, the curves do not share the metric, a value is
            not finite, or a curve has only one point or none that can be paired.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3 and figure 3.
    """
    runs = [curve for curve in curves if curve.points]
    metric, basis = basis_of(
        runs, metric, baseline=baseline, alignment=alignment, peak=peak, lower_is_better=lower_is_better
    )
    baseline, scale, is_ratio = basis.baseline, basis.scale, basis.is_ratio
    if is_ratio:
        runs = [in_log(run, metric) for run in runs]

    compared: dict[str, MethodComparison] = {}
    skipped: dict[str, str] = {}
    for method, group in _by_method(runs, baseline, kind).items():
        if missing := _missing(group, kind):
            skipped[method] = missing
            continue
        try:
            cyclic, standard = _both_kinds(group, method, kind, metric, basis.axis, peak)
            base = compared.get(baseline)
            over = (base.cyclic, base.standard) if base else (cyclic, standard)
            improved = _improvement((cyclic, standard), over, alignment, basis.lower_is_better, scale, seeds)
            difference = gap(cyclic, standard, alignment, 1.0 if is_ratio else scale, seeds)
            compared[method] = MethodComparison(
                cyclic,
                standard,
                as_ratio(difference) if is_ratio else difference,
                improved,
                cosine=None if method == baseline else improved.cosine,
                cost=study_cost(cyclic, standard, alignment, gpus),
                fit_residuals=_residuals(standard, alignment, scale) if alignment.mode == 'fit' else None,
                unlike_times=differing_pace([*standard.timed, *cyclic.timed]),
            )
        except CurveError as error:
            if strict or method == baseline:
                raise
            skipped[method] = str(error)

    base = compared[baseline]
    pairs = [(figures.cyclic, figures.standard) for figures in compared.values()]
    taus = ranking_agreement(pairs, alignment.positions(base.cyclic), alignment)
    return Comparison(
        **vars(basis),
        kind=kind,
        # Of the points that the measured ratio is over: the gap has none where the two sides share no seed.
        formula_cost_ratio=cost_ratio(base.cyclic.count[meet(base.cyclic, base.standard, alignment).kept].tolist()),
        methods=compared,
        rankings=dict(zip(base.cyclic.count.tolist(), taus, strict=True)),
        skipped=skipped,
    )


def compare_kinds(
    curves: Iterable[TradeoffCurve], metric: str | None = None, *, strict: bool = True, **options: Any
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Compares every kind of curve with the standard one: cyclic runs, WSD-S, branches, averaged weights.

    Args:
        curves (Iterable[TradeoffCurve]): The runs of the study, of any kinds.
        metric (str | None): As for :func:`compare`, shared by all of them.
        strict (bool): Whether a kind that cannot be compared raises. Default: ``True``.
        **options: The other arguments of :func:`compare`.

    Returns:
        tuple[dict[str, Comparison], dict[str, str]]: By kind, cyclic first; and each kind that could not be compared,
        and why.

    Raises:
        CurveError: As for :func:`compare`; if not ``strict``, only where no kind can be compared.
    """
    runs = [curve for curve in curves if curve.points]
    metric = metric or default_metric(runs, peak=options.get('peak', False))
    kinds = sorted({run.run.kind for run in runs} - {STANDARD}, key=kind_order) or [CYCLIC]
    compared: dict[str, Comparison] = {}
    errors: dict[str, CurveError] = {}
    for kind in kinds:
        try:
            compared[kind] = compare(runs, metric, kind=kind, strict=strict, **options)
        except CurveError as error:
            if strict:
                raise
            errors[kind] = error
    if not compared:
        raise errors[kinds[0]]
    return compared, {kind: str(error) for kind, error in errors.items()}


def _by_method(runs: Iterable[TradeoffCurve], baseline: str, kind: str) -> dict[str, list[TradeoffCurve]]:
    """Returns the runs of each method, the baseline first, since the others are compared with it."""
    groups: dict[str, list[TradeoffCurve]] = {baseline: []}
    for run in runs:
        groups.setdefault(run.run.method, []).append(run)
    if missing := _missing(groups[baseline], kind):
        others = [method for method in groups if method != baseline]
        raise CurveError(
            f'the baseline {baseline!r} has {missing}: name them too, or choose another baseline (there are {others})'
        )
    return groups


def _missing(group: Iterable[TradeoffCurve], kind: str) -> str:
    missing = sorted({kind, STANDARD} - {run.run.kind for run in group})
    return f'no {" and no ".join(missing)} runs' if missing else ''


def _both_kinds(
    group: Iterable[TradeoffCurve], method: str, kind: str, metric: str, axis: Count, peak: bool
) -> tuple[MeanCurve, MeanCurve]:
    kinds = (kind, STANDARD)
    means = mean_curves((run for run in group if run.run.kind in kinds), metric, axis=axis, peak=peak)
    cyclic, standard = (means[method, kind] for kind in kinds)
    for curve in (cyclic, standard):
        if len(curve.count) < 2:
            names = sorted({run.place for run in group if run.run.kind == curve.kind})
            raise CurveError(
                f'{curve}: only one point (of {", ".join(names)}): a curve needs two, train more durations'
            )
    return cyclic, standard


def _improvement(
    method: tuple[MeanCurve, MeanCurve],
    baseline: tuple[MeanCurve, MeanCurve],
    alignment: Alignment,
    lower: bool,
    scale: float,
    seeds: Seeds,
) -> Improvement:
    positions, counts = alignment.positions(method[0]), method[0].count
    cyclic, standard = (
        improvement(of, over, positions, how, lower_is_better=lower, counts=counts, scale=scale, seeds=seeds)
        for of, over, how in zip(method, baseline, (alignment.of_cyclic(), alignment), strict=True)
    )
    if cyclic is None or standard is None:
        return Improvement(np.array([]), np.array([]), np.array([]), None)
    count, on_cyclic, on_standard = np.intersect1d(cyclic.count, standard.count, return_indices=True)
    values = cyclic.value[on_cyclic], standard.value[on_standard]
    terms = [cyclic.terms[i] for i in on_cyclic], [standard.terms[i] for i in on_standard]
    return Improvement(count, *values, cosine_estimate(*values, *terms))


def _residuals(standard: MeanCurve, alignment: Alignment, scale: float) -> dict[float, float]:
    positions = alignment.positions(standard)
    _, residuals = fit_curve(positions, standard.value, positions)
    return dict(zip(positions.tolist(), (scale * residuals).tolist(), strict=True))
