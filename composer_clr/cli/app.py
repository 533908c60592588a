"""``composer-clr``: what is done with recipes and curves outside of training."""

from __future__ import annotations

import typer

from composer_clr.cli.curves import ask, compare, export, plot
from composer_clr.cli.imports import convert_images, import_wandb
from composer_clr.cli.recipes import ensemble, schedule, sweep
from composer_clr.utils.errors import UserError

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
    except UserError as error:
        typer.echo(f'composer-clr: {error}', err=True)
        raise SystemExit(2) from error
