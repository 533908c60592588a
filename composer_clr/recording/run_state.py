"""What a checkpoint keeps of a run's curve, its training time among it."""

from __future__ import annotations

import math
import time
from dataclasses import field, replace
from typing import Annotated, Any

from composer.core import Event
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import MARKED, has_cycles

__all__ = ['RateWatch', 'RunState', 'TrainingClock']

_RECORD = ConfigDict(ser_json_inf_nan='strings', arbitrary_types_allowed=True)
# After a resume within an epoch the loader fast-forwards until one of these.
_BATCH_OR_EPOCH_END = {Event.AFTER_DATALOADER, Event.EPOCH_END}
_IN_TRAINING = {
    *_BATCH_OR_EPOCH_END,
    *(Event.EPOCH_START, Event.BEFORE_DATALOADER, Event.BATCH_CHECKPOINT, Event.EPOCH_CHECKPOINT),
}


class TrainingClock:
    """Counts seconds of training, as Composer's ``total_wct`` does, and of evaluation and snapshots, monotonically."""

    def __init__(self, train_s: float = 0.0, paused_s: float = 0.0):
        self._counted_s = {'training': train_s, 'pause': paused_s}
        self._phase: str | None = None
        self._since_s = 0.0
        self.batch_s = train_s  # up to the end of the last batch
        self.goes_on = False  # whether training does after the evaluation under way; the end of `fit` may ask for one
        self._fast_forwards = False

    @property
    def train_s(self) -> float:
        """Seconds of training up to now."""
        return self._seconds('training')

    @property
    def paused_s(self) -> float:
        """Seconds of evaluation and snapshots up to now."""
        return self._seconds('pause')

    def start(self, *, mid_epoch: bool) -> None:
        """Prepares for a call of ``fit``; one before that ended with an error counts up to its last whole batch."""
        self._phase = None
        self._counted_s['training'] = max(self.train_s, self.batch_s)
        self._fast_forwards, self.goes_on = mid_epoch, False

    def on(self, event: Event) -> None:
        """Follows the Trainer's events, each before its callbacks; :meth:`stop` ends an evaluation."""
        # Composer compares events with `==` slowly, and a batch has a dozen of them.
        if event in _IN_TRAINING:
            self._fast_forwards = self._fast_forwards and event not in _BATCH_OR_EPOCH_END
            if not self._fast_forwards:
                self._enter('training')
        elif event is Event.BATCH_END:
            self.batch_s = self.train_s
        elif event is Event.EVAL_BEFORE_ALL:
            self.goes_on = self._phase == 'training'
            self._enter('pause')
        elif event is Event.FIT_END:
            self.stop()

    def stop(self) -> None:
        """Counts neither, until the next event."""
        self._enter(None)

    def _seconds(self, phase: str) -> float:
        return self._counted_s[phase] + (time.monotonic() - self._since_s if phase == self._phase else 0.0)

    def _enter(self, phase: str | None) -> None:
        if phase != self._phase:
            if self._phase is not None:
                self._counted_s[self._phase] = self._seconds(self._phase)
            self._phase, self._since_s = phase, time.monotonic()


@dataclass(config=_RECORD)
class RateWatch:
    """Follows the rate of a scheduler of torch's or of the user's own through a cycle, as only training shows it.

    At a trough the rate is the lowest since the cycle's peak, and below it. From the trough before it has risen, first
    of all: Composer's schedulers lag by a batch, so that the first rate after a trough may still be below it.
    """

    peak: float = -math.inf  # the highest rate since the last trough
    low: float = math.inf  # the lowest since that peak
    dip: float = math.inf  # the lowest before that peak
    last: float | None = None  # at the last trough
    lags: bool = False  # whether the next rate is the first after a trough
    comes_down: bool = True  # at every trough so far

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
        """Returns the run, of kind ``marked`` if the rate did not come down at every trough."""
        return run if self.comes_down or not has_cycles(run.kind) else replace(run, kind=MARKED)


@dataclass(config=_RECORD)
class RunState:
    """The part of a curve that travels in a checkpoint."""

    run: Run | None = None  # as it was when training last started
    points: list[TradeoffPoint] = field(default_factory=list)
    # The evaluations that the next trough's peak may look at.
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    # The start of cycle 0 and the ends of the cycles, in the schedule's unit.
    ends: list[int] = field(default_factory=list)
    # From a cycle's number in the schedule to that in the curve, where the schedule was changed under way.
    offset: int = 0
    rate: RateWatch = field(default_factory=RateWatch)
    clock: Annotated[TrainingClock, Field(exclude=True)] = field(default_factory=TrainingClock)

    def as_plain(self) -> dict[str, Any]:
        """Returns plain values, which a checkpoint loads with ``weights_only=True``, and no name with a slash."""
        return {
            'curve': None if self.run is None else self.curve.to_json(),
            'record': _STATE.dump_json(self, exclude={'run', 'points'}).decode(),
            'train_s': self.clock.train_s,
            'paused_s': self.clock.paused_s,
        }

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> RunState:
        """Reads what :meth:`as_plain` returned."""
        kept = replace(_STATE.validate_json(state['record']), clock=TrainingClock(state['train_s'], state['paused_s']))
        if state['curve'] is not None:
            curve = TradeoffCurve.from_json(state['curve'], 'the checkpoint')
            kept.run, kept.points = curve.run, curve.points
        return kept

    @property
    def curve(self) -> TradeoffCurve:
        """The curve so far; a ``RuntimeError`` before training has started."""
        if self.run is None:
            raise RuntimeError('ParetoSnapshot has no curve before training has started')
        return TradeoffCurve(self.run, list(self.points))

    @property
    def last_cycle(self) -> int:
        """The cycle of the last point; -1 before the first."""
        return self.points[-1].cycle if self.points else -1


_STATE = TypeAdapter(RunState)
