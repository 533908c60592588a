"""The names of runs, methods and kinds of curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer_clr.curves.curve import TradeoffCurve

__all__ = [
    'ABBREVIATIONS',
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
    'anytime_kind',
    'branch_file',
    'check_run_name',
    'cyclic_kind',
    'filled_in',
    'has_cycles',
    'has_marks',
    'kind_order',
    'kind_without_shape',
    'merged_kind',
    'method_algorithms',
    'method_name',
    'run_kind',
    'study_baseline',
]


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
    """Returns the name of the checkpoint that the branch of a duration starts from.

    Example:
        >>> branch_file('16ep')
        'branch-to-16ep.pt'
    """
    return f'branch-to-{duration}.pt'


def filled_in(
    folder: str,
    run_name: str,
    *,
    key: str = 'folder',
    world_size: int = 1,
    local_world_size: int | None = None,
    rank: int = 0,
    local_rank: int = 0,
    node_rank: int = 0,
) -> str:
    """Returns a folder with Composer's placeholders filled in, as its ``format_name_with_dist`` fills them.

    Args:
        folder (str): The folder or URI; ``{run_name}``, ``{world_size}``, ``{local_world_size}``, ``{rank}``,
            ``{local_rank}`` and ``{node_rank}`` may stand in it.
        run_name (str): The run's name.
        key (str): The folder's key, for errors. Default: ``'folder'``.
        world_size (int): Number of ranks. Default: ``1``.
        local_world_size (int | None): Number of ranks on this node. Default: ``None``, all of them.
        rank (int): Global rank. Default: ``0``, the rank that writes curves.
        local_rank (int): Rank on this node. Default: ``0``.
        node_rank (int): This node's number. Default: ``0``.

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
    values = {
        'run_name': run_name,
        'world_size': world_size,
        'local_world_size': world_size if local_world_size is None else local_world_size,
        'rank': rank,
        'local_rank': local_rank,
        'node_rank': node_rank,
    }
    try:
        if unknown := [name for _, name, _, _ in Formatter().parse(folder) if name is not None and name not in values]:
            raise ValueError(f"{{{unknown[0]}}} is not one of Composer's placeholders: {', '.join(values)}")
        uri = folder.format_map(values)
        if '{' in uri or '}' in uri:
            raise ValueError(f'it comes to {uri!r}, and Composer would fill in braces again: leave them out')
    except ValueError as error:
        raise ValueError(f'{key}={folder!r} with {run_name=} cannot be filled in: {error}') from error
    return uri


BASELINE = 'baseline'
ABBREVIATIONS = {'BlurPool': 'BP', 'ChannelsLast': 'CL', 'LabelSmoothing': 'LS', 'MixUp': 'MX'}

# Algorithms of the usual training run, which make no method: numerics and stability, not what is learned.
_NO_METHOD = frozenset({'GradientClipping', 'LowPrecisionGroupNorm', 'LowPrecisionLayerNorm', 'NoOpModel'})

# With the paper's arguments, in the order to list them in: after ChannelsLast, BlurPool's new layers would stay as they
# are laid out; after LabelSmoothing, MixUp would mix in targets that are not smoothed.
_ALGORITHMS: dict[str, dict[str, Any]] = {
    'BlurPool': {},
    'ChannelsLast': {},
    'MixUp': {'alpha': 0.2},
    'LabelSmoothing': {'smoothing': 0.1},
}


def method_name(algorithms: Iterable[str]) -> str:
    """Returns the name of the method that a set of Composer algorithms makes, in any order.

    Gradient clipping and low-precision norms are part of the usual run and not of the name.

    Args:
        algorithms (Iterable[str]): Names of Composer's algorithm classes.

    Example:
        >>> method_name(['MixUp', 'LabelSmoothing'])
        'LS+MX'
        >>> method_name(['EMA', 'BlurPool']), method_name([])
        ('BP+EMA', 'baseline')
        >>> method_name(['GradientClipping']), method_name(['GradientClipping', 'EMA'])
        ('baseline', 'EMA')
    """
    order = list(ABBREVIATIONS)
    chosen = set(algorithms) - _NO_METHOD
    present = sorted(chosen, key=lambda name: (order.index(name) if name in order else len(order), name))
    return '+'.join(ABBREVIATIONS.get(name, name) for name in present) or BASELINE


def method_algorithms(method: str) -> dict[str, dict[str, Any]]:
    """Returns the algorithms of one of the paper's methods, in the order of application, with the paper's arguments.

    Args:
        method (str): ``'baseline'``, or ``BP``, ``CL``, ``LS`` and ``MX`` joined by ``+`` in any order.

    Raises:
        ValueError: If the method has any other part.

    Example:
        >>> method_algorithms('LS+MX')
        {'MixUp': {'alpha': 0.2}, 'LabelSmoothing': {'smoothing': 0.1}}

    Source:
        Portes et al. 2022, arXiv:2206.00832, appendix A.
    """
    parts = [] if method == BASELINE else method.split('+')
    if unknown := [part for part in parts if part not in ABBREVIATIONS.values()]:
        raise ValueError(
            f'{method!r} has {unknown[0]!r}: a method is {BASELINE}, or {", ".join(ABBREVIATIONS.values())} joined by +'
        )
    return {name: dict(arguments) for name, arguments in _ALGORITHMS.items() if ABBREVIATIONS[name] in parts}


def study_baseline(curves: Iterable[TradeoffCurve], baseline: str = BASELINE) -> str:
    """Returns the method that others are measured by: the one named, or of runs of one method that one.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        baseline (str): The one specified. Default: ``'baseline'``, which a study of one other method need not have.
    """
    methods = {curve.run.method for curve in curves if curve.points}
    return methods.pop() if len(methods) == 1 and baseline == BASELINE else baseline


# Prefixes of the label where an evaluator ran on other weights than those in training.
METRIC_SETS = ('averaged', 'fast-cycles', 'plain')

STANDARD = 'standard'
BRANCH = 'branch'
# Every point of one run, as of a plain training log.
LOG = 'log'
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
_OTHER_WEIGHTS = tuple(f'-{name}' for name in METRIC_SETS)


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
