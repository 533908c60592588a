"""The runs of one method and kind as arrays, and which of their seeds count: at a point, along the curve, in a pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from composer_clr.curves.axes import Count
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.study.estimates import Array

__all__ = ['PARTS', 'Curve']

# The arrays of a curve that have a row per seed.
PARTS: tuple[str, ...] = ('value', 'time_s', 'ranks', 'shared_s', 'shared_count', 'trained_count')
# Counts that differ by less, relatively, are one point where they are of different seeds.
_NEAR = 0.01
# A perplexity that no model has, in place of one that has no logarithm.
_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Curve:
    """The runs of one method and kind. Arrays have a row per seed of the study, NaN where it has no such point.

    Attributes:
        method (str): The set of algorithms.
        kind (str): ``'cyclic'``, ``'standard'`` or another.
        axis (str): What ``count`` counts: ``'epoch'``, ``'batch'``, ``'sample'`` or ``'token'``.
        seeds (tuple[str, ...]): The labels of the rows: ``'seed 17'``; a run without a seed has a label of its own.
        count (Array): What the points have trained, ascending. Shape ``(points,)``.
        value (Array): The metric; of perplexities, its logarithm. Shape ``(seeds, points)``, as all below.
        time_s (Array): Seconds of training.
        ranks (Array): The mean number of ranks over that time; NaN if it is not known.
        shared_s (Array): Those seconds on a run that other points share: none for separate runs, all for the points of
            one run, the trunk's part for branches.
        shared_count (Array): The same in the unit of ``count``.
        trained_count (Array): What the point took to train, where that is more than its count.
        paces (tuple[float, ...]): Seconds per count of each run.
        timed (tuple[TradeoffCurve, ...]): Runs that stand for all in :func:`differing_pace`.
        scale, lower_is_better, is_ratio, all_seeds: As of :class:`Study`.
    """

    method: str
    kind: str
    axis: Count
    seeds: tuple[str, ...]
    count: Array
    value: Array
    time_s: Array
    ranks: Array
    shared_s: Array
    shared_count: Array
    trained_count: Array
    paces: tuple[float, ...]
    timed: tuple[TradeoffCurve, ...]
    scale: float = 1.0
    lower_is_better: bool = False
    is_ratio: bool = False
    all_seeds: bool = False

    def mean(self, what: str = 'value') -> Array:
        """Returns the mean over the seeds at each point."""
        return np.nanmean(getattr(self, what), axis=0)

    def positions(self, axis: str | None) -> Array:
        """Returns where the points lie on an axis."""
        return self.mean('time_s') if axis == 'time' else self.count

    @property
    def sign(self) -> float:
        """What turns values so that more is better: 1, or -1."""
        return -1.0 if self.lower_is_better else 1.0

    def turned(self, values: npt.ArrayLike) -> Array:
        """Returns values of the metric's own unit as :attr:`value` has them, turned so that more is better."""
        values = np.asarray(values, dtype=float)
        return self.sign * (np.log(np.maximum(values, _LEAST)) if self.is_ratio else values)

    def in_own_unit(self, turned: npt.ArrayLike) -> list[float]:
        """Returns the values that :meth:`turned` turned."""
        values = self.sign * np.asarray(turned)
        return (np.exp(values) if self.is_ratio else values).tolist()

    @property
    def has(self) -> npt.NDArray[np.bool_]:
        """Whether each seed has any point."""
        return ~np.isnan(self.value).all(axis=1)

    def beside(self, other: Curve) -> tuple[Curve, Curve]:
        """Returns two curves over the seeds that both have; over their own with ``all_seeds``, or if there are none."""
        common = self.has & other.has
        if self.all_seeds or not common.any():
            return self, other
        return self.of_seeds(common), other.of_seeds(common)

    def of_seeds(self, keep: npt.NDArray[np.bool_]) -> Curve:
        """Returns the curve of some of its seeds, without the points that only others have."""
        return self._part(keep, ~np.isnan(self.value[keep]).all(axis=0))

    @cached_property
    def followed(self) -> Curve:
        """The curve over the same seeds everywhere, so that it can be followed from point to point.

        These are the seeds that reach from the first point to the last, a point that one lacks on the way interpolated
        between its own. Where no seed does, the curve goes as far as all of them do; where that is no point, it is as
        measured.
        """
        first, last = self._ends
        keep, cut = self.has & (first == 0) & (last == len(self.count) - 1), slice(0, len(self.count))
        if not keep.any():
            keep, cut = self.has, slice(int(first[self.has].max()), int(last[self.has].min()) + 1)
        if cut.start >= cut.stop:
            return self
        at = np.arange(len(self.count))
        on_the_way = (first[:, None] < at) & (at < last[:, None])
        return self._filled(keep[:, None] & on_the_way & np.isnan(self.value))._part(keep, cut)

    @property
    def aligned(self) -> Curve:
        """The curve with points of different seeds at slightly different counts made one.

        Each seed is interpolated, within its own range, to the points of others that it is measured around.
        """
        present = ~np.isnan(self.value)
        if present[self.has].all():
            return self
        (first, last), kept, start = self._ends, [], 0
        while start < len(self.count):
            end = start + 1
            while (
                end < len(self.count)
                and self.count[end] < (1 + _NEAR) * self.count[start]
                and (present[:, start : end + 1].sum(axis=1) < 2).all()
            ):
                end += 1
            of_point = present[:, start:end].any(axis=1)
            inside = [i for i in range(start, end) if ((first <= i) & (i <= last))[of_point].all()]
            kept.extend(inside[:1] or range(start, end))
            start = end
        lacking, logs = np.zeros_like(present), np.log(self.count)
        for seed in np.flatnonzero(self.has):
            for i in kept:
                if first[seed] < i < last[seed] and not present[seed, i]:
                    lacking[seed, i] = _is_around(logs, present, seed, i)
        return self._filled(lacking)._part(np.full(len(self.seeds), True), kept)

    @property
    def _ends(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The first and the last point of each seed, where it has any."""
        present = ~np.isnan(self.value)
        return present.argmax(axis=1), len(self.count) - 1 - present[:, ::-1].argmax(axis=1)

    def _filled(self, where: npt.NDArray[np.bool_]) -> Curve:
        """Returns the curve with points between a seed's own: values by the log of the count, times by the count."""
        parts = {name: getattr(self, name).copy() for name in PARTS}
        for seed in np.flatnonzero(where.any(axis=1)):
            own, wanted = ~np.isnan(self.value[seed]), where[seed]
            for name, values in parts.items():
                x = np.log(self.count) if name == 'value' else self.count
                values[seed, wanted] = np.interp(x[wanted], x[own], values[seed, own])
        return replace(self, **parts)

    def _part(self, seeds: npt.NDArray[np.bool_], points: slice | list[int] | npt.NDArray[np.bool_]) -> Curve:
        parts = {name: np.where(seeds[:, None], getattr(self, name), np.nan)[:, points] for name in PARTS}
        return replace(self, count=self.count[points], **parts)

    def __str__(self) -> str:
        return f'{self.method}, {self.kind}'


def _is_around(logs: Array, present: npt.NDArray[np.bool_], seed: int, i: int) -> bool:
    """Returns whether a seed has a point of its own between the neighbours of a point that others have."""
    low, high = -np.inf, np.inf
    for others in np.flatnonzero(present[:, i]):
        own = logs[present[others]]
        before, after = own[own < logs[i]], own[own > logs[i]]
        if not len(before) and not len(after):
            return False
        below = logs[i] - before[-1] if len(before) else after[0] - logs[i]
        above = after[0] - logs[i] if len(after) else below
        low, high = max(low, logs[i] - below), min(high, logs[i] + above)
    own = logs[present[seed]]
    return bool(((low < own) & (own < high)).any())
