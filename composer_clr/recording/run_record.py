"""Describes a run for ``curve.json`` from the Trainer's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from composer.core import State

from composer_clr.curves.curve import Run
from composer_clr.curves.names import method_name, run_kind
from composer_clr.curves.settings import RECIPE
from composer_clr.recording.trainer_settings import evaluation_sizes, trainer_settings, versions
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.models import is_schedule_free

__all__ = ['describe_run']


def describe_run(
    state: State,
    schedule: RunSchedule,
    *,
    method: str | None,
    kind: str | None,
    started_at: str | None,
    peak_window: str = '0ep',
    passed: Mapping[str, Any] | None = None,
    loaded: Run | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Run:
    """Describes the run that a Trainer is about to start.

    Args:
        state (State): The trainer's state.
        schedule (RunSchedule): Its cycles.
        method (str | None): Name of the method; ``None`` derives it from the Trainer's algorithms.
        kind (str | None): Kind of curve; ``None`` gives :func:`run_kind` of its troughs.
        started_at (str | None): When the run first started, UTC, ISO 8601.
        peak_window (str): How far before a trough its peak metrics look. Default: ``'0ep'``.
        passed (Mapping | None): As for :func:`trainer_settings`. Default: ``None``.
        loaded (Run | None): The run whose checkpoint was loaded. Default: ``None``, there is none.
        recipe (Mapping | None): The resolved recipe, nested and plain. Default: ``None``, there is none.
    """
    settings = trainer_settings(state, passed, None if loaded is None else loaded.settings or {})
    settings['peak_window'] = peak_window
    # As a part of the duration it is another count in runs of another length, and the same schedule.
    warmup = str(schedule.scheduler.get('t_warmup'))
    if not warmup.endswith('dur'):
        warmup = f'{schedule.cycles.start}{schedule.unit}'
    settings['schedule.warmup'] = warmup
    if recipe is not None:
        settings[RECIPE] = dict(recipe)
    # Of a run whose points are averaged weights: which average.
    average = next((one.describe_average() for one in state.callbacks if hasattr(one, 'describe_average')), None)  # type: ignore[attr-defined]
    schedule_free = any(map(is_schedule_free, state.optimizers))
    return Run(
        run_name=state.run_name,
        kind=kind
        or run_kind(
            None if schedule.until is None else len(schedule.troughs),
            {**schedule.scheduler, 'average': average},
            decays=schedule.decays if schedule_free else average is None and schedule.cycles.decays,
            comes_down=schedule.comes_down is not False,
            averaged=average is not None,
            schedule_free=schedule_free,
        ),
        method=method or method_name(type(algorithm).__name__ for algorithm in state.algorithms),
        seed=state.rank_zero_seed,
        model=settings['model'],
        world_size=settings['world_size'],
        schedule={
            **schedule.record,
            **({} if average is None else {'average': average}),
        },
        evaluation=evaluation_sizes(state.evaluators),
        training={
            **{name: settings.get(f'data.{name}') for name in ('loader_length', 'batch_size', 'samples')},
            'algorithms': settings['algorithms'],
        },
        versions=versions(),
        parameters=settings.get('model.parameters'),
        started_at=started_at,
        settings=settings,
    )
