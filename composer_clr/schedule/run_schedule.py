"""The schedule of a run: its cycles, what they are counted in and until when; everything that follows a run asks it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from composer_clr.schedule.arguments import ScheduleArguments, check_rate
from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.times import COUNTERS, Lengths, ScheduleTime, read_duration

if TYPE_CHECKING:
    from composer.core import State, Timestamp

    from composer_clr.schedule.scheduler import Troughs

__all__ = ['RunSchedule']

# Recorded schedulers whose multiplier is known: a linear warmup, then cosines or the recorded shape; or marks.
_WITH_CYCLES = ('CyclicCosineScheduler', 'CosineAnnealingWarmRestartsScheduler')
_WITH_MARKS = 'AnytimeScheduler'
# ParetoSnapshot warns before the first batch, and the scheduler, which may be used without it, after.
_WARNED_OF: WeakSet[Cycles] = WeakSet()


@dataclass(frozen=True)
class RunSchedule:
    """The cycles of a run, made once from a Trainer, a recipe or a record.

    ``unit`` is what they are counted in: ``'ba'``, ``'sp'`` or ``'tok'``; of a recipe also ``'ep'``. ``scheduler`` is
    the Trainer's with its arguments as plain values, and in ``points_at`` troughs that were passed in its place;
    ``defaults`` are those of its arguments, which an older record may leave out. ``decays``: whether that scheduler is
    known to decay, at troughs or over the run. ``comes_down``: whether the rate comes down at every trough of the run;
    ``None`` where only the optimizer shows it. ``knows_rate``: whether the multiplier of the cycles is the schedule's.
    """

    cycles: Cycles
    unit: str
    lengths: Lengths
    alpha_f: float = 0.0
    scheduler: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    decays: bool = True
    comes_down: bool | None = True
    knows_rate: bool = True

    @classmethod
    def of_trainer(cls, state: State, override: Troughs | None = None) -> RunSchedule:
        """Returns the schedule that a Trainer runs, at or after ``FIT_START``.

        ``override``, a scheduler or the troughs themselves, takes precedence over the troughs of the Trainer's own. No
        scheduler or several, or one whose troughs are not known, is a ``ValueError``.
        """
        # Here, since recipes and records are read without waiting for torch.
        from composer_clr.schedule.known_schedulers import trainer_schedule

        return trainer_schedule(state, override)

    @classmethod
    def of_arguments(
        cls,
        arguments: ScheduleArguments,
        lengths: Lengths,
        ssr: float = 1.0,
        *,
        unit: str | None = None,
        troughs: Sequence[int] | None = None,
    ) -> RunSchedule:
        """Returns the schedule that arguments make in a run; of a record, ``unit`` and ``troughs`` are given."""
        unit = unit or lengths.unit(arguments.times())
        cycles = arguments.cycles(lambda name, time: lengths.count(name, time, ssr), unit, troughs)
        decays = cycles.decays and arguments.alpha_f < 1
        described = {**arguments.describe(), 'ssr': ssr}
        return cls(cycles, unit, lengths, float(arguments.alpha_f), described, decays=decays, comes_down=decays)

    @classmethod
    def of_record(cls, record: Mapping[str, Any], per_epoch: Callable[[str], Fraction]) -> RunSchedule:
        """Returns the schedule of a finished run from its :attr:`record`, up to its last trough.

        ``per_epoch`` gives the length of an epoch by a counter. A record that does not tell the multiplier between
        troughs is a ``ValueError``.
        """
        has_marks = record.get('scheduler') == _WITH_MARKS
        if not (has_marks or record.get('scheduler') in _WITH_CYCLES):
            raise ValueError(f'its scheduler is {record.get("scheduler")!r}')
        if 'points_at' in record:
            raise ValueError(f'its points are at {record["points_at"]}, not at the troughs of its scheduler')
        troughs, unit, ssr = record.get('troughs'), record.get('unit'), record.get('ssr', 1.0)
        if not (isinstance(troughs, list) and troughs and all(type(one) is int and one < 2**63 for one in troughs)):
            raise ValueError(f'its troughs are {troughs!r}')
        if not isinstance(unit, str) or unit not in COUNTERS:
            raise ValueError(f'its unit is {unit!r}')
        if not (isinstance(ssr, (int, float)) and 0 < ssr < math.inf):
            raise ValueError(f'its ssr is {ssr!r}')
        if has_marks:
            check_rate(record.get('rate'), record.get('a'))
        elif 'alpha_f' not in record:
            raise ValueError('its alpha_f is missing')
        # What places the troughs is not read: the record lists them.
        arguments = ScheduleArguments.of(record, t_0=None, t_mult=2.0, cycle_ends=None, marks=None)
        times = {name: time for name, time in arguments.times().items() if time.value}
        in_dur = any(time.unit == 'dur' for time in times.values())
        whole = read_duration('max_duration', record.get('max_duration')) if in_dur else None
        lengths = Lengths(whole, per_epoch(COUNTERS[unit]), unit)
        for name, time in times.items():
            if lengths.unit({name: time}) != unit:
                raise ValueError(f"its {name} is '{time}', its unit {unit!r}")
        schedule = cls.of_arguments(arguments, lengths, ssr, unit=unit, troughs=troughs)
        schedule.cycles.check_shape(max(troughs), arguments.alpha_f)
        schedule.cycles.troughs(until=max(troughs))
        return schedule

    @cached_property
    def until(self) -> int | None:
        """Length of the run in the unit of the cycles; ``None`` where it is not known before training."""
        return self.lengths.until(self.unit)

    @property
    def end(self) -> int:
        """Length of the run, where it has to be known: else a ``ValueError``."""
        if self.until is None:
            raise ValueError(
                f'max_duration={self.lengths.max_duration} cannot be counted in {self.unit!r}, the unit of the '
                'schedule: give both in the same unit'
            )
        return self.until

    @property
    def troughs(self) -> list[int]:
        """The troughs up to :attr:`end`: the points of the curve."""
        return self.cycles.troughs(self.end)

    @property
    def record(self) -> dict[str, Any]:
        """What a curve keeps of its schedule, in plain values."""
        return {
            **self.scheduler,
            'max_duration': None if self.lengths.max_duration is None else str(self.lengths.max_duration),
            'unit': self.unit,
            'troughs': None if self.until is None else self.troughs,
        }

    @property
    def counter(self) -> str:
        """What counts the unit of the cycles, in timestamps and points: ``'batch'``, ``'sample'`` or ``'token'``."""
        return COUNTERS[self.unit]

    def at(self, timestamp: Timestamp) -> int:
        """Returns a timestamp's count in the unit of the cycles."""
        return getattr(timestamp, COUNTERS[self.unit]).value

    def now(self, state: State) -> int:
        """Returns the time since the start of training, in the unit of the cycles."""
        return self.at(state.timestamp)

    def crossed(self, state: State) -> range:
        """Returns the cycles that the last batch completed: usually one or none; several where it was longer."""
        if state.previous_timestamp is None:
            return range(0)
        now = self.now(state)
        self.check_counted(state, now)
        return self.cycles.crossed(self.at(state.previous_timestamp), now)

    def check_counted(self, state: State, now: int) -> None:
        """Refuses a schedule in a unit of which the batches have none, and in which time stands still."""
        if now == 0 and state.timestamp.batch.value > 0:
            raise ValueError(
                f'the schedule is counted in {self.unit!r}, but the batches so far have none: '
                "give get_num_tokens_in_batch to the train DataSpec, or count the schedule in 'ba', 'ep' or 'sp'"
            )

    def elapsed(self, state: State, *, after_batch: bool) -> tuple[int, float]:
        """Returns the cycle that a run is in and its elapsed part: see :meth:`Cycles.elapsed`.

        By Composer's clock: in whole epochs where ``max_duration`` is in ``ep`` and every trough ends an epoch.
        """
        if self._in_epochs is None:
            return self.cycles.elapsed(self.now(state), after_batch=after_batch)
        # The epoch counter moves only after the last batch of an epoch.
        epoch_ended = state.timestamp.batch_in_epoch.value == 0
        return self._in_epochs.elapsed(state.timestamp.epoch.value, after_batch=after_batch and epoch_ended)

    def last_multiplier(self, state: State) -> float | None:
        """Returns the multiplier that the Trainer's scheduler asked for in the last batch; ``None`` if it has none.

        At ``BATCH_END`` the optimizer's rate is its own times this one, since schedulers are stepped before the clock.
        """
        from composer_clr.schedule.known_schedulers import multiplier_at

        return None if state.previous_timestamp is None else multiplier_at(state, state.previous_timestamp)

    def count(self, name: str, time: ScheduleTime) -> Fraction:
        """Returns a named time as an exact number of the unit of the cycles; 0 counts in every unit."""
        if not time.value:
            return Fraction(0)
        if self.lengths.unit({name: time}) != self.unit:
            raise ValueError(
                f"{name}='{time}' cannot be counted in {self.unit!r}, the unit of the schedule: give both in the same "
                'unit'
            )
        return self.lengths.count(name, time)

    def spell(self, t: int) -> str:
        """Returns a time as a time string, in epochs where it makes whole ones."""
        return self.lengths.spell(t, self.unit)

    def same_troughs(self, other: RunSchedule) -> bool:
        """Returns whether another schedule has its troughs up to the end of training at the same times."""
        if self.until is None:
            return self.record == other.record
        return self.unit == other.unit and self.troughs == other.cycles.troughs(self.until)

    def completed(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a record of the schedule with the default of each argument that it leaves out."""
        return {**self.defaults, **record}

    @property
    def cut(self) -> str | None:
        """What is lost where training stops between two troughs, of which the time after the last makes no point."""
        until = self.until
        if until is None or self.troughs[-1:] == [until]:
            return None
        name, passed = self.cycles.end_name, self.troughs
        coming = self.cycles.next_trough(until)
        ends = [*passed[-1:], *([] if coming is None else [coming])]
        nearest = min(ends, key=lambda end: abs(end - until), default=None)
        last = f"the last whole {name} is at '{self.spell(passed[-1])}'" if passed else f'it reaches no {name}'
        remedy = f"; the nearest max_duration that ends on a {name} is '{self.spell(nearest)}'" if nearest else ''
        between, last_one = (
            ('in the middle of a cycle', 'cycle') if self.cycles.decays else ('between two marks', 'mark')
        )
        where = f'after the last {last_one}' if coming is None else between
        return f"max_duration='{self.spell(until)}' stops {where}: {last}{remedy}"

    def warn_if_cut(self) -> None:
        """Warns, once per schedule, of what is lost where training stops between two troughs."""
        cut = self.cut
        if cut is not None and self.cycles not in _WARNED_OF:
            _WARNED_OF.add(self.cycles)
            warnings.warn(cut, UserWarning, stacklevel=2)

    @cached_property
    def _in_epochs(self) -> Cycles | None:
        """The cycles counted in epochs, if Composer's clock moves by epochs and every trough ends one."""
        epoch, duration = self.lengths.epoch, self.lengths.max_duration
        if self.until is None or not epoch or duration is None or duration.unit != 'ep':
            return None
        ends, coming = list(self.troughs), self.cycles.next_trough(self.until)
        if coming is not None and self.until not in ends:
            ends.append(coming)
        if not ends or any(end % epoch for end in ends):
            return None
        return Cycles(0, [int(end // epoch) for end in ends])
