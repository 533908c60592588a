"""A schedule-free optimizer's own averaged weights, evaluated as the points of the curve."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from composer.callbacks import CheckpointSaver
from composer.core import Event, State
from composer.loggers import Logger

from composer_clr.averaging.train_batches import TrainBatches
from composer_clr.averaging.trough_weights import TroughWeights, tensors_of
from composer_clr.utils.models import is_schedule_free, without_ddp

__all__ = ['ScheduleFree']

_SAVING = (Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT, Event.ITERATION_CHECKPOINT)


class ScheduleFree(TroughWeights):
    r"""Puts a schedule-free optimizer into evaluation mode wherever its weights are evaluated or saved.

    .. math::
        y_t = (1 - \beta) z_t + \beta x_t, \qquad
        z_{t+1} = z_t - \gamma \nabla f(y_t), \qquad
        x_{t+1} = (1 - c_{t+1}) x_t + c_{t+1} z_{t+1}, \qquad c_{t+1} = \frac{\gamma_t^2}{\sum_{i \le t} \gamma_i^2}

    The network trains at :math:`y` and is evaluated at :math:`x`, the average. ``SGDScheduleFree`` and
    ``AdamWScheduleFree`` of the package ``schedulefree`` (the extra ``composer_clr[schedulefree]``) switch between the
    two by ``eval()`` and ``train()``. This callback does so around every evaluation, snapshot and checkpoint, with
    batch norm's statistics recomputed for :math:`x` at every evaluation, and leaves :math:`x` in the network after
    training. A copy of :math:`y` is restored, which ``train()`` computes with rounding errors: training goes on bit for
    bit, and so does a resumed run.

    The warmup is that of the learning rate schedule, or the optimizer's own ``warmup_steps``; a decay is not needed.

    Args:
        bn_batches (int): As for :class:`~composer_clr.TroughAverage`. Default: ``50``.

    Raises:
        ValueError: At ``FIT_START``, if the Trainer's optimizer is not schedule-free, or as for
            :class:`~composer_clr.AnytimeAverage`.

    Example:
        >>> from composer_clr import AnytimeScheduler, ParetoSnapshot, ScheduleFree
        >>> arguments = dict(  # and optimizers=schedulefree.SGDScheduleFree(model.parameters(), lr=1.0)
        ...     schedulers=AnytimeScheduler(t_0='8ep', t_mult=2, t_warmup='8ep'),
        ...     callbacks=[ScheduleFree(), ParetoSnapshot(folder='runs/{run_name}')],
        ...     max_duration='512ep',
        ... )  # Trainer(model=..., train_dataloader=..., eval_dataloader=..., **arguments)

    Source:
        Defazio et al. 2024, arXiv:2405.15682.
    """

    prefix: ClassVar[str] = 'schedule-free'
    is_point: ClassVar[bool] = True
    schedule_free: ClassVar[bool] = True  # ParetoSnapshot asks for it

    def __init__(self, *, bn_batches: int = 50):
        super().__init__(bn_batches=bn_batches)

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Loads the average before the savers, which come after this callback, save what they find."""
        super().run_event(event, state, logger)
        savers = [one for one in state.callbacks if isinstance(one, CheckpointSaver)] if event in _SAVING else []
        if not self._training and any(saver.save_interval(state, event) for saver in savers):  # type: ignore[operator]
            self._training = tensors_of(without_ddp(state.model))
            self.make_weights(state)

    def init(self, state: State, logger: Logger) -> None:
        super().init(state, logger)
        self._loaded: dict[str, torch.Tensor] = {}
        self._finished = False  # between fits the network holds the average

    def state_dict(self) -> dict[str, Any]:
        """Returns the weights in training, where a checkpoint holds others in their place."""
        return {'training': dict(self._training)} if self._training else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded, self._training = state.get('training', {}), {}

    def before_load(self, state: State, logger: Logger) -> None:
        """Puts the optimizers into training mode, for the step of length 0 by which torch creates the state to load."""
        del logger
        self._train(state)

    def fit_start(self, state: State, logger: Logger) -> None:
        super().fit_start(state, logger)
        other = next((one for one in state.optimizers if not is_schedule_free(one)), None)
        if other is not None:
            raise ValueError(
                f'ScheduleFree goes with SGDScheduleFree or AdamWScheduleFree, and not with {type(other).__name__}'
            )
        self._finished = False
        self._training, self._loaded = self._loaded, {}
        self.restore(state)
        self._train(state)

    def batch_start(self, state: State, logger: Logger) -> None:
        """Restores the weights in training after a checkpoint; there is no second set of metrics."""
        del logger
        self.restore(state)

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Starts from the weights in training: a checkpoint leaves the average, without statistics of its own."""
        super().eval_before_all(state, logger)
        if not self._finished:
            self.restore(state)

    def eval_standalone_start(self, state: State, logger: Logger) -> None:
        """Finds the training images where the Trainer evaluates a checkpoint without training."""
        super().eval_before_all(state, logger)
        reader = self._reader(state)
        if self._batches is None and state.train_dataloader is not None and reader is not None:
            self._batches = TrainBatches(state, reader)

    def eval_after_all(self, state: State, logger: Logger) -> None:
        if not self._finished:
            super().eval_after_all(state, logger)

    def fit_end(self, state: State, logger: Logger) -> None:
        """Leaves the average in the network, with batch norm's statistics for it."""
        super().fit_end(state, logger)
        self.restore(state)
        self.load(state)
        self._own, self._finished = None, True

    def make_weights(self, state: State) -> dict[str, torch.Tensor]:
        """Makes the optimizers load their average into the network."""
        for optimizer in filter(is_schedule_free, state.optimizers):
            optimizer.eval()  # type: ignore[attr-defined]
        return {}

    def load(self, state: State) -> None:
        if self._batches is None and self._reader(state) is not None:
            raise ValueError(
                "ScheduleFree recomputes batch norm's statistics over training batches, which a checkpoint does not "
                'have: give train_dataloader to the Trainer, or evaluate a snapshot of ParetoSnapshot'
            )
        super().load(state)

    def restore(self, state: State) -> None:
        if self._training:
            super().restore(state)
            for optimizer in state.optimizers:
                for group in optimizer.param_groups:
                    group['train_mode'] = True

    def _is_own(self, state: State) -> bool:
        # Every evaluation is of the average, once there is one.
        return any('z' in kept for optimizer in state.optimizers for kept in optimizer.state.values())

    def _leaves_no_trace(self, state: State) -> bool:
        return False

    @staticmethod
    def _train(state: State) -> None:
        for optimizer in filter(is_schedule_free, state.optimizers):
            optimizer.train()  # type: ignore[attr-defined]
