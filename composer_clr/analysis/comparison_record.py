"""Comparisons as plain values, for JSON: what ``composer-clr compare --json`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from composer_clr.analysis.compare import Comparison, MethodComparison

__all__ = ['record', 'record_kinds']


def record(comparison: Comparison) -> dict[str, Any]:
    """A comparison as strict JSON has it: what ``composer-clr compare --json`` writes.

    Returns:
        dict: ``metric``, ``baseline``, ``align``, ``formula_cost_ratio``; by method under ``methods`` the ``gap``
        (``mean``, ``sem``, ``by_epoch``, ``sem_by_epoch``, ``how_by_epoch``, ``left_out``), ``cosine_similarity``,
        ``cost_ratio``, ``counted_cost_ratio``, the ``improvement`` over the baseline on either kind of curve, and with
        a fit its ``fit_residuals``; ``ranking_agreement`` by epoch; the methods ``skipped``, with the reason; ``axis``
        and ``is_ratio``. Epochs, or the counts of another axis (``by_token``), are strings, ``'32'``; what is not known
        is ``null``.
    """
    return {
        'metric': comparison.metric,
        'baseline': comparison.baseline,
        'align': comparison.alignment.mode,
        'formula_cost_ratio': comparison.formula_cost_ratio,
        'methods': {method: _method_record(figures, comparison.axis) for method, figures in comparison.methods.items()},
        'ranking_agreement': _by_count(comparison.agreement, comparison.agreement.values()),
        'skipped': comparison.skipped,
        'axis': 'time' if comparison.alignment.axis == 'time' else comparison.axis,
        'is_ratio': comparison.is_ratio,
    }


def record_kinds(compared: Mapping[str, Comparison]) -> dict[str, Any]:
    """Comparisons of several kinds as strict JSON has them: :func:`record` of the first, and the figures of each.

    Returns:
        dict: As from :func:`record`, for the cyclic curves where there are some; and under ``kinds``, by kind, what
        ``methods`` holds.
    """
    first = next(iter(compared.values()))
    return {**record(first), 'kinds': {kind: record(comparison)['methods'] for kind, comparison in compared.items()}}


def _method_record(figures: MethodComparison, axis: str) -> dict[str, Any]:
    gap, gained = figures.gap, figures.improvement
    told = {
        'gap': {
            'mean': gap.mean,
            'sem': gap.mean_sem,
            f'by_{axis}': _by_count(gap.count, gap.value.tolist()),
            f'sem_by_{axis}': _by_count(gap.count, gap.sem),
            f'how_by_{axis}': _by_count(gap.count, gap.how),
            'left_out': gap.left_out.tolist(),
        },
        'cosine_similarity': figures.cosine_similarity,
        'cost_ratio': figures.cost_ratio,
        'counted_cost_ratio': figures.counted_cost_ratio,
        'improvement': {
            'cyclic': _by_count(gained.count, gained.cyclic.tolist()),
            'standard': _by_count(gained.count, gained.standard.tolist()),
        },
    }
    residuals = figures.fit_residuals
    return told if residuals is None else {**told, 'fit_residuals': _by_count(residuals, residuals.values())}


def _by_count(counts: Iterable[float], values: Iterable[Any]) -> dict[str, Any]:
    # Twelve digits: six would make two counts of batches one.
    return {f'{count:.12g}': value for count, value in zip(counts, values, strict=True)}
