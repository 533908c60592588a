"""Whether a resumed run may add points to those of its checkpoint: the one comparison of the settings then and now."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run
from composer_clr.curves.settings import PLACES, Difference, Effect, differences, listed_differences, settings_of
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.errors import listed

__all__ = ['continued', 'ends_so_far', 'other_settings', 'warn_of_replaced']

# Without a seed Composer draws one of 32 bits: seeds from here on are taken for drawn.
_DRAWN_SEED = 10**6
# What is compared up to the present only, as counts.
_UP_TO_NOW = ('schedule.troughs', 'schedule.warmup')


def continued(
    kept: RunState,
    run: Run,
    schedule: RunSchedule,
    state: State,
    *,
    passed: Mapping[str, Any],
    on_change: str,
    kind_given: bool,
) -> Run:
    """Returns a resumed run with what has changed, or refuses to add points to those of its checkpoint.

    It may if the present settings would have trained every batch so far in the same way. A longer ``max_duration`` and
    troughs still to come may differ. A run with one decay over its whole length (``standard``) may be made longer: its
    earlier point stays, marked as the end of a decay of its own, and the change is recorded. Another pace (device,
    number of ranks) is recorded and not refused. At the end of a run nothing is trained, and nothing recorded.
    """
    t, before = schedule.now(state), kept.run
    if before is not None:
        run = replace(run, started_at=before.started_at, parent=before.parent, changes=list(before.changes))
        then, now = settings_of(before), settings_of(run)
        left_out = _UP_TO_NOW if kind_given else (*_UP_TO_NOW, 'kind')
        defaults = {f'schedule.{name}': value for name, value in schedule.defaults.items()}
        at_end = schedule.until is not None and t >= schedule.until
        lost, moved = [] if at_end else _lost_state(state), _moved(kept, run, schedule, t)
        is_longer = [one.name for one in moved] == ['max_duration'] and _is_longer_decay(kept, schedule)

        def changes(now: Mapping[str, Any]) -> list[Difference]:
            found = [one for one in differences(then, now, defaults=defaults) if one.name not in left_out] + lost
            # A longer duration moves nothing by itself where the loader or the arguments have changed.
            return found + [one for one in moved if not found or one.name != 'max_duration']

        refused = changes({**now, **passed})
        if on_change == 'refuse' and refused and not (is_longer and refused == moved):
            raise ValueError(
                f'the points of this run were recorded under other settings: {listed_differences(refused)}: resume '
                "with those, train under another run_name, or set on_change='continue' (a recipe's "
                'snapshot.on_change), which records it'
            )
        if at_end:
            run = before
        else:
            _record(kept, run, schedule, state, changes(now), differences(then, now, effect=Effect.PACE))
            if is_longer:
                kept.points = [replace(point, own_decay=True) for point in kept.points]
    missed = schedule.cycles.troughs(t)[kept.last_cycle + 1 - kept.offset :]
    if missed:
        warnings.warn(
            f'the curve has no point at {listed([schedule.spell(end) for end in missed])}, a '
            f'{schedule.cycles.end_name} that has passed: its evaluation was interrupted, or the run was trained '
            'without ParetoSnapshot',
            stacklevel=2,
        )
    return run


def warn_of_replaced(run: Run, passed: Mapping[str, Any], seed: int) -> None:
    """Warns of the optimizers' settings and the seed, as passed, that a checkpoint has replaced, as in Composer."""
    used = settings_of(run)
    found = differences(passed, used)
    if seed < _DRAWN_SEED and seed != run.seed:
        found.append(Difference('seed', seed, run.seed))
    if found:
        replaced = ', '.join(f'{one.name}={one.now!r} (not {one.then!r})' for one in found)
        warnings.warn(
            f'resumed with the settings of the checkpoint, not those passed now: {replaced}; to train with others, '
            'start another run',
            stacklevel=2,
        )


def other_settings(run: Run) -> list[dict[str, Any]]:
    """Returns the changes of a run that made another curve of it, without those of its pace."""
    return [change for change in run.changes if not change.get('pace')]


def ends_so_far(schedule: RunSchedule, t: int) -> list[int]:
    """Returns the start of cycle 0 and the ends of the cycles up to ``max_duration`` and the first one after it."""
    cycles, until = schedule.cycles, schedule.until
    until = max(cycles.start if until is None else until, t)
    coming = cycles.next_trough(until)
    return [cycles.start, *cycles.troughs(until), *([] if coming is None else [coming])]


def _lost_state(state: State) -> list[Difference]:
    """Returns a difference if the checkpoint does not hold the state of the optimizer.

    Composer's SAM wraps the optimizer after a checkpoint is loaded, and saves the state of the wrapper alone.
    """
    from composer.algorithms.sam import SAMOptimizer  # Composer imports its algorithms at its first event

    if state.timestamp.batch == 0 or not any(isinstance(one, SAMOptimizer) for one in state.optimizers):
        return []
    return [Difference('optimizer.state', 'as trained', "lost: checkpoints of Composer's SAM do not keep it")]


def _record(
    kept: RunState, run: Run, schedule: RunSchedule, state: State, changes: list[Difference], pace: list[Difference]
) -> None:
    """Records what changes at the present batch; troughs are counted on from there where another curve begins."""
    batch = state.timestamp.batch.value
    for found, more in ((pace, {'pace': True, 'wall_clock_train_s': kept.clock.train_s}), (changes, {})):
        if found:
            run.changes.append({'batch': batch, 'changed': {one.name: [one.then, one.now] for one in found}, **more})
    if changes:
        t = schedule.now(state)
        ongoing = schedule.cycles.index(max(t, schedule.cycles.start))
        passed = len(schedule.cycles.troughs(t)) if ongoing is None else ongoing
        kept.offset = kept.last_cycle + 1 - passed
        warnings.warn(
            f'the run continues at batch {batch} under other settings ({listed_differences(changes)}), which the curve '
            'records',
            stacklevel=3,
        )


def _moved(kept: RunState, run: Run, schedule: RunSchedule, t: int) -> list[Difference]:
    """Returns what has moved a trough, a restart or the warmup before the present time."""
    assert kept.run is not None
    then, now = (schedule.completed(one.schedule) for one in (kept.run, run))
    if then.get('unit') != schedule.unit:
        return [Difference('schedule.unit', then.get('unit'), schedule.unit)]
    # The cycle under way counts too, since its decay has begun; a mark to come changes nothing in training.
    under_way = schedule.cycles.decays
    passed = sum(end < t if under_way else end <= t for end in kept.ends) + under_way
    before, after = kept.ends[:passed], ends_so_far(schedule, t)[:passed]
    if before == after:
        return []
    places = [key for key in PLACES if then.get(key) != now.get(key)]
    if places:
        return [Difference(f'schedule.{key}', then.get(key), now.get(key)) for key in places]
    if then.get('max_duration') != now.get('max_duration'):
        return [Difference('max_duration', then.get('max_duration'), now.get('max_duration'))]
    return [Difference(f'ends of cycles in {schedule.unit}', before[1:], after[1:])]


def _is_longer_decay(kept: RunState, schedule: RunSchedule) -> bool:
    """Returns whether a run whose one decay lasted as long as the run is made longer."""
    until = schedule.until
    return until is not None and schedule.troughs == [until] and len(kept.ends) == 2 and kept.ends[1] < until
