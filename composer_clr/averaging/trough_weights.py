"""Evaluates other weights at each trough without disturbing training."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from composer.algorithms import EMA
from composer.core import Callback, DataSpec, Evaluator, Event, State, get_precision_context
from composer.loggers import Logger
from composer.utils import reproducibility

from composer_clr.averaging.batch_norm import has_running_statistics, recompute_statistics
from composer_clr.averaging.train_batches import check_readable, train_batches
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.schedule.trainer_schedule import TrainerSchedule, Troughs, trainer_schedule
from composer_clr.utils.models import without_ddp

__all__ = ['TroughWeights', 'load_tensors', 'measure_statistics', 'tensors_by_name']


class TroughWeights(Callback):
    """Base class of callbacks that evaluate weights of their own at each trough.

    Every evaluator gets a second one with the same data and metrics, labelled ``{prefix}/{label}``. The Trainer runs it
    at each trough, after the plain evaluators. Meanwhile the network holds the other weights, with batch norm's
    statistics recomputed for them; afterwards weights, buffers and random state are, bit for bit, what they were. The
    metrics go to the loggers, and with :class:`~composer_clr.ParetoSnapshot` into the same point of the curve, as
    ``{prefix}/{label}/{metric}``.

    A subclass computes the weights in :meth:`make_weights`.

    Args:
        bn_batches (int): Number of training batches over which batch norm's statistics are recomputed; 0 leaves those
            of training.
        train_data (DataSpec | None): What the Trainer was given to train on, for its transforms. Default: ``None``,
            training images go through the transforms of the first evaluator.
        save_weights (bool): Whether to save these weights beside the snapshot of the trough.
        scheduler (CyclicCosineScheduler | Sequence | None): As for ``ParetoSnapshot``. Default of the subclasses:
            ``None``, that of ``ParetoSnapshot``, or the Trainer's own.
    """

    prefix: ClassVar[str]

    def __init__(self, *, bn_batches: int, train_data: DataSpec | None, save_weights: bool, scheduler: Troughs | None):
        if isinstance(bn_batches, bool) or not isinstance(bn_batches, int) or bn_batches < 0:
            raise ValueError(f'{bn_batches=}: give a whole number of batches; 0 leaves the statistics of training')
        self.bn_batches = bn_batches
        self.train_data = train_data
        self.save_weights = save_weights
        self.scheduler = scheduler
        self._schedule: TrainerSchedule | None = None
        self._second: list[Evaluator] = []
        # At a trough: the tensors to evaluate, computed once for all evaluators, and those of training.
        self._evaluated: dict[str, torch.Tensor] | None = None
        self._training: dict[str, torch.Tensor] = {}
        self._random_state: list | None = None

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Returns the weights to evaluate by parameter name; those left out keep their values.

        Called in evaluation mode without gradients. Changes to the network and to the random state are undone after the
        evaluation.
        """
        raise NotImplementedError

    def init(self, state: State, logger: Logger) -> None:
        """Drops what is left of another Trainer that had this callback."""
        del state, logger
        self._second, self._evaluated, self._training = [], None, {}

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuses what cannot work, before the first batch."""
        self._undo(state)
        name = type(self).__name__
        if any(type(other) is type(self) and other is not self for other in state.callbacks):
            raise ValueError(f'the Trainer has several {name} callbacks, whose metrics would share a name: give it one')
        if state.fsdp_enabled:
            raise ValueError(f'{name} needs whole weights per rank, which FSDP does not keep: leave one of them out')
        # InCycles(EMA()) wraps the algorithm.
        if any(isinstance(getattr(algorithm, 'algorithm', algorithm), EMA) for algorithm in state.algorithms):
            raise ValueError(f'{name} and EMA both put other weights into the evaluation: leave one of them out')
        if not state.evaluators:
            raise ValueError(f'{name} has nothing to evaluate: give eval_dataloader to the Trainer')
        if self.bn_batches and has_running_statistics(state.model):
            check_readable(state, f'{name}(bn_batches={self.bn_batches})')
        if self.save_weights and self._snapshot(state) is None:
            raise ValueError(f'{name}(save_weights=True) saves into the folder of ParetoSnapshot: give the Trainer one')
        self._schedule = self._troughs(state)
        taken = next((one.label for one in state.evaluators if one.label.startswith(f'{self.prefix}/')), None)
        if taken is not None:
            raise ValueError(f"evaluator '{taken}': {name} labels its own '{self.prefix}/...': give it another label")

    def batch_start(self, state: State, logger: Logger) -> None:
        """Adds a second evaluator for each, on the first batch.

        Not earlier, since at the start of training the Trainer draws random numbers for each evaluator's loader; and
        not at an epoch's start, since a run resumed within an epoch has none.
        """
        del logger
        if self._second:
            return
        first = [evaluator for evaluator in state.evaluators if evaluator not in self._second_of_all(state)]
        for evaluator in first:
            second = Evaluator(
                label=f'{self.prefix}/{evaluator.label}',
                dataloader=evaluator.dataloader,
                metric_names=evaluator.metric_names,
                subset_num_batches=evaluator.subset_num_batches,
                eval_interval=self._at_trough,
                device_eval_microbatch_size=evaluator.device_eval_microbatch_size,
            )
            self._second.append(second)
            state.evaluators.append(second)
            state.eval_metrics[second.label] = copy.deepcopy(state.eval_metrics[evaluator.label])

    def fit_end(self, state: State, logger: Logger) -> None:
        """Removes the second evaluators."""
        del logger
        self._remove_second(state)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Loads the other weights into the network."""
        del logger
        if not self._evaluates(state):
            return
        model = without_ddp(state.model)
        self._random_state = reproducibility.get_rng_state()
        self._training = {name: tensor.clone() for name, tensor in tensors_by_name(model).items()}
        if self._evaluated is None:
            load_tensors(model, self.make_weights(state))
            self._measure_statistics(state, model)
            self._evaluated = {name: tensor.clone() for name, tensor in tensors_by_name(model).items()}
            snapshot = self._snapshot(state)
            if self.save_weights and snapshot is not None:
                snapshot.save_beside(state, self.prefix)
        else:
            load_tensors(model, self._evaluated)

    def eval_end(self, state: State, logger: Logger) -> None:
        """Restores what training continues with."""
        del logger
        if not self._evaluates(state):
            return
        assert self._random_state is not None
        load_tensors(without_ddp(state.model), self._training)
        reproducibility.load_rng_state(self._random_state)
        self._training, self._random_state = {}, None

    def eval_after_all(self, state: State, logger: Logger) -> None:
        del state, logger
        self._evaluated = None

    def crossed(self, state: State) -> range:
        """Returns the cycles that the last batch completed."""
        return self._schedule.crossed(state) if self._schedule is not None else range(0)

    def _troughs(self, state: State) -> TrainerSchedule:
        """Returns the schedule whose troughs are evaluated: those that the snapshot records."""
        snapshot = self._snapshot(state)
        if snapshot is None:
            return trainer_schedule(state, self.scheduler)
        recorded = trainer_schedule(state, snapshot.scheduler)
        if self.scheduler is None:
            return recorded
        schedule = trainer_schedule(state, self.scheduler)
        if not schedule.same_troughs(recorded, state):
            raise ValueError(
                f'{type(self).__name__}(scheduler=...) has other troughs than ParetoSnapshot, whose points it '
                'evaluates: pass the troughs to ParetoSnapshot alone'
            )
        return schedule

    def _undo(self, state: State) -> None:
        """Undoes what a fit that failed has left in the network and among the evaluators."""
        load_tensors(without_ddp(state.model), self._training)
        self._evaluated, self._training = None, {}
        self._remove_second(state)

    def _remove_second(self, state: State) -> None:
        for evaluator in self._second:
            state.evaluators.remove(evaluator)
            del state.eval_metrics[evaluator.label]
        self._second = []

    def _at_trough(self, state: State, event: Event) -> bool:
        # Composer asks again at the end of an epoch and of training.
        return event == Event.BATCH_END and len(self.crossed(state)) > 0

    def _evaluates(self, state: State) -> bool:
        return (state.dataloader_label or '').startswith(f'{self.prefix}/')

    @staticmethod
    def _second_of_all(state: State) -> list[Evaluator]:
        return [second for other in state.callbacks if isinstance(other, TroughWeights) for second in other._second]

    def _measure_statistics(self, state: State, model: torch.nn.Module) -> None:
        measure_statistics(state, model, self.bn_batches, self.train_data)

    @staticmethod
    def _snapshot(state: State) -> ParetoSnapshot | None:
        return next((callback for callback in state.callbacks if isinstance(callback, ParetoSnapshot)), None)


def measure_statistics(
    state: State, model: torch.nn.Module, bn_batches: int, train_data: DataSpec | None = None
) -> None:
    """Recomputes batch norm's statistics for the weights that a network holds; it disturbs the random state.

    Args:
        state (State): The trainer's state.
        model (Module): The network; one without such statistics is left as it is.
        bn_batches (int): Number of training batches; 0 leaves the statistics as they are.
        train_data (DataSpec | None): As for :class:`TroughWeights`. Default: ``None``.
    """
    if not (bn_batches and has_running_statistics(model)):
        return
    reproducibility.seed_all(state.rank_zero_seed)  # the same augmentations at every trough and on every rank

    def forward(batch: object) -> None:
        with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
            model(batch)

    recompute_statistics(model, train_batches(state, state.rank_zero_seed, bn_batches, train_data), forward)


def tensors_by_name(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns every parameter and buffer by name, also buffers that are not in checkpoints."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@torch.no_grad()
def load_tensors(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Sets parameters and buffers by name, in place; those not named keep their values."""
    tensors = tensors_by_name(model)
    for name, tensor in weights.items():
        tensors[name].copy_(tensor)
