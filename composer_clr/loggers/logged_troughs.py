"""Finds the troughs of a logged learning rate, of any schedule, from the numbers alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ['Trough', 'find_troughs', 'part_at_peak']

# A rise or a fall counts if it is more than this part of the cycle's height; less is rounding.
_COUNTS = 0.02
# A sample within this part of the peak is at the peak: a cosine is for 2% of its cycle.
_AT_PEAK = 1e-3


class Trough(NamedTuple):
    """The end of a cycle: its restart, last sample at the lowest rate, next sample (or infinity), and rate."""

    restart: float
    time: float
    until: float
    lr: float


def find_troughs(times: ArrayLike, rates: ArrayLike) -> list[Trough]:
    r"""Finds the troughs of a learning rate that was sampled during training, in order.

    A trough is the last of the lowest samples between a fall and the rise after it, each of more than 2% of the height
    of the cycle (its peak over the lowest rate of the run). The end of training is one if the rate has come down by
    then: with :math:`n` samples since the peak, and :math:`h` the height over the lowest earlier trough (or over 0), if
    what is left is at most :math:`\max(0.01, \tfrac32 \sin^2 \tfrac{\pi}{2n + 2}) \, h`, which a cosine cycle one
    sample before its end keeps; or, for a first cycle, which may end at a rate well above 0, if the last step is at
    most a tenth of the steepest, or :math:`\tfrac{3 \pi}{2n}` of it up to half. Of several samples at one time the last
    counts; rates that are not finite, or are negative, are ignored.

    Example:
        >>> # A warmup of 2, two cosine cycles of 4, logged one batch late as Composer does.
        >>> rates = [0, 0.5, 1, 0.85, 0.5, 0.15, 1, 0.85, 0.5, 0.15]
        >>> [trough.time for trough in find_troughs(range(1, 11), rates)]
        [6.0, 10.0]
    """
    t, lr = _clean(times, rates)
    if len(t) < 2:
        return []
    floor = float(lr.min())
    rounding = 1e-9 * (float(lr.max()) - floor)
    found: list[Trough] = []
    restart, top, low = float(t[0]), 0, None
    for i in range(1, len(t)):
        enough = _COUNTS * (lr[top] - floor) + rounding
        if low is None:
            if lr[i] >= lr[top]:
                top = i
            elif lr[i] < lr[top] - enough:
                low = i
        elif lr[i] <= lr[low] + rounding:
            low = i
        elif lr[i] > lr[low] + enough:
            found.append(Trough(restart, float(t[low]), float(t[low + 1]), float(lr[low])))
            restart, top, low = float(t[low]), i, None
    if low is not None and _has_come_down(t[top:], lr[top:], min((trough.lr for trough in found), default=None)):
        found.append(Trough(restart, float(t[low]), math.inf, float(lr[low])))
    return found


def part_at_peak(times: ArrayLike, rates: ArrayLike, trough: Trough) -> float:
    """Returns the part of a trough's cycle, in [0, 1), that the rate stays at its peak; 0 if it is at most a tenth."""
    t, lr = _clean(times, rates)
    cycle = lr[(t > trough.restart) & (t <= trough.time)]
    at_peak = int(np.count_nonzero(cycle >= (1 - _AT_PEAK) * cycle.max(initial=0.0)))
    return at_peak / len(cycle) if at_peak >= 3 and at_peak > len(cycle) / 10 else 0.0


def _clean(times: ArrayLike, rates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns one usable sample per time, sorted by time."""
    t, lr = np.asarray(times, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    if t.shape != lr.shape or t.ndim != 1:
        raise ValueError(f'times of shape {t.shape} and rates of shape {lr.shape}: pass one rate per time')
    usable = np.isfinite(t) & np.isfinite(lr) & (lr >= 0)
    t, lr = t[usable], lr[usable]
    order = np.argsort(t, kind='stable')
    t, lr = t[order], lr[order]
    last = np.append(t[1:] != t[:-1], True) if len(t) else np.array([], dtype=bool)
    return t[last], lr[last]


def _has_come_down(t: NDArray[np.float64], lr: NDArray[np.float64], floor: float | None) -> bool:
    """Returns whether the samples from a peak on end at the bottom of a cycle."""
    n = len(t) - 1
    left = (lr[-1] - (floor or 0.0)) / (lr[0] - (floor or 0.0))
    if left <= max(0.01, 1.5 * math.sin(math.pi / (2 * n + 2)) ** 2):
        return True
    steepness = np.abs(np.diff(lr) / np.diff(t))
    return floor is None and bool(steepness[-1] <= min(0.5, max(0.1, 1.5 * math.pi / n)) * steepness.max())
