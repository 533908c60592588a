"""The cost figure: training time of separate standard runs beside that of one cyclic run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.curves.names import CYCLIC, STANDARD
from composer_clr.figures.labels import shown
from composer_clr.figures.looks import GREY, method_colour
from composer_clr.figures.plane import Errors, Plane, add_legend, new_panels
from composer_clr.study.alignment import Alignment
from composer_clr.study.cost import study_cost
from composer_clr.study.table import Study

__all__ = ['training_time', 'training_time_of_method']

_HALF, _HATCH = 0.2, '////'


def training_time(
    study: Study, *, alignment: Alignment | None = None, errors: Errors = 'ci', name_runs: bool = False
) -> Figure:
    """Draws each method's training time: its standard runs, stacked, beside the cyclic run.

    The stacked runs are those paired with the cyclic run's points; the number above them is the cost ratio of
    :func:`~composer_clr.study.cost.study_cost`, and the error bars are those of the ratio. A time that is interpolated,
    because no run was trained to that point, is hatched. If some points are not paired, their number stands under the
    method's name. A method with runs of only one kind is not drawn.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3D.
    """
    if errors in ('se', 'sd'):
        raise CurveError(f'--errors {errors}: the errors of a cost ratio are ci, 95% intervals, or none')
    plane = Plane(study, 'time', errors)
    methods = [method for method, kind in plane.keys if kind == STANDARD and (method, CYCLIC) in study.curves]
    if not methods:
        raise CurveError('no method has both standard and cyclic runs to compare: name runs of both kinds')
    figure, (ax,) = new_panels(1, size=(max(4.8, 1.6 + 1.05 * len(methods)), 4.6))
    ticks: list[str] = []
    interpolated = False
    for place, method in enumerate(methods):
        cyclic, standard = study.curves[method, CYCLIC], study.curves[method, STANDARD]
        cost = study_cost(cyclic, standard, alignment or Alignment())
        colour = method_colour(method, (name for name, _ in plane.keys))
        measured = [how in ('exact', 'nearest') for how in cost.how]
        interpolated = interpolated or not all(measured)
        names = [f'{name} {UNITS[study.axis]}' for name in count_labels(cost.count.tolist(), study.axis)]
        _stack(ax, place - _HALF, (cost.runs_s / plane.seconds).tolist(), measured, colour, names if name_runs else ())
        one_run = cost.one_run_s / plane.seconds
        ax.bar(place + _HALF, one_run, 1.8 * _HALF, facecolor='white', edgecolor=colour, linewidth=1.5, linestyle='--')
        ratio = type(cost.ratio)(*(np.atleast_1d(part) for part in cost.ratio))
        reach, top = plane.errors_of(ratio), cost.separate_s / plane.seconds
        if reach is not None:
            ax.errorbar(place - _HALF, top, yerr=reach * one_run, fmt='none', ecolor='#808080', capsize=3)
            top += float(reach[1, 0]) * one_run
        label = f'{float(cost.ratio.value):.2f}×'
        ax.annotate(label, (place, top), (0, 3), textcoords='offset points', ha='center', fontsize='small')
        paired = f'\n{len(cost.count)} of {len(cyclic.count)} points' if len(cost.count) < len(cyclic.count) else ''
        ticks.append(f'{shown(method)}{paired}')
    crowded = max(max(map(len, tick.split('\n'))) for tick in ticks) * len(ticks) > 9 * figure.get_figwidth()
    turned = {'rotation': 30, 'ha': 'right', 'rotation_mode': 'anchor'} if crowded else {}
    ax.set_xticks(range(len(methods)), ticks, **turned)
    ax.set_xlim(-0.75, len(methods) - 0.25)
    ax.margins(y=0.1)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f'total {plane.label}')
    ax.grid(axis='x', visible=False)
    handles = [Patch(facecolor=GREY, edgecolor='white', label='standard: a run per point')]
    if interpolated:
        handles.append(Patch(facecolor='white', edgecolor=GREY, hatch=_HATCH, label='interpolated: no such run'))
    handles.append(Patch(facecolor='white', edgecolor=GREY, linestyle='--', label='cyclic: one run'))
    add_legend(figure, [*handles, *plane.error_entry()], side='upper')
    return figure


def training_time_of_method(
    study: Study, *, method: str = 'baseline', alignment: Alignment | None = None, errors: Errors = 'ci'
) -> Figure:
    """Draws :func:`training_time` of one method, with the length of each standard run.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1B.
    """
    own = {key: curve for key, curve in study.curves.items() if key[0] == method}
    return training_time(replace(study, curves=own), alignment=alignment, errors=errors, name_runs=True)


def _stack(
    ax: Axes, x: float, runs: Sequence[float], measured: Sequence[bool], colour: str, names: Sequence[str]
) -> None:
    """Draws one run upon the other, those that were not measured hatched; each named if there is room."""
    bottom, total = 0.0, sum(runs)
    for index, (run, known) in enumerate(zip(runs, measured, strict=True)):
        inside, edge = (colour, 'white') if known else ('white', colour)
        hatch = None if known else _HATCH
        ax.bar(x, run, 2 * _HALF, bottom, facecolor=inside, edgecolor=edge, linewidth=0.8, hatch=hatch)
        if names and run > 0.05 * total:
            box = {'facecolor': inside, 'edgecolor': 'none', 'pad': 1}
            ax.text(x, bottom + run / 2, names[index], ha='center', va='center', fontsize='small', color=edge, bbox=box)
        bottom += run
