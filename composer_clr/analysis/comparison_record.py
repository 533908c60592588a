"""Converts comparisons to plain values for JSON: what ``composer-clr compare --json`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from composer_clr.analysis.compare import Comparison, MethodComparison
from composer_clr.analysis.cost import StudyCost
from composer_clr.analysis.differences import Differences
from composer_clr.analysis.over_baseline import MethodOverBaseline, OverBaseline
from composer_clr.analysis.queries import Answer
from composer_clr.analysis.resampling import Crossing, Speedup
from composer_clr.analysis.study import StudyComparison
from composer_clr.analysis.uncertainty import Estimate, seeds_to_resolve
from composer_clr.curves.metrics import in_points

__all__ = ['bound_record', 'record', 'record_kinds', 'record_study', 'speedup_record']


def record(comparison: Comparison, *, resolve: float | None = None, price: float | None = None) -> dict[str, Any]:
    """Returns a comparison with the standard curves as strict JSON has it.

    Returns:
        dict: ``metric``, ``baseline``, ``align``, ``formula_cost_ratio``; by method under ``methods`` the ``gap``
        (``mean``, ``sem``, ``by_epoch``, ``sem_by_epoch``, ``how_by_epoch``, ``left_out``, and ``interval``,
        ``interval_by_epoch``, ``seeds``, ``seeds_by_epoch``), ``cosine_similarity`` with ``cosine_interval`` and
        ``cosine_seeds``, ``cost_ratio``, ``counted_cost_ratio``, ``cost`` (with the ``interval`` and ``seeds`` of the
        ratio), the ``improvement`` over the baseline on either kind of curve, and with a fit its ``fit_residuals``;
        ``ranking_agreement`` and ``ranking_agreement_intervals`` by epoch; the methods ``skipped``, with the reason;
        ``axis`` and ``is_ratio``; by method ``unlike_times``, why its times are not comparable. Epochs, or the counts
        of another axis (``by_token``), are strings, ``'32'``; an interval is ``[low, high]``; what is not known is
        ``null``.
    """
    return {
        'metric': comparison.metric,
        'baseline': comparison.baseline,
        'align': comparison.alignment.mode,
        'formula_cost_ratio': comparison.formula_cost_ratio,
        'methods': {
            method: _method_record(figures, comparison.axis, resolve, price)
            for method, figures in comparison.methods.items()
        },
        'ranking_agreement': _by_count(comparison.agreement, comparison.agreement.values()),
        'ranking_agreement_intervals': _by_count(
            comparison.rankings, [tau and _interval(tau) for tau in comparison.rankings.values()]
        ),
        'skipped': comparison.skipped,
        'axis': 'time' if comparison.alignment.axis == 'time' else comparison.axis,
        'is_ratio': comparison.is_ratio,
    }


def record_kinds(compared: Mapping[str, Comparison], **options: float | None) -> dict[str, Any]:
    """Returns comparisons of several kinds: :func:`record` of the first, and the figures of each.

    Returns:
        dict: As from :func:`record`, for the cyclic curves if there are some; and under ``kinds``, by kind, its
        ``methods``.
    """
    kinds = {kind: record(comparison, **options) for kind, comparison in compared.items()}
    return {**next(iter(kinds.values())), 'kinds': {kind: written['methods'] for kind, written in kinds.items()}}


def record_study(study: StudyComparison, *, resolve: float | None = None, price: float | None = None) -> dict[str, Any]:
    """Returns what ``composer-clr compare --json`` writes, as strict JSON has it.

    Args:
        study (StudyComparison): The study.
        resolve (float | None): A difference, in the unit of the record. Default: ``None``. With it, every mean has
            ``seeds_to_resolve``, :func:`~composer_clr.analysis.uncertainty.seeds_to_resolve`.
        price (float | None): Of a GPU-hour. Default: ``None``. With it, every cost has ``one_run_price`` and
            ``separate_price``.

    Returns:
        dict: As from :func:`record_kinds`; without standard runs its ``formula_cost_ratio`` is ``null`` and its
        ``methods``, ``kinds``, ``ranking_agreement`` and ``skipped`` are empty. Besides ``direction``, ``'max'`` or
        ``'min'``; ``unit``, ``'points'`` for percentage points or ``'metric'``; ``warnings``, why equal epochs or times
        are not comparable; ``left_out``, the kinds that could not be compared; and ``over_baseline``, by kind:
        ``methods``, by method ``at_equal_counts`` and ``at_equal_time`` (``by_epoch``, ``interval_by_epoch``,
        ``seeds_by_epoch``, ``mean``, ``interval``), ``speedup`` at the value of each of the baseline's points, and
        ``crossings``; and the ``ranking`` by count, best first, ties together.
    """
    without: dict[str, Any] = {
        'metric': study.metric,
        'baseline': study.baseline,
        'align': study.alignment.mode,
        'formula_cost_ratio': None,
        'methods': {},
        'ranking_agreement': {},
        'ranking_agreement_intervals': {},
        'skipped': {},
        'axis': study.axis,
        'is_ratio': study.is_ratio,
        'kinds': {},
    }
    return {
        **(record_kinds(study.with_standard, resolve=resolve, price=price) if study.with_standard else without),
        'direction': 'min' if study.lower_is_better else 'max',
        'unit': 'points' if in_points(study.metric, study.scale) else 'metric',
        'warnings': list(study.warnings),
        'left_out': study.left_out,
        'over_baseline': {
            kind: _over_baseline_record(found, study.axis, resolve) for kind, found in study.over_baseline.items()
        },
    }


def _method_record(figures: MethodComparison, axis: str, resolve: float | None, price: float | None) -> dict[str, Any]:
    gap, improvement = figures.gap, figures.improvement
    written = {
        'gap': {
            'mean': gap.mean,
            'sem': gap.mean_sem,
            f'by_{axis}': _by_count(gap.count, gap.value.tolist()),
            f'sem_by_{axis}': _by_count(gap.count, gap.sem),
            f'how_by_{axis}': _by_count(gap.count, gap.how),
            'left_out': gap.left_out.tolist(),
            **_intervals(gap, axis, resolve),
        },
        'cosine_similarity': figures.cosine_similarity,
        'cosine_interval': figures.cosine and _interval(figures.cosine),
        'cosine_seeds': figures.cosine and figures.cosine.seeds,
        'cost_ratio': figures.cost_ratio,
        'counted_cost_ratio': figures.counted_cost_ratio,
        'cost': _cost_record(figures.cost, price),
        'unlike_times': figures.unlike_times,
        'improvement': {
            'cyclic': _by_count(improvement.count, improvement.cyclic.tolist()),
            'standard': _by_count(improvement.count, improvement.standard.tolist()),
        },
    }
    residuals = figures.fit_residuals
    return written if residuals is None else {**written, 'fit_residuals': _by_count(residuals, residuals.values())}


def _cost_record(cost: StudyCost, price: float | None) -> dict[str, Any]:
    written = {**asdict(cost), 'timed_alike': cost.timed_alike}
    if price is not None:
        for runs, hours in (('one_run', cost.one_run_gpu_h), ('separate', cost.separate_gpu_h)):
            written[f'{runs}_price'] = None if hours is None else price * hours
    return written


def _intervals(found: Differences, axis: str, resolve: float | None) -> dict[str, Any]:
    resolution = {} if resolve is None else {'seeds_to_resolve': seeds_to_resolve(found.average, resolve)}
    return {
        'interval': _interval(found.average),
        f'interval_by_{axis}': _by_count(found.count, map(_interval, found.estimates)),
        'seeds': found.average.seeds,
        f'seeds_by_{axis}': _by_count(found.count, [one.seeds for one in found.estimates]),
        'unequal_seeds': found.unequal or None,
        **resolution,
    }


def _interval(found: Estimate | Speedup | Crossing) -> list[float] | None:
    return None if found.low is None or found.high is None else [found.low, found.high]


def _over_baseline_record(found: OverBaseline, axis: str, resolve: float | None) -> dict[str, Any]:
    return {
        'methods': {method: _over_record(figures, axis, resolve) for method, figures in found.methods.items()},
        'ranking': _by_count(found.ranking, found.ranking.values()),
    }


def _over_record(figures: MethodOverBaseline, axis: str, resolve: float | None) -> dict[str, Any]:
    return {
        'at_equal_counts': _differences_record(figures.at_equal_counts, axis, resolve),
        'at_equal_time': _differences_record(figures.at_equal_time, axis, resolve),
        'speedup': [speedup_record(found) for found in figures.speedups],
        'unlike_times': figures.unlike_times,
        'crossings': {
            axis: [_crossing_record(found) for found in figures.crossings_in_counts],
            'time_s': [_crossing_record(found) for found in figures.crossings_in_time],
        },
    }


def _differences_record(found: Differences | None, axis: str, resolve: float | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        'mean': found.mean,
        f'by_{axis}': _by_count(found.count, found.value.tolist()),
        f'position_by_{axis}': _by_count(found.count, found.position.tolist()),
        'left_out': found.left_out.tolist(),
        **_intervals(found, axis, resolve),
    }


def speedup_record(found: Speedup) -> dict[str, Any]:
    """Returns a speedup as strict JSON has it: ``speedup`` is ``null`` unless it is reached, ``bound`` unless not."""
    return {
        'value': found.target,
        'speedup': found.answer.exact,
        'state': found.answer.state,
        'bound': bound_record(found.answer),
        'interval': _interval(found),
        'seeds': found.seeds,
    }


def bound_record(answer: Answer) -> dict[str, Any] | None:
    """Returns an answer's bound, ``{'<=': 3294.0}``, or ``None`` if it is not a bound."""
    return {answer.relation: answer.value} if answer.state == 'bound' else None


def _crossing_record(found: Crossing) -> dict[str, Any]:
    return {'budget': found.budget, 'better': found.better, 'interval': _interval(found), 'seeds': found.seeds}


def _by_count(counts: Iterable[float], values: Iterable[Any]) -> dict[str, Any]:
    # Twelve digits: six would make two counts of batches one.
    return {f'{count:.12g}': value for count, value in zip(counts, values, strict=True)}
