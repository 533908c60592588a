"""Evaluates other weights at each trough, as a second set of metrics or as the point, without disturbing training."""

from __future__ import annotations

import copy
import warnings
from typing import ClassVar

import torch
from composer.algorithms import EMA, SWA
from composer.core import Callback, Evaluator, Event, State
from composer.loggers import Logger
from composer.utils import dist

from composer_clr.averaging.batch_norm import batch_norm_layers, measure_statistics, modes_in_training
from composer_clr.averaging.train_batches import TrainBatches
from composer_clr.recording.evaluation import share_buffers
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.recording.random_state import RandomState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import Troughs
from composer_clr.utils.models import without_ddp

__all__ = ['TroughWeights', 'load_tensors']


class TroughWeights(Callback):
    """Base class of callbacks that evaluate weights of their own at each trough: as the point, or as a second set.

    After each evaluation weights, buffers and random state are, bit for bit, what they were.
    """

    prefix: ClassVar[str]
    is_point: ClassVar[bool] = False

    def __init__(self, *, bn_batches: int, scheduler: Troughs | None = None, save_weights: bool = False):
        if isinstance(bn_batches, bool) or not isinstance(bn_batches, int) or bn_batches < 0:
            raise ValueError(f'{bn_batches=}: give a whole number of batches; 0 leaves the statistics of training')
        self.bn_batches = bn_batches
        self.scheduler = scheduler
        self.save_weights = save_weights
        self._second: list[Evaluator] = []

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Returns the weights to evaluate by parameter name; what this changes is undone after the evaluation."""
        raise NotImplementedError

    def init(self, state: State, logger: Logger) -> None:
        """Drops what is left of another Trainer; comes before the callbacks that save what the network holds."""
        del logger
        self._schedule: RunSchedule | None = None
        self._second = []
        self._batches: TrainBatches | None = None
        self._modes: dict[str, bool] = {}  # of the modules in training, while they are evaluated
        self._warned = False
        # At a trough: the tensors to evaluate, computed once for all evaluators, and those of training meanwhile.
        self._own: dict[str, torch.Tensor] | None = None
        self._training: dict[str, torch.Tensor] = {}
        self._random_state: RandomState | None = None
        if self.is_point:
            state.callbacks.sort(key=lambda callback: callback is not self)

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuses what cannot work, before the first batch; undoes what a fit that failed has left."""
        self.restore(state)
        self._own = None
        self._remove_second(state)
        self._check(state)
        state.model.train()  # as the Trainer does next, so that the layers that train() leaves out are known
        self._modes = modes_in_training(without_ddp(state.model))
        random_state, reader = RandomState.now(state), self._reader(state)
        self._batches = None if reader is None else TrainBatches(state, reader)
        random_state.load()  # a sampler of the user's own may draw from it
        self._schedule = self._troughs(state)

    def batch_start(self, state: State, logger: Logger) -> None:
        """Adds a second evaluator for each, on the first batch.

        Not earlier, since at the start of training the Trainer draws random numbers for each evaluator's loader; and
        not at an epoch's start, since a run resumed within an epoch has none.
        """
        del logger
        if not self._second:
            self._add_second(state)

    def fit_end(self, state: State, logger: Logger) -> None:
        del logger
        self._remove_second(state)

    def close(self, state: State, logger: Logger) -> None:
        del logger
        self._remove_second(state)

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Notes the modes of the modules, before the evaluation changes them."""
        del logger
        self._modes = modes_in_training(without_ddp(state.model))

    def eval_start(self, state: State, logger: Logger) -> None:
        del logger
        if self._is_second(state) and not self.is_point and not self.crossed(state):
            raise ValueError(
                f"evaluator '{state.dataloader_label}' has weights at a trough alone: call eval() with eval_dataloader "
                'during training'
            )
        self._random_state = RandomState.now(state) if self._leaves_no_trace(state) else None
        self.load(state) if self._is_own(state) else self.restore(state)

    def eval_end(self, state: State, logger: Logger) -> None:
        del logger
        if not self.is_point:  # the next evaluator may be another callback's
            self.restore(state)
        if self._random_state is not None:
            self._random_state.load()

    def eval_after_all(self, state: State, logger: Logger) -> None:
        del logger
        self.restore(state)
        self._own = None

    def load(self, state: State) -> None:
        """Loads these weights into the network, with batch norm's statistics for them, if it does not hold them."""
        if self._training:
            return
        share_buffers(state.model)  # so that what is kept is what every rank trains on with
        model = without_ddp(state.model)
        self._training = tensors_of(model)
        if self._own is not None:
            load_tensors(model, self._own)
            return
        random_state = RandomState.now(state)
        load_tensors(model, self.make_weights(state))
        far = measure_statistics(state, model, self.bn_batches, self._batches, self._modes)
        self._own = tensors_of(model)
        if dist.get_world_size() > 1:  # a sampler of the user's own may give each rank other images
            for tensor in self._own.values():
                dist.broadcast(tensor, src=0)
            load_tensors(model, self._own)
        random_state.load()
        if far is not None and not self._warned:
            self._warned = True
            warnings.warn(
                f'{type(self).__name__}: recomputed statistics of batch norm are far from those of training ({far}): '
                'the weights may be too far apart to be averaged, or the images are others',
                UserWarning,
                stacklevel=2,
            )
        snapshot = self._snapshot(state)
        if self.save_weights and snapshot is not None:
            snapshot.save_beside(state, self.prefix)

    def restore(self, state: State) -> None:
        """Restores the weights in training, if they have been replaced."""
        load_tensors(without_ddp(state.model), self._training)
        self._training = {}

    def crossed(self, state: State) -> range:
        """Returns the cycles that the last batch completed."""
        return self._schedule.crossed(state) if self._schedule is not None else range(0)

    def _check(self, state: State) -> None:
        name = type(self).__name__
        inner = [getattr(one, 'algorithm', one) for one in state.algorithms]  # InCycles(EMA()) wraps one
        kinds = (TroughWeights, EMA, SWA) if self.is_point else (type(self), EMA)
        rival = next((one for one in (*state.callbacks, *inner) if one is not self and isinstance(one, kinds)), None)
        if rival is not None:
            raise ValueError(
                f'{name} and {type(rival).__name__} both evaluate weights of their own: give the Trainer one of them'
            )
        if state.fsdp_enabled:
            raise ValueError(f'{name} needs whole weights per rank, which FSDP does not keep: leave one of them out')
        if not state.evaluators:
            raise ValueError(f'{name} has nothing to evaluate: give eval_dataloader to the Trainer')
        if self.save_weights and self._snapshot(state) is None:
            raise ValueError(f'{name}(save_weights=True) saves into the folder of ParetoSnapshot: give the Trainer one')
        taken = next((one.label for one in state.evaluators if one.label.startswith(f'{self.prefix}/')), None)
        if taken is not None:
            raise ValueError(f"evaluator '{taken}': {name} labels its own '{self.prefix}/...': give it another label")

    def _reader(self, state: State) -> str | None:
        """Returns what reads training batches to make these weights or to measure their statistics, if anything."""
        if self.bn_batches and batch_norm_layers(without_ddp(state.model), self._modes):
            return f'{type(self).__name__}(bn_batches={self.bn_batches})'
        return None

    def _is_second(self, state: State) -> bool:
        return (state.dataloader_label or '').startswith(f'{self.prefix}/')

    def _is_own(self, state: State) -> bool:
        """Whether the evaluation that starts is of these weights."""
        return self._is_second(state)

    def _leaves_no_trace(self, state: State) -> bool:
        """Whether the run without this callback would not have had the evaluation."""
        return self._is_second(state)

    def _at_trough(self, state: State, event: Event) -> bool:
        # Composer asks again at the end of an epoch and of training.
        return event == Event.BATCH_END and len(self.crossed(state)) > 0

    def _add_second(self, state: State) -> None:
        seconds = [one for other in state.callbacks if isinstance(other, TroughWeights) for one in other._second]
        for evaluator in [one for one in state.evaluators if one not in seconds]:
            second = copy.copy(evaluator)
            second.label, second.eval_interval = f'{self.prefix}/{evaluator.label}', self._at_trough
            self._second.append(second)
            state.evaluators.append(second)
            state.eval_metrics[second.label] = copy.deepcopy(state.eval_metrics[evaluator.label])

    def _remove_second(self, state: State) -> None:
        for evaluator in self._second:
            state.evaluators.remove(evaluator)
            del state.eval_metrics[evaluator.label]
        self._second = []

    def _troughs(self, state: State) -> RunSchedule:
        """Returns the schedule whose troughs are evaluated: those that the snapshot records."""
        snapshot, own = self._snapshot(state), self.scheduler
        if snapshot is None:
            return RunSchedule.of_trainer(state, own)
        recorded = RunSchedule.of_trainer(state, snapshot.scheduler)
        if own is not None and not recorded.same_troughs(RunSchedule.of_trainer(state, own)):
            raise ValueError(
                f'{type(self).__name__}(scheduler=...) has other troughs than ParetoSnapshot, whose points it '
                'evaluates: pass the troughs to ParetoSnapshot alone'
            )
        return recorded

    @staticmethod
    def _snapshot(state: State) -> ParetoSnapshot | None:
        return next((callback for callback in state.callbacks if isinstance(callback, ParetoSnapshot)), None)


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns copies of all parameters and buffers, also of buffers that are not in checkpoints."""
    return {name: t.detach().clone() for name, t in (*model.named_parameters(), *model.named_buffers())}


@torch.no_grad()
def load_tensors(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Sets parameters and buffers by name, in place; those not named keep their values."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in weights.items():
        tensors[name].copy_(tensor)
