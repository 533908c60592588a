"""The commands on curves: compare, ask, export."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from composer_clr.cli.durations import read_duration
from composer_clr.cli.formats import check_format
from composer_clr.cli.options import (
    AllSeeds,
    CurveAxis,
    JsonFile,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    SlowStart,
    Strict,
    TableFormat,
    note_resumed,
    notes_on_stderr,
    read_curves,
    show,
    usable,
    with_averaged,
    write_curves,
    write_json,
)
from composer_clr.curves.axes import Axis, check_counts, read_count
from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import printable

__all__ = ['ask', 'compare', 'export']

T = TypeVar('T')
# Of a table; --json has all of them.
_MOST_ROWS = 100


def compare(
    runs: Runs,
    metric: Metric = None,
    baseline: Annotated[str, typer.Option(help='The method that improvements are over.')] = 'baseline',
    align: Annotated[
        str, typer.Option(help='interpolate, exact, nearest, or fit (a curve through few standard runs).')
    ] = 'interpolate',
    axis: CurveAxis = None,
    tolerance: Annotated[float, typer.Option(help='For nearest: how far apart, in natural log units.')] = 0.05,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    all_seeds: AllSeeds = False,
    resolve: Annotated[
        float | None,
        typer.Option(min=1e-9, help='Number of seeds with which a difference of so many points is found, such as 0.1.'),
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help='Number of GPUs, for runs that do not record it.')] = None,
    price: Annotated[float | None, typer.Option(min=0, help='Price of a GPU-hour: the cost in money.')] = None,
    table_format: TableFormat = 'text',
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Compare methods with the baseline, and every kind of curve with the standard one if there is one."""
    from composer_clr.analysis.comparison_record import record_study
    from composer_clr.analysis.pairing import Alignment
    from composer_clr.analysis.study import compare_study
    from composer_clr.cli.methods_table import improvements_table, methods_notes, speedups_table
    from composer_clr.cli.numbers import safe
    from composer_clr.cli.tables import comparison_notes, comparison_table

    check_format(table_format)
    for option, number in (('--price', price), ('--resolve', resolve)):
        if number is not None and not math.isfinite(number):
            raise CurveError(f'{option} {number}: must be a finite number')
    alignment = Alignment(align, axis, tolerance)  # type: ignore[arg-type]
    curves = with_averaged(read_curves(runs, strict, slow_start), metric)
    curves, metric = usable(curves, metric, axis=axis, peak=peak, strict=strict)
    study = compare_study(
        curves,
        metric,
        baseline=baseline,
        alignment=alignment,
        peak=peak,
        lower_is_better=lower_is_better,
        seeds='all' if all_seeds else 'common',
        gpus=gpus,
        strict=strict,
    )
    write_json(json_file, record_study(study, resolve=resolve, price=price))
    comparisons = study.with_standard
    of_rows = {figures.unlike_times for one in comparisons.values() for figures in one.methods.values()}
    of_rows |= {figures.unlike_times for one in study.over_baseline.values() for figures in one.methods.values()}
    notes = [safe(warning) for warning in study.warnings if warning not in of_rows]
    notes.extend(
        note if len(comparisons) == 1 else f'{safe(kind)}: {note}'
        for kind, comparison in comparisons.items()
        for note in comparison_notes(comparison, resolve=resolve, price=price)
    )
    notes.extend(safe(f'{kind}: not compared with standard runs, {why}') for kind, why in study.left_out.items())
    if comparisons:
        show(comparison_table(*comparisons.values()), notes, json_file, form=table_format, most_rows=_MOST_ROWS)
        notes = []
    for found in study.over_baseline.values():
        show(improvements_table(study, found), [], json_file, form=table_format, most_rows=_MOST_ROWS)
        show(
            speedups_table(study, found),
            [*methods_notes(study, found, resolve=resolve), *notes],
            json_file,
            form=table_format,
            most_rows=_MOST_ROWS,
        )
        notes = []


def ask(
    runs: Runs,
    reach: Annotated[
        list[str] | None, typer.Option(help='Time to this value, such as 0.75 or 75%; may be repeated.')
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            help='Best value within this time, 3600 (seconds), 90min or 2h, or count, 300Mtok; may be repeated.'
        ),
    ] = None,
    axis: CurveAxis = None,
    frontier: Annotated[bool, typer.Option('--frontier', help='List the points that no other point beats.')] = False,
    metric: Metric = None,
    baseline: Annotated[str, typer.Option(help='The method that speedups are over.')] = 'baseline',
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    all_seeds: AllSeeds = False,
    table_format: TableFormat = 'text',
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Time to a value, speedup over the baseline, and best value within a time, for every curve."""
    from composer_clr.analysis.ask import answer, answers_record
    from composer_clr.cli.answers_table import answers_notes, answers_table, frontier_notes, frontier_table

    check_format(table_format)
    if not (reach or within or frontier):
        raise CurveError('no question: pass --reach VALUE, --within TIME or --frontier')
    curves = read_curves(runs, strict, slow_start)
    check_counts(curves, axis or 'time')
    curves, metric = usable(curves, metric, axis=axis, peak=peak, strict=strict)
    note_resumed(curves)
    answers = answer(
        curves,
        metric,
        reach=reach or (),
        within=[_number('--within', budget, _budget) for budget in within or ()],
        axis=axis,  # type: ignore[arg-type]
        baseline=baseline,
        peak=peak,
        lower_is_better=lower_is_better,
        seeds='all' if all_seeds else 'common',
    )
    write_json(json_file, answers_record(answers))
    if reach or within:
        show(answers_table(answers), answers_notes(answers), json_file, form=table_format, most_rows=_MOST_ROWS)
    if frontier:
        notes = [] if reach or within else frontier_notes(answers)
        show(frontier_table(answers), notes, json_file, form=table_format, most_rows=_MOST_ROWS)


def export(
    runs: Runs,
    output: Annotated[Path, typer.Option('--output', '-o', help='The CSV to write; - is standard output.')] = Path(
        'curves.csv'
    ),
    strict: Strict = False,
) -> None:
    """Write runs as one long CSV, a row per point, which every command can read."""
    from composer_clr.curves.files import read_sources
    from composer_clr.study.pooling import mixed_curves

    with notes_on_stderr():
        curves, errors = read_sources(runs, strict=strict)
    for error in mixed_curves(curves):
        if strict:
            raise error
        typer.echo(f'composer-clr: a CSV keeps no settings: {printable(str(error))}', err=True)
    write_curves(output, curves, errors, strict=strict)


def _budget(text: str) -> tuple[float, Axis]:
    return read_count(text) or (read_duration(text), 'time')


def _number(option: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise CurveError(f'{option} {text}: {error}') from error
