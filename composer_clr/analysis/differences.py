"""Subtracts one curve from another, point by point and on average: gaps and improvements, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from composer_clr.analysis.mean_curve import Array, MeanCurve
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, meet, pair
from composer_clr.analysis.uncertainty import Estimate, Groups, Seeds, Term, difference, estimate, pairing_of
from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import listed

__all__ = ['Differences', 'as_ratio', 'differences', 'gap', 'improvement']


@dataclass(frozen=True, eq=False)
class Differences:
    """One curve minus another at several positions, in the metric's unit times a scale.

    Attributes:
        position (Array): Counts or times at which both curves have a value.
        estimates (tuple[Estimate, ...]): The difference at each.
        how (tuple[str, ...]): How each was found on the second curve, as in :class:`Pairing`.
        count (Array): The counts, such as epochs, that the positions stand for; equal to them, but for times.
        left_out (Array): The counts at which one of the curves has no value.
        average (Estimate): Mean over the positions.
        seeds (tuple[tuple[str, ...], ...]): The seeds that each position rests on.
        unequal (str): In words, if the two curves do not have the same seeds; else empty.
        terms (tuple[list[Term], ...]): The means that each difference is the weighted sum of, without the scale.
    """

    position: Array
    estimates: tuple[Estimate, ...]
    how: tuple[str, ...]
    count: Array
    left_out: Array
    average: Estimate
    seeds: tuple[tuple[str, ...], ...]
    unequal: str
    terms: tuple[list[Term], ...] = ()

    @property
    def value(self) -> Array:
        """The differences without their intervals."""
        return np.array([found.value for found in self.estimates])

    @property
    def sem(self) -> tuple[float | None, ...]:
        """Their standard errors over seeds; ``None`` with one seed."""
        return tuple(found.sem for found in self.estimates)

    @property
    def errors(self) -> Array | None:
        """How far their 95% intervals reach below and above them, 0 with one seed; ``None`` if no point has several."""
        ends = [(found.value, found.low, found.high) for found in self.estimates]
        reach = np.array(
            [(0.0, 0.0) if low is None or high is None else (v - low, high - v) for v, low, high in ends]
        ).T
        return reach if reach.any() else None

    @property
    def mean(self) -> float:
        """The mean over the positions."""
        return self.average.value

    @property
    def mean_sem(self) -> float | None:
        """Standard error of the mean over seeds; ``None`` with one seed."""
        return self.average.sem


def differences(
    a: MeanCurve,
    b: MeanCurve,
    positions: npt.ArrayLike,
    of_a: Alignment,
    of_b: Alignment,
    *,
    counts: npt.ArrayLike | None = None,
    scale: float = 1.0,
    seeds: Seeds = 'common',
) -> Differences | None:
    r"""Returns one curve minus another at several positions, each with its 95% interval.

    By default over the seeds that both curves have there, paired by seed; two curves without a common seed are compared
    as independent samples.

    Args:
        a (MeanCurve): The first curve.
        b (MeanCurve): The curve to subtract.
        positions (ArrayLike): Counts, such as epochs, or times.
        of_a (Alignment): How values of the first curve are found at the positions.
        of_b (Alignment): How those of the second are.
        counts (ArrayLike | None): The counts that the positions stand for. Default: ``None``, the positions.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        seeds (str): ``'common'`` or ``'all'``. Default: ``'common'``.

    Returns:
        Differences | None: ``None`` if at no position both curves have a value of a common seed.
    """
    x = np.asarray(positions, dtype=float)
    labels = x if counts is None else np.asarray(counts, dtype=float)
    on_a, on_b = pair(x, of_a.positions(a), of_a), pair(x, of_b.positions(b), of_b)
    rows_a = dict(zip(on_a.kept.tolist(), on_a.weights, strict=True))
    rows_b = dict(zip(on_b.kept.tolist(), zip(on_b.weights, on_b.how, strict=True), strict=True))
    pairing = pairing_of(a, b, seeds)
    kept: dict[int, tuple[Groups, float]] = {}
    for i in sorted(set(rows_a) & set(rows_b)):
        row_a, (row_b, _) = rows_a[i], rows_b[i]
        groups = difference(a.terms(row_a), b.terms(row_b), pairing)
        if groups is not None:
            kept[i] = groups, max(abs(float(row_a @ a.value)), abs(float(row_b @ b.value)))
    if not kept:
        return None
    average: Groups = tuple(
        [(weight / len(kept), sample) for group in of_group for weight, sample in group]
        for of_group in zip(*(groups for groups, _ in kept.values()), strict=True)
    )
    used = tuple(
        tuple(dict.fromkeys(seed for group in groups for _, sample in group for seed in sample))
        for groups, _ in kept.values()
    )
    indices = list(kept)
    return Differences(
        position=x[indices],
        estimates=tuple(estimate(groups, scale, magnitude) for groups, magnitude in kept.values()),
        how=tuple(rows_b[i][1] for i in indices),
        count=labels[indices],
        left_out=np.delete(labels, indices),
        average=estimate(average, scale, max(magnitude for _, magnitude in kept.values())),
        seeds=used,
        unequal=_unequal(a, b, pairing, labels[indices], used),
        terms=tuple([term for group in groups for term in group] for groups, _ in kept.values()),
    )


def _unequal(a: MeanCurve, b: MeanCurve, pairing: str, positions: Array, used: Sequence[tuple[str, ...]]) -> str:
    """Returns, in words, the seeds of a difference, if the curves' seeds are not the same at all points."""
    if all(sample.keys() == a.samples[0].keys() for sample in (*a.samples, *b.samples)):
        return ''
    if pairing == 'unpaired':
        numbered = any(seed.startswith('seed') for seed in a.seeds | b.seeds)
        return 'the two sides have no seed in common: compared as independent samples' if numbered else ''
    if pairing == 'all':
        return 'over all seeds, which are not the same on both sides'
    at: dict[tuple[str, ...], list[str]] = {}
    for position, seeds in zip(positions.tolist(), used, strict=True):
        at.setdefault(seeds, []).append(f'{position:g}')
    spelled = '; '.join(
        f'{", ".join(seed.removeprefix("seed ") for seed in seeds)} at {listed(places)}' for seeds, places in at.items()
    )
    return f'over the seeds that both sides have: {spelled}'


def gap(
    cyclic: MeanCurve,
    standard: MeanCurve,
    alignment: Alignment = INTERPOLATED,
    scale: float = 1.0,
    seeds: Seeds = 'common',
) -> Differences:
    r"""Returns how far the cyclic curve lies above the standard one, at each of its points and on average.

    .. math::
        g_i = v^{cyclic}(x_i) - v^{standard}(x_i) \qquad \bar{g} = \frac{1}{P} \sum_{i=1}^{P} g_i

    The sign is that of the difference also where lower is better: a negative gap in loss favours the cyclic curve.

    Args:
        cyclic (MeanCurve): Gives the points :math:`x_i`.
        standard (MeanCurve): Is found at them as by :func:`pair`.
        alignment (Alignment): How. Default: interpolation in the log of the count.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        seeds (str): ``'common'``: over the seeds that both have; ``'all'``: over all. Default: ``'common'``.

    Raises:
        CurveError: If no point can be paired with the standard curve, or none has a seed in common with it.

    Source:
        Portes et al. 2022, arXiv:2206.00832, section 3.
    """
    meet(cyclic, standard, alignment)
    exact = Alignment('exact', alignment.axis)
    found = differences(
        cyclic,
        standard,
        alignment.positions(cyclic),
        exact,
        alignment,
        counts=cyclic.count,
        scale=scale,
        seeds=seeds,
    )
    if found is None:
        raise CurveError(
            f'{cyclic.method}: no point of the {cyclic.kind} curve has a seed in common with the {standard.kind} one: '
            'train the missing seeds, or compare over all seeds (compare --all-seeds)'
        )
    return found


def improvement(
    method: MeanCurve,
    baseline: MeanCurve,
    positions: npt.ArrayLike,
    alignment: Alignment = INTERPOLATED,
    *,
    lower_is_better: bool = False,
    counts: npt.ArrayLike | None = None,
    scale: float = 1.0,
    seeds: Seeds = 'common',
) -> Differences | None:
    """Returns a method's improvement over the baseline at each position: above 0 is better, also where less is.

    Args:
        method (MeanCurve): The method's curve.
        baseline (MeanCurve): The baseline's curve of the same kind.
        positions (ArrayLike): Counts, such as epochs, or times.
        alignment (Alignment): How, and what the positions are. Default: interpolation in the log of the count.
        lower_is_better (bool): Whether less of the metric is better. Default: ``False``.
        counts (ArrayLike | None): The counts that the positions stand for. Default: ``None``, the positions.
        scale (float): 100 turns fractions into percentage points. Default: ``1.0``.
        seeds (str): ``'common'``: over the seeds that both have; ``'all'``: over all. Default: ``'common'``.

    Returns:
        Differences | None: ``None`` if at no position both curves have a value of a common seed.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3A-C.
    """
    a, b = (baseline, method) if lower_is_better else (method, baseline)
    return differences(a, b, positions, alignment, alignment, counts=counts, scale=scale, seeds=seeds)


def as_ratio(log_gap: Differences) -> Differences:
    """Returns a gap of logarithms as a ratio, its standard errors to first order."""

    def exponential(found: Estimate) -> Estimate:
        value = math.exp(found.value)
        return Estimate(
            value,
            found.seeds,
            sem=None if found.sem is None else value * found.sem,
            low=None if found.low is None else math.exp(found.low),
            high=None if found.high is None else math.exp(found.high),
        )

    return replace(log_gap, estimates=tuple(map(exponential, log_gap.estimates)), average=exponential(log_gap.average))
