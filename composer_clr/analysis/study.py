"""Compares a whole study: one-run curves with standard ones, and methods with a baseline on every kind of curve."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from composer_clr.analysis.basis import Basis, basis_of, in_log
from composer_clr.analysis.compare import Comparison, compare_kinds
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.over_baseline import OverBaseline, over_baseline
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.analysis.uncertainty import Seeds
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import BASELINE, STANDARD, kind_order

__all__ = ['StudyComparison', 'compare_study']


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyComparison(Basis):
    """A whole study, compared.

    Attributes:
        with_standard (dict[str, Comparison]): By kind, its curves compared with the standard ones; empty without
            standard runs.
        over_baseline (dict[str, OverBaseline]): By kind, the methods compared with the baseline; kinds with the
            baseline alone are left out.
        left_out (dict[str, str]): Each kind that could not be compared with the standard one, and why.
    """

    with_standard: dict[str, Comparison]
    over_baseline: dict[str, OverBaseline]
    left_out: dict[str, str]


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
    metric, basis = basis_of(
        runs, metric, baseline=baseline, alignment=alignment, peak=peak, lower_is_better=lower_is_better
    )
    baseline, lower, is_ratio = basis.baseline, basis.lower_is_better, basis.is_ratio
    in_differences = [in_log(run, metric) for run in runs] if is_ratio else runs
    means = mean_curves(in_differences, metric, axis=basis.axis, peak=peak)
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
                means, kind, baseline, alignment, lower_is_better=lower, scale=basis.scale, seeds=seeds
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
    return StudyComparison(**vars(basis), with_standard=with_standard, over_baseline=compared, left_out=left_out)


def _in_values(found: OverBaseline) -> OverBaseline:
    """Returns a comparison of logarithms with the values of the baseline's points in place of their logarithms."""
    methods = {
        method: replace(figures, speedups=[replace(one, target=math.exp(one.target)) for one in figures.speedups])
        for method, figures in found.methods.items()
    }
    return replace(found, methods=methods)
