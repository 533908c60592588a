"""Composer's times as exact numbers of batches, samples or tokens, and back as time strings."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

from composer.core import State, Time, TimeUnit

from composer_clr.schedule.time_strings import ScheduleTime, read_time

__all__ = ['COUNTED', 'check_counted', 'common_unit', 'horizon', 'in_unit', 'now', 'parse_time', 'plain', 'spell']

# Where Timestamp keeps the count of each unit that boundaries are counted in. Epochs and fractions of the training
# duration are not among them: Composer's epoch counter does not move within an epoch.
COUNTED = {TimeUnit.BATCH: 'batch', TimeUnit.SAMPLE: 'sample', TimeUnit.TOKEN: 'token'}

T = TypeVar('T')


def plain(value: T | Time) -> T | ScheduleTime:
    """Returns a Composer time as a plain one, and anything else as it is."""
    return ScheduleTime(value.value, value.unit.value) if isinstance(value, Time) else value


def parse_time(name: str, value: str | Time) -> Time:
    """Reads an argument as a Composer time.

    Args:
        name (str): The argument's name, for the error.
        value (str | Time): A time string such as ``'8ep'``, or a ``Time``.

    Raises:
        ValueError: If it cannot be read, or has a unit that no schedule can be counted in.

    Example:
        >>> parse_time('t_0', '8ep')
        Time(8, TimeUnit.EPOCH)
    """
    time = read_time(name, plain(value))
    return Time(time.value, time.unit)


def common_unit(times: dict[str, Time], state: State) -> TimeUnit:
    """Returns the unit in which all of a schedule's times can be counted during this run.

    Epochs, and fractions of a duration given in epochs, count in batches; a fraction of any other duration counts in
    that duration's unit.

    Raises:
        ValueError: If two of the times have no common unit. A time of 0 is compatible with every unit.
    """
    units = {name: _counted_unit(name, time, state) for name, time in times.items()}
    chosen_name = next((name for name in units if times[name].value), next(iter(units)))
    for name, unit in units.items():
        if times[name].value and unit != units[chosen_name]:
            raise ValueError(
                f'{name}={spell(times[name])!r} and {chosen_name}={spell(times[chosen_name])!r} cannot be converted '
                'into each other: give all times of the schedule in one unit (epochs and batches go together)'
            )
    return units[chosen_name]


def in_unit(name: str, time: Time, state: State, ssr: float = 1.0) -> Fraction:
    """Returns a time as an exact number of its counted unit (see :func:`common_unit`), scaled by ``ssr``.

    ``dur`` is not scaled: it is a fraction of ``max_duration``, which Composer has scaled already.

    Raises:
        ValueError: If the train dataloader has no length and the time needs one.
    """
    if time.unit == TimeUnit.DURATION:
        whole = _max_duration(name, time, state)
        if whole.unit == TimeUnit.EPOCH:
            return Fraction(time.value) * whole.value * _loader_length(name, time, state)
        return Fraction(time.value) * whole.value
    batches_each = _loader_length(name, time, state) if time.unit == TimeUnit.EPOCH else 1
    return time.value * batches_each * Fraction(ssr)


def horizon(state: State, unit: TimeUnit) -> int | None:
    """Returns ``max_duration`` counted in ``unit``; ``None`` where it is not known before training."""
    duration = state.max_duration
    if duration is None:
        return None
    if duration.unit == unit:
        return duration.value
    if duration.unit == TimeUnit.EPOCH and unit == TimeUnit.BATCH and state.dataloader_len is not None:
        return duration.value * int(state.dataloader_len)
    return None


def now(state: State, unit: TimeUnit) -> int:
    """Returns the time since the start of training, in a counted unit."""
    return getattr(state.timestamp, COUNTED[unit]).value


def check_counted(state: State, unit: TimeUnit, t: int) -> None:
    """Refuses a schedule in a unit of which the batches have none, and in which time stands still.

    Raises:
        ValueError: If there have been batches, and ``t`` is still 0.
    """
    if t == 0 and state.timestamp.batch.value > 0:
        raise ValueError(
            f'the schedule is counted in {unit.value!r}, but the batches so far have none: '
            "give get_num_tokens_in_batch to the train DataSpec, or count the schedule in 'ba', 'ep' or 'sp'"
        )


def spell(time: Time, state: State | None = None) -> str:
    """Returns a time as its time string; given a state, batches that make whole epochs are written as epochs.

    Example:
        >>> spell(Time(8, 'ep')), spell(Time(0.5, 'dur'))
        ('8ep', '0.5dur')
    """
    if state is not None and time.unit == TimeUnit.BATCH and state.dataloader_len is not None:
        epochs, rest = divmod(time.value, int(state.dataloader_len))
        if rest == 0:
            return f'{epochs}ep'
    return f'{time.value}{time.unit.value}'


def _counted_unit(name: str, time: Time, state: State) -> TimeUnit:
    if time.unit == TimeUnit.EPOCH:
        return TimeUnit.BATCH
    if time.unit == TimeUnit.DURATION:
        whole = _max_duration(name, time, state)
        if whole.unit == TimeUnit.EPOCH:
            return TimeUnit.BATCH
        if whole.unit not in COUNTED:
            raise ValueError(
                f'{name}={spell(time)!r} is a fraction of max_duration={spell(whole)!r}, which no schedule can be '
                "counted in: give max_duration in 'ep', 'ba', 'sp' or 'tok'"
            )
        return whole.unit
    return time.unit


def _max_duration(name: str, time: Time, state: State) -> Time:
    if state.max_duration is None:
        raise ValueError(f'{name}={spell(time)!r} is a fraction of max_duration, which is not set: give it to Trainer')
    return state.max_duration


def _loader_length(name: str, time: Time, state: State) -> int:
    if state.dataloader_len is None:
        raise ValueError(
            f"{name}={spell(time)!r} needs a train dataloader with a length: give the time in 'ba', 'sp' or 'tok', "
            'or set train_subset_num_batches'
        )
    return int(state.dataloader_len)
