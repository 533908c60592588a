"""What a checkpoint keeps of a run's curve, and the three ways in which a run starts."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run, TradeoffPoint
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
        run (Run | None): The run as it was when training last started; ``None`` in older checkpoints.
        ends (list[int]): Its start of cycle 0 and the ends of its cycles, in its schedule's unit.
        offset (int): Added to a cycle's number in the schedule for its number in the curve; 0 unless the schedule was
            changed under way.
        changes (list[dict[str, Any]]): Settings that changed under way: the ``batch``, and by key the values before
            and after it.
        fast_forward_s (float | None): Where training time so far is Composer's, since the run was recorded by an older
            version or not at all: what to subtract.
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
    fast_forward_s: float | None = 0.0

    def as_plain(self) -> dict[str, Any]:
        """Returns the state as plain values, so that a checkpoint loads with ``weights_only=True``."""
        return {
            'points': [asdict(point) for point in self.points],
            'started_at': self.started_at,
            'run_name': self.run_name,
            'parent': self.parent,
            'train_s': self.clock.train_s,
            'paused_s': self.clock.paused_s,
            'seen': [[t, dict(metrics)] for t, metrics in self.seen],
            'run': None if self.run is None else asdict(self.run),
            'ends': list(self.ends),
            'offset': self.offset,
            'changes': copy.deepcopy(self.changes),
        }

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> RunState:
        """Reads what :meth:`as_plain` returned, in this version or an earlier one."""
        run = state.get('run')
        return cls(
            points=[TradeoffPoint(**point) for point in state['points']],
            started_at=state['started_at'],
            run_name=state.get('run_name'),
            parent=state.get('parent'),
            clock=TrainingClock(state.get('train_s', 0.0), state['paused_s']),
            seen=[(t, dict(metrics)) for t, metrics in state['seen']],
            run=None if run is None else Run(**run),
            ends=list(state.get('ends', ())),
            offset=state.get('offset', 0),
            changes=copy.deepcopy(state.get('changes', [])),
            fast_forward_s=None if 'train_s' in state else state.get('spinning_s', 0.0),
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
        if self.fast_forward_s is not None:
            total_s = state.timestamp.total_wct.total_seconds()
            self.clock = TrainingClock(total_s - self.fast_forward_s, self.clock.paused_s)
            self.fast_forward_s = None
        start = Start.RESUMED
        if state.timestamp.batch.value == 0:
            start = Start.ANEW
            self._begin(TrainingClock(), None)
        elif self.run_name not in (None, state.run_name):
            start = Start.BRANCHED
            batch, train_s = state.timestamp.batch.value, self.clock.train_s
            self._begin(self.clock, {'run_name': self.run_name, 'batch': batch, 'wall_clock_train_s': train_s})
        self.run_name = state.run_name
        self.started_at = self.started_at or datetime.now(timezone.utc).isoformat(timespec='seconds')
        return start

    def _begin(self, clock: TrainingClock, parent: dict[str, Any] | None) -> None:
        self.points, self.seen, self.changes, self.offset = [], [], [], 0
        self.started_at, self.run, self.clock, self.parent = None, None, clock, parent
