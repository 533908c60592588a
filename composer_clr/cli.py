"""``composer-clr``: what is done with recipes and curves outside of training."""

from __future__ import annotations

import typer

from composer_clr.commands_on_curves import ask, compare, export, plot
from composer_clr.commands_on_recipes import ensemble, schedule, sweep
from composer_clr.commands_on_sources import convert_images, import_wandb
from composer_clr.curve import CurveError
from composer_clr.data.conversion import ConversionError
from composer_clr.recipe import RecipeError
from composer_clr.terminal import printable

__all__ = ['main']

app = typer.Typer(
    help='Accuracy-against-training-time tradeoff curves from one cyclic run.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _command in (plot, compare, ask, export, import_wandb, schedule, sweep, convert_images, ensemble):
    app.command()(_command)


def main() -> None:
    """The entry point: errors in what was asked for are one line and exit status 2."""
    try:
        app()
    except (CurveError, RecipeError, ConversionError) as error:
        typer.echo(f'composer-clr: {printable(str(error))}', err=True)
        raise SystemExit(2) from error
