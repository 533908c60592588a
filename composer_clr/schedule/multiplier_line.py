"""The multiplier over training as a line to draw."""

from __future__ import annotations

from itertools import pairwise

from composer_clr.schedule.cycles import Cycles

__all__ = ['multiplier_line']


def multiplier_line(
    cycles: Cycles, until: int, alpha_f: float = 0.0, *, points_per_cycle: int = 200
) -> tuple[list[float], list[float]]:
    """Returns the multiplier from 0 to ``until``: times, in the unit of the cycles, and the multiplier at each.

    A trough appears twice: with the multiplier that its cycle ends on, and with the one that the next starts from. The
    ends of rises and holds are included.

    Args:
        cycles (Cycles): The cycles.
        until (int): End of the line, > 0.
        alpha_f (float): Multiplier at a trough. Default: ``0.0``.
        points_per_cycle (int): Times per cycle, evenly spaced, >= 1. Default: ``200``.

    Example:
        >>> multiplier_line(Cycles(4, [8, 16]), until=16, points_per_cycle=1)
        ([0.0, 4.0, 8.0, 8.0, 16.0], [0.0, 1.0, 0.0, 1.0, 0.0])
    """
    if until < cycles.start:
        return [0.0, float(until)], [0.0, cycles.multiplier(until, alpha_f)]
    times, values = ([0.0], [0.0]) if cycles.start else ([], [])
    for restart, trough in pairwise([cycles.start, *cycles.troughs(until), cycles.next_trough(until) or until]):
        end = min(trough, until)
        if restart >= end:
            continue
        inner = {restart + (trough - restart) * i / points_per_cycle for i in range(points_per_cycle)}
        cycle = cycles.index(restart)
        if cycles.shape is not None and cycle is not None:
            inner.update(restart + corner for corner in cycles.shape.corners(cycle, trough - restart))
        before_end = sorted(t for t in inner if t < end)
        times += [*map(float, before_end), float(end)]
        values += [cycles.multiplier(t, alpha_f) for t in before_end]
        values.append(cycles.trough_multiplier(trough, alpha_f) if end == trough else cycles.multiplier(end, alpha_f))
    return times, values
