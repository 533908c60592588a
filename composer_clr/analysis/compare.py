"""A whole study compared, method by method: do one-run and standard curves lie together, say the same, cost less?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from composer_clr.analysis.agreement import Gap, cosine_similarity, gap, improvement, ranking_agreement
from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.analysis.fit import fit_curve
from composer_clr.analysis.mean_curve import Array, MeanCurve, check_counted_alike, mean_curves
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.kinds import CYCLIC, STANDARD, kind_order
from composer_clr.curves.metrics import default_metric, is_fraction, measured, study_direction
from composer_clr.schedule.cost_ratio import cost_ratio

__all__ = ['Comparison', 'Improvement', 'MethodComparison', 'compare', 'compare_kinds', 'record', 'record_kinds']


@dataclass(frozen=True, eq=False)
class Improvement:
    """What a method gains over the baseline on each kind of curve, at the epochs where both are known."""

    epoch: Array
    cyclic: Array
    standard: Array


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """One method's curves and figures; ``cyclic`` is the curve of whichever kind is compared with the standard.

    See :func:`gap`, :func:`cosine_similarity`, :func:`measured_cost_ratio`. With a fit, ``fit_residuals`` are the
    standard curve's, measured minus fitted, by epoch or time as it was fitted.
    """

    cyclic: MeanCurve
    standard: MeanCurve
    gap: Gap
    improvement: Improvement
    cosine_similarity: float | None
    cost_ratio: float
    fit_residuals: dict[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """A whole study, compared.

    Attributes:
        metric (str): What was compared; ``peak:`` before it for the best value near a point.
        baseline (str): The method that the improvements are over.
        alignment (Alignment): How points were paired.
        scale (float): 100 where gaps and improvements are percentage points, else 1.
        lower_is_better (bool): Whether less is better.
        formula_cost_ratio (float): :func:`cost_ratio` of the baseline's paired points.
        methods (dict[str, MethodComparison]): Each method that has both kinds of curve, the baseline first.
        agreement (dict[float, float | None]): :func:`ranking_agreement`, by epoch.
        skipped (dict[str, str]): Each method that could not be compared, and why.
        kind (str): The kind of curve that was compared with the standard one.
    """

    metric: str
    baseline: str
    alignment: Alignment
    scale: float
    lower_is_better: bool
    formula_cost_ratio: float
    methods: dict[str, MethodComparison]
    agreement: dict[float, float | None]
    skipped: dict[str, str]
    kind: str = 'cyclic'


def compare(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    kind: str = 'cyclic',
    baseline: str = 'baseline',
    alignment: Alignment = INTERPOLATED,
    peak: bool = False,
    lower_is_better: bool | None = None,
    strict: bool = True,
) -> Comparison:
    """Compare cyclic curves, or those of another kind, with standard ones.

    Methods that have curves of one of the two kinds only are named in ``skipped``.

    Args:
        curves (Iterable[TradeoffCurve]): The runs of the study, cyclic and standard, of one seed or several.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        kind (str): The kind of curve to compare with the standard one. Default: ``'cyclic'``.
        baseline (str): The method that improvements are over. Default: ``'baseline'``.
        alignment (Alignment): How points are paired. Default: interpolation in log epochs.
        peak (bool): Whether to take the best value near each point. Default: ``False``.
        lower_is_better (bool | None): Default: ``None``, told from the metric's name.
        strict (bool): Whether a method with a bad curve stops everything; if not, it is named in ``skipped``. The
            baseline always does. Default: ``True``.

    Raises:
        CurveError: If there is no baseline with curves of both kinds, the curves do not share the metric, a value is
            not finite, or a curve has one point only or does not meet its counterpart.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3 and figure 3.
    """
    runs = [curve for curve in curves if curve.points]
    check_counted_alike(runs)
    metric = metric or default_metric(runs, peak=peak)
    lower = study_direction(runs, metric, lower_is_better)
    values = [measured(point, peak).get(metric, math.nan) for run in runs for point in run.points]
    scale = 100.0 if is_fraction(metric, filter(math.isfinite, values)) else 1.0

    compared: dict[str, MethodComparison] = {}
    skipped: dict[str, str] = {}
    for method, group in _by_method(runs, baseline, kind).items():
        if missing := _missing(group, kind):
            skipped[method] = missing
            continue
        try:
            cyclic, standard = _both_kinds(group, method, kind, metric, peak)
            base = compared.get(baseline)
            over = (base.cyclic, base.standard) if base else (cyclic, standard)
            gained = _improvement((cyclic, standard), over, alignment, lower, scale)
            compared[method] = MethodComparison(
                cyclic,
                standard,
                gap(cyclic, standard, alignment, scale),
                gained,
                cosine_similarity=None if method == baseline else cosine_similarity(gained.cyclic, gained.standard),
                cost_ratio=measured_cost_ratio(cyclic, standard, alignment),
                fit_residuals=_residuals(standard, alignment, scale) if alignment.mode == 'fit' else None,
            )
        except CurveError as error:
            if strict or method == baseline:
                raise
            skipped[method] = str(error)

    base = compared[baseline]
    pairs = [(figures.cyclic, figures.standard) for figures in compared.values()]
    taus = ranking_agreement(pairs, alignment.positions(base.cyclic), alignment)
    return Comparison(
        metric=f'peak:{metric}' if peak else metric,
        baseline=baseline,
        alignment=alignment,
        scale=scale,
        lower_is_better=lower,
        formula_cost_ratio=cost_ratio(base.gap.epoch.tolist()),
        methods=compared,
        agreement=dict(zip(base.cyclic.epoch.tolist(), taus, strict=True)),
        skipped=skipped,
        kind=kind,
    )


def compare_kinds(
    curves: Iterable[TradeoffCurve], metric: str | None = None, *, strict: bool = True, **options: Any
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Compare every kind of curve with the standard one: cyclic runs, WSD-S, branches, averaged weights.

    Args:
        curves (Iterable[TradeoffCurve]): The runs of the study, of any kinds.
        metric (str | None): As for :func:`compare`, shared by all of them.
        strict (bool): Whether what cannot be compared stops everything. Default: ``True``.
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
    """The runs of each method, the baseline first, since all others are measured by it."""
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
    missing = sorted({kind, 'standard'} - {run.run.kind for run in group})
    return f'no {" and no ".join(missing)} runs' if missing else ''


def _both_kinds(
    group: Iterable[TradeoffCurve], method: str, kind: str, metric: str, peak: bool
) -> tuple[MeanCurve, MeanCurve]:
    kinds = (kind, 'standard')
    means = mean_curves((run for run in group if run.run.kind in kinds), metric, peak=peak)
    cyclic, standard = (means[method, kind] for kind in kinds)
    for curve in (cyclic, standard):
        if len(curve.epoch) < 2:
            names = sorted({run.place for run in group if run.run.kind == curve.kind})
            raise CurveError(
                f'{curve}: one point only (of {", ".join(names)}): a curve needs two, train more durations'
            )
    return cyclic, standard


def _improvement(
    method: tuple[MeanCurve, MeanCurve],
    baseline: tuple[MeanCurve, MeanCurve],
    alignment: Alignment,
    lower: bool,
    scale: float,
) -> Improvement:
    positions = alignment.positions(method[0])
    cyclic, standard = (
        scale * improvement(ours, theirs, positions, how, lower_is_better=lower)
        for ours, theirs, how in zip(method, baseline, (alignment.of_cyclic(), alignment), strict=True)
    )
    known = ~np.isnan(cyclic) & ~np.isnan(standard)
    return Improvement(method[0].epoch[known], cyclic[known], standard[known])


def _residuals(standard: MeanCurve, alignment: Alignment, scale: float) -> dict[float, float]:
    positions = alignment.positions(standard)
    _, residuals = fit_curve(positions, standard.value, positions)
    return dict(zip(positions.tolist(), (scale * residuals).tolist(), strict=True))


def record(comparison: Comparison) -> dict[str, Any]:
    """A comparison as strict JSON has it: what ``composer-clr compare --json`` writes.

    Returns:
        dict: ``metric``, ``baseline``, ``align``, ``formula_cost_ratio``; by method under ``methods`` the ``gap``
        (``mean``, ``sem``, ``by_epoch``, ``sem_by_epoch``, ``how_by_epoch``, ``left_out``), ``cosine_similarity``,
        ``cost_ratio``, the ``improvement`` over the baseline on either kind of curve, and with a fit its
        ``fit_residuals``; ``ranking_agreement`` by epoch; and the methods ``skipped``, with the reason. Epochs are
        strings, ``'32'``; what is not known is ``null``.
    """
    return {
        'metric': comparison.metric,
        'baseline': comparison.baseline,
        'align': comparison.alignment.mode,
        'formula_cost_ratio': comparison.formula_cost_ratio,
        'methods': {method: _method_record(figures) for method, figures in comparison.methods.items()},
        'ranking_agreement': _by_epoch(comparison.agreement, comparison.agreement.values()),
        'skipped': comparison.skipped,
    }


def record_kinds(compared: Mapping[str, Comparison]) -> dict[str, Any]:
    """Comparisons of several kinds as strict JSON has them: :func:`record` of the first, and the figures of each.

    Returns:
        dict: As from :func:`record`, for the cyclic curves where there are some; and under ``kinds``, by kind, what
        ``methods`` holds.
    """
    first = next(iter(compared.values()))
    return {**record(first), 'kinds': {kind: record(comparison)['methods'] for kind, comparison in compared.items()}}


def _method_record(figures: MethodComparison) -> dict[str, Any]:
    gap, gained = figures.gap, figures.improvement
    told = {
        'gap': {
            'mean': gap.mean,
            'sem': gap.mean_sem,
            'by_epoch': _by_epoch(gap.epoch, gap.value.tolist()),
            'sem_by_epoch': _by_epoch(gap.epoch, gap.sem),
            'how_by_epoch': _by_epoch(gap.epoch, gap.how),
            'left_out': gap.left_out.tolist(),
        },
        'cosine_similarity': figures.cosine_similarity,
        'cost_ratio': figures.cost_ratio,
        'improvement': {
            'cyclic': _by_epoch(gained.epoch, gained.cyclic.tolist()),
            'standard': _by_epoch(gained.epoch, gained.standard.tolist()),
        },
    }
    residuals = figures.fit_residuals
    return told if residuals is None else {**told, 'fit_residuals': _by_epoch(residuals, residuals.values())}


def _by_epoch(epochs: Iterable[float], values: Iterable[Any]) -> dict[str, Any]:
    # Twelve digits: where epochs are counted in batches, six would make two points one.
    return {f'{epoch:.12g}': value for epoch, value in zip(epochs, values, strict=True)}
