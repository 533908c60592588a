"""Averages the weights over the end of each cycle and evaluates the average at its trough."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from composer.core import DataSpec, State, Time, TimeUnit
from composer.loggers import Logger

from composer_clr.averaging.merging import share
from composer_clr.averaging.trough_weights import TroughWeights
from composer_clr.averaging.weight_average import WeightAverage
from composer_clr.schedule.averages import decay_named
from composer_clr.schedule.times import horizon, parse_time, spell
from composer_clr.schedule.trainer_schedule import TrainerSchedule, Troughs
from composer_clr.utils.models import without_ddp

__all__ = ['TroughAverage']


class TroughAverage(TroughWeights):
    r"""Averages the weights over the end of each cycle and evaluates the average at its trough.

    .. math::
        \bar{w}_i = \frac{\sum_{t \in [b - \omega, \, b]} 2^{-(b - t) / h} \, w_t}
                         {\sum_{t \in [b - \omega, \, b]} 2^{-(b - t) / h}}

    where :math:`b = b_{i+1}` is the trough, :math:`\omega` the window, :math:`w_t` the weights after each batch in it,
    and :math:`h` the half-life; without one all shares are equal. The window never extends past its cycle's restart.

    With another ``decay`` than the linear one, the shares are those of an average that stands for such a decay over the
    window, to first order: see :func:`~composer_clr.averaging.merging.merging_shares`. Equal shares stand for the
    linear decay.

    The average's metrics are a second set in the same point of the curve, ``averaged/{label}/{metric}``. The run itself
    is bit for bit the run without this callback: its weights, random state and loader are unchanged. Training time does
    not include the evaluation; it includes updating the average, a pass over the weights per batch of the window.

    A checkpoint saved within a window holds the average so far, as tensors that ``weights_only=True`` loads.

    Args:
        window (str | Time | float): Length of the window: a time such as ``'2ep'``, no longer than the shortest cycle,
            or a fraction of each cycle in (0, 1]. Default: ``0.25``.
        half_life (str | Time | float | None): Age at which weights have half the share, likewise a time or a fraction
            of the cycle, > 0. Default: ``None``, equal shares.
        decay (str): The decay that the average stands for: ``'linear'`` (equal shares), ``'cosine'`` or ``'1-sqrt'``.
            Default: ``'linear'``.
        bn_batches (int): Number of training batches over which batch norm's statistics are recomputed for the average;
            0 leaves those of the weights in training. Default: ``50``.
        save_weights (bool): Whether to save the average beside the snapshot, as ``cycleN-baM-averaged.pt``.
            Default: ``False``.
        train_data (DataSpec | None): What the Trainer was given to train on. Default: ``None``, the images for batch
            norm go through the transforms of the first evaluator's ``DataSpec``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`~composer_clr.ParetoSnapshot`.
            Default: ``None``, that of ``ParetoSnapshot``, or the Trainer's own.

    Raises:
        ValueError: On construction, if an argument is out of range; at ``FIT_START``, before the first batch, if the
            window is longer than a cycle, ``ParetoSnapshot`` has other troughs, or the Trainer has no evaluation data,
            FSDP, or EMA.

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
        train_data: DataSpec | None = None,
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, train_data=train_data, save_weights=save_weights, scheduler=scheduler)
        self.window = _time_or_fraction('window', window)
        self.half_life = None if half_life is None else _time_or_fraction('half_life', half_life)
        self.decay, self._decay = decay, decay_named(decay)
        if decay != 'linear' and half_life is not None:
            raise ValueError(f'{half_life=} and {decay=} are two ways to weight the window: leave out one')
        self._average = WeightAverage()
        # Where the step of the first weights in the window began.
        self._start = 0
        # The trough that the average belongs to, and whether it has passed.
        self._trough: int | None = None
        self._passed = False

    def init(self, state: State, logger: Logger) -> None:
        super().init(state, logger)
        self._trough, self._passed = None, False

    def state_dict(self) -> dict[str, Any]:
        """Returns the average so far where a checkpoint is saved within a window."""
        if self._trough is None or self._passed:
            return {}
        average = self._average
        kept = {'mean': average.mean, 'total': average.total, 'last': average.last}
        return {'trough': self._trough, 'start': self._start, **kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average, self._trough, self._passed = WeightAverage(), state.get('trough'), False
        if self._trough is not None:
            self._average.mean = dict(state['mean'])
            self._average.total, self._average.last = state['total'], state['last']
            self._start = state.get('start', 0)

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        assert self._schedule is not None
        if state.timestamp.batch.value == 0:
            self._trough, self._passed = None, False
        self._check_cycles(state, self._schedule)
        if self._trough is not None:
            where = {name: parameter.device for name, parameter in without_ddp(state.model).named_parameters()}
            self._average.mean = {name: mean.to(where[name]) for name, mean in self._average.mean.items()}
            self._average.half_life = self._length('half_life', self.half_life, self._trough, state)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Adds the weights within the window; the trough is evaluated directly after this event."""
        del logger
        assert self._schedule is not None
        assert state.previous_timestamp is not None
        before, t, completed = (
            self._schedule.at(state.previous_timestamp),
            self._schedule.now(state),
            self.crossed(state),
        )
        # A batch that ends in the next cycle completes this one, and its weights are those evaluated.
        trough = self._schedule.cycles.bounds(completed[-1])[1] if completed else self._schedule.cycles.next_trough(t)
        if trough is None:
            return
        window = self._length('window', self.window, trough, state)
        assert window is not None
        if t < trough - window:
            return
        if trough != self._trough:
            self._average = WeightAverage(self._length('half_life', self.half_life, trough, state))
            self._trough, self._start = trough, before
        self._passed = bool(completed)
        part = 1.0 if self.decay == 'linear' else share(self._decay, self._start, trough, before, t)
        self._average.add(dict(without_ddp(state.model).named_parameters()), t, part)

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Returns the average over the window that ends at this trough."""
        del state
        return dict(self._average.mean)

    def _length(self, name: str, length: Time | float | None, trough: int, state: State) -> float | None:
        """Returns a window or half-life in the schedule's unit, for the cycle that ends at a trough."""
        assert self._schedule is not None
        if length is None or isinstance(length, Time):
            return None if length is None else float(self._schedule.count(name, length, state))
        cycle = self._schedule.cycles.index(trough - 1)
        assert cycle is not None
        restart, _ = self._schedule.cycles.bounds(cycle)
        return length * (trough - restart)

    def _check_cycles(self, state: State, schedule: TrainerSchedule) -> None:
        times = {'window': self.window, 'half_life': self.half_life}
        for name, length in times.items():
            if isinstance(length, Time):
                schedule.count(name, length, state)
        until = horizon(state, schedule.unit)
        for cycle, trough in enumerate(schedule.cycles.troughs(until) if until is not None else ()):
            period = trough - schedule.cycles.bounds(cycle)[0]
            window = self._length('window', self.window, trough, state)
            assert window is not None
            if window > period:
                length = spell(Time(period, schedule.unit), state)
                raise ValueError(
                    f"window='{spell(self.window) if isinstance(self.window, Time) else self.window}' is longer than "
                    f"cycle {cycle}, which lasts '{length}': weights are averaged within a cycle, give at most "
                    f"'{length}' or a fraction of the cycle"
                )


def _time_or_fraction(name: str, value: str | Time | float) -> Time | float:
    if isinstance(value, (int, float)):
        if isinstance(value, bool) or not value > 0 or (name == 'window' and value > 1):
            allowed = 'above 0 and at most 1' if name == 'window' else 'above 0'
            raise ValueError(f"{name}={value}: a fraction of the cycle is {allowed}; give a time such as '2ep'")
        return float(value)
    time = parse_time(name, value)
    if time.value <= 0:
        raise ValueError(f'{name}={spell(time)!r}: it must be above 0')
    if time.unit == TimeUnit.DURATION:
        raise ValueError(f'{name}={spell(time)!r}: give a time such as 2ep, or a fraction of the cycle such as 0.25')
    return time
