"""The cycles of a finished run, read from its record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from composer_clr.curves.axes import PLURALS, Count, point_count
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.schedule.cycles import Cycles, multiplier_line
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.study.estimates import Array

__all__ = ['RecordedSchedule', 'recorded_schedule']


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
    try:
        schedule = RunSchedule.of_record(curve.run.schedule, lambda counter: _per_epoch(curve, counter))
        axis = axis or ('batch' if curve.points[-1].epoch is None else 'epoch')
        count = point_count(curve.points[-1], axis)
        if not count:
            raise ValueError(f'its last point has no {axis}')
        per_count = getattr(curve.points[-1], schedule.counter) / count
    except (ValueError, OverflowError) as error:
        raise CurveError(
            f'run {curve.place!r}: its record does not have the learning rate ({error}): '
            'give the curve.json of a run with cosine cycles'
        ) from error
    return RecordedSchedule(
        schedule.cycles, tuple(curve.run.schedule['troughs']), schedule.alpha_f, per_count, PLURALS[axis]
    )


def _per_epoch(curve: TradeoffCurve, counter: str) -> Fraction:
    if not curve.points:
        raise ValueError('it has no points')
    last = curve.points[-1]
    amount, epochs = getattr(last, counter), last.batch if last.epoch is None else last.epoch
    if not (amount > 0 and 0 < epochs < math.inf):
        raise ValueError(f'its last point has {counter} {amount} and epoch {epochs}')
    return Fraction(amount / epochs)
