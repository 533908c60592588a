"""The learning rate schedule of an anytime run: linear warmup, then a constant or slowly falling rate, and no decay."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from composer.core import Time

from composer_clr.schedule.arguments import ScheduleArguments
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.shapes import check_rate

__all__ = ['AnytimeScheduler']


class AnytimeScheduler(CyclicCosineScheduler):
    r"""Linear warmup, then a constant rate or one over the square root of time, with marks at which to evaluate.

    .. math::
        \alpha(t) = \begin{cases}
            t / t_{warmup} & t < t_{warmup} \\
            1 \quad \text{or} \quad \sqrt{a / (t - t_{warmup} + a)} & \text{otherwise}
        \end{cases}

    At a constant rate the multiplier is, bit for bit, that of Composer's ``ConstantWithWarmupScheduler``. The marks do
    not change it; :class:`~composer_clr.AnytimeAverage` evaluates averaged weights at them.

    Args:
        marks (Sequence[str | Time] | None): The marks, in increasing order. Default: ``None``, those at which
            :class:`~composer_clr.CyclicCosineScheduler` with ``t_0`` and ``t_mult`` has its troughs. See
            :func:`~composer_clr.ends_by_ratio` and :func:`~composer_clr.ends_log_spaced`.
        t_warmup (str | Time): Length of the linear warmup, >= 0. Default: ``'0ba'``.
        rate (str): ``'constant'`` or ``'1/sqrt'``. Default: ``'constant'``.
        a (str | Time | None): With ``'1/sqrt'``, :math:`a` > 0: the time after the warmup in which the rate falls to
            0.71 of its peak. Default: ``None``.
        t_0 (str | Time | None): In place of ``marks``. Default: ``None``.
        t_mult (float | Fraction): With ``t_0``. Default: ``2.0``.

    Raises:
        ValueError: As :class:`~composer_clr.CyclicCosineScheduler`, or if ``rate`` is unknown or ``a`` does not go with
            it.

    Example:
        >>> from composer_clr import AnytimeScheduler
        >>> AnytimeScheduler(['4ep', '16ep', '64ep'], t_warmup='2ep')
        AnytimeScheduler(marks=['4ep', '16ep', '64ep'], t_warmup='2ep', rate='constant')

    Source:
        arXiv:2602.03702: the constant rate and the one over the square root of time, with averaged weights.
    """

    def __init__(
        self,
        marks: Sequence[str | Time] | None = None,
        t_warmup: str | Time = '0ba',
        *,
        rate: str = 'constant',
        a: str | Time | None = None,
        t_0: str | Time | None = None,
        t_mult: float | Fraction = 2.0,
    ):
        check_rate(rate, a)
        self._follow(ScheduleArguments.read(t_0=t_0, t_mult=t_mult, t_warmup=t_warmup, marks=marks, rate=rate, a=a))
