"""Numbers and names as the tables of the commands write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rich.markup import escape

from composer_clr.analysis.uncertainty import Estimate, seeds_to_resolve
from composer_clr.utils.text import printable

__all__ = ['interval', 'plain', 'resolved', 'safe', 'signed']


class _WithInterval(Protocol):
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def signed(value: float | None, digits: int = 3) -> str:
    """Returns a difference with its sign; what rounds to 0 has none.

    Example:
        >>> signed(0.0512), signed(-0.0001), signed(None)
        ('+0.051', '0.000', '')
    """
    if value is None:
        return ''
    text = f'{value:+.{digits}f}'
    return text[1:] if float(text) == 0 else text


def plain(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many decimals, or nothing."""
    return '' if value is None else f'{value:.{digits}f}'


def interval(found: _WithInterval, spelled: Callable[[float], str] = plain) -> str:
    """Returns a 95% interval, or nothing with one seed.

    Args:
        found (Estimate | Speedup | Crossing): The figure.
        spelled (Callable[[float], str]): What writes its ends.
    """
    return '' if found.low is None or found.high is None else f'[{spelled(found.low)}, {spelled(found.high)}]'


def resolved(found: Estimate, resolve: float) -> str:
    """Returns, in words, the number of seeds with which a difference of a given size would be found."""
    seeds = seeds_to_resolve(found, resolve)
    if seeds is None:
        return f'to find a difference of {resolve:g}: not known from one seed, train two or more'
    return f'to find a difference of {resolve:g} in 4 of 5 studies: {seeds} seeds'


def safe(text: str) -> str:
    """Returns a name from a file without escapes for the terminal or markup for rich."""
    return escape(printable(text))
