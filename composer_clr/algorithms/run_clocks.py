"""Warns of algorithms that follow the clock of the whole run in a run of several troughs."""

from __future__ import annotations

import warnings

from composer.algorithms import EMA, SWA, LayerFreezing, ProgressiveResizing, SelectiveBackprop, StochasticDepth
from composer.core import Algorithm, State, Time, TimeUnit

__all__ = ['check_leaves_rate', 'check_run_clocks', 'clock_times']


def check_run_clocks(state: State) -> None:
    """Warns of algorithms that read the clock of the whole run, where the run has several troughs.

    Raises:
        ValueError: If one of them drives the learning rate beside the schedule.
    """
    for algorithm in state.algorithms:
        check_leaves_rate(algorithm)
        times = clock_times(algorithm)
        reads = isinstance(algorithm, (ProgressiveResizing, LayerFreezing, SelectiveBackprop, SWA)) or any(
            time.unit == TimeUnit.DURATION and time.value > 0 for time in times.values()
        )
        if reads:
            name = type(algorithm).__name__
            warnings.warn(
                f'{name} follows the elapsed part of the whole run, not of the cycle: by the early troughs it has '
                'hardly started, so their points differ from those of standard runs of that length; '
                f'InCycles({name}(...)) makes it follow the cycles (in a recipe, algorithms.{name}.in_cycles=true)',
                UserWarning,
                stacklevel=2,
            )


def check_leaves_rate(algorithm: Algorithm) -> None:
    """Refuses an algorithm that drives the learning rate beside the schedule.

    Raises:
        ValueError: If it does.
    """
    if isinstance(algorithm, SWA) and algorithm.schedule_swa_lr:
        raise ValueError(
            'SWA: schedule_swa_lr=True drives the learning rate, as the schedule of the cycles does: leave it out'
        )


def clock_times(algorithm: Algorithm) -> dict[str, Time]:
    """Returns the arguments of an algorithm that say when in the run it acts, by name."""
    if isinstance(algorithm, EMA):
        return {'ema_start': algorithm.ema_start}
    if isinstance(algorithm, SWA):
        return {'swa_start': algorithm.swa_start, 'swa_end': algorithm.swa_end}
    if isinstance(algorithm, StochasticDepth):
        return {'drop_warmup': algorithm.drop_warmup} if isinstance(algorithm.drop_warmup, Time) else {}
    return {}
