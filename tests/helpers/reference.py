"""A slow and obvious implementation of the schedule, batch by batch in fractions: the reference for the fast one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction


def multipliers(
    t_warmup: int, t_0: int, t_mult: float | Fraction, cycles: int, alpha_f: float = 0.0
) -> Iterator[tuple[int, int, float]]:
    """Yields (cycle, batch, multiplier) for every batch; the warmup counts as cycle -1."""
    for batch in range(t_warmup):
        yield -1, batch, float(Fraction(batch, t_warmup))
    exact_end = Fraction(t_warmup)
    restart = t_warmup
    period = Fraction(t_0)
    for cycle in range(cycles):
        exact_end = exact_end + period
        period = period * Fraction(t_mult)
        trough = round(exact_end)
        for batch in range(restart, trough):
            part = Fraction(batch - restart, trough - restart)
            yield cycle, batch, alpha_f + (1 - alpha_f) * 0.5 * (1 + math.cos(math.pi * float(part)))
        restart = trough


def shaped_multipliers(
    bounds: list[int],
    decay: str,
    *,
    peaks: list[float],
    rise: Fraction | int = 0,
    hold: Fraction | int = 0,
    alpha_f: float = 0.0,
) -> Iterator[tuple[int, float]]:
    """Yields (batch, multiplier) for every batch of cycles of another shape, piece by piece.

    Rise and hold are batches, or a Fraction of each cycle. A triangle's multiplier is computed from the distance to
    the middle of the cycle, as in Smith's paper.
    """
    for batch in range(bounds[0]):
        yield batch, batch / bounds[0]
    for cycle in range(len(bounds) - 1):
        restart, trough = bounds[cycle], bounds[cycle + 1]
        period, height = trough - restart, peaks[cycle] - alpha_f
        up = rise * period if isinstance(rise, Fraction) else rise
        flat = hold * period if isinstance(hold, Fraction) else hold
        if cycle == 0:
            up = 0
        for batch in range(restart, trough):
            since, left = batch - restart, trough - batch
            if decay == 'triangle':
                part = 1 - abs(1 - 2 * Fraction(since, period))
                if cycle == 0 and bounds[0] > 0:
                    part = Fraction(left, period)
                yield batch, alpha_f + height * float(part)
            elif since < up:
                yield batch, alpha_f + height * float(Fraction(since) / up)
            elif since < up + flat:
                yield batch, peaks[cycle]
            else:
                remaining = float(Fraction(left) / (period - up - flat))
                falls = {
                    'cosine': math.sin(math.pi / 2 * remaining) ** 2,
                    'linear': remaining,
                    '1-sqrt': 1 - (1 - remaining) ** 0.5,
                }
                yield batch, alpha_f + height * falls[decay]


def geometric_bounds(warmup: Fraction, t_0: Fraction, t_mult: Fraction, until: int) -> list[int]:
    """Returns the end of the warmup and every trough up to ``until``, each rounded from the exact sum of periods."""
    bounds = [round(warmup)]
    for cycles in range(1, 1000):
        trough = round(warmup + sum(t_0 * t_mult**cycle for cycle in range(cycles)))
        if trough > until:
            break
        bounds.append(trough)
    return bounds
