"""Tries a recipe: builds everything, trains on two batches, passes a trough, and works out the cost of the run."""

from __future__ import annotations

import math
import shutil
import tempfile
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
from composer.core import Callback, Event, State
from composer.loggers import Logger
from composer.utils import dist
from rich.filesize import decimal

from composer_clr.averaging.fast_cycles import FastCycles
from composer_clr.averaging.trough_weights import TroughWeights
from composer_clr.curves.names import filled_in
from composer_clr.recipes.schema import CheckpointRecipe, Recipe, RecipeError
from composer_clr.recording.run_folder import RunFolder
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import COUNTERS, ScheduleTime, read_time
from composer_clr.training.build import build_loggers, build_trainer, fit
from composer_clr.utils.errors import one_line
from composer_clr.utils.models import device_time_s
from composer_clr.utils.ranks import on_rank_zero, rank_numbers

__all__ = ['Check', 'check_recipe']


class Check(Callback):
    """Ends training after two batches, the second of which completes a cycle; measures what the run's cost depends on.

    Before the second batch the clock is set forward to one batch before the next trough, so that everything at a trough
    happens once. Fast cycles are cut to one of one batch, and statistics of batch norm are recomputed on one.
    """

    def __init__(self) -> None:
        self.schedule: RunSchedule | None = None
        self.waiting_s = self.computing_s = self.eval_batch_s = 0.0
        self.eval_batches = 0
        # Samples, tokens, ... per batch, over all ranks.
        self.per_batch: dict[str, int] = {}
        self._since_s = 0.0

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        super().run_event(event, state, logger)
        if event in (Event.BEFORE_DATALOADER, Event.EVAL_BATCH_START):
            self._since_s = device_time_s()
        elif event == Event.AFTER_DATALOADER:
            self.waiting_s, self._since_s = device_time_s() - self._since_s, device_time_s()
        elif event == Event.EVAL_BATCH_END:
            self.eval_batches += 1
            self.eval_batch_s = device_time_s() - self._since_s

    def fit_start(self, state: State, logger: Logger) -> None:
        del logger
        self.schedule = RunSchedule.of_trainer(state)
        for callback in state.callbacks:
            if isinstance(callback, TroughWeights):
                callback.bn_batches = min(callback.bn_batches, 1)
            if isinstance(callback, FastCycles):
                callback.period, callback.cycles = ScheduleTime(1, 'ba'), 1

    def batch_start(self, state: State, logger: Logger) -> None:
        del logger
        if self.per_batch:
            assert self.schedule is not None
            batch = self.per_batch[self.schedule.unit]
            trough = next((t for t in self.schedule.troughs if self.schedule.now(state) + batch <= t), None)
            if trough is not None:
                clock = {self.schedule.counter: trough - batch}
                state.timestamp = state.timestamp.copy(**clock)  # type: ignore[arg-type]

    def batch_end(self, state: State, logger: Logger) -> None:
        del logger
        self.computing_s = device_time_s() - self._since_s
        if self.per_batch:
            state.stop_training()
        else:
            self.per_batch = {unit: getattr(state.timestamp, counter).value for unit, counter in COUNTERS.items()}


def check_recipe(recipe: Recipe) -> str:
    """Tries two training batches, a trough and one evaluation batch in a temporary folder, and returns the cost."""
    check = Check()
    build_loggers(recipe)
    with tempfile.TemporaryDirectory(prefix='composer_clr-check-') as folder:
        snapshot = replace(recipe.snapshot, folder=folder, overwrite=True, log_artifact=False)
        temporary = replace(recipe, snapshot=snapshot, checkpoint=CheckpointRecipe(), loggers={})
        trainer = build_trainer(temporary, callbacks=[check], eval_subset_num_batches=1)
        state = trainer.state
        try:
            with warnings.catch_warnings():
                # The check itself ends the run.
                warnings.filterwarnings('ignore', 'training ended at batch', UserWarning)
                fit(trainer)
            if not check.eval_batches:
                trainer.eval()
        except ValueError as error:  # at the trough, after the first batch
            raise RecipeError(one_line(error)) from error
        finally:
            trainer.close()
    schedule = check.schedule
    assert schedule is not None
    tensors = [value for values in state.optimizers[0].state.values() for value in values.values()]
    optimizer_bytes = sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
    snapshot_bytes = sum(tensor.nbytes for tensor in state.model.state_dict().values())
    snapshots = len(schedule.troughs) if recipe.snapshot.save_weights else 0
    needed = {'snapshot.folder': (recipe.snapshot.folder, snapshots * snapshot_bytes)}
    if recipe.checkpoint.folder is not None:
        kept = max(recipe.checkpoint.keep, 1)
        needed['checkpoint.folder'] = recipe.checkpoint.folder, kept * (snapshot_bytes + optimizer_bytes)
    rooms = on_rank_zero(lambda: [_room(key, folder, recipe.run_name, size) for key, (folder, size) in needed.items()])
    per_batch, weights = check.per_batch[schedule.unit], sum(weight.numel() for weight in state.model.parameters())
    batches, batch_s = math.ceil(schedule.end / per_batch), check.waiting_s + check.computing_s
    eval_batches = sum(len(evaluator.dataloader.dataloader) for evaluator in state.evaluators)  # type: ignore[arg-type]
    evaluations = _evaluations(recipe, check, schedule)
    train_s, eval_s = batches * batch_s, evaluations * eval_batches * check.eval_batch_s
    ranks = dist.get_world_size()
    parts = f'{check.computing_s:.2f} s computing, {check.waiting_s:.2f} s waiting for data'
    rows = {
        'points': ', '.join(map(schedule.spell, schedule.troughs)) or 'none',
        'training': f'{batches} batches of {batch_s:.2f} s ({parts}): {_clock(train_s)}',
        'evaluation': f'{evaluations} times {eval_batches} batches of {check.eval_batch_s:.2f} s: {_clock(eval_s)}',
        'snapshots': f'{snapshots} of {decimal(snapshot_bytes)}: {decimal(snapshots * snapshot_bytes)}',
        'time': _clock(train_s + eval_s),
        **dict(zip(needed, rooms, strict=True)),
    }
    head = (
        f'{recipe.run_name} can be started: {recipe.model.name}, {weights:,} weights, '
        f'batches of {recipe.data.batch_size} on {ranks} {"rank" if ranks == 1 else "ranks"}'
    )
    return '\n'.join([head, *(f'{name:<18}{row}' for name, row in rows.items())]) + '\n'


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _evaluations(recipe: Recipe, check: Check, schedule: RunSchedule) -> int:
    """Returns how often the run evaluates: at each trough, and at the recipe's interval and the end."""
    per_batch = check.per_batch[schedule.unit]
    run, evaluated = schedule.end / per_batch, {round(trough / per_batch) for trough in schedule.troughs}
    every = read_time('evaluation.interval', recipe.evaluation.interval)
    unit = schedule.lengths.unit({'evaluation.interval': every})
    interval = float(schedule.lengths.count('evaluation.interval', every)) / check.per_batch[unit]
    if interval:
        evaluated |= {round(interval * (i + 1)) for i in range(int(run / interval))} | {round(run)}
    return len(evaluated)


def _room(key: str, folder: str, run_name: str, needed_bytes: int) -> str:
    """Returns what is needed and free in a folder; refuses one that has too little room or cannot be written to."""
    try:
        filled = filled_in(folder, run_name, key=key, **rank_numbers())
    except ValueError as error:
        raise RecipeError(str(error)) from error
    try:
        if '://' in filled:
            RunFolder(filled).close()
            return f'{filled}: {decimal(needed_bytes)}'
        path = Path(filled).absolute()
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=existing):
            free_bytes = shutil.disk_usage(existing).free
        if free_bytes < needed_bytes:
            raise OSError(f'needs {decimal(needed_bytes)}, but only {decimal(free_bytes)} are free')
    except (OSError, ValueError) as error:
        raise RecipeError(f'{key}={filled}: {error}') from error
    return f'{filled}: {decimal(needed_bytes)} of {decimal(free_bytes)} free'
