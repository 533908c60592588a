"""Compares a resumed run with the settings that its points were recorded with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run, TradeoffPoint
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.text import listed

__all__ = ['ON_CHANGE', 'continue_points', 'ends_so_far']

ON_CHANGE = ('refuse', 'continue')
# Where the troughs are, which is compared as counts: '8ep' and '80ba' may be the same.
_PLACES = ('t_0', 't_mult', 'cycle_ends', 'marks', 'points_at', 't_warmup', 't_max')


@dataclass(frozen=True)
class _Change:
    key: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f'{self.key}={self.then!r}, now {self.now!r}'


def continue_points(
    kept: RunState, run: Run, schedule: RunSchedule, state: State, *, on_change: str, kind_given: bool
) -> list[str]:
    """Decides whether a resumed run may add points to those of its checkpoint.

    It may if the present settings would have trained every batch so far in the same way: the same method, kind, data
    and batch size, and the same learning rate up to the present. A longer ``max_duration`` and troughs still to come
    may differ. A run with one decay over its whole length (``standard``) may be made longer: its earlier point stays,
    marked as the end of a decay of its own, and the change is recorded.

    Args:
        kept (RunState): The state from the checkpoint; its changes and cycle numbers are updated.
        run (Run): The run with the present settings.
        schedule (RunSchedule): Its cycles.
        state (State): The trainer's state at ``FIT_START``.
        on_change (str): ``'refuse'`` any other change, or ``'continue'`` with it and record it.
        kind_given (bool): Whether the kind was given, rather than derived from the number of troughs.

    Returns:
        list[str]: Warnings: of the recorded change, and of troughs that have passed without a point.

    Raises:
        ValueError: If something has changed, and ``on_change`` is ``'refuse'``.
    """
    now = schedule.now(state)
    longer = _longer_decay(kept, run, schedule, state)
    changes: list[_Change] = []
    if kept.run is not None:
        changes = _settings_changed(kept.run if kind_given else replace(kept.run, kind=run.kind), run, schedule)
    moved = [longer] if longer else _moved(kept, run, schedule, state, now)
    # A longer duration moves nothing by itself where the loader or the arguments have changed.
    changes += [change for change in moved if longer or not changes or change.key != 'max_duration']
    if not changes:
        return _passed_by(kept, schedule, state, now)
    described = '; '.join(map(str, changes))
    if on_change == 'refuse' and not (longer and changes == [longer]):
        raise ValueError(
            f'the points of this run were recorded under other settings: {described}: resume with those, train '
            "under another run_name, or set on_change='continue' (a recipe's snapshot.on_change), which records it"
        )
    batch = state.timestamp.batch.value
    kept.changes.append({'batch': batch, 'changed': {c.key: [c.then, c.now] for c in changes}})
    if longer:
        kept.points[:] = [replace(point, own_decay=True) for point in kept.points]
    ongoing = schedule.cycles.index(max(now, schedule.cycles.start))
    kept.offset = kept.last_cycle + 1 - (len(schedule.cycles.troughs(now)) if ongoing is None else ongoing)
    change = f'the run continues at batch {batch} under other settings ({described}), which the curve records'
    return [change, *_passed_by(kept, schedule, state, now)]


def ends_so_far(schedule: RunSchedule, state: State) -> list[int]:
    """Returns the start of cycle 0 and the ends of the cycles up to ``max_duration`` and the first one after it."""
    cycles = schedule.cycles
    until = schedule.until
    until = max(cycles.start if until is None else until, schedule.now(state))
    coming = cycles.next_trough(until)
    return [cycles.start, *cycles.troughs(until), *([] if coming is None else [coming])]


def _passed_by(kept: RunState, schedule: RunSchedule, state: State, now: int) -> list[str]:
    passed = schedule.cycles.troughs(now)[kept.last_cycle + 1 - kept.offset :]
    if not passed:
        return []
    ends = listed([schedule.spell(end) for end in passed])
    name = schedule.cycles.end_name
    return [
        f'the curve has no point at {ends}, a {name} that has passed: its evaluation was interrupted, or the run was '
        'trained without ParetoSnapshot'
    ]


def _settings_changed(then: Run, now: Run, schedule: RunSchedule) -> list[_Change]:
    pairs = [('method', then.method, now.method), ('model', then.model, now.model), ('kind', then.kind, now.kind)]
    pairs += [(key, then.training.get(key), now.training.get(key)) for key in then.training]
    arguments, arguments_now = schedule.completed(then.schedule), schedule.completed(now.schedule)
    compared = arguments.keys() - {*_PLACES, 'max_duration', 'unit', 'troughs'}
    pairs += [(key, arguments[key], arguments_now.get(key)) for key in sorted(compared)]
    pairs += [
        (f'evaluation of {label!r}', then.evaluation[label], now.evaluation[label])
        for label in then.evaluation
        if label in now.evaluation
    ]
    return [_Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _moved(kept: RunState, run: Run, schedule: RunSchedule, state: State, now: int) -> list[_Change]:
    """Returns what has moved a trough, a restart or the warmup before the present time."""
    if kept.run is None or kept.run.schedule.get('unit') != schedule.unit:
        return _points_moved(kept, schedule, state)
    then_ends, now_ends = kept.ends, ends_so_far(schedule, state)
    # The cycle under way counts too, since its decay has begun; a mark to come changes nothing in training.
    under_way = schedule.cycles.decays
    passed = sum(end < now if under_way else end <= now for end in then_ends) + under_way
    if then_ends[:passed] == now_ends[:passed]:
        return []
    then, arguments_now = schedule.completed(kept.run.schedule), schedule.completed(run.schedule)
    keys = [key for key in (*_PLACES, 'max_duration') if then.get(key) != arguments_now.get(key)]
    places = [key for key in keys if key != 'max_duration'] or keys
    if places:
        return [_Change(key, then.get(key), arguments_now.get(key)) for key in places]
    return [_Change(f'ends of cycles in {schedule.unit}', then_ends[1:passed], now_ends[1:passed])]


def _points_moved(kept: RunState, schedule: RunSchedule, state: State) -> list[_Change]:
    """Returns the first recorded point that is not at its cycle's end, all that an older checkpoint shows."""
    loader_length = None if state.dataloader_len is None else int(state.dataloader_len)
    for point in kept.points:
        if point.epoch and loader_length and round(point.batch / point.epoch) != loader_length:
            return [_Change('loader_length', round(point.batch / point.epoch), loader_length)]
        count = getattr(point, schedule.counter)
        try:
            end = schedule.cycles.bounds(point.cycle)[1]
        except IndexError:
            return [_Change(f'end of cycle {point.cycle} in {schedule.unit}', count, None)]
        # A batch may end after the trough that it passes.
        if not end <= count < end + max(1.0, 2 * count / point.batch if schedule.unit != 'ba' else 1.0):
            return [_Change(f'end of cycle {point.cycle} in {schedule.unit}', count, end)]
    return []


def _longer_decay(kept: RunState, run: Run, schedule: RunSchedule, state: State) -> _Change | None:
    """Returns the longer ``max_duration`` of a run whose one decay lasts as long as the run."""
    until = schedule.until
    if until is None or schedule.cycles.troughs(until) != [until]:
        return None
    if kept.run is None:
        then = _only_end(kept.points, schedule.counter)
        if then is None or then >= until:
            return None
        return _Change('max_duration', f'{then}{schedule.unit}', run.schedule.get('max_duration'))
    then, arguments_now = schedule.completed(kept.run.schedule), schedule.completed(run.schedule)
    troughs = then.get('troughs')
    if not isinstance(troughs, list) or len(troughs) != 1 or kept.ends[1:] != troughs or troughs[0] >= until:
        return None
    if any(then.get(key) != arguments_now.get(key) for key in _PLACES):
        return None
    return _Change('max_duration', then.get('max_duration'), arguments_now.get('max_duration'))


def _only_end(points: Sequence[TradeoffPoint], counter: str) -> int | None:
    return getattr(points[0], counter) if len(points) == 1 else None
