"""The command that writes a study as one page: report; and the page of a study that is running."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from composer_clr.cli.compare import comparison_notes, mean_tables, point_tables
from composer_clr.cli.options import (
    Align,
    AllSeeds,
    Baseline,
    CurveAxis,
    CurveKinds,
    CurveMethods,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    Strict,
    Tolerance,
    amounts,
    chosen,
    command_line,
    read_curves,
    say,
    with_averaged,
    write_result,
)
from composer_clr.cli.options import report as report_lines
from composer_clr.cli.tables import Table, direction, marked, metric_value, number, readable_duration, with_interval
from composer_clr.curves.axes import PLURALS, UNITS, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.curves.metrics import in_points
from composer_clr.curves.names import STANDARD
from composer_clr.curves.settings import settings_of

if TYPE_CHECKING:
    from composer_clr.curves.curve import TradeoffCurve
    from composer_clr.figures.plane import Plane
    from composer_clr.report.page import Section
    from composer_clr.report.plots import Plot
    from composer_clr.study.alignment import Alignment
    from composer_clr.study.compare import Comparison
    from composer_clr.study.differences import Differences
    from composer_clr.study.estimates import Array, Estimates
    from composer_clr.study.findings import Finding
    from composer_clr.study.table import Study

__all__ = ['report', 'study_page']

# Beside time and what a study counts.
_OTHER_AXES = ('epoch', 'token')


def report(
    context: typer.Context,
    runs: Runs,
    output: Annotated[
        Path, typer.Option('--output', '-o', help='The page, one HTML file; - is standard output.')
    ] = Path('page.html'),
    title: Annotated[str, typer.Option(help='Title of the page.')] = 'Tradeoff curves',
    cdn: Annotated[
        bool,
        typer.Option('--cdn', help='Let the browser load plotly from cdn.plot.ly: 0.1 MB in place of 5 MB.'),
    ] = False,
    metric: Metric = None,
    baseline: Baseline = 'baseline',
    methods: CurveMethods = None,
    kinds: CurveKinds = None,
    align: Align = 'interpolate',
    axis: CurveAxis = None,
    tolerance: Tolerance = 0.05,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    all_seeds: AllSeeds = False,
    strict: Strict = False,
) -> None:
    """Write a study as one page for a browser: the verdicts first, the curves, all figures of compare, what made them.

    The page needs no network and nothing installed. It takes plotly: pip install 'composer_clr[report]'.
    """
    from composer_clr.study.alignment import Alignment

    alignment = Alignment(align, axis, tolerance)  # type: ignore[arg-type]
    unread: list[str] = []
    curves = read_curves(runs, strict, axis, said=unread)
    kept = chosen(with_averaged(curves, metric), methods, kinds, beside=[baseline], beside_kinds=[STANDARD])
    options = {'peak': peak, 'baseline': baseline, 'lower_is_better': lower_is_better, 'all_seeds': all_seeds}
    html, left_out = study_page(
        kept,
        metric,
        alignment=alignment,
        title=title,
        unread=unread,
        commands=[command_line(context), command_line(context, 'compare', without=('output', 'title', 'cdn'))],
        cdn=cdn,
        strict=strict,
        **options,
    )
    report_lines(left_out)
    write_result(output, html.encode())
    say(f'{output}: {amounts(curves)}', output)


def study_page(
    curves: Sequence[TradeoffCurve],
    metric: str | None = None,
    *,
    alignment: Alignment,
    title: str,
    unread: Sequence[str] = (),
    commands: Sequence[str] = (),
    cdn: bool = False,
    refresh_s: int | None = None,
    strict: bool = False,
    **options: Any,
) -> tuple[str, list[str]]:
    """Returns the page of a study, and what is left out of it.

    Raises:
        CurveError: If no curve can be drawn; with ``strict``, if one cannot.
    """
    from composer_clr.report.page import page
    from composer_clr.study.compare import compare
    from composer_clr.study.table import Study

    study = Study.of(curves, metric, axis=alignment.axis, strict=strict, **options)
    planes = _planes(curves, metric, study, alignment.axis, options)
    left_out = [f'left out: {error}' for error in study.left_out]
    try:
        compared = compare(study, alignment, strict=strict)
    except CurveError as error:
        if strict:
            raise
        sections = [*_curves_alone(study, planes, str(error))]
    else:
        sections = [*_compared(study, planes, compared)]
    about = f'{study.metric}, {direction(study.lower_is_better)}; {amounts(study.runs)}; baseline: {study.baseline}'
    html = page(
        title,
        about,
        [*sections, *_made_by(study, [*unread, *left_out], commands)],
        cdn=cdn,
        refresh_s=refresh_s,
    )
    return html, left_out


def _planes(
    curves: Sequence[TradeoffCurve], metric: str | None, study: Study, axis: str | None, options: Mapping[str, Any]
) -> dict[str, Plane]:
    """Returns the axes that the curves can be drawn against: the one named, else the usual one of figures, first."""
    from composer_clr.figures.panels import shown_axis
    from composer_clr.figures.plane import Plane
    from composer_clr.study.table import Study

    first = shown_axis(study, axis)  # type: ignore[arg-type]
    studies = {name: study for name in (first, study.axis, 'time') if name != 'time' or study.is_timed}
    for other in _OTHER_AXES:
        if other not in studies:
            try:
                of_other = Study.of(curves, metric, axis=other, strict=False, **options)
            except CurveError:
                continue  # not all runs count it
            if of_other.curves.keys() == study.curves.keys():
                studies[other] = of_other
    return {name: Plane(of_axis, name) for name, of_axis in studies.items()}  # type: ignore[arg-type]


def _curves_alone(study: Study, planes: Mapping[str, Plane], why: str) -> Iterator[Section]:
    from composer_clr.report.page import Section

    yield Section(answer=[f'no comparison: {why}'])
    yield _curves(study, planes, [*study.warnings, *study.notes])


def _compared(study: Study, planes: Mapping[str, Plane], compared: Comparison) -> Iterator[Section]:
    from composer_clr.report.page import Section
    from composer_clr.report.plots import gaps_plot, improvements_plot
    from composer_clr.study.findings import findings, verdict_lines

    found = findings(compared)
    lines = verdict_lines(compared) or [f'all runs are of one method, {study.baseline}: how each kind of curve does']
    decided = [*_verdicts(study, found)]
    yield Section(answer=lines, folded=[('Verdicts with their intervals', decided)] if decided else ())
    yield _curves(study, planes)
    gaps = {(method, kind): one.gap for kind, of in compared.kinds.items() for method, one in of.methods.items()}
    over = {(method, kind): one for kind, of in compared.kinds.items() for method, one in of.over_baseline.items()}
    at: dict[str, dict[tuple[str, str], Differences | None]] = {
        study.axis: {key: one.at_equal_counts for key, one in over.items()}
    }
    if study.is_timed:
        at['time'] = {key: one.at_equal_time for key, one in over.items()}
    plots: list[Plot] = [improvements_plot(planes, at, _difference_texts)] if over else []
    yield Section(
        title='Improvements and gaps',
        plots=[*plots, *([gaps_plot(planes[study.axis], gaps, _difference_texts)] if gaps else [])],
        tables=[*mean_tables(compared, found)][::-1],  # the improvements first
        notes=comparison_notes(compared, found),
        folded=[('At every point', [*point_tables(study, found)])],
    )
    yield Section(title='Cost', tables=[*_costs(compared)])


def _curves(study: Study, planes: Mapping[str, Plane], notes: Sequence[str] = ()) -> Section:
    from composer_clr.report.page import Section
    from composer_clr.report.plots import curves_plot

    return Section(
        title='Curves',
        plots=[curves_plot(planes, _value_texts)],
        notes=notes,
        folded=[('Every point', [_points(study)])],
    )


def _made_by(study: Study, left_out: Sequence[str], commands: Sequence[str]) -> Iterator[Section]:
    from composer_clr.report.made_by import differing_settings, machines, runs_table, shared_settings
    from composer_clr.report.page import Section

    yield Section(title='Left out', notes=left_out)
    known = any(curve.run.settings for curve in study.runs)
    yield Section(
        title='What made the curves',
        notes=() if known else ['the records hold no settings'],
        tables=[differing_settings(study), machines(study)],
        folded=[('Settings', shared_settings(study)), ('Runs', [runs_table(study.runs)])],
    )
    yield Section(title='Commands', code='\n'.join(commands))


def _value_texts(study: Study, count: Array, found: Estimates) -> list[str]:
    """Returns what a point of a curve is: ``16 epochs: 76.31% [76.1%, 76.5%], 3 seeds``."""
    return _texts(study, count, found, lambda value: metric_value(study, value))


def _difference_texts(study: Study, count: Array, found: Estimates) -> list[str]:
    digits = 2 if in_points(study.metric, study.scale) else 4
    return _texts(study, count, found, lambda value: number(value, digits, sign=True))


def _texts(study: Study, count: Array, found: Estimates, spelled: Callable[[float], str]) -> list[str]:
    labels, axis = count_labels(count.tolist(), study.axis), PLURALS[study.axis]
    return [
        f'{label} {axis}: {with_interval(value, low, high, spelled)}, {seeds:.0f} seed{"s" * (seeds > 1)}'
        for label, value, _, low, high, seeds in zip(labels, *map(np.ndarray.tolist, found), strict=True)
    ]


def _points(study: Study) -> Table:
    """Returns a row per point of each curve."""
    rows = []
    for (method, kind), curve in study.curves.items():
        found = study.values(curve)
        for i, label in enumerate(count_labels(curve.count.tolist(), study.axis)):
            value, low, high = (float(part[i]) for part in (found.value, found.low, found.high))
            said = with_interval(value, low, high, lambda value: metric_value(study, value))
            time = readable_duration(float(curve.mean('time_s')[i])) if study.is_timed else ''
            rows.append([method, kind, label, time, said, f'{found.seeds[i]:.0f}'])
    title = f'{study.metric} ({direction(study.lower_is_better)}) [95% interval]'
    return Table(title, ['method', 'kind', PLURALS[study.axis], 'training time', 'value', 'seeds'], rows, 2)


def _verdicts(study: Study, found: Sequence[Finding]) -> Iterator[Table]:
    """Yields a table of the verdicts by method and budget, if there are some."""
    verdicts = [one for one in found if one.quantity == 'verdict']
    counts = sorted({one.at for one in verdicts})
    digits = 2 if in_points(study.metric, study.scale) else 4
    cells: dict[tuple[str, str], dict[float, str]] = defaultdict(dict)
    for one in verdicts:
        size = with_interval(one.value, one.low, one.high, partial(number, digits=digits, sign=True))
        cells[one.method, one.kind][one.at] = f'{size} {one.note.partition(";")[0]}'
    headers = [f'{label} {UNITS[study.axis]}' for label in count_labels(counts, study.axis)]
    rows = [[*key, *(of_curve.get(count, '') for count in counts)] for key, of_curve in cells.items()]
    if rows:
        title = f'improvement over {study.baseline}, with intervals that hold for all methods and budgets of a kind'
        yield Table(title, ['method', 'kind', *headers], rows, 2)


def _costs(compared: Comparison) -> Iterator[Table]:
    """Yields a table of what each curve took, and what separate runs to its points took."""
    study, rows = compared.study, []
    on_gpus = all(settings_of(curve.run).get('device') != 'cpu' for curve in study.runs)
    for kind, of_kind in compared.kinds.items():
        for method, one in of_kind.methods.items():
            cost, ratio = one.cost, one.cost.ratio
            times = [readable_duration(time) for time in (cost.one_run_s, cost.separate_s) if not math.isnan(time)]
            spelled = with_interval(float(ratio.value), float(ratio.low), float(ratio.high), partial(number, digits=2))
            hours = [
                '' if one is None or not on_gpus else f'{one:.3g}' for one in (cost.one_run_gpu_h, cost.separate_gpu_h)
            ]
            counted = number(cost.counted_ratio, 3)
            rows.append([method, kind, *(times or ['', '']), marked(spelled, one.unlike_times), counted, *hours])
    headers = [
        'one run',
        'separate runs',
        'separate over one',
        f'in {PLURALS[study.axis]}',
        'GPU-hours, one',
        'separate',
    ]
    if rows:
        title = 'time to train the points of a curve, as one run and as separate runs'
        yield Table(title, ['method', 'kind', *headers], rows, 2)
