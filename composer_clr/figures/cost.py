"""The cost figure: training time of separate standard runs beside that of one cyclic run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.analysis.mean_curve import Array, MeanCurve, mean_curves
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, Pairing, meet
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.style import axes_or_new, figure_of, method_colour

__all__ = ['training_time']

_HALF = 0.2
_GREY = '#4D4D4D'
_HATCH = '////'


def training_time(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    alignment: Alignment = INTERPOLATED,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws each method's training time: its standard runs, stacked, beside the cyclic run.

    The stacked runs are those paired with the cyclic run's points; the number above them is
    :func:`measured_cost_ratio`. A time that is interpolated, because no run was trained to that point, is hatched. If
    some points are not paired, their number stands under the method's name. Error bars are the standard deviation over
    the seeds that have all points. A method with runs of only one kind is not drawn.

    Args:
        curves (Iterable[TradeoffCurve]): The runs, standard and cyclic.
        metric (str | None): ``label/metric``; points without it do not count. Default: ``None``, the accuracy that all
            of them have.
        peak (bool): Use points with a best value near the trough. Default: ``False``.
        alignment (Alignment): How points are paired with runs. Default: interpolation in log epochs.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If no method has runs of both kinds, or no point can be paired; and as for :func:`mean_curves`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figures 1B and 3D.
    """
    curves = list(curves)
    lines = mean_lines(curves, metric, axis=alignment.counted(curves), peak=peak)
    methods = [method for method, kind in lines.means if kind == 'standard' and (method, 'cyclic') in lines.means]
    if not methods:
        raise CurveError('no method has both standard and cyclic runs to compare: name runs of both kinds')
    axes = axes_or_new(ax, (max(4.8, 1.6 + 1.05 * len(methods)), 4.4))
    ticks, hatched = [], False
    for place, method in enumerate(methods):
        cyclic, standard = lines.means[method, 'cyclic'], lines.means[method, 'standard']
        pairing = meet(cyclic, standard, alignment)
        runs, one_run = _times(cyclic, standard, pairing)
        spread = _spread([curve for curve in curves if curve.run.method == method], lines, cyclic, standard, pairing)
        colour = method_colour(method, (name for name, _ in lines.means))
        bottom = 0.0
        for run, how in zip(runs / lines.seconds, pairing.how, strict=True):
            measured = how in ('exact', 'nearest')
            hatched = hatched or not measured
            axes.bar(
                place - _HALF,
                run,
                2 * _HALF,
                bottom,
                facecolor=colour if measured else 'white',
                edgecolor='white' if measured else colour,
                linewidth=0.8,
                hatch=None if measured else _HATCH,
            )
            bottom += run
        cyclic_time = one_run / lines.seconds
        axes.bar(
            place + _HALF, cyclic_time, 1.8 * _HALF, facecolor='white', edgecolor=colour, linewidth=1.5, linestyle='--'
        )
        if spread is not None:
            axes.errorbar(
                [place - _HALF, place + _HALF],
                [bottom, cyclic_time],
                yerr=spread / lines.seconds,
                fmt='none',
                ecolor='#808080',
                capsize=3,
            )
        top = bottom + (0.0 if spread is None else float(spread[0]) / lines.seconds)
        ratio = measured_cost_ratio(cyclic, standard, alignment)
        axes.annotate(
            f'{ratio:.2f}×', (place, top), (0, 4), textcoords='offset points', ha='center', va='bottom', fontsize=9
        )
        paired = f'\n{len(pairing.kept)} of {len(cyclic.count)} points' if len(pairing.left_out) else ''
        ticks.append(f'{method}{paired}')
    axes.set_xticks(range(len(methods)), ticks)
    axes.set_xlim(-0.75, len(methods) - 0.25)
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f'total {lines.time_label}')
    axes.grid(axis='y', alpha=0.25)
    axes.set_axisbelow(True)
    handles = [Patch(facecolor=_GREY, edgecolor='white', label='standard: a run for each point')]
    if hatched:
        handles.append(Patch(facecolor='white', edgecolor=_GREY, hatch=_HATCH, label='interpolated: no such run'))
    handles.append(Patch(facecolor='white', edgecolor=_GREY, linestyle='--', label='cyclic: one run'))
    axes.legend(handles=handles, loc='lower center', bbox_to_anchor=(0.5, 1), ncols=len(handles), frameon=False)
    return figure_of(axes), axes


def _times(cyclic: MeanCurve, standard: MeanCurve, pairing: Pairing) -> tuple[Array, float]:
    """Returns the seconds of the standard run to each paired point, and of the cyclic run to the last of them."""
    return np.exp(pairing.weights @ np.log(standard.time_s)), float(cyclic.time_s[pairing.kept].max())


def _spread(
    curves: Sequence[TradeoffCurve], lines: Lines, cyclic: MeanCurve, standard: MeanCurve, pairing: Pairing
) -> Array | None:
    """Returns the standard deviation of both totals over the seeds with all points; ``None`` with fewer than two."""
    totals = []
    for seed in {curve.run.seed for curve in curves} - {None}:
        of_seed = (curve for curve in curves if curve.run.seed == seed)
        means = mean_curves(of_seed, lines.metric, axis=lines.axis, peak=lines.peak, allow_nan=True)
        pair = [means.get((cyclic.method, kind)) for kind in ('cyclic', 'standard')]
        if all(
            line is not None and np.array_equal(line.count, whole.count)
            for line, whole in zip(pair, (cyclic, standard), strict=True)
        ):
            runs, one_run = _times(*pair, pairing)  # type: ignore[arg-type]
            totals.append((runs.sum(), one_run))
    return np.std(totals, axis=0, ddof=1) if len(totals) > 1 else None
