"""At each mark of a run without decay: the weights averaged over the end of training so far, as the curve's point."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from composer.core import DataSpec, State
from composer.loggers import Logger
from composer.utils import reproducibility

from composer_clr.averaging.mark_intervals import AtMarksToo, MarkIntervals
from composer_clr.averaging.point_weights import PointWeights
from composer_clr.averaging.tail_average import DecayingAverage, TailAverages
from composer_clr.schedule.averages import check_average
from composer_clr.schedule.times import horizon
from composer_clr.schedule.trainer_schedule import TrainerSchedule, Troughs
from composer_clr.schedule.windows import tail
from composer_clr.utils.models import without_ddp

__all__ = ['AnytimeAverage']


class AnytimeAverage(PointWeights):
    r"""Evaluates, at each mark of a run without decay, the weights averaged over the last part of training so far.

    .. math::
        \bar{w}_m = \sum_{t = m - k + 1}^{m} \Bigl(d\bigl(\tfrac{t - 1 - m + k}{k}\bigr) - d\bigl(\tfrac{t - m + k}{k}
        \bigr)\Bigr) \, w_t, \qquad k = \max(1, \operatorname{round}(f m))

    where :math:`w_t` are the weights after batch :math:`t`, :math:`m` is the mark, :math:`f` the window, and :math:`d`
    the decay that the average stands for to first order (:func:`~composer_clr.averaging.merging.merging_shares`). The
    linear decay makes the average uniform. With a half-life :math:`f` in place of the window, the average is
    exponential and reaches back to the start; its half-life at time :math:`t` is :math:`f t`
    (:class:`~composer_clr.averaging.tail_average.DecayingAverage`).

    At a mark the network holds the average, with batch norm's statistics recomputed for it. Every evaluator runs on
    it, and :class:`~composer_clr.ParetoSnapshot` saves it and records its metrics under the plain names: it is the
    point of the curve. The weights in training are evaluated too, as ``plain/{label}/{metric}``, at the marks and
    whenever the user's own ``eval_interval`` asks. Afterwards weights, buffers and random state are, bit for bit, what
    they were: training is the training of the same run without marks.

    Copies of the weights that are kept: one for each window that is open, which for marks in the ratio :math:`r` is at
    most :math:`\lceil \log(1 / (1 - f)) / \log r \rceil`: 1 for doubling marks, 5 for fifty marks from 16 to 512
    epochs. With a half-life: 1. They are part of checkpoints, as tensors, which ``weights_only=True`` loads.

    Args:
        window (float | None): The part of training so far that is averaged, in (0, 1]. Default: ``None``, 0.25.
        half_life (float | None): Half-life of an exponential average, as a part of the time so far, > 0, in place of
            ``window``. Default: ``None``.
        decay (str): The decay that the average over a window stands for: ``'linear'`` (the uniform average),
            ``'cosine'`` or ``'1-sqrt'``. Default: ``'linear'``.
        device (str | None): Where the copies are kept, such as ``'cpu'``. Default: ``None``, beside the weights.
        bn_batches (int): As for :class:`~composer_clr.TroughAverage`. Default: ``50``.
        train_data (DataSpec | None): As for :class:`~composer_clr.TroughAverage`.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The marks, where neither ``ParetoSnapshot`` nor
            the Trainer's scheduler gives them. Default: ``None``, those of ``ParetoSnapshot``, or of the Trainer's
            :class:`~composer_clr.AnytimeScheduler`.

    Raises:
        ValueError: On construction, if an argument is out of range; at ``FIT_START``, before the first batch, for what
            :class:`~composer_clr.TroughAverage` refuses, if the learning rate decays, beside ``SWA`` or another
            callback that evaluates weights of its own, or if the checkpoint that the run resumes from lacks a part of
            an average.

    Example:
        >>> from composer_clr import AnytimeAverage, AnytimeScheduler, ParetoSnapshot, ends_log_spaced
        >>> arguments = dict(
        ...     schedulers=AnytimeScheduler(ends_log_spaced('16ep', '512ep', 50), t_warmup='8ep'),
        ...     callbacks=[AnytimeAverage(window=0.25), ParetoSnapshot(folder='runs/{run_name}')],
        ...     max_duration='512ep',
        ... )  # Trainer(model=..., train_dataloader=..., eval_dataloader=..., **arguments)

    Source:
        Anytime pretraining with weight averaging, arXiv:2602.03702; averages that stand for a decay, Tian et al. 2025,
        arXiv:2507.17634; Izmailov et al. 2018, arXiv:1803.05407.
    """

    prefix: ClassVar[str] = 'plain'

    def __init__(
        self,
        window: float | None = None,
        half_life: float | None = None,
        *,
        decay: str = 'linear',
        device: str | None = None,
        bn_batches: int = 50,
        train_data: DataSpec | None = None,
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, train_data=train_data, save_weights=False, scheduler=scheduler)
        window, half_life = check_average(window, half_life, decay)
        if device is not None:
            try:
                # A value on it too: 'cuda' names a device, which this machine may not have.
                torch.zeros((), device=device).item()
            except (RuntimeError, AssertionError) as error:
                raise ValueError(f"device={device!r}: is not a device here: pass 'cpu', or leave it out") from error
        self.window, self.half_life, self.decay, self.device = window, half_life, decay, device
        self._averages: TailAverages | DecayingAverage | None = None
        self._loaded: dict[str, Any] = {}
        self._intervals = MarkIntervals(self._at_trough)

    def init(self, state: State, logger: Logger) -> None:
        super().init(state, logger)
        self._averages, self._loaded = None, {}

    def state_dict(self) -> dict[str, Any]:
        """Returns the averages under way, and which they are."""
        if self._averages is None:
            return {}
        return {'averages': self._averages.state_dict(), 'average': self.describe_average()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._averages, self._loaded = None, state

    def describe_average(self) -> dict[str, object]:
        """Returns the arguments of the average as plain values, for the record of a run."""
        if self.half_life is not None:
            return {'half_life': self.half_life}
        return {'window': self.window, 'decay': self.decay}

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        schedule = self._schedule
        assert schedule is not None
        if schedule.decays:
            raise ValueError(
                f'AnytimeAverage averages a run whose learning rate does not decay, as that of '
                f'{schedule.description["scheduler"]} does: train with AnytimeScheduler, or average over the ends of '
                'cycles with TroughAverage'
            )
        # The callback's own, where the Trainer has fitted before.
        loaded, self._loaded = self.state_dict() or self._loaded, {}
        self._averages = self._new_averages(state, schedule)
        if state.timestamp.batch.value == 0:
            return
        devices = {name: parameter.device for name, parameter in without_ddp(state.model).named_parameters()}
        if loaded.get('average', self.describe_average()) == self.describe_average():
            self._averages.load_state_dict(loaded.get('averages', {}), devices)
        missing = self._averages.missing(schedule.now(state))
        if missing:
            if 'average' in loaded and loaded['average'] != self.describe_average():
                raise ValueError(
                    f'the checkpoint at {schedule.now(state)}{schedule.unit.value} holds averages of '
                    f'{loaded["average"]}, and this run takes those of {self.describe_average()}: resume with the '
                    'former, or train another run'
                )
            raise ValueError(
                f'the average at the mark {missing[0].end}{schedule.unit.value} is over the time from '
                f'{missing[0].start}{schedule.unit.value}, and the checkpoint at {schedule.now(state)}'
                f'{schedule.unit.value} does not hold its part before that: start from an earlier checkpoint, or leave '
                'that mark out'
            )

    def batch_start(self, state: State, logger: Logger) -> None:
        """Leaves the evaluators to the averages, and adds one to each for the weights in training."""
        if self._second:
            return
        super().batch_start(state, logger)
        for first, second in zip(state.evaluators, self._second, strict=False):
            self._intervals.leave_to_averages(first, second)

    def fit_end(self, state: State, logger: Logger) -> None:
        self._intervals.give_back()
        super().fit_end(state, logger)

    def close(self, state: State, logger: Logger) -> None:
        del state, logger
        self._intervals.give_back()

    def batch_end(self, state: State, logger: Logger) -> None:
        """Takes in the weights, if a window is open; the evaluation of a mark comes right after."""
        del logger
        assert self._schedule is not None
        assert self._averages is not None
        assert state.previous_timestamp is not None
        before, after = self._schedule.at(state.previous_timestamp), self._schedule.now(state)
        self._averages.close(before)
        self._averages.add(dict(without_ddp(state.model).named_parameters()), before, after)

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Returns the average at this mark."""
        assert self._schedule is not None
        assert self._averages is not None
        return self._averages.mean(self._schedule.cycles.bounds(self.crossed(state)[-1])[1])

    def replaces(self, state: State) -> bool:
        """Returns whether the evaluation is one of the average: at a mark, but for the weights in training."""
        return bool(self._second) and bool(self.crossed(state)) and not self._evaluates(state)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Restores the weights in training for their own evaluation."""
        if self._evaluates(state):
            self.restore(state)
        else:
            super().eval_start(state, logger)
        self._random_state = reproducibility.get_rng_state()

    def eval_end(self, state: State, logger: Logger) -> None:
        """Restores the random state, unless the user's own interval asked for this evaluation."""
        del logger
        evaluator = next((one for one in self._second if one.label == state.dataloader_label), None)
        interval = evaluator.eval_interval if evaluator is not None else None
        if self._second and not (isinstance(interval, AtMarksToo) and interval.asked):
            assert self._random_state is not None
            reproducibility.load_rng_state(self._random_state)

    def _undo(self, state: State) -> None:
        self._intervals.give_back()
        super()._undo(state)

    def _new_averages(self, state: State, schedule: TrainerSchedule) -> TailAverages | DecayingAverage:
        if self.half_life is not None:
            return DecayingAverage(self.half_life, self.device)
        assert self.window is not None
        until = horizon(state, schedule.unit)
        if until is None:
            raise ValueError(
                f'max_duration={state.max_duration} cannot be counted in {schedule.unit.value!r}, the unit of the '
                'marks: give both in the same unit'
            )
        windows = [tail(mark, self.window) for mark in schedule.cycles.troughs(until)]
        # Windows that reach beyond the end of training, for a run that is prolonged.
        following = schedule.cycles.next_trough(until)
        while following is not None and self.window < 1 and tail(following, self.window).start < until:
            windows.append(tail(following, self.window))
            following = schedule.cycles.next_trough(following)
        return TailAverages(windows, self.decay, self.device)
