"""The commands on the data of other programs: import-wandb, import-mlflow, import-tensorboard, convert-images."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from composer_clr.cli.options import Strict, notes_on_stderr, write_curves
from composer_clr.curves.curve import CurveError

__all__ = ['convert_images', 'import_mlflow', 'import_tensorboard', 'import_wandb']


def _importer(logger: str, title: str, sources_help: str) -> Callable[..., None]:
    """Returns the command that recovers curves from what a logger has kept."""

    def command(
        sources: list[str],
        output: Annotated[Path, typer.Option('--output', '-o', help='The CSV to write; - is standard output.')] = Path(
            'curves.csv'
        ),
        name: Annotated[str | None, typer.Option(help='Regular expression of run names.')] = None,
        group: Annotated[
            str | None, typer.Option(help='Group of the runs: of MLflow the experiment, of TensorBoard the folder.')
        ] = None,
        tag: Annotated[
            list[str] | None, typer.Option(help='A tag that runs must have, of MLflow key=value; may be repeated.')
        ] = None,
        config: Annotated[list[str] | None, typer.Option(help='key=value of their config; may be repeated.')] = None,
        metric: Annotated[
            list[str] | None, typer.Option(help='Key of a metric; by default metrics/..., not train.')
        ] = None,
        lr_key: Annotated[str | None, typer.Option(hidden=True, help='Key of the learning rate.')] = None,
        time_key: Annotated[str | None, typer.Option(hidden=True, help='Key of the training time.')] = None,
        time_unit: Annotated[
            str | None,
            typer.Option(hidden=True, help="seconds, minutes, hours or days; by default from the logger's clock."),
        ] = None,
        method_key: Annotated[str | None, typer.Option(hidden=True, help='Key of the method in the config.')] = None,
        batches_per_epoch: Annotated[
            float | None, typer.Option(hidden=True, help='By default from time/epoch.')
        ] = None,
        first_step: Annotated[
            float,
            typer.Option(
                hidden=True,
                help='Step at which the first batch (or epoch) is logged: 1 as in Composer, 0 if steps count from 0.',
            ),
        ] = 1.0,
        window: Annotated[float, typer.Option(help='Epochs before a trough in which its best value may lie.')] = 0.0,
        strict: Strict = False,
    ) -> None:
        from composer_clr.loggers.history import RunFilter
        from composer_clr.loggers.import_curves import import_curves
        from composer_clr.loggers.recovered_curve import Keys

        keys = Keys(
            lr=lr_key,
            time=time_key,
            time_unit=time_unit,  # type: ignore[arg-type]
            metrics=tuple(metric or ()),
            method=method_key,
            batches_per_epoch=batches_per_epoch,
            window_epochs=window,
            first_step=first_step,
        )
        keep = RunFilter(name, group, tuple(tag or ()), dict(map(_setting, config or ())))
        read = getattr(import_module(f'composer_clr.loggers.{logger}_runs'), f'{logger}_runs')
        with notes_on_stderr():
            curves, errors = import_curves(read, sources, keys, keep, strict=strict)
        write_curves(output, curves, errors, strict=strict)

    command.__name__ = f'import_{logger}'
    command.__doc__ = f'Recover curves from learning rates and metrics in {title}, and write them as a long CSV.'
    command.__annotations__['sources'] = Annotated[list[str], typer.Argument(help=sources_help)]
    return command


import_wandb = _importer('wandb', 'Weights & Biases', 'ENTITY/PROJECT, or folders written by W&B offline.')
import_mlflow = _importer('mlflow', 'MLflow', 'Tracking URIs, such as http://localhost:5000, or folders mlruns.')
import_tensorboard = _importer(
    'tensorboard', 'event files of TensorBoard', 'Folders with event files at any depth, such as tensorboard_logs.'
)


def convert_images(
    source: Annotated[Path, typer.Argument(help='Folder with train/ and val/, each with a folder per class.')],
    target: Annotated[Path, typer.Argument(help='Folder for the result: new, or that of an interrupted call.')],
    short_side: Annotated[int, typer.Option(help='A longer short side is resized to this, in pixels.')] = 400,
    quality: Annotated[int, typer.Option(help='JPEG quality of resized images, 1 to 95.')] = 90,
    shard_images: Annotated[int, typer.Option(help='Images per shard.')] = 1000,
    processes: Annotated[int | None, typer.Option(help='By default one per core.')] = None,
    skip_unreadable: Annotated[
        bool, typer.Option('--skip-unreadable', help='Leave out files that cannot be read.')
    ] = False,
) -> None:
    """Make shards of smaller copies of an ImageFolder's images, which load faster. Call it again after an interrupt.

    The effect on accuracy is not tested: evaluation pixels differ by about 2 of 255 on average at a short side of 400.
    Use the same copies for all runs of a comparison. Small images are copied byte for byte.
    """
    import os

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from composer_clr.data.conversion import convert

    conversion = convert.Conversion(short_side, quality, shard_images, skip_unreadable)
    bar = Progress(BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task('images')
        counts = convert.convert_images(
            source,
            target,
            conversion,
            processes or len(os.sched_getaffinity(0)),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(f'{target}: ' + ', '.join(f'{count} images in {split}' for split, count in counts.items()))


def _setting(text: str) -> tuple[str, Any]:
    """Splits key=value; the value is YAML, as in a recipe's overrides."""
    key, equals, value = text.partition('=')
    if not key or not equals:
        raise CurveError(f'--config {text!r} is not key=value, such as pareto.kind=cyclic')
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise CurveError(f'--config {text!r}: its value is not valid YAML') from error
