"""Comparisons as plain values for JSON: what ``composer-clr compare --json`` writes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from composer_clr.curves.metrics import in_points
from composer_clr.curves.names import STANDARD
from composer_clr.study.compare import Comparison, KindComparison, MethodComparison, MethodOverBaseline
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Estimates, seeds_to_resolve
from composer_clr.study.reach import Answer, Crossing, Speedup
from composer_clr.study.verdicts import Verdict

__all__ = ['answer_record', 'plain', 'record', 'speedup_record']


def record(compared: Comparison, *, resolve: float | None = None) -> dict[str, Any]:
    """Returns a comparison as strict JSON has it: the keys are those of README.md, what is not known is ``null``.

    Args:
        compared (Comparison): The comparison.
        resolve (float | None): A difference, in the unit of the record. Default: ``None``. With it, every mean has
            ``seeds_to_resolve``.
    """
    study, axis = compared.study, compared.study.axis
    kinds = {kind: found for kind, found in compared.kinds.items() if kind != STANDARD and found.methods}
    over = {kind: found for kind, found in compared.kinds.items() if found.over_baseline}
    methods = {
        kind: {method: _method(one, axis, resolve) for method, one in found.methods.items()}
        for kind, found in kinds.items()
    }
    first = next(iter(kinds.values()), KindComparison())
    written = {
        'metric': study.metric,
        'baseline': study.baseline,
        'align': compared.alignment.mode,
        'formula_cost_ratio': first.formula_cost_ratio,
        'methods': next(iter(methods.values()), {}),
        'ranking_agreement': _by(first.taus, [tau and tau.value for tau in first.taus.values()]),
        'ranking_agreement_intervals': _by(first.taus, [tau and _interval(tau) for tau in first.taus.values()]),
        'skipped': first.skipped,
        'axis': 'time' if kinds and compared.alignment.axis == 'time' else axis,
        'is_ratio': study.is_ratio,
        'kinds': methods,
        'direction': 'min' if study.lower_is_better else 'max',
        'unit': 'points' if in_points(study.metric, study.scale) else 'metric',
        'warnings': study.warnings,
        'seed_notes': study.notes,
        'left_out': compared.left_out,
        'over_baseline': {
            kind: {
                'methods': {method: _over(one, axis, resolve) for method, one in found.over_baseline.items()},
                'ranking': _by(found.ranking, found.ranking.values()),
            }
            for kind, found in over.items()
        },
        'verdicts': {
            kind: {method: [_verdict(v, axis) for v in one.verdicts] for method, one in found.over_baseline.items()}
            for kind, found in over.items()
        },
    }
    return plain(written)


def plain(value: Any) -> Any:
    """Returns a value as strict JSON has it: arrays as lists, and what is not known or has no end as ``null``."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _method(found: MethodComparison, axis: str, resolve: float | None) -> dict[str, Any]:
    gap, cosine, cost, (count, *improved) = found.gap, found.cosine, found.cost, found.improvement
    return {
        'gap': {
            **_differences(gap, axis, resolve),
            'sem': gap.mean.sem[0],
            f'sem_by_{axis}': _by(gap.count, gap.each.sem),
            f'how_by_{axis}': _by(gap.count, gap.how),
        },
        'cosine_similarity': cosine and cosine.value,
        'cosine_interval': cosine and _interval(cosine),
        'cosine_seeds': cosine and int(cosine.seeds),
        'cost_ratio': cost.ratio.value,
        'counted_cost_ratio': cost.counted_ratio,
        'cost': {
            **{name: value for name, value in vars(cost).items() if name not in ('count', 'how', 'runs_s')},
            'ratio': cost.ratio.value,
            'timed_alike': cost.timed_alike,
            **_interval_keys(cost.ratio),
        },
        'unlike_times': found.unlike_times,
        'improvement': {kind: _by(count, one) for kind, one in zip(('cyclic', 'standard'), improved, strict=True)},
    }


def _differences(found: Differences, axis: str, resolve: float | None) -> dict[str, Any]:
    mean, each = found.mean, found.each
    return {
        'mean': mean.value[0],
        'mean_over': found.mean_count,
        'mean_of_all': found.mean_of_all.value[0],
        f'by_{axis}': _by(found.count, each.value),
        'left_out': found.left_out,
        'interval': _interval(mean.at(0)),
        f'interval_by_{axis}': _by(found.count, [_interval(each.at(i)) for i in range(len(found.count))]),
        'seeds': int(mean.seeds[0]),
        f'seeds_by_{axis}': _by(found.count, map(int, each.seeds)),
        'unequal_seeds': found.unequal or None,
    } | ({} if resolve is None else {'seeds_to_resolve': seeds_to_resolve(found.deviations, resolve)})


def _over(found: MethodOverBaseline, axis: str, resolve: float | None) -> dict[str, Any]:
    both = {'at_equal_counts': found.at_equal_counts, 'at_equal_time': found.at_equal_time}
    return {
        **{
            at: one and {**_differences(one, axis, resolve), f'position_by_{axis}': _by(one.count, one.position)}
            for at, one in both.items()
        },
        'speedup': [speedup_record(one) for one in found.speedups],
        'unlike_times': found.unlike_times,
        'crossings': {
            key: [{'budget': one.budget, 'better': one.better, **_interval_keys(one)} for one in found.crossings[along]]
            for key, along in ((axis, axis), ('time_s', 'time'))
        },
    }


def _verdict(found: Verdict, axis: str) -> dict[str, Any]:
    verdict = found.decided or 'undecided'
    return {axis: found.at, 'value': found.value, **_interval_keys(found), 'verdict': verdict} | (
        {} if found.decided else {'seeds_to_decide': found.would_do}
    )


def speedup_record(found: Speedup) -> dict[str, Any]:
    """Returns the keys of a speedup: ``speedup`` is known only if it is reached, ``bound`` only if not."""
    return {'value': found.target, 'at': found.count, 'speedup': found.answer.exact, **answer_record(found.answer)}


def answer_record(answer: Answer) -> dict[str, Any]:
    """Returns the keys of an answer: its bound such as ``{'<=': 3294.0}``, and its interval, which may have no end."""
    bound = {answer.relation: answer.value} if answer.state == 'bound' else None
    return {'state': answer.state, 'bound': bound, **_interval_keys(answer)}


def _interval_keys(found: Estimates | Answer | Crossing | Verdict) -> dict[str, Any]:
    return {'interval': _interval(found), 'seeds': int(found.seeds)}


def _interval(found: Estimates | Answer | Crossing | Verdict) -> list[Any] | None:
    return None if math.isnan(found.low) else [found.low, found.high]


def _by(counts: Iterable[float], values: Iterable[Any]) -> dict[str, Any]:
    # Twelve digits: six would make two counts of batches one.
    return {f'{count:.12g}': value for count, value in zip(counts, values, strict=True)}
