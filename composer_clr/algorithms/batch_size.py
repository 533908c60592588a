"""Changes the batch size in step with the cycles, by accumulating gradients over several batches of the loader."""

from __future__ import annotations

from typing import Any

import torch
from composer.algorithms import SAM, GradientClipping
from composer.core import Event, Precision, State
from composer.loggers import Logger

from composer_clr.algorithms.hyperparameters import CyclicGradientClipping, InStep
from composer_clr.schedule.scheduler import Troughs
from composer_clr.utils.models import without_ddp

__all__ = ['CyclicBatchSize']


class CyclicBatchSize(InStep):
    r"""Changes the batch size in step with the cycles: the optimizer steps every :math:`n` batches of the loader.

    .. math::
        n(t) = \operatorname{round}(v(t)), \qquad g = \frac{1}{n} \sum_{j=1}^{n} g_j

    with :math:`v` as in :class:`InStep`, and :math:`g_j` the gradient of batch :math:`j`. Between steps neither weights
    nor momentum change. The last batch before a trough always makes a step, so that a point has learned from every
    batch. Clock, schedule, points and training time are counted in the loader's batches, which have equal weights
    whatever their number of samples.

    Args:
        at_peak (int): Batches per step at the peaks, >= 1. Default: ``1``.
        at_trough (int): Batches per step at the troughs, >= 1. Default: ``4``.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): As for :class:`InStep`.

    Raises:
        ValueError: If a number of batches is not a whole number >= 1; at ``FIT_START``, as for :class:`InStep`, and
            under ``amp_fp16`` (one overflow would spoil a whole step), FSDP, automatic microbatches or ``SAM``, if
            the schedule is not counted in batches, or if gradients would be clipped before they are accumulated.

    Example:
        >>> CyclicBatchSize(at_trough=8)
        CyclicBatchSize(at_peak=1, at_trough=8)

    Source:
        Smith et al. 2018, arXiv:1711.00489: growing the batch size instead of decaying the learning rate.
    """

    drives = 'batch size'

    def __init__(self, at_peak: int = 1, at_trough: int = 4, scheduler: Troughs | None = None):
        super().__init__(at_peak, at_trough, scheduler)
        self.gathered = 0
        self._gradients: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), 'gathered': self.gathered, 'gradients': dict(self._gradients)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.gathered = int(state['gathered'])
        self._gradients = dict(state['gradients'])

    def match(self, event: Event, state: State) -> bool:
        return super().match(event, state) or event == Event.AFTER_TRAIN_BATCH

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        super().apply(event, state, logger)
        if event == Event.AFTER_TRAIN_BATCH:
            self._accumulate(state)

    def _accumulate(self, state: State) -> None:
        self.gathered += 1
        if self._step_is_due(state):
            if self.gathered > 1:
                self._restore(state)
            self.gathered, self._gradients = 0, {}
            return
        for name, weight in without_ddp(state.model).named_parameters():
            if weight.grad is not None:
                earlier = self._gradients.get(name)
                total = weight.grad.clone() if earlier is None else earlier.to(weight.grad) + weight.grad
                self._gradients[name], weight.grad = total, None

    def _restore(self, state: State) -> None:
        for name, weight in without_ddp(state.model).named_parameters():
            parts = [one.to(weight) for one in (self._gradients.get(name), weight.grad) if one is not None]
            if parts:
                weight.grad = torch.stack(parts).sum(0) / self.gathered

    def _step_is_due(self, state: State) -> bool:
        assert self._schedule is not None
        t, until = state.timestamp.batch.value, self._schedule.until
        ends = bool(self._schedule.cycles.crossed(t, t + 1)) or (until is not None and t + 1 >= until)
        return ends or self.gathered >= round(self.value)

    def _checked(self, name: str, value: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f'CyclicBatchSize: {name}={value!r}: batches per step must be a whole number, 1 or more')
        return value

    def _start(self, state: State) -> None:
        assert self._schedule is not None
        if state.timestamp.batch.value == 0:
            self.gathered, self._gradients = 0, {}
        algorithms, unit = list(state.algorithms), self._schedule.unit
        sam = any(isinstance(one, SAM) for one in algorithms)
        for refused, reason in (
            (state.precision == Precision.AMP_FP16, "amp_fp16, where one overflow spoils a whole step: use 'amp_bf16'"),
            (state.auto_microbatching, "device_train_microbatch_size='auto', which may run a batch twice: give one"),
            (state.fsdp_enabled, 'FSDP, which is not supported: use DistributedDataParallel'),
            (sam, 'SAM, which runs every batch twice: give one of them'),
            (unit != 'ba', f"a schedule counted in {unit!r}, not in batches: give it in 'ep' or 'ba'"),
        ):
            if refused:
                raise ValueError(f'CyclicBatchSize with {reason}')
        # After a batch Composer runs algorithms in reverse order.
        for other in algorithms[algorithms.index(self) :]:
            if isinstance(other, (GradientClipping, CyclicGradientClipping)):
                raise ValueError(
                    f'CyclicBatchSize before {type(other).__name__}: the gradients would be clipped before they are '
                    'accumulated; list CyclicBatchSize after it'
                )
