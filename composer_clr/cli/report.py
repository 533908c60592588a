"""The command that writes a study as one page: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    Sigma,
    Strict,
    Tolerance,
    amounts,
    check_sigma,
    chosen,
    command_line,
    read_curves,
    say,
    with_averaged,
    write_result,
)
from composer_clr.cli.options import report as report_lines
from composer_clr.curves.names import STANDARD

__all__ = ['report']

# Options that compare does not have.
_OF_PAGES = ('output', 'title', 'cdn', 'forecast', 'sigma')


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
    forecast: Annotated[
        bool, typer.Option('--forecast', help='Add what one more doubling gives, with 90% intervals.')
    ] = False,
    sigma: Sigma = None,
    equivalent: Annotated[
        bool, typer.Option('--equivalent', help='Add cyclic points at the lengths of standard runs they stand for.')
    ] = False,
    strict: Strict = False,
) -> None:
    """Write a study as one page for a browser: the verdicts first, the curves, the figures of compare, what made them.

    The page needs no network and nothing installed. To write it takes plotly, which the extra report installs.
    """
    from composer_clr.cli.study_page import study_page
    from composer_clr.study.alignment import Alignment

    check_sigma(sigma)
    alignment = Alignment(align, axis, tolerance)  # type: ignore[arg-type]
    unread: list[str] = []
    curves = read_curves(runs, strict, axis, said=unread)
    html, notes = study_page(
        chosen(with_averaged(curves, metric), methods, kinds, beside=[baseline], beside_kinds=[STANDARD]),
        metric,
        alignment=alignment,
        title=title,
        forecast=forecast,
        sigma=sigma,
        equivalent=equivalent,
        unread=unread,
        commands=[command_line(context), command_line(context, 'compare', without=_OF_PAGES)],
        cdn=cdn,
        strict=strict,
        peak=peak,
        baseline=baseline,
        lower_is_better=lower_is_better,
        all_seeds=all_seeds,
    )
    report_lines(notes)
    write_result(output, html.encode())
    say(f'{output}: {amounts(curves)}', output)
