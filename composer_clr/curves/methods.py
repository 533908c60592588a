"""The names of training methods, as the paper writes them: sets of algorithms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer_clr.curves.curve import TradeoffCurve

__all__ = ['ABBREVIATIONS', 'BASELINE', 'method_algorithms', 'method_name', 'study_baseline']

BASELINE = 'baseline'
ABBREVIATIONS = {'BlurPool': 'BP', 'ChannelsLast': 'CL', 'LabelSmoothing': 'LS', 'MixUp': 'MX'}

# Algorithms of the usual training run, which make no method: numerics and stability, not what is learned.
_NO_METHOD = frozenset({'GradientClipping', 'LowPrecisionGroupNorm', 'LowPrecisionLayerNorm', 'NoOpModel'})

# With the paper's arguments, in the order to list them in: after ChannelsLast, BlurPool's new layers would stay as they
# are laid out; after LabelSmoothing, MixUp would mix in targets that are not smoothed.
_ALGORITHMS: dict[str, dict[str, Any]] = {
    'BlurPool': {},
    'ChannelsLast': {},
    'MixUp': {'alpha': 0.2},
    'LabelSmoothing': {'smoothing': 0.1},
}


def method_name(algorithms: Iterable[str]) -> str:
    """Returns the name of the method that a set of Composer algorithms makes, in any order.

    Gradient clipping and low-precision norms are part of the usual run and not of the name.

    Args:
        algorithms (Iterable[str]): Names of Composer's algorithm classes.

    Example:
        >>> method_name(['MixUp', 'LabelSmoothing'])
        'LS+MX'
        >>> method_name(['EMA', 'BlurPool']), method_name([])
        ('BP+EMA', 'baseline')
        >>> method_name(['GradientClipping']), method_name(['GradientClipping', 'EMA'])
        ('baseline', 'EMA')
    """
    order = list(ABBREVIATIONS)
    chosen = set(algorithms) - _NO_METHOD
    present = sorted(chosen, key=lambda name: (order.index(name) if name in order else len(order), name))
    return '+'.join(ABBREVIATIONS.get(name, name) for name in present) or BASELINE


def method_algorithms(method: str) -> dict[str, dict[str, Any]]:
    """Returns the algorithms of one of the paper's methods, in the order of application, with the paper's arguments.

    Args:
        method (str): ``'baseline'``, or ``BP``, ``CL``, ``LS`` and ``MX`` joined by ``+`` in any order.

    Raises:
        ValueError: If the method has any other part.

    Example:
        >>> method_algorithms('LS+MX')
        {'MixUp': {'alpha': 0.2}, 'LabelSmoothing': {'smoothing': 0.1}}

    Source:
        Portes et al. 2022, arXiv:2206.00832, appendix A.
    """
    parts = [] if method == BASELINE else method.split('+')
    if unknown := [part for part in parts if part not in ABBREVIATIONS.values()]:
        raise ValueError(
            f'{method!r} has {unknown[0]!r}: a method is {BASELINE}, or {", ".join(ABBREVIATIONS.values())} joined by +'
        )
    return {name: dict(arguments) for name, arguments in _ALGORITHMS.items() if ABBREVIATIONS[name] in parts}


def study_baseline(curves: Iterable[TradeoffCurve], baseline: str = BASELINE) -> str:
    """Returns the method that others are measured by: the one named, or of runs of one method that one.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        baseline (str): The one specified. Default: ``'baseline'``, which a study of one other method need not have.
    """
    methods = {curve.run.method for curve in curves if curve.points}
    return methods.pop() if len(methods) == 1 and baseline == BASELINE else baseline
