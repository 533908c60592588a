"""Points of a run that was made longer after its one decay, as a curve of their own kind."""

from __future__ import annotations

from dataclasses import replace

from composer_clr.curves.curve import TradeoffCurve

__all__ = ['split_extended']


def split_extended(curve: TradeoffCurve) -> list[TradeoffCurve]:
    """Separates the points that were reached through an earlier decay from those of one decay.

    A standard run that was made longer has two decays behind its later points, so these are not points of the standard
    curve: they get the kind ``standard-extended``. The earlier points stay what they are.

    Args:
        curve (TradeoffCurve): Any run.

    Returns:
        list[TradeoffCurve]: The curve alone where it was not made longer; else its part up to the first point marked
        ``own_decay``, and the rest.

    Example:
        >>> from composer_clr.curves.curve import Run, TradeoffPoint
        >>> run = Run('r', 'standard', 'baseline')
        >>> first = TradeoffPoint(0, 4.0, 40, 160, 0, 1.0, 1.0, 0.0, {'eval/Accuracy': 0.7}, {}, own_decay=True)
        >>> last = replace(first, epoch=8.0, batch=80, own_decay=False)
        >>> [(part.run.kind, len(part.points)) for part in split_extended(TradeoffCurve(run, [first, last]))]
        [('standard', 1), ('standard-extended', 1)]
    """
    shared = next((i + 1 for i, point in enumerate(curve.points) if point.own_decay), len(curve.points))
    if shared == len(curve.points):
        return [curve]
    later = replace(curve.run, kind=f'{curve.run.kind}-extended')
    parts = [TradeoffCurve(curve.run, curve.points[:shared]), TradeoffCurve(later, curve.points[shared:])]
    for part in parts:
        part.source = curve.source
    return parts
