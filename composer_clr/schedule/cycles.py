"""Where cycles start and end, and the multiplier at a time, in exact integers.

This module alone computes boundaries. Times are whole numbers of one unit, which the caller chooses.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from composer_clr.schedule.shapes import COSINE, CycleShape, SteadyRate

__all__ = ['Cycles', 'cost_ratio', 'geometric_ends', 'multiplier_line', 'round_half_even']

Rational = int | Fraction


class Cycles:
    r"""The cycles of a schedule: a warmup from 0 to ``start``, then cycle after cycle.

    Cycle :math:`i` runs from its restart :math:`b_i` to its trough :math:`b_{i+1}`, and a time :math:`t` belongs to
    it when :math:`b_i \le t < b_{i+1}`: at a trough the next cycle has already restarted. Under a rate without decay
    the ends of cycles are marks, at which the multiplier does not come down.

    Args:
        start (int): End of the warmup and restart of cycle 0, :math:`b_0 \ge 0`.
        ends (Iterable[int]): The troughs :math:`b_1, b_2, \ldots`, strictly increasing; an endless iterator is read
            and checked only as far as needed.
        shape (CycleShape | SteadyRate): The multiplier within a cycle, or without decay. Default: the plain cosine.

    Example:
        >>> cycles = Cycles(8, geometric_ends(8, t_0=8, t_mult=2))
        >>> cycles.troughs(until=512), cycles.index(31), cycles.index(32)
        ([16, 32, 64, 128, 256, 512], 1, 2)
    """

    def __init__(self, start: int, ends: Iterable[int], shape: CycleShape | SteadyRate = COSINE):
        if start < 0:
            raise ValueError(f'the warmup ends at {start}, before training starts; give it a length of 0 or more')
        self.start = start
        self.shape = shape
        # The plain cosine is computed here, without a call: once per batch.
        self._is_plain = shape == COSINE
        # Bounds b_0, b_1, ... read so far. A table and a bisection find a cycle at the same cost wherever it lies, and
        # exactly; the closed form with a logarithm is neither near the boundaries.
        self._bounds = [start]
        self._unread = iter(ends)
        self._exhausted = False

    @property
    def decays(self) -> bool:
        """Whether the multiplier comes down within each cycle."""
        return self.shape.decays

    @property
    def end_name(self) -> str:
        """What the end of a cycle is called: ``'trough'``, or ``'mark'`` where nothing decays."""
        return 'trough' if self.decays else 'mark'

    def _read_past(self, t: float) -> None:
        """Reads troughs until one lies beyond ``t``, or all are read."""
        while not self._exhausted and self._bounds[-1] <= t:
            end = next(self._unread, None)
            if end is None:
                self._exhausted = True
            elif end <= self._bounds[-1]:
                raise ValueError(
                    f'cycle {len(self._bounds) - 1} would run from {self._bounds[-1]} to {end}: '
                    'every cycle must be at least one unit of time long'
                )
            else:
                self._bounds.append(end)

    def index(self, t: int) -> int | None:
        """Returns the cycle that time ``t`` belongs to; ``None`` in the warmup and after the last of finitely many."""
        self._read_past(t)
        cycle = bisect_right(self._bounds, t) - 1
        return cycle if 0 <= cycle < len(self._bounds) - 1 else None

    def multiplier(self, t: float, alpha_f: float = 0.0) -> float:
        """Returns the learning rate multiplier at a time, in [0, 1]; after the last trough, ``alpha_f``.

        The plain cosine's arithmetic is, operation for operation, that of Composer's
        ``CosineAnnealingWithWarmupScheduler``, so that the first cycle agrees with it bit for bit.

        Example:
            >>> cycles = Cycles(4, [8, 16])
            >>> [cycles.multiplier(t) for t in (0, 2, 4, 6, 8, 12, 16)]
            [0.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
        """
        bounds = self._bounds
        if t < self.start:
            return t / self.start
        if bounds[-1] <= t:
            self._read_past(t)
            if bounds[-1] <= t and self.decays:
                return alpha_f
        if not self._is_plain and isinstance(self.shape, SteadyRate):
            return self.shape.multiplier(t - self.start)
        following = bisect_right(bounds, t)
        restart = bounds[following - 1]
        period = bounds[following] - restart
        if self._is_plain:
            return alpha_f + (1.0 - alpha_f) * (1 + math.cos((t - restart) / period * math.pi)) / 2
        assert isinstance(self.shape, CycleShape)
        return self.shape.multiplier(t - restart, following - 1, period, bounds[1] - self.start, alpha_f)

    def check_shape(self, until: int, alpha_f: float = 0.0) -> None:
        """Refuses a shape that does not fit into every cycle that starts before ``until``."""
        if self._is_plain or isinstance(self.shape, SteadyRate):
            return
        self._read_past(until)
        for cycle, (restart, trough) in enumerate(pairwise(self._bounds)):
            if restart < until:
                self.shape.check(cycle, trough - restart, self._bounds[1] - self.start, alpha_f)

    def trough_multiplier(self, trough: int, alpha_f: float = 0.0) -> float:
        """Returns the multiplier that a cycle ends on."""
        return alpha_f if self.decays else self.multiplier(trough)

    @property
    def holds_peak(self) -> bool:
        """Whether cycles stay at their peak for a time, so that branches can leave them."""
        return isinstance(self.shape, CycleShape) and any(self.shape.hold)

    def decay_start(self, end: int) -> float:
        """Returns when the decay starts of a first cycle that would end at ``end``: where a branch leaves its trunk."""
        return self.start + self.shape.corners(0, end - self.start)[1]

    def bounds(self, cycle: int) -> tuple[int, int]:
        """Returns the restart and the trough of a cycle; an ``IndexError`` if the schedule has fewer."""
        while not self._exhausted and len(self._bounds) < cycle + 2:
            self._read_past(self._bounds[-1])
        if not 0 <= cycle < len(self._bounds) - 1:
            raise IndexError(f'the schedule has no cycle {cycle}')
        return self._bounds[cycle], self._bounds[cycle + 1]

    def troughs(self, until: int) -> list[int]:
        """Returns the troughs up to and including ``until``."""
        self._read_past(until)
        return self._bounds[1 : bisect_right(self._bounds, until, lo=1)]

    def crossed(self, before: int, now: int) -> range:
        """Returns the cycles that a step completed: those with a trough in ``(before, now]``."""
        self._read_past(now)
        return range(bisect_right(self._bounds, before, lo=1) - 1, bisect_right(self._bounds, now, lo=1) - 1)

    def next_trough(self, t: int) -> int | None:
        """Returns the first trough after ``t``; ``None`` after the last."""
        self._read_past(max(t, self.start))
        following = bisect_right(self._bounds, t, lo=1)
        return self._bounds[following] if following < len(self._bounds) else None

    def elapsed(self, t: int, *, after_batch: bool) -> tuple[int, float]:
        """Returns the cycle that a time belongs to, and its elapsed part: cycle 0 starts at time 0.

        ``after_batch``: whether a trough belongs to the cycle that it ends, with the elapsed part 1, rather than to the
        one that starts there. After the last trough the answer is the last cycle and 1.
        """
        passed = len(self.troughs(t - after_batch))
        if self.next_trough(t - after_batch) is None:
            return passed - 1, 1.0
        restart, trough = self.bounds(passed)
        if passed == 0:
            restart = 0
        return passed, (t - restart) / (trough - restart)


def geometric_ends(t_warmup: Rational, t_0: Rational, t_mult: Rational | float) -> Iterator[int]:
    r"""Returns the troughs of cycles whose periods grow by a constant factor, each rounded once from the exact sum.

    .. math::
        b_{k+1} = \operatorname{round}\bigl(t_{warmup} + t_0 \textstyle\sum_{i=0}^{k} t_{mult}^i\bigr)

    Ties go to the even number. A float ``t_mult`` stands for the rational number that it is. The iterator has no end,
    and can be copied and pickled.

    Raises:
        ValueError: If ``t_0`` or ``t_mult`` is below 1.

    Example:
        >>> from itertools import islice
        >>> list(islice(geometric_ends(0, t_0=3, t_mult=1.5), 7))
        [3, 8, 14, 24, 40, 62, 97]
    """
    if t_0 < 1:
        raise ValueError(f'the first cycle would be {float(t_0):g} long: it must be at least one unit of time')
    if t_mult < 1:
        raise ValueError(f't_mult={t_mult}: each cycle must be at least as long as the one before, t_mult >= 1')
    growth, shrink = t_mult.as_integer_ratio()
    warmup, period = Fraction(t_warmup), Fraction(t_0)
    denominator = math.lcm(warmup.denominator, period.denominator)
    return _GeometricEnds(int(warmup * denominator), int(period * denominator), denominator, growth, shrink)


@dataclass
class _GeometricEnds(Iterator[int]):
    """The sum so far and the next period, over one shared denominator.

    It is never reduced: greatest common divisors of numbers that grow by 52 bits per cycle would take all the time.
    """

    end: int
    period: int
    denominator: int
    growth: int
    shrink: int

    def __next__(self) -> int:
        self.end += self.period
        trough = round_half_even(self.end, self.denominator)
        self.end *= self.shrink
        self.denominator *= self.shrink
        self.period *= self.growth
        return trough


def round_half_even(numerator: int, denominator: int) -> int:
    """Returns a fraction rounded as Python's ``round`` does."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def multiplier_line(
    cycles: Cycles, until: int, alpha_f: float = 0.0, *, points_per_cycle: int = 200
) -> tuple[list[float], list[float]]:
    """Returns the multiplier from 0 to ``until`` as a line to draw: times, and the multiplier at each.

    A trough appears twice: with the multiplier that its cycle ends on, and with the one that the next starts from. The
    ends of rises and holds are included.
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
        if cycle is not None:
            inner.update(restart + corner for corner in cycles.shape.corners(cycle, trough - restart))
        before_end = sorted(t for t in inner if t < end)
        times += [*map(float, before_end), float(end)]
        values += [cycles.multiplier(t, alpha_f) for t in before_end]
        values.append(cycles.trough_multiplier(trough, alpha_f) if end == trough else cycles.multiplier(end, alpha_f))
    return times, values


def cost_ratio(points: Iterable[float]) -> float:
    r"""Returns the cost of separate runs to some points relative to one run through them: their sum over the largest.

    For :math:`n` points, each :math:`r` times as long as the one before, this is
    :math:`\frac{1 - r^n}{(1 - r) \, r^{n-1}}`.

    Example:
        >>> cost_ratio([16, 32, 64, 128, 256, 512])
        1.96875

    Source:
        Portes et al. 2022, arXiv:2206.00832, equation 1.
    """
    listed = list(points)
    if not listed or min(listed) <= 0:
        raise ValueError(f'points={listed}: give one or more, each above 0')
    return math.fsum(listed) / max(listed)
