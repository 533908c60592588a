"""A schedule's arguments, listed, read and checked in one place, and the cycles that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import NONE, CycleShape, SteadyRate, Stretch, check_rate, cycle_shape
from composer_clr.schedule.times import NO_TIME, ScheduleTime, read_time

__all__ = ['Count', 'ScheduleArguments']

# Counts a time, given with its name, in the unit of the cycles.
Count = Callable[[str, ScheduleTime], Fraction]
Length = ScheduleTime | float | None
# What has no meaning without a decay.
_OF_DECAYS = ('alpha_f', 'shape', 'peak_decay', 't_rewarmup', 't_hold')


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
    peak_decay: float | Sequence[float] | str | None = None
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
        warmup = read_time('t_warmup', raw.t_warmup)
        if warmup.value < 0:
            raise ValueError(f"t_warmup='{warmup}': the warmup cannot be negative; 0ba is none")
        alpha_f = raw.alpha_f
        if isinstance(alpha_f, bool) or not isinstance(alpha_f, (int, float)) or not 0 <= alpha_f <= 1:
            raise ValueError(f'{alpha_f=}: a multiplier to decay to lies between 0 and 1')
        arguments = replace(
            raw,
            t_0=None if raw.t_0 is None else _read_above_0('t_0', raw.t_0, 'the first cycle needs a length above 0'),
            t_mult=_read_growth(raw.t_mult),
            t_warmup=warmup,
            **{raw._ends_name: None if raw._listed is None else raw._read_ends(raw._listed, warmup)},
            t_rewarmup=_read_length('t_rewarmup', raw.t_rewarmup),
            t_hold=_read_length('t_hold', raw.t_hold),
            a=None if raw.a is None else _read_above_0('a', raw.a, 'must be above 0'),
        )
        if raw._listed is not None and (raw.t_0 is not None or raw.t_mult != 2.0):
            extra = f't_mult={raw.t_mult}' if raw.t_0 is None else f"t_0='{arguments.t_0}'"
            ends = raw._ends_name
            raise ValueError(f'{ends} replaces t_0 and t_mult: leave out {extra} or {ends}')
        # A shape that is wrong in every run is refused now; its lengths are counted later.
        arguments._shape(lambda name, time: Fraction(time.value))
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
        if ends is None:
            ends = self._ends(warmup, count, unit)
        return Cycles(round(warmup), ends, self._shape(count))

    def describe(self) -> dict[str, object]:
        """Returns the arguments as plain values, without those that are ``None``; :meth:`of` reads them back."""
        plain: dict[str, object] = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        if self._listed is not None:
            del plain['t_0'], plain['t_mult']
            ends = plain.pop(self._ends_name)
            plain = {'cycle_ends' if self.rate is None else 'marks': ends, **plain}
        if self.rate is not None:
            for name in _OF_DECAYS:
                del plain[name]
        return {name: value for name, value in plain.items() if value is not None}

    @property
    def _ends_name(self) -> str:
        return 'cycle_ends' if self.cycle_ends is not None or (self.rate is None and self.marks is None) else 'marks'

    @property
    def end_name(self) -> str:
        """What the end of a cycle is called in errors."""
        return 'trough' if self._ends_name == 'cycle_ends' else 'mark'

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

    def _shape(self, count: Count) -> CycleShape | SteadyRate:
        def stretch(name: str, length: Length) -> Stretch:
            if length is None:
                return NONE
            if isinstance(length, ScheduleTime):
                return Stretch(units=float(_counted(name, length, count)))
            return Stretch(part=length)

        shape = cycle_shape(
            self.shape,
            self.peak_decay,
            stretch('t_rewarmup', self.t_rewarmup),
            stretch('t_hold', self.t_hold),
            warmed_up=bool(self.t_warmup.value),
        )
        if self.rate is None:
            return shape
        return SteadyRate(None if self.a is None else float(count('a', self.a)))

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


def _counted(name: str, time: ScheduleTime, count: Count) -> Fraction:
    return count(name, time) if time.value else Fraction(0)


def _read_above_0(name: str, value: object, reason: str) -> ScheduleTime:
    time = read_time(name, value)
    if time.value <= 0:
        raise ValueError(f"{name}='{time}': {reason}")
    return time


def _read_growth(t_mult: object) -> float | Fraction:
    if isinstance(t_mult, bool) or not isinstance(t_mult, (int, float, Fraction)) or not 1 <= t_mult < math.inf:
        raise ValueError(f'{t_mult=}: periods must not shrink, give a finite number >= 1 (1: constant period)')
    return t_mult


def _in_order(earlier: ScheduleTime, later: ScheduleTime) -> bool:
    """Returns whether one time comes before another, or may: times in two units are compared in a run."""
    return earlier.unit != later.unit or earlier.value < later.value


def _read_length(name: str, length: object) -> Length:
    """Returns a length as a time, or as a number if it is a part of each cycle."""
    if length is None:
        return None
    if isinstance(length, (int, float)):
        if isinstance(length, bool) or not 0 <= length < 1:
            raise ValueError(
                f"{name}={length!r}: a part of each cycle is at least 0 and less than 1; a length has a unit ('4ep')"
            )
        return float(length)
    time = read_time(name, length)
    if time.value < 0:
        raise ValueError(f"{name}='{time}': a length cannot be negative")
    return time


def _plain(value: Any) -> object:
    """Returns an argument as plain values, for the record of a run."""
    if isinstance(value, ScheduleTime):
        return str(value)
    if isinstance(value, (float, Fraction)):  # NumPy's are floats too
        return float(value)
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
