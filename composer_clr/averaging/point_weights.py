"""Evaluates other weights as the point of the curve, under the plain metric names, without disturbing training."""

from __future__ import annotations

import torch
from composer.algorithms import SWA
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import reproducibility

from composer_clr.averaging.trough_weights import TroughWeights, load_tensors, tensors_by_name
from composer_clr.recording.evaluation import share_buffers
from composer_clr.utils.models import without_ddp

__all__ = ['PointWeights']


class PointWeights(TroughWeights):
    """Base class of callbacks whose weights take the place of those in training, from the start of an evaluation.

    :class:`~composer_clr.ParetoSnapshot` saves them and records their metrics as the point. Batch norm's statistics are
    recomputed for them. Afterwards weights and buffers are, bit for bit, what they were.

    A subclass says at which evaluations, in :meth:`replaces`, and which weights, in :meth:`make_weights`.
    """

    def replaces(self, state: State) -> bool:
        """Returns whether the evaluation that starts is of these weights."""
        raise NotImplementedError

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        others = [type(other).__name__ for other in state.callbacks if isinstance(other, TroughWeights)]
        if len(others) > 1:
            raise ValueError(f'{" and ".join(others)} evaluate weights of their own at the same time: give one of them')
        if any(isinstance(algorithm, SWA) for algorithm in state.algorithms):
            raise ValueError(f'{others[0]} and SWA both average the weights of the run: leave one of them out')

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Loads the weights before a snapshot that comes first in the list of callbacks saves what it finds."""
        del logger
        if self.replaces(state) and not self._comes_first(state):
            self.load(state)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Loads the weights, in the time that the snapshot takes for evaluation, which has begun by now."""
        del logger
        if not self._training and self.replaces(state):
            self.load(state)

    def eval_end(self, state: State, logger: Logger) -> None:
        """Leaves the weights to the next evaluator."""

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Restores the weights in training."""
        del logger
        self.restore(state)

    def load(self, state: State) -> None:
        """Keeps the tensors in training, and loads the weights with batch norm's statistics for them."""
        # As ParetoSnapshot does: what is kept is what every rank trains on with.
        share_buffers(state.model)
        model = without_ddp(state.model)
        random_state = reproducibility.get_rng_state()
        self.keep(model)
        load_tensors(model, self.make_weights(state))
        self._measure_statistics(state, model)
        reproducibility.load_rng_state(random_state)

    def keep(self, model: torch.nn.Module) -> None:
        """Copies the tensors in training."""
        self._training = {name: tensor.detach().clone() for name, tensor in tensors_by_name(model).items()}

    def restore(self, state: State) -> None:
        """Restores the tensors in training, if they have been replaced."""
        load_tensors(without_ddp(state.model), self._training)
        self._training = {}

    def _comes_first(self, state: State) -> bool:
        """Whether the snapshot asks for the weights after this callback has had its turn."""
        callbacks: list[Callback] = list(state.callbacks)
        snapshot = self._snapshot(state)
        return snapshot is None or callbacks.index(self) < callbacks.index(snapshot)
