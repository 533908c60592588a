"""The kinds of curve: which one a run draws, and the order in which they are listed and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    'ANYTIME',
    'CYCLIC',
    'MARKED',
    'MERGED',
    'SCHEDULE_FREE',
    'STANDARD',
    'WSD_S',
    'anytime_kind',
    'cyclic_kind',
    'has_cycles',
    'has_marks',
    'kind_order',
    'kind_without_shape',
    'merged_kind',
    'run_kind',
]

STANDARD = 'standard'
CYCLIC = 'cyclic'
WSD_S = 'wsd-s'
# Runs without a decay: their points are averaged weights.
ANYTIME = 'anytime'
SCHEDULE_FREE = 'schedule-free'
# Points at given times of a run with one decay.
MARKED = 'marked'
# Averages of the checkpoints of a run.
MERGED = 'merged'
# Ends of the kinds whose points are of other weights than those in training.
_OTHER_WEIGHTS = ('-averaged', '-fast-cycles', '-plain')


def cyclic_kind(arguments: Mapping[str, Any]) -> str:
    """Returns the kind of curve that a run of several cycles draws: by the shape of its cycles.

    Plain cosine cycles are ``cyclic``, those that hold their peak ``wsd-s``; all else is added to the name.

    Args:
        arguments (Mapping): Of the schedule: ``t_hold``, ``shape``, ``peak_decay``, ``t_rewarmup``; those missing are
            the defaults.

    Example:
        >>> cyclic_kind({}), cyclic_kind({'t_hold': 0.9}), cyclic_kind({'t_hold': '2ep', 'shape': 'linear'})
        ('cyclic', 'wsd-s', 'wsd-s-linear')
        >>> cyclic_kind({'peak_decay': 'sqrt'}), cyclic_kind({'shape': 'triangle', 't_rewarmup': 0.1})
        ('cyclic-peak-sqrt', 'cyclic-triangle-rewarmup')
    """
    parts = [WSD_S if arguments.get('t_hold') else CYCLIC]
    if (shape := arguments.get('shape', 'cosine')) != 'cosine':
        parts.append(str(shape))
    decay = arguments.get('peak_decay')
    if decay is not None and decay != 1:
        parts.append(f'peak-{decay if isinstance(decay, str) else f"{decay:g}" if _is_number(decay) else "list"}')
    if arguments.get('t_rewarmup'):
        parts.append('rewarmup')
    return '-'.join(parts)


def anytime_kind(arguments: Mapping[str, Any]) -> str:
    """Returns the kind of curve that an anytime run draws: by its rate and its average.

    The constant rate with the uniform average over the last quarter is ``anytime``; all else is added to the name.

    Args:
        arguments (Mapping): Of the schedule: ``rate``, and ``average``, the arguments of the average; those missing are
            the defaults.

    Example:
        >>> anytime_kind({}), anytime_kind({'rate': '1/sqrt', 'average': {'window': 0.5, 'decay': 'cosine'}})
        ('anytime', 'anytime-falling-window-0.5-cosine')
    """
    parts = [ANYTIME]
    if arguments.get('rate', 'constant') != 'constant':
        parts.append('falling')
    return '-'.join(parts + _average_parts(arguments.get('average') or {}))


def merged_kind(window: float, decay: str) -> str:
    """Returns the kind of curve that averages of checkpoints draw, named as :func:`anytime_kind` names averages.

    Example:
        >>> merged_kind(0.25, 'linear'), merged_kind(0.5, '1-sqrt')
        ('merged', 'merged-window-0.5-1-sqrt')
    """
    return '-'.join([MERGED, *_average_parts({'window': window, 'decay': decay})])


def _average_parts(average: Mapping[str, Any]) -> list[str]:
    parts = []
    if average.get('half_life') is not None:
        parts.append(f'half-life-{_plain(average["half_life"])}')
    if average.get('window') not in (None, 0.25):
        parts.append(f'window-{_plain(average["window"])}')
    if average.get('decay', 'linear') != 'linear':
        parts.append(str(average['decay']))
    return parts


def kind_without_shape(kind: str) -> str:
    """Returns the kind without what its shape adds to it.

    Example:
        >>> kind_without_shape('wsd-s-linear'), kind_without_shape('cyclic-peak-sqrt'), kind_without_shape('branch')
        ('wsd-s', 'cyclic', 'branch')
    """
    if kind.startswith((ANYTIME, MERGED)) and not kind.endswith(_OTHER_WEIGHTS):
        return ANYTIME if kind.startswith(ANYTIME) else MERGED
    return next((plain for plain in (WSD_S, CYCLIC) if has_cycles(kind) and kind.startswith(plain)), kind)


def has_cycles(kind: str) -> bool:
    """Returns whether runs of a kind have several cycles, of any shape.

    Example:
        >>> [has_cycles(kind) for kind in ('cyclic', 'wsd-s-linear', 'standard', 'cyclic-averaged')]
        [True, True, False, False]
    """
    return kind.startswith((CYCLIC, WSD_S)) and not kind.endswith(_OTHER_WEIGHTS)


def has_marks(kind: str) -> bool:
    """Returns whether the points of a kind are at marks, which the learning rate does not show.

    Example:
        >>> [has_marks(kind) for kind in ('anytime-falling', 'schedule-free', 'marked', 'cyclic')]
        [True, True, True, False]
    """
    return kind.startswith(ANYTIME) or kind in (SCHEDULE_FREE, MARKED)


def _plain(value: object) -> str:
    return f'{value:g}' if isinstance(value, (int, float)) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def run_kind(
    troughs: int | None,
    arguments: Mapping[str, Any] | None = None,
    *,
    decays: bool = True,
    comes_down: bool = True,
    averaged: bool = True,
    schedule_free: bool = False,
) -> str:
    """Returns the kind of curve that a run draws: standard with one trough, cyclic or WSD-S with more.

    Args:
        troughs (int | None): Number of troughs up to the end of training; ``None``: not known, so several.
        arguments (Mapping | None): Of the schedule, as for :func:`cyclic_kind`. Default: ``None``.
        decays (bool): Whether the rate comes down; else the troughs are the marks of an anytime run. Default: ``True``.
        comes_down (bool): Whether the rate may come down at every trough, rather than at the end alone. Default:
            ``True``.
        averaged (bool): Whether the points of an anytime run are of averaged weights, and not of those in training.
            Default: ``True``.
        schedule_free (bool): Whether the optimizer is schedule-free. A decay beside it is added to the name. Default:
            ``False``.

    Example:
        >>> run_kind(1), run_kind(6), run_kind(6, {'t_hold': 0.9}), run_kind(6, decays=False)
        ('standard', 'cyclic', 'wsd-s', 'anytime')
        >>> run_kind(6, decays=False, averaged=False), run_kind(6, schedule_free=True)
        ('anytime-plain', 'schedule-free-cyclic')
    """
    if schedule_free:
        return f'{SCHEDULE_FREE}-{run_kind(troughs, arguments, comes_down=comes_down)}' if decays else SCHEDULE_FREE
    if not decays:
        return anytime_kind(arguments or {}) + ('' if averaged else '-plain')
    if troughs is not None and troughs <= 1:
        return STANDARD
    return cyclic_kind(arguments or {}) if comes_down else MARKED


def kind_order(kind: str) -> tuple[bool, bool, str]:
    """Returns the key that sorts kinds of curve: standard, cyclic, then the others by name.

    Example:
        >>> sorted(['wsd-s', 'cyclic', 'branch', 'standard'], key=kind_order)
        ['standard', 'cyclic', 'branch', 'wsd-s']
    """
    return kind != STANDARD, kind != CYCLIC, kind
