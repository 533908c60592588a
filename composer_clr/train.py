"""Trains one recipe: ``composer -n N -m composer_clr.train RECIPE [key=value ...] [--check]``.

``--check`` builds everything, tries two training batches and one evaluation batch, and prints the cost of the run;
nothing is kept. ``--traceback`` shows where in the code an error was raised. The exit status is 2 for a run that cannot
be started, 1 for one that failed later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from composer.utils import dist

from composer_clr.recipes.load import __doc__ as recipe_help
from composer_clr.recipes.load import load_recipe, shipped_recipes
from composer_clr.recipes.schema import RecipeError
from composer_clr.training.build import build_trainer, fit
from composer_clr.training.run_process import end_with_launcher
from composer_clr.utils.errors import UserError, one_line

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, trains, and returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    flags = {argument for argument in arguments if argument.startswith('-')}
    name, *overrides = [argument for argument in arguments if argument not in flags] or ['']
    if not name or flags & {'-h', '--help'}:
        print(__doc__, f'Recipes: {", ".join(shipped_recipes())}', recipe_help, sep='\n\n')
        return 0
    try:
        unknown = sorted(flags - {'--check', '--traceback'})
        if unknown:
            raise RecipeError(f'{unknown[0]}: unknown option: pass --check, --traceback, or key=value')
        recipe = load_recipe(name, overrides)
        if '--check' in flags:
            from composer_clr.training.check import check_recipe

            cost = check_recipe(recipe)
            if dist.get_global_rank() == 0:
                print(cost, end='')
            return 0
        end_with_launcher()
        trainer = build_trainer(recipe)
        try:
            fit(trainer)
        except BaseException:
            # Not Trainer.close(), which waits for all ranks: the others may be waiting in training for this one.
            trainer.engine.close()
            raise
        trainer.close()
        return 0
    except (UserError, OSError) as error:
        if '--traceback' in flags:
            raise
        print(f'composer_clr.train: {one_line(error)}', file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


if __name__ == '__main__':
    sys.exit(main())
