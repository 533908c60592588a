"""Forecasts what one more doubling of a curve gives, with a 90% interval, or says why that is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from composer_clr.curves.axes import PLURALS, count_labels
from composer_clr.curves.metrics import difference_unit, is_percentage
from composer_clr.curves.names import LOG, MARKED, STANDARD
from composer_clr.curves.settings import settings_of
from composer_clr.study.alignment import weights
from composer_clr.study.curve import Curve
from composer_clr.study.estimates import TIE, Array, figures, student_t
from composer_clr.study.noise import seed_deviation
from composer_clr.study.table import Study
from composer_clr.utils.errors import listed

__all__ = ['DOUBLE_WITHIN', 'Forecast', 'forecast_record', 'forecasts', 'next_value', 'refusal']

_LEVEL = 0.9
_POINTS = 4
# How far a length may be from the one that would double, relatively.
DOUBLE_WITHIN = 0.05
# A later gain over the one before, from which on the curve is not seen to bend.
_BENDS = 0.7
# What part of the error that is left the last doubling may have removed.
_STEEP = 0.1
# Composer's names of devices that are no GPU.
_NO_GPU = ('cpu', 'mps')


class Forecast(NamedTuple):
    """What one more doubling of a curve's last point gives.

    Attributes:
        method (str): The set of algorithms.
        kind (str): The kind of curve.
        axis (str): What the curve counts, such as ``'epoch'``.
        at (float): The count of its last point.
        last (float): The value there, in the metric's own unit.
        value (float): The value at ``2 * at``; NaN, as both ends, where it is refused.
        low (float): Lower end of the 90% interval of the mean over as many seeds.
        high (float): Upper end.
        least (float): The improvement at the worse end: above 0 is better, in percentage points of a fraction.
        likely (float): The improvement of ``value``.
        most (float): The improvement at the better end.
        seeds (int): The number of seeds.
        sigma (float): The standard deviation of a run between seeds, as :func:`forecasts` takes it; NaN if unknown.
        refused (str): Why there is no forecast; else empty.
        added (float): What is to be trained for it: as much again, or for separate runs twice the last one.
        added_s (float): Seconds of training that this takes at the pace of the last cycle; NaN without times.
        last_s (float): The training time of the last point.
        gpus (float): The number of GPUs that trained the last point, which is that of ranks; NaN if it is not known.
    """

    method: str
    kind: str
    axis: str
    at: float
    last: float
    value: float
    low: float
    high: float
    least: float
    likely: float
    most: float
    seeds: int
    sigma: float
    refused: str
    added: float
    added_s: float
    last_s: float
    gpus: float

    @property
    def next_s(self) -> float:
        """The training time of the point to come."""
        return self.added_s if self.kind == STANDARD else self.last_s + self.added_s

    def is_worth(self, gain: float) -> str:
        """Returns whether the doubling improves by at least so much: ``'yes'``, ``'no'`` or ``'undecided'``."""
        return 'yes' if self.least >= gain else 'no' if self.most < gain else 'undecided'


def next_value(values: npt.ArrayLike, noise: npt.ArrayLike, freedom: float = math.inf) -> tuple[float, float, float]:
    r"""Returns the value at one more doubling, and the ends of its 90% interval.

    Of the last three values :math:`y_0, y_1, y_2`, with :math:`d_0 = y_1 - y_0` and :math:`d_1 = y_2 - y_1`:

    .. math::
        u = y_2 + \max(d_1, 0) \min(d_1 / d_0, 1), \qquad l = y_2 + d_1 - \max(d_0 - d_1, 0)

    :math:`u` lies on a power law with an offset, whose gains shrink by the same ratio; :math:`l` on a parabola in the
    logarithm of the length, whose gains shrink by the same amount and which can turn down. The forecast is :math:`(l +
    u) / 2`, its interval :math:`[l - c \, s_l, u + c \, s_u]`. :math:`s_l` and :math:`s_u` are the standard errors of
    the differences between each bound and the next value as measured, and :math:`c` solves

    .. math:: T_\nu(c + (u - l) / \max(s_l, s_u)) - T_\nu(-c) = 0.9,

    so that it is a one-sided quantile where the bounds are far apart, and a two-sided one where they meet. In simulated
    studies of 2, 3 and 5 seeds that differ by 0.05, 0.12 and 0.3 points, these hold in 89% of power laws, 92% of
    parabolas, 92% of exponentials in time and 92% of logistic curves, in no setting in less than 82%. One half-width
    :math:`\sqrt{((u - l) / 2)^2 + (t s)^2}` holds in 83%, 75%, 89% and 91%, in a setting in 62% of parabolas: where
    seeds differ little, either bound is the next value itself.

    Args:
        values (ArrayLike): At doubling lengths, the shortest first, turned so that more is better; those that
            :func:`refusal` does not refuse.
        noise (ArrayLike): The standard error of each of the last three values, or one for all; the next one has that
            of the last.
        freedom (float): Its degrees of freedom :math:`\nu`. Default: infinite, the noise is known.

    Example:
        >>> [round(value, 3) for value in next_value([71.0, 74.0, 76.0, 77.0], 0.0)]
        [77.25, 77.0, 77.5]
        >>> [round(value, 3) for value in next_value([71.0, 74.0, 76.0, 77.0], 0.07)]
        [77.25, 76.595, 77.733]

    Source:
        The bounds were chosen on the curves of Portes et al. 2022, arXiv:2206.00832. The interval is that of Imbens and
        Manski 2004, doi:10.1111/j.1468-0262.2004.00555.x, of which each end has its own standard error.
    """
    from scipy.special import stdtr  # figures need not wait for scipy

    y = np.asarray(values, dtype=float)[-3:]
    d0, d1 = np.diff(y)
    ratio = max(d1 / d0, 0.0)
    high, low = y[2] + ratio * max(d1, 0.0), y[2] + 2 * d1 - d0
    # How the three values and the next one move each bound's error.
    moved = np.array([[1, -3, 3, -1], [ratio**2, -ratio * (2 + ratio), 1 + 2 * ratio, -1]])
    each = np.broadcast_to(np.asarray(noise, dtype=float), 3)
    of_low, of_high = np.linalg.norm(moved * np.append(each, each[-1]), axis=1)
    largest = max(of_low, of_high)
    apart = (high - low) / largest if largest > 0 else math.inf
    quantiles = np.linspace(student_t(freedom, _LEVEL), student_t(freedom, (1 + _LEVEL) / 2), 1001)
    held = stdtr(freedom, quantiles + apart) - stdtr(freedom, -quantiles)
    quantile = float(np.interp(_LEVEL, held, quantiles))
    return float(low + high) / 2, float(low - quantile * of_low), float(high + quantile * of_high)


def refusal(values: npt.ArrayLike, ceiling: float | None = None) -> str:
    r"""Returns why values do not show what comes next; an empty text where they do.

    With the gains :math:`d_0` and :math:`d_1` of the last two doublings: :math:`d_0 \le 0`, the curve is past its top;
    :math:`d_1 > 0.7 \, d_0`, it does not bend yet, and a straight line in the logarithm of the length may go on; or
    :math:`d_1 > 0.1 (c - y_2)`, it is still steep.

    Args:
        values (ArrayLike): At doubling lengths, the shortest first, turned so that more is better.
        ceiling (float | None): The best value :math:`c` that there can be, such as 1 for an accuracy. Default:
            ``None``, none is known.

    Example:
        >>> refusal([71.0, 74.0, 76.0, 77.0], ceiling=100.0), refusal([0.5, 0.5, 0.5, 0.5])
        ('', 'past its top: the doubling before the last gained nothing')
    """
    y = np.asarray(values, dtype=float)
    if len(y) < _POINTS:
        return f'{len(y)} point{"s" if len(y) > 1 else ""}: a forecast needs {_POINTS}, each of twice the length before'
    d0, d1 = np.diff(y[-3:])
    if d0 <= TIE * np.abs(y[-3:]).max():
        return 'past its top: the doubling before the last gained nothing'
    if d1 > _BENDS * d0:
        return f'does not bend yet: the last doubling gained {d1 / d0:.2f} of the one before, over {_BENDS}'
    if ceiling is not None and d1 > _STEEP * (ceiling - y[-1]):
        left = f'{d1 / (ceiling - y[-1]):.0%} of the error that is left' if ceiling > y[-1] else 'all the error'
        return f'still steep: the last doubling gained {left}, over {_STEEP:.0%}'
    return ''


def forecasts(study: Study, sigma: float | None = None) -> list[Forecast]:
    r"""Returns the forecast of each curve of a study by :func:`next_value`, or the reason of :func:`refusal`.

    Values are taken at :math:`T, T/2, T/4` of the last point, in the logarithm of the length between points that are
    within 5% of these, over the seeds that the curve is followed along. The noise of a value is :math:`s / \sqrt n`,
    with :math:`s` and its degrees of freedom by :func:`.seed_deviation` over all points of the curve. The ceiling is 1
    of what lies in [0, 1] and 100 of percentages; of errors in these units 0 is the best; of losses and others none is
    known.

    Refused are also points that share one decay (a training log), fewer than 4 points, lengths that do not double, and
    one seed without a ``sigma``. There is no forecast of more than one doubling.

    Args:
        study (Study): The study, best over all seeds of each curve.
        sigma (float | None): The standard deviation of a run between seeds: in percentage points of a fraction, as a
            fraction of a perplexity, else in the metric's own unit. Default: ``None``, as the seeds have it.
    """
    return [_forecast(study, curve, sigma) for curve in study.curves.values()]


def _forecast(study: Study, curve: Curve, sigma: float | None) -> Forecast:
    followed = curve.followed
    count, last = followed.count, float(study.values(followed).value[-1])
    # Of gains: where the points of a run go up and down together, their noise cancels.
    measured = seed_deviation([curve.value], points_go_together=False)
    deviation, freedom = measured if sigma is None else (sigma / study.scale, math.inf)
    at, _ = weights(count[-1] / 2.0 ** np.arange(_POINTS - 1, -1, -1), count)
    found = figures(curve.sign * followed.value, at)
    refused = _unfit(curve, count) or refusal(found.value, _ceiling(study))
    if not refused and not deviation > TIE * np.abs(found.value[-1]):
        seeds = 'one seed' if math.isnan(deviation) else 'the seeds are the same to the last digit'
        refused = f'{seeds}, so the noise is not known: train another one, or give --sigma'
    value = low = high = math.nan
    if not refused:
        ends = next_value(found.value, deviation / np.sqrt(found.seeds[-3:]), freedom)
        value, low, high = curve.in_own_unit(ends)
        low, high = sorted((low, high))
    least, likely, most = (curve.sign * study.scale * (end - last) for end in (low, value, high))
    return Forecast(
        *(curve.method, curve.kind, curve.axis, float(count[-1]), last, value, low, high),
        *(min(least, most), likely, max(least, most)),
        *(int(found.seeds[-1]), deviation * study.scale, refused, *_cost(followed), _gpus(followed)),
    )


def _unfit(curve: Curve, count: Array) -> str:
    """Returns why the points of a curve are none that double."""
    if curve.kind in (LOG, MARKED):
        return 'its points share one decay: a longer run would have had another rate at all of them'
    if len(count) < _POINTS:
        return refusal(count)
    wanted = count[-1] / 2.0 ** np.arange(_POINTS - 1, 0, -1)
    apart = np.abs(np.log(count[:, None] / wanted)).min(axis=0)
    missing = wanted[apart > math.log1p(DOUBLE_WITHIN)]
    if len(missing):
        lengths = listed(count_labels([float(f'{one:.4g}') for one in missing], curve.axis))
        return f'its points do not double: none is within {DOUBLE_WITHIN:.0%} of {lengths} {PLURALS[curve.axis]}'
    return ''


def _ceiling(study: Study) -> float | None:
    """Returns the best value that there can be, turned so that more is better; ``None`` if it is not known."""
    if study.scale != 100 and not is_percentage(study.metric.removeprefix('peak:')):
        return None
    return 0.0 if study.lower_is_better else 1.0 if study.scale == 100 else 100.0


def _cost(curve: Curve) -> tuple[float, float, float]:
    """Returns what is trained for the next point, the seconds of that, and the training time of the last one."""
    last, times = float(curve.count[-1]), [_mean(of_point) for of_point in curve.time_s.T[-2:]]
    if curve.kind == STANDARD:
        return 2 * last, 2 * times[-1], times[-1]
    pace = np.diff(times, prepend=0.0)[-1] / np.diff(curve.count[-2:], prepend=0.0)[-1]
    return last, float(pace * last), times[-1]


def _gpus(curve: Curve) -> float:
    on_cpus = any(settings_of(run.run).get('device') in _NO_GPU for run in curve.timed)
    return math.nan if on_cpus else _mean(curve.ranks[:, -1])


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def forecast_record(study: Study, found: Sequence[Forecast], worth: float | None = None) -> dict[str, Any]:
    """Returns forecasts as strict JSON has them: what ``composer-clr forecast --json`` writes.

    Each curve has ``method``, ``kind``, ``at``, ``last``, ``value``, ``low``, ``high`` and ``refused``, which is
    ``null`` where there is a forecast, and the other fields of :class:`Forecast`; with ``worth``, its answer.
    """
    records = []
    for one in found:
        plain = {key: None if isinstance(of, float) and math.isnan(of) else of for key, of in one._asdict().items()}
        plain['refused'] = one.refused or None
        if worth is not None:
            plain['worth'] = None if one.refused else one.is_worth(worth)
        records.append(plain)
    return {
        'metric': study.metric,
        'direction': 'min' if study.lower_is_better else 'max',
        'unit': difference_unit(study.metric.removeprefix('peak:'), study.scale),
        'level': _LEVEL,
        'worth': worth,
        'curves': records,
        'seed_notes': list(study.notes),
    }
