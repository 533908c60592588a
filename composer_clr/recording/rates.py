"""The learning rate that the optimizer has, against that of the schedule, or watched where that is not known."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

from composer.core import State, Time

from composer_clr.curves.curve import Run
from composer_clr.curves.names import MARKED, has_cycles
from composer_clr.schedule.run_schedule import RunSchedule

__all__ = ['RateCheck', 'RateWatch']


@dataclass
class RateWatch:
    """Follows the rate of a schedule that only training shows, one of torch's or of the user's own, through a cycle.

    At a trough the rate is the lowest since the cycle's peak, and below it. From the trough before it has risen, first
    of all: Composer's schedulers lag by a batch, so that the first rate after a trough may still be below it.

    Attributes:
        peak (float): The highest rate since the last trough.
        low (float): The lowest since that peak.
        dip (float): The lowest before that peak.
        last (float | None): The rate at the last trough.
        lags (bool): Whether the next rate is the first after a trough.
        comes_down (bool): Whether it has come down at every trough so far.

    Example:
        >>> watch = RateWatch()
        >>> for rate in (0.5, 1.0, 0.6, 0.2):
        ...     watch.see(rate)
        >>> watch.reach_trough(0.2), watch.comes_down
        (None, True)
        >>> for rate in (0.1, 0.5, 1.0):
        ...     watch.see(rate)
        >>> watch.reach_trough(1.0), watch.comes_down
        (None, False)
    """

    peak: float = -math.inf
    low: float = math.inf
    dip: float = math.inf
    last: float | None = None
    lags: bool = False
    comes_down: bool = True

    def see(self, rate: float) -> None:
        """Follows the rate by one batch."""
        if self.lags:
            self.lags = False
        elif rate > self.peak:
            self.dip = min(self.dip, self.low)
            self.peak = self.low = rate
        elif rate < self.low:
            self.low = rate

    def reach_trough(self, rate: float) -> None:
        """Judges the cycle that ends, and starts the next one."""
        falls = rate < self.peak and rate <= self.low
        has_risen = self.last is None or (self.last < self.peak and self.last <= self.dip)
        self.comes_down = self.comes_down and falls and has_risen
        self.peak, self.low, self.dip, self.last, self.lags = -math.inf, math.inf, math.inf, rate, True

    def judged(self, run: Run) -> Run:
        """Returns a run whose cycles are marks where the rate has not come down."""
        return run if self.comes_down or not has_cycles(run.kind) else replace(run, kind=MARKED)


class RateCheck:
    """Compares the optimizer's rates with the schedule's at each trough; a difference is a warning, once.

    Args:
        schedule (RunSchedule): The schedule.
        watch (RateWatch): Follows the rate where the schedule does not know whether it comes down at troughs.
        max_duration (Time | None): How long the run is to be as training starts.
    """

    def __init__(self, schedule: RunSchedule, watch: RateWatch, max_duration: Time | None):
        self._schedule, self._watch, self._max_duration = schedule, watch, str(max_duration)
        self._set: list[float] | None = None
        self._driven: tuple[list[float], list[float]] | None = None
        self._warned = False

    def batch_trained(self, state: State) -> None:
        """Notices rates that something else than the scheduler has set for this batch."""
        rates = _rates(state)
        self._driven = None if self._set is None or self._set == rates else (rates, self._set)

    def scheduler_stepped(self, state: State) -> None:
        """Follows the rates that the scheduler has set for the next batch."""
        self._set = _rates(state)
        if self._schedule.comes_down is None:
            self._watch.see(self._set[0])

    def at_trough(self, state: State) -> tuple[float, float | None]:
        """Returns the rate of the first parameter group, and the scheduled one where that of any group is another."""
        rates, asked = self._driven or (_rates(state), self._asked(state))
        if self._schedule.comes_down is None:
            self._watch.reach_trough(rates[0])
        if asked is None or all(map(_alike, rates, asked)):
            return rates[0], None
        if not self._warned:
            self._warned = True
            warnings.warn(
                f'the learning rate at batch {state.timestamp.batch.value} is {rates[0]:.6g}, and the schedule asks '
                f'for {asked[0]:.6g}: something else drives it, or step_schedulers_every_batch=False steps the '
                'scheduler once per epoch; the points keep both, lr and scheduled_lr',
                UserWarning,
                stacklevel=2,
            )
        return rates[0], asked[0]

    def _asked(self, state: State) -> list[float] | None:
        # What stops training shortens max_duration, and with it a schedule in 'dur'.
        multiplier = self._schedule.last_multiplier(state) if str(state.max_duration) == self._max_duration else None
        if multiplier is None:
            return None
        return [float(group.get('initial_lr', group['lr'])) * multiplier for group in _groups(state)]


def _groups(state: State) -> list[dict]:
    return [group for optimizer in state.optimizers for group in optimizer.param_groups]


def _rates(state: State) -> list[float]:
    return [float(group['lr']) for group in _groups(state)]


def _alike(rate: float, asked: float) -> bool:
    return math.isclose(rate, asked, rel_tol=1e-6, abs_tol=1e-12)
