"""Times of a schedule: read as Composer reads time strings, and counted in one unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

__all__ = ['COUNTERS', 'NO_TIME', 'Lengths', 'ScheduleTime', 'read_duration', 'read_time']

# The units that cycles are counted in, and their counters in a timestamp and in a point. Epochs are not among them:
# Composer's epoch counter does not move within an epoch.
COUNTERS = {'ba': 'batch', 'sp': 'sample', 'tok': 'token'}
_UNITS = ('ep', *COUNTERS, 'dur')
# Composer's own pattern (0.32.1, composer/core/time.py): whatever Python reads as a number, then a unit.
_TIME = re.compile(r'(.+)(iter|ep|ba|sp|tok|dur|sec)$', re.IGNORECASE)
_WALL_CLOCK = re.compile(r'(?=.)(\d+h)?(\d+m)?(\d+s)?')
# Larger numbers are not all exact as floats, which epochs are in a curve.
_LONGEST = 2**53
_WHOLE = "write a whole number of epochs, batches, samples or tokens ('8ep', '500ba', '1000sp', '1000tok')"


class ScheduleTime(NamedTuple):
    """A number, whole unless the unit is ``dur``, of ``ep``, ``ba``, ``sp``, ``tok`` or ``dur``."""

    value: int | float
    unit: str

    def __str__(self) -> str:
        return f'{self.value}{self.unit}'


NO_TIME = ScheduleTime(0, 'ba')


def read_time(name: str, value: object) -> ScheduleTime:
    """Reads an argument that is a time: a time string, Composer's ``Time``, or a time read before.

    What cannot be read, is not finite, or has a unit that no schedule can be counted in, is a ``ValueError``.

    Example:
        >>> read_time('t_0', '8ep'), read_time('t_0', '.5dur'), read_time('t_0', '1_000ba')
        (ScheduleTime(value=8, unit='ep'), ScheduleTime(value=0.5, unit='dur'), ScheduleTime(value=1000, unit='ba'))
    """
    remedy = f"{_WHOLE} or a fraction of the training duration ('0.25dur')"
    value = _without_composer(value)
    if not isinstance(value, (str, ScheduleTime)):
        raise ValueError(f'{name}={value!r} has no unit: {remedy}')
    time = _parsed(value) if isinstance(value, str) else value
    if time is None or not math.isfinite(time.value):
        raise ValueError(f'{name}={str(value)!r} is not a time: {remedy}')
    if time.unit not in _UNITS:
        raise ValueError(f'{name}={str(value)!r}: no schedule can be counted in {time.unit!r}; {remedy}')
    return time


def read_duration(name: str, value: object) -> ScheduleTime:
    """Reads how long to train: a number above 0, at most 2**53, of epochs, batches, samples or tokens.

    Example:
        >>> str(read_duration('max_duration', '1e3ba'))
        '1000ba'
    """
    value = _without_composer(value)
    time = _parsed(value) if isinstance(value, str) else value
    if not isinstance(time, ScheduleTime):
        raise ValueError(f'{name}={value!r} is not a duration: {_WHOLE}')
    if time.unit not in _UNITS[:-1]:
        raise ValueError(f'{name}={str(value)!r}: no curve can be counted in {time.unit!r}; {_WHOLE}')
    if time.value <= 0:
        raise ValueError(f'{name}={str(value)!r} is not above 0: {_WHOLE}')
    if time.value > _LONGEST:
        raise ValueError(f'{name}={str(value)!r} is more than 2**53, the longest that curves can hold: {_WHOLE}')
    return time


def _without_composer(value: Any) -> Any:
    """Returns a ``Time`` of Composer's, known without importing it, as a plain one."""
    return ScheduleTime(value.value, value.unit.value) if hasattr(value, 'to_timestring') else value


def _parsed(text: str) -> ScheduleTime | None:
    if _WALL_CLOCK.fullmatch(text):
        return ScheduleTime(0, 'sec')
    match = _TIME.match(text)
    if match is None:
        return None
    try:
        number, unit = float(match[1]), match[2].lower()
    except ValueError:
        return None
    if unit == 'dur':
        return ScheduleTime(number, unit)
    return ScheduleTime(int(number), unit) if number.is_integer() else None


@dataclass(frozen=True)
class Lengths:
    """How long a run and one epoch are, from which every time is counted; ``None`` where that is not known."""

    max_duration: ScheduleTime | None
    epoch: int | Fraction | None = None
    epoch_unit: str = 'ba'

    @classmethod
    def of_state(cls, state: Any) -> Lengths:
        """Returns those of a Trainer's state."""
        duration, epoch = _without_composer(state.max_duration), state.dataloader_len
        return cls(duration, None if epoch is None else int(epoch))

    def unit(self, times: Mapping[str, ScheduleTime]) -> str:
        """Returns the unit in which all of a schedule's times can be counted; a time of 0 counts in every unit.

        Epochs count in the unit of an epoch, a fraction of the run's duration in that duration's.
        """
        units = {name: self._counted_in(name, time) for name, time in times.items()}
        chosen = next((name for name in units if times[name].value), next(iter(units)))
        for name, unit in units.items():
            if times[name].value and unit != units[chosen]:
                raise ValueError(
                    f"{name}='{times[name]}' and {chosen}='{times[chosen]}' cannot be converted into each other: give "
                    'all times of the schedule in one unit (epochs and batches go together)'
                )
        return units[chosen]

    def count(self, name: str, time: ScheduleTime, ssr: float = 1.0) -> Fraction:
        """Returns a time as an exact number of its unit (see :meth:`unit`), times ``ssr``.

        ``dur`` is not scaled: it is a fraction of ``max_duration``, which Composer has scaled already.
        """
        whole = self._whole(name, time) if time.unit == 'dur' else time
        amount = Fraction(time.value) * Fraction(whole.value if time.unit == 'dur' else ssr)
        if whole.unit != 'ep':
            return amount
        if self.epoch is None:
            raise ValueError(
                f"{name}='{time}' needs a train dataloader with a length: give the time in 'ba', 'sp' or 'tok', or set "
                'train_subset_num_batches'
            )
        return amount * self.epoch

    def until(self, unit: str) -> int | None:
        """Returns the length of the run in a unit; ``None`` where it is not known before training."""
        duration = self.max_duration
        if duration is not None and duration.unit == unit:
            return int(duration.value)
        if duration is None or duration.unit != 'ep' or unit != self.epoch_unit or self.epoch is None:
            return None
        return int(duration.value * self.epoch)

    def spell(self, t: int, unit: str) -> str:
        """Returns a time as a time string, in epochs where it makes whole ones."""
        if self.epoch is not None and unit == self.epoch_unit and t % self.epoch == 0:
            return f'{t // self.epoch}ep'
        return f'{t}{unit}'

    def _counted_in(self, name: str, time: ScheduleTime) -> str:
        unit = self._whole(name, time).unit if time.unit == 'dur' else time.unit
        if unit not in _UNITS:
            raise ValueError(
                f"{name}='{time}' is a fraction of max_duration='{self.max_duration}', which no schedule can be "
                "counted in: give max_duration in 'ep', 'ba', 'sp' or 'tok'"
            )
        return self.epoch_unit if unit == 'ep' else unit

    def _whole(self, name: str, time: ScheduleTime) -> ScheduleTime:
        if self.max_duration is None:
            raise ValueError(f"{name}='{time}' is a fraction of max_duration, which is not set: give it to Trainer")
        return self.max_duration
