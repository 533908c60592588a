"""Evaluation, at each trough, of other weights than those in training, which training never notices."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from composer.algorithms import EMA
from composer.core import Callback, DataSpec, Evaluator, Event, State, get_precision_context
from composer.loggers import Logger
from composer.utils import reproducibility

from composer_clr.averaging.batch_norm import has_running_statistics, recompute_statistics
from composer_clr.averaging.train_batches import check_readable, own_batches
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.schedule.trainer_schedule import TrainerSchedule, trainer_schedule
from composer_clr.utils.models import without_ddp

__all__ = ['OtherWeights', 'held', 'put']


class OtherWeights(Callback):
    """What callbacks share that evaluate weights of their own making at each trough.

    Every evaluator gets a second one beside it, of the same data and metrics, whose label has ``{prefix}/`` before it.
    The Trainer runs it at each trough, after the plain ones; from the start to the end of it the network holds the
    other weights, with batch norm's statistics measured for them, and then, bit for bit, all that it held before:
    weights, buffers and random state. What the Trainer measures goes into the loggers, and with
    :class:`~composer_clr.ParetoSnapshot` into the same point of the curve, as ``{prefix}/{label}/{metric}``.

    A subclass says which weights, in :meth:`make_weights`.

    Args:
        bn_batches (int): How many training batches batch norm's statistics are measured on; 0 leaves those of
            training.
        train_data (DataSpec | None): What the Trainer was given to train on, for its transforms. Default: ``None``,
            training images go through the transforms of the first evaluator.
        save_weights (bool): Whether to save these weights too, beside the snapshot of the trough.
        scheduler (CyclicCosineScheduler | Sequence | None): What tells the troughs, as for ``ParetoSnapshot``.
    """

    prefix: ClassVar[str]

    def __init__(self, *, bn_batches: int, train_data: DataSpec | None, save_weights: bool, scheduler):
        if isinstance(bn_batches, bool) or not isinstance(bn_batches, int) or bn_batches < 0:
            raise ValueError(f'{bn_batches=}: give a whole number of batches; 0 leaves the statistics of training')
        self.bn_batches = bn_batches
        self.train_data = train_data
        self.save_weights = save_weights
        self.scheduler = scheduler
        self._schedule: TrainerSchedule | None = None
        self._second: list[Evaluator] = []
        # At a trough: what is evaluated, by name, made once for all evaluators, and what the network held before.
        self._made: dict[str, torch.Tensor] | None = None
        self._before: dict[str, torch.Tensor] = {}
        self._random_state: list | None = None

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """The weights to evaluate, by the parameter's name; those left out stay as they are.

        Called in evaluation mode without gradients. What it does to the network and to the random state is undone
        after the evaluation.
        """
        raise NotImplementedError

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuse what cannot work, before the first batch."""
        del logger
        name = type(self).__name__
        if any(type(other) is type(self) and other is not self for other in state.callbacks):
            raise ValueError(f'the Trainer has several {name} callbacks, whose metrics would share a name: give it one')
        if state.fsdp_enabled:
            raise ValueError(
                f'{name} needs whole weights on each rank, which FSDP does not keep: leave one of them out'
            )
        # By the cycles an algorithm is wrapped: InCycles(EMA()).
        if any(isinstance(getattr(algorithm, 'algorithm', algorithm), EMA) for algorithm in state.algorithms):
            raise ValueError(f'{name} and EMA both put other weights into the evaluation: leave one of them out')
        if not state.evaluators:
            raise ValueError(f'{name} has nothing to evaluate: give eval_dataloader to the Trainer')
        if self.bn_batches and has_running_statistics(state.model):
            check_readable(state, f'{name}(bn_batches={self.bn_batches})')
        if self.save_weights and self._snapshot(state) is None:
            raise ValueError(f'{name}(save_weights=True) saves into the folder of ParetoSnapshot: give the Trainer one')
        self._schedule = trainer_schedule(state, self.scheduler)

    def batch_start(self, state: State, logger: Logger) -> None:
        """Set a second evaluator beside each, on the first batch.

        At the start of training the Trainer asks the loader of each evaluator for a batch, which draws random numbers;
        and a run resumed within an epoch does not start one.
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
        """Take the second evaluators away: they are of no use after training."""
        del logger
        for evaluator in self._second:
            state.evaluators.remove(evaluator)
            del state.eval_metrics[evaluator.label]
        self._second = []

    def eval_start(self, state: State, logger: Logger) -> None:
        """Put the other weights into the network."""
        del logger
        if not self._evaluates(state):
            return
        model = without_ddp(state.model)
        self._random_state = reproducibility.get_rng_state()
        self._before = {name: tensor.clone() for name, tensor in held(model).items()}
        if self._made is None:
            put(model, self.make_weights(state))
            self._measure_statistics(state, model)
            self._made = {name: tensor.clone() for name, tensor in held(model).items()}
            snapshot = self._snapshot(state)
            if self.save_weights and snapshot is not None:
                snapshot.save_beside(state, self.prefix)
        else:
            put(model, self._made)

    def eval_end(self, state: State, logger: Logger) -> None:
        """Put back what training goes on with."""
        del logger
        if not self._evaluates(state):
            return
        assert self._random_state is not None
        put(without_ddp(state.model), self._before)
        reproducibility.load_rng_state(self._random_state)
        self._before, self._random_state = {}, None

    def eval_after_all(self, state: State, logger: Logger) -> None:
        del state, logger
        self._made = None

    def crossed(self, state: State) -> range:
        """The cycles that the last batch completed."""
        return self._schedule.crossed(state) if self._schedule is not None else range(0)

    def _at_trough(self, state: State, event: Event) -> bool:
        # A batch's end may be an epoch's and training's too, where Composer asks again.
        return event == Event.BATCH_END and len(self.crossed(state)) > 0

    def _evaluates(self, state: State) -> bool:
        return (state.dataloader_label or '').startswith(f'{self.prefix}/')

    @staticmethod
    def _second_of_all(state: State) -> list[Evaluator]:
        return [second for other in state.callbacks if isinstance(other, OtherWeights) for second in other._second]

    def _measure_statistics(self, state: State, model: torch.nn.Module) -> None:
        if not (self.bn_batches and has_running_statistics(model)):
            return
        reproducibility.seed_all(state.rank_zero_seed)  # augmentations are drawn alike at every trough and every rank

        def forward(batch: object) -> None:
            with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
                model(batch)

        batches = own_batches(state, state.rank_zero_seed, self.bn_batches, self.train_data)
        recompute_statistics(model, batches, forward)

    @staticmethod
    def _snapshot(state: State) -> ParetoSnapshot | None:
        return next((callback for callback in state.callbacks if isinstance(callback, ParetoSnapshot)), None)


def held(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by name, also buffers that no checkpoint keeps."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@torch.no_grad()
def put(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Set parameters and buffers by name, in place; those not named stay as they are."""
    there = held(model)
    for name, tensor in weights.items():
        there[name].copy_(tensor)
