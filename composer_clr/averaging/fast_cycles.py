"""Trains a few small fast cycles from each trough, on a copy of the network, and averages their minima."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from types import MethodType
from typing import Any, ClassVar, cast

import torch
from composer.core import Precision, State, Time, get_precision_context
from composer.loggers import Logger
from composer.utils import ensure_tuple, reproducibility

from composer_clr.averaging.averages import Mean, to_average
from composer_clr.averaging.batch_norm import set_modes
from composer_clr.averaging.trough_weights import TroughWeights
from composer_clr.schedule.scheduler import Troughs
from composer_clr.schedule.times import Lengths, read_time
from composer_clr.utils.errors import one_line
from composer_clr.utils.models import device_time_s, without_ddp

__all__ = ['FastCycles']


class FastCycles(TroughWeights):
    r"""Trains a few small fast cycles from each trough, without disturbing the run, and averages their minima.

    The learning rate of batch :math:`j` of each fast cycle is

    .. math::
        \eta_j = a \, \eta_{max} \, \tfrac12 \Bigl(1 + \cos \pi \frac{j}{T}\Bigr) \quad (0 \le j < T)

    Network and optimizer are copies: the run is bit for bit the run without this callback. The average's metrics are a
    second set in the same point, ``fast-cycles/{label}/{metric}``; its cost, in seconds and batches, is in the point's
    ``extra``. The copy trains with the network's own loss, without the Trainer's algorithms, and on every rank alike.

    Args:
        period (str | Time): Period :math:`T` of a fast cycle, in ``ep`` or ``ba``. Default: ``'1ep'``.
        amplitude (float): :math:`a`, a fraction of the optimizer's own rate, in (0, 1]. Default: ``0.1``.
        cycles (int): Number of fast cycles, >= 1. Default: ``3``.
        bn_batches (int): As for :class:`~composer_clr.TroughAverage`. Default: ``50``.
        save_weights (bool): Whether to save the average, as ``cycleN-baM-fast-cycles.pt``. Default: ``False``.
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
        scheduler: Troughs | None = None,
    ):
        super().__init__(bn_batches=bn_batches, scheduler=scheduler, save_weights=save_weights)
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
        Lengths.of_state(state).count('period', self.period)  # an epoch needs a loader with a length
        if len(state.optimizers) != 1:
            raise ValueError(f'FastCycles trains with one optimizer: give the Trainer one, not {len(state.optimizers)}')
        if state.precision == Precision.AMP_FP16:
            raise ValueError("FastCycles does not scale gradients, as precision='amp_fp16' needs: use 'amp_bf16'")
        try:
            copied(without_ddp(state.model), state.optimizers[0])
        except Exception as error:
            raise ValueError(
                f'FastCycles trains a copy of the network and its optimizer, and they cannot be copied '
                f'({one_line(error)}): leave FastCycles out'
            ) from error

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Counts the period while the state's loader is that of training; an evaluator puts its own there."""
        super().eval_before_all(state, logger)
        self._period = round(Lengths.of_state(state).count('period', self.period))

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Trains a copy of the network and averages its minima."""
        began, period = device_time_s(), self._period
        assert self._batches is not None
        model, optimizer = copied(without_ddp(state.model), state.optimizers[0])
        set_modes(model, self._modes)
        seed, steps = state.rank_zero_seed + state.timestamp.batch.value, self.cycles * period
        reproducibility.seed_all(seed % 2**32)
        average, count = Mean(), self._batches.data.get_num_samples_in_batch
        with torch.enable_grad():
            for step, parts in enumerate(self._batches.read(state, seed, steps)):
                for group in optimizer.param_groups:
                    share = (1 + math.cos(math.pi * (step % period) / period)) / 2
                    group['lr'] = self.amplitude * group.get('initial_lr', group['lr']) * share
                optimizer.zero_grad()
                samples = [count(part) for part in parts]
                for part, number in zip(parts, samples, strict=True):
                    with get_precision_context(state.precision, state.precision_config):
                        loss = model.loss(model(part), part)  # type: ignore[operator]
                    (_total(loss) * (number / sum(samples))).backward()
                optimizer.step()
                if (step + 1) % period == 0:
                    average.add(to_average(dict(model.named_parameters())))
        snapshot = self._snapshot(state)
        if snapshot is not None:
            snapshot.note_extra(self.prefix, {'train_s': device_time_s() - began, 'batches': float(steps)})
        return average.mean

    def _reader(self, state: State) -> str:
        del state
        return 'FastCycles'


def copied(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Returns copies of a network and its optimizer that refer to each other, and not to the originals."""
    optimizer = getattr(optimizer, 'base_optimizer', optimizer)  # under that of SAM, which takes every batch twice
    # Activations that a layer keeps refuse to be copied with their graph.
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    }
    model, other = copy.deepcopy(network, memo), copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():  # torch copies the state alone; schedulers replace `step`
        if name not in vars(other) and name != 'step':
            vars(other)[name] = copy.deepcopy(value, memo)
    originals = {id(module) for module in network.modules()}
    for name, module in model.named_modules():
        if id(module) in originals:
            raise TypeError(f'{name or type(module).__name__} returns itself as its copy')
        if '_orig_mod' in dict(module.named_children()):  # what torch.compile returns compiles its copy anew
            continue
        forward = vars(module).get('forward')
        compiled_from = getattr(forward, '_torchdynamo_orig_callable', None)
        if getattr(compiled_from, '__func__', compiled_from) is type(module).forward:
            del module.forward  # compiled with the original's weights
        elif forward is not None and not (isinstance(forward, MethodType) and id(forward.__self__) not in originals):
            raise TypeError(f'forward of {name or type(module).__name__} is {forward}, which goes on with the original')
    return model, other


def _total(loss: Any) -> torch.Tensor:
    """Returns the loss to minimize, as the Trainer computes it from what a model returns."""
    if isinstance(loss, Mapping) and 'total' in loss:
        return loss['total']
    means = [one.mean() for one in cast(tuple[torch.Tensor, ...], ensure_tuple(loss))]
    return means[0] if len(means) == 1 else torch.stack(means).sum()
