"""Builds the optimizer that a recipe names: Composer's, torch's or a schedule-free one."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import composer.optim
import torch

from composer_clr.curves.kinds import SCHEDULE_FREE
from composer_clr.recipes.schema import OptimizerRecipe, Recipe, RecipeError
from composer_clr.training.registry import classes, named
from composer_clr.utils.models import is_schedule_free

__all__ = ['build_optimizer']


def build_optimizer(recipe: Recipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Builds the optimizer; in a run of the kind ``schedule-free``, as ``schedule.schedule_free`` changes it.

    Raises:
        RecipeError: If a name or key is unknown, an argument is wrong, or a schedule-free optimizer and the kind of the
            run do not go together.
    """
    section, free = recipe.optimizer, recipe.schedule.kind == SCHEDULE_FREE
    changes = recipe.schedule.schedule_free if free else {}
    section = replace(section, **changes)
    try:
        optimizer = _optimizer(section, model)
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


def _optimizer(recipe: OptimizerRecipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    largest = torch.finfo(torch.float32).max
    for key in ('lr', 'weight_decay'):
        value = getattr(recipe, key)
        if not 0 <= value <= largest:
            raise RecipeError(f'optimizer.{key}={value}: must be between 0 and {largest:.1e}')
    arguments = {'params': model.parameters(), 'lr': recipe.lr, 'weight_decay': recipe.weight_decay, **recipe.arguments}
    # Composer's first: where both have a class of a name, it is the decoupled one.
    modules = [torch.optim, composer.optim]
    if recipe.name.endswith('ScheduleFree'):
        try:
            modules.append(import_module('schedulefree'))
        except ImportError as error:
            raise RecipeError(
                f"optimizer.name={recipe.name}: needs schedulefree: pip install 'composer_clr[schedulefree]'"
            ) from error
    return named('optimizer.name', classes(torch.optim.Optimizer, *modules), recipe.name, arguments)
