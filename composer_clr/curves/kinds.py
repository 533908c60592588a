"""The kinds of curve: which one a run draws, and the order in which they are listed and drawn."""

from __future__ import annotations

__all__ = ['ANYTIME', 'CYCLIC', 'MERGED', 'SCHEDULE_FREE', 'STANDARD', 'cyclic_kind', 'kind_order', 'run_kind']

STANDARD = 'standard'
CYCLIC = 'cyclic'
# Runs without a decay: their points are averaged weights.
ANYTIME = 'anytime'
SCHEDULE_FREE = 'schedule-free'
# Averages of the checkpoints of a run.
MERGED = 'merged'


def cyclic_kind(t_hold: object) -> str:
    """Returns the kind of curve that a run of several cycles draws, by whether its cycles hold their peak.

    Args:
        t_hold (str | float | None): Length of the constant part before each decay; ``None`` or 0: there is none.

    Example:
        >>> cyclic_kind(None), cyclic_kind(0.9)
        ('cyclic', 'wsd-s')
    """
    return 'wsd-s' if t_hold else CYCLIC


def run_kind(troughs: int | None, t_hold: object = None, *, decays: bool = True, schedule_free: bool = False) -> str:
    """Returns the kind of curve that a run draws: standard with one trough, cyclic or WSD-S with more.

    Args:
        troughs (int | None): Number of troughs up to the end of training; ``None``: not known, so several.
        t_hold (str | float | None): As for :func:`cyclic_kind`. Default: ``None``.
        decays (bool): Whether the rate comes down at the troughs; else they are the marks of an anytime run. Default:
            ``True``.
        schedule_free (bool): Whether the optimizer is schedule-free. Default: ``False``.

    Example:
        >>> run_kind(1), run_kind(6), run_kind(6, t_hold=0.9), run_kind(6, decays=False)
        ('standard', 'cyclic', 'wsd-s', 'anytime')
    """
    if schedule_free:
        return SCHEDULE_FREE
    if not decays:
        return ANYTIME
    return STANDARD if troughs is not None and troughs <= 1 else cyclic_kind(t_hold)


def kind_order(kind: str) -> tuple[bool, bool, str]:
    """Returns the key that sorts kinds of curve: standard, cyclic, then the others by name.

    Example:
        >>> sorted(['wsd-s', 'cyclic', 'branch', 'standard'], key=kind_order)
        ['standard', 'cyclic', 'branch', 'wsd-s']
    """
    return kind != STANDARD, kind != CYCLIC, kind
