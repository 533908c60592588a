"""What of a run's wall clock is training: Composer's own count, less and plus what it does not tell apart."""

from __future__ import annotations

import time

__all__ = ['TrainingClock']


class TrainingClock:
    """Counts what Composer's ``total_wct`` leaves out, and what it should have left out.

    ``total_wct`` stands still during an evaluation and what is done at its end. It runs while, after a resume in the
    middle of an epoch, the loader spins forward to its place, which makes no progress.

    Attributes:
        paused_s (float): Seconds of evaluating at any time and of saving snapshots, over all the run's processes.
        spinning_s (float): Seconds of spinning forward, likewise.
    """

    def __init__(self, paused_s: float = 0.0, spinning_s: float = 0.0):
        self.paused_s = paused_s
        self.spinning_s = spinning_s
        self._paused_at: float | None = None
        self._will_spin = False
        self._spins_since: float | None = None

    def training_starts(self, mid_epoch: bool) -> None:
        """Training starts or goes on; ``mid_epoch`` if the loader has a place to spin to."""
        self._will_spin = mid_epoch

    def loader_asked(self) -> None:
        """The loader is asked for a batch."""
        if self._will_spin:
            self._will_spin = False
            self._spins_since = time.monotonic()

    def progress(self) -> None:
        """A batch to train on has come, or the epoch has ended: spinning is over."""
        if self._spins_since is not None:
            self.spinning_s += time.monotonic() - self._spins_since
            self._spins_since = None

    def pause(self) -> None:
        """An evaluation begins."""
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """The evaluation and what came of it are over."""
        self.paused_s = self._paused_until_now()
        self._paused_at = None

    def train_s(self, total_wct_s: float) -> float:
        """Seconds of training alone, given Composer's count."""
        return total_wct_s - self.spinning_s

    def total_s(self, total_wct_s: float) -> float:
        """The same with evaluating and saving, up to now."""
        return self.train_s(total_wct_s) + self._paused_until_now()

    def _paused_until_now(self) -> float:
        return self.paused_s + (0.0 if self._paused_at is None else time.monotonic() - self._paused_at)
