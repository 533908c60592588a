"""Runs algorithms with schedules of their own over each cycle rather than over the whole training."""

from __future__ import annotations

import warnings
from typing import Any

from composer.algorithms import EMA, SWA, LayerFreezing, ProgressiveResizing, SelectiveBackprop, StochasticDepth
from composer.core import Algorithm, Event, State, Time, TimeUnit
from composer.loggers import Logger

from composer_clr.algorithms.hyperparameters import InStep
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import Troughs
from composer_clr.utils.models import without_ddp

__all__ = ['InCycles', 'check_algorithms']

# At a trough, events after a batch or an epoch belong to the cycle that ends, others to the one that starts.
_AFTER_A_BATCH = {event for event in Event if event.name.startswith('EVAL')} | {
    Event.BATCH_END,
    Event.BATCH_CHECKPOINT,
    Event.EPOCH_END,
    Event.EPOCH_CHECKPOINT,
    Event.FIT_END,
}


class InCycles(Algorithm):
    r"""Wraps an algorithm of Composer's so that it reads the elapsed part of the cycle, not of the training.

    .. math::
        e(t) = \frac{t - r_i}{b_{i+1} - r_i}, \qquad r_0 = 0, \quad r_i = b_i

    in cycle :math:`i`, which ends at the trough :math:`b_{i+1}`; the first one includes the warmup. So the
    algorithm treats each cycle as a whole run: progressive resizing grows to full size by each trough, and up to the
    first trough training is, bit for bit, that of the standard run. With one cycle nothing changes.

    Like Composer's own clock, :math:`e` moves by whole epochs where ``max_duration`` is in ``ep``, as long as every
    trough ends an epoch; otherwise by batches, samples or tokens.

    At a restart ``LayerFreezing`` thaws every layer, ``EMA`` and ``SWA`` reset their averages, so that none spans a
    trough, and ``StochasticDepth`` restarts its warmup. In the record of a run the name is the algorithm's own.

    Args:
        algorithm (Algorithm): ``ProgressiveResizing``, ``LayerFreezing``, ``StochasticDepth`` with ``drop_warmup``,
            ``EMA`` and ``SWA`` with their times in ``dur``, ``SelectiveBackprop`` (list it first), or one of your own
            that calls ``state.get_elapsed_duration()``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The cycles. Default: ``None``, the
            Trainer's own scheduler.

    Raises:
        TypeError: If ``algorithm`` is not an algorithm.
        ValueError: If it is wrapped already, has times that do not follow the clock (in ``ba``, ``ep``), or drives the
            learning rate beside the schedule; at ``FIT_START``, if the cycles are not known.

    Example:
        >>> from composer.algorithms import ProgressiveResizing
        >>> algorithm = InCycles(ProgressiveResizing(initial_scale=0.5, delay_fraction=0.25))
        >>> type(algorithm).__name__
        'ProgressiveResizing'

    Source:
        Portes et al. 2022, arXiv:2206.00832, on methods with schedules of their own, which it leaves open.
    """

    def __new__(cls, algorithm: Algorithm, scheduler: Any = None) -> InCycles:
        del scheduler
        # Checkpoints keep the state of one algorithm per class, by its qualified name.
        name = type(algorithm).__name__
        named: Any = type(name, (cls,), {'__qualname__': f'InCycles[{name}]', '__module__': cls.__module__})
        return super().__new__(named)

    def __init__(self, algorithm: Algorithm, scheduler: Troughs | None = None):
        if not isinstance(algorithm, Algorithm):
            raise TypeError(f'InCycles({algorithm!r}): give an algorithm, such as ProgressiveResizing()')
        if isinstance(algorithm, InCycles):
            raise ValueError(f'InCycles around {type(algorithm).__qualname__}: it follows the cycles already')
        name = type(algorithm).__name__
        for key, time in _clock_times(algorithm).items():
            if time.unit != TimeUnit.DURATION:
                raise ValueError(
                    f"{name}: {key}='{time}' does not follow the clock of a cycle: "
                    "give it as a part of the cycle, in 'dur'"
                )
        _check_leaves_rate(algorithm)
        self.algorithm = algorithm
        self.scheduler = scheduler
        self._frozen: list[str] = []
        self._schedule: RunSchedule | None = None
        self._cycle: int | None = None  # of the last batch started
        self._warming: float | None = None  # the elapsed part at which stochastic depth last set its rate

    @property
    def find_unused_parameters(self) -> bool:
        return self.algorithm.find_unused_parameters

    @property
    def backwards_create_graph(self) -> bool:
        return self.algorithm.backwards_create_graph

    def __repr__(self) -> str:
        return f'InCycles({self.algorithm!r})'

    def state_dict(self) -> dict[str, Any]:
        """Returns the algorithm's own state and, in plain values, its place in the cycle."""
        state: dict[str, Any] = {'cycle': self._cycle, 'warming': self._warming, 'frozen': self._frozen}
        if not isinstance(self.algorithm, LayerFreezing):
            # Its own state_dict warns that its checkpoints cannot be resumed from; those with frozen layers can.
            state['algorithm'] = self.algorithm.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._cycle, self._warming = state['cycle'], state['warming']
        self._frozen = list(state['frozen'])
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
                self._freeze(event, state, logger)
            else:
                self.algorithm.apply(event, seen, logger)
            self._note_warmup(event, seen)
        # After the algorithm: EMA first removes its averages from the network, if a checkpoint left them there.
        if self._restarted(event, state):
            self._restart(state)

    def _inner_matches(self, event: Event, state: State) -> bool:
        return self.algorithm.match(event, self._seen(event, state))

    def _fit_start(self, state: State) -> None:
        kind, kinds = type(self.algorithm), [type(getattr(other, 'algorithm', other)) for other in state.algorithms]
        if kinds.count(kind) > 1:
            raise ValueError(f'{kind.__name__} is listed twice, in InCycles and by itself: give it once')
        self._schedule = RunSchedule.of_trainer(state, self.scheduler)
        if state.timestamp.batch.value == 0:
            self._cycle, self._warming, self._frozen = None, None, []
            return
        self._set_trained(state, False)
        if self._warming is not None:  # the network's modules keep the rate, but checkpoints do not
            seen: Any = _CycleState(state, self._warming)
            self.algorithm.apply(Event.BATCH_START, seen, Logger(state))

    def _restarted(self, event: Event, state: State) -> bool:
        if event != Event.BATCH_START or self._schedule is None:
            return False
        return self._schedule.elapsed(state, after_batch=False)[0] != self._cycle

    def _restart(self, state: State) -> None:
        assert self._schedule is not None
        before, self._cycle = self._cycle, self._schedule.elapsed(state, after_batch=False)[0]
        if before is None:
            return
        algorithm = self.algorithm
        if isinstance(algorithm, EMA):
            algorithm.ema_started = False
        elif isinstance(algorithm, SWA):
            algorithm.swa_started = algorithm.swa_completed = False
            algorithm.step_counter = 0
        elif isinstance(algorithm, LayerFreezing):
            self._set_trained(state, True)
            self._frozen = []

    def _freeze(self, event: Event, state: State, logger: Logger) -> None:
        """Keeps in the optimizers, which skip weights without gradients, those whose state could else not be loaded."""
        trained = {name for name, weight in without_ddp(state.model).named_parameters() if weight.requires_grad}
        groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
        kept = [list(group['params']) for group in groups]
        self.algorithm.apply(event, self._seen(event, state), logger)
        for group, weights in zip(groups, kept, strict=True):
            group['params'] = weights
        for name, weight in without_ddp(state.model).named_parameters():
            if name in trained and not weight.requires_grad:
                weight.grad = None
                self._frozen.append(name)

    def _set_trained(self, state: State, trained: bool) -> None:
        """Freezes or thaws what has been frozen."""
        for name, weight in without_ddp(state.model).named_parameters():
            if name in self._frozen:
                weight.requires_grad = trained

    def _note_warmup(self, event: Event, seen: Any) -> None:
        if isinstance(self.algorithm, StochasticDepth) and event == Event.BATCH_START:
            elapsed = seen.get_elapsed_duration()
            if elapsed < self.algorithm.drop_warmup:
                self._warming = float(elapsed)

    def _seen(self, event: Event, state: State) -> Any:
        if self._schedule is None:
            return state
        return _CycleState(state, self._schedule.elapsed(state, after_batch=event in _AFTER_A_BATCH)[1])


def check_algorithms(state: State, schedule: RunSchedule) -> None:
    """Refuses what drives the rate, or cycles that there are not; warns of algorithms by the clock of the whole run."""
    if not schedule.cycles.decays:
        following = [type(one).__name__ for one in state.algorithms if isinstance(one, (InCycles, InStep))]
        if following:
            raise ValueError(
                f'{following[0]} follows cycles of the learning rate, of which a run with marks has none: leave it out'
            )
    if schedule.until is not None and schedule.cycles.bounds(0)[1] >= schedule.until:
        return
    for algorithm in state.algorithms:
        _check_leaves_rate(algorithm)
        reads = isinstance(algorithm, (ProgressiveResizing, LayerFreezing, SelectiveBackprop, SWA)) or any(
            time.unit == TimeUnit.DURATION and time.value > 0 for time in _clock_times(algorithm).values()
        )
        if reads:
            name = type(algorithm).__name__
            warnings.warn(
                f'{name} follows the elapsed part of the whole run, not of the cycle: by the early troughs it has '
                'hardly started, so their points differ from those of standard runs of that length; '
                f'InCycles({name}(...)) makes it follow the cycles (in a recipe, algorithms.{name}.in_cycles=true)',
                UserWarning,
                stacklevel=2,
            )


def _check_leaves_rate(algorithm: Algorithm) -> None:
    if isinstance(algorithm, SWA) and algorithm.schedule_swa_lr:
        raise ValueError(
            'SWA: schedule_swa_lr=True drives the learning rate, as the schedule of the cycles does: leave it out'
        )


def _clock_times(algorithm: Algorithm) -> dict[str, Time]:
    """Returns the arguments of an algorithm that say when in the run it acts, by name."""
    if isinstance(algorithm, EMA):
        return {'ema_start': algorithm.ema_start}
    if isinstance(algorithm, SWA):
        return {'swa_start': algorithm.swa_start, 'swa_end': algorithm.swa_end}
    if isinstance(algorithm, StochasticDepth):
        return {'drop_warmup': algorithm.drop_warmup} if isinstance(algorithm.drop_warmup, Time) else {}
    return {}


class _CycleState:
    """The Trainer's state with another clock."""

    def __init__(self, state: State, elapsed: float):
        self.__dict__.update(_state=state, _elapsed=elapsed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._state, name, value)

    def get_elapsed_duration(self) -> Time[float]:
        return Time(self._elapsed, TimeUnit.DURATION)
