"""The cycles of the schedule that a Trainer runs, for every scheduler whose troughs are known.

Composer keeps its schedulers compiled into torch ``LambdaLR`` objects. :func:`_composer_scheduler` is the one place
that looks inside them, as they are in mosaicml 0.32.1, ``composer/optim/scheduler.py``, ``compile_composer_scheduler``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from composer import optim
from composer.core import State, Time, Timestamp, TimeUnit
from torch.optim.lr_scheduler import LambdaLR

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.times import check_counted, common_unit, horizon, in_unit, parse_time, spell

__all__ = ['TrainerSchedule', 'Troughs', 'trainer_schedule']

# Troughs passed beside the Trainer's scheduler: a scheduler that has them, or the troughs themselves.
Troughs = CyclicCosineScheduler | Sequence[str | Time]

_WITHOUT_RESTARTS = (
    optim.ConstantScheduler,
    optim.ConstantWithWarmupScheduler,
    optim.CosineAnnealingScheduler,
    optim.CosineAnnealingWithWarmupScheduler,
    optim.ExponentialScheduler,
    optim.LinearScheduler,
    optim.LinearWithWarmupScheduler,
    optim.MultiStepScheduler,
    optim.MultiStepWithWarmupScheduler,
    optim.PolynomialScheduler,
    optim.PolynomialWithWarmupScheduler,
    optim.StepScheduler,
)
# What a record of a schedule may leave out beside the scheduler's arguments.
_UNLESS_RECORDED: dict[str, object] = {'ssr': 1.0, 'points_at': None, 'average': None}
# By name, since LLM Foundry need not be installed. Its other schedulers are Composer's.
_LLM_FOUNDRYS = ('InverseSquareRootWithWarmupScheduler',)
_WITHOUT_DECAY = ('ConstantScheduler', 'ConstantWithWarmupScheduler', *_LLM_FOUNDRYS)


@dataclass(frozen=True)
class TrainerSchedule:
    """The cycles of a run.

    Attributes:
        cycles (Cycles): Where they start and end.
        unit (TimeUnit): What they are counted in.
        description (dict[str, object]): The Trainer's scheduler and its arguments as plain values, for the record; in
            ``points_at``, troughs that were passed in place of the scheduler's own.
        defaults (dict[str, object]): The defaults of the scheduler's arguments, which a record may leave out.
        knows_rate (bool): Whether the multiplier of the cycles is that of the schedule. Default: ``True``.
        comes_down (bool): Whether the rate may come down at every trough: not at troughs that were passed beside a
            scheduler without restarts, or beside none. Default: ``True``.
        decays (bool): Whether the Trainer's scheduler is known to decay, at troughs or over the run. Default: ``True``.
    """

    cycles: Cycles
    unit: TimeUnit
    description: dict[str, object]
    defaults: dict[str, object] = field(default_factory=dict)
    knows_rate: bool = True
    comes_down: bool = True
    decays: bool = True

    def at(self, timestamp: Timestamp) -> int:
        """Returns a timestamp's count in the unit of the cycles."""
        return timestamp.get(self.unit).value

    def now(self, state: State) -> int:
        """Returns the time since the start of training, in the unit of the cycles."""
        return self.at(state.timestamp)

    def crossed(self, state: State) -> range:
        """Returns the cycles that the last batch completed: usually one or none; several where it was longer.

        Raises:
            ValueError: If the batches have none of the unit of the cycles, such as tokens.
        """
        if state.previous_timestamp is None:
            return range(0)
        now = self.now(state)
        check_counted(state, self.unit, now)
        return self.cycles.crossed(self.at(state.previous_timestamp), now)

    def same_troughs(self, other: TrainerSchedule, state: State) -> bool:
        """Returns whether another schedule has its troughs up to ``max_duration`` at the same times."""
        until = horizon(state, self.unit)
        if until is None:
            return self.description == other.description
        return self.unit == other.unit and self.cycles.troughs(until) == other.cycles.troughs(until)

    def completed(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a record of the schedule with the default of each argument that it leaves out.

        Records leave out what is at its default, and what their version did not have.
        """
        return {**self.defaults, **record}

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


def trainer_schedule(state: State, override: Troughs | None = None) -> TrainerSchedule:
    """Returns the cycles of the schedule that a Trainer runs.

    Known are :class:`~composer_clr.CyclicCosineScheduler`, Composer's ``CosineAnnealingWarmRestartsScheduler`` (with
    its own way of truncating periods), and the schedulers of Composer and LLM Foundry without restarts, whose one
    trough is the end of training.

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
    description = {**_described(scheduler), 'ssr': ssr}
    of_scheduler: dict[str, Any] = {'defaults': _defaults(scheduler), 'decays': _decays(scheduler)}
    if override is not None:
        placed = override if isinstance(override, CyclicCosineScheduler) else CyclicCosineScheduler(cycle_ends=override)
        if _described(placed) != _described(scheduler):
            arguments = placed.describe()
            description['points_at'] = arguments if placed is override else arguments['cycle_ends']
        comes_down = _may_come_down(scheduler)
        return TrainerSchedule(*placed.cycles(state, ssr), description, comes_down=comes_down, **of_scheduler)
    if isinstance(scheduler, CyclicCosineScheduler):
        return TrainerSchedule(*scheduler.cycles(state, ssr), description, **of_scheduler)
    if isinstance(scheduler, optim.CosineAnnealingWarmRestartsScheduler):
        return TrainerSchedule(*_restarts(scheduler, state, ssr), description, **of_scheduler)
    if scheduler is not None and _is_without_restarts(scheduler):
        knows_rate = isinstance(scheduler, (optim.CosineAnnealingScheduler, optim.CosineAnnealingWithWarmupScheduler))
        cycles, unit = _one_decay(scheduler, state, ssr)
        return TrainerSchedule(cycles, unit, description, knows_rate=knows_rate, **of_scheduler)
    found = 'no scheduler' if scheduler is None else f'the scheduler {description["scheduler"]}'
    raise ValueError(
        f'the troughs of {found} are not known: train with CyclicCosineScheduler, or pass the troughs, '
        "scheduler=['16ep', '32ep']"
    )


def _is_without_restarts(scheduler: optim.ComposerScheduler | None) -> bool:
    return isinstance(scheduler, _WITHOUT_RESTARTS) or type(scheduler).__name__ in _LLM_FOUNDRYS


def _may_come_down(scheduler: optim.ComposerScheduler | None) -> bool:
    if isinstance(scheduler, CyclicCosineScheduler):
        return scheduler.decays
    # One of the user's own may do anything.
    return scheduler is not None and not _is_without_restarts(scheduler)


def _decays(scheduler: optim.ComposerScheduler | None) -> bool:
    if isinstance(scheduler, CyclicCosineScheduler):
        return scheduler.decays
    if isinstance(scheduler, optim.CosineAnnealingWarmRestartsScheduler):
        return True
    return _is_without_restarts(scheduler) and type(scheduler).__name__ not in _WITHOUT_DECAY


def _described(scheduler: optim.ComposerScheduler | None) -> dict[str, object]:
    """Returns a scheduler's name and its arguments as plain values, as far as it keeps them under their names."""
    if scheduler is None or isinstance(scheduler, CyclicCosineScheduler):
        name = None if scheduler is None else type(scheduler).__name__
        return {'scheduler': name, **({} if scheduler is None else scheduler.describe())}
    description: dict[str, object] = {'scheduler': getattr(scheduler, '__name__', type(scheduler).__name__)}
    for name in inspect.signature(type(scheduler).__init__).parameters:
        value = _plain(getattr(scheduler, name, None))
        if value is not None:
            description[name] = value
    return description


def _defaults(scheduler: optim.ComposerScheduler | None) -> dict[str, object]:
    parameters = () if scheduler is None else inspect.signature(type(scheduler).__init__).parameters.values()
    return _UNLESS_RECORDED | {
        p.name: _plain(p.default) for p in parameters if p.default is not inspect.Parameter.empty
    }


def _plain(value: object) -> object:
    """Returns an argument as plain values; ``None`` for what a record does not keep."""
    if isinstance(value, Time):
        return spell(value)
    if isinstance(value, (list, tuple)):
        return [spell(item) if isinstance(item, Time) else str(item) for item in value]
    return value if isinstance(value, (str, int, float)) else None


def _composer_scheduler(state: State) -> tuple[optim.ComposerScheduler | None, float]:
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


def _restarts(
    scheduler: optim.CosineAnnealingWarmRestartsScheduler, state: State, ssr: float
) -> tuple[Cycles, TimeUnit]:
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


def _one_decay(scheduler: optim.ComposerScheduler, state: State, ssr: float) -> tuple[Cycles, TimeUnit]:
    t_max = parse_time('t_max', getattr(scheduler, 't_max', '1dur'))
    unit = common_unit({'t_max': t_max}, state)
    trough = _as_composer_counts(t_max, state, ssr)
    until = horizon(state, unit)
    # The multiplier stays where it is after t_max, so the point is what training ends with.
    end = trough if until is None else max(trough, until)
    start = 0
    length = getattr(scheduler, 't_warmup', None)
    if length is not None:
        t_warmup = parse_time('t_warmup', length)
        if t_warmup.value and common_unit({'t_warmup': t_warmup}, state) == unit:
            scales = getattr(scheduler, 'scale_warmup', False)
            start = _as_composer_counts(t_warmup, state, ssr if scales else 1.0)
    return Cycles(start if start < end else 0, [end]), unit
