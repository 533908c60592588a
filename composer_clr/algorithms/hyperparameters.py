"""Moves weight decay, momentum and gradient clipping in step with the cycles of the learning rate."""

from __future__ import annotations

import math
from typing import Any

from composer.algorithms import GradientClipping
from composer.core import Algorithm, Event, State
from composer.loggers import Logger

from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import Troughs
from composer_clr.utils.arguments import arguments_of

__all__ = ['CyclicGradientClipping', 'CyclicMomentum', 'CyclicWeightDecay', 'InStep']


class InStep(Algorithm):
    r"""Moves a value between one at the peaks of the learning rate and another at its troughs.

    .. math::
        v(t) = v_{trough} + (v_{peak} - v_{trough}) \, \rho(t)

    where :math:`\rho(t)` is the multiplier of the Trainer's schedule with :math:`\alpha_f = 0`: 0 at each trough, 1 at
    the peaks (less, where ``peak_decay`` lowers them), whatever the shape, and the linear rise from 0 in the warmup.

    Batch :math:`k` is trained at :math:`v(\max(k - 1, 0))`, in step with its learning rate: Composer steps its
    schedulers before it advances its clock.

    Args:
        at_peak (float): :math:`v_{peak}`.
        at_trough (float): :math:`v_{trough}`.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The cycles. Default: ``None``, the
            Trainer's own scheduler.

    Raises:
        ValueError: At ``FIT_START``, if the cycles are not known, or another part drives the same hyperparameter.
    """

    drives = 'a value'
    # What the hyperparameter can be, and the same in words.
    least, most, range_of_values = -math.inf, math.inf, 'a value is a number'

    def __init__(self, at_peak: float, at_trough: float, scheduler: Troughs | None = None):
        self.at_peak = self._checked('at_peak', at_peak)
        self.at_trough = self._checked('at_trough', at_trough)
        self.scheduler = scheduler
        self.value = math.nan
        self._schedule: RunSchedule | None = None

    def __repr__(self) -> str:
        arguments = ', '.join(f'{name}={value!r}' for name, value in arguments_of(self).items() if name != 'scheduler')
        return f'{type(self).__name__}({arguments})'

    def state_dict(self) -> dict[str, Any]:
        """Returns plain values only."""
        return {'repr': repr(self), 'value': self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = float(state['value'])

    def match(self, event: Event, state: State) -> bool:
        del state
        return event in (Event.FIT_START, Event.BATCH_END)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.FIT_START:
            self._schedule = schedule = RunSchedule.of_trainer(state, self.scheduler)
            if not schedule.knows_rate:
                raise ValueError(
                    f'{type(self).__name__} moves with cycles of known shape, which {schedule.scheduler["scheduler"]} '
                    'does not have: train with CyclicCosineScheduler, or pass cycles as its scheduler'
                )
            self._check_alone(state)
            self._start(state)
            if state.timestamp.batch.value == 0 or math.isnan(self.value):
                self.value = self._value_at(schedule, schedule.now(state))
        elif event == Event.BATCH_END:
            assert self._schedule is not None
            assert state.previous_timestamp is not None
            # The scheduler was stepped before the clock advanced.
            self.value = self._value_at(self._schedule, self._schedule.at(state.previous_timestamp))
        else:
            return
        self._set(state, self.value)
        logger.log_metrics({f'in_step/{self.drives.replace(" ", "_")}': self.value})

    def _value_at(self, schedule: RunSchedule, t: int) -> float:
        return self.at_trough + (self.at_peak - self.at_trough) * schedule.cycles.multiplier(t)

    def _checked(self, name: str, value: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.least <= value <= self.most:
            raise ValueError(f'{type(self).__name__}: {name}={value!r}: {self.range_of_values}')
        return float(value)

    def _start(self, state: State) -> None:
        """Checks that the hyperparameter exists."""

    def _set(self, state: State, value: float) -> None:
        """Sets the hyperparameter."""

    def _check_alone(self, state: State) -> None:
        for other in state.algorithms:
            drives = 'gradient clipping' if isinstance(other, GradientClipping) else getattr(other, 'drives', None)
            if other is not self and drives == self.drives:
                names = f'{type(self).__name__} and {type(other).__name__}'
                raise ValueError(f'{names} both drive the {self.drives}: give one of them')


class CyclicWeightDecay(InStep):
    r"""Moves weight decay in step with the cycles, as a part of the optimizer's own, per parameter group.

    .. math::
        \lambda_g(t) = \lambda_g \, \bigl(v_{trough} + (v_{peak} - v_{trough}) \, \rho(t)\bigr)

    with :math:`\rho` as in :class:`InStep`. Composer's ``DecoupledSGDW`` and ``DecoupledAdamW`` multiply their weight
    decay by the learning rate's multiplier already; this comes on top.

    Args:
        at_peak (float): Part of the optimizer's weight decay at the peaks, >= 0. Default: ``1.0``.
        at_trough (float): Part of it at the troughs, >= 0. Default: ``0.0``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`InStep`.

    Raises:
        ValueError: If a part is negative; at ``FIT_START``, if the optimizer's weight decay is 0, or as for InStep.

    Example:
        >>> CyclicWeightDecay(at_trough=2.0)
        CyclicWeightDecay(at_peak=1.0, at_trough=2.0)

    Source:
        Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 1: the schedule multiplier of the weight decay.
    """

    drives = 'weight decay'
    least, range_of_values = 0.0, 'a part of the weight decay is 0 or more'

    def __init__(self, at_peak: float = 1.0, at_trough: float = 0.0, scheduler: Troughs | None = None):
        super().__init__(at_peak, at_trough, scheduler)
        self._own: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), 'own': self._own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._own = [float(decay) for decay in state['own']]

    def _start(self, state: State) -> None:
        # In a resumed run, or one trained for longer, the groups already have the scaled values.
        if state.timestamp.batch.value == 0 or not self._own:
            self._own = [float(group['weight_decay']) for group in _groups(state, 'weight_decay')]
        if not any(self._own):
            raise ValueError('CyclicWeightDecay: the optimizer has weight_decay=0: set it above 0')

    def _set(self, state: State, value: float) -> None:
        for group, own in zip(_groups(state, 'weight_decay'), self._own, strict=True):
            group['weight_decay'] = own * value


class CyclicMomentum(InStep):
    r"""Moves momentum in step with the cycles: by default low where the learning rate is high.

    :math:`v(t)` of :class:`InStep` is SGD's ``momentum``, or the first of Adam's ``betas``.

    Args:
        at_peak (float): Momentum at the peaks, in [0, 1). Default: ``0.85``.
        at_trough (float): Momentum at the troughs, in [0, 1). Default: ``0.95``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`InStep`.

    Raises:
        ValueError: If a momentum is out of range; at ``FIT_START``, if the optimizer has none, or as for InStep.

    Example:
        >>> CyclicMomentum()
        CyclicMomentum(at_peak=0.85, at_trough=0.95)

    Source:
        Smith 2018, arXiv:1803.09820, section 4.3: momentum that falls while the learning rate rises.
    """

    drives = 'momentum'
    least, most, range_of_values = 0.0, math.nextafter(1.0, 0.0), 'a momentum is at least 0 and less than 1'

    def __init__(self, at_peak: float = 0.85, at_trough: float = 0.95, scheduler: Troughs | None = None):
        super().__init__(at_peak, at_trough, scheduler)

    def _set(self, state: State, value: float) -> None:
        for group in _groups(state, 'momentum', 'betas'):
            if 'betas' in group:
                group['betas'] = (value, *group['betas'][1:])
            else:
                group['momentum'] = value


class CyclicGradientClipping(InStep):
    r"""Moves the threshold of Composer's ``GradientClipping``, :math:`v(t)` of :class:`InStep`, with the cycles.

    Args:
        clipping_type (str): ``'norm'``, ``'value'`` or ``'adaptive'``, as for ``GradientClipping``.
        at_peak (float): Threshold at the peaks, > 0.
        at_trough (float): Threshold at the troughs, > 0.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`InStep`.

    Raises:
        ValueError: If the type is unknown, or a threshold is not above 0; at ``FIT_START``, as for :class:`InStep`.

    Example:
        >>> CyclicGradientClipping('norm', at_peak=1.0, at_trough=0.1)
        CyclicGradientClipping(clipping_type='norm', at_peak=1.0, at_trough=0.1)

    Source:
        ``'norm'``: Pascanu et al. 2013, arXiv:1211.5063; ``'adaptive'``: Brock et al. 2021, arXiv:2102.06171.
    """

    drives = 'gradient clipping'
    least, range_of_values = math.ulp(0.0), 'a threshold is above 0'

    def __init__(self, clipping_type: str, at_peak: float, at_trough: float, scheduler: Troughs | None = None):
        if clipping_type not in ('norm', 'value', 'adaptive'):
            raise ValueError(f"{clipping_type=}: give 'norm', 'value' or 'adaptive'")
        super().__init__(at_peak, at_trough, scheduler)
        self.clipping_type = clipping_type
        self._clipping = GradientClipping(clipping_type, self.at_peak)

    def match(self, event: Event, state: State) -> bool:
        return super().match(event, state) or self._clipping.match(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        super().apply(event, state, logger)
        if self._clipping.match(event, state):
            self._clipping.apply(event, state, logger)

    def _set(self, state: State, value: float) -> None:
        self._clipping.clipping_threshold = value


def _groups(state: State, *keys: str) -> list[dict[str, Any]]:
    groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
    for optimizer in state.optimizers:
        if not all(any(key in group for key in keys) for group in optimizer.param_groups):
            raise ValueError(f'{type(optimizer).__name__} has no {" or ".join(keys)} to move with the cycles')
    return groups
