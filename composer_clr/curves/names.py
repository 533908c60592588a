"""The names of runs, methods and kinds of curve."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from string import Formatter
from typing import Any

__all__ = [
    'ANYTIME',
    'BASELINE',
    'BRANCH',
    'CYCLIC',
    'LOG',
    'MARKED',
    'MERGED',
    'METRIC_SETS',
    'SCHEDULE_FREE',
    'STANDARD',
    'WSD_S',
    'branch_file',
    'check_run_name',
    'filled_in',
    'has_cycles',
    'has_marks',
    'kind_order',
    'kind_without_shape',
    'method_algorithms',
    'method_name',
    'run_kind',
    'shaped_kind',
]

BASELINE = 'baseline'
# The paper's algorithms by abbreviation, with its arguments, in the order to list them in: after ChannelsLast,
# BlurPool's new layers would stay as they are laid out; after LabelSmoothing, MixUp would mix in unsmoothed targets.
_ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    'BP': ('BlurPool', {}),
    'CL': ('ChannelsLast', {}),
    'MX': ('MixUp', {'alpha': 0.2}),
    'LS': ('LabelSmoothing', {'smoothing': 0.1}),
}
# Algorithms of the usual training run, which make no method: numerics and stability, not what is learned.
_NO_METHOD = frozenset({'GradientClipping', 'LowPrecisionGroupNorm', 'LowPrecisionLayerNorm', 'NoOpModel'})

STANDARD = 'standard'
CYCLIC = 'cyclic'
WSD_S = 'wsd-s'
BRANCH = 'branch'
# Runs without a decay: their points are averaged weights.
ANYTIME = 'anytime'
SCHEDULE_FREE = 'schedule-free'
# Points at given times of a run with one decay.
MARKED = 'marked'
# Averages of the checkpoints of a run.
MERGED = 'merged'
# All points of one run, as a plain training log has them.
LOG = 'log'
# Prefixes of an evaluator's label, and ends of a kind, where the weights are others than those in training.
METRIC_SETS = ('averaged', 'fast-cycles', 'plain')
_OTHER_WEIGHTS = tuple(f'-{name}' for name in METRIC_SETS)


def check_run_name(name: str) -> None:
    """Refuses a run name that would lead out of the folder that it is filled into, or that a file cannot have.

    A slash makes a folder within the folder and is allowed; ``..``, an empty part (so an absolute path or a URI) and
    characters that do not print are not.

    Raises:
        ValueError: If the name is one of those.

    Example:
        >>> check_run_name('study/lr0.1')
        >>> check_run_name('../elsewhere')
        Traceback (most recent call last):
        ValueError: run_name='../elsewhere' cannot name a folder: leave out '..', empty parts and control characters
    """
    if not name.isprintable() or any(part in ('', '.', '..') for part in name.replace('\\', '/').split('/')):
        raise ValueError(f"run_name={name!r} cannot name a folder: leave out '..', empty parts and control characters")


def branch_file(duration: str) -> str:
    """Returns the name of the checkpoint that the branch of a duration starts from: ``branch-to-16ep.pt``."""
    return f'branch-to-{duration}.pt'


def filled_in(folder: str, run_name: str, *, key: str = 'folder', **numbers: Any) -> str:
    """Returns a folder with Composer's placeholders filled in, as its ``format_name_with_dist`` fills them.

    Args:
        folder (str): The folder or URI; ``{run_name}`` and the names of the numbers may stand in it.
        run_name (str): The run's name.
        key (str): The folder's key, for errors. Default: ``'folder'``.
        **numbers (int): ``world_size``, by default 1; ``local_world_size``, by default all ranks; ``rank``,
            ``local_rank`` and ``node_rank``, by default 0, of the rank that writes curves.

    Raises:
        ValueError: If the name cannot name a folder, a placeholder is unknown, or braces are left.

    Example:
        >>> filled_in('out/{run_name}/on-{world_size}', 'study', world_size=8)
        'out/study/on-8'
        >>> filled_in('out/{name}', 'study')
        Traceback (most recent call last):
        ValueError: folder='out/{name}' with run_name='study' cannot be filled in: {name} is not one of Composer's \
placeholders: run_name, world_size, local_world_size, rank, local_rank, node_rank
    """
    check_run_name(run_name)
    ranks = {'world_size': 1, 'local_world_size': numbers.get('world_size', 1)}
    values = {'run_name': run_name, **ranks, **dict.fromkeys(('rank', 'local_rank', 'node_rank'), 0), **numbers}
    try:
        if unknown := [name for _, name, _, _ in Formatter().parse(folder) if name is not None and name not in values]:
            raise ValueError(f"{{{unknown[0]}}} is not one of Composer's placeholders: {', '.join(values)}")
        uri = folder.format_map(values)
        if '{' in uri or '}' in uri:
            raise ValueError(f'it comes to {uri!r}, and Composer would fill in braces again: leave them out')
    except ValueError as error:
        raise ValueError(f'{key}={folder!r} with {run_name=} cannot be filled in: {error}') from error
    return uri


def method_name(algorithms: Iterable[str]) -> str:
    """Returns the name of the method that a set of Composer algorithms makes, in any order.

    Gradient clipping and low-precision norms are part of the usual run and not of the name.

    Args:
        algorithms (Iterable[str]): Names of Composer's algorithm classes, or of one's own: ``mine:Name``.

    Example:
        >>> method_name(['MixUp', 'LabelSmoothing']), method_name(['EMA', 'BlurPool']), method_name(['mine:Clamp'])
        ('LS+MX', 'BP+EMA', 'Clamp')
        >>> method_name([]), method_name(['GradientClipping'])
        ('baseline', 'baseline')
    """
    short = {name: abbreviation for abbreviation, (name, _) in _ALGORITHMS.items()}
    names = {name.rpartition(':')[2] for name in algorithms}
    chosen = sorted(names - _NO_METHOD, key=lambda name: (name not in short, short.get(name, name)))
    return '+'.join(short.get(name, name) for name in chosen) or BASELINE


def method_algorithms(method: str, others: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Returns the algorithms of a method in the order of application, the paper's with its arguments.

    Args:
        method (str): ``'baseline'``, or algorithms joined by ``+`` in any order: ``BP``, ``CL``, ``LS`` and ``MX``, or
            the name of another.
        others (Collection[str]): The names of other algorithms. Default: ``()``.

    Raises:
        ValueError: If the method has any other part.

    Example:
        >>> method_algorithms('LS+MX')
        {'MixUp': {'alpha': 0.2}, 'LabelSmoothing': {'smoothing': 0.1}}
        >>> method_algorithms('LS+CutMix+BP', ['CutMix', 'EMA'])
        {'BlurPool': {}, 'CutMix': {}, 'LabelSmoothing': {'smoothing': 0.1}}

    Source:
        Portes et al. 2022, arXiv:2206.00832, appendix A.
    """
    parts = [] if method == BASELINE else method.split('+')
    if unknown := [part for part in parts if part not in _ALGORITHMS and part not in others]:
        known = ', '.join(sorted(_ALGORITHMS)) + (', or other algorithms by name,' if others else '')
        raise ValueError(f'{method!r} has {unknown[0]!r}: a method is {BASELINE}, or {known} joined by +')
    # Other algorithms may change targets too, as MixUp does.
    *first, last = _ALGORITHMS
    named = [*first, *(part for part in parts if part not in _ALGORITHMS), last]
    return {
        name: dict(arguments) for name, arguments in (_ALGORITHMS.get(one, (one, {})) for one in named if one in parts)
    }


def shaped_kind(kind: str, arguments: Mapping[str, Any]) -> str:
    """Returns a kind of curve with what its schedule adds to the name: all that is not at its default.

    Args:
        kind (str): The plain kind. Cyclic runs that hold their peak (``t_hold``) are ``wsd-s``.
        arguments (Mapping): Of the schedule. Of cyclic runs, ``t_hold``, ``shape``, ``peak_decay`` and ``t_rewarmup``
            count; of anytime and merged ones ``rate``, and ``average``: ``half_life``, ``window`` and ``decay``.

    Example:
        >>> shaped_kind('cyclic', {}), shaped_kind('cyclic', {'t_hold': '2ep', 'shape': 'linear'})
        ('cyclic', 'wsd-s-linear')
        >>> shaped_kind('cyclic', {'peak_decay': 'sqrt', 't_rewarmup': 0.1})
        'cyclic-peak-sqrt-rewarmup'
        >>> shaped_kind('anytime', {'rate': '1/sqrt', 'average': {'window': 0.5, 'decay': 'cosine'}})
        'anytime-falling-window-0.5-cosine'
    """
    parts: list[str] = []
    if kind == CYCLIC:
        kind = WSD_S if arguments.get('t_hold') else CYCLIC
        shape, decay = arguments.get('shape', 'cosine'), arguments.get('peak_decay')
        parts += [] if shape == 'cosine' else [str(shape)]
        parts += [] if decay in (None, 1) else [f'peak-{"list" if isinstance(decay, (list, tuple)) else _plain(decay)}']
        parts += ['rewarmup'] if arguments.get('t_rewarmup') else []
    elif kind in (ANYTIME, MERGED):
        average = arguments.get('average') or {}
        half_life, window, decay = (average.get(name) for name in ('half_life', 'window', 'decay'))
        parts += [] if arguments.get('rate', 'constant') == 'constant' else ['falling']
        parts += [] if half_life is None else [f'half-life-{_plain(half_life)}']
        parts += [] if window in (None, 0.25) else [f'window-{_plain(window)}']
        parts += [] if decay in (None, 'linear') else [str(decay)]
    return '-'.join([kind, *parts])


def _plain(value: object) -> str:
    return f'{value:g}' if isinstance(value, (int, float)) else str(value)


def kind_without_shape(kind: str) -> str:
    """Returns the kind without what its shape adds to it.

    Example:
        >>> kind_without_shape('wsd-s-linear'), kind_without_shape('anytime-falling'), kind_without_shape('branch')
        ('wsd-s', 'anytime', 'branch')
    """
    shaped = () if kind.endswith(_OTHER_WEIGHTS) else (WSD_S, CYCLIC, ANYTIME, MERGED)
    return next((plain for plain in shaped if kind.startswith(plain)), kind)


def has_cycles(kind: str) -> bool:
    """Returns whether runs of a kind have several cycles, of any shape.

    Example:
        >>> [has_cycles(kind) for kind in ('cyclic', 'wsd-s-linear', 'standard', 'cyclic-averaged')]
        [True, True, False, False]
    """
    return kind_without_shape(kind) in (CYCLIC, WSD_S)


def has_marks(kind: str) -> bool:
    """Returns whether the points of a kind are at marks, which the learning rate does not show."""
    return kind.startswith(ANYTIME) or kind in (SCHEDULE_FREE, MARKED)


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
        arguments (Mapping | None): Of the schedule, as for :func:`shaped_kind`. Default: ``None``.
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
        return shaped_kind(ANYTIME, arguments or {}) + ('' if averaged else '-plain')
    if troughs is not None and troughs <= 1:
        return STANDARD
    return shaped_kind(CYCLIC, arguments or {}) if comes_down else MARKED


def kind_order(kind: str) -> tuple[bool, bool, str]:
    """Returns the key that sorts kinds of curve: standard, cyclic, then the others by name."""
    return kind != STANDARD, kind != CYCLIC, kind
