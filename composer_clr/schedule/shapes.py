"""The shape of a cycle: how high it starts, whether it rises or holds first, and along which line it falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

__all__ = ['COSINE', 'NONE', 'SHAPES', 'CycleShape', 'SteadyRate', 'Stretch', 'cosine', 'linear', 'one_minus_sqrt']


def cosine(tau: float) -> float:
    r"""Half a cosine, :math:`\frac{1}{2} (1 + \cos \pi \tau)`, after Loshchilov and Hutter 2017, arXiv:1608.03983."""
    return (1 + math.cos(tau * math.pi)) / 2


def linear(tau: float) -> float:
    r"""A straight line, :math:`1 - \tau`."""
    return 1 - tau


def one_minus_sqrt(tau: float) -> float:
    r"""Steep first, then ever flatter, :math:`1 - \sqrt{\tau}`, after Hägele et al. 2024, arXiv:2405.18392."""
    return 1 - math.sqrt(tau)


# Smith's triangle also falls along a line; it differs by the rise before it.
SHAPES: dict[str, Callable[[float], float]] = {
    'cosine': cosine,
    'linear': linear,
    '1-sqrt': one_minus_sqrt,
    'triangle': linear,
}


class Stretch(NamedTuple):
    """A length of time within a cycle: a part of its period in [0, 1), and a number of its unit."""

    part: float = 0.0
    units: float = 0.0

    def of(self, period: int) -> float:
        return self.part * period + self.units


NONE = Stretch()


@dataclass(frozen=True)
class CycleShape:
    r"""The multiplier within each cycle.

    .. math::
        \alpha = \begin{cases}
            \alpha_f + (p_i - \alpha_f) \, s / r & s < r \\
            p_i & r \le s < r + h \\
            \alpha_f + (p_i - \alpha_f) \, d\left(\frac{s - r - h}{T_i - r - h}\right) & \text{otherwise}
        \end{cases}

    where :math:`s` is the time since the restart of cycle :math:`i`, :math:`T_i` its period, :math:`p_i` its peak by
    ``peak_decay``, :math:`r` the length of its ``rise``, :math:`h` that of its ``hold`` and :math:`d` its ``decay``.
    Cycle 0 has no rise unless it ``first_rises``: a warmup does that for it.
    """

    decays: ClassVar[bool] = True

    decay: Callable[[float], float] = cosine
    peak_decay: float | tuple[float, ...] | str | None = None
    rise: Stretch = NONE
    hold: Stretch = NONE
    first_rises: bool = False

    def peak(self, cycle: int, period: int, first_period: int) -> float:
        """Returns the multiplier that a cycle decays from, :math:`p_i`."""
        if self.peak_decay is None or cycle == 0:
            return 1.0
        if isinstance(self.peak_decay, str):
            return math.sqrt(min(1.0, first_period / period))
        if isinstance(self.peak_decay, tuple):
            return math.prod(self.peak_decay[:cycle])
        return self.peak_decay**cycle

    def check(self, cycle: int, period: int, first_period: int, alpha_f: float) -> None:
        """Refuses a cycle of which rise and hold leave no decay, or whose peak is missing or below ``alpha_f``."""
        rise, decay_start = self.corners(cycle, period)
        if decay_start >= period:
            raise ValueError(
                f'cycle {cycle} is {period} long, of which t_rewarmup takes {rise:g} and t_hold '
                f'{decay_start - rise:g}, which leaves no decay: shorten them or lengthen the cycle'
            )
        factors = [*self.peak_decay] if isinstance(self.peak_decay, tuple) else self.peak_decay
        if isinstance(factors, list) and cycle > len(factors):
            raise ValueError(
                f'peak_decay={factors} has no factor for restart {cycle}: '
                'give one for each restart, or a single one for all'
            )
        peak = self.peak(cycle, period, first_period)
        if peak < alpha_f:
            raise ValueError(
                f'peak_decay={factors!r} brings the peak of cycle {cycle} down to {peak:g}, below {alpha_f=}: '
                'decay less, or to a lower alpha_f'
            )

    def multiplier(self, elapsed: float, cycle: int, period: int, first_period: int, alpha_f: float) -> float:
        """Returns the multiplier at a time since the restart of a cycle, :math:`0 \\le s < T_i`."""
        peak = self.peak(cycle, period, first_period)
        rise, decay_start = self.corners(cycle, period)
        if elapsed < rise:
            return alpha_f + (peak - alpha_f) * (elapsed / rise)
        if elapsed < decay_start:
            return peak
        return alpha_f + (peak - alpha_f) * self.decay((elapsed - decay_start) / (period - decay_start))

    def corners(self, cycle: int, period: int) -> tuple[float, float]:
        """Returns when the rise ends and when the decay starts, counted from the cycle's restart."""
        rise = self.rise.of(period) if cycle or self.first_rises else 0.0
        return rise, rise + self.hold.of(period)


COSINE = CycleShape()


@dataclass(frozen=True)
class SteadyRate:
    r"""A multiplier that does not come down: :math:`1`, or :math:`\sqrt{a / (t - t_{warmup} + a)}` with ``a``."""

    decays: ClassVar[bool] = False

    a: float | None = None

    def multiplier(self, since_warmup: float) -> float:
        return 1.0 if self.a is None else math.sqrt(self.a / (since_warmup + self.a))

    def corners(self, cycle: int, period: int) -> tuple[float, float]:
        """Returns 0 twice: nothing rises, is held or decays."""
        del cycle, period
        return 0.0, 0.0
