"""The schedulers that a Trainer may run: where the troughs of each are, whether it decays, and its record."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from composer import optim
from composer.core import State, Timestamp
from torch.optim.lr_scheduler import LambdaLR

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import CyclicCosineScheduler, Troughs
from composer_clr.schedule.times import Lengths, ScheduleTime, read_time
from composer_clr.utils.arguments import arguments_of, defaults_of, plain

__all__ = ['multiplier_at', 'trainer_schedule']

# All of Composer's schedulers but the one that restarts.
_WITHOUT_RESTARTS = tuple(
    one
    for name, one in vars(optim).items()
    if name.endswith('Scheduler') and name not in ('ComposerScheduler', 'CosineAnnealingWarmRestartsScheduler')
)
# Without its cooldown it falls as an anytime run's 1/sqrt rate does. By name, since LLM Foundry need not be installed;
# its other schedulers are Composer's.
_INVERSE_SQRT = 'InverseSquareRootWithWarmupScheduler'
# What a record of a schedule may leave out beside the scheduler's arguments.
_UNLESS_RECORDED: dict[str, object] = {'ssr': 1.0, 'points_at': None, 'average': None}


def trainer_schedule(state: State, override: Troughs | None) -> RunSchedule:
    """Returns the schedule that a Trainer runs: see :meth:`RunSchedule.of_trainer`."""
    if len(state.schedulers) > 1:
        raise ValueError(
            f'the Trainer has {len(state.schedulers)} schedulers, of which Composer applies only the last: give it one'
        )
    scheduler, ssr = _composer_scheduler(state)
    described = _described(scheduler)
    defaults = _UNLESS_RECORDED | ({} if scheduler is None else defaults_of(scheduler))
    own = _own_schedule(scheduler, state, ssr)
    if own is not None:
        own = replace(own, scheduler={**described, 'ssr': ssr}, defaults=defaults)
    if override is None:
        if own is not None:
            return own
        found = 'no scheduler' if scheduler is None else f'the scheduler {described["scheduler"]}'
        raise ValueError(
            f'the troughs of {found} are not known: train with CyclicCosineScheduler, or pass the troughs, '
            "scheduler=['16ep', '32ep'], or scheduler=['1dur'] for a single decay that ends with training"
        )
    placed = override if isinstance(override, CyclicCosineScheduler) else CyclicCosineScheduler(cycle_ends=override)
    arguments = placed.describe()
    points_at: dict[str, Any] = {}
    if {'scheduler': type(placed).__name__, **arguments} != described:
        points_at['points_at'] = arguments if placed is override else arguments['cycle_ends']
    schedule = placed.schedule(state, ssr)
    return replace(
        schedule,
        scheduler={**described, 'ssr': ssr, **points_at},
        defaults=defaults,
        decays=own is not None and own.decays,
        comes_down=_comes_down(schedule, own, scheduler),
    )


def multiplier_at(state: State, timestamp: Timestamp) -> float | None:
    """Returns the multiplier that the Trainer's scheduler asks for at a time; ``None`` if it is torch's or none."""
    scheduler, ssr = _composer_scheduler(state)
    if not callable(scheduler):
        return None
    at: Any = _StateAt(state, timestamp)
    # A warning of the scheduler's is not caught here: that would make Python show all that it has shown once again.
    takes_ssr = len(inspect.signature(scheduler).parameters) > 1
    return float(scheduler(at, ssr) if takes_ssr else scheduler(at))  # type: ignore[arg-type]


class _StateAt:
    """The Trainer's state at another time."""

    def __init__(self, state: State, timestamp: Timestamp):
        self._state = state
        self.timestamp = timestamp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_elapsed_duration(self) -> Any:
        return type(self._state).get_elapsed_duration(self)  # type: ignore[arg-type]


def _composer_scheduler(state: State) -> tuple[Any, float]:
    """Returns the scheduler that Composer compiled, and its scale schedule ratio; a torch scheduler as it is.

    Here alone is looked inside the compiled object, as it is in mosaicml 0.32.1, ``compile_composer_scheduler``.
    """
    if not state.schedulers:
        return None, 1.0
    compiled = state.schedulers[0]
    if isinstance(compiled, LambdaLR) and inspect.isfunction(compiled.lr_lambdas[0]):
        closed_over = inspect.getclosurevars(compiled.lr_lambdas[0]).nonlocals
        if 'scheduler' in closed_over and 'ssr' in closed_over:
            return closed_over['scheduler'], closed_over['ssr']
    return compiled, 1.0


def _own_schedule(scheduler: Any, state: State, ssr: float) -> RunSchedule | None:
    """Returns the schedule that a scheduler has by itself; ``None`` where its troughs are not known."""
    if isinstance(scheduler, CyclicCosineScheduler):
        return scheduler.schedule(state, ssr)
    lengths = Lengths.of_state(state)
    if isinstance(scheduler, optim.CosineAnnealingWarmRestartsScheduler):
        t_0 = read_time('t_0', scheduler.t_0)
        unit = lengths.unit({'t_0': t_0})
        ends = _TruncatedEnds(_as_composer_counts(t_0, lengths, ssr), scheduler.t_mult)
        decays = scheduler.alpha_f < 1
        return RunSchedule(Cycles(0, ends), unit, lengths, scheduler.alpha_f, decays=decays, comes_down=decays)
    if isinstance(scheduler, _WITHOUT_RESTARTS) or type(scheduler).__name__ == _INVERSE_SQRT:
        return _one_decay(scheduler, state, lengths, ssr)
    return None


def _one_decay(scheduler: Any, state: State, lengths: Lengths, ssr: float) -> RunSchedule:
    t_max = read_time('t_max', getattr(scheduler, 't_max', '1dur'))
    unit = lengths.unit({'t_max': t_max})
    trough, until = _as_composer_counts(t_max, lengths, ssr), lengths.until(unit)
    # The multiplier stays where it is after t_max, so the point is what training ends with.
    end = trough if until is None else max(trough, until)
    start, length = 0, getattr(scheduler, 't_warmup', None)
    if length is not None:
        t_warmup = read_time('t_warmup', length)
        if t_warmup.value and lengths.unit({'t_warmup': t_warmup}) == unit:
            scales = getattr(scheduler, 'scale_warmup', False)
            start = _as_composer_counts(t_warmup, lengths, ssr if scales else 1.0)
    knows_rate = isinstance(scheduler, (optim.CosineAnnealingScheduler, optim.CosineAnnealingWithWarmupScheduler))
    schedule = RunSchedule(
        Cycles(start if start < end else 0, [end]),
        unit,
        lengths,
        getattr(scheduler, 'alpha_f', 0.0),
        knows_rate=knows_rate,
    )
    if type(scheduler).__name__ == _INVERSE_SQRT:
        decays = read_time('t_cooldown', scheduler.t_cooldown).value > 0
    else:
        counts: list[dict[str, Any]] = [{schedule.counter: t} for t in (schedule.cycles.start, end)]
        after_warmup, last = (multiplier_at(state, state.timestamp.copy(**count)) or 0.0 for count in counts)
        decays = last < after_warmup
    return replace(schedule, decays=decays)


def _as_composer_counts(time: ScheduleTime, lengths: Lengths, ssr: float) -> int:
    """Returns a time in its counted unit by Composer's own arithmetic: a product of floats, truncated."""
    whole, scale = time, ssr
    if time.unit == 'dur':
        assert lengths.max_duration is not None, 'Lengths.unit checks it'
        whole, scale = lengths.max_duration, lengths.max_duration.value
    batches_each = lengths.epoch if whole.unit == 'ep' and lengths.epoch is not None else 1
    return int(time.value * batches_each * scale)


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


def _comes_down(placed: RunSchedule, own: RunSchedule | None, scheduler: Any) -> bool | None:
    """Returns whether the rate comes down at every trough that was passed; ``None`` where only training shows it."""
    if scheduler is None or (own is not None and not own.decays):
        return False
    if own is None or placed.until is None or own.unit != placed.unit:
        return None
    return set(placed.troughs) <= set(own.troughs)


def _described(scheduler: Any) -> dict[str, Any]:
    """Returns a scheduler's name and its arguments as plain values, as far as it keeps them."""
    if scheduler is None:
        return {'scheduler': None}
    if isinstance(scheduler, CyclicCosineScheduler):
        arguments = scheduler.describe()
    elif isinstance(scheduler, partial):
        scheduler, arguments = scheduler.func, plain(scheduler.keywords)
    elif inspect.isfunction(scheduler):
        given = {p.name: p.default for p in inspect.signature(scheduler).parameters.values()}
        given |= inspect.getclosurevars(scheduler).nonlocals
        arguments = {name: plain(value) for name, value in given.items() if value is not inspect.Parameter.empty}
    else:
        arguments = arguments_of(scheduler)
    kept = {name: value for name, value in arguments.items() if value is not None}
    return {'scheduler': getattr(scheduler, '__name__', type(scheduler).__name__), **kept}
