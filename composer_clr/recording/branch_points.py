"""Where cooldown branches leave their trunk: a full checkpoint before each point of the curve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from composer.core import Callback, State, Time
from composer.loggers import Logger

from composer_clr.curves.names import branch_file
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.schedule.times import parse_time, spell
from composer_clr.schedule.trainer_schedule import TrainerSchedule, trainer_schedule

__all__ = ['BranchPoints']


class BranchPoints(Callback):
    r"""Saves, on a trunk of constant rate, a full checkpoint where each shorter branch is to leave it.

    A branch to duration :math:`D` is the run of that duration whose schedule warms up, holds its peak and decays. Until

    .. math::
        s_D = t_{warmup} + h \, (D - t_{warmup}),

    with :math:`h` the held part, it is batch for batch the trunk, whose own decay comes later. Started from the trunk's
    checkpoint at :math:`\lfloor s_D \rfloor`, it ends bit for bit as if it had been trained alone. The trunk is the
    branch of the longest duration. The checkpoints lie in the folder of :class:`~composer_clr.ParetoSnapshot`, and what
    it takes to save them is in the trunk's training time, as the Trainer's own checkpoints are.

    Args:
        durations (Sequence[str | Time]): Of the branches; those that end after this run, and this run's own, are
            passed over.

    Raises:
        ValueError: At ``FIT_START``, if there is no ``ParetoSnapshot``, or the schedule does not hold its peak.

    Source:
        Hägele et al. 2024, arXiv:2405.18392.
    """

    def __init__(self, durations: Sequence[str | Time]):
        self.durations = [parse_time(f'durations[{i}]', duration) for i, duration in enumerate(durations)]
        self._at: dict[int, list[str]] = {}
        self._schedule: TrainerSchedule | None = None
        self._snapshot: ParetoSnapshot | None = None

    def fit_start(self, state: State, logger: Logger) -> None:
        del logger
        self._snapshot = next((one for one in state.callbacks if isinstance(one, ParetoSnapshot)), None)
        if self._snapshot is None:
            raise ValueError('BranchPoints saves into the folder of ParetoSnapshot: give the Trainer one')
        self._at = {}
        for t, duration in self._places(state):
            self._at.setdefault(t, []).append(branch_file(spell(duration)))

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Save where a branch leaves: an epoch's end is a batch's too."""
        del logger
        assert self._snapshot is not None
        assert self._schedule is not None
        if state.previous_timestamp is None:
            return
        before, after = self._schedule.at(state.previous_timestamp), self._schedule.now(state)
        # The last batch that ends in time: a batch of many samples may step over the place itself.
        for t, names in self._at.items():
            if after <= t < after + (after - before):
                for name in names:
                    self._snapshot.save_file(state, name, weights_only=False)

    def _places(self, state: State) -> Iterator[tuple[int, Time]]:
        schedule = self._schedule = trainer_schedule(state)
        cycles = schedule.cycles
        own_end = cycles.next_trough(cycles.start)
        if cycles.shape is None or not any(cycles.shape.hold):
            raise ValueError(
                'branches leave a trunk of constant rate, and this schedule does not hold its peak: give it t_hold'
            )
        for duration in self.durations:
            end = round(schedule.count('durations', duration, state))
            if own_end is not None and end < own_end:
                _, decay_starts = cycles.shape.corners(0, end - cycles.start)
                yield cycles.start + math.floor(decay_starts), duration
