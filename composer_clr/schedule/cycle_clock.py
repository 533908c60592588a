"""The elapsed part of a cycle, as Composer's clock counts it in a run that is one cycle long."""

from __future__ import annotations

from composer.core import State, TimeUnit

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.times import horizon, now
from composer_clr.schedule.trainer_schedule import TrainerSchedule

__all__ = ['CycleClock', 'elapsed_part']


def elapsed_part(cycles: Cycles, t: int, *, after_batch: bool) -> tuple[int, float]:
    r"""Returns the cycle that a time belongs to, and its elapsed part.

    .. math::
        e(t) = \frac{t - r_i}{b_{i+1} - r_i}, \qquad r_0 = 0, \quad r_i = b_i

    Args:
        cycles (Cycles): One cycle or more.
        t (int): The time, >= 0.
        after_batch (bool): Whether a trough belongs to the cycle that it ends, with the elapsed part 1, rather than to
            the one that starts there.

    Returns:
        tuple[int, float]: The cycle, and a number in [0, 1]; after the last trough, that of the last cycle and 1.

    Example:
        >>> cycles = Cycles(8, [16, 32])
        >>> elapsed_part(cycles, 12, after_batch=False), elapsed_part(cycles, 20, after_batch=False)
        ((0, 0.75), (1, 0.25))
        >>> elapsed_part(cycles, 16, after_batch=True), elapsed_part(cycles, 16, after_batch=False)
        ((0, 1.0), (1, 0.0))
    """
    passed = len(cycles.troughs(t - after_batch))
    if cycles.next_trough(t - after_batch) is None:
        return passed - 1, 1.0
    restart, trough = cycles.bounds(passed)
    if passed == 0:
        restart = 0
    return passed, (t - restart) / (trough - restart)


class CycleClock:
    """Tracks the cycle that a run is in, and its elapsed part.

    Composer's clock moves by whole epochs where ``max_duration`` is in ``ep``. So does this one, as long as every
    trough ends an epoch; else it moves with the unit of the schedule.

    Args:
        schedule (TrainerSchedule): The run's cycles.
        state (State): The trainer's state.
    """

    def __init__(self, schedule: TrainerSchedule, state: State):
        self._cycles, self._unit = schedule.cycles, schedule.unit
        self._by_epoch = False
        until, loader_length = horizon(state, self._unit), state.dataloader_len
        duration = state.max_duration
        if until is None or loader_length is None or duration is None or duration.unit != TimeUnit.EPOCH:
            return
        ends = self._cycles.troughs(until)
        coming = self._cycles.next_trough(until)
        if coming is not None and until not in ends:
            ends.append(coming)
        if ends and all(end % int(loader_length) == 0 for end in ends):
            self._by_epoch = True
            self._cycles = Cycles(0, [end // int(loader_length) for end in ends])

    def elapsed(self, state: State, *, after_batch: bool) -> tuple[int, float]:
        """Returns the cycle and its elapsed part: see :func:`elapsed_part`."""
        if not self._by_epoch:
            return elapsed_part(self._cycles, now(state, self._unit), after_batch=after_batch)
        # The epoch counter moves only after the last batch of an epoch.
        epoch_ended = state.timestamp.batch_in_epoch.value == 0
        return elapsed_part(self._cycles, state.timestamp.epoch.value, after_batch=after_batch and epoch_ended)
