"""The kinds of curve: which one a run draws, and the order in which they are listed and drawn."""

from __future__ import annotations

__all__ = ['CYCLIC', 'STANDARD', 'cyclic_kind', 'kind_order', 'run_kind']

STANDARD = 'standard'
CYCLIC = 'cyclic'


def cyclic_kind(t_hold: object) -> str:
    """Returns the kind of curve that a run of several cycles draws, by whether its cycles hold their peak.

    Args:
        t_hold (str | float | None): Length of the constant part before each decay; ``None`` or 0: there is none.

    Example:
        >>> cyclic_kind(None), cyclic_kind(0.9)
        ('cyclic', 'wsd-s')
    """
    return 'wsd-s' if t_hold else CYCLIC


def run_kind(troughs: int | None, t_hold: object = None) -> str:
    """Returns the kind of curve that a run draws: standard with one trough, cyclic or WSD-S with more.

    Args:
        troughs (int | None): Number of troughs up to the end of training; ``None``: not known, so several.
        t_hold (str | float | None): As for :func:`cyclic_kind`. Default: ``None``.

    Example:
        >>> run_kind(1), run_kind(6), run_kind(6, t_hold=0.9)
        ('standard', 'cyclic', 'wsd-s')
    """
    return STANDARD if troughs is not None and troughs <= 1 else cyclic_kind(t_hold)


def kind_order(kind: str) -> tuple[bool, bool, str]:
    """Returns the key that sorts kinds of curve: standard, cyclic, then the others by name.

    Example:
        >>> sorted(['wsd-s', 'cyclic', 'branch', 'standard'], key=kind_order)
        ['standard', 'cyclic', 'branch', 'wsd-s']
    """
    return kind != STANDARD, kind != CYCLIC, kind
