"""Durations as people write and read them: ``90min``, ``1.5 h``."""

from __future__ import annotations

import math
import re

__all__ = ['read_duration', 'readable_duration', 'unit_of']

_SECONDS = {'s': 1.0, 'min': 60.0, 'h': 3600.0, 'd': 86400.0}
_DURATION = re.compile(r'(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*(s|min|h|d)?', re.ASCII)


def read_duration(text: str) -> float:
    """Returns the seconds of a duration above 0: a number of seconds, or of ``s``, ``min``, ``h`` or ``d``.

    Example:
        >>> read_duration('3600'), read_duration('1.5h')
        (3600.0, 5400.0)
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1] + (match[2] or '')) * _SECONDS[match[3] or 's'] if match else math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f'{text!r} is not a duration above 0: write 3600, 90min or 1.5h')
    return seconds


def unit_of(seconds: float) -> str:
    """Returns the unit in which a duration is easily read: hours from 2 hours, minutes from 5 minutes."""
    return 'h' if seconds >= 7200 else 'min' if seconds >= 300 else 's'


def readable_duration(seconds: float, unit: str | None = None) -> str:
    """Returns seconds in a unit, by default that of :func:`unit_of`, to three digits; above 1000, whole numbers.

    Example:
        >>> readable_duration(12.345), readable_duration(5400), readable_duration(5400, 'h')
        ('12.3 s', '90 min', '1.5 h')
    """
    unit = unit or unit_of(seconds)
    amount = seconds / _SECONDS[unit]
    return f'{amount:.0f} {unit}' if amount >= 1000 else f'{amount:.3g} {unit}'
