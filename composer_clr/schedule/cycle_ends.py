"""Troughs or marks to give to a schedule: listed, in a constant ratio, or evenly spaced in log time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from composer_clr.schedule.cycles import round_half_even
from composer_clr.schedule.times import read_duration

__all__ = ['ends_by_ratio', 'ends_log_spaced', 'read_marks']


def ends_by_ratio(first: str, last: str, ratio: float | Fraction = 2) -> list[str]:
    r"""Returns troughs in a constant ratio, from ``first`` up to at most ``last``.

    .. math::
        b_{k+1} = \operatorname{round}(\text{first} \cdot \text{ratio}^k) \le \text{last}

    Each is rounded once from the exact product, ties to the even number.

    Args:
        first (str): The first trough, > 0, in ``ep``, ``ba``, ``sp`` or ``tok``.
        last (str): Upper bound of the troughs, in the same unit.
        ratio (float | Fraction): Time of a trough over that of the one before, > 1. Default: ``2``, doubling.

    Raises:
        ValueError: If an argument is out of range, or two troughs are rounded to the same number.

    Example:
        >>> ends_by_ratio('16ep', '512ep')
        ['16ep', '32ep', '64ep', '128ep', '256ep', '512ep']
        >>> ends_by_ratio('16ep', '60ep', ratio=1.5)
        ['16ep', '24ep', '36ep', '54ep']
    """
    start, stop, unit = _checked(first, last)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float, Fraction)) or not 1 < ratio < math.inf:
        raise ValueError(f'ratio={ratio!r}: must be a finite number above 1')
    ends, exact = [], Fraction(start)
    while (end := round_half_even(exact.numerator, exact.denominator)) <= stop:
        ends.append(end)
        exact *= Fraction(ratio)
    return _spelled(ends, unit, first, last)


def ends_log_spaced(first: str, last: str, n: int) -> list[str]:
    r"""Returns troughs evenly spaced in the logarithm of time, both ends included.

    .. math::
        b_{k+1} = \operatorname{round}\bigl(\text{first}^{1 - k / (n - 1)} \, \text{last}^{k / (n - 1)}\bigr)

    Args:
        first (str): The first trough, > 0, in ``ep``, ``ba``, ``sp`` or ``tok``.
        last (str): The last one, in the same unit.
        n (int): Number of troughs, >= 2.

    Raises:
        ValueError: If an argument is out of range, or two troughs are rounded to the same number.

    Example:
        >>> ends_log_spaced('16ep', '512ep', 6)
        ['16ep', '32ep', '64ep', '128ep', '256ep', '512ep']
        >>> ends_log_spaced('100ba', '1000ba', 4)
        ['100ba', '215ba', '464ba', '1000ba']
    """
    start, stop, unit = _checked(first, last)
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f'{n=}: must be a whole number, 2 or more, since both ends are included')
    inner = [round(start * (stop / start) ** (k / (n - 1))) for k in range(1, n - 1)]
    return _spelled([start, *inner, stop], unit, first, last)


def read_marks(marks: object) -> list[str] | None:
    """Returns marks as a list of times: from a list, from ``{first, last, ratio}``, or from ``{first, last, n}``."""
    if marks is None:
        return None
    if isinstance(marks, Mapping):
        if set(marks) == {'first', 'last', 'ratio'}:
            return ends_by_ratio(**marks)
        if set(marks) == {'first', 'last', 'n'}:
            return ends_log_spaced(**marks)
    elif isinstance(marks, Sequence) and not isinstance(marks, str) and marks:
        listed = [str(mark) for mark in marks]
        if any(a == b for a, b in pairwise(listed)):
            raise ValueError(f'marks={listed}: names a time twice: list the marks in increasing order')
        return listed
    raise ValueError(
        f"marks={marks!r}: must be a list of times such as ['4ep', '6ep'], or {{first: 4ep, last: 64ep, ratio: 2}}, or "
        '{first: 4ep, last: 64ep, n: 50}'
    )


def _checked(first: str, last: str) -> tuple[int, int, str]:
    start, stop = read_duration('first', first), read_duration('last', last)
    if start.unit != stop.unit:
        raise ValueError(f'{first=} and {last=}: give both in one unit')
    if start.value >= stop.value:
        raise ValueError(f'{first=} does not come before {last=}')
    return int(start.value), int(stop.value), start.unit


def _spelled(ends: list[int], unit: str, first: str, last: str) -> list[str]:
    if any(later <= earlier for earlier, later in pairwise(ends)):
        raise ValueError(f'{first=}, {last=}: two troughs round to the same {unit}: give fewer troughs or a finer unit')
    return [f'{end}{unit}' for end in ends]
