"""Training time by a monotonic clock: without evaluation, snapshots, and fast-forwarding after a resume."""

from __future__ import annotations

import time
from collections.abc import Callable

from composer.core import Event

__all__ = ['TrainingClock']


class TrainingClock:
    """Counts seconds of training, and separately those of evaluation and snapshots, over all processes of a run.

    It covers what Composer's ``total_wct`` covers, which is a difference of local times of day: from the first epoch's
    start, with the loader's start-up at each epoch, callbacks and the Trainer's own checkpoints, without evaluations.
    After a resume within an epoch it starts with the first batch trained on, since the loader fast-forwards to it.

    Attributes:
        batch_s (float): Seconds of training up to the end of the last batch.
        goes_on (bool): Whether training goes on after the evaluation under way; the end of ``fit`` may ask for one.
    """

    def __init__(self, train_s: float = 0.0, paused_s: float = 0.0):
        self._train_s = self.batch_s = train_s
        self._paused_s = paused_s
        self._running_since: float | None = None
        self._paused_since: float | None = None
        self._fast_forwards = self.goes_on = False

    @property
    def train_s(self) -> float:
        """Seconds of training up to now."""
        return self._train_s + _since(self._running_since)

    @property
    def paused_s(self) -> float:
        """Seconds of evaluation and snapshots up to now."""
        return self._paused_s + _since(self._paused_since)

    def start(self, *, mid_epoch: bool) -> None:
        """Prepares for a call of ``fit``; one before that ended with an error counts up to its last whole batch."""
        self._train_s = max(self._train_s, self.batch_s)
        self._running_since = self._paused_since = None
        self._fast_forwards, self.goes_on = mid_epoch, False

    def on(self, event: Event) -> None:
        """Follows the Trainer's events, each before its callbacks; :meth:`resume` ends an evaluation."""
        follow = _FOLLOW.get(event)
        if follow is not None:
            follow(self)

    def resume(self) -> None:
        """Ends the pause after an evaluation is processed; training time continues with the next event."""
        self._paused_s, self._paused_since = self.paused_s, None

    def _loads_batch(self) -> None:
        if not self._fast_forwards:
            self._run()

    def _has_loaded_batch(self) -> None:
        # A batch to train on has arrived, or the epoch has no more: fast-forwarding is over.
        self._fast_forwards = False
        self._run()

    def _ends_batch(self) -> None:
        self.batch_s = self.train_s

    def _pause(self) -> None:
        self.goes_on = self._running_since is not None
        self._stop()
        self._paused_since = time.monotonic()

    def _runs_on(self) -> None:
        if self.goes_on:
            self._run()

    def _run(self) -> None:
        if self._running_since is None:
            self._running_since = time.monotonic()

    def _stop(self) -> None:
        self._train_s, self._running_since = self.train_s, None


# A table, since Composer compares events with `==` slowly, and a batch has a dozen events.
_FOLLOW: dict[Event, Callable[[TrainingClock], None]] = {
    Event.EPOCH_START: TrainingClock._loads_batch,
    Event.BEFORE_DATALOADER: TrainingClock._loads_batch,
    Event.AFTER_DATALOADER: TrainingClock._has_loaded_batch,
    Event.EPOCH_END: TrainingClock._has_loaded_batch,
    Event.BATCH_END: TrainingClock._ends_batch,
    Event.EVAL_BEFORE_ALL: TrainingClock._pause,
    Event.BATCH_CHECKPOINT: TrainingClock._runs_on,
    Event.EPOCH_CHECKPOINT: TrainingClock._runs_on,
    Event.FIT_END: TrainingClock._stop,
}


def _since(start: float | None) -> float:
    return 0.0 if start is None else time.monotonic() - start
