"""The cycles of a finished run, read from its record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from composer_clr.analysis.mean_curve import Array
from composer_clr.curves.axes import PLURALS, Count, point_count
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.schedule.arguments import ScheduleArguments
from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.marks import Marks, check_rate
from composer_clr.schedule.multiplier_line import multiplier_line
from composer_clr.schedule.time_strings import ScheduleTime, read_duration, read_time

__all__ = ['RecordedSchedule', 'recorded_schedule']

# Schedulers whose multiplier between troughs is known: a linear warmup, then cosines or the recorded shape; and the one
# whose points are marks.
_COSINES = ('CyclicCosineScheduler', 'CosineAnnealingWarmRestartsScheduler')
_WITH_MARKS = 'AnytimeScheduler'
_COUNTS = {'ba': 'batch', 'sp': 'sample', 'tok': 'token'}
# What places the troughs is not read: the record lists them.
_ARGUMENTS = ('t_warmup', 'alpha_f', 'shape', 'peak_decay', 't_rewarmup', 't_hold')


@dataclass(frozen=True)
class RecordedSchedule:
    """A run's cycles on an axis of epochs, batches, samples or tokens.

    Attributes:
        cycles (Cycles): Where they start and end, in batches, samples or tokens; of an anytime run, its marks.
        troughs (tuple[int, ...]): Their ends, up to the end of training.
        alpha_f (float): The multiplier at a trough, not at a mark.
        per_count (float): Batches, samples or tokens per epoch; per batch, where the train loader has no length.
        axis (str): ``'epochs'``, ``'batches'``, ``'samples'`` or ``'tokens'``.
    """

    cycles: Cycles
    troughs: tuple[int, ...]
    alpha_f: float
    per_count: float
    axis: str

    @property
    def periods(self) -> tuple[int, ...]:
        """Returns the length of each cycle."""
        return tuple(trough - restart for restart, trough in pairwise((self.cycles.start, *self.troughs)))

    @property
    def is_constant(self) -> bool:
        """Whether all cycles have the same length, up to the rounding of their ends."""
        return max(self.periods) - min(self.periods) <= 1

    @property
    def period_label(self) -> str:
        """Returns the period for a legend: ``'8 epochs'``, or ``'8 to 256 epochs'`` if it grows."""
        ends = [self.periods[0], self.periods[-1]]
        if self.is_constant:
            ends = [sum(self.periods) / len(self.periods)]
        return f'{" to ".join(f"{end / self.per_count:.4g}" for end in ends)} {self.axis}'

    def multipliers(self, points_per_cycle: int = 200) -> tuple[Array, Array]:
        """Returns the multiplier over training as a line: epochs, and the multiplier at each.

        A trough appears twice: with the multiplier that its cycle ends on, and with the one that the next starts from.
        """
        times, values = multiplier_line(self.cycles, self.troughs[-1], self.alpha_f, points_per_cycle=points_per_cycle)
        return np.array(times) / self.per_count, np.array(values)


def recorded_schedule(curve: TradeoffCurve, axis: Count | None = None) -> RecordedSchedule:
    """Returns a run's cycles from ``run.schedule``, as :class:`~composer_clr.ParetoSnapshot` records it.

    Args:
        curve (TradeoffCurve): The run, with at least one point, which has the length of an epoch.
        axis (str | None): ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``. Default: ``None``, epochs where they
            are counted, else batches.

    Raises:
        CurveError: If the record does not have the schedule: it was read from a CSV, was cut, or names a scheduler
            whose multiplier between troughs is not known.
    """
    record = curve.run.schedule
    has_marks = record.get('scheduler') == _WITH_MARKS
    try:
        if not (has_marks or record.get('scheduler') in _COSINES):
            raise ValueError(f'its scheduler is {record.get("scheduler")!r}')
        if 'points_at' in record:
            raise ValueError(f'its points are at {record["points_at"]}, not at the troughs of its scheduler')
        troughs = record.get('troughs')
        if not (isinstance(troughs, list) and troughs and all(type(one) is int and one < 2**63 for one in troughs)):
            raise ValueError(f'its troughs are {troughs!r}')
        if 'alpha_f' not in record and not has_marks:
            raise ValueError('its alpha_f is missing')
        arguments = ScheduleArguments.read(**{name: record[name] for name in _ARGUMENTS if name in record})
        per_epoch = _per_epoch(curve, record.get('unit'))
        axis = axis or ('batch' if curve.points[-1].epoch is None else 'epoch')
        count = point_count(curve.points[-1], axis)
        if not count:
            raise ValueError(f'its last point has no {axis}')
        per_count = getattr(curve.points[-1], _COUNTS[record['unit']]) / count
        cycles = arguments.cycles(lambda name, time: _counted(record, name, time, per_epoch), record['unit'], troughs)
        if has_marks:
            cycles = Marks.of(cycles, _falls_over(record, per_epoch))
        cycles.check_shape(max(troughs), arguments.alpha_f)
        cycles.troughs(until=max(troughs))
    except (ValueError, OverflowError) as error:
        raise CurveError(
            f'run {curve.place!r}: its record does not have the learning rate ({error}): '
            'give the curve.json of a run with cosine cycles'
        ) from error
    return RecordedSchedule(cycles, tuple(troughs), float(arguments.alpha_f), per_count, PLURALS[axis])


def _falls_over(record: dict[str, Any], per_epoch: float) -> float | None:
    """Returns ``a`` of a rate over the square root of time, in the schedule's unit; ``None`` of a constant rate."""
    check_rate(record.get('rate'), record.get('a'))
    return float(_counted(record, 'a', read_time('a', record['a']), per_epoch)) if 'a' in record else None


def _per_epoch(curve: TradeoffCurve, unit: Any) -> float:
    if not isinstance(unit, str) or unit not in _COUNTS:
        raise ValueError(f'its unit is {unit!r}')
    if not curve.points:
        raise ValueError('it has no points')
    last = curve.points[-1]
    amount, epochs = getattr(last, _COUNTS[unit]), last.batch if last.epoch is None else last.epoch
    if not (amount > 0 and 0 < epochs < math.inf):
        raise ValueError(f'its last point has {_COUNTS[unit]} {amount} and epoch {epochs}')
    return amount / epochs


def _counted(record: dict[str, Any], name: str, time: ScheduleTime, per_epoch: float) -> Fraction:
    """Returns a recorded time in the schedule's unit, scaled as the run scaled it."""
    if time.unit == 'dur':
        # Composer has scaled the duration already.
        whole = read_duration('max_duration', record.get('max_duration'))
        return Fraction(time.value) * _counted({**record, 'ssr': 1.0}, 'max_duration', whole, per_epoch)
    if time.unit not in ('ep', record['unit']):
        raise ValueError(f"its {name} is '{time}', its unit {record['unit']!r}")
    ssr = record.get('ssr', 1.0)
    if not (isinstance(ssr, (int, float)) and 0 < ssr < math.inf):
        raise ValueError(f'its ssr is {ssr!r}')
    return Fraction(time.value) * Fraction(ssr) * (Fraction(per_epoch) if time.unit == 'ep' else 1)
