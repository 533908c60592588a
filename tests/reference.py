"""The schedule again, slow and obvious: one batch after another, in fractions. The oracle for the fast version."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction


def multipliers(
    t_warmup: int, t_0: int, t_mult: float | Fraction, cycles: int, alpha_f: float = 0.0
) -> Iterator[tuple[int, int, float]]:
    """Yield (cycle, batch, multiplier) for every batch; the warmup counts as cycle -1."""
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
