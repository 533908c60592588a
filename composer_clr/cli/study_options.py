"""What the commands on studies share: which runs there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from composer_clr.recipes.schema import RecipeError

__all__ = ['Kinds', 'Methods', 'Recipes', 'Seeds', 'study_arguments']

Recipes = Annotated[list[str], typer.Argument(help='Recipes, and key=value pairs for all runs.')]
Seeds = Annotated[str, typer.Option(help='Seeds, separated by commas.')]
Kinds = Annotated[str, typer.Option(help='Kinds of run, separated by commas.')]
Methods = Annotated[
    str | None, typer.Option(help='Methods to add to each recipe, separated by commas: baseline,LS,MX,LS+MX.')
]


def study_arguments(recipes: list[str], seeds: str, kinds: str, methods: str | None) -> dict[str, Any]:
    """Returns the arguments of :func:`~composer_clr.recipes.study.planned_runs` from those of a command.

    Raises:
        RecipeError: If no recipe is named, or a seed is not a whole number.

    Example:
        >>> study_arguments(['quickstart/digits', 'max_duration=4ep'], '1,2', 'cyclic', None)['seeds']
        [1, 2]
    """
    names = [word for word in recipes if '=' not in word]
    if not names:
        raise RecipeError('no recipe is named: name one, such as quickstart/digits')
    try:
        numbers = [int(seed) for seed in seeds.split(',')]
    except ValueError as error:
        raise RecipeError(f'--seeds {seeds}: must be whole numbers, such as 17,18,19') from error
    return {
        'names': names,
        'overrides': [word for word in recipes if '=' in word],
        'seeds': numbers,
        'kinds': kinds.split(','),
        'methods': methods.split(',') if methods is not None else (),
    }
