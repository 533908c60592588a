"""A study compared: one-run curves with standard ones, and methods with a baseline on every kind of curve."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from composer_clr.analysis.compare import Comparison, compare_kinds, in_log
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.over_baseline import OverBaseline, over_baseline
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.analysis.uncertainty import Seeds
from composer_clr.curves.axes import differing_epochs
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.kinds import STANDARD, kind_order
from composer_clr.curves.methods import BASELINE, study_baseline
from composer_clr.curves.metrics import default_metric, full_name, is_perplexity, study_direction, study_is_fraction

__all__ = ['StudyComparison', 'compare_study']


@dataclass(frozen=True, eq=False)
class StudyComparison:
    """A whole study, compared.

    Attributes:
        metric (str): The metric; with ``peak:`` before it for the best value near a point.
        baseline (str): The method that improvements are over.
        alignment (Alignment): How points were paired.
        scale (float): 100 where differences are percentage points, else 1.
        lower_is_better (bool): Whether less is better.
        with_standard (dict[str, Comparison]): By kind, its curves compared with the standard ones; empty without
            standard runs.
        over_baseline (dict[str, OverBaseline]): By kind, the methods compared with the baseline; kinds with the
            baseline alone are left out.
        left_out (dict[str, str]): Each kind that could not be compared with the standard one, and why.
        axis (str): What the counts are: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        is_ratio (bool): Whether differences are of logarithms, as of perplexities.
        warning (str | None): Why equal counts may not be comparable.
    """

    metric: str
    baseline: str
    alignment: Alignment
    scale: float
    lower_is_better: bool
    with_standard: dict[str, Comparison]
    over_baseline: dict[str, OverBaseline]
    left_out: dict[str, str]
    axis: str = 'epoch'
    is_ratio: bool = False
    warning: str | None = None


def compare_study(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    baseline: str = BASELINE,
    alignment: Alignment = INTERPOLATED,
    peak: bool = False,
    lower_is_better: bool | None = None,
    seeds: Seeds = 'common',
    gpus: int | None = None,
    strict: bool = True,
) -> StudyComparison:
    """Compares methods with the baseline on every kind of curve, and kinds with the standard one if there is one.

    One cyclic run of each of two methods is enough. The arguments are those of :func:`compare`.

    Raises:
        CurveError: If nothing can be compared; with ``strict``, if a kind or a method cannot.
    """
    runs = [curve for curve in curves if curve.points]
    axis = alignment.counted(runs)
    metric = full_name(runs, metric, peak=peak) if metric else default_metric(runs, peak=peak)
    baseline = study_baseline(runs, baseline)
    lower = study_direction(runs, metric, lower_is_better)
    scale = 100.0 if study_is_fraction(runs, metric, peak=peak) else 1.0
    is_ratio = is_perplexity(metric)
    in_differences = [in_log(run, metric) for run in runs] if is_ratio else runs
    means = mean_curves(in_differences, metric, axis=axis, peak=peak)
    kinds = sorted({kind for _, kind in means}, key=kind_order)
    with_standard: dict[str, Comparison] = {}
    left_out: dict[str, str] = {}
    if STANDARD in kinds and len(kinds) > 1:
        try:
            with_standard, left_out = compare_kinds(
                runs,
                metric,
                baseline=baseline,
                alignment=alignment,
                peak=peak,
                lower_is_better=lower,
                seeds=seeds,
                gpus=gpus,
                strict=strict,
            )
        except CurveError as error:
            if strict:
                raise
            left_out = {kind: str(error) for kind in kinds if kind != STANDARD}
    compared: dict[str, OverBaseline] = {}
    for kind in kinds:
        if (baseline, kind) in means and sum(its_kind == kind for _, its_kind in means) > 1:
            compared[kind] = over_baseline(
                means, kind, baseline, alignment, lower_is_better=lower, scale=scale, seeds=seeds
            )
    if is_ratio:
        compared = {kind: _in_values(found) for kind, found in compared.items()}
    if not with_standard and not compared:
        methods = list(dict.fromkeys(method for method, _ in means))
        reason = next(iter(left_out.values()), '')
        if baseline not in methods:
            reason = f'no run is of the baseline {baseline!r}: choose one of {", ".join(methods)} with --baseline'
        raise CurveError(
            reason
            or f'nothing to compare: {baseline!r} has {", ".join(kinds)} runs and no other method or kind beside them: '
            'name runs of another method, or standard runs'
        )
    return StudyComparison(
        metric=f'peak:{metric}' if peak else metric,
        baseline=baseline,
        alignment=alignment,
        scale=scale,
        lower_is_better=lower,
        with_standard=with_standard,
        over_baseline=compared,
        left_out=left_out,
        axis=axis,
        is_ratio=is_ratio,
        warning=differing_epochs(runs) if axis == 'epoch' and alignment.axis != 'time' else None,
    )


def _in_values(found: OverBaseline) -> OverBaseline:
    """Returns a comparison of logarithms with the values of the baseline's points in place of their logarithms."""
    methods = {
        method: replace(figures, speedups=[replace(one, target=math.exp(one.target)) for one in figures.speedups])
        for method, figures in found.methods.items()
    }
    return replace(found, methods=methods)
