"""Training time by a monotonic clock: without evaluation, snapshots, and fast-forwarding after a resume."""

from __future__ import annotations

import time

from composer.core import Event

__all__ = ['TrainingClock']


class TrainingClock:
    """Counts seconds of training, and separately those of evaluation and snapshots.

    Composer's ``total_wct`` is a difference of local times of day, which changes with every step of the machine's
    clock, such as the change to daylight saving time. This clock is monotonic. It covers what Composer's covers: from
    the first epoch's start, with the loader's start-up at each epoch, callbacks and the Trainer's own checkpoints,
    without evaluations. After a resume within an epoch it starts with the first batch that is trained on, since the
    loader fast-forwards to it.

    Args:
        train_s (float): Seconds of training so far, over all processes of the run. Default: ``0.0``.
        paused_s (float): Seconds of evaluation and snapshots, likewise. Default: ``0.0``.

    Attributes:
        batch_s (float): Seconds of training up to the end of the last batch.
    """

    def __init__(self, train_s: float = 0.0, paused_s: float = 0.0):
        self._train_s = train_s
        self._paused_s = paused_s
        self.batch_s = train_s
        self._running_since: float | None = None
        self._paused_since: float | None = None
        self._fast_forwards = self._runs_after_pause = False

    @property
    def train_s(self) -> float:
        """Seconds of training up to now."""
        return self._train_s + _since(self._running_since)

    @property
    def paused_s(self) -> float:
        """Seconds of evaluation and snapshots up to now."""
        return self._paused_s + _since(self._paused_since)

    def start(self, *, mid_epoch: bool) -> None:
        """Prepares for a call of ``fit``; ``mid_epoch`` if the loader will fast-forward to its place."""
        self._running_since = self._paused_since = None
        self._fast_forwards, self._runs_after_pause = mid_epoch, False

    def on(self, event: Event) -> None:
        """Follows the Trainer's events, each before its callbacks; :meth:`resume` ends an evaluation."""
        if event in (Event.EPOCH_START, Event.BEFORE_DATALOADER):
            if not self._fast_forwards:
                self._run()
        elif event in (Event.AFTER_DATALOADER, Event.EPOCH_END):
            # A batch to train on has arrived, or the epoch has no more: fast-forwarding is over.
            self._fast_forwards = False
            self._run()
        elif event == Event.BATCH_END:
            self.batch_s = self.train_s
        elif event == Event.EVAL_BEFORE_ALL:
            self._runs_after_pause = self._running_since is not None
            self.stop()
            self._paused_since = time.monotonic()
        elif event in (Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT) and self._runs_after_pause:
            self._run()
        elif event == Event.FIT_END:
            self.stop()

    def resume(self) -> None:
        """Ends the pause after an evaluation is processed; training time continues with the next event."""
        self._paused_s, self._paused_since = self.paused_s, None

    def stop(self) -> None:
        """Stops training time."""
        self._train_s, self._running_since = self.train_s, None

    def _run(self) -> None:
        if self._running_since is None:
            self._running_since = time.monotonic()


def _since(start: float | None) -> float:
    return 0.0 if start is None else time.monotonic() - start
