"""Whether a resumed run may add points to those of its checkpoint: the one comparison of the settings then and now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run
from composer_clr.curves.settings import PLACES, Difference, Effect, differences, listed_differences, settings_of
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.errors import listed

__all__ = ['ON_CHANGE', 'continue_points', 'ends_so_far', 'ignored', 'is_over', 'other_settings']

ON_CHANGE = ('refuse', 'continue')
# Without a seed Composer draws one of 32 bits: seeds from here on are taken for drawn.
_DRAWN_SEED = 10**6


def continue_points(
    kept: RunState,
    run: Run,
    schedule: RunSchedule,
    state: State,
    *,
    passed: Mapping[str, Any],
    on_change: str,
    kind_given: bool,
) -> list[str]:
    """Decides whether a resumed run may add points to those of its checkpoint.

    It may if the present settings would have trained every batch so far in the same way. A longer ``max_duration`` and
    troughs still to come may differ. A run with one decay over its whole length (``standard``) may be made longer: its
    earlier point stays, marked as the end of a decay of its own, and the change is recorded. Another pace (device,
    number of ranks) is recorded and not refused. At the end of a run nothing is recorded.

    Args:
        kept (RunState): The state from the checkpoint; its changes and cycle numbers are updated.
        run (Run): The run with the present settings.
        schedule (RunSchedule): Its schedule.
        state (State): The trainer's state at ``FIT_START``.
        passed (Mapping): The optimizers' settings as they were passed, which a checkpoint replaces.
        on_change (str): ``'refuse'`` any other change, or ``'continue'`` with it and record it.
        kind_given (bool): Whether the kind was given, rather than derived from the number of troughs.

    Returns:
        list[str]: Warnings: of the recorded change, and of troughs that have passed without a point.

    Raises:
        ValueError: If something has changed, and ``on_change`` is ``'refuse'``.
    """
    if kept.run is None:
        return _passed_by(kept, schedule, state)
    then, now = (_compared(one, schedule, kind=kind_given) for one in (kept.run, run))
    longer = _longer_decay(kept, schedule)
    moved = [longer] if longer else _moved(kept, run, schedule, state)
    if on_change == 'refuse':
        refused = _with(differences(then, {**now, **passed}), moved)
        if refused and refused != [longer]:
            raise ValueError(
                f'the points of this run were recorded under other settings: {listed_differences(refused)}: resume '
                "with those, train under another run_name, or set on_change='continue' (a recipe's "
                'snapshot.on_change), which records it'
            )
    if is_over(schedule, state):
        return _passed_by(kept, schedule, state)
    _record(kept, state, differences(then, now, effect=Effect.PACE), pace=True)
    changes = _with(differences(then, now), moved)
    if not changes:
        return _passed_by(kept, schedule, state)
    _record(kept, state, changes)
    if longer:
        kept.points[:] = [replace(point, own_decay=True) for point in kept.points]
    t = schedule.now(state)
    ongoing = schedule.cycles.index(max(t, schedule.cycles.start))
    kept.offset = kept.last_cycle + 1 - (len(schedule.cycles.troughs(t)) if ongoing is None else ongoing)
    change = (
        f'the run continues at batch {state.timestamp.batch.value} under other settings '
        f'({listed_differences(changes)}), which the curve records'
    )
    return [change, *_passed_by(kept, schedule, state)]


def is_over(schedule: RunSchedule, state: State) -> bool:
    """Returns whether a run is at its end, so that nothing is trained under the present settings."""
    return schedule.until is not None and schedule.now(state) >= schedule.until


def ignored(run: Run, passed: Mapping[str, Any], seed: int) -> list[str]:
    """Returns a warning of the settings that a checkpoint has replaced, as in Composer, if there are any.

    Args:
        run (Run): The run, with the settings that it trains with.
        passed (Mapping): The optimizers' settings as they were passed.
        seed (int): The seed as it was passed, or drawn.
    """
    used = settings_of(run)
    if seed >= _DRAWN_SEED:
        seed = used['seed']
    found = differences({**passed, 'seed': seed}, used) + differences({'seed': seed}, used, effect=Effect.NONE)
    if not found:
        return []
    replaced = ', '.join(f'{one.name}={one.now!r} (not {one.then!r})' for one in found)
    return [
        f'resumed with the settings of the checkpoint, not those passed now: {replaced}; to train with others, start '
        'another run'
    ]


def other_settings(run: Run) -> list[dict[str, Any]]:
    """Returns the changes of a run that made another curve of it, without those of its pace."""
    return [change for change in run.changes if not change.get('pace')]


def ends_so_far(schedule: RunSchedule, state: State) -> list[int]:
    """Returns the start of cycle 0 and the ends of the cycles up to ``max_duration`` and the first one after it."""
    cycles, until = schedule.cycles, schedule.until
    until = max(cycles.start if until is None else until, schedule.now(state))
    coming = cycles.next_trough(until)
    return [cycles.start, *cycles.troughs(until), *([] if coming is None else [coming])]


def _compared(run: Run, schedule: RunSchedule, *, kind: bool) -> dict[str, Any]:
    """Returns a run's settings without what is compared up to the present only, with defaults that it leaves out."""
    left_out = {'schedule.troughs', 'schedule.warmup', *(() if kind else ('kind',))}
    defaults = {f'schedule.{name}': value for name, value in schedule.defaults.items()}
    return {name: value for name, value in {**defaults, **settings_of(run)}.items() if name not in left_out}


def _with(changes: list[Difference], moved: list[Difference]) -> list[Difference]:
    # A longer duration moves nothing by itself where the loader or the arguments have changed.
    alone = [one for one in moved if not changes or one.name != 'max_duration']
    return changes + alone


def _record(kept: RunState, state: State, changes: Sequence[Difference], *, pace: bool = False) -> None:
    if changes:
        change = {'batch': state.timestamp.batch.value, 'changed': {one.name: [one.then, one.now] for one in changes}}
        kept.changes.append({**change, 'pace': True, 'wall_clock_train_s': kept.clock.train_s} if pace else change)


def _passed_by(kept: RunState, schedule: RunSchedule, state: State) -> list[str]:
    passed = schedule.cycles.troughs(schedule.now(state))[kept.last_cycle + 1 - kept.offset :]
    if not passed:
        return []
    return [
        f'the curve has no point at {listed([schedule.spell(end) for end in passed])}, a {schedule.cycles.end_name} '
        'that has passed: its evaluation was interrupted, or the run was trained without ParetoSnapshot'
    ]


def _moved(kept: RunState, run: Run, schedule: RunSchedule, state: State) -> list[Difference]:
    """Returns what has moved a trough, a restart or the warmup before the present time."""
    assert kept.run is not None
    then, now = (schedule.completed(one.schedule) for one in (kept.run, run))
    if then.get('unit') != schedule.unit:
        return [Difference('schedule.unit', then.get('unit'), schedule.unit)]
    t, then_ends, now_ends = schedule.now(state), kept.ends, ends_so_far(schedule, state)
    # The cycle under way counts too, since its decay has begun; a mark to come changes nothing in training.
    under_way = schedule.cycles.decays
    passed = sum(end < t if under_way else end <= t for end in then_ends) + under_way
    if then_ends[:passed] == now_ends[:passed]:
        return []
    keys = [key for key in (*PLACES, 'max_duration') if then.get(key) != now.get(key)]
    places = [key for key in keys if key != 'max_duration'] or keys
    if places:
        return [Difference(_name(key), then.get(key), now.get(key)) for key in places]
    return [Difference(f'ends of cycles in {schedule.unit}', then_ends[1:passed], now_ends[1:passed])]


def _longer_decay(kept: RunState, schedule: RunSchedule) -> Difference | None:
    """Returns the longer ``max_duration`` of a run whose one decay lasts as long as the run."""
    until = schedule.until
    if kept.run is None or until is None or schedule.cycles.troughs(until) != [until]:
        return None
    then, now = (schedule.completed(one) for one in (kept.run.schedule, schedule.record))
    troughs = then.get('troughs')
    if not isinstance(troughs, list) or len(troughs) != 1 or kept.ends[1:] != troughs or troughs[0] >= until:
        return None
    if any(then.get(key) != now.get(key) for key in PLACES):
        return None
    return Difference('max_duration', then.get('max_duration'), now.get('max_duration'))


def _name(key: str) -> str:
    return key if key == 'max_duration' else f'schedule.{key}'
