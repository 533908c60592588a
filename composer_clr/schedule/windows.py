"""The stretches of training that averages are taken over, and how many of them overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ['Window', 'most_open', 'tail']


class Window(NamedTuple):
    """A stretch of training that an average is taken over.

    Attributes:
        start (int): Where it starts; the step that ends there is not in it.
        end (int): The mark; the step that ends there is in it.
    """

    start: int
    end: int


def tail(end: int, fraction: float) -> Window:
    """Returns the last fraction of training up to a mark, rounded to a whole length of at least 1.

    Example:
        >>> tail(40, 0.25), tail(2, 0.25)
        (Window(start=30, end=40), Window(start=1, end=2))
    """
    return Window(end - max(1, round(fraction * end)), end)


def most_open(windows: Iterable[Window]) -> int:
    r"""Returns how many windows are open at once at most: the copies of the weights that an anytime run keeps.

    Marks in the ratio :math:`r` with windows of the last fraction :math:`f` need
    :math:`\lceil \log(1 / (1 - f)) / \log r \rceil` copies: 1 for doubling marks, 5 for fifty marks from 16 to 512.

    Example:
        >>> most_open(tail(end, 0.25) for end in (16, 32, 64)), most_open(tail(end, 0.5) for end in (16, 20, 24, 28))
        (1, 4)
    """
    edges = sorted(edge for window in windows for edge in ((window.start, 1), (window.end, -1)))
    count = most = 0
    for _, change in edges:
        count += change
        most = max(most, count)
    return most
