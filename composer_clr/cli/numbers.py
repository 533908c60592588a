"""Numbers and names as the tables of the commands write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from rich.markup import escape

from composer_clr.analysis.resampling import Speedup
from composer_clr.analysis.uncertainty import Estimate, seeds_to_resolve
from composer_clr.utils.errors import printable

__all__ = [
    'better',
    'estimated',
    'interval',
    'interval_heading',
    'marked',
    'marks',
    'plain',
    'plus_minus',
    'plus_minus_heading',
    'resolved',
    'safe',
    'signed',
    'without_interval',
]


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
    """Returns a number with so many decimals, or nothing; one that is half-way but for float errors is half-way.

    Example:
        >>> plain(1.9375), plain(1.9374999999999996), plain(None)
        ('1.938', '1.938', '')
    """
    return '' if value is None else f'{float(f"{value:.12g}"):.{digits}f}'


def interval(found: _WithInterval, spelled: Callable[[float], str] = plain) -> str:
    """Returns a 95% interval, or nothing with one seed.

    Args:
        found (Estimate | Speedup | Crossing): The figure.
        spelled (Callable[[float], str]): What writes its ends.
    """
    return '' if found.low is None or found.high is None else f'[{spelled(found.low)}, {spelled(found.high)}]'


def better(lower_is_better: bool) -> str:
    """Returns the direction of a metric, for a title."""
    return 'less is better' if lower_is_better else 'more is better'


def estimated(value: float | None, found: _WithInterval | None, spelled: Callable[[float], str] = plain) -> str:
    """Returns a figure and its 95% interval, if it has one: ``0.981 [0.912, 1.000]``."""
    if value is None:
        return ''
    return spelled(value) if found is None else f'{spelled(value)} {interval(found, spelled)}'.rstrip()


def plus_minus(found: Estimate | None, digits: int = 3) -> str:
    """Returns a difference and half of its 95% interval, which is symmetric, if it has one.

    Example:
        >>> plus_minus(Estimate(0.5, 3, 0.1, 0.25, 0.75), 2), plus_minus(Estimate(-0.5, 1), 2), plus_minus(None)
        ('+0.50 ±0.25', '-0.50', '')
    """
    if found is None:
        return ''
    text = signed(found.value, digits)
    return text if found.low is None or found.high is None else f'{text} ±{(found.high - found.low) / 2:.{digits}f}'


def plus_minus_heading(found: Iterable[Estimate]) -> str:
    """Returns what a title says of the figures after ±."""
    return ', ± half of the 95% interval' if any(one.low is not None for one in found) else ''


def interval_heading(found: Iterable[_WithInterval]) -> str:
    """Returns what a heading says of the brackets below it."""
    return ' [95% interval]' if any(one.low is not None for one in found) else ''


def without_interval(speedups: Iterable[tuple[str, Speedup]]) -> list[str]:
    """Returns notes on the speedups, by name, that are known but have no interval."""
    speedups = list(speedups)
    reasons: dict[str, list[str]] = {}
    for name, found in speedups:
        if found.answer.exact is not None and found.low is None:
            reason = (
                'one seed, so no interval'
                if found.seeds < 2
                else 'no interval where a curve does not reach the value, or starts above it, in over 2.5% of the draws'
            )
            reasons.setdefault(reason, []).append(name)
    every = {name for name, _ in speedups}
    return [
        reason if set(names) == every else f'{reason}: {"; ".join(dict.fromkeys(names))}'
        for reason, names in reasons.items()
    ]


def resolved(found: Estimate, resolve: float) -> str:
    """Returns, in words, the number of seeds with which a difference of a given size would be found."""
    seeds = seeds_to_resolve(found, resolve)
    if seeds is None:
        return f'to find a difference of {resolve:g}: not known from one seed, train two or more'
    return f'to find a difference of {resolve:g} in 4 of 5 studies: {seeds} seeds'


def marked(text: str, unlike_times: str | None) -> str:
    """Returns what rests on times with a mark where they are not comparable; :func:`marks` says why.

    Example:
        >>> marked('1.94', None), marked('1.94', 'training times are not comparable: ...')
        ('1.94', '1.94 *')
    """
    return f'{text} *' if text and unlike_times else text


def marks(unlike_times: Iterable[str | None]) -> list[str]:
    """Returns the notes on what :func:`marked` marks."""
    return [f'* {why}' for why in dict.fromkeys(filter(None, unlike_times))]


def safe(text: str) -> str:
    """Returns a name from a file without escapes for the terminal or markup for rich."""
    return escape(printable(text))
