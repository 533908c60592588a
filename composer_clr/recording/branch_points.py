"""Saves a full checkpoint on a trunk where each cooldown branch leaves it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from composer.core import Callback, State, Time
from composer.loggers import Logger

from composer_clr.curves.names import branch_file
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import read_time

__all__ = ['BranchPoints']


class BranchPoints(Callback):
    r"""Saves, on a trunk of constant rate, a full checkpoint where each shorter branch leaves it.

    A branch to duration :math:`D` is the run of that duration whose schedule warms up, holds its peak and decays. Until

    .. math::
        s_D = t_{warmup} + h \, (D - t_{warmup}),

    with :math:`h` the part at the peak, it equals the trunk batch for batch, since the trunk decays later. Started from
    the trunk's checkpoint at :math:`\lfloor s_D \rfloor`, it ends bit for bit as if it had been trained alone. The
    trunk is the branch of the longest duration. The checkpoints are saved in the folder of
    :class:`~composer_clr.ParetoSnapshot`. Saving them counts as training time of the trunk, as the Trainer's own
    checkpoints do.

    Args:
        durations (Sequence[str | Time]): Durations of the branches. This run's own duration and longer ones are
            skipped.

    Raises:
        ValueError: At ``FIT_START``, if the Trainer has no ``ParetoSnapshot``, or the schedule does not hold its peak.

    Source:
        Hägele et al. 2024, arXiv:2405.18392.
    """

    def __init__(self, durations: Sequence[str | Time]):
        self.durations = [read_time(f'durations[{i}]', duration) for i, duration in enumerate(durations)]
        self._at: list[tuple[int, str]] = []
        self._schedule: RunSchedule | None = None
        self._snapshot: ParetoSnapshot | None = None

    def fit_start(self, state: State, logger: Logger) -> None:
        del logger
        self._snapshot = next((one for one in state.callbacks if isinstance(one, ParetoSnapshot)), None)
        if self._snapshot is None:
            raise ValueError('BranchPoints saves into the folder of ParetoSnapshot: give the Trainer one')
        schedule = self._schedule = RunSchedule.of_trainer(state)
        cycles = schedule.cycles
        if not cycles.holds_peak:
            raise ValueError(
                'branches leave a trunk of constant rate, and this schedule does not hold its peak: give it t_hold'
            )
        own_end = cycles.next_trough(cycles.start)
        ends = [(round(schedule.count('durations', duration)), str(duration)) for duration in self.durations]
        shorter = [(end, duration) for end, duration in ends if own_end is not None and end < own_end]
        self._at = [(math.floor(cycles.decay_start(end)), branch_file(duration)) for end, duration in shorter]

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Saves where a branch leaves; every epoch's end is a batch's end too."""
        del logger
        assert self._snapshot is not None
        assert self._schedule is not None
        if state.previous_timestamp is None:
            return
        before, after = self._schedule.at(state.previous_timestamp), self._schedule.now(state)
        for t, name in self._at:
            # The last batch that ends in time: a batch of many samples may pass the place itself.
            if after <= t < after + (after - before):
                self._snapshot.save_file(state, name, weights_only=False)
