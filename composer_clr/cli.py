"""``composer-clr``: what is done with recipes and curves outside of training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.curve import CurveError, find_curves
from composer_clr.recipe import RecipeError

__all__ = ['main']

app = typer.Typer(
    help='Accuracy-against-training-time tradeoff curves from one cyclic run.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help='curve.json files, or folders that hold some at any depth.')],
    output: Annotated[Path, typer.Option('--output', '-o', help='PNG, SVG or PDF, by its ending.')] = Path('curve.png'),
    metric: Annotated[str | None, typer.Option(help='label/metric; by default the accuracy that all have.')] = None,
    peak: Annotated[bool, typer.Option(help='Draw the best value in the window before each trough.')] = False,
) -> None:
    """Draw accuracy against training time: standard runs solid, cyclic ones dashed, error bars over seeds."""
    import matplotlib

    matplotlib.use('agg')
    from composer_clr.plots import accuracy_against_time

    if output.suffix not in ('.png', '.svg', '.pdf'):
        raise typer.BadParameter(f'{output} must end in .png, .svg or .pdf')
    curves = list(find_curves(runs))
    figure, _ = accuracy_against_time(curves, metric, peak=peak)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=200)
    points = sum(len(curve.points) for curve in curves)
    typer.echo(f'{output}: {points} points of {len(curves)} runs')


@app.command()
def sweep(
    recipe: Annotated[str, typer.Argument(help='A shipped recipe, such as quickstart/digits, or a YAML file.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='key=value pairs for every run.')] = None,
    seeds: Annotated[str, typer.Option(help='Seeds, separated by commas.')] = '17',
    launcher: Annotated[
        str, typer.Option(help="What starts a module: 'composer -n 8 -m' on eight GPUs.")
    ] = 'python -m',
) -> None:
    """Print the commands of a study, one a line: the cyclic run and its standard runs. Complete runs are left out."""
    from composer_clr.sweep import study

    try:
        listed = [int(seed) for seed in seeds.split(',')]
    except ValueError as error:
        raise typer.BadParameter(f'--seeds {seeds}: give whole numbers, such as 17,18,19') from error
    for run in study(recipe, overrides or [], listed):
        typer.echo(shlex.join([*shlex.split(launcher), 'composer_clr.train', recipe, *run]))


def main() -> None:
    """The entry point: errors in what was asked for are one line and exit status 2."""
    try:
        app()
    except (CurveError, RecipeError) as error:
        typer.echo(f'composer-clr: {error}', err=True)
        raise SystemExit(2) from error
