"""The command that draws figures: plot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.cli.options import (
    CurveAxis,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    SlowStart,
    Strict,
    check_picture,
    note_resumed,
    notes_on_stderr,
    read_curves,
    say,
    usable,
    with_averaged,
    write_picture,
)
from composer_clr.curves.axes import differing_epochs, shown_axis
from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import printable

__all__ = ['plot']


def plot(
    runs: Runs,
    output: Annotated[
        Path, typer.Option('--output', '-o', help='PNG, SVG or PDF, by its ending; - is PNG on standard output.')
    ] = Path('curve.png'),
    figure: Annotated[
        str,
        typer.Option(
            help='Figure of the paper: 1A, 1B, 1C, 2, 3, 3D, S1 or S2; 1C is accuracy against time. Or gap: the gap of '
            'every kind of curve to the standard one, with 95% intervals.'
        ),
    ] = '1C',
    metric: Metric = None,
    methods: Annotated[
        str | None, typer.Option(help='Methods to draw, separated by commas: all by default; one for 1A and S1.')
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help='Kinds of curve to draw, separated by commas: all by default.')
    ] = None,
    baseline: Annotated[str | None, typer.Option(help='For 2 and 3, the method to compare with: baseline.')] = None,
    align: Annotated[str | None, typer.Option(help='For 1B, 3, 3D and gap, as in compare.')] = None,
    axis: CurveAxis = None,
    tolerance: Annotated[float | None, typer.Option(help='For 1B, 3, 3D and gap, as in compare.')] = None,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    bands: Annotated[bool, typer.Option('--bands', help='Draw errors over seeds as bands, not bars.')] = False,
    point_labels: Annotated[
        bool | None,
        typer.Option(
            '--point-labels/--no-point-labels',
            help='For 1C, write the epochs beside the points; by default if one method has few.',
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar='WxH', help='Width and height in inches: 3.3x2.5 for a column of a paper.')
    ] = None,
    title: Annotated[str | None, typer.Option(help='Title.')] = None,
    xlabel: Annotated[str | None, typer.Option(help='Label of the x axis.')] = None,
    ylabel: Annotated[str | None, typer.Option(help='Label of the y axis.')] = None,
    xlim: Annotated[str | None, typer.Option(metavar='MIN,MAX', help='Limits of the x axis, in its unit.')] = None,
    ylim: Annotated[str | None, typer.Option(metavar='MIN,MAX', help='Limits of the y axis, in its unit.')] = None,
    strict: Strict = False,
) -> None:
    """Draw a figure: standard runs solid, cyclic ones dashed, error bars over seeds."""
    check_picture(output)
    import matplotlib as mpl

    mpl.use('agg')
    from composer_clr.analysis.pairing import Alignment
    from composer_clr.figures.layout import finish
    from composer_clr.figures.paper import draw, takes_axis
    from composer_clr.figures.style import paper_style
    from composer_clr.study.pooling import differing_pace

    inches = _pair('--size', size, 'x')
    if inches is not None and not all(0.5 <= inch <= 50 for inch in inches):
        raise CurveError(f'--size {size}: must be from 0.5 to 50 inches')
    limits = {'xlim': _pair('--xlim', xlim, ','), 'ylim': _pair('--ylim', ylim, ',')}
    options = {'mode': align, 'axis': None if takes_axis(figure) else axis, 'tolerance': tolerance}
    chosen = {name: value for name, value in options.items() if value is not None}
    curves = read_curves(runs, strict, slow_start)
    against = shown_axis(curves, axis)  # type: ignore[arg-type]
    curves, metric = usable(curves, metric, axis=axis, peak=peak, strict=strict)
    note_resumed(curves)
    differing = {'epoch': differing_epochs, 'time': differing_pace}.get(against)
    if differing is not None and (warning := differing(curves)):
        typer.echo(f'composer-clr: {printable(warning)}', err=True)
    shown = curves
    if figure in ('1C', '2', 'S2', 'gap'):
        # These figures show the curves of averaged weights too.
        shown, _ = usable(with_averaged(curves, metric), metric, axis=axis, peak=peak, strict=strict)
    with paper_style(inches), notes_on_stderr():
        drawn = draw(
            figure,
            shown,
            metric,
            peak=peak,
            methods=methods.split(',') if methods else (),
            kinds=kinds.split(',') if kinds else (),
            baseline=baseline,
            axis=axis if takes_axis(figure) else None,
            alignment=Alignment(**chosen) if chosen else None,  # type: ignore[arg-type]
            lower_is_better=lower_is_better,
            bands=bands or None,
            point_labels=point_labels,
        )
        finish(drawn, title=title, xlabel=xlabel, ylabel=ylabel, **limits)
        write_picture(output, drawn)
    points = sum(len(curve.points) for curve in curves)
    say(f'{output}: {points} points of {len(curves)} runs', output)


def _pair(option: str, text: str | None, separator: str) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(separator))
    except ValueError as error:
        raise CurveError(f'{option} {text}: must be two numbers, such as 3{separator}2.5') from error
    if not (math.isfinite(first) and math.isfinite(second)):
        raise CurveError(f'{option} {text}: must be two numbers, such as 3{separator}2.5')
    return first, second
