"""Saves checkpoints by the clock, but only at ends of epochs, from which a resumed run is exact."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from composer.core import Event, State
from composer.utils import dist

__all__ = ['EpochEndsAfter', 'save_interval']

_SECONDS = re.compile(r'(\d+)s')


def save_interval(interval: str) -> str | Callable[[State, Event], bool]:
    """Returns ``Trainer``'s ``save_interval`` for a recipe's ``checkpoint.interval``.

    Example:
        >>> save_interval('1ep'), save_interval('60s').seconds
        ('1ep', 60)
    """
    match = _SECONDS.fullmatch(interval)
    return EpochEndsAfter(int(match[1])) if match else interval


class EpochEndsAfter:
    """Saves at the first end of an epoch at least ``seconds`` after the last save, and at the end of training.

    Composer's own ``60s`` saves in the middle of an epoch, from which it does not restore all random numbers.

    Args:
        seconds (int): Shortest time between two checkpoints.

    Example:
        >>> interval = EpochEndsAfter(60)  # Trainer(save_interval=interval, ...)
    """

    def __init__(self, seconds: int):
        self.seconds = seconds
        self._last_s = time.monotonic()
        self._decided: tuple[int, bool] = (-1, False)

    def __call__(self, state: State, event: Event) -> bool:
        if event != Event.EPOCH_CHECKPOINT:
            return False
        # EMA asks again about the same batch.
        batch = state.timestamp.batch.value
        if self._decided[0] != batch:
            elapsed = state.get_elapsed_duration()
            due = time.monotonic() - self._last_s >= self.seconds or (elapsed is not None and elapsed >= 1)
            # The clocks of the ranks differ, but all ranks must save together.
            decision = [due]
            dist.broadcast_object_list(decision)
            self._decided = batch, decision[0]
            if decision[0]:
                self._last_s = time.monotonic()
        return self._decided[1]
