"""The average of an anytime run: its arguments, checked before anything heavy is imported, and its windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from composer_clr.schedule.shapes import cosine, linear, one_minus_sqrt
from composer_clr.utils.errors import did_you_mean

__all__ = ['DECAYS', 'Window', 'check_average', 'decay_named', 'most_open', 'read_average', 'tail']

DECAYS: dict[str, Callable[[float], float]] = {'linear': linear, 'cosine': cosine, '1-sqrt': one_minus_sqrt}
_WINDOW = 0.25
_SHARES = ('window', 'half_life', 'decay')
_KEYS = (*_SHARES, 'device', 'bn_batches')


def decay_named(name: object) -> Callable[[float], float]:
    """Returns the decay of a name."""
    if not isinstance(name, str) or name not in DECAYS:
        raise ValueError(
            f'decay={name!r}: unknown decay{did_you_mean(str(name), list(DECAYS))}; give one of {", ".join(DECAYS)} '
            '(linear is the uniform average)'
        )
    return DECAYS[name]


def check_average(
    window: float | None = None, half_life: float | None = None, decay: str = 'linear'
) -> tuple[float | None, float | None]:
    """Returns the window (by default 0.25) and the half-life of an average, parts of the time so far; one is ``None``.

    Example:
        >>> check_average(), check_average(half_life=0.5)
        ((0.25, None), (None, 0.5))
    """
    decay_named(decay)
    if half_life is None:
        return _part('window', _WINDOW if window is None else window, most=1.0), None
    if window is not None or decay != 'linear':
        raise ValueError(f'{half_life=} replaces window and decay: leave out half_life, or both of these')
    return None, _part('half_life', half_life)


def read_average(arguments: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Returns the window and the half-life of a recipe's ``schedule.average``."""
    unknown = next((key for key in arguments if key not in _KEYS), None)
    if unknown is not None:
        raise ValueError(f'unknown key {unknown!r}{did_you_mean(unknown, _KEYS)}; the keys are {", ".join(_KEYS)}')
    return check_average(**{key: arguments[key] for key in _SHARES if key in arguments})  # type: ignore[arg-type]


def _part(name: str, value: float, most: float = float('inf')) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        allowed = 'above 0' if most == float('inf') else f'above 0 and at most {most:g}'
        raise ValueError(f'{name}={value!r}: must be a part of the time so far, {allowed}')
    return float(value)


class Window(NamedTuple):
    """A stretch of training that an average is taken over: the steps that end after ``start``, up to ``end``."""

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
    :math:`\lceil \log(1 / (1 - f)) / \log r \rceil` copies.

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
