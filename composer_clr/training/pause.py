"""Ends training at a trough, as if it had been killed there: the same command goes on from that checkpoint."""

from __future__ import annotations

from composer import Trainer
from composer.callbacks import CheckpointSaver
from composer.core import Callback, State
from composer.loggers import Logger

from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import ScheduleTime

__all__ = ['PauseAt', 'Paused']


class Paused(Exception):
    """Raised out of ``fit`` when the run has the point of the trough, and a checkpoint of that batch."""


class PauseAt(Callback):
    """Raises :class:`Paused` at a trough, after its point; the run's own ``max_duration`` is left as it is.

    So whatever follows the length of the run, such as an algorithm given in ``dur``, is that of the undisturbed run.
    """

    def __init__(self, trainer: Trainer, until: ScheduleTime):
        self._trainer, self._until = trainer, until
        self._schedule: RunSchedule | None = None
        self._trough = 0

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuses a time at which the run has no trough; pauses at once if it has passed."""
        self._schedule = schedule = RunSchedule.of_trainer(state)
        self._trough = round(schedule.count('--until', self._until))
        if self._trough not in schedule.troughs:
            troughs = ', '.join(map(schedule.spell, schedule.troughs))
            raise ValueError(f'--until {self._until}: is no {schedule.cycles.end_name} of the run: choose of {troughs}')
        if schedule.now(state) >= self._trough:
            raise Paused

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        # At the end of an epoch its checkpoint comes later, and restores more than one within the epoch.
        if state.dataloader_len is None or state.timestamp.batch_in_epoch < state.dataloader_len:
            self._pause_at_trough(state)

    def epoch_checkpoint(self, state: State, logger: Logger) -> None:
        self._pause_at_trough(state)

    def _pause_at_trough(self, state: State) -> None:
        assert self._schedule is not None
        if self._schedule.now(state) >= self._trough:
            saver = next(one for one in state.callbacks if isinstance(one, CheckpointSaver))
            if saver.last_checkpoint_batch != state.timestamp.batch:
                self._trainer.save_checkpoint_to_save_folder()
            raise Paused
