"""Shows the next trough, and the time to it, during a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from composer.core import Callback, State, Time
from composer.loggers import Logger, ProgressBarLogger

from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import CyclicCosineScheduler

__all__ = ['TroughProgress']


class TroughProgress(Callback):
    """Shows the next trough, and the time to it, on Composer's progress bar: ``64ep in 2:10:05``.

    The pace is measured since the run was started or resumed, without its first batch, with evaluations and
    checkpoints. At the end of each epoch ``time/to_next_trough_s`` is logged to every logger.

    Args:
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The troughs, as for
            :class:`~composer_clr.ParetoSnapshot`. Default: ``None``, the Trainer's own scheduler.

    Raises:
        ValueError: At ``FIT_START``, if the troughs are not known.

    Example:
        >>> from composer_clr import ParetoSnapshot
        >>> callbacks = [TroughProgress(), ParetoSnapshot()]  # Trainer(callbacks=callbacks, progress_bar=True, ...)
    """

    def __init__(self, scheduler: CyclicCosineScheduler | Sequence[str | Time] | None = None):
        self.scheduler = scheduler
        self._schedule: RunSchedule | None = None
        self._bars: list[ProgressBarLogger] = []
        # The time in seconds, and the schedule's, at the first batch's end and at the last one's.
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def fit_start(self, state: State, logger: Logger) -> None:
        self._schedule = RunSchedule.of_trainer(state, self.scheduler)
        self._bars = [bar for bar in logger.destinations if isinstance(bar, ProgressBarLogger)]
        self._first = None

    def batch_end(self, state: State, logger: Logger) -> None:
        del logger
        assert self._schedule is not None
        self._last = time.monotonic(), self._schedule.now(state)
        if self._first is None:
            self._first = self._last
        elif self._bars:
            coming = self._next()
            shown = 'none left' if coming is None else f'{coming[0]} in {timedelta(seconds=round(coming[1]))}'
            for bar in self._bars:
                if bar.train_pbar is not None:
                    # First in line, since a narrow bar cuts the end; drawn with the bar's next update.
                    bar.train_pbar.metrics = {'trough': shown} | bar.train_pbar.metrics | {'trough': shown}

    def epoch_end(self, state: State, logger: Logger) -> None:
        del state
        coming = self._next()
        if coming is not None:
            logger.log_metrics({'time/to_next_trough_s': coming[1]})

    def _next(self) -> tuple[str, float] | None:
        """Returns the next trough and the seconds to it; ``None`` after the last, and before a pace is known."""
        if self._schedule is None or self._first is None or self._last == self._first:
            return None
        (first_s, first_t), (last_s, last_t) = self._first, self._last
        trough, until = self._schedule.cycles.next_trough(last_t), self._schedule.until
        if trough is None or (until is not None and trough > until):
            return None
        return self._schedule.spell(trough), (last_s - first_s) / (last_t - first_t) * (trough - last_t)
