"""What the commands of ``composer-clr`` share: options, input and output."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from composer_clr.cli.formats import FORMATS
from composer_clr.cli.layout import fitting, line_width, shortened, width_of
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.files import check_size, read_sources
from composer_clr.curves.names import kind_without_shape
from composer_clr.utils.errors import printable
from composer_clr.utils.files import is_stdout, write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    'AllSeeds',
    'CurveAxis',
    'JsonFile',
    'LowerIsBetter',
    'Metric',
    'Peak',
    'Runs',
    'SlowStart',
    'Strict',
    'TableFormat',
    'check_output',
    'check_picture',
    'note_resumed',
    'notes_on_stderr',
    'read_curves',
    'report_left_out',
    'say',
    'show',
    'usable',
    'with_averaged',
    'write_curves',
    'write_json',
    'write_picture',
    'write_result',
]

Runs = Annotated[
    list[Path], typer.Argument(help='curve.json files, folders that hold some at any depth, or long CSVs.')
]
Metric = Annotated[
    str | None,
    typer.Option(help="Metric, with or without its label; by default a language model's loss, else accuracy."),
]
CurveAxis = Annotated[
    str | None,
    typer.Option(
        '--axis',
        help='epoch, batch, sample, token or time; by default what the schedules were counted in.',
    ),
]
Peak = Annotated[bool, typer.Option('--peak', help='Take the best value in the window before each trough.')]
JsonFile = Annotated[
    Path | None, typer.Option('--json', help='Write the numbers to this file too; - is standard output.')
]
LowerIsBetter = Annotated[
    bool | None, typer.Option('--lower-is-better/--higher-is-better', help="By default from the metric's name.")
]
SlowStart = Annotated[
    float,
    typer.Option(metavar='EPOCHS', help='Correct the time of so many slow first epochs to the pace of the later ones.'),
]
AllSeeds = Annotated[
    bool, typer.Option('--all-seeds', help='Use all seeds of both sides, not only those that both have.')
]
TableFormat = Annotated[str, typer.Option('--format', help='Tables as text, markdown or latex.')]
_MOST_LINES = 50
_PICTURES = ('.png', '.svg', '.pdf')
Strict = Annotated[bool, typer.Option('--strict', help='Stop at the first bad file or method.')]


def read_curves(paths: Sequence[Path], strict: bool, slow_start: float = 0.0) -> list[TradeoffCurve]:
    """Reads the curves of a command's arguments, and names on stderr the files that cannot be read."""
    from composer_clr.analysis.slow_start import without_slow_start

    with notes_on_stderr():
        curves, errors = read_sources(paths, strict=strict)
    report_left_out(errors)
    check_size(curves)
    return without_slow_start(curves, slow_start)


def usable(
    curves: Sequence[TradeoffCurve], metric: str | None, *, axis: str | None, peak: bool, strict: bool
) -> tuple[list[TradeoffCurve], str]:
    """Returns the curves that can be compared, and the metric; names on stderr the points and runs left out."""
    from composer_clr.study.screening import usable_curves

    kept, metric, errors = usable_curves(curves, metric, axis=axis, peak=peak, strict=strict)
    report_left_out(errors)
    return kept, metric


def note_resumed(curves: Sequence[TradeoffCurve]) -> None:
    """Names on stderr the runs that went on under settings that make another curve."""
    from composer_clr.study.pooling import resumed_otherwise

    for sentence in resumed_otherwise(curves):
        typer.echo(f'composer-clr: {printable(sentence)}', err=True)


def with_averaged(curves: list[TradeoffCurve], metric: str | None) -> list[TradeoffCurve]:
    """Adds the curves of averaged weights, unless ``metric`` is the full name of one of their metrics."""
    from composer_clr.curves.files import with_metric_sets
    from composer_clr.curves.names import METRIC_SETS

    return curves if (metric or '').startswith(tuple(f'{name}/' for name in METRIC_SETS)) else with_metric_sets(curves)


def report_left_out(errors: Sequence[CurveError]) -> None:
    """Names on stderr what a command leaves out, one line per error, the first 50 of them."""
    for error in errors[:_MOST_LINES]:
        typer.echo(f'composer-clr: left out: {printable(str(error))}', err=True)
    if len(errors) > _MOST_LINES:
        typer.echo(f'composer-clr: left out: {len(errors) - _MOST_LINES:,} more', err=True)


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Prints each warning of the package as one line on stderr, instead of with the place in the code."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter('always', UserWarning)
        yield
    for warning in noted:
        typer.echo(f'composer-clr: {printable(str(warning.message))}', err=True)


def check_output(path: Path, *replaceable: str) -> None:
    """Refuses an output that is the curve of a run, whose points only training makes.

    Args:
        path (Path): The output.
        *replaceable (str): Kinds of curve that the command may replace.

    Raises:
        CurveError: If the file holds a curve of another kind.
    """
    if is_stdout(path) or not path.is_file():
        return
    try:
        run = TradeoffCurve.read(path).run
    except CurveError:
        return
    if kind_without_shape(run.kind) not in replaceable:
        raise CurveError(f'{path}: holds the points of the run {run.run_name} ({run.kind}): choose another file')


def write_result(path: Path, content: bytes, *replaceable: str) -> None:
    """Writes the output of a command after :func:`check_output`."""
    check_output(path, *replaceable)
    write_output(path, content)


def write_json(path: Path | None, record: dict[str, Any]) -> None:
    """Writes a record as JSON, if a path is given."""
    if path is not None:
        write_result(path, (json.dumps(record, indent=1, allow_nan=False) + '\n').encode())


def write_curves(output: Path, curves: Sequence[TradeoffCurve], errors: Sequence[CurveError], *, strict: bool) -> None:
    """Writes curves as one long CSV, and names on stderr what is left out."""
    from composer_clr.curves.long_csv import long_csv, writable_curves

    kept, unwritable = (curves, []) if strict else writable_curves(curves)
    if unwritable and not kept:
        raise unwritable[0]
    report_left_out([*errors, *unwritable])
    write_result(output, long_csv(kept).encode())
    say(f'{output}: {sum(len(curve.points) for curve in kept)} points of {len(kept)} runs', output)


def write_picture(path: Path, figure: Figure) -> None:
    """Writes a figure in the format of :func:`check_picture`."""
    picture = io.BytesIO()
    figure.savefig(picture, format=check_picture(path), dpi=200)
    write_output(path, picture.getvalue())


def say(line: str, output: Path) -> None:
    """Prints a line about an output, on stderr if the output itself is on stdout."""
    typer.echo(line, err=is_stdout(output))


def show(
    table: Table, notes: Sequence[str], *outputs: Path | None, form: str = 'text', most_rows: int | None = None
) -> None:
    """Prints a table, and one line per note, in a format; on stderr if one of the outputs is on stdout.

    A table that is too wide is turned (:func:`fitting`); one of more than ``most_rows`` is cut, with a note.
    """
    to_stderr = any(map(is_stdout, filter(None, outputs)))
    table = fitting(table, line_width())
    if most_rows is not None:
        table, left_out = shortened(table, most_rows)
        if left_out:
            notes = [f'{left_out:,} rows are not shown: --json FILE writes all of them', *notes]
    if form != 'text':
        typer.echo(f'{FORMATS[form](table, notes)}\n', err=to_stderr)
        return
    # Wider than the table, so that no number is cut: a narrow terminal wraps the lines.
    console = Console(width=width_of(table), highlight=False, stderr=to_stderr)
    title, table.title = table.title, None
    if title is not None:
        console.print(title, style='table.title', soft_wrap=True)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def check_picture(path: Path) -> str:
    """Returns the format of a picture: that of its name, PNG on stdout and devices."""
    if path.suffix in _PICTURES:
        return path.suffix.removeprefix('.')
    if is_stdout(path) or (path.exists() and not (path.is_file() or path.is_dir())):
        return 'png'
    raise CurveError(f'{path}: a picture must end in .png, .svg or .pdf')
