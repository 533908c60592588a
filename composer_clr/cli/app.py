"""``composer-clr``: the command line for recipes and curves, outside of training."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from composer_clr import __version__
from composer_clr.cli.compare import compare
from composer_clr.cli.curves import ask, export
from composer_clr.cli.forecast import forecast
from composer_clr.cli.imports import convert_images, import_mlflow, import_tensorboard, import_wandb
from composer_clr.cli.plot import plot
from composer_clr.cli.recipes import ensemble, merge, sweep
from composer_clr.cli.report import report
from composer_clr.cli.run import run
from composer_clr.cli.schedule import schedule
from composer_clr.utils.errors import UserError, one_line

__all__ = ['main']

_HELP_OPTIONS = {'help_option_names': ['-h', '--help']}

app = typer.Typer(
    help='Accuracy-against-training-time tradeoff curves from one cyclic run.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP_OPTIONS,
)

for _command in (
    plot,
    compare,
    ask,
    forecast,
    report,
    export,
    import_wandb,
    import_mlflow,
    import_tensorboard,
    schedule,
    sweep,
    run,
    convert_images,
    ensemble,
    merge,
):
    app.command(context_settings=_HELP_OPTIONS)(_command)


def _print_version(show: bool) -> None:
    if show:
        typer.echo(f'composer-clr {__version__}')
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option('--version', callback=_print_version, is_eager=True, help='Show the version and exit.')
    ] = False,
) -> None:
    del version


def main() -> None:
    """Runs ``composer-clr``; a user's error is one line on stderr, with exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding does not have is escaped.
            stream.reconfigure(errors='backslashreplace')
    try:
        try:
            app(prog_name='composer-clr')
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        # The reader has closed the pipe. Python would flush stdout again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:  # before a command has started
        raise SystemExit(130) from error
    except (UserError, OSError) as error:
        typer.echo(f'composer-clr: {one_line(error)}', err=True)
        raise SystemExit(2) from error
