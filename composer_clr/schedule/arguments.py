"""A schedule's arguments, listed, read and checked in one place, and the cycles that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import SHAPES, CycleShape, SteadyRate, Stretch, linear
from composer_clr.schedule.times import NO_TIME, ScheduleTime, read_time
from composer_clr.utils.errors import did_you_mean

__all__ = ['Count', 'ScheduleArguments', 'check_rate']

# Counts a time, given with its name, in the unit of the cycles.
Count = Callable[[str, ScheduleTime], Fraction]
Length = ScheduleTime | float | None
_RATES = ('constant', '1/sqrt')
# What has no meaning without a decay.
_OF_DECAYS = ('alpha_f', 'shape', 'peak_decay', 't_rewarmup', 't_hold')


def check_rate(rate: object, a: object) -> None:
    """Refuses a rate without decay that is unknown, or that ``a`` does not go with."""
    if rate not in _RATES:
        raise ValueError(f'rate={rate!r}: must be one of {", ".join(_RATES)}')
    if (a is not None) != (rate == '1/sqrt'):
        raise ValueError(f"rate={rate!r} with a={a!r}: 'constant' has no a, and '1/sqrt' needs one, such as a='4ep'")


@dataclass(frozen=True)
class ScheduleArguments:
    """The arguments of :class:`~composer_clr.CyclicCosineScheduler`, which documents them, and their defaults.

    ``rate``, ``a`` and ``marks``, in place of ``cycle_ends``, are those of :class:`~composer_clr.AnytimeScheduler`.
    With a ``rate`` the cycles do not decay.

    Example:
        The paper's schedule, counted in epochs:

        >>> arguments = ScheduleArguments.read(t_0='8ep', t_mult=2, t_warmup='8ep')
        >>> arguments.cycles(lambda name, time: Fraction(time.value), 'ep').troughs(until=512)
        [16, 32, 64, 128, 256, 512]
    """

    t_0: ScheduleTime | None = None
    t_mult: float | Fraction = 2.0
    t_warmup: ScheduleTime = NO_TIME
    alpha_f: float = 0.0
    cycle_ends: tuple[ScheduleTime, ...] | None = None
    shape: str = 'cosine'
    peak_decay: float | tuple[float, ...] | str | None = None
    t_rewarmup: Length = None
    t_hold: Length = None
    rate: str | None = None
    a: ScheduleTime | None = None
    marks: tuple[ScheduleTime, ...] | None = None

    @classmethod
    def read(cls, **given: Any) -> ScheduleArguments:
        """Reads arguments as a user, a recipe or a record gives them; one that is out of range is a ``ValueError``."""
        raw = cls(**given)
        if raw.rate is not None or raw.a is not None:
            check_rate(raw.rate, raw.a)
        warmup = _read('t_warmup', raw.t_warmup, 'the warmup cannot be negative; 0ba is none')
        alpha_f, t_mult = raw.alpha_f, raw.t_mult
        if not _is_number(alpha_f) or not 0 <= alpha_f <= 1:
            raise ValueError(f'{alpha_f=}: a multiplier to decay to lies between 0 and 1')
        if not _is_number(t_mult) or not 1 <= t_mult < math.inf:
            raise ValueError(f'{t_mult=}: periods must not shrink, give a finite number >= 1 (1: constant period)')
        t_0, a = raw.t_0, raw.a
        if t_0 is not None:
            t_0 = _read('t_0', t_0, 'the first cycle needs a length above 0', above_0=True)
        if raw._listed is not None and (t_0 is not None or t_mult != 2.0):
            extra, ends = f'{t_mult=}' if t_0 is None else f"t_0='{t_0}'", raw._ends_name
            raise ValueError(f'{ends} replaces t_0 and t_mult: leave out {extra} or {ends}')
        arguments = replace(
            raw,
            t_0=t_0,
            t_warmup=warmup,
            **{raw._ends_name: None if raw._listed is None else raw._read_ends(raw._listed, warmup)},
            peak_decay=_read_peak_decay(raw.peak_decay),
            t_rewarmup=_read_length('t_rewarmup', raw.t_rewarmup),
            t_hold=_read_length('t_hold', raw.t_hold),
            a=None if a is None else _read('a', a, 'must be above 0', above_0=True),
        )
        arguments._check_shape()
        return arguments

    @classmethod
    def of(cls, given: object, **others: Any) -> ScheduleArguments:
        """Reads those arguments that a mapping has as items, or another object as attributes; ``others`` come first."""
        named = given if isinstance(given, Mapping) else vars(given)
        names = {field.name for field in fields(cls)}
        return cls.read(**{name: value for name, value in named.items() if name in names} | others)

    def check_troughs(self) -> None:
        """Refuses arguments that have neither ``t_0`` nor the troughs themselves."""
        if self.t_0 is None and self._listed is None:
            raise ValueError(
                f"t_0 is missing: give the period of the first cycle ('8ep'), or the {self.end_name}s as "
                f'{self._ends_name}'
            )

    def times(self) -> dict[str, ScheduleTime]:
        """Returns every argument that is a time, by name."""
        ends = {f'{self._ends_name}[{i}]': end for i, end in enumerate(self._listed or ())}
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return ends | {name: time for name, time in named.items() if isinstance(time, ScheduleTime)}

    def cycles(self, count: Count, unit: str, ends: Iterable[int] | None = None) -> Cycles:
        """Returns the cycles, every boundary rounded once from exact numbers.

        Args:
            count (Count): Counts a named time in the unit of the cycles. Not called for a time of 0.
            unit (str): That unit, for the errors.
            ends (Iterable[int] | None): Troughs counted before, in place of those of the arguments. Default: ``None``.
        """
        warmup = _counted('t_warmup', self.t_warmup, count)
        return Cycles(round(warmup), self._ends(warmup, count, unit) if ends is None else ends, self._shape(count))

    def describe(self) -> dict[str, object]:
        """Returns the arguments as plain values, without those that are ``None``; :meth:`of` reads them back."""
        plain: dict[str, object] = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        if self._listed is not None:
            del plain['t_0'], plain['t_mult']
            ends = plain.pop(self._ends_name)
            plain = {'cycle_ends' if self.rate is None else 'marks': ends, **plain}
        left_out = () if self.rate is None else _OF_DECAYS
        return {name: value for name, value in plain.items() if value is not None and name not in left_out}

    @property
    def end_name(self) -> str:
        """What the end of a cycle is called in errors."""
        return 'trough' if self._ends_name == 'cycle_ends' else 'mark'

    @property
    def _ends_name(self) -> str:
        return 'cycle_ends' if self.cycle_ends is not None or (self.rate is None and self.marks is None) else 'marks'

    @property
    def _listed(self) -> tuple[ScheduleTime, ...] | None:
        return self.cycle_ends if self.marks is None else self.marks

    def _ends(self, warmup: Fraction, count: Count, unit: str) -> Iterable[int]:
        self.check_troughs()
        if self._listed is None:
            assert self.t_0 is not None
            period = count('t_0', self.t_0)
            if period < 1:
                raise ValueError(
                    f"t_0='{self.t_0}' comes to a first cycle of {float(period):g}{unit}: it must be at least 1{unit} "
                    'long'
                )
            return geometric_ends(warmup, period, self.t_mult)
        times, name = self._listed, self._ends_name
        ends = [round(count(f'{name}[{i}]', end)) for i, end in enumerate(times)]
        if round(warmup) >= ends[0]:
            raise ValueError(self._late_warmup(self.t_warmup, times[0]))
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError(
                f'{name}={[*map(str, times)]} come to {[f"{end}{unit}" for end in ends]}: '
                f'list the {self.end_name}s in strictly increasing order'
            )
        return ends

    def _check_shape(self) -> None:
        """Refuses a shape that is wrong in every run; lengths of time are looked at when they are counted."""
        if not isinstance(self.shape, str) or self.shape not in SHAPES:
            near = did_you_mean(str(self.shape), list(SHAPES))
            raise ValueError(f'shape={self.shape!r}: unknown shape{near} ({", ".join(SHAPES)})')
        lengths = {'t_rewarmup': self.t_rewarmup, 't_hold': self.t_hold}
        for name, length in lengths.items():
            if self.shape == 'triangle' and (length.value if isinstance(length, ScheduleTime) else length):
                raise ValueError(
                    f"{name} with shape='triangle', which rises through half of each cycle and falls through the "
                    "other: leave it out, or give shape='linear' with t_rewarmup and t_hold"
                )
        if sum(length for length in lengths.values() if isinstance(length, float)) >= 1:
            raise ValueError(
                f't_rewarmup={self.t_rewarmup:g} and t_hold={self.t_hold:g} of a cycle leave no decay: '
                'their sum must be less than 1'
            )

    def _shape(self, count: Count) -> CycleShape | SteadyRate:
        if self.rate is not None:
            return SteadyRate(None if self.a is None else float(count('a', self.a)))
        if self.shape == 'triangle':
            return CycleShape(linear, self.peak_decay, Stretch(part=0.5), first_rises=not self.t_warmup.value)
        lengths = {'t_rewarmup': self.t_rewarmup, 't_hold': self.t_hold}
        rise, hold = (
            Stretch(units=float(_counted(name, length, count)))
            if isinstance(length, ScheduleTime)
            else Stretch(part=length or 0.0)
            for name, length in lengths.items()
        )
        return CycleShape(SHAPES[self.shape], self.peak_decay, rise, hold)

    def _read_ends(self, given: object, warmup: ScheduleTime) -> tuple[ScheduleTime, ...]:
        name = self._ends_name
        if isinstance(given, (str, ScheduleTime)) or not isinstance(given, Sequence) or not given:
            raise ValueError(
                f"{name}={given!r}: give a list with at least one {self.end_name}, such as ['16ep', '24ep']"
            )
        ends = tuple(read_time(f'{name}[{i}]', end) for i, end in enumerate(given))
        if ends[0].value <= 0:
            raise ValueError(
                f'{name}={[*map(str, ends)]}: the first {self.end_name} must come after the start of training'
            )
        if not all(_in_order(earlier, later) for earlier, later in pairwise(ends)):
            raise ValueError(f'{name}={[*map(str, ends)]}: list the {self.end_name}s in strictly increasing order')
        if warmup.value and not _in_order(warmup, ends[0]):
            raise ValueError(self._late_warmup(warmup, ends[0]))
        return ends

    def _late_warmup(self, warmup: ScheduleTime, first: ScheduleTime) -> str:
        return (
            f"t_warmup='{warmup}' does not end before the first {self.end_name}, {self._ends_name}[0]='{first}': "
            f'shorten the warmup or move the {self.end_name}'
        )


def _read(name: str, value: object, reason: str, *, above_0: bool = False) -> ScheduleTime:
    time = read_time(name, value)
    if time.value < 0 or (above_0 and not time.value):
        raise ValueError(f"{name}='{time}': {reason}")
    return time


def _read_length(name: str, length: object) -> Length:
    """Returns a length as a time, or as a number if it is a part of each cycle."""
    if length is None or not isinstance(length, (int, float)):
        return None if length is None else _read(name, length, 'a length cannot be negative')
    if not _is_number(length) or not 0 <= length < 1:
        raise ValueError(
            f"{name}={length!r}: a part of each cycle is at least 0 and less than 1; a length has a unit ('4ep')"
        )
    return float(length)


def _read_peak_decay(peak_decay: Any) -> float | tuple[float, ...] | str | None:
    if peak_decay is None or (isinstance(peak_decay, str) and peak_decay == 'sqrt'):
        return peak_decay
    is_list = isinstance(peak_decay, Sequence) and not isinstance(peak_decay, str)
    factors: Any = peak_decay if is_list else [peak_decay]
    if not all(_is_number(factor) and 0 < factor <= 1 for factor in factors):
        raise ValueError(f"peak_decay={peak_decay!r}: give a factor above 0 and at most 1, a list of them, or 'sqrt'")
    return tuple(map(float, factors)) if is_list else float(factors[0])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Fraction)) and not isinstance(value, bool)


def _counted(name: str, time: ScheduleTime, count: Count) -> Fraction:
    return count(name, time) if time.value else Fraction(0)


def _in_order(earlier: ScheduleTime, later: ScheduleTime) -> bool:
    """Returns whether one time comes before another, or may: times in two units are compared in a run."""
    return earlier.unit != later.unit or earlier.value < later.value


def _plain(value: Any) -> object:
    """Returns an argument as plain values, for the record of a run."""
    if isinstance(value, ScheduleTime):
        return str(value)
    if isinstance(value, (float, Fraction)):  # NumPy's are floats too
        return float(value)
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
