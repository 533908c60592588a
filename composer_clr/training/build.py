"""Builds the Trainer that a recipe describes, and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any

import composer.loggers
import composer.optim
import torch
from composer import Trainer
from composer.core import Algorithm, Callback, DataSpec, Precision
from composer.loggers import LoggerDestination
from composer.models import ComposerClassifier
from composer.optim import ComposerScheduler, CosineAnnealingWithWarmupScheduler
from composer.utils import dist, reproducibility

from composer_clr.data.by_name import data_set
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import DataRecipe, ModelRecipe, OptimizerRecipe, Recipe, RecipeError, ScheduleRecipe
from composer_clr.recording.branch_points import BranchPoints
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.recording.trough_progress import TroughProgress
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.training.networks import network_named
from composer_clr.utils.errors import one_line
from composer_clr.utils.text import did_you_mean
from composer_clr.wandb_io.start import logger_arguments, look_for_no_checkpoints_offline, wandb_errors_in_one_line

__all__ = ['build_loggers', 'build_trainer', 'fit']


@wandb_errors_in_one_line()
def build_trainer(recipe: Recipe, *, callbacks: Sequence[Callback] = (), eval_subset_num_batches: int = -1) -> Trainer:
    """Builds the Trainer that a recipe describes; ``fit()`` runs it.

    Args:
        recipe (Recipe): The run.
        callbacks (Sequence[Callback]): Further callbacks. Default: ``()``.
        eval_subset_num_batches (int): How many batches to evaluate on. Default: ``-1``, all.

    Raises:
        RecipeError: If a name is unknown, a value is out of range, or the ranks cannot share the batches equally. What
            takes the longest, the data, is built last.
    """
    if 'OMP_NUM_THREADS' not in os.environ and not torch.cuda.is_available():
        # Several OpenMP threads per rank wait on each other for longer than they compute; torchrun sets one thread too.
        torch.set_num_threads(1)
    _check_precision(recipe.precision)
    scheduler = _schedule(recipe.schedule)
    algorithms = _algorithms(recipe.algorithms)
    loggers = build_loggers(recipe)
    callbacks = [
        *_callbacks(recipe.callbacks),
        TroughProgress(),
        _snapshot(recipe),
        *_branch_points(recipe),
        *callbacks,
    ]
    # Before the network, whose weights are random.
    reproducibility.seed_all(recipe.seed)
    model = _classifier(recipe.model)
    optimizer = _optimizer(recipe.optimizer, model)
    train_data, eval_data = _data(recipe.data, recipe.model.num_classes)
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
        'save_interval': recipe.checkpoint.interval,
        'save_num_checkpoints_to_keep': recipe.checkpoint.keep,
        # A checkpoint cut off by a kill would stop every later start, though nothing names it.
        'save_overwrite': recipe.checkpoint.autoresume,
        'autoresume': recipe.checkpoint.autoresume,
        'load_path': recipe.checkpoint.load_path,
    }
    return _built('Trainer', Trainer, arguments)


def build_loggers(recipe: Recipe) -> list[LoggerDestination]:
    """Builds the loggers that a recipe names.

    Raises:
        RecipeError: If a name is unknown, or an argument is wrong.
        UserError: If the run is to be online and W&B has no login.
    """
    loggers = dict(recipe.loggers)
    if 'WandBLogger' in loggers:
        resumable = recipe.checkpoint.autoresume
        loggers['WandBLogger'] = logger_arguments(loggers['WandBLogger'], recipe.run_name, resumable=resumable)
    elif recipe.snapshot.log_artifact:
        raise RecipeError('snapshot.log_artifact=true logs to Weights & Biases: add loggers.WandBLogger.project=NAME')
    destinations = _all_named('loggers', _classes(LoggerDestination, composer.loggers), loggers)
    if 'WandBLogger' in loggers:
        look_for_no_checkpoints_offline(destinations, loggers['WandBLogger'])
    return destinations


def fit(trainer: Trainer) -> None:
    """Trains, unless the run was resumed at its end.

    Raises:
        RecipeError: If the run is refused before the end of its first batch.
        OSError: If it fails later: an image cannot be read, or the curve cannot be written.
    """
    starts_at, duration = trainer.state.timestamp.batch, trainer.state.max_duration
    if duration is not None and trainer.state.timestamp >= duration:
        # As a job that is restarted until it succeeds.
        print(f'composer_clr.train: {trainer.state.run_name} is complete: trained for {duration}', file=sys.stderr)
        return
    try:
        trainer.fit()
    except (ValueError, OSError) as error:
        if trainer.state.timestamp.batch == starts_at:
            raise RecipeError(one_line(error)) from error
        raise


def _check_precision(precision: str | None) -> None:
    if precision is None:
        return
    try:
        full = Precision(precision) is Precision.FP32
    except ValueError as error:
        raise RecipeError(f'precision={precision}: {error}') from error
    if not full and not torch.cuda.is_available():
        raise RecipeError(f'precision={precision}: needs a GPU, and this machine has none: pass precision=fp32')


def _classifier(recipe: ModelRecipe) -> ComposerClassifier:
    arguments = {'num_classes': recipe.num_classes, **recipe.arguments}
    make = _built(f'model.name={recipe.name}', network_named, {'name': recipe.name})
    return ComposerClassifier(_built(f'model.{recipe.name}', make, arguments), num_classes=recipe.num_classes)


def _data(recipe: DataRecipe, num_classes: int) -> tuple[DataSpec, DataSpec]:
    ranks = dist.get_world_size()
    shares = {}
    for key in ('batch_size', 'eval_batch_size'):
        size = getattr(recipe, key)
        if size < ranks or size % ranks:
            raise RecipeError(f'data.{key}={size}: must be a positive multiple of the number of ranks, {ranks}')
        shares[key] = size // ranks
    if 'decoder' in recipe.arguments:
        raise RecipeError(
            f'data.arguments.decoder={recipe.arguments["decoder"]}: removed, since decoding only the crop is not '
            "faster (2.18 against 2.33 times torchvision's pipeline): leave data.arguments.decoder out"
        )
    arguments: dict[str, Any] = {**shares, 'num_workers': recipe.num_workers, 'num_classes': num_classes}
    if recipe.path is not None:
        arguments['path'] = recipe.path
    make = _built(f'data.name={recipe.name}', data_set, {'name': recipe.name})
    return _built(f'data.{recipe.name}', make, arguments | recipe.arguments)


def _optimizer(recipe: OptimizerRecipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    arguments = {'params': model.parameters(), 'lr': recipe.lr, 'weight_decay': recipe.weight_decay, **recipe.arguments}
    # Composer's first: where both have a class of a name, it is the decoupled one.
    known = _classes(torch.optim.Optimizer, torch.optim, composer.optim)
    return _named('optimizer.name', known, recipe.name, arguments)


def _schedule(recipe: ScheduleRecipe) -> ComposerScheduler:
    names = ('t_warmup', 'alpha_f', 'shape', 'peak_decay', 't_rewarmup', 't_hold')
    arguments: dict[str, Any] = {name: getattr(recipe, name) for name in names}
    ends: dict[str, Any] = {'t_0': recipe.t_0, 't_mult': recipe.t_mult, 'cycle_ends': recipe.cycle_ends}
    if recipe.kind in ('standard', 'branch'):
        ends = {'cycle_ends': ['1dur']}
    scheduler = _built('schedule', CyclicCosineScheduler, ends | arguments)
    if recipe.kind == 'standard' and recipe.shape == 'cosine' and not recipe.t_hold:
        # One cycle has no restart: this is Composer's own scheduler.
        return CosineAnnealingWithWarmupScheduler(t_warmup=recipe.t_warmup, t_max='1dur', alpha_f=recipe.alpha_f)
    return scheduler


def _snapshot(recipe: Recipe) -> ParetoSnapshot:
    arguments = {field.name: getattr(recipe.snapshot, field.name) for field in fields(recipe.snapshot)}
    arguments |= {'kind': recipe.curve_kind, 'autoresume': recipe.checkpoint.autoresume}
    return _built('snapshot', ParetoSnapshot, arguments)


def _algorithms(chosen: dict[str, Any]) -> list[Algorithm]:
    """Builds the algorithms, Composer's and ours; ``in_cycles: true`` makes one follow the cycles."""
    if not chosen:
        return []
    import composer.algorithms

    from composer_clr.algorithms.batch_size import CyclicBatchSize
    from composer_clr.algorithms.in_cycles import InCycles
    from composer_clr.algorithms.in_step import CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay

    own = (CyclicBatchSize, CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay)
    known = _classes(Algorithm, composer.algorithms) | {algorithm.__name__: algorithm for algorithm in own}
    algorithms = []
    for name, arguments in chosen.items():
        if arguments is False:
            continue
        arguments = dict(arguments or {})
        in_cycles = arguments.pop('in_cycles', False)
        if not isinstance(in_cycles, bool):
            raise RecipeError(f'algorithms.{name}.in_cycles={in_cycles!r}: must be true or false')
        algorithm = _named('algorithms', known, name, arguments)
        algorithms.append(
            _built(f'algorithms.{name}.in_cycles', InCycles, {'algorithm': algorithm}) if in_cycles else algorithm
        )
    return algorithms


def _callbacks(chosen: dict[str, Any]) -> list[Callback]:
    """Builds the callbacks, Composer's and ours."""
    if not chosen:
        return []
    import composer.callbacks

    from composer_clr.averaging.fast_cycles import FastCycles
    from composer_clr.averaging.trough_average import TroughAverage

    known = _classes(Callback, composer.callbacks) | {own.__name__: own for own in (TroughAverage, FastCycles)}
    return _all_named('callbacks', known, chosen)


def _branch_points(recipe: Recipe) -> list[BranchPoints]:
    if recipe.schedule.kind != 'branch':
        return []
    if not recipe.schedule.t_hold:
        raise RecipeError(
            'schedule.kind=branch: a branch leaves a trunk of constant rate: pass schedule.t_hold=0.8, to decay over '
            'the last fifth of the time after the warmup, or another part'
        )
    cycles = recipe_cycles(recipe)
    return [BranchPoints([f'{trough}{cycles.unit}' for trough in cycles.troughs])]


def _classes(base: type, *modules: ModuleType) -> dict[str, type]:
    """Returns the classes that modules hold, by name; of two with one name, the later."""
    found = [item for module in modules for item in vars(module).items()]
    return {
        name: item for name, item in found if isinstance(item, type) and issubclass(item, base) and item is not base
    }


def _all_named(key: str, known: Mapping[str, type], chosen: dict[str, Any]) -> list[Any]:
    return [_named(key, known, name, arguments) for name, arguments in chosen.items() if arguments is not False]


def _named(key: str, known: Mapping[str, type], name: str, arguments: dict[str, Any] | None) -> Any:
    if name not in known:
        raise RecipeError(f'{key}={name!r}: unknown name{did_you_mean(name, list(known))}')
    return _built(f'{key}.{name}', known[name], arguments or {})


def _built(key: str, maker: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return maker(**arguments)
    except RecipeError:
        raise
    except (TypeError, ValueError, OSError) as error:
        raise RecipeError(f'{key}: {one_line(error)}') from error
