"""Train one recipe: ``composer -n N -m composer_clr.train RECIPE [key=value ...]``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import composer.algorithms
import composer.loggers
import composer.optim
import torch
import torchvision
from composer import Trainer
from composer.core import DataSpec
from composer.models import ComposerClassifier
from composer.optim import ComposerScheduler, CosineAnnealingWithWarmupScheduler
from composer.utils import dist, reproducibility

from composer_clr.data.digits import digits_dataspecs
from composer_clr.data.imagefolder import imagefolder_dataspecs
from composer_clr.nearest_name import did_you_mean
from composer_clr.networks import SmallResNet
from composer_clr.recipe import (
    DataRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    RecipeError,
    ScheduleRecipe,
    load_recipe,
    shipped_recipes,
)
from composer_clr.recipe import __doc__ as recipe_help
from composer_clr.scheduler import CyclicCosineScheduler
from composer_clr.snapshot import ParetoSnapshot

__all__ = ['build_trainer', 'main']

_DATA = {'digits': digits_dataspecs, 'imagefolder': imagefolder_dataspecs}


def build_trainer(recipe: Recipe) -> Trainer:
    """Build the Trainer that a recipe describes; ``fit()`` runs it.

    Raises:
        RecipeError: If the recipe names something that there is not, or its batches cannot be shared by the ranks.
    """
    if 'OMP_NUM_THREADS' not in os.environ and not torch.cuda.is_available():
        # Several OpenMP threads a rank wait on each other for longer than they compute; torchrun sets one thread too.
        torch.set_num_threads(1)
    # The seed stands before the network does, whose weights are random.
    reproducibility.seed_all(recipe.seed)
    model = _classifier(recipe.model)
    train_data, eval_data = _data(recipe.data, recipe.model.num_classes)
    return Trainer(
        run_name=recipe.run_name,
        seed=recipe.seed,
        model=model,
        train_dataloader=train_data,
        eval_dataloader=eval_data,
        eval_interval=recipe.evaluation.interval,
        optimizers=_optimizer(recipe.optimizer, model),
        schedulers=_schedule(recipe.schedule),
        algorithms=[_named('algorithms', composer.algorithms, *item) for item in recipe.algorithms.items()],
        loggers=[_named('loggers', composer.loggers, *item) for item in recipe.loggers.items()],
        callbacks=ParetoSnapshot(
            folder=recipe.snapshot.folder,
            metrics=recipe.snapshot.metrics,
            directions=recipe.snapshot.directions,
            save_weights=recipe.snapshot.save_weights,
            peak_window=recipe.snapshot.peak_window,
            method=recipe.snapshot.method,
            kind=recipe.schedule.kind,
            overwrite=recipe.snapshot.overwrite,
        ),
        max_duration=recipe.max_duration,
        precision=recipe.precision,
        device_train_microbatch_size=recipe.device_train_microbatch_size,
        progress_bar=recipe.progress_bar,
        save_folder=recipe.checkpoint.folder,
        save_interval=recipe.checkpoint.interval,
        save_num_checkpoints_to_keep=recipe.checkpoint.keep,
        autoresume=recipe.checkpoint.autoresume,
        load_path=recipe.checkpoint.load_path,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, train, and return the exit status: 2 if the recipe cannot be run."""
    name, *overrides = list(sys.argv[1:] if arguments is None else arguments) or ['--help']
    if name in ('-h', '--help'):
        print(__doc__, f'Recipes: {", ".join(shipped_recipes())}', recipe_help, sep='\n\n')
        return 0
    try:
        trainer = build_trainer(load_recipe(name, overrides))
    except RecipeError as error:
        print(f'composer_clr.train: {error}', file=sys.stderr)
        return 2
    trainer.fit()
    trainer.close()
    return 0


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
    if recipe.kind == 'standard':
        return CosineAnnealingWithWarmupScheduler(t_warmup=recipe.t_warmup, t_max='1dur', alpha_f=recipe.alpha_f)
    try:
        return CyclicCosineScheduler(recipe.t_0, recipe.t_mult, recipe.t_warmup, recipe.alpha_f, recipe.cycle_ends)
    except ValueError as error:
        raise RecipeError(f'schedule: {error}') from error


def _named(key: str, module: ModuleType, name: str, arguments: dict[str, Any] | None) -> Any:
    """An object of a class that a module of Composer's or torch's has, by name."""
    if not isinstance(getattr(module, name, None), type):
        classes = [known for known, item in vars(module).items() if isinstance(item, type)]
        raise RecipeError(_unknown(key, name, classes))
    return _built(f'{key}.{name}', getattr(module, name), arguments or {})


def _built(key: str, maker: Any, arguments: dict[str, Any]) -> Any:
    try:
        return maker(**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f'{key}: {error}') from error


def _unknown(key: str, name: str, known: list[str]) -> str:
    return f'{key}={name!r}: there is none of this name{did_you_mean(name, known)}'


if __name__ == '__main__':
    sys.exit(main())
