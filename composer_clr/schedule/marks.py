"""A schedule without troughs: a warmup, then a constant or slowly falling multiplier, and marks to evaluate at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from itertools import pairwise

from composer_clr.schedule.cycle_ends import ends_by_ratio, ends_log_spaced
from composer_clr.schedule.cycles import Cycles

__all__ = ['RATES', 'Marks', 'check_rate', 'in_words_of_marks', 'read_marks']

RATES = ('constant', '1/sqrt')


class Marks(Cycles):
    r"""Marks in place of troughs: the multiplier does not come down at them.

    .. math::
        \alpha(t) = \begin{cases}
            t / t_{warmup} & t < t_{warmup} \\
            1 \quad \text{or} \quad \sqrt{a / (t - t_{warmup} + a)} & \text{otherwise}
        \end{cases}

    Args:
        start (int): End of the warmup, :math:`\ge 0`.
        ends (Iterable[int]): The marks, strictly increasing.
        a (float | None): :math:`a > 0`, in the unit of the marks; ``None`` is the constant multiplier. Default:
            ``None``.

    Example:
        >>> marks = Marks(2, [8, 64], a=2.0)
        >>> [marks.multiplier(t) for t in (0, 1, 2, 8)], marks.troughs(64)
        ([0.0, 0.5, 1.0, 0.5], [8, 64])
    """

    def __init__(self, start: int, ends: Iterable[int], a: float | None = None):
        super().__init__(start, ends)
        if a is not None and not a > 0:
            raise ValueError(f'a={a:g}: must be above 0')
        self.a = a

    @classmethod
    def of(cls, cycles: Cycles, a: float | None = None) -> Marks:
        """Returns marks where cycles have their troughs."""
        marks = cls(cycles.start, (), a)
        marks._bounds, marks._unread, marks._exhausted = [*cycles._bounds], copy(cycles._unread), cycles._exhausted
        return marks

    def multiplier(self, t: float, alpha_f: float = 0.0) -> float:
        """Returns the multiplier at time ``t``; it does not depend on ``alpha_f``."""
        del alpha_f
        if t < self.start:
            return t / self.start
        return 1.0 if self.a is None else math.sqrt(self.a / (t - self.start + self.a))

    def trough_multiplier(self, trough: int, alpha_f: float = 0.0) -> float:
        """Returns the multiplier at a mark."""
        return self.multiplier(trough, alpha_f)

    def peak(self, cycle: int) -> float:
        """Returns the multiplier right after the mark before a mark."""
        return self.multiplier(self.bounds(cycle)[0])


def check_rate(rate: object, a: object) -> None:
    """Refuses a rate that is unknown, or that ``a`` does not go with.

    Raises:
        ValueError: If the rate is not one of ``RATES``, or ``a`` is missing or has no place.

    Example:
        >>> check_rate('constant', None)
    """
    if rate not in RATES:
        raise ValueError(f'rate={rate!r}: must be one of {", ".join(RATES)}')
    if (a is not None) != (rate == '1/sqrt'):
        raise ValueError(f"rate={rate!r} with a={a!r}: 'constant' has no a, and '1/sqrt' needs one, such as a='4ep'")


def in_words_of_marks(message: str) -> str:
    """Returns an error about troughs in the words of marks.

    Example:
        >>> in_words_of_marks("cycle_ends[0]='0ep': the first trough must come after the start of training")
        "marks[0]='0ep': the first mark must come after the start of training"
    """
    return message.replace('cycle_ends', 'marks').replace('trough', 'mark')


def read_marks(marks: object) -> list[str] | None:
    """Returns marks as a list of times.

    Args:
        marks (Sequence[str] | Mapping | None): A list of times; or ``{first, last, ratio}``, each mark ``ratio`` times
            the one before; or ``{first, last, n}``, ``n`` marks evenly spaced in the logarithm of time; or ``None``.

    Raises:
        ValueError: If it is something else, or makes no increasing times.

    Example:
        >>> read_marks({'first': '16ep', 'last': '64ep', 'ratio': 2}), read_marks(['4ep', '6ep'])
        (['16ep', '32ep', '64ep'], ['4ep', '6ep'])
    """
    if marks is None:
        return None
    if isinstance(marks, Mapping):
        if set(marks) == {'first', 'last', 'ratio'}:
            return ends_by_ratio(marks['first'], marks['last'], marks['ratio'])
        if set(marks) == {'first', 'last', 'n'}:
            return ends_log_spaced(marks['first'], marks['last'], marks['n'])
    elif isinstance(marks, Sequence) and not isinstance(marks, str) and marks:
        listed = [str(mark) for mark in marks]
        if any(a == b for a, b in pairwise(listed)):
            raise ValueError(f'marks={listed}: names a time twice: list the marks in increasing order')
        return listed
    raise ValueError(
        f"marks={marks!r}: must be a list of times such as ['4ep', '6ep'], or {{first: 4ep, last: 64ep, ratio: 2}}, or "
        '{first: 4ep, last: 64ep, n: 50}'
    )
