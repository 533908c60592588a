"""What a metric's name and values tell: whether less is better, whether it is a fraction, and which one to take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint

__all__ = ['default_metric', 'is_fraction', 'is_lower_better', 'measured']

_LOWER_IS_BETTER = ('loss', 'error', 'perplexity', 'entropy')


def is_lower_better(metric: str) -> bool:
    """Whether less is better, told from the metric's name: loss, error, perplexity and entropy.

    Example:
        >>> is_lower_better('eval/LanguagePerplexity'), is_lower_better('loss-study/MulticlassAccuracy')
        (True, False)
    """
    return any(word in _own_name(metric) for word in _LOWER_IS_BETTER)


def is_fraction(metric: str, values: Iterable[float]) -> bool:
    """Whether a metric is a fraction, so that its differences are percentage points.

    It is one when all its values lie in [0, 1] and its name is not that of a loss or an unbounded error: an error
    rate counts, a mean squared error does not, however small.

    Example:
        >>> is_fraction('eval/MulticlassAccuracy', [0.71, 0.76]), is_fraction('eval/accuracy', [71, 76])
        (True, False)
        >>> is_fraction('eval/CrossEntropy', [0.9, 0.5]), is_fraction('eval/WordErrorRate', [0.2, 0.1])
        (False, True)
    """
    bounded = not is_lower_better(metric) or 'rate' in _own_name(metric)
    return bounded and all(0 <= value <= 1 for value in values)


def _own_name(metric: str) -> str:
    """The name without the evaluator's label."""
    return metric.rpartition('/')[2].lower()


def measured(point: TradeoffPoint, peak: bool) -> dict[str, float]:
    """A point's metrics: those at the trough, or the best near it."""
    return point.peak_metrics if peak else point.metrics


def default_metric(curves: Sequence[TradeoffCurve], *, peak: bool = False) -> str:
    """The metric to take when none is named: an accuracy if all points have one, else the first that all have.

    Args:
        curves (Sequence[TradeoffCurve]): The runs.
        peak (bool): Whether the points must have its best value near them. Default: ``False``.

    Raises:
        CurveError: If there are no points, or no metric is in all of them.
    """
    points = [measured(point, peak) for curve in curves for point in curve.points]
    if not points:
        raise CurveError('there are no points to compare: name runs that have passed a trough')
    shared = [name for name in points[0] if all(name in point for point in points)]
    if not shared:
        names = sorted({name for point in points for name in point})
        what = 'peak metric' if peak else 'metric'
        raise CurveError(f'the curves share no {what} (they have {names}): take those with the same evaluation')
    return next((name for name in shared if 'accuracy' in name.lower()), shared[0])
