"""Places the points of a run with restarts at the lengths of the standard runs that they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from composer_clr.curves.axes import PLURALS, UNITS, Count, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import STANDARD, has_cycles
from composer_clr.study.alignment import Alignment
from composer_clr.study.curve import Curve
from composer_clr.study.differences import Differences, differences
from composer_clr.study.differences import gap as gap_to_standard
from composer_clr.study.estimates import TIE, Array
from composer_clr.study.recorded_schedule import recorded_schedule
from composer_clr.study.table import Study

__all__ = ['EQUIVALENT', 'Calibration', 'Equivalents', 'calibrate', 'equivalent_lengths', 'mean_distance']

# Ends the kind of a curve that is placed at its equivalent lengths.
EQUIVALENT = ' at equivalent lengths'
_LEAST, _STEPS = 0.3, 141
# A standard run tells kappa if that moves the curve there by this part of the curve's whole range.
_FLAT = 0.05
# Counts that differ by less, relatively, are one trough.
_NEAR = 0.01
_REMEDY = 'train a standard run at the second trough (composer-clr run --calibrate)'


def equivalent_lengths(troughs: npt.ArrayLike, kappa: npt.ArrayLike) -> Array:
    r"""Returns the length of the standard run that each trough of a run with restarts stands for.

    .. math:: E_1 = T_1, \qquad E_k = (T_k - T_{k-1}) + \kappa E_{k-1}

    where :math:`T_k` is the :math:`k`-th trough: of what was trained before a restart, the part :math:`\kappa` counts.

    Args:
        troughs (ArrayLike): The counts of all troughs, ascending. Shape ``(troughs,)``.
        kappa (ArrayLike): :math:`\kappa`, in [0, 1]; at 1 a trough stands for a run of its own length.

    Returns:
        Array: Shape ``(*kappa.shape, troughs)``.

    Example:
        >>> equivalent_lengths([16, 32, 64, 128], 0.75).tolist()
        [16.0, 28.0, 53.0, 103.75]
    """
    ends, part = np.asarray(troughs, dtype=float), np.asarray(kappa, dtype=float)
    lengths = [np.full(part.shape, ends[0])]
    for cycle in np.diff(ends):
        lengths.append(cycle + part * lengths[-1])
    return np.stack(lengths, axis=-1)


@dataclass(frozen=True)
class Calibration:
    """What part of the training before a restart still counts, and how that is known.

    Attributes:
        kind (str): The kind of curve.
        method (str): The method of the standard run.
        axis (str): What its length is counted in.
        at (float): Its length.
        kappa (float): The part, from 0.3 to 1.
        low (float): Lower end of its 95% interval, which does not leave [0.3, 1]; NaN with one seed.
        high (float): Upper end.
        seeds (int): The number of seeds.
        recorded (bool): Whether the troughs are those of the run's record; if not, they are its points.
    """

    kind: str
    method: str
    axis: Count
    at: float
    kappa: float
    low: float
    high: float
    seeds: int
    recorded: bool

    def lengths(self, study: Study, curve: Curve) -> Array:
        """Returns the equivalent lengths of the points of a curve of this kind.

        Raises:
            CurveError: If a later point stands for a shorter run.
        """
        troughs, points, _ = _troughs(study, curve)
        lengths = equivalent_lengths(troughs, self.kappa)[points]
        if (np.diff(lengths) <= 0).any():
            raise CurveError(f'{curve}: at kappa {self.kappa:.2f} a later point stands for a shorter run')
        return lengths

    def __str__(self) -> str:
        interval = '' if math.isnan(self.low) else f' [{self.low:.2f}, {self.high:.2f}]'
        (at,) = count_labels([self.at], self.axis)
        return f'kappa {self.kappa:.2f}{interval}, from the standard run of {self.method} at {at} {UNITS[self.axis]}'


def calibrate(study: Study, kind: str) -> Calibration:
    r"""Returns kappa of a kind of curve with restarts, measured from one short standard run of the baseline.

    The run is the one nearest to the second trough of the baseline's curve, and longer than the first trough, at which
    both are the same run. :math:`\kappa` is where the curve, read at the equivalent lengths by monotone cubic
    interpolation (PCHIP) of the mean values over the logarithm of the length, passes through the run. Its 95% interval
    has the :math:`\kappa` at which the difference from the run is 0 within its own interval, Student's t over the seeds
    that both have. Kappa is never assumed: on the paper's ResNet-50 it is 0.75, and about 1 where the rate is low.

    Args:
        study (Study): The study.
        kind (str): The kind of curve.

    Raises:
        CurveError: If the baseline lacks the standard run, or it lies outside the curve; if the curve is flat there, or
            does not improve; or if kappa would lie outside [0.3, 1]. Within the noise of the seeds, it is 1 at most.

    Source:
        Fritsch and Butland 1984, doi:10.1137/0905021 (PCHIP). The equivalent length was found on the curves of Portes
        et al. 2022, arXiv:2206.00832.
    """
    method, what = study.baseline, f'kappa of {kind} runs'
    for needed in (kind, STANDARD):
        if (method, needed) not in study.curves:
            raise CurveError(f'{what}: {method!r} has no {needed} runs: {_REMEDY}, or name another baseline')
    curve, standard = study.curves[method, kind], study.curves[method, STANDARD]
    troughs, points, recorded = _troughs(study, curve)
    if len(points) < 3:
        raise CurveError(f'{what}: {curve} has {len(points)} of the three points that it takes: train it for longer')
    later = np.flatnonzero(standard.count > (1 + _NEAR) * troughs[0])
    if not len(later):
        raise CurveError(f'{what}: {standard} has no run longer than the first trough: {_REMEDY}')
    run = later[np.abs(np.log(standard.count[later] / troughs[1])).argmin()]
    at = float(standard.count[run])
    where = f'{what}, from the standard run of {method} at {count_labels([at], curve.axis)[0]} {UNITS[curve.axis]}'
    kappas = np.linspace(_LEAST, 1, _STEPS)
    read = _read_at(at, equivalent_lengths(troughs, kappas)[:, points], curve.mean())
    covered = ~np.isnan(read[:, 0])
    if not covered.any():
        raise CurveError(f'{where}: the curve does not reach it at any kappa: {_REMEDY}')
    kappas, read = kappas[covered], read[covered]
    of_run = np.tile(np.eye(len(standard.count))[run], (len(read), 1))
    of_curve, of_run = _read(curve, kappas, read), _read(standard, kappas, of_run)
    apart = differences(of_curve, of_run, kappas, Alignment('exact'), kappas)
    if apart is None:
        raise CurveError(f'{where}: no seed has both: train the missing seeds')
    value = curve.sign * apart.each.value
    low, high = np.sort(curve.sign * np.stack([apart.each.low, apart.each.high]), axis=0)
    if np.ptp(value) <= _FLAT * curve.scale * np.ptp(curve.mean()):
        raise CurveError(f'{where}: the curve is flat there, any kappa would do: {_REMEDY}')
    if (np.diff(value) >= 0).any():
        raise CurveError(f'{where}: the curve does not improve all along there, several kappas would do: {_REMEDY}')
    seeds = int(apart.each.seeds.min())
    if max(low[0], low[-1]) <= 0 <= min(high[0], high[-1]):
        raise CurveError(f'{where}: any kappa would do within the noise of {seeds} seeds: train more seeds')
    # The value falls with kappa. Where a restart loses nothing, at 1 it is above 0 as often as below, by noise.
    if value[0] < 0 or (value[-1] > 0 and not low[-1] <= 0):
        end = f'below {kappas[0]:g}' if value[0] < 0 else f'above {kappas[-1]:g}'
        raise CurveError(f'{where}: it would be {end}, so the points stand for no standard run that is known')
    ends = (_root(kappas, low), _root(kappas, high)) if seeds > 1 else (math.nan, math.nan)
    return Calibration(kind, method, curve.axis, at, _root(kappas, value), *ends, seeds, recorded)


def _troughs(study: Study, curve: Curve) -> tuple[Array, npt.NDArray[np.intp], bool]:
    """Returns all troughs of a curve's runs, which of them its points are, and whether they are recorded."""
    for run in study.runs:
        if (run.run.method, run.run.kind) == (curve.method, curve.kind):
            with suppress(CurveError):
                schedule = recorded_schedule(run, curve.axis)
                troughs = np.array(schedule.troughs, dtype=float) / schedule.per_count
                apart = np.abs(np.log(curve.count[:, None] / troughs))
                if (apart.min(axis=1) < _NEAR).all():
                    return troughs, apart.argmin(axis=1), True
    return curve.count, np.arange(len(curve.count)), False


def _read_at(at: float, lengths: Array, values: Array) -> Array:
    """Returns weights of a curve's values for its value at a length, by PCHIP in the logarithm of the length.

    A row per row of lengths; of NaN where the length lies outside, or lengths do not ascend.
    """
    from scipy.interpolate import PchipInterpolator  # no other command waits for it

    rows = np.full(lengths.shape, math.nan)
    # PCHIP of values times a factor is that times the factor, so its derivatives by the values are the weights.
    step = 1e-4 * (np.ptp(values) or 1.0)
    around = np.concatenate([values + step * np.eye(len(values)), values - step * np.eye(len(values))]).T
    for row, knots in zip(rows, np.log(lengths), strict=True):
        if (np.diff(knots) > 0).all() and knots[0] <= math.log(at) <= knots[-1]:
            above, below = np.split(PchipInterpolator(knots, around)(math.log(at)), 2)
            row[:] = (above - below) / (2 * step)
    return rows


def _read(curve: Curve, kappas: Array, at: Array) -> Curve:
    """Returns a curve whose points are weighted sums of each seed's values, NaN where it lacks one that counts."""
    counts = np.abs(at) > TIE
    values = np.where(counts, curve.value[:, None] * at, 0.0).sum(axis=2)
    return replace(curve, count=kappas, value=values)


def _root(kappas: Array, falling: Array) -> float:
    """Returns where values that fall pass 0, between the kappas that there are."""
    return float(np.interp(0.0, np.maximum.accumulate(falling[::-1]), kappas[::-1]))


@dataclass(frozen=True, eq=False)
class Equivalents:
    """The kappas of a study.

    Attributes:
        study (Study): The study.
        alignment (Alignment): How points are paired with the standard curves.
        found (dict[str, Calibration]): By kind of curve.
        refused (dict[str, str]): Why other kinds with restarts have none.
    """

    study: Study
    alignment: Alignment
    found: dict[str, Calibration]
    refused: dict[str, str]

    @classmethod
    def of(cls, study: Study, alignment: Alignment | None = None, *, strict: bool = True) -> Equivalents:
        """Measures kappa of each kind of curve with restarts: :func:`calibrate`.

        Args:
            study (Study): The study.
            alignment (Alignment | None): How points are paired. Default: ``None``, interpolation.
            strict (bool): Whether a kind without a kappa raises; if not, only where none has one. Default: ``True``.

        Raises:
            CurveError: If no run has restarts, and as for :func:`calibrate`.
        """
        found, refused = {}, {}
        for kind in dict.fromkeys(kind for _, kind in study.curves if has_cycles(kind)):
            try:
                found[kind] = calibrate(study, kind)
            except CurveError as error:
                if strict:
                    raise
                refused[kind] = str(error)
        if not found:
            none = 'no run has restarts, so each point stands for its own length: name cyclic runs'
            raise CurveError(next(iter(refused.values()), none))
        return cls(study, alignment or Alignment(), found, refused)

    @cached_property
    def gaps(self) -> dict[tuple[str, str], Differences]:
        """The gaps to the standard curves of points that are placed at their equivalent lengths.

        Their counts are those that they were trained to, their positions the equivalent lengths. Curves without a
        standard one, or that do not meet it, are left out.
        """
        placed = {}
        for (method, kind), curve in self.study.curves.items():
            standard = self.study.curves.get((method, STANDARD))
            if kind in self.found and standard is not None:
                with suppress(CurveError):
                    moved = self._placed(curve)
                    there = gap_to_standard(moved, standard, self.alignment)
                    own = dict(zip(moved.count.tolist(), curve.count.tolist(), strict=True))
                    counts = {
                        name: np.array([own[length] for length in getattr(there, name).tolist()])
                        for name in ('count', 'left_out', 'mean_count')
                    }
                    placed[method, kind] = replace(there, **counts)
        return placed

    @property
    def left_out(self) -> list[str]:
        """The names of curves that have equivalent lengths, but no gap."""
        return [str(curve) for key, curve in self.study.curves.items() if key[1] in self.found and key not in self.gaps]

    def beside(self) -> Study:
        """Returns the study with the calibrated curves a second time, at equivalent lengths, of a kind of their own."""
        curves = {}
        for (method, kind), curve in self.study.curves.items():
            curves[method, kind] = curve
            if kind in self.found:
                moved = replace(self._placed(curve), kind=f'{kind}{EQUIVALENT}')
                curves[method, moved.kind] = moved
        return replace(self.study, curves=curves)

    def _placed(self, curve: Curve) -> Curve:
        """Returns a curve at its equivalent lengths, and the times to train so long at the pace of each point."""
        lengths = self.found[curve.kind].lengths(self.study, curve)
        return replace(curve, count=lengths, time_s=curve.time_s * lengths / curve.count)

    def lines(self) -> list[str]:
        """Returns each kappa, what the baseline's points stand for, and why other kinds have no kappa."""
        lines = []
        for kind, one in self.found.items():
            curve = self.study.curves[one.method, kind]
            own, placed = (
                ', '.join(_rounded(counts, one.axis)) for counts in (curve.count, one.lengths(self.study, curve))
            )
            lines.append(f'{kind}: {one}: {own} stand for {placed} {PLURALS[one.axis]}')
            if not one.recorded:
                lines.append(f'{kind}: no run records its schedule, so its points are taken for all its troughs')
        return [*lines, *self.refused.values()]

    def record(self) -> dict[str, Any]:
        """Returns kappas and gaps as strict JSON has them: what ``compare --equivalent --json`` adds to its record."""
        written = {
            kind: {
                **{'kappa': one.kappa, 'interval': _interval(one.low, one.high), 'seeds': one.seeds},
                **{'method': one.method, one.axis: one.at, 'troughs_recorded': one.recorded},
                'gap': {method: _gap_record(gap, one.axis) for (method, of), gap in self.gaps.items() if of == kind},
            }
            for kind, one in self.found.items()
        }
        return {'equivalent': written, 'equivalent_refused': self.refused}


def _gap_record(found: Differences, axis: str) -> dict[str, Any]:
    mean = found.mean
    return {
        **{'mean': float(mean.value[0]), 'mean_distance': mean_distance(found), 'seeds': int(mean.seeds[0])},
        **{'interval': _interval(mean.low[0], mean.high[0]), 'mean_over': found.mean_count.tolist()},
        f'by_{axis}': _by(found.count, found.each.value),
        f'position_by_{axis}': _by(found.count, found.position),
        'left_out': found.left_out.tolist(),
    }


def mean_distance(found: Differences) -> float:
    """Returns the mean of the absolute gaps that their mean is over; of ratios, of their distances from 1."""
    each = found.each.value[np.isin(found.count, found.mean_count)]
    return float(np.abs(each - found.is_ratio).mean())


def _interval(low: float, high: float) -> list[float] | None:
    return None if math.isnan(low) else [float(low), float(high)]


def _by(counts: Array, values: Array) -> dict[str, float]:
    return {f'{count:.12g}': value for count, value in zip(counts.tolist(), values.tolist(), strict=True)}


def _rounded(counts: Sequence[float] | Array, axis: str) -> list[str]:
    return count_labels([float(f'{count:.3g}') for count in counts], axis)
