"""Subtracts one curve from another, point by point and on average, with intervals over the seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from composer_clr.study.alignment import Alignment, weights
from composer_clr.study.estimates import Array, Estimates, Figures, figures, t_interval
from composer_clr.study.table import Curve
from composer_clr.utils.errors import listed

__all__ = ['Differences', 'as_ratio', 'differences']


@dataclass(frozen=True, eq=False)
class Differences:
    """One curve minus another at several positions.

    Attributes:
        count (Array): The counts, such as epochs, that the positions stand for.
        position (Array): Counts or times at which both curves have a value.
        how (list[str]): How each was found on the second curve, as in :func:`weights`.
        left_out (Array): The counts at which one of the curves has no value.
        figures (Figures): The differences, without a scale.
        each (Estimates): The differences.
        mean (Estimates): Their mean.
        unequal (str): In words, if the two curves do not have the same seeds; else empty.
    """

    count: Array
    position: Array
    how: list[str]
    left_out: Array
    figures: Figures
    each: Estimates
    mean: Estimates
    unequal: str


def differences(
    a: Curve,
    b: Curve,
    positions: npt.ArrayLike,
    of_a: Alignment,
    of_b: Alignment,
    *,
    counts: npt.ArrayLike | None = None,
    scale: float = 1.0,
    all_seeds: bool = False,
) -> Differences | None:
    """Returns one curve minus another at several positions, each with its 95% interval.

    The differences are over the seeds that both curves have there, paired by seed. Curves without a common seed are
    compared as independent samples.

    Args:
        a (Curve): The first curve.
        b (Curve): The curve to subtract.
        positions (ArrayLike): Counts, such as epochs, or times.
        of_a (Alignment): How values of the first curve are found at the positions.
        of_b (Alignment): How those of the second are.
        counts (ArrayLike | None): The counts that the positions stand for. Default: ``None``, the positions.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        all_seeds (bool): Over all seeds of either curve, of which those that both have count together. Default:
            ``False``.

    Returns:
        Differences | None: ``None`` if at no position both curves have a value of a common seed.
    """
    x = np.asarray(positions, dtype=float)
    labels = x if counts is None else np.asarray(counts, dtype=float)
    at_a, _ = weights(x, a.positions(of_a.axis), of_a)
    at_b, how = weights(x, b.positions(of_b.axis), of_b)
    have_a, have_b = (~np.isnan(curve.value).all(axis=1) for curve in (a, b))
    paired = not all_seeds and bool((have_a & have_b).any())
    sides: list[Figures] = []
    if paired:
        found = figures(_at(a.value, at_a) - _at(b.value, at_b))
        keep = found.uses.any(axis=0)
    else:
        sides = [figures(a.value, at_a), figures(b.value, at_b)]
        found = sides[0] - sides[1]
        keep = ~np.isnan(found.value)
    if not keep.any():
        return None
    found, sides = found[keep], [side[keep] for side in sides]
    independent = [] if all_seeds else sides
    sizes = np.maximum(np.abs(at_a @ a.mean()), np.abs(at_b @ b.mean()))[keep]
    return Differences(
        count=labels[keep],
        position=x[keep],
        how=[one for one, kept in zip(how, keep, strict=True) if kept],
        left_out=labels[~keep],
        figures=found,
        each=t_interval(found, scale=scale, size=sizes, sides=independent),
        mean=t_interval(found.mean(), scale=scale, size=sizes.max(), sides=[side.mean() for side in independent]),
        unequal=_unequal(a, b, found, labels[keep], 'all' if all_seeds else 'paired' if paired else 'unpaired'),
    )


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
        seeds = tuple(seed.removeprefix('seed ') for seed, used in zip(a.seeds, uses, strict=True) if used)
        at.setdefault(seeds, []).append(f'{count:g}')
    spelled = '; '.join(f'{", ".join(seeds)} at {listed(places)}' for seeds, places in at.items())
    return f'over the seeds that both sides have: {spelled}'


def as_ratio(log_gap: Differences) -> Differences:
    """Returns a gap of logarithms as a ratio, its standard errors to first order."""

    def exponential(found: Estimates) -> Estimates:
        value = np.exp(found.value)
        return Estimates(value, value * found.sem, np.exp(found.low), np.exp(found.high), found.seeds)

    return replace(log_gap, each=exponential(log_gap.each), mean=exponential(log_gap.mean))
