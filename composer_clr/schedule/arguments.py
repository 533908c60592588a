"""A schedule's arguments, read and checked in one place, and the cycles that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import NONE, CycleShape, Stretch, cycle_shape
from composer_clr.schedule.time_strings import ScheduleTime, read_time

__all__ = ['Count', 'ScheduleArguments']

# Counts a time, given with its name, in the unit of the cycles: a run, a recipe and a record each know how.
Count = Callable[[str, ScheduleTime], Fraction]
Length = ScheduleTime | float | None
PeakDecay = float | Sequence[float] | str | None


@dataclass(frozen=True)
class ScheduleArguments:
    """The arguments of :class:`~composer_clr.CyclicCosineScheduler`, which documents them.

    Example:
        The paper's schedule, counted in epochs:

        >>> arguments = ScheduleArguments.read(t_0='8ep', t_mult=2, t_warmup='8ep')
        >>> arguments.cycles(lambda name, time: Fraction(time.value), 'ep').troughs(until=512)
        [16, 32, 64, 128, 256, 512]
    """

    t_0: ScheduleTime | None
    t_mult: float | Fraction
    t_warmup: ScheduleTime
    alpha_f: float
    cycle_ends: tuple[ScheduleTime, ...] | None
    shape: str
    peak_decay: PeakDecay
    t_rewarmup: Length
    t_hold: Length

    @classmethod
    def read(
        cls,
        t_0: object = None,
        t_mult: object = 2.0,
        t_warmup: object = '0ba',
        alpha_f: object = 0.0,
        cycle_ends: object = None,
        shape: str = 'cosine',
        peak_decay: PeakDecay = None,
        t_rewarmup: object = None,
        t_hold: object = None,
    ) -> ScheduleArguments:
        """Reads arguments as a user, a recipe or a record gives them; times are time strings or times read before.

        Raises:
            ValueError: If one cannot be read or is out of range, or two do not go together.
        """
        warmup = read_time('t_warmup', t_warmup)
        if warmup.value < 0:
            raise ValueError(f"t_warmup='{warmup}': the warmup cannot be negative; 0ba is none")
        if isinstance(alpha_f, bool) or not isinstance(alpha_f, (int, float)) or not 0 <= alpha_f <= 1:
            raise ValueError(f'{alpha_f=}: a multiplier to decay to lies between 0 and 1')
        arguments = cls(
            t_0=None if t_0 is None else _read_period(t_0),
            t_mult=_read_growth(t_mult),
            t_warmup=warmup,
            alpha_f=alpha_f,
            cycle_ends=None if cycle_ends is None else _read_ends(cycle_ends, warmup),
            shape=shape,
            peak_decay=peak_decay,
            t_rewarmup=_read_length('t_rewarmup', t_rewarmup),
            t_hold=_read_length('t_hold', t_hold),
        )
        if cycle_ends is not None and (t_0 is not None or t_mult != 2.0):
            extra = f't_mult={t_mult}' if t_0 is None else f"t_0='{t_0}'"
            raise ValueError(f'cycle_ends replaces t_0 and t_mult: leave out {extra} or cycle_ends')
        # A shape that is wrong in every run is refused now; its lengths are counted later.
        arguments._cycle_shape(lambda name, time: Fraction(time.value))
        return arguments

    def check_troughs(self) -> None:
        """Refuses arguments that have neither ``t_0`` nor ``cycle_ends``.

        Raises:
            ValueError: If both are missing.
        """
        if self.t_0 is None and self.cycle_ends is None:
            raise ValueError("t_0 is missing: give the period of the first cycle ('8ep'), or the troughs as cycle_ends")

    def times(self) -> dict[str, ScheduleTime]:
        """Returns every argument that is a time, by name."""
        ends = {f'cycle_ends[{i}]': end for i, end in enumerate(self.cycle_ends or ())}
        others = {'t_0': self.t_0, 't_warmup': self.t_warmup, 't_rewarmup': self.t_rewarmup, 't_hold': self.t_hold}
        return ends | {name: time for name, time in others.items() if isinstance(time, ScheduleTime)}

    def cycles(self, count: Count, unit: str, ends: Iterable[int] | None = None) -> Cycles:
        """Returns the cycles, every boundary rounded once from exact numbers.

        Args:
            count (Count): Counts a named time in the unit of the cycles. Not called for a time of 0.
            unit (str): That unit, for the errors.
            ends (Iterable[int] | None): Troughs counted before, such as those of a record, in place of ``t_0``,
                ``t_mult`` and ``cycle_ends``. Default: ``None``.

        Raises:
            ValueError: If the times do not make cycles of at least 1 each, or whatever ``count`` raises.
        """
        warmup = _counted('t_warmup', self.t_warmup, count)
        if ends is None:
            ends = self._ends(warmup, count, unit)
        return Cycles(round(warmup), ends, self._cycle_shape(count))

    def describe(self) -> dict[str, object]:
        """Returns the arguments as plain values, for the record of a run; :meth:`read` reads them back."""
        if self.cycle_ends is not None:
            periods: dict[str, object] = {'cycle_ends': [str(end) for end in self.cycle_ends]}
        else:
            periods = {
                't_0': str(self.t_0),
                't_mult': self.t_mult if isinstance(self.t_mult, int) else float(self.t_mult),
            }
        shape = {
            'shape': self.shape if self.shape != 'cosine' else None,
            'peak_decay': _plain(self.peak_decay),
            't_rewarmup': _plain(self.t_rewarmup),
            't_hold': _plain(self.t_hold),
        }
        not_plain = {name: value for name, value in shape.items() if value is not None}
        return {**periods, 't_warmup': str(self.t_warmup), 'alpha_f': self.alpha_f, **not_plain}

    def _ends(self, warmup: Fraction, count: Count, unit: str) -> Iterable[int]:
        self.check_troughs()
        if self.cycle_ends is None:
            assert self.t_0 is not None
            period = count('t_0', self.t_0)
            if period < 1:
                raise ValueError(
                    f"t_0='{self.t_0}' comes to a first cycle of {float(period):g}{unit}: it must be at least 1{unit} "
                    'long'
                )
            return geometric_ends(warmup, period, self.t_mult)
        times = self.cycle_ends
        ends = [round(count(f'cycle_ends[{i}]', end)) for i, end in enumerate(times)]
        if round(warmup) >= ends[0]:
            raise ValueError(_late_warmup(self.t_warmup, times[0]))
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError(
                f'cycle_ends={[*map(str, times)]} come to {[f"{end}{unit}" for end in ends]}: '
                'list the troughs in strictly increasing order'
            )
        return ends

    def _cycle_shape(self, count: Count) -> CycleShape | None:
        def stretch(name: str, length: Length) -> Stretch:
            if length is None:
                return NONE
            if isinstance(length, ScheduleTime):
                return Stretch(units=float(_counted(name, length, count)))
            return Stretch(part=length)

        return cycle_shape(
            self.shape,
            self.peak_decay,
            stretch('t_rewarmup', self.t_rewarmup),
            stretch('t_hold', self.t_hold),
            warmed_up=bool(self.t_warmup.value),
        )


def _counted(name: str, time: ScheduleTime, count: Count) -> Fraction:
    return count(name, time) if time.value else Fraction(0)


def _read_period(t_0: object) -> ScheduleTime:
    period = read_time('t_0', t_0)
    if period.value <= 0:
        raise ValueError(f"t_0='{period}': the first cycle needs a length above 0")
    return period


def _read_growth(t_mult: object) -> float | Fraction:
    if isinstance(t_mult, bool) or not isinstance(t_mult, (int, float, Fraction)) or not 1 <= t_mult < math.inf:
        raise ValueError(f'{t_mult=}: periods must not shrink, give a finite number >= 1 (1: constant period)')
    return t_mult


def _read_ends(cycle_ends: object, warmup: ScheduleTime) -> tuple[ScheduleTime, ...]:
    if isinstance(cycle_ends, (str, ScheduleTime)) or not isinstance(cycle_ends, Sequence) or not cycle_ends:
        raise ValueError(f"{cycle_ends=}: give a list with at least one trough, such as ['16ep', '24ep']")
    ends = tuple(read_time(f'cycle_ends[{i}]', end) for i, end in enumerate(cycle_ends))
    if ends[0].value <= 0:
        raise ValueError(f'cycle_ends={[*map(str, ends)]}: the first trough must come after the start of training')
    if not all(_in_order(earlier, later) for earlier, later in pairwise(ends)):
        raise ValueError(f'cycle_ends={[*map(str, ends)]}: list the troughs in strictly increasing order')
    if warmup.value and not _in_order(warmup, ends[0]):
        raise ValueError(_late_warmup(warmup, ends[0]))
    return ends


def _in_order(earlier: ScheduleTime, later: ScheduleTime) -> bool:
    """Returns whether one time comes before another, or may: times in two units are compared in a run."""
    return earlier.unit != later.unit or earlier.value < later.value


def _late_warmup(warmup: ScheduleTime, first: ScheduleTime) -> str:
    return (
        f"t_warmup='{warmup}' does not end before the first trough, cycle_ends[0]='{first}': "
        'shorten the warmup or move the trough'
    )


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


def _plain(value: object) -> object:
    """Returns an argument as plain values, for the record of a run."""
    if isinstance(value, ScheduleTime):
        return str(value)
    return [float(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
