"""The command that draws figures: plot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from composer_clr.cli.options import (
    AllSeeds,
    CurveAxis,
    CurveKinds,
    CurveMethods,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    Sigma,
    Strict,
    amounts,
    check_picture,
    check_sigma,
    chosen,
    notes_on_stderr,
    read_curves,
    report,
    say,
    with_averaged,
    write_picture,
)
from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import BASELINE, STANDARD

__all__ = ['plot']

# Figures in which a point has a length.
_OF_LENGTHS = ('1C', '2', 'S2', 'gap')


def plot(
    runs: Runs,
    output: Annotated[
        Path, typer.Option('--output', '-o', help='PNG, SVG or PDF, by its ending; - is PNG on standard output.')
    ] = Path('curve.png'),
    figure: Annotated[
        str,
        typer.Option(
            help='1C (accuracy against time), gap (from each kind of curve to the standard one), 2 (each method beside '
            'the baseline), 3 (improvements over the baseline), 3D (training times), S2 (standard beside cyclic); of '
            "one method, 1A (learning rate and accuracy), 1B (training times), S1 (cycles of one length). The paper's "
            'numbers.'
        ),
    ] = '1C',
    metric: Metric = None,
    methods: CurveMethods = None,
    kinds: CurveKinds = None,
    baseline: Annotated[str | None, typer.Option(help='The method to compare with; by default baseline.')] = None,
    align: Annotated[str | None, typer.Option(hidden=True, help='For 1B, 3, 3D and gap, as in compare.')] = None,
    axis: CurveAxis = None,
    tolerance: Annotated[float | None, typer.Option(hidden=True, help='For 1B, 3, 3D and gap, as in compare.')] = None,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    all_seeds: AllSeeds = False,
    errors: Annotated[
        str | None, typer.Option(help='Error bars over seeds: ci (95% intervals, the default), se, sd or none.')
    ] = None,
    point_labels: Annotated[
        bool | None,
        typer.Option(
            '--point-labels/--no-point-labels',
            hidden=True,
            help='For 1C, write the epochs beside the points; by default if one method has few.',
        ),
    ] = None,
    forecast: Annotated[
        bool, typer.Option('--forecast', help='For 1C, draw the 90% interval of one more doubling, hatched.')
    ] = False,
    sigma: Sigma = None,
    equivalent: Annotated[
        bool,
        typer.Option(
            '--equivalent',
            help='For 1C, 2, S2 and gap, draw cyclic points also at the lengths of standard runs they stand for.',
        ),
    ] = False,
    size: Annotated[
        str | None, typer.Option(metavar='WxH', help='Width and height in inches: 3.3x2.5 for a column of a paper.')
    ] = None,
    title: Annotated[str | None, typer.Option(hidden=True, help='Title.')] = None,
    xlabel: Annotated[str | None, typer.Option(hidden=True, help='Label of the x axis.')] = None,
    ylabel: Annotated[str | None, typer.Option(hidden=True, help='Label of the y axis.')] = None,
    xlim: Annotated[
        str | None, typer.Option(metavar='MIN,MAX', hidden=True, help='Limits of the x axis, in its unit.')
    ] = None,
    ylim: Annotated[
        str | None, typer.Option(metavar='MIN,MAX', hidden=True, help='Limits of the y axis, in its unit.')
    ] = None,
    strict: Strict = False,
) -> None:
    """Draw a figure: standard runs solid, cyclic ones dashed, 95% intervals over seeds."""
    check_picture(output)
    import matplotlib as mpl

    mpl.use('agg')
    from composer_clr.figures.by_number import draw, options_of
    from composer_clr.figures.plane import paper_style
    from composer_clr.figures.schedule import with_periods
    from composer_clr.study.alignment import Alignment
    from composer_clr.study.equivalent import Equivalents
    from composer_clr.study.forecast import forecasts
    from composer_clr.study.table import Study

    inches = _pair('--size', size, 'x')
    if inches is not None and not all(0.5 <= inch <= 50 for inch in inches):
        raise CurveError(f'--size {size}: must be from 0.5 to 50 inches')
    limits = {'xlim': _pair('--xlim', xlim, ','), 'ylim': _pair('--ylim', ylim, ',')}
    taken = options_of(figure)
    if equivalent and figure not in _OF_LENGTHS:
        raise CurveError(
            f'figure {figure} has no equivalent lengths: remove --equivalent (it is for {", ".join(_OF_LENGTHS)})'
        )
    check_sigma(sigma)
    if sigma is not None and not forecast:
        raise CurveError('--sigma is of forecasts: pass --forecast too')
    options: dict[str, Any] = {'errors': errors, 'point_labels': point_labels}
    pairing = {'mode': align, 'axis': axis, 'tolerance': tolerance}
    pairing = {name: value for name, value in pairing.items() if value is not None}
    if 'alignment' in taken or {'mode', 'tolerance'} & set(pairing):
        options['alignment'] = Alignment(**pairing)  # type: ignore[arg-type]
    elif 'axis' in taken:
        options['axis'] = axis
    one_method = methods or BASELINE
    if 'method' in taken:
        if ',' in one_method:
            raise CurveError(f'figure {figure} shows one method, not {one_method}: name one')
        options['method'] = one_method
    curves = read_curves(runs, strict, axis)
    if figure in _OF_LENGTHS:
        # These figures show the curves of averaged weights too.
        curves = with_averaged(curves, metric)
    beside = (baseline or BASELINE,) if figure in ('2', '3') else ()
    kept = chosen(
        curves, methods, kinds, beside=beside, beside_kinds=(STANDARD,) if figure == 'gap' or equivalent else ()
    )
    if baseline is not None:
        chosen(curves, baseline, None)
    study = Study.of(
        with_periods(kept, one_method) if figure == 'S1' else kept,
        metric,
        axis=axis,
        peak=peak,
        baseline=baseline or BASELINE,
        lower_is_better=lower_is_better,
        all_seeds=all_seeds,
        strict=strict,
    )
    report([*(f'left out: {error}' for error in study.left_out), *study.warnings])
    read = amounts([run for run in study.runs if 'method' not in taken or run.run.method == one_method])
    if forecast:
        options['forecasts'] = found = forecasts(study, sigma)
        report([f'{one.method}, {one.kind}: no forecast, {one.refused}' for one in found if one.refused])
    if equivalent:
        placed = Equivalents.of(study, strict=strict)
        study = placed.beside()
        report(placed.lines())
    with paper_style(inches), notes_on_stderr():
        drawn = draw(figure, study, title=title, xlabel=xlabel, ylabel=ylabel, **limits, **options)
        write_picture(output, drawn)
    say(f'{output}: {read}', output)


def _pair(option: str, text: str | None, separator: str) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(separator))
    except ValueError:
        first = second = math.nan
    if not (math.isfinite(first) and math.isfinite(second)):
        raise CurveError(f'{option} {text}: must be two numbers, such as 3{separator}2.5')
    return first, second
