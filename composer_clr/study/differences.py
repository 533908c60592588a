"""Subtracts one curve from another, point by point and on average, with intervals over the seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import CYCLIC, kind_without_shape
from composer_clr.study.alignment import Alignment, weights
from composer_clr.study.curve import Curve
from composer_clr.study.estimates import TIE, Array, Estimates, Figures, figures, t_interval
from composer_clr.utils.errors import listed

__all__ = ['Differences', 'check_overlap', 'differences', 'gap', 'improvement', 'leads']


@dataclass(frozen=True, eq=False)
class Differences:
    """One curve minus another at several positions.

    Attributes:
        count (Array): The counts, such as epochs, that the positions stand for.
        position (Array): Counts or times at which both curves have a value.
        how (list[str]): How each was found on the second curve, as in :func:`weights`.
        left_out (Array): The counts at which one of the curves has no value.
        figures (Figures): The differences, before ``scale``, which is below 0 where less is better.
        sides (tuple[Figures, ...]): Of curves with independent seeds, the values of both; else none.
        sizes (Array): The sizes of the values subtracted.
        unequal (str): In words, if the two curves do not have the same seeds; else empty.
        mean_count (Array): The counts that :attr:`mean` is over.
        is_ratio (bool): Whether the differences are of logarithms, and shown as ratios.
    """

    count: Array
    position: Array
    how: list[str]
    left_out: Array
    figures: Figures
    sides: tuple[Figures, ...]
    sizes: Array
    scale: float
    unequal: str
    mean_count: Array
    is_ratio: bool = False

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
    def deviations(self) -> tuple[float, ...]:
        """The standard deviation of the mean between seeds, as :func:`seeds_to_resolve` takes it; of either side."""
        keep, factor = np.isin(self.count, self.mean_count), abs(self.scale)
        if self.is_ratio:
            factor *= float(self.mean.value[0])
        return tuple(factor * one[keep].deviation for one in self.sides or (self.figures,))

    def _mean(self, keep: npt.NDArray[np.bool_]) -> Estimates:
        sides, size = [side[keep].mean() for side in self.sides], self.sizes[keep].max()
        return self._shown(t_interval(self.figures[keep].mean(), scale=self.scale, size=size, sides=sides))

    def _shown(self, found: Estimates) -> Estimates:
        return found.exp() if self.is_ratio else found


def gap(curve: Curve, standard: Curve, how: Alignment) -> Differences:
    """Returns a curve minus the standard one at each of its points; of perplexities, their ratio.

    The mean leaves out the first point of a cyclic run, which is the standard run's by construction.

    Raises:
        CurveError: If no point has a value of a common seed on both.
    """
    found = differences(curve, standard, curve.positions(how.axis), how, curve.count)
    if found is None:
        check_overlap(curve, standard, how)
        raise CurveError(
            f'{curve.method}: no point of the {curve.kind} curve has a seed in common with the {standard.kind} one: '
            'train the missing seeds, or compare over all seeds (compare --all-seeds)'
        )
    is_first = found.count[0] == curve.count[0] and kind_without_shape(curve.kind) == CYCLIC
    counted = found.count[1:] if is_first and len(found.count) > 1 else found.count
    return replace(found, mean_count=counted, is_ratio=curve.is_ratio)


def improvement(curve: Curve, base: Curve, how: Alignment, *, at: Curve | None = None) -> Differences | None:
    """Returns how much better than the baseline's a curve is, at its own points or at those of another curve."""
    at = at or curve
    found = differences(curve, base, at.positions(how.axis), how, at.count)
    return found and replace(found, scale=curve.sign * curve.scale)


def leads(curves: Iterable[Curve], positions: Array, how: Alignment) -> list[Figures]:
    """Returns how far each curve lies above the first one at positions."""
    base, *others = curves
    at_base, _ = weights(positions, base.positions(how.axis), how)
    zero = np.zeros((len(base.seeds), len(positions)))
    value = np.where(np.isnan(at_base[:, 0]), np.nan, 0.0)
    at_others = [weights(positions, curve.positions(how.axis), how)[0] for curve in others]
    return [
        Figures(value, zero, zero > 0, np.full(len(positions), np.inf)),
        *(_difference(curve, base, at, at_base)[0] for curve, at in zip(others, at_others, strict=True)),
    ]


def check_overlap(curve: Curve, standard: Curve, how: Alignment) -> tuple[Array, list[str]]:
    """Returns :func:`weights` of a curve's points on the standard curve.

    Raises:
        CurveError: If none is found.
    """
    positions, measured = curve.positions(how.axis), standard.positions(how.axis)
    at, found = weights(positions, measured, how)
    if np.isnan(at[:, 0]).all():
        raise CurveError(
            f'{curve.method}: the {curve.kind} curve ({how.axis or curve.axis} {positions.min():g} to '
            f'{positions.max():g}) and the standard one ({measured.min():g} to {measured.max():g}) do not meet with '
            f"align='{how.mode}': train standard runs to both sides of a {curve.kind} point, or align otherwise"
        )
    return at, found


def differences(a: Curve, b: Curve, positions: Array, how: Alignment, counts: Array) -> Differences | None:
    """Returns one curve minus another at positions, which stand for ``counts``; ``None`` if at none both have a value.

    The differences are over the seeds that both curves have there,
    paired by seed. Curves without a common seed are compared as independent samples. With ``all_seeds``, they are over
    all seeds of either curve, of which those that both have count together. A difference within rounding is 0.
    """
    at_a, _ = weights(positions, a.positions(how.axis), how)
    at_b, found_how = weights(positions, b.positions(how.axis), how)
    found, sides, sizes = _difference(a, b, at_a, at_b)
    keep = ~np.isnan(found.value)
    if not keep.any():
        return None
    return Differences(
        count=counts[keep],
        position=positions[keep],
        how=[one for one, kept in zip(found_how, keep, strict=True) if kept],
        left_out=counts[~keep],
        figures=found[keep],
        sides=tuple(side[keep] for side in sides),
        sizes=sizes[keep],
        scale=a.scale,
        unequal=_unequal(a, b, found[keep], counts[keep]),
        mean_count=counts[keep],
    )


def _difference(a: Curve, b: Curve, at_a: Array, at_b: Array) -> tuple[Figures, tuple[Figures, ...], Array]:
    """Returns differences at weights, NaN where one is not measured; both sides, if independent; and their sizes."""
    sides: tuple[Figures, ...] = ()
    if _are_paired(a, b):
        found = figures(_at(a.value, at_a) - _at(b.value, at_b))
    else:
        sides = figures(a.value, at_a), figures(b.value, at_b)
        found = sides[0] - sides[1]
    sizes = np.maximum(np.abs(at_a @ a.mean()), np.abs(at_b @ b.mean()))
    ties = np.abs(found.value) <= TIE * sizes
    return found._replace(value=np.where(ties, 0.0, found.value)), () if a.all_seeds else sides, sizes


def _are_paired(a: Curve, b: Curve) -> bool:
    return not a.all_seeds and bool((a.has & b.has).any())


def _at(samples: Array, at: Array) -> Array:
    """Returns the value of each seed at each position; NaN where it lacks a point that counts there."""
    with np.errstate(invalid='ignore'):
        return np.where(at == 0, 0.0, samples[:, None, :] * at).sum(axis=2)


def _unequal(a: Curve, b: Curve, found: Figures, counts: Array) -> str:
    """Returns, in words, the seeds of a difference, if the curves' seeds are not the same at all points."""
    present = [~np.isnan(curve.value) for curve in (a, b)]
    if all((points == present[0][:, :1]).all() for points in present):
        return ''
    if a.all_seeds:
        return 'over all seeds, which are not the same on both sides'
    if not _are_paired(a, b):
        numbered = any(seed.startswith('seed') for seed, has in zip(a.seeds, a.has | b.has, strict=True) if has)
        return 'the two sides have no seed in common: compared as independent samples' if numbered else ''
    at: dict[tuple[str, ...], list[str]] = {}
    for count, uses in zip(counts.tolist(), found.uses.T, strict=True):
        seeds = tuple(seed.removeprefix('seed ') for seed, used in zip(a.seeds, uses, strict=True) if used)
        at.setdefault(seeds, []).append(f'{count:g}')
    spelled = '; '.join(f'{", ".join(seeds)} at {listed(places)}' for seeds, places in at.items())
    return f'over the seeds that both sides have: {spelled}'
