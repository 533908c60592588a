"""Builds the Trainer that a recipe describes, and runs it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import composer.loggers
import composer.optim
import torch
from composer import Trainer
from composer.core import Algorithm, Callback, DataSpec, Event, Precision, State, ensure_data_spec
from composer.loggers import LoggerDestination
from composer.optim import ComposerScheduler, CosineAnnealingWithWarmupScheduler
from composer.utils import dist, reproducibility
from torch.optim import Optimizer
from torch.utils.data import DataLoader, DistributedSampler

from composer_clr.curves.curve import Run
from composer_clr.curves.names import ANYTIME, SCHEDULE_FREE
from composer_clr.curves.settings import RECIPE
from composer_clr.data import DATA_SETS, data_set
from composer_clr.data.loaders import SampleOrder
from composer_clr.recipes.families import samples_per_batch
from composer_clr.recipes.planned_cycles import recipe_arguments, recipe_cycles
from composer_clr.recipes.schema import CheckpointRecipe, Recipe, RecipeError, ScheduleRecipe
from composer_clr.recipes.study import Ranks, check_same_settings, run_folder
from composer_clr.recording.branch_points import BranchPoints
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.recording.progress import TroughProgress
from composer_clr.recording.run_folder import RunFolder
from composer_clr.schedule.scheduler import AnytimeScheduler, CyclicCosineScheduler
from composer_clr.training.models import build_model
from composer_clr.training.registry import all_named, built, check_arguments, classes, known_as, named, own_names, taken
from composer_clr.training.start_checkpoint import load_trainer, settle_start
from composer_clr.training.torch_errors import torch_errors
from composer_clr.utils.errors import UserError, one_line
from composer_clr.utils.models import is_schedule_free

__all__ = ['build_data', 'build_evaluator', 'build_loggers', 'build_trainer', 'fit', 'snapshot_of']


def build_trainer(recipe: Recipe, *, callbacks: Sequence[Callback] = (), eval_subset_num_batches: int = -1) -> Trainer:
    """Builds the Trainer that a recipe describes, its data last, which take the longest; refuses unknown names."""
    if 'OMP_NUM_THREADS' not in os.environ and not torch.cuda.is_available():
        # Several OpenMP threads per rank wait on each other for longer than they compute; torchrun sets one thread too.
        torch.set_num_threads(1)
    precision = recipe.precision and built(f'precision={recipe.precision}', Precision, {'value': recipe.precision})
    if precision not in (None, Precision.FP32) and not torch.cuda.is_available():
        raise RecipeError(f'precision={recipe.precision}: needs a GPU, and this machine has none: pass precision=fp32')
    scheduler = _schedule(recipe.schedule)
    # Imported before the seed is set: a module may draw random numbers.
    own = own_names(recipe.code)
    algorithms = _algorithms(recipe.algorithms, own)
    loggers = build_loggers(recipe)
    callbacks = [
        *_callbacks(recipe.callbacks, own),
        *_of_kind(recipe),
        TroughProgress(),
        _snapshot(recipe),
        *callbacks,
    ]
    start = settle_start(recipe)
    # Before the network, whose weights are random.
    built('seed', reproducibility.seed_all, {'seed': recipe.seed})
    model = build_model(recipe)
    optimizer = build_optimizer(recipe, model)
    train_data, eval_data = build_data(recipe)
    sampler = getattr(train_data.dataloader, 'sampler', None)
    if isinstance(sampler, DistributedSampler):
        callbacks.append(SampleOrder(sampler))
    arguments = {
        'run_name': recipe.run_name,
        'seed': recipe.seed,
        'model': model,
        'train_dataloader': train_data,
        'eval_dataloader': eval_data,
        'eval_interval': recipe.evaluation.interval,
        'eval_subset_num_batches': eval_subset_num_batches,
        'optimizers': optimizer,
        'schedulers': scheduler,
        'algorithms': algorithms,
        'loggers': loggers,
        'callbacks': callbacks,
        'max_duration': recipe.max_duration,
        'precision': recipe.precision,
        'device_train_microbatch_size': recipe.device_train_microbatch_size,
        'compile_config': {} if recipe.compile else None,
        'progress_bar': recipe.progress_bar,
        'save_folder': recipe.checkpoint.folder,
        'save_interval': save_interval(recipe.checkpoint.interval),
        'save_num_checkpoints_to_keep': recipe.checkpoint.keep,
        # A checkpoint cut off by a kill would stop every later start, though nothing names it.
        'save_overwrite': recipe.checkpoint.autoresume,
        'autoresume': recipe.checkpoint.autoresume,
        'load_path': recipe.checkpoint.load_path,
    }
    trainer = built('Trainer', partial(load_trainer, start), arguments)
    snapshot = snapshot_of(trainer)
    snapshot.recipe = _as_loaded(recipe.plain(), snapshot.loaded_run)
    return trainer


def build_evaluator(recipe: Recipe) -> Trainer:
    """Builds the Trainer of a recipe to evaluate other weights with: it logs and saves nothing."""
    return build_trainer(replace(recipe, loggers={}, callbacks={}, checkpoint=CheckpointRecipe(), progress_bar=False))


def build_loggers(recipe: Recipe) -> list[LoggerDestination]:
    """Builds the loggers that a recipe names."""
    known: dict[str, Callable[..., LoggerDestination]] = classes(LoggerDestination, composer.loggers)
    if 'WandBLogger' in recipe.loggers:
        from composer_clr.loggers.wandb_start import recipe_logger

        known['WandBLogger'] = partial(recipe_logger, recipe.run_name, resumable=recipe.checkpoint.autoresume)
    elif recipe.snapshot.log_artifact:
        raise RecipeError('snapshot.log_artifact=true logs to Weights & Biases: add loggers.WandBLogger.project=NAME')
    if 'MLFlowLogger' in recipe.loggers:
        from composer_clr.loggers.mlflow_start import RecipeMLFlowLogger

        known['MLFlowLogger'] = partial(RecipeMLFlowLogger, _mlflow_run(recipe))
    return all_named('loggers', known, recipe.loggers, LoggerDestination)


def _mlflow_run(recipe: Recipe) -> str | None:
    """Returns the MLflow run in which a recipe that resumes goes on: that of the curve of its settings, if any."""
    if not recipe.checkpoint.autoresume:
        return None
    folder = RunFolder(run_folder(recipe, Ranks(dist.get_world_size(), dist.get_local_world_size())))
    try:
        curve = folder.curve()
        if curve is None or curve.run.run_name != recipe.run_name:
            return None
        check_same_settings(curve.run, recipe, folder.uri)
        return curve.run.logged_to.get('MLFlowLogger')
    except (UserError, OSError):
        # Another run's, or one that is refused in a moment, in the words of ParetoSnapshot.
        return None
    finally:
        folder.close()


def fit(trainer: Trainer) -> bool:
    """Trains and returns ``True``, unless the run was resumed at its end; a refusal is one line, as for a recipe."""
    state = trainer.state
    starts_at, duration = state.timestamp.batch, state.max_duration
    try:
        with torch_errors():
            if duration is not None and state.timestamp >= duration:
                # A job may be restarted until it succeeds. The settings are compared as for a run that goes on.
                snapshot_of(trainer).fit_start(state, trainer.logger)
                return False
            trainer.fit()
            return True
    except (ValueError, OSError) as error:
        if state.timestamp.batch == starts_at:
            raise RecipeError(one_line(error)) from error
        raise


def snapshot_of(trainer: Trainer) -> ParetoSnapshot:
    """Returns the callback that records a Trainer's curve."""
    return next(callback for callback in trainer.state.callbacks if isinstance(callback, ParetoSnapshot))


def build_data(recipe: Recipe) -> tuple[DataSpec, ...]:
    """Builds the training and evaluation data of a recipe, each rank's share of every batch."""
    data, ranks = recipe.data, dist.get_world_size()
    if not data.timeout_s >= 0:
        raise RecipeError(f'data.timeout_s={data.timeout_s}: must be a number of seconds, or 0 to wait for ever')
    sizes = {}
    for key in ('batch_size', 'eval_batch_size'):
        samples = samples_per_batch(recipe, key)
        if samples < ranks or samples % ranks:
            value = getattr(data, key)
            what = '' if samples == value else f' is {samples} sequences, which'
            raise RecipeError(f'data.{key}={value}:{what} must be a positive multiple of the number of ranks, {ranks}')
        sizes[key] = samples // ranks
    make = known_as('data.name', dict.fromkeys(DATA_SETS, data_set) | own_names(recipe.code), data.name)
    if make is data_set:
        make = built(f'data.name={data.name}', data_set, {'name': data.name})
    asked = {'path': data.path, 'num_workers': data.num_workers or None}
    known = {
        'num_workers': data.num_workers,
        'seed': recipe.seed,
        'num_classes': recipe.model.num_classes,
        'sequence_length': data.sequence_length,
    }
    arguments = {**sizes, **{key: value for key, value in asked.items() if value is not None}, **taken(make, known)}
    check_arguments('data.arguments', make, data.arguments, given=arguments)
    made = built(f'data.{data.name}', make, arguments | data.arguments)
    specs = built(f'data.{data.name}', _two_specs, {'made': made, 'sizes': sizes})
    for spec in specs:
        if isinstance(spec.dataloader, DataLoader) and spec.dataloader.num_workers:
            spec.dataloader.timeout = data.timeout_s
    return specs


def _two_specs(made: object, sizes: Mapping[str, int]) -> tuple[DataSpec, ...]:
    """Returns what a function has made as training and evaluation data, in batches of the sizes asked for."""
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise ValueError(
            f'makes {type(made).__name__}: must make two loaders or DataSpecs, for training and evaluation'
        )
    specs = tuple(ensure_data_spec(one) for one in made)
    for spec, (key, size) in zip(specs, sizes.items(), strict=True):
        batch_size = getattr(spec.dataloader, 'batch_size', None)
        if batch_size not in (None, size):
            raise ValueError(f'makes batches of {batch_size} per rank, and data.{key} asks for {size}')
    return specs


def build_optimizer(recipe: Recipe, model: torch.nn.Module) -> Optimizer:
    """Builds the optimizer; in a run of the kind ``schedule-free``, as ``schedule.schedule_free`` changes it."""
    free = recipe.schedule.kind == SCHEDULE_FREE
    changes = recipe.schedule.schedule_free if free else {}
    section = replace(recipe.optimizer, **changes)
    largest = torch.finfo(torch.float32).max
    for key in ('lr', 'weight_decay'):
        value = getattr(section, key)
        if not 0 <= value <= largest:
            raise RecipeError(f'optimizer.{key}={value}: must be between 0 and {largest:.1e}')
    # Composer's last: where both have a class of a name, it is the decoupled one.
    modules = [torch.optim, composer.optim]
    if section.name.endswith('ScheduleFree'):
        extra = "needs schedulefree: pip install 'composer_clr[schedulefree]'"
        modules.append(built(f'optimizer.name={section.name}: {extra}', import_module, {'name': 'schedulefree'}))
    arguments = {'lr': section.lr, 'weight_decay': section.weight_decay, **section.arguments}
    try:
        known = classes(Optimizer, *modules) | own_names(recipe.code)
        optimizer = named('optimizer.name', known, section.name, {'params': model.parameters(), **arguments}, Optimizer)
    except RecipeError as error:
        if 'name' not in changes or 'arguments' in changes or not section.arguments:
            raise
        raise RecipeError(
            f'{error} (with optimizer.arguments, {section.arguments}: pass schedule.schedule_free.arguments={{}}, or '
            'those of this optimizer)'
        ) from error
    if is_schedule_free(optimizer) != free:
        remedy = (
            'is not schedule-free: pass schedule.schedule_free={name: SGDScheduleFree, lr: 1.0}'
            if free
            else 'goes with schedule.kind=schedule-free alone'
        )
        raise RecipeError(f'optimizer.name={section.name} with schedule.kind={recipe.schedule.kind}: {remedy}')
    return optimizer


def save_interval(interval: str) -> str | Callable[[State, Event], bool]:
    """Returns ``Trainer``'s ``save_interval`` for a recipe's ``checkpoint.interval``, such as ``1ep`` or ``60s``."""
    seconds = re.fullmatch(r'(\d+)s', interval)
    return EpochEndsAfter(int(seconds[1])) if seconds else interval


class EpochEndsAfter:
    """Saves at the first end of an epoch ``seconds`` after the last save, and at the end of training.

    Composer's own ``60s`` saves in the middle of an epoch, from which it does not restore all random numbers.
    """

    def __init__(self, seconds: int):
        self.seconds = seconds
        self._last_s = time.monotonic()
        self._decided: tuple[int, bool] = (-1, False)

    def __call__(self, state: State, event: Event) -> bool:
        if event != Event.EPOCH_CHECKPOINT:
            return False
        batch = state.timestamp.batch.value
        if self._decided[0] != batch:  # EMA asks again
            elapsed = state.get_elapsed_duration()
            due = [time.monotonic() - self._last_s >= self.seconds or (elapsed is not None and elapsed >= 1)]
            # The clocks of the ranks differ, but all ranks must save together.
            dist.broadcast_object_list(due)
            self._decided = batch, due[0]
            self._last_s = time.monotonic() if due[0] else self._last_s
        return self._decided[1]


def _schedule(recipe: ScheduleRecipe) -> ComposerScheduler:
    recipe = recipe.of_run()
    arguments = built('schedule', recipe_arguments, {'schedule': recipe})
    kind = CyclicCosineScheduler if arguments.rate is None else AnytimeScheduler
    scheduler = built('schedule', kind.of_arguments, {'arguments': arguments})
    if recipe.kind == 'standard' and recipe.shape == 'cosine' and not recipe.t_hold:
        # One cycle has no restart: this is Composer's own scheduler.
        return CosineAnnealingWithWarmupScheduler(t_warmup=recipe.t_warmup, t_max='1dur', alpha_f=recipe.alpha_f)
    return scheduler


def _snapshot(recipe: Recipe) -> ParetoSnapshot:
    arguments = {**vars(recipe.snapshot), 'kind': recipe.curve_kind, 'autoresume': recipe.checkpoint.autoresume}
    return built('snapshot', ParetoSnapshot, arguments)


def _as_loaded(recipe: dict[str, Any], loaded: Run | None) -> dict[str, Any]:
    """Returns a plain recipe with the optimizer's settings and the seed of a checkpoint, which Composer puts in."""
    then = (loaded.settings or {}).get(RECIPE) if loaded is not None else None
    if not isinstance(then, dict):
        return recipe
    optimizer = {**recipe['optimizer'], **then['optimizer'], 'name': recipe['optimizer']['name']}
    return {**recipe, 'seed': then['seed'], 'optimizer': optimizer}


def _algorithms(chosen: dict[str, Any], own: Mapping[str, Callable[..., Any]]) -> list[Algorithm]:
    """Builds algorithms of Composer, of this package and one's own; ``in_cycles: true`` makes one follow the cycles."""
    if not chosen:
        return []
    import composer.algorithms

    from composer_clr.algorithms.batch_size import CyclicBatchSize
    from composer_clr.algorithms.hyperparameters import CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay
    from composer_clr.algorithms.in_cycles import InCycles

    ours = (CyclicBatchSize, CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay)
    known = {**classes(Algorithm, composer.algorithms), **{one.__name__: one for one in ours}, **own}
    algorithms = []
    for name, arguments in chosen.items():
        if arguments is False:
            continue
        arguments, key = dict(arguments or {}), f'algorithms.{name}.in_cycles'
        in_cycles = arguments.pop('in_cycles', False)
        if not isinstance(in_cycles, bool):
            raise RecipeError(f'{key}={in_cycles!r}: must be true or false')
        algorithm = named('algorithms', known, name, arguments, Algorithm)
        algorithms.append(built(key, InCycles, {'algorithm': algorithm}) if in_cycles else algorithm)
    return algorithms


def _callbacks(chosen: dict[str, Any], own: Mapping[str, Callable[..., Any]]) -> list[Callback]:
    """Builds callbacks of Composer, of this package and one's own."""
    if not chosen:
        return []
    import composer.callbacks

    from composer_clr.averaging.fast_cycles import FastCycles
    from composer_clr.averaging.trough_average import TroughAverage

    if chosen.get('LoadCheckpoint', False) is not False:
        raise RecipeError(
            'callbacks.LoadCheckpoint: unpickles a file, and replaces weights while the curve grows: pass '
            'checkpoint.load_path to start from a checkpoint that you trust'
        )
    ours = {one.__name__: one for one in (TroughAverage, FastCycles)}
    return all_named('callbacks', {**classes(Callback, composer.callbacks), **ours, **own}, chosen, Callback)


def _of_kind(recipe: Recipe) -> list[Callback]:
    """Builds what makes the points of a run without decay, or saves where branches leave a trunk."""
    if recipe.schedule.kind == ANYTIME:
        from composer_clr.averaging.anytime import AnytimeAverage

        return [built('schedule.average', AnytimeAverage, dict(recipe.schedule.average))]
    if recipe.schedule.kind == SCHEDULE_FREE:
        from composer_clr.averaging.schedule_free import ScheduleFree

        return [ScheduleFree()]
    if recipe.schedule.kind == 'branch':
        cycles = recipe_cycles(recipe)
        return [BranchPoints([f'{trough}{cycles.unit}' for trough in cycles.troughs])]
    return []
