"""Subtracts one curve from another, point by point and on average, with intervals over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from composer_clr.study.alignment import Alignment, weights
from composer_clr.study.estimates import TIE, Array, Estimates, Figures, figures, t_interval
from composer_clr.study.table import Curve
from composer_clr.utils.errors import listed

__all__ = ['Differences', 'difference', 'differences']


@dataclass(frozen=True, eq=False)
class Differences:
    """One curve minus another at several positions.

    Attributes:
        count (Array): The counts, such as epochs, that the positions stand for.
        position (Array): Counts or times at which both curves have a value.
        how (list[str]): How each was found on the second curve, as in :func:`weights`.
        left_out (Array): The counts at which one of the curves has no value.
        figures (Figures): The differences, without a scale.
        sides (tuple[Figures, ...]): Of curves with independent seeds, the values of both; else none.
        sizes (Array): The sizes of the values subtracted.
        scale (float): 100 where differences are percentage points, else 1.
        is_ratio (bool): Whether the differences are of logarithms, and shown as ratios.
        mean_count (Array): The counts that :attr:`mean` is over.
        unequal (str): In words, if the two curves do not have the same seeds; else empty.
    """

    count: Array
    position: Array
    how: list[str]
    left_out: Array
    figures: Figures
    sides: tuple[Figures, ...]
    sizes: Array
    scale: float
    is_ratio: bool
    mean_count: Array
    unequal: str

    @cached_property
    def each(self) -> Estimates:
        """The differences."""
        return self._shown(t_interval(self.figures, scale=self.scale, size=self.sizes, sides=self.sides))

    @cached_property
    def mean(self) -> Estimates:
        """Their mean over the points of :attr:`mean_count`."""
        return self._mean(np.isin(self.count, self.mean_count))

    @cached_property
    def mean_of_all(self) -> Estimates:
        """Their mean over all points."""
        return self._mean(np.full(len(self.count), True))

    @property
    def deviations(self) -> list[float]:
        """The standard deviation of the mean between seeds, as :func:`seeds_to_resolve` takes it; of either side."""
        keep, factor = np.isin(self.count, self.mean_count), abs(self.scale)
        if self.is_ratio:
            factor *= float(self.mean.value[0])
        return [factor * one[keep].deviation for one in self.sides or (self.figures,)]

    def _mean(self, keep: np.ndarray) -> Estimates:
        sides, size = [side[keep].mean() for side in self.sides], self.sizes[keep].max()
        return self._shown(t_interval(self.figures[keep].mean(), scale=self.scale, size=size, sides=sides))

    def _shown(self, found: Estimates) -> Estimates:
        return found.exp() if self.is_ratio else found


def difference(
    a: Curve, b: Curve, at_a: Array, at_b: Array, all_seeds: bool = False
) -> tuple[Figures, tuple[Figures, ...]]:
    """Returns weighted sums of one curve's values minus those of another's, NaN where one is not measured.

    The differences are over the seeds that both curves have there, paired by seed. Curves without a common seed are
    compared as independent samples, whose figures are returned too. A difference within rounding is 0.

    Args:
        a (Curve): The first curve.
        b (Curve): The curve to subtract.
        at_a (Array): The weights of its points, as of :func:`weights`. Shape ``(figures, points)``.
        at_b (Array): Those of the second.
        all_seeds (bool): Over all seeds of either curve, of which those that both have count together. Default:
            ``False``.
    """
    sides: tuple[Figures, ...] = ()
    if not all_seeds and (a.has & b.has).any():
        found = figures(_at(a.value, at_a) - _at(b.value, at_b))
    else:
        sides = figures(a.value, at_a), figures(b.value, at_b)
        found = sides[0] - sides[1]
    is_tie = np.abs(found.value) <= TIE * _sizes(a, b, at_a, at_b)
    return found._replace(value=np.where(is_tie, 0.0, found.value)), () if all_seeds else sides


def differences(
    a: Curve,
    b: Curve,
    positions: npt.ArrayLike,
    of_a: Alignment,
    of_b: Alignment,
    *,
    counts: npt.ArrayLike | None = None,
    scale: float = 1.0,
    is_ratio: bool = False,
    all_seeds: bool = False,
) -> Differences | None:
    """Returns :func:`difference` at several positions with its 95% intervals.

    Args:
        a (Curve): The first curve.
        b (Curve): The curve to subtract.
        positions (ArrayLike): Counts, such as epochs, or times.
        of_a (Alignment): How values of the first curve are found at the positions.
        of_b (Alignment): How those of the second are.
        counts (ArrayLike | None): The counts that the positions stand for. Default: ``None``, the positions.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        is_ratio (bool): Whether the curves hold logarithms, whose differences are shown as ratios. Default: ``False``.
        all_seeds (bool): As of :func:`difference`. Default: ``False``.

    Returns:
        Differences | None: ``None`` if at no position both curves have a value of a common seed.
    """
    x = np.asarray(positions, dtype=float)
    labels = x if counts is None else np.asarray(counts, dtype=float)
    at_a, _ = weights(x, a.positions(of_a.axis), of_a)
    at_b, how = weights(x, b.positions(of_b.axis), of_b)
    found, sides = difference(a, b, at_a, at_b, all_seeds)
    keep = ~np.isnan(found.value)
    if not keep.any():
        return None
    paired = not sides and not all_seeds
    return Differences(
        count=labels[keep],
        position=x[keep],
        how=[one for one, kept in zip(how, keep, strict=True) if kept],
        left_out=labels[~keep],
        figures=found[keep],
        sides=tuple(side[keep] for side in sides),
        sizes=_sizes(a, b, at_a, at_b)[keep],
        scale=scale,
        is_ratio=is_ratio,
        mean_count=labels[keep],
        unequal=_unequal(a, b, found[keep], labels[keep], 'paired' if paired else 'unpaired' if sides else 'all'),
    )


def _sizes(a: Curve, b: Curve, at_a: Array, at_b: Array) -> Array:
    return np.maximum(np.abs(at_a @ a.mean()), np.abs(at_b @ b.mean()))


def _at(samples: Array, at: Array) -> Array:
    """Returns the value of each seed at each position; NaN where it lacks a point that counts there."""
    with np.errstate(invalid='ignore'):
        return np.where(at == 0, 0.0, samples[:, None, :] * at).sum(axis=2)


def _unequal(a: Curve, b: Curve, found: Figures, counts: Array, how: str) -> str:
    """Returns, in words, the seeds of a difference, if the curves' seeds are not the same at all points."""
    present = [~np.isnan(curve.value) for curve in (a, b)]
    if all((points == present[0][:, :1]).all() for points in present):
        return ''
    if how == 'unpaired':
        numbered = any(seed.startswith('seed') and any(p[i].any() for p in present) for i, seed in enumerate(a.seeds))
        return 'the two sides have no seed in common: compared as independent samples' if numbered else ''
    if how == 'all':
        return 'over all seeds, which are not the same on both sides'
    at: dict[tuple[str, ...], list[str]] = {}
    for count, uses in zip(counts.tolist(), found.uses.T, strict=True):
        seeds: Sequence[str] = [seed.removeprefix('seed ') for seed, used in zip(a.seeds, uses, strict=True) if used]
        at.setdefault(tuple(seeds), []).append(f'{count:g}')
    spelled = '; '.join(f'{", ".join(seeds)} at {listed(places)}' for seeds, places in at.items())
    return f'over the seeds that both sides have: {spelled}'
