"""What a comparison is of, decided in one place: the metric, its unit and direction, the axis, the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.axes import Count, differing_epochs
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.metrics import default_metric, full_name, is_perplexity, study_direction, study_is_fraction
from composer_clr.curves.names import study_baseline
from composer_clr.study.pooling import differing_kinds, differing_pace, resumed_otherwise

__all__ = ['Basis', 'basis_of', 'in_log']


@dataclass(frozen=True, eq=False, kw_only=True)
class Basis:
    """What a comparison is of.

    Attributes:
        metric (str): The metric; with ``peak:`` before it for the best value near a point.
        baseline (str): The method that improvements are over.
        alignment (Alignment): How points are paired.
        scale (float): 100 where differences are percentage points, else 1.
        lower_is_better (bool): Whether less is better.
        axis (str): What the counts are: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        is_ratio (bool): Whether gaps are ratios, cyclic over standard, as of perplexities; improvements are then
            differences of logarithms.
        warnings (tuple[str, ...]): Why equal epochs, or times, are not comparable.
    """

    metric: str
    baseline: str
    alignment: Alignment
    scale: float
    lower_is_better: bool
    axis: Count
    is_ratio: bool
    warnings: tuple[str, ...]


def basis_of(
    runs: Sequence[TradeoffCurve],
    metric: str | None,
    *,
    baseline: str,
    alignment: Alignment,
    peak: bool,
    lower_is_better: bool | None,
) -> tuple[str, Basis]:
    """Returns the full name of a study's metric, and the basis of its comparison; the arguments are :func:`compare`'s.

    Raises:
        CurveError: If the runs do not share a metric, its unit, or an axis.
    """
    axis = alignment.counted(runs)
    name = full_name(runs, metric, peak=peak) if metric else default_metric(runs, peak=peak)
    return name, Basis(
        metric=f'peak:{name}' if peak else name,
        baseline=study_baseline(runs, baseline),
        alignment=alignment,
        scale=100.0 if study_is_fraction(runs, name, peak=peak) else 1.0,
        lower_is_better=study_direction(runs, name, lower_is_better),
        axis=axis,
        is_ratio=is_perplexity(name),
        warnings=tuple(
            filter(
                None,
                (
                    differing_epochs(runs) if axis == 'epoch' else None,
                    differing_pace(runs),
                    *differing_kinds(runs),
                    *resumed_otherwise(runs),
                ),
            )
        ),
    )


def in_log(run: TradeoffCurve, metric: str) -> TradeoffCurve:
    """Returns a run with the logarithm of a metric, in which ratios are differences."""

    def logged(metrics: dict[str, float]) -> dict[str, float]:
        value = metrics.get(metric, 0.0)
        return {**metrics, metric: math.log(value) if value > 0 else math.nan} if metric in metrics else metrics

    points = [replace(p, metrics=logged(p.metrics), peak_metrics=logged(p.peak_metrics)) for p in run.points]
    changed = replace(run, points=points)
    changed.source = run.source
    return changed
