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
from composer.core import Callback, State
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
    """Ends training after a few batches, the last of which completes a cycle; measures what the run's cost depends on.

    Before the last batch the clock is set forward to one batch before the next trough. So everything at a trough
    happens once: evaluation, the point, the snapshot, averaged weights and fast cycles. Fast cycles are cut to one of
    one batch, and batch norm's statistics are recomputed on one batch.
    """

    def __init__(self, batches: int = 2):
        self.batches = batches
        self.schedule: RunSchedule | None = None
        self.waiting_s = self.computing_s = self.eval_batch_s = 0.0
        self.eval_batches = 0
        # Samples and tokens per batch, over all ranks.
        self.per_batch: dict[str, int] = {}
        self._trained = 0
        self._since_s = 0.0

    def fit_start(self, state: State, logger: Logger) -> None:
        """Records the run's full length, and shortens what takes long at a trough."""
        del logger
        self.schedule = RunSchedule.of_trainer(state)
        for callback in state.callbacks:
            if isinstance(callback, TroughWeights):
                callback.bn_batches = min(callback.bn_batches, 1)
            if isinstance(callback, FastCycles):
                callback.period, callback.cycles = ScheduleTime(1, 'ba'), 1

    def batch_start(self, state: State, logger: Logger) -> None:
        """Before the last batch, sets the clock to one batch before the next trough."""
        del logger
        if self._trained != self.batches - 1 or not self.per_batch:
            return
        assert self.schedule is not None
        batch = self.per_batch[self.schedule.unit]
        trough = next((t for t in self.schedule.troughs if self.schedule.now(state) + batch <= t), None)
        if trough is not None:
            state.timestamp = state.timestamp.copy(**{self.schedule.counter: trough - batch})  # type: ignore[arg-type]

    def before_dataloader(self, state: State, logger: Logger) -> None:
        del state, logger
        self._since_s = device_time_s()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        del state, logger
        self.waiting_s, self._since_s = device_time_s() - self._since_s, device_time_s()

    def batch_end(self, state: State, logger: Logger) -> None:
        del logger
        self.computing_s = device_time_s() - self._since_s
        self._trained += 1
        if self._trained == 1:
            self.per_batch = {unit: getattr(state.timestamp, counter).value for unit, counter in COUNTERS.items()}
        if self._trained >= self.batches:
            state.stop_training()

    def eval_batch_start(self, state: State, logger: Logger) -> None:
        del state, logger
        self._since_s = device_time_s()

    def eval_batch_end(self, state: State, logger: Logger) -> None:
        del state, logger
        self.eval_batches += 1
        self.eval_batch_s = device_time_s() - self._since_s


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def check_recipe(recipe: Recipe) -> str:
    """Builds a recipe's run, tries two training batches and a trough with one evaluation batch, and returns its cost.

    No file is left behind: the check writes to a temporary folder, and its loggers are built but not used.

    Raises:
        RecipeError: If the run cannot be started, or its folders have no room.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> cost = check_recipe(load_recipe('quickstart/digits', ['progress_bar=false']))
        >>> print(*cost.splitlines()[:2], sep='\\n')
        digits-baseline-cyclic-64ep-seed17 can be started: small_resnet, 77,754 weights, batches of 50 on 1 rank
        points            4ep, 8ep, 16ep, 32ep, 64ep
    """
    check = Check()
    build_loggers(recipe)
    with tempfile.TemporaryDirectory(prefix='composer_clr-check-') as folder:
        temporary = replace(
            recipe,
            snapshot=replace(recipe.snapshot, folder=folder, overwrite=True, log_artifact=False),
            checkpoint=CheckpointRecipe(),
            loggers={},
        )
        trainer = build_trainer(temporary, callbacks=[check], eval_subset_num_batches=1)
        state = trainer.state
        try:
            with warnings.catch_warnings():
                # The check itself ends the run.
                warnings.filterwarnings('ignore', 'training ended at batch', UserWarning)
                fit(trainer)
            if not check.eval_batches:
                trainer.eval()
        except ValueError as error:
            # Raised at the trough, after the first batch.
            raise RecipeError(one_line(error)) from error
        finally:
            trainer.close()
    assert check.schedule is not None
    tensors = [value for values in state.optimizers[0].state.values() for value in values.values()]
    optimizer_bytes = sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
    snapshot_bytes = sum(tensor.nbytes for tensor in state.model.state_dict().values())
    snapshots = len(check.schedule.troughs) if recipe.snapshot.save_weights else 0
    rooms = [_check_room('snapshot.folder', recipe.snapshot.folder, recipe.run_name, snapshots * snapshot_bytes)]
    if recipe.checkpoint.folder is not None:
        needed = max(recipe.checkpoint.keep, 1) * (snapshot_bytes + optimizer_bytes)
        rooms.append(_check_room('checkpoint.folder', recipe.checkpoint.folder, recipe.run_name, needed))
    ranks = dist.get_world_size()
    weights = sum(parameter.numel() for parameter in state.model.parameters())
    head = (
        f'{recipe.run_name} can be started: {recipe.model.name}, {weights:,} weights, '
        f'batches of {recipe.data.batch_size} on {ranks} {"rank" if ranks == 1 else "ranks"}'
    )
    troughs = ', '.join(map(check.schedule.spell, check.schedule.troughs))
    train_s, train = _training(check, check.schedule)
    eval_s, evaluation = _evaluation(recipe, state, check, check.schedule)
    lines = [
        head,
        f'points            {troughs or "none"}',
        f'training          {train}: {_clock(train_s)}',
        f'evaluation        {evaluation}: {_clock(eval_s)}',
        f'snapshots         {snapshots} of {decimal(snapshot_bytes)}: {decimal(snapshots * snapshot_bytes)}',
        f'time              {_clock(train_s + eval_s)}',
        *rooms,
    ]
    return '\n'.join(lines) + '\n'


def _training(check: Check, schedule: RunSchedule) -> tuple[float, str]:
    batches, batch_s = math.ceil(schedule.end / check.per_batch[schedule.unit]), check.waiting_s + check.computing_s
    parts = f'{check.computing_s:.2f} s computing, {check.waiting_s:.2f} s waiting for data'
    return batches * batch_s, f'{batches} batches of {batch_s:.2f} s ({parts})'


def _evaluation(recipe: Recipe, state: State, check: Check, schedule: RunSchedule) -> tuple[float, str]:
    per_batch = check.per_batch[schedule.unit]
    run, evaluated = schedule.end / per_batch, {round(trough / per_batch) for trough in schedule.troughs}
    every = read_time('evaluation.interval', recipe.evaluation.interval)
    unit = schedule.lengths.unit({'evaluation.interval': every})
    interval = float(schedule.lengths.count('evaluation.interval', every)) / check.per_batch[unit]
    if interval:
        # Composer also evaluates at the end.
        evaluated |= {round(interval * (i + 1)) for i in range(int(run / interval))} | {round(run)}
    batches = sum(len(evaluator.dataloader.dataloader) for evaluator in state.evaluators)  # type: ignore[arg-type]
    text = f'{len(evaluated)} times {batches} batches of {check.eval_batch_s:.2f} s'
    return len(evaluated) * batches * check.eval_batch_s, text


def _check_room(key: str, folder: str, run_name: str, needed_bytes: int) -> str:
    """Returns a line on the room in a folder, checked on rank 0; a folder without room is refused on every rank."""

    def room() -> str:
        filled = filled_in(folder, run_name, key=key, **rank_numbers())
        try:
            return _room(key, filled, needed_bytes)
        except (OSError, ValueError) as error:
            raise ValueError(f'{key}={filled}: {error}') from error

    try:
        return on_rank_zero(room)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _room(key: str, folder: str, needed_bytes: int) -> str:
    if '://' in folder:
        store = RunFolder(folder)
        store.close()
        return f'{key:<18}{folder}: {decimal(needed_bytes)}'
    path = Path(folder).absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    with tempfile.TemporaryFile(dir=existing):
        free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise OSError(f'needs {decimal(needed_bytes)}, but only {decimal(free_bytes)} are free')
    return f'{key:<18}{folder}: {decimal(needed_bytes)} of {decimal(free_bytes)} free'
