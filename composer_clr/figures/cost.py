"""The cost figure: training time of separate standard runs beside that of one cyclic run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter

from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.analysis.mean_curve import Array, MeanCurve, mean_curves
from composer_clr.analysis.pairing import INTERPOLATED, Alignment, Pairing, meet
from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.figures.legend import error_handles, legend_of
from composer_clr.figures.lines import Lines, mean_lines
from composer_clr.figures.looks import method_colour
from composer_clr.figures.style import axes_or_new, figure_of

__all__ = ['training_time', 'training_time_of_method']

_HALF = 0.2
_GREY = '#4D4D4D'
_HATCH = '////'
_CHARACTERS_AN_INCH = 8


def training_time(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    alignment: Alignment = INTERPOLATED,
    name_runs: bool = False,
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
        name_runs (bool): Write into each run's part of a bar where it ends. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If no method has runs of both kinds, or no point can be paired; and as for :func:`mean_curves`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3D.
    """
    curves = list(curves)
    lines = mean_lines(curves, metric, axis=alignment.counted(curves), peak=peak)
    methods = [method for method, kind in lines.means if kind == 'standard' and (method, 'cyclic') in lines.means]
    if not methods:
        raise CurveError('no method has both standard and cyclic runs to compare: name runs of both kinds')
    axes = axes_or_new(ax, (max(4.8, 1.6 + 1.05 * len(methods)), 4.4))
    ticks: list[str] = []
    hatched, seeds = False, set[int]()
    for place, method in enumerate(methods):
        cyclic, standard = lines.means[method, 'cyclic'], lines.means[method, 'standard']
        pairing = meet(cyclic, standard, alignment)
        runs_s, one_run_s = _times(cyclic, standard, pairing)
        runs, one_run = runs_s / lines.seconds, one_run_s / lines.seconds
        colour = method_colour(method, (name for name, _ in lines.means))
        measured = [how in ('exact', 'nearest') for how in pairing.how]
        hatched = hatched or not all(measured)
        names = count_labels(cyclic.count[pairing.kept].tolist(), cyclic.axis) if name_runs else None
        _stack(
            axes, place - _HALF, runs, measured, colour, names and [f'{name} {UNITS[cyclic.axis]}' for name in names]
        )
        axes.bar(
            place + _HALF, one_run, 1.8 * _HALF, facecolor='white', edgecolor=colour, linewidth=1.5, linestyle='--'
        )
        deviations = _spread(
            [curve for curve in curves if curve.run.method == method], lines, cyclic, standard, pairing
        )
        if deviations is not None:
            seeds.add(deviations[1])
            axes.errorbar(
                [place - _HALF, place + _HALF],
                [runs.sum(), one_run],
                yerr=deviations[0] / lines.seconds,
                fmt='none',
                ecolor='#808080',
                capsize=3,
            )
        top = runs.sum() + (0.0 if deviations is None else float(deviations[0][0]) / lines.seconds)
        axes.annotate(
            f'{measured_cost_ratio(cyclic, standard, alignment):.2f}×',
            (place, top),
            (0, 4),
            textcoords='offset points',
            ha='center',
            va='bottom',
            fontsize='small',
        )
        paired = f'\n{len(pairing.kept)} of {len(cyclic.count)} points' if len(pairing.left_out) else ''
        ticks.append(f'{method}{paired}')
    axes.set_xticks(range(len(methods)))
    axes.xaxis.set_major_formatter(FixedFormatter(ticks))
    if sum(map(len, ticks)) > _CHARACTERS_AN_INCH * figure_of(axes).get_figwidth():
        plt.setp(axes.get_xticklabels(), rotation=30, ha='right', rotation_mode='anchor')
    axes.set_xlim(-0.75, len(methods) - 0.25)
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f'total {lines.time_label}')
    axes.grid(axis='y', alpha=0.25)
    axes.set_axisbelow(True)
    handles: list[Artist] = [Patch(facecolor=_GREY, edgecolor='white', label='standard: a run per point')]
    if hatched:
        handles.append(Patch(facecolor='white', edgecolor=_GREY, hatch=_HATCH, label='interpolated: no such run'))
    handles.append(Patch(facecolor='white', edgecolor=_GREY, linestyle='--', label='cyclic: one run'))
    handles.extend(error_handles('± standard deviation', seeds))
    wide = figure_of(axes).get_figwidth() > _CHARACTERS_AN_INCH
    legend_of(axes, handles, loc='lower center', bbox_to_anchor=(0.5, 1), ncols=len(handles) if wide else 1)
    return figure_of(axes), axes


def training_time_of_method(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    method: str = 'baseline',
    alignment: Alignment = INTERPOLATED,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws :func:`training_time` of one method, with the length of each standard run.

    Args:
        curves (Iterable[TradeoffCurve]): The runs, standard and cyclic.
        metric (str | None): ``label/metric``. Default: ``None``, the accuracy that all of them have.
        peak (bool): Use points with a best value near the trough. Default: ``False``.
        method (str): The method to draw. Default: ``'baseline'``.
        alignment (Alignment): How points are paired with runs. Default: interpolation in log epochs.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If the method does not have runs of both kinds; and as for :func:`training_time`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1B.
    """
    own = [curve for curve in curves if curve.run.method == method]
    return training_time(own, metric, peak=peak, alignment=alignment, name_runs=True, ax=ax)


def _stack(
    axes: Axes, x: float, runs: Array, measured: Sequence[bool], colour: str, names: Sequence[str] | None
) -> None:
    """Draws one run upon the other, those that were not measured hatched; each named if there is room."""
    bottom = 0.0
    for index, run in enumerate(runs):
        axes.bar(
            x,
            run,
            2 * _HALF,
            bottom,
            facecolor=colour if measured[index] else 'white',
            edgecolor='white' if measured[index] else colour,
            linewidth=0.8,
            hatch=None if measured[index] else _HATCH,
        )
        if names is not None and run > 0.05 * runs.sum():
            text = axes.text(x, bottom + run / 2, names[index], ha='center', va='center', fontsize='small')
            text.set_color('white' if measured[index] else colour)
            if not measured[index]:
                text.set_bbox({'facecolor': 'white', 'edgecolor': 'none', 'pad': 1})
        bottom += run


def _times(cyclic: MeanCurve, standard: MeanCurve, pairing: Pairing) -> tuple[Array, float]:
    """Returns the seconds of the standard run to each paired point, and of the cyclic run to the last of them."""
    return np.exp(pairing.weights @ np.log(standard.time_s)), float(cyclic.time_s[pairing.kept].max())


def _spread(
    curves: Sequence[TradeoffCurve], lines: Lines, cyclic: MeanCurve, standard: MeanCurve, pairing: Pairing
) -> tuple[Array, int] | None:
    """Returns the standard deviation of both totals over the seeds with all points, and how many these are.

    With fewer than two seeds it is ``None``.
    """
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
    return (np.std(totals, axis=0, ddof=1), len(totals)) if len(totals) > 1 else None
