"""Time strings as Composer reads them: ``8ep``, ``500ba``, ``1e6tok``, ``.5dur``."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

__all__ = ['ScheduleTime', 'read_duration', 'read_time']

_UNITS = ('ep', 'ba', 'sp', 'tok', 'dur')
# Composer's own pattern (0.32.1, composer/core/time.py): whatever Python reads as a number, then a unit.
_TIME = re.compile(r'(.+)(iter|ep|ba|sp|tok|dur|sec)$', re.IGNORECASE)
_WALL_CLOCK = re.compile(r'(?=.)(\d+h)?(\d+m)?(\d+s)?')
# Larger numbers are not all exact as floats, which epochs are in a curve.
_LONGEST = 2**53
_WHOLE = "write a whole number of epochs, batches, samples or tokens ('8ep', '500ba', '1000sp', '1000tok')"


class ScheduleTime(NamedTuple):
    """A time of a schedule.

    Attributes:
        value (int | float): How many; a whole number unless the unit is ``dur``.
        unit (str): ``'ep'``, ``'ba'``, ``'sp'``, ``'tok'``, or ``'dur'``, a fraction of the training duration.
    """

    value: int | float
    unit: str

    def __str__(self) -> str:
        return f'{self.value}{self.unit}'


def read_time(name: str, value: object) -> ScheduleTime:
    """Reads an argument that is a time.

    Args:
        name (str): The argument's name, for the error.
        value (object): A time string that Composer's ``Time.from_timestring`` accepts, or a time read before.

    Raises:
        ValueError: If it cannot be read, is not finite, or has a unit that no schedule can be counted in.

    Example:
        >>> read_time('t_0', '8ep'), read_time('t_0', '.5dur'), read_time('t_0', '1_000ba')
        (ScheduleTime(value=8, unit='ep'), ScheduleTime(value=0.5, unit='dur'), ScheduleTime(value=1000, unit='ba'))
    """
    remedy = f"{_WHOLE} or a fraction of the training duration ('0.25dur')"
    if not isinstance(value, (str, ScheduleTime)):
        raise ValueError(f'{name}={value!r} has no unit: {remedy}')
    time = _parsed(value) if isinstance(value, str) else value
    if time is None or not math.isfinite(time.value):
        raise ValueError(f'{name}={value!r} is not a time: {remedy}')
    if time.unit not in _UNITS:
        raise ValueError(f'{name}={str(value)!r}: no schedule can be counted in {time.unit!r}; {remedy}')
    return time


def read_duration(name: str, value: object) -> ScheduleTime:
    """Reads how long to train: a number above 0 of epochs, batches, samples or tokens.

    Args:
        name (str): The argument's name, for the error.
        value (object): As for :func:`read_time`.

    Raises:
        ValueError: If it cannot be read, is not above 0, is more than 2**53, or has another unit.

    Example:
        >>> str(read_duration('max_duration', '1e3ba'))
        '1000ba'
    """
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
