"""The names of training methods, as the paper writes them: sets of algorithms."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ['ABBREVIATIONS', 'method_name']

ABBREVIATIONS = {'BlurPool': 'BP', 'ChannelsLast': 'CL', 'LabelSmoothing': 'LS', 'MixUp': 'MX'}


def method_name(algorithms: Iterable[str]) -> str:
    """Name the method that a set of Composer algorithms makes, whatever order they are applied in.

    Args:
        algorithms (Iterable[str]): Names of Composer's algorithm classes.

    Example:
        >>> method_name(['MixUp', 'LabelSmoothing'])
        'LS+MX'
        >>> method_name(['EMA', 'BlurPool']), method_name([])
        ('BP+EMA', 'baseline')
    """
    order = list(ABBREVIATIONS)
    present = sorted(set(algorithms), key=lambda name: (order.index(name) if name in order else len(order), name))
    return '+'.join(ABBREVIATIONS.get(name, name) for name in present) or 'baseline'
