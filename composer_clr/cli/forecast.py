"""The command that says what one more doubling gives: forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from composer_clr.cli.options import (
    CurveAxis,
    JsonFile,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    Sigma,
    Strict,
    TableFormat,
    check_sigma,
    chosen,
    read_curves,
    report,
    write_json,
)
from composer_clr.cli.tables import check_format, direction, number, readable_duration, show_lines
from composer_clr.curves.axes import PLURALS, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.curves.metrics import difference_unit
from composer_clr.curves.names import STANDARD

if TYPE_CHECKING:
    from composer_clr.study.forecast import Forecast

__all__ = ['forecast', 'forecast_lines']


def forecast(
    runs: Runs,
    worth: Annotated[
        float | None,
        typer.Option(help='Answer whether one more doubling improves by at least this, in points of a fraction.'),
    ] = None,
    sigma: Sigma = None,
    metric: Metric = None,
    methods: Annotated[str | None, typer.Option(help='Methods, separated by commas; by default all.')] = None,
    kinds: Annotated[str | None, typer.Option(help='Kinds of curve, separated by commas; by default all.')] = None,
    axis: CurveAxis = None,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    table_format: TableFormat = 'text',
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Forecast the gain of one more doubling of every curve, with a 90% interval, or say why it is not known."""
    from composer_clr.study.forecast import forecast_record, forecasts
    from composer_clr.study.table import Study

    check_format(table_format)
    if worth is not None and not math.isfinite(worth):
        raise CurveError(f'--worth {worth}: must be a finite number')
    check_sigma(sigma)
    study = Study.of(
        chosen(read_curves(runs, strict, axis), methods, kinds),
        metric,
        axis=axis,
        peak=peak,
        lower_is_better=lower_is_better,
        all_seeds=True,  # no curve is compared with another
        strict=strict,
    )
    found = forecasts(study, sigma)
    write_json(json_file, forecast_record(study, found, worth))
    report([*(f'left out: {error}' for error in study.left_out), *study.warnings])
    unit = difference_unit(study.metric.removeprefix('peak:'), study.scale)
    lines = [f'{study.metric} ({direction(study.lower_is_better)}), gain in {unit}']
    show_lines([*lines, *forecast_lines(found, worth), *study.notes], json_file, form=table_format)


def forecast_lines(found: Sequence[Forecast], worth: float | None = None) -> list[str]:
    """Returns one line for each curve, with its forecast or the reason for which it is refused."""
    lines = []
    for one in found:
        name = f'{one.method}, {one.kind}: ' if len(found) > 1 else ''
        lines.append(name + (f'no forecast, {one.refused}' if one.refused else _said(one, worth)))
    return lines


def _said(found: Forecast, worth: float | None) -> str:
    """Returns a forecast as a line: what is added, what that gives, and what it takes."""
    digits = min(max(0, -math.floor(math.log10((found.most - found.least) / 2))), 12) if found.most > found.least else 2
    least, likely, most = (number(gain, digits, sign=True) for gain in (found.least, found.likely, found.most))
    at, added = count_labels([found.at], found.axis) + count_labels([found.added], found.axis)
    plural = PLURALS[found.axis]
    takes = f'for {"a run of " if found.kind == STANDARD else ""}{added} {plural}'
    if not math.isnan(found.added_s):
        takes += f', {readable_duration(found.added_s)}'
        if not math.isnan(found.gpus):
            takes += f' on {found.gpus:.4g} GPU{"s" if found.gpus > 1 else ""}'
    answer = '' if worth is None else f'; worth {worth:g}: {found.is_worth(worth)}'
    return f'{at} more {plural}: at most {most}, likely {likely} (90%: {least} to {most}), {takes}{answer}'
