"""Averages of the weights after each batch, and the one over the end of each cycle, evaluated at its trough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from composer.core import State, Time
from composer.loggers import Logger

from composer_clr.averaging.averages import TailAverages
from composer_clr.averaging.trough_weights import TroughWeights
from composer_clr.schedule.averages import Window, decay_named
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import Troughs
from composer_clr.schedule.times import ScheduleTime, read_time
from composer_clr.utils.models import without_ddp

__all__ = ['AveragedIterates', 'TroughAverage']


class AveragedIterates(TroughWeights):
    """Base class of averages of the weights after each batch: keeps those under way, also in checkpoints."""

    @property
    def _which(self) -> dict[str, str]:
        return {name: str(getattr(self, name)) for name in ('window', 'half_life', 'decay')}

    def new_averages(self, schedule: RunSchedule) -> TailAverages:
        """Returns averages over the windows that are known ahead."""
        raise NotImplementedError

    def open_window(self, state: State, before: int, after: int) -> None:
        """Opens a window that was not known ahead."""

    def init(self, state: State, logger: Logger) -> None:
        super().init(state, logger)
        self._averages: TailAverages | None = None
        self._loaded: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Returns the averages under way, as tensors that ``weights_only=True`` loads, and which they are."""
        averages = {} if self._averages is None else self._averages.state_dict()
        return {'averages': averages, 'average': self._which} if averages else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._averages, self._loaded = None, state

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        assert self._schedule is not None
        # The callback's own, where the Trainer has fitted before.
        kept, self._loaded = self.state_dict() or self._loaded, {}
        self._averages = self.new_averages(self._schedule)
        # Where a run may go on with another average, the one under way is of neither kind.
        if state.timestamp.batch.value > 0 and kept.get('average') == self._which:
            devices = {name: parameter.device for name, parameter in without_ddp(state.model).named_parameters()}
            self._averages.load_state_dict(kept['averages'], devices)
        snapshot = self._snapshot(state)
        if snapshot is None or snapshot.on_change == 'continue':
            self._check_whole(state)

    def _add_second(self, state: State) -> None:
        # Of other settings, ParetoSnapshot has named the values by now.
        self._check_whole(state)
        super()._add_second(state)

    def _check_whole(self, state: State) -> None:
        """Refuses a checkpoint that lacks a part of an average."""
        schedule, averages = self._known()
        now, unit = schedule.now(state), schedule.unit
        for window in averages.missing(now):
            raise ValueError(
                f'the average at the mark {window.end}{unit} is over the time from {window.start}{unit}, and the '
                f'checkpoint at {now}{unit} does not hold its part before that: start from an earlier checkpoint, or '
                'leave that mark out'
            )

    def batch_end(self, state: State, logger: Logger) -> None:
        """Takes in the weights, if a window is open; the evaluation of a trough comes right after."""
        del logger
        schedule, averages = self._known()
        assert state.previous_timestamp is not None
        before, after = schedule.at(state.previous_timestamp), schedule.now(state)
        averages.close(before)
        self.open_window(state, before, after)
        averages.add(dict(without_ddp(state.model).named_parameters()), before, after)

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Returns the average at this trough."""
        schedule, averages = self._known()
        return averages.mean(schedule.cycles.bounds(self.crossed(state)[-1])[1])

    def _known(self) -> tuple[RunSchedule, TailAverages]:
        assert self._schedule is not None
        assert self._averages is not None
        return self._schedule, self._averages


class TroughAverage(AveragedIterates):
    r"""Averages the weights over the end of each cycle and evaluates the average at its trough.

    .. math::
        \bar{w}_i = \frac{\sum_{t \in [b - \omega, \, b]} 2^{-(b - t) / h} \, w_t}
                         {\sum_{t \in [b - \omega, \, b]} 2^{-(b - t) / h}}

    where :math:`b = b_{i+1}` is the trough, :math:`\omega` the window, :math:`w_t` the weights after each batch in it,
    and :math:`h` the half-life; without one all shares are equal. The window never extends past its cycle's restart.
    Another ``decay`` than the linear one makes the shares those of an average that stands for it, to first order:
    :func:`~composer_clr.averaging.averages.share`.

    The average's metrics are a second set in the same point, ``averaged/{label}/{metric}``. The run is bit for bit the
    run without this callback. Training time includes a pass over the weights per batch of the window.

    Args:
        window (str | Time | float): A time such as ``'2ep'``, no longer than the shortest cycle, or a fraction of each
            cycle in (0, 1]. Default: ``0.25``.
        half_life (str | Time | float | None): Age at which weights have half the share, likewise, > 0. Default:
            ``None``, equal shares.
        decay (str): ``'linear'`` (equal shares), ``'cosine'`` or ``'1-sqrt'``. Default: ``'linear'``.
        bn_batches (int): Number of training batches over which batch norm's statistics are recomputed for the average;
            0 leaves those of the weights in training. Default: ``50``.
        save_weights (bool): Whether to save the average, as ``cycleN-baM-averaged.pt``. Default: ``False``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`~composer_clr.ParetoSnapshot`.
            Default: ``None``, that of ``ParetoSnapshot``, or the Trainer's own.

    Raises:
        ValueError: If an argument is out of range; at ``FIT_START``, if it does not go with the Trainer.

    Example:
        >>> from composer_clr import CyclicCosineScheduler, ParetoSnapshot, TroughAverage
        >>> arguments = dict(
        ...     schedulers=CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep'),
        ...     callbacks=[ParetoSnapshot(folder='runs/{run_name}'), TroughAverage(window=0.25)],
        ...     max_duration='512ep',
        ... )  # Trainer(model=..., train_dataloader=..., eval_dataloader=..., **arguments)

    Source:
        Izmailov et al. 2018, arXiv:1803.05407; over the end of a decay, Sanyal et al. 2023, arXiv:2306.03241; averages
        that stand for a decay, Tian et al. 2025, arXiv:2507.17634.
    """

    prefix: ClassVar[str] = 'averaged'

    def __init__(
        self,
        window: str | Time | float = 0.25,
        half_life: str | Time | float | None = None,
        *,
        decay: str = 'linear',
        bn_batches: int = 50,
        save_weights: bool = False,
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, scheduler=scheduler, save_weights=save_weights)
        self.window = _time_or_fraction('window', window)
        self.half_life = None if half_life is None else _time_or_fraction('half_life', half_life)
        self.decay = decay
        decay_named(decay)
        if decay != 'linear' and half_life is not None:
            raise ValueError(f'{half_life=} and {decay=} are two ways to weight the window: leave out one')

    def new_averages(self, schedule: RunSchedule) -> TailAverages:
        until = schedule.until
        for cycle, trough in enumerate(schedule.cycles.troughs(until) if until is not None else ()):
            period = trough - schedule.cycles.bounds(cycle)[0]
            if self._length('window', self.window, trough) > period:
                length = schedule.spell(period)
                raise ValueError(
                    f"window='{self.window}' is longer than cycle {cycle}, which lasts '{length}': weights are "
                    f"averaged within a cycle, give at most '{length}' or a fraction of the cycle"
                )

        def decay(window: Window) -> Callable[[float], float]:
            if self.half_life is None:
                return decay_named(self.decay)
            half_lives = (window.end - window.start) / self._length('half_life', self.half_life, window.end)
            return lambda tau: 1 - 2.0 ** (-(1 - tau) * half_lives)

        return TailAverages([], decay)

    def open_window(self, state: State, before: int, after: int) -> None:
        schedule, averages = self._known()
        # A batch that ends in the next cycle completes this one, and its weights are those evaluated.
        completed, cycles = self.crossed(state), schedule.cycles
        trough = cycles.bounds(completed[-1])[1] if completed else cycles.next_trough(after)
        if trough is not None and after >= trough - self._length('window', self.window, trough):
            averages.windows.setdefault(trough, Window(before, trough))

    def _length(self, name: str, length: ScheduleTime | float, trough: int) -> float:
        """Returns a window or half-life in the schedule's unit, for the cycle that ends at a trough."""
        assert self._schedule is not None
        if isinstance(length, ScheduleTime):
            return float(self._schedule.count(name, length))
        cycle = self._schedule.cycles.index(trough - 1)
        assert cycle is not None
        return length * (trough - self._schedule.cycles.bounds(cycle)[0])


def _time_or_fraction(name: str, value: str | Time | float) -> ScheduleTime | float:
    if isinstance(value, (int, float)):
        if isinstance(value, bool) or not value > 0 or (name == 'window' and value > 1):
            allowed = 'above 0 and at most 1' if name == 'window' else 'above 0'
            raise ValueError(f"{name}={value}: a fraction of the cycle is {allowed}; give a time such as '2ep'")
        return float(value)
    time = read_time(name, value)
    if time.value <= 0:
        raise ValueError(f"{name}='{time}': it must be above 0")
    if time.unit == 'dur':
        raise ValueError(f"{name}='{time}': give a time such as 2ep, or a fraction of the cycle such as 0.25")
    return time
