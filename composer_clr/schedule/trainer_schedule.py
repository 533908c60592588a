"""The cycles of the schedule that a Trainer runs, for every scheduler whose troughs are known.

Composer keeps its schedulers compiled into torch ``LambdaLR`` objects. :func:`_composer_scheduler` is the one place
that looks inside them, as they are in mosaicml 0.32.1, ``composer/optim/scheduler.py``, ``compile_composer_scheduler``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from composer.core import State, Time, Timestamp, TimeUnit
from composer.optim import (
    ComposerScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    CosineAnnealingWithWarmupScheduler,
)
from torch.optim.lr_scheduler import LambdaLR

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.times import common_unit, horizon, in_unit, parse_time, spell

__all__ = ['TrainerSchedule', 'trainer_schedule']


@dataclass(frozen=True)
class TrainerSchedule:
    """The cycles of a run.

    Attributes:
        cycles (Cycles): Where they start and end.
        unit (TimeUnit): What they are counted in.
        description (dict[str, object]): The scheduler and its arguments as plain values, for the record.
    """

    cycles: Cycles
    unit: TimeUnit
    description: dict[str, object]

    def at(self, timestamp: Timestamp) -> int:
        """Returns a timestamp's count in the unit of the cycles."""
        return timestamp.get(self.unit).value

    def now(self, state: State) -> int:
        """Returns the time since the start of training, in the unit of the cycles."""
        return self.at(state.timestamp)

    def crossed(self, state: State) -> range:
        """Returns the cycles that the last batch completed: usually one or none; several where it was longer."""
        if state.previous_timestamp is None:
            return range(0)
        return self.cycles.crossed(self.at(state.previous_timestamp), self.now(state))

    def count(self, name: str, time: Time, state: State) -> Fraction:
        """Returns a time as an exact number of the unit of the cycles; 0 counts in every unit.

        Args:
            name (str): The time's name, for the error.
            time (Time): The time.
            state (State): The trainer's state.

        Raises:
            ValueError: If it cannot be counted in that unit.
        """
        if not time.value:
            return Fraction(0)
        if common_unit({name: time}, state) != self.unit:
            raise ValueError(
                f'{name}={spell(time)!r} cannot be counted in {self.unit.value!r}, the unit of the schedule: '
                'give both in the same unit'
            )
        return in_unit(name, time, state)


def trainer_schedule(
    state: State, override: CyclicCosineScheduler | Sequence[str | Time] | None = None
) -> TrainerSchedule:
    """Returns the cycles of the schedule that a Trainer runs.

    Known are :class:`~composer_clr.CyclicCosineScheduler`, Composer's ``CosineAnnealingWarmRestartsScheduler`` (with
    its own way of truncating periods), and its two plain cosines, whose one trough is the end of training.

    Args:
        state (State): The trainer's state, at or after ``FIT_START``.
        override (CyclicCosineScheduler | Sequence[str | Time] | None): Troughs that take precedence over those of the
            Trainer's scheduler: a scheduler, or the troughs themselves. Default: ``None``.

    Raises:
        ValueError: If the Trainer has no scheduler or several, or one whose troughs are not known.
    """
    if len(state.schedulers) > 1:
        raise ValueError(
            f'the Trainer has {len(state.schedulers)} schedulers, of which Composer applies only the last: give it one'
        )
    scheduler, ssr = _composer_scheduler(state)
    if isinstance(override, CyclicCosineScheduler):
        scheduler = override
    elif override is not None:
        scheduler = CyclicCosineScheduler(cycle_ends=override)
    if isinstance(scheduler, CyclicCosineScheduler):
        cycles, unit = scheduler.cycles(state, ssr)
        arguments = scheduler.describe()
    elif isinstance(scheduler, CosineAnnealingWarmRestartsScheduler):
        cycles, unit = _restarts(scheduler, state, ssr)
        arguments = {'t_0': str(scheduler.t_0), 't_mult': scheduler.t_mult, 'alpha_f': scheduler.alpha_f}
    elif isinstance(scheduler, (CosineAnnealingScheduler, CosineAnnealingWithWarmupScheduler)):
        cycles, unit = _one_decay(scheduler, state, ssr)
        arguments = {'t_max': str(scheduler.t_max), 'alpha_f': scheduler.alpha_f}
        if isinstance(scheduler, CosineAnnealingWithWarmupScheduler):
            arguments['t_warmup'] = str(scheduler.t_warmup)
    else:
        found = 'no scheduler' if scheduler is None else f'the scheduler {type(scheduler).__name__}'
        raise ValueError(
            f'the troughs of {found} are not known: train with CyclicCosineScheduler, or pass the troughs, '
            "scheduler=['16ep', '32ep']"
        )
    return TrainerSchedule(cycles, unit, {'scheduler': type(scheduler).__name__, **arguments, 'ssr': ssr})


def _composer_scheduler(state: State) -> tuple[ComposerScheduler | None, float]:
    """Returns the Composer scheduler that the Trainer compiled, and its scale schedule ratio.

    A torch scheduler is returned as it is: its troughs are not known.
    """
    if not state.schedulers:
        return None, 1.0
    compiled = state.schedulers[0]
    if isinstance(compiled, LambdaLR) and inspect.isfunction(compiled.lr_lambdas[0]):
        closed_over = inspect.getclosurevars(compiled.lr_lambdas[0]).nonlocals
        if 'scheduler' in closed_over and 'ssr' in closed_over:
            return closed_over['scheduler'], closed_over['ssr']
    return compiled, 1.0  # type: ignore[return-value]


def _restarts(scheduler: CosineAnnealingWarmRestartsScheduler, state: State, ssr: float) -> tuple[Cycles, TimeUnit]:
    t_0 = parse_time('t_0', scheduler.t_0)
    unit = common_unit({'t_0': t_0}, state)
    return Cycles(0, _TruncatedEnds(_as_composer_counts(t_0, state, ssr), scheduler.t_mult)), unit


def _as_composer_counts(time: Time, state: State, ssr: float) -> int:
    """Returns a time in its counted unit by Composer's own arithmetic: a product of floats, truncated."""
    batches_each = int(state.dataloader_len) if state.dataloader_len is not None else 1
    if time.unit == TimeUnit.DURATION:
        assert state.max_duration is not None, 'common_unit checks it'
        whole = state.max_duration
        return int(time.value * (batches_each if whole.unit == TimeUnit.EPOCH else 1) * whole.value)
    return int(time.value * (batches_each if time.unit == TimeUnit.EPOCH else 1) * ssr)


@dataclass
class _TruncatedEnds(Iterator[int]):
    """Composer's own restarts: each period is truncated before the next one is computed from it."""

    period: int
    t_mult: float
    end: int = 0

    def __next__(self) -> int:
        self.end += self.period
        self.period = int(self.t_mult * self.period)
        return self.end


def _one_decay(
    scheduler: CosineAnnealingScheduler | CosineAnnealingWithWarmupScheduler, state: State, ssr: float
) -> tuple[Cycles, TimeUnit]:
    t_max = parse_time('t_max', scheduler.t_max)
    unit = common_unit({'t_max': t_max}, state)
    trough = _as_composer_counts(t_max, state, ssr)
    until = horizon(state, unit)
    # Both schedulers stay at alpha_f after t_max, so the point is what training ends with.
    end = trough if until is None else max(trough, until)
    start = 0
    if isinstance(scheduler, CosineAnnealingWithWarmupScheduler):
        t_warmup = parse_time('t_warmup', scheduler.t_warmup)
        if t_warmup.value and common_unit({'t_warmup': t_warmup}, state) == unit:
            start = _as_composer_counts(t_warmup, state, ssr if scheduler.scale_warmup else 1.0)
    return Cycles(start if start < end else 0, [end]), unit
