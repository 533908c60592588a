"""What the commands of ``composer-clr`` share: options, input and output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.sources import read_sources
from composer_clr.utils.files import write_whole
from composer_clr.utils.text import printable

__all__ = [
    'JsonFile',
    'LowerIsBetter',
    'Metric',
    'Peak',
    'Runs',
    'SlowStart',
    'Strict',
    'check_picture',
    'read_curves',
    'report_left_out',
    'show',
    'write_json',
]

Runs = Annotated[
    list[Path], typer.Argument(help='curve.json files, folders that hold some at any depth, or long CSVs.')
]
Metric = Annotated[str | None, typer.Option(help='label/metric; by default the accuracy of all runs.')]
Peak = Annotated[bool, typer.Option('--peak', help='Take the best value in the window before each trough.')]
JsonFile = Annotated[Path | None, typer.Option('--json', help='Write the numbers to this file too.')]
LowerIsBetter = Annotated[
    bool | None, typer.Option('--lower-is-better/--higher-is-better', help="By default from the metric's name.")
]
SlowStart = Annotated[
    float,
    typer.Option(metavar='EPOCHS', help='Correct the time of so many slow first epochs to the pace of the later ones.'),
]
Strict = Annotated[bool, typer.Option('--strict', help='Stop at the first bad file or method.')]


def read_curves(paths: Sequence[Path], strict: bool, slow_start: float = 0.0) -> list[TradeoffCurve]:
    """Reads the curves that a command is given, and names on stderr the files that cannot be read."""
    from composer_clr.analysis.slow_start import without_slow_start

    curves, errors = read_sources(paths, strict=strict)
    report_left_out(errors)
    return without_slow_start(curves, slow_start)


def report_left_out(errors: Sequence[CurveError]) -> None:
    """Names on stderr what a command leaves out, one line per error."""
    for error in errors:
        typer.echo(f'composer-clr: left out: {printable(str(error))}', err=True)


def write_json(path: Path | None, record: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, indent=1, allow_nan=False) + '\n')


def show(table: Table, notes: Sequence[str]) -> None:
    """Prints a table, and one line per note."""
    # Wider than any table here, so that no number is cut: a narrow terminal wraps the lines.
    console = Console(width=500, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def check_picture(path: Path) -> None:
    if path.suffix not in ('.png', '.svg', '.pdf'):
        raise CurveError(f'{path}: a picture must end in .png, .svg or .pdf')
