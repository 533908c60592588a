"""The shape of a cycle: how high it starts, whether it rises or holds first, and along which line it falls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from composer_clr.utils.errors import did_you_mean

__all__ = [
    'COSINE',
    'NONE',
    'RATES',
    'SHAPES',
    'CycleShape',
    'SteadyRate',
    'Stretch',
    'check_rate',
    'cosine',
    'cycle_shape',
    'linear',
    'one_minus_sqrt',
]


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
RATES = ('constant', '1/sqrt')
PeakDecay = float | tuple[float, ...] | str | None


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
    peak_decay: PeakDecay = None
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
        rise, hold = self._rise(cycle, period), self.hold.of(period)
        if rise + hold >= period:
            raise ValueError(
                f'cycle {cycle} is {period} long, of which t_rewarmup takes {rise:g} and t_hold {hold:g}, '
                'which leaves no decay: shorten them or lengthen the cycle'
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
        rise, hold = self._rise(cycle, period), self.hold.of(period)
        if elapsed < rise:
            return alpha_f + (peak - alpha_f) * (elapsed / rise)
        if elapsed < rise + hold:
            return peak
        return alpha_f + (peak - alpha_f) * self.decay((elapsed - rise - hold) / (period - rise - hold))

    def corners(self, cycle: int, period: int) -> tuple[float, float]:
        """Returns when the rise ends and when the decay starts, counted from the cycle's restart."""
        rise = self._rise(cycle, period)
        return rise, rise + self.hold.of(period)

    def _rise(self, cycle: int, period: int) -> float:
        return self.rise.of(period) if cycle or self.first_rises else 0.0


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


def check_rate(rate: object, a: object) -> None:
    """Refuses a rate that is not one of ``RATES``, or that ``a`` does not go with."""
    if rate not in RATES:
        raise ValueError(f'rate={rate!r}: must be one of {", ".join(RATES)}')
    if (a is not None) != (rate == '1/sqrt'):
        raise ValueError(f"rate={rate!r} with a={a!r}: 'constant' has no a, and '1/sqrt' needs one, such as a='4ep'")


def cycle_shape(
    shape: str = 'cosine',
    peak_decay: float | Sequence[float] | str | None = None,
    t_rewarmup: Stretch = NONE,
    t_hold: Stretch = NONE,
    *,
    warmed_up: bool = False,
) -> CycleShape:
    """Returns the shape that a schedule's arguments describe, checked; ``warmed_up``: a warmup precedes cycle 0.

    Example:
        >>> triangle = cycle_shape('triangle')
        >>> [triangle.multiplier(s, cycle=1, period=8, first_period=8, alpha_f=0.0) for s in (0, 2, 4, 6)]
        [0.0, 0.5, 1.0, 0.5]
    """
    if not isinstance(shape, str) or shape not in SHAPES:
        raise ValueError(f'{shape=}: unknown shape{did_you_mean(str(shape), list(SHAPES))} ({", ".join(SHAPES)})')
    if t_rewarmup.part + t_hold.part >= 1:
        raise ValueError(
            f't_rewarmup={t_rewarmup.part:g} and t_hold={t_hold.part:g} of a cycle leave no decay: '
            'their sum must be less than 1'
        )
    factors = _checked_peak_decay(peak_decay)
    if shape != 'triangle':
        return CycleShape(SHAPES[shape], factors, t_rewarmup, t_hold)
    for name, length in (('t_rewarmup', t_rewarmup), ('t_hold', t_hold)):
        if any(length):
            raise ValueError(
                f"{name} with shape='triangle', which rises through half of each cycle and falls through the other: "
                "leave it out, or give shape='linear' with t_rewarmup and t_hold"
            )
    return CycleShape(linear, factors, Stretch(part=0.5), first_rises=not warmed_up)


def _checked_peak_decay(peak_decay: float | Sequence[float] | str | None) -> PeakDecay:
    if peak_decay is None or peak_decay == 'sqrt':
        return None if peak_decay is None else 'sqrt'
    if isinstance(peak_decay, Sequence) and not isinstance(peak_decay, str):
        return tuple(_checked_factor(factor, peak_decay) for factor in peak_decay)
    return _checked_factor(peak_decay, peak_decay)


def _checked_factor(factor: object, peak_decay: object) -> float:
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor <= 1:
        raise ValueError(f"peak_decay={peak_decay!r}: give a factor above 0 and at most 1, a list of them, or 'sqrt'")
    return float(factor)
