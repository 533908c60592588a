"""``composer-clr``: the command line for recipes and curves, outside of training."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

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
_ABOUT = (
    'Accuracy-against-training-time tradeoff curves from one cyclic run.\n\n'
    'The learning rate of a cyclic run falls in cycles; each ends in a trough, where a point of the curve is recorded. '
    'A standard run has one point, its end. These are kinds of curve. A method is a set of algorithms, such as LS+MX '
    '(label smoothing and MixUp), or the baseline, which has none.'
)
_ONE_RUN = 'Train one run, here on 8 GPUs: composer -n 8 -m composer_clr.train RECIPE.'
# The commands by group, each with an example.
_COMMANDS = {
    'Train a study': {
        schedule: 'schedule quickstart/digits --plot lr.png',
        run: 'run quickstart/digits --seeds 17,18,19 --methods baseline,LS,MX -j 2',
        sweep: "sweep resnet50_imagenet/baseline data.path=/data --launcher 'composer -n 8 -m' | sh",
    },
    'Read a study': {
        compare: 'compare runs/quickstart --points --json study.json',
        plot: 'plot runs/quickstart -o curve.pdf --size 3.3x2.5',
        ask: 'ask runs/quickstart --reach 90% --within 2s --frontier',
        forecast: 'forecast runs/quickstart --worth 0.5',
        report: 'report runs/quickstart -o page.html',
        export: 'export runs/quickstart -o curves.csv',
    },
    'Make inputs': {
        import_wandb: 'import-wandb ENTITY/PROJECT --tag resnet -o curves.csv',
        import_mlflow: 'import-mlflow http://localhost:5000 --group resnet -o curves.csv',
        import_tensorboard: 'import-tensorboard tensorboard_logs -o curves.csv',
        ensemble: 'ensemble quickstart/digits --csv ensembles.csv',
        merge: 'merge quickstart/digits runs/checkpoints --marks 8ep,16ep -o merged/curve.json',
        convert_images: 'convert-images /data/imagenet /data/imagenet-small --short-side 256',
    },
}


class _Command(TyperCommand):
    """A command whose hidden options, the rarer ones, ``--help-all`` shows too."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._rarer = [param for param in self.params if getattr(param, 'hidden', False)]
        self._example = self.epilog
        if self._rarer:
            self.epilog = f'{self._example}\n\n{len(self._rarer)} more options: --help-all.'

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if '--help-all' in args:
            for option in self._rarer:
                option.hidden = False  # type: ignore[attr-defined]
            self.epilog = self._example
            args = ['--help']
        return super().parse_args(ctx, args)


app = typer.Typer(
    help=_ABOUT,
    epilog=_ONE_RUN,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP_OPTIONS,
)

for _group, _commands in _COMMANDS.items():
    for _command, _example in _commands.items():
        app.command(
            cls=_Command,
            context_settings=_HELP_OPTIONS,
            rich_help_panel=_group,
            epilog=f'Example: composer-clr {_example}',
        )(_command)


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
