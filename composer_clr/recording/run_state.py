"""What a checkpoint keeps of a run's curve, and the three ways in which a run starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from composer.core import State

from composer_clr.curves.curve import TradeoffPoint
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
        clock (TrainingClock): What separates training time from Composer's clock.
        seen (list[tuple[int, dict[str, float]]]): The evaluations that the next trough's peak may look at.
    """

    points: list[TradeoffPoint] = field(default_factory=list)
    started_at: str | None = None
    run_name: str | None = None
    parent: dict[str, Any] | None = None
    clock: TrainingClock = field(default_factory=TrainingClock)
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def as_plain(self) -> dict[str, Any]:
        """Returns the state as plain values, so that a checkpoint loads with ``weights_only=True``."""
        return {
            'points': [asdict(point) for point in self.points],
            'started_at': self.started_at,
            'run_name': self.run_name,
            'parent': self.parent,
            'paused_s': self.clock.paused_s,
            'spinning_s': self.clock.spinning_s,
            'seen': [[t, dict(metrics)] for t, metrics in self.seen],
        }

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> RunState:
        """Reads what :meth:`as_plain` returned, also in a version without branches."""
        return cls(
            points=[TradeoffPoint(**point) for point in state['points']],
            started_at=state['started_at'],
            run_name=state.get('run_name'),
            parent=state.get('parent'),
            clock=TrainingClock(state['paused_s'], state['spinning_s']),
            seen=[(t, dict(metrics)) for t, metrics in state['seen']],
        )

    @property
    def last_cycle(self) -> int:
        """The cycle of the last point; -1 before the first."""
        return self.points[-1].cycle if self.points else -1

    def start(self, state: State, *, branch: bool) -> Start:
        """Makes the state that of the run that starts now.

        Args:
            state (State): The trainer's state at ``FIT_START``.
            branch (bool): Whether the run is a branch, which has none of the points of the run that it leaves.
        """
        start = self._how(state, branch)
        if start is not Start.RESUMED:
            parent = None
            if start is Start.BRANCHED:
                parent = {
                    'run_name': self.run_name,
                    'batch': state.timestamp.batch.value,
                    'wall_clock_train_s': self.clock.train_s(state.timestamp.total_wct.total_seconds()),
                }
            clock = self.clock if start is Start.BRANCHED else TrainingClock()
            self.points, self.seen, self.parent, self.clock, self.started_at = [], [], parent, clock, None
        self.run_name = state.run_name
        self.started_at = self.started_at or datetime.now(timezone.utc).isoformat(timespec='seconds')
        return start

    def _how(self, state: State, branch: bool) -> Start:
        if state.timestamp.batch.value == 0:
            return Start.ANEW
        return Start.BRANCHED if branch and self.run_name not in (None, state.run_name) else Start.RESUMED
