"""The weights averaged over the last part of training so far, as the points of a run without decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from composer.core import Evaluator, Event, State

from composer_clr.averaging.averages import DecayingAverage, TailAverages
from composer_clr.averaging.trough_average import AveragedIterates
from composer_clr.recording.evaluation import AtTroughsToo
from composer_clr.schedule.averages import check_average, tail
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import Troughs

__all__ = ['AnytimeAverage']


class AnytimeAverage(AveragedIterates):
    r"""Evaluates, at each mark of a run without decay, the weights averaged over the last part of training so far.

    .. math::
        \bar{w}_m = \sum_{t = m - k + 1}^{m} \Bigl(d\bigl(\tfrac{t - 1 - m + k}{k}\bigr) - d\bigl(\tfrac{t - m + k}{k}
        \bigr)\Bigr) \, w_t, \qquad k = \max(1, \operatorname{round}(f m))

    where :math:`w_t` are the weights after batch :math:`t`, :math:`m` is the mark, :math:`f` the window, and :math:`d`
    the decay that the average stands for (:func:`~composer_clr.averaging.averages.share`). With a half-life :math:`f`
    in place of the window, the average is exponential and reaches back to the start
    (:class:`~composer_clr.averaging.averages.DecayingAverage`).

    The average, with batch norm's statistics recomputed for it, is the point of the curve:
    :class:`~composer_clr.ParetoSnapshot` saves it and records its metrics under the plain names. The weights in
    training are evaluated too, as ``plain/{label}/{metric}``, at the marks and whenever the user's own
    ``eval_interval`` asks. Training is bit for bit that of the run without marks.

    A copy of the weights is kept for each window that is open (:func:`~composer_clr.schedule.averages.most_open`), and
    one with a half-life.

    Args:
        window (float | None): The part of training so far that is averaged, in (0, 1]. Default: ``None``, 0.25.
        half_life (float | None): In place of ``window``, a part of the time so far, > 0. Default: ``None``.
        decay (str): As for :class:`~composer_clr.TroughAverage`. Default: ``'linear'``.
        device (str | None): Where the copies are kept, such as ``'cpu'``. Default: ``None``, beside the weights.
        bn_batches (int): As for :class:`~composer_clr.TroughAverage`. Default: ``50``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The marks. Default: ``None``, those of
            ``ParetoSnapshot``, or of the Trainer's :class:`~composer_clr.AnytimeScheduler`.

    Raises:
        ValueError: If an argument is out of range; at ``FIT_START``, if the learning rate decays, the checkpoint that
            the run resumes from lacks a part of an average, or as for :class:`~composer_clr.TroughAverage`.

    Example:
        >>> from composer_clr import AnytimeAverage, AnytimeScheduler, ParetoSnapshot, ends_log_spaced
        >>> arguments = dict(
        ...     schedulers=AnytimeScheduler(ends_log_spaced('16ep', '512ep', 50), t_warmup='8ep'),
        ...     callbacks=[AnytimeAverage(window=0.25), ParetoSnapshot(folder='runs/{run_name}')],
        ...     max_duration='512ep',
        ... )  # Trainer(model=..., train_dataloader=..., eval_dataloader=..., **arguments)

    Source:
        Anytime pretraining with weight averaging, arXiv:2602.03702.
    """

    prefix: ClassVar[str] = 'plain'
    is_point: ClassVar[bool] = True

    def __init__(
        self,
        window: float | None = None,
        half_life: float | None = None,
        *,
        decay: str = 'linear',
        device: str | None = None,
        bn_batches: int = 50,
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, scheduler=scheduler)
        window, half_life = check_average(window, half_life, decay)
        if device is not None:
            try:
                # A value on it too: 'cuda' names a device, which this machine may not have.
                torch.zeros((), device=device).item()
            except (RuntimeError, AssertionError) as error:
                raise ValueError(f"device={device!r}: is not a device here: pass 'cpu', or leave it out") from error
        self.window, self.half_life, self.decay, self.device = window, half_life, decay, device

    def describe_average(self) -> dict[str, object]:
        """Returns the arguments of the average as plain values, for the record of a run."""
        if self.half_life is not None:
            return {'half_life': self.half_life}
        return {'window': self.window, 'decay': self.decay}

    def new_averages(self, schedule: RunSchedule) -> TailAverages:
        if schedule.decays:
            raise ValueError(
                f'AnytimeAverage averages a run whose learning rate does not decay, as that of '
                f'{schedule.scheduler["scheduler"]} does: train with AnytimeScheduler, or average over the ends of '
                'cycles with TroughAverage'
            )
        if self.half_life is not None:
            return DecayingAverage(self.half_life, self.device)
        assert self.window is not None
        windows, until = [tail(mark, self.window) for mark in schedule.troughs], schedule.end
        # Windows that reach beyond the end of training, for a run that is prolonged.
        following = schedule.cycles.next_trough(until)
        while following is not None and self.window < 1 and tail(following, self.window).start < until:
            windows.append(tail(following, self.window))
            following = schedule.cycles.next_trough(following)
        return TailAverages(windows, self.decay, self.device)

    def _add_second(self, state: State) -> None:
        """Leaves the user's evaluators to the averages, and has the second ones run when the user asks, too."""
        super()._add_second(state)
        for first, second in zip(state.evaluators, self._second, strict=False):
            second.eval_interval = _AskedOrAtTrough(getattr(*_holder(first)), self._at_trough)
            setattr(*_holder(first), self._at_trough)

    def _remove_second(self, state: State) -> None:
        for first, second in zip(state.evaluators, self._second, strict=False):
            if isinstance(second.eval_interval, _AskedOrAtTrough):
                setattr(*_holder(first), second.eval_interval.users)
        super()._remove_second(state)

    def _is_own(self, state: State) -> bool:
        return bool(self._second) and bool(self.crossed(state)) and not self._is_second(state)

    def _leaves_no_trace(self, state: State) -> bool:
        asked = {one.label for one in self._second if getattr(one.eval_interval, 'asked', False)}
        return bool(self._second) and state.dataloader_label not in asked


class _AskedOrAtTrough:
    """An ``eval_interval``: the user's own, which may have ``asked`` for the last evaluation, and each trough."""

    def __init__(self, users: Callable, at_trough: Callable):
        self.users, self.at_trough, self.asked = users, at_trough, False

    def __call__(self, state: State, event: Event) -> bool:
        self.asked = bool(self.users(state, event))
        return self.asked or self.at_trough(state, event)


def _holder(evaluator: Evaluator) -> tuple[object, str]:
    """Returns the object and attribute that hold an evaluator's own interval, which ParetoSnapshot wraps."""
    interval = evaluator.eval_interval
    return (interval, 'users') if isinstance(interval, AtTroughsToo) else (evaluator, 'eval_interval')
