"""Trains a few small fast cycles from each trough, on a copy of the network, and averages their minima."""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from composer.core import DataSpec, Precision, State, Time, get_precision_context
from composer.loggers import Logger
from composer.utils import reproducibility

from composer_clr.averaging.averages import Mean, to_average
from composer_clr.averaging.batch_norm import check_readable, train_batches
from composer_clr.averaging.trough_weights import TroughWeights
from composer_clr.schedule.scheduler import Troughs
from composer_clr.schedule.times import Lengths, read_time
from composer_clr.utils.device_time import device_time_s
from composer_clr.utils.models import without_ddp

__all__ = ['FastCycles']


class FastCycles(TroughWeights):
    r"""Trains a few small fast cycles from each trough, without disturbing the run, and averages their minima.

    The learning rate of batch :math:`j` of each fast cycle is

    .. math::
        \eta_j = a \, \eta_{max} \, \tfrac12 \Bigl(1 + \cos \pi \frac{j}{T}\Bigr) \quad (0 \le j < T)

    Network and optimizer are copies, and the images come in an order of their own, so the run is bit for bit the run
    without this callback. The average's metrics are a second set in the same point, ``fast-cycles/{label}/{metric}``;
    its cost, in seconds and batches, is in the point's ``extra``. The copy trains with the network's own loss, without
    the Trainer's algorithms; every rank trains the same copy.

    Args:
        period (str | Time): Period :math:`T` of a fast cycle, in ``ep`` or ``ba``. Default: ``'1ep'``.
        amplitude (float): :math:`a`, a fraction of the optimizer's own rate, in (0, 1]. Default: ``0.1``.
        cycles (int): Number of fast cycles, >= 1. Default: ``3``.
        bn_batches (int): As for :class:`~composer_clr.TroughAverage`. Default: ``50``.
        save_weights (bool): Whether to save the average, as ``cycleN-baM-fast-cycles.pt``. Default: ``False``.
        train_data (DataSpec | None): As for :class:`~composer_clr.TroughAverage`.
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): Likewise.

    Raises:
        ValueError: If an argument is out of range; at ``FIT_START``, if training images cannot be read by index, the
            Trainer has several optimizers, or the precision scales gradients (``amp_fp16``).

    Source:
        Izmailov et al. 2018, arXiv:1803.05407, from a trough of Portes et al. 2022, arXiv:2206.00832.
    """

    prefix: ClassVar[str] = 'fast-cycles'

    def __init__(
        self,
        period: str | Time = '1ep',
        amplitude: float = 0.1,
        cycles: int = 3,
        *,
        bn_batches: int = 50,
        save_weights: bool = False,
        train_data: DataSpec | None = None,
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, train_data=train_data, scheduler=scheduler, save_weights=save_weights)
        self.period, self.amplitude, self.cycles = read_time('period', period), amplitude, cycles
        if self.period.value <= 0 or self.period.unit not in ('ep', 'ba'):
            raise ValueError(
                f"period='{self.period}': give the period of a fast cycle in epochs or batches, such as '1ep'"
            )
        if not 0 < amplitude <= 1:
            raise ValueError(f"{amplitude=}: give a fraction of the optimizer's own rate, above 0 and at most 1")
        if isinstance(cycles, bool) or not isinstance(cycles, int) or cycles < 1:
            raise ValueError(f'{cycles=}: give a whole number of fast cycles, at least 1')

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        check_readable(state, 'FastCycles')
        Lengths.of_state(state).count('period', self.period)  # an epoch needs a loader with a length
        if len(state.optimizers) != 1:
            raise ValueError(
                f'FastCycles trains with one optimizer, and the Trainer has {len(state.optimizers)}: give it one'
            )
        if state.precision == Precision.AMP_FP16:
            raise ValueError("FastCycles does not scale gradients, as precision='amp_fp16' needs: use 'amp_bf16'")

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Counts the period while the state's loader is that of training; an evaluator puts its own there."""
        del logger
        self._period = round(Lengths.of_state(state).count('period', self.period))

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Trains a copy of the network and averages its minima."""
        began, period = device_time_s(), self._period
        # Copied together, so that the optimizer's copy refers to the network's copy.
        model, optimizer = copy.deepcopy((without_ddp(state.model), state.optimizers[0]))
        seed = state.rank_zero_seed + state.timestamp.batch.value
        reproducibility.seed_all(seed % 2**32)
        batches, average = train_batches(state, seed, train_data=self.train_data), Mean()
        model.train()
        with torch.enable_grad():
            for step in range(self.cycles * period):
                for group in optimizer.param_groups:
                    share = (1 + math.cos(math.pi * (step % period) / period)) / 2
                    group['lr'] = self.amplitude * group.get('initial_lr', group['lr']) * share
                optimizer.zero_grad()
                batch = next(batches)
                with get_precision_context(state.precision, state.precision_config):
                    loss = model.loss(model(batch), batch)  # type: ignore[operator]
                loss.backward()
                optimizer.step()
                if (step + 1) % period == 0:
                    average.add(to_average(dict(model.named_parameters())))
        snapshot = self._snapshot(state)
        if snapshot is not None:
            cost = {'train_s': device_time_s() - began, 'batches': float(self.cycles * period)}
            snapshot.note_extra(self.prefix, cost)
        return average.mean
