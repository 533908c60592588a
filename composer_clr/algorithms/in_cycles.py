"""Algorithms whose schedules run over the whole training, made to run over each cycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from composer.algorithms import EMA, SWA, LayerFreezing, StochasticDepth
from composer.core import Algorithm, Event, State, Time, TimeUnit
from composer.loggers import Logger

from composer_clr.algorithms.frozen_layers import FrozenLayers
from composer_clr.algorithms.run_clocks import check_leaves_rate, clock_times
from composer_clr.schedule.cycle_clock import CycleClock
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.times import spell
from composer_clr.schedule.trainer_schedule import trainer_schedule

__all__ = ['InCycles']

# What an algorithm does after a batch or an epoch belongs to the cycle of that batch, at a trough too.
_AFTER_A_BATCH = {event for event in Event if event.name.startswith('EVAL')} | {
    Event.BATCH_END,
    Event.BATCH_CHECKPOINT,
    Event.EPOCH_END,
    Event.EPOCH_CHECKPOINT,
    Event.FIT_END,
}


class InCycles(Algorithm):
    r"""An algorithm of Composer's that reads how much of the training has elapsed, given the elapsed part of the cycle.

    .. math::
        e(t) = \frac{t - r_i}{b_{i+1} - r_i}, \qquad r_0 = 0, \quad r_i = b_i

    in cycle :math:`i`, which ends at the trough :math:`b_{i+1}`; the first one includes the warmup. So each cycle is to
    the algorithm what the whole run is in a standard run: progressive resizing grows to full size by each trough, and
    up to the first trough training is, bit for bit, that of the standard run. With one cycle nothing changes.

    After a batch :math:`e` is 1 at a trough; before the next it is 0. As Composer's own clock does, it moves by whole
    epochs where ``max_duration`` is in ``ep``, as long as every trough ends an epoch; else by batches, samples or
    tokens.

    At a restart

    * ``LayerFreezing`` thaws every layer. The frozen ones stay in the optimizer, which passes over weights without
      gradients, so a run can be resumed from a checkpoint made while some are frozen;
    * ``EMA`` and ``SWA`` forget their averages, so that none reaches across a trough;
    * ``StochasticDepth`` begins its warmup anew.

    Its name, in the record of a run and in the logs, is the algorithm's own.

    Args:
        algorithm (Algorithm): ``ProgressiveResizing``, ``LayerFreezing``, ``StochasticDepth`` with ``drop_warmup``,
            ``EMA`` and ``SWA`` with their times in ``dur``, ``SelectiveBackprop`` (list it first), or one of your own
            that calls ``state.get_elapsed_duration()``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): What tells the cycles. Default: ``None``, the
            Trainer's own scheduler.

    Raises:
        TypeError: If ``algorithm`` is none.
        ValueError: If it is wrapped already, has times that do not go by the clock (in ``ba``, ``ep``), or drives the
            learning rate beside the schedule; at ``FIT_START``, if the cycles are not known.

    Example:
        >>> from composer.algorithms import ProgressiveResizing
        >>> algorithm = InCycles(ProgressiveResizing(initial_scale=0.5, delay_fraction=0.25))
        >>> type(algorithm).__name__
        'ProgressiveResizing'

    Source:
        Portes et al. 2022, arXiv:2206.00832, on methods with schedules of their own as what its approach leaves open.
    """

    def __new__(cls, algorithm: Algorithm, scheduler: Any = None) -> InCycles:
        del scheduler
        # Checkpoints keep the state of one algorithm a class, by its qualified name.
        name = type(algorithm).__name__
        named: Any = type(name, (cls,), {'__qualname__': f'InCycles[{name}]', '__module__': cls.__module__})
        return super().__new__(named)

    def __init__(self, algorithm: Algorithm, scheduler: CyclicCosineScheduler | Sequence[str | Time] | None = None):
        if not isinstance(algorithm, Algorithm):
            raise TypeError(f'InCycles({algorithm!r}): give an algorithm, such as ProgressiveResizing()')
        if isinstance(algorithm, InCycles):
            raise ValueError(f'InCycles around {type(algorithm).__qualname__}: it follows the cycles already')
        name = type(algorithm).__name__
        for key, time in clock_times(algorithm).items():
            if time.unit != TimeUnit.DURATION:
                raise ValueError(
                    f"{name}: {key}='{spell(time)}' does not go by the clock of a cycle: "
                    "give it as a part of the cycle, in 'dur'"
                )
        check_leaves_rate(algorithm)
        self.algorithm = algorithm
        self.scheduler = scheduler
        self._frozen = FrozenLayers()
        self._clock: CycleClock | None = None
        # The cycle of the batch that was started last, and where in its warmup stochastic depth was.
        self._cycle: int | None = None
        self._warming: float | None = None

    @property
    def find_unused_parameters(self) -> bool:
        return self.algorithm.find_unused_parameters

    @property
    def backwards_create_graph(self) -> bool:
        return self.algorithm.backwards_create_graph

    def __repr__(self) -> str:
        return f'InCycles({self.algorithm!r})'

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the algorithm's own state and, in plain values, where in the cycle it is."""
        state: dict[str, Any] = {'cycle': self._cycle, 'warming': self._warming, 'frozen': self._frozen.names}
        if not isinstance(self.algorithm, LayerFreezing):
            # Its own state is a warning that its checkpoints cannot be resumed from; these can.
            state['algorithm'] = self.algorithm.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._cycle, self._warming = state['cycle'], state['warming']
        self._frozen.names = list(state['frozen'])
        if 'algorithm' in state:
            self.algorithm.load_state_dict(state['algorithm'])

    def match(self, event: Event, state: State) -> bool:
        return event == Event.FIT_START or self._restarted(event, state) or self._inner_matches(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.FIT_START:
            self._fit_start(state)
        if self._inner_matches(event, state):
            seen = self._seen(event, state)
            if isinstance(self.algorithm, LayerFreezing):
                with self._frozen.kept_in_optimizers(state):
                    self.algorithm.apply(event, seen, logger)
            else:
                self.algorithm.apply(event, seen, logger)
            self._note_warmup(event, seen)
        # After the algorithm's turn: EMA first takes its averages out of the network, if a checkpoint left them there.
        if self._restarted(event, state):
            self._restart(state)

    def _inner_matches(self, event: Event, state: State) -> bool:
        return self.algorithm.match(event, self._seen(event, state))

    def _fit_start(self, state: State) -> None:
        twice = [other for other in state.algorithms if other is not self and _same(other, self.algorithm)]
        if twice:
            raise ValueError(
                f'{type(self.algorithm).__name__} is among the algorithms twice, by the cycles and by itself: '
                'give it once'
            )
        self._clock = CycleClock(trainer_schedule(state, self.scheduler), state)
        if state.timestamp.batch.value == 0:
            self._cycle, self._warming, self._frozen.names = None, None, []
            return
        self._frozen.freeze_again(state.model)
        if self._warming is not None:
            # The rate is kept in the network's modules, but in no checkpoint.
            seen: Any = _CycleState(state, self._warming)
            self.algorithm.apply(Event.BATCH_START, seen, Logger(state))

    def _restarted(self, event: Event, state: State) -> bool:
        if event != Event.BATCH_START or self._clock is None:
            return False
        return self._clock.elapsed(state, after_batch=False)[0] != self._cycle

    def _restart(self, state: State) -> None:
        assert self._clock is not None
        before, self._cycle = self._cycle, self._clock.elapsed(state, after_batch=False)[0]
        if before is None:
            return
        algorithm = self.algorithm
        if isinstance(algorithm, EMA):
            algorithm.ema_started = False
        elif isinstance(algorithm, SWA):
            algorithm.swa_started = algorithm.swa_completed = False
            algorithm.step_counter = 0
        elif isinstance(algorithm, LayerFreezing):
            self._frozen.thaw(state.model)

    def _note_warmup(self, event: Event, seen: Any) -> None:
        if isinstance(self.algorithm, StochasticDepth) and event == Event.BATCH_START:
            elapsed = seen.get_elapsed_duration()
            if elapsed < self.algorithm.drop_warmup:
                self._warming = float(elapsed)

    def _seen(self, event: Event, state: State) -> Any:
        if self._clock is None:
            return state
        return _CycleState(state, self._clock.elapsed(state, after_batch=event in _AFTER_A_BATCH)[1])


class _CycleState:
    """The Trainer's state in all but the clock."""

    def __init__(self, state: State, elapsed: float):
        self.__dict__.update(_state=state, _elapsed=elapsed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._state, name, value)

    def get_elapsed_duration(self) -> Time[float]:
        return Time(self._elapsed, TimeUnit.DURATION)


def _same(other: Algorithm, algorithm: Algorithm) -> bool:
    return type(other.algorithm if isinstance(other, InCycles) else other) is type(algorithm)
