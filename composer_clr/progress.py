"""The next trough and the time to it, while a run is under way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from composer.core import Callback, State, Time
from composer.loggers import Logger, ProgressBarLogger

from composer_clr.scheduler import CyclicCosineScheduler
from composer_clr.times import horizon, now, spell
from composer_clr.trainer_schedule import TrainerSchedule, trainer_schedule

__all__ = ['TroughProgress']


class TroughProgress(Callback):
    """Shows the next trough, and how long it takes to get there, on Composer's progress bar: ``64ep in 2:10:05``.

    The pace is that of the run since it was started or resumed, its first batch left out, evaluations and checkpoints
    included. At the end of each epoch ``time/to_next_trough_s`` goes to every logger.

    Args:
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): What tells the troughs, as
            :class:`~composer_clr.ParetoSnapshot` has it. Default: ``None``, the Trainer's own scheduler.

    Raises:
        ValueError: At ``FIT_START``, if the troughs are not known.

    Example:
        >>> from composer_clr import ParetoSnapshot
        >>> callbacks = [TroughProgress(), ParetoSnapshot()]  # Trainer(callbacks=callbacks, progress_bar=True, ...)
    """

    def __init__(self, scheduler: CyclicCosineScheduler | Sequence[str | Time] | None = None):
        self.scheduler = scheduler
        self._schedule: TrainerSchedule | None = None
        self._until: int | None = None
        self._first: tuple[float, int] | None = None
        self._seconds_left: float | None = None

    def fit_start(self, state: State, logger: Logger) -> None:
        del logger
        self._schedule = trainer_schedule(state, self.scheduler)
        self._until = horizon(state, self._schedule.unit)
        self._first = self._seconds_left = None

    def batch_end(self, state: State, logger: Logger) -> None:
        assert self._schedule is not None
        t, clock_s = now(state, self._schedule.unit), time.monotonic()
        trough = self._schedule.cycles.next_trough(t)
        if self._first is None:
            self._first = clock_s, t
        since_s, since_t = clock_s - self._first[0], t - self._first[1]
        if trough is None or (self._until is not None and trough > self._until):
            self._seconds_left, shown = None, 'no more'
        elif not since_t:
            return
        else:
            self._seconds_left = since_s / since_t * (trough - t)
            shown = (
                f'{spell(Time(trough, self._schedule.unit), state)} in {timedelta(seconds=round(self._seconds_left))}'
            )
        for destination in logger.destinations:
            if isinstance(destination, ProgressBarLogger) and destination.train_pbar is not None:
                # First in line, since a narrow bar cuts the end; drawn when the bar is next told the loss.
                others = {k: v for k, v in destination.train_pbar.metrics.items() if k != 'trough'}
                destination.train_pbar.metrics = {'trough': shown, **others}

    def epoch_end(self, state: State, logger: Logger) -> None:
        del state
        if self._seconds_left is not None:
            logger.log_metrics({'time/to_next_trough_s': self._seconds_left})
