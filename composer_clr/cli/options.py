"""What the commands share: options, input and output."""

from __future__ import annotations

import io
import json
import math
import shlex
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composer_clr.curves.axes import check_axis
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.files import read_sources, with_metric_sets
from composer_clr.curves.names import METRIC_SETS, kind_without_shape
from composer_clr.utils.errors import did_you_mean, printable
from composer_clr.utils.files import is_stdout, write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    'Align',
    'AllSeeds',
    'Baseline',
    'CurveAxis',
    'CurveKinds',
    'CurveMethods',
    'JsonFile',
    'LowerIsBetter',
    'Metric',
    'OwnCode',
    'Peak',
    'Runs',
    'Sigma',
    'Strict',
    'TableFormat',
    'Tolerance',
    'check_output',
    'check_picture',
    'check_sigma',
    'chosen',
    'command_line',
    'notes_on_stderr',
    'read_curves',
    'report',
    'say',
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
Baseline = Annotated[str, typer.Option(help='The method to compare with.')]
CurveMethods = Annotated[
    str | None, typer.Option('--methods', help='Methods, separated by commas; by default all. The baseline stays.')
]
CurveKinds = Annotated[
    str | None, typer.Option('--kinds', help='Kinds of curve, separated by commas; by default all. Standard stays.')
]
CurveAxis = Annotated[
    str | None,
    typer.Option('--axis', help='epoch, batch, sample, token or time; by default what the schedules were counted in.'),
]
Align = Annotated[
    str, typer.Option(help='How a point is paired with the standard curve: interpolate, exact or nearest.')
]
Tolerance = Annotated[
    float, typer.Option(hidden=True, help='For --align nearest: how far apart, in natural log units.')
]
Peak = Annotated[
    bool, typer.Option('--peak', hidden=True, help='Take the best value in the window before each trough.')
]
JsonFile = Annotated[
    Path | None, typer.Option('--json', help='Write the numbers to this file too; - is standard output.')
]
LowerIsBetter = Annotated[
    bool | None,
    typer.Option('--lower-is-better/--higher-is-better', hidden=True, help="By default from the metric's name."),
]
AllSeeds = Annotated[
    bool, typer.Option('--all-seeds', hidden=True, help='Use all seeds of both sides, not only those that both have.')
]
Sigma = Annotated[
    float | None,
    typer.Option(
        hidden=True,
        help='Standard deviation of a run between seeds: in points of a fraction, as a fraction of a perplexity; by '
        'default measured.',
    ),
]
TableFormat = Annotated[
    str,
    typer.Option(
        '--format', help='Tables as text, markdown, or latex: tabulars of booktabs, titles and notes as comments.'
    ),
]
OwnCode = Annotated[
    list[str] | None,
    typer.Option(
        '--code',
        metavar='MODULE',
        help='Your own network, data, algorithms: a file such as mine.py, or a module, which is executed. Recipes name '
        'what it defines, model.name=mine:network. May be repeated.',
    ),
]
Strict = Annotated[bool, typer.Option('--strict', hidden=True, help='Stop at the first bad file or method.')]
_MOST_LINES = 50
_PICTURES = ('.png', '.svg', '.pdf')
# Beyond these, tables and figures take minutes and nobody can read them.
_MOST_POINTS = 2000
_LONGEST_NAME = 1000


def read_curves(
    paths: Sequence[Path], strict: bool, axis: str | None = None, *, said: list[str] | None = None
) -> list[TradeoffCurve]:
    """Reads the curves of a command's arguments, and names on stderr, and in ``said``, what cannot be read.

    Raises:
        CurveError: If they are too many, or do not count the axis.
    """
    with notes_on_stderr() as notes:
        curves, errors = read_sources(paths, strict=strict)
    unread = [f'left out: {error}' for error in errors]
    report(unread)
    if said is not None:
        said.extend([*notes, *unread])
    _check_size(curves)
    if axis not in (None, 'time'):
        check_axis(curves, axis)
    return curves


def _check_size(curves: Sequence[TradeoffCurve]) -> None:
    """Refuses curves of more points, and names of more characters, than can be compared or drawn."""
    epochs: dict[tuple[str, str], set[float]] = defaultdict(set)
    for curve in curves:
        run = curve.run
        metrics = {name for point in curve.points for name in (*point.metrics, *point.peak_metrics)}
        for name in (run.run_name, run.method, run.kind, *metrics):
            if len(name) > _LONGEST_NAME:
                raise CurveError(
                    f'{(curve.source or name)[:200]}: the name {name[:20] + "..."!r} has {len(name):,} characters: '
                    f'shorten it to {_LONGEST_NAME:,} at most'
                )
        of_kind = epochs[run.method, run.kind]
        of_kind.update(point.batch if point.epoch is None else point.epoch for point in curve.points)
        if len(of_kind) > _MOST_POINTS:
            raise CurveError(
                f'{run.method}, {run.kind}: {len(of_kind):,} points, one curve may have {_MOST_POINTS:,} at most: name '
                'fewer runs, or export them and keep fewer rows'
            )


def chosen(
    curves: Sequence[TradeoffCurve],
    methods: str | None,
    kinds: str | None,
    *,
    beside: Sequence[str] = (),
    beside_kinds: Sequence[str] = (),
) -> list[TradeoffCurve]:
    """Returns the runs of the methods and kinds that are named, separated by commas, and of those ``beside`` them.

    Raises:
        CurveError: If no run is of one that is named.
    """
    kept = list(curves)
    for option, names, part, also in (('method', methods, 0, beside), ('kind', kinds, 1, beside_kinds)):
        if names is None:
            continue
        wanted, known = names.split(','), {(curve.run.method, curve.run.kind)[part] for curve in curves}
        if unknown := [name for name in wanted if name not in known]:
            raise CurveError(f'no run of the {option} {unknown[0]!r}{did_you_mean(unknown[0], sorted(known))}')
        kept = [curve for curve in kept if (curve.run.method, curve.run.kind)[part] in (*wanted, *also)]
    return kept


def with_averaged(curves: list[TradeoffCurve], metric: str | None) -> list[TradeoffCurve]:
    """Adds the curves of averaged weights, unless ``metric`` is the full name of one of their metrics."""
    return curves if (metric or '').startswith(tuple(f'{name}/' for name in METRIC_SETS)) else with_metric_sets(curves)


def command_line(context: typer.Context, name: str | None = None, *, without: Sequence[str] = ()) -> str:
    """Returns a command as it was given; or another one with its arguments, but for some."""
    words = ['composer-clr', name or context.info_name or '']
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or '')
        if source is None or source.name != 'COMMANDLINE' or parameter.name in without:
            continue
        value = context.params[parameter.name or '']
        values = value if isinstance(value, (list, tuple)) else [value]
        if parameter.param_type_name == 'argument':
            words.extend(map(str, values))
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words.extend(word for one in values for word in (parameter.opts[0], str(one)))
    return shlex.join(words)


def report(lines: Sequence[str]) -> None:
    """Prints lines on stderr, the first 50 of them."""
    for line in lines[:_MOST_LINES]:
        typer.echo(f'composer-clr: {printable(line)}', err=True)
    if len(lines) > _MOST_LINES:
        typer.echo(f'composer-clr: left out: {len(lines) - _MOST_LINES:,} more', err=True)


@contextmanager
def notes_on_stderr() -> Iterator[list[str]]:
    """Prints each warning of the package once, as one line on stderr, instead of with the place in the code.

    The list that it yields has these lines in the end.
    """
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter('always', UserWarning)
        yield lines
    lines.extend(dict.fromkeys(str(warning.message) for warning in noted))
    report(lines)


def check_output(path: Path, *replaceable: str) -> None:
    """Refuses an output that is the curve of a run of another than the ``replaceable`` kinds.

    Raises:
        CurveError: If it is: only training makes the points of a run.
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
    report([f'left out: {error}' for error in (*errors, *unwritable)])
    write_result(output, long_csv(kept).encode())
    say(f'{output}: {amounts(kept)}', output)


def check_picture(path: Path) -> str:
    """Returns the format of a picture: that of its name, PNG on stdout and devices."""
    if path.suffix in _PICTURES:
        return path.suffix.removeprefix('.')
    if is_stdout(path) or (path.exists() and not (path.is_file() or path.is_dir())):
        return 'png'
    raise CurveError(f'{path}: a picture must end in .png, .svg or .pdf')


def check_sigma(sigma: float | None) -> None:
    """Refuses a standard deviation that is none with a :class:`CurveError`."""
    if sigma is not None and not 0 < sigma < math.inf:
        raise CurveError(f'--sigma {sigma:g}: must be a finite number above 0')


def write_picture(path: Path, figure: Figure) -> None:
    """Writes a figure in the format of :func:`check_picture`."""
    import matplotlib.pyplot as plt

    picture = io.BytesIO()
    figure.savefig(picture, format=check_picture(path), dpi=200)
    plt.close(figure)
    write_output(path, picture.getvalue())


def amounts(curves: Sequence[TradeoffCurve]) -> str:
    """Returns how many points and runs curves have, in words."""
    points, runs = sum(len(curve.points) for curve in curves), len(curves)
    return f'{points} point{"s" * (points != 1)} of {runs} run{"s" * (runs != 1)}'


def say(line: str, output: Path) -> None:
    """Prints a line about an output, on stderr if the output itself is on stdout."""
    typer.echo(line, err=is_stdout(output))
