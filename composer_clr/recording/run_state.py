"""What a checkpoint keeps of a run's curve, and the three ways in which a run starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.recording.rates import RateWatch
from composer_clr.recording.training_clock import TrainingClock

__all__ = ['RunState', 'Start']


class Start(Enum):
    """How a run starts: from its beginning, from a checkpoint of its own, or from one of another run."""

    ANEW = 'anew'
    RESUMED = 'resumed'
    BRANCHED = 'branched'


@dataclass
class RunState:
    """The part of a curve that travels in a checkpoint.

    Attributes:
        points (list[TradeoffPoint]): The points recorded so far.
        started_at (str | None): When the run first started, UTC, ISO 8601.
        run_name (str | None): The run that the state belongs to.
        parent (dict[str, Any] | None): The run that it was branched off, and where.
        clock (TrainingClock): Training time so far.
        seen (list[tuple[int, dict[str, float]]]): The evaluations that the next trough's peak may look at.
        run (Run | None): The run as it was when training last started; ``None`` before that.
        ends (list[int]): Its start of cycle 0 and the ends of its cycles, in its schedule's unit.
        offset (int): Added to a cycle's number in the schedule for its number in the curve; 0 unless the schedule was
            changed under way.
        changes (list[dict[str, Any]]): Settings that changed under way: the ``batch``, and by key the values before
            and after it.
        rate (RateWatch): How the rate has gone, where only training shows whether it comes down at troughs.
        recorded (bool): Whether training so far was timed here; Composer's clock is all there is of it otherwise.
    """

    points: list[TradeoffPoint] = field(default_factory=list)
    started_at: str | None = None
    run_name: str | None = None
    parent: dict[str, Any] | None = None
    clock: TrainingClock = field(default_factory=TrainingClock)
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    run: Run | None = None
    ends: list[int] = field(default_factory=list)
    offset: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    rate: RateWatch = field(default_factory=RateWatch)
    recorded: bool = False

    def as_plain(self) -> dict[str, Any]:
        """Returns the state as plain values under plain names, so that a checkpoint loads with ``weights_only=True``.

        Composer takes a slash, as in a metric's name, for a level of names when it leaves out parts of a checkpoint.
        """
        return {
            'curve': None if self.run is None else TradeoffCurve(self.run, self.points).to_json(),
            'started_at': self.started_at,
            'run_name': self.run_name,
            'parent': self.parent,
            'train_s': self.clock.train_s,
            'paused_s': self.clock.paused_s,
            'seen': json.dumps(self.seen),
            'ends': list(self.ends),
            'offset': self.offset,
            'changes': json.dumps(self.changes),
            'rate': asdict(self.rate),
        }

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> RunState:
        """Reads what :meth:`as_plain` returned."""
        curve = None if state['curve'] is None else TradeoffCurve.from_json(state['curve'], 'the checkpoint')
        return cls(
            points=[] if curve is None else curve.points,
            started_at=state['started_at'],
            run_name=state['run_name'],
            parent=state['parent'],
            clock=TrainingClock(state['train_s'], state['paused_s']),
            seen=[(t, metrics) for t, metrics in json.loads(state['seen'])],
            run=None if curve is None else curve.run,
            ends=list(state['ends']),
            offset=state['offset'],
            changes=json.loads(state['changes']),
            rate=RateWatch(**state['rate']),
            recorded=True,
        )

    @property
    def last_cycle(self) -> int:
        """The cycle of the last point; -1 before the first."""
        return self.points[-1].cycle if self.points else -1

    def start(self, state: State) -> Start:
        """Makes the state that of the run that starts now.

        A run from another run's checkpoint has none of that run's points, and names it as its parent.

        Args:
            state (State): The trainer's state at ``FIT_START``.
        """
        if not self.recorded:
            self.clock = TrainingClock(state.timestamp.total_wct.total_seconds())
            self.recorded = True
        start = Start.RESUMED
        if state.timestamp.batch.value == 0:
            start = Start.ANEW
            self._begin(TrainingClock(), None)
        elif self.run_name not in (None, state.run_name):
            start = Start.BRANCHED
            batch, train_s = state.timestamp.batch.value, self.clock.train_s
            self._begin(self.clock, {'run_name': self.run_name, 'batch': batch, 'wall_clock_train_s': train_s})
        self.points = [point for point in self.points if not point.stopped]  # training goes on, towards the trough
        self.run_name = state.run_name
        self.started_at = self.started_at or datetime.now(timezone.utc).isoformat(timespec='seconds')
        return start

    def _begin(self, clock: TrainingClock, parent: dict[str, Any] | None) -> None:
        self.points, self.seen, self.changes, self.offset, self.rate = [], [], [], 0, RateWatch()
        self.started_at, self.run, self.clock, self.parent = None, None, clock, parent
