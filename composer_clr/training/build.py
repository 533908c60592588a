"""Builds the Trainer that a recipe describes, and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from types import ModuleType, SimpleNamespace
from typing import Any

import composer.algorithms
import composer.callbacks
import composer.loggers
import composer.optim
import torch
import torchvision
from composer import Trainer
from composer.core import Algorithm, Callback, DataSpec
from composer.loggers import LoggerDestination
from composer.models import ComposerClassifier
from composer.optim import ComposerScheduler, CosineAnnealingWithWarmupScheduler
from composer.utils import dist, reproducibility

from composer_clr.algorithms.batch_size import CyclicBatchSize
from composer_clr.algorithms.in_cycles import InCycles
from composer_clr.algorithms.in_step import CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay
from composer_clr.averaging.fast_cycles import FastCycles
from composer_clr.averaging.trough_average import TroughAverage
from composer_clr.data.cifar10 import cifar10_dataspecs
from composer_clr.data.digits import digits_dataspecs
from composer_clr.data.extras import streaming_dataspecs
from composer_clr.data.imagefolder import imagefolder_dataspecs
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import DataRecipe, ModelRecipe, OptimizerRecipe, Recipe, RecipeError, ScheduleRecipe
from composer_clr.recording.branch_points import BranchPoints
from composer_clr.recording.pareto_snapshot import ParetoSnapshot
from composer_clr.recording.trough_progress import TroughProgress
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.training.networks import SmallResNet
from composer_clr.utils.errors import one_line
from composer_clr.utils.text import did_you_mean
from composer_clr.wandb_io.start import logger_arguments, look_for_no_checkpoints_offline, wandb_errors_in_one_line

__all__ = ['build_loggers', 'build_trainer', 'fit']

_DATA = {
    'cifar10': cifar10_dataspecs,
    'digits': digits_dataspecs,
    'imagefolder': imagefolder_dataspecs,
    'streaming': streaming_dataspecs,
}
_ALGORITHMS = {
    made.__name__: made for made in (CyclicBatchSize, CyclicGradientClipping, CyclicMomentum, CyclicWeightDecay)
}
_CALLBACKS = SimpleNamespace(**vars(composer.callbacks), TroughAverage=TroughAverage, FastCycles=FastCycles)


@wandb_errors_in_one_line()
def build_trainer(recipe: Recipe, *, callbacks: Sequence[Callback] = (), eval_subset_num_batches: int = -1) -> Trainer:
    """Build the Trainer that a recipe describes; ``fit()`` runs it.

    Args:
        recipe (Recipe): The run.
        callbacks (Sequence[Callback]): Further callbacks. Default: ``()``.
        eval_subset_num_batches (int): How many batches to evaluate on. Default: ``-1``, all.

    Raises:
        RecipeError: If the recipe names something that there is not, a value is out of range, or its batches cannot be
            shared by the ranks.
    """
    if 'OMP_NUM_THREADS' not in os.environ and not torch.cuda.is_available():
        # Several OpenMP threads a rank wait on each other for longer than they compute; torchrun sets one thread too.
        torch.set_num_threads(1)
    # The seed stands before the network does, whose weights are random.
    reproducibility.seed_all(recipe.seed)
    model = _classifier(recipe.model)
    train_data, eval_data = _data(recipe.data, recipe.model.num_classes)
    arguments = {
        'run_name': recipe.run_name,
        'seed': recipe.seed,
        'model': model,
        'train_dataloader': train_data,
        'eval_dataloader': eval_data,
        'eval_interval': recipe.evaluation.interval,
        'eval_subset_num_batches': eval_subset_num_batches,
        'optimizers': _optimizer(recipe.optimizer, model),
        'schedulers': _schedule(recipe.schedule),
        'algorithms': [_algorithm(*item) for item in recipe.algorithms.items() if item[1] is not False],
        'loggers': build_loggers(recipe),
        'callbacks': [
            *_all_named('callbacks', _CALLBACKS, recipe.callbacks),
            TroughProgress(),
            _snapshot(recipe),
            *_branch_points(recipe),
            *callbacks,
        ],
        'max_duration': recipe.max_duration,
        'precision': recipe.precision,
        'device_train_microbatch_size': recipe.device_train_microbatch_size,
        'compile_config': {} if recipe.compile else None,
        'progress_bar': recipe.progress_bar,
        'save_folder': recipe.checkpoint.folder,
        'save_interval': recipe.checkpoint.interval,
        'save_num_checkpoints_to_keep': recipe.checkpoint.keep,
        # A checkpoint that a kill has cut off would stop every later start, though nothing names it.
        'save_overwrite': recipe.checkpoint.autoresume,
        'autoresume': recipe.checkpoint.autoresume,
        'load_path': recipe.checkpoint.load_path,
    }
    return _built('the Trainer refuses it', Trainer, arguments)


def build_loggers(recipe: Recipe) -> list[LoggerDestination]:
    """Make the loggers that a recipe names.

    Raises:
        RecipeError: If Composer has none of a name, or an argument is wrong.
        UserError: If nobody is logged in to W&B.
    """
    loggers = dict(recipe.loggers)
    if 'WandBLogger' in loggers:
        resumable = recipe.checkpoint.autoresume
        loggers['WandBLogger'] = logger_arguments(loggers['WandBLogger'], recipe.run_name, resumable=resumable)
    elif recipe.snapshot.log_artifact:
        raise RecipeError('snapshot.log_artifact=true logs to Weights & Biases: add loggers.WandBLogger.project=NAME')
    made = _all_named('loggers', composer.loggers, loggers)
    if 'WandBLogger' in loggers:
        look_for_no_checkpoints_offline(made, loggers['WandBLogger'])
    return made


def fit(trainer: Trainer) -> None:
    """Train, unless the run was resumed at its end.

    Raises:
        RecipeError: If the run is refused before its first batch is done.
        OSError: If it breaks off later: an image cannot be read, or the curve cannot be written.
    """
    starts_at, duration = trainer.state.timestamp.batch, trainer.state.max_duration
    if duration is not None and trainer.state.timestamp >= duration:
        # Resumed at its end, as a job that is started again until it succeeds is.
        print(f'composer_clr.train: {trainer.state.run_name} has trained for {duration} already', file=sys.stderr)
        return
    try:
        trainer.fit()
    except (ValueError, OSError) as error:
        if trainer.state.timestamp.batch == starts_at:
            raise RecipeError(one_line(error)) from error
        raise


def _classifier(recipe: ModelRecipe) -> ComposerClassifier:
    arguments = {'num_classes': recipe.num_classes, **recipe.arguments}
    if recipe.name == 'small_resnet':
        network: torch.nn.Module = _built(f'model.{recipe.name}', SmallResNet, arguments)
    else:
        known = torchvision.models.list_models(torchvision.models)
        if recipe.name not in known:
            raise RecipeError(_unknown('model.name', recipe.name, ['small_resnet', *known]))
        network = _built(f'model.{recipe.name}', torchvision.models.get_model_builder(recipe.name), arguments)
    return ComposerClassifier(network, num_classes=recipe.num_classes)


def _data(recipe: DataRecipe, num_classes: int) -> tuple[DataSpec, DataSpec]:
    if recipe.name not in _DATA:
        raise RecipeError(_unknown('data.name', recipe.name, list(_DATA)))
    ranks = dist.get_world_size()
    shares = {}
    for key in ('batch_size', 'eval_batch_size'):
        size = getattr(recipe, key)
        if size < ranks or size % ranks:
            raise RecipeError(f'data.{key}={size} cannot be shared by {ranks} ranks: give a multiple of {ranks}')
        shares[key] = size // ranks
    arguments: dict[str, Any] = {**shares, 'num_workers': recipe.num_workers, 'num_classes': num_classes}
    if recipe.path is not None:
        arguments['path'] = recipe.path
    arguments |= recipe.arguments
    return _built(f'data.{recipe.name}', _DATA[recipe.name], arguments)


def _optimizer(recipe: OptimizerRecipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    source = composer.optim if hasattr(composer.optim, recipe.name) else torch.optim
    arguments = {'params': model.parameters(), 'lr': recipe.lr, 'weight_decay': recipe.weight_decay, **recipe.arguments}
    return _named('optimizer.name', source, recipe.name, arguments)


def _schedule(recipe: ScheduleRecipe) -> ComposerScheduler:
    names = ('t_warmup', 'alpha_f', 'shape', 'peak_decay', 't_rewarmup', 't_hold')
    arguments: dict[str, Any] = {name: getattr(recipe, name) for name in names}
    ends: dict[str, Any] = {'t_0': recipe.t_0, 't_mult': recipe.t_mult, 'cycle_ends': recipe.cycle_ends}
    if recipe.kind in ('standard', 'branch'):
        ends = {'cycle_ends': ['1dur']}
    try:
        made = CyclicCosineScheduler(**ends, **arguments)
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error
    if recipe.kind == 'standard' and recipe.shape == 'cosine' and not recipe.t_hold:
        # With one cycle there is no restart, and so nothing that Composer's own scheduler does not do.
        return CosineAnnealingWithWarmupScheduler(t_warmup=recipe.t_warmup, t_max='1dur', alpha_f=recipe.alpha_f)
    return made


def _snapshot(recipe: Recipe) -> ParetoSnapshot:
    arguments = {field.name: getattr(recipe.snapshot, field.name) for field in fields(recipe.snapshot)}
    arguments |= {'kind': recipe.curve_kind, 'autoresume': recipe.checkpoint.autoresume}
    return _built('snapshot', ParetoSnapshot, arguments)


def _algorithm(name: str, arguments: dict[str, Any] | None) -> Algorithm:
    """An algorithm of Composer's or ours, by the cycles if its ``in_cycles`` is true."""
    arguments = dict(arguments or {})
    in_cycles = arguments.pop('in_cycles', False)
    if not isinstance(in_cycles, bool):
        raise RecipeError(f'algorithms.{name}.in_cycles={in_cycles!r}: give true or false')
    if name in _ALGORITHMS:
        made = _built(f'algorithms.{name}', _ALGORITHMS[name], arguments)
    else:
        made = _named('algorithms', composer.algorithms, name, arguments, also=_ALGORITHMS)
    return _built(f'algorithms.{name}.in_cycles', InCycles, {'algorithm': made}) if in_cycles else made


def _branch_points(recipe: Recipe) -> list[BranchPoints]:
    if recipe.schedule.kind != 'branch':
        return []
    if not recipe.schedule.t_hold:
        raise RecipeError(
            'schedule.kind=branch: a branch leaves a trunk of constant rate: give schedule.t_hold=0.8, to decay over '
            'the last fifth of the time after the warmup, or another part'
        )
    told = recipe_cycles(recipe)
    return [BranchPoints([f'{trough}{told.unit}' for trough in told.troughs])]


def _all_named(key: str, module: ModuleType | SimpleNamespace, chosen: dict[str, Any]) -> list[Any]:
    return [_named(key, module, name, arguments) for name, arguments in chosen.items() if arguments is not False]


def _named(
    key: str,
    module: ModuleType | SimpleNamespace,
    name: str,
    arguments: dict[str, Any] | None,
    also: Iterable[str] = (),
) -> Any:
    """An object of a class that a module of Composer's or torch's has, by name."""
    if not isinstance(getattr(module, name, None), type):
        classes = [known for known, item in vars(module).items() if isinstance(item, type)]
        raise RecipeError(_unknown(key, name, [*classes, *also]))
    return _built(f'{key}.{name}', getattr(module, name), arguments or {})


def _built(key: str, maker: Any, arguments: dict[str, Any]) -> Any:
    try:
        return maker(**arguments)
    except RecipeError:
        raise
    except (TypeError, ValueError, OSError) as error:
        raise RecipeError(f'{key}: {one_line(error)}') from error


def _unknown(key: str, name: str, known: list[str]) -> str:
    return f'{key}={name!r}: there is none of this name{did_you_mean(name, known)}'
