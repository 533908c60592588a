"""Figures of the schedule: the learning rate over training, and cycles of constant periods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from composer_clr.curves.axes import PLURALS
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import STANDARD, has_cycles, kind_order
from composer_clr.figures.labels import shown, value_label
from composer_clr.figures.panels import draw_panels, draw_values
from composer_clr.figures.plane import Errors, Plane, add_legend, count_axis, new_panels
from composer_clr.schedule.cycles import Cycles, multiplier_line
from composer_clr.study.recorded_schedule import recorded_schedule
from composer_clr.study.table import Study

__all__ = ['constant_periods', 'learning_rate', 'learning_rate_and_accuracy', 'with_periods']

_PERIOD = 'period '


def learning_rate_and_accuracy(study: Study, *, method: str = 'baseline', errors: Errors = 'ci') -> Figure:
    """Draws runs of several cycles over their epochs or tokens: the learning rate, and the accuracy at each trough.

    The learning rate is drawn relative to the optimizer's.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 1A.
    """
    runs = _runs_with_cycles(study, method)
    x, alpha = recorded_schedule(runs[0], study.axis).multipliers()
    for other in runs[1:]:
        if not all(map(np.array_equal, recorded_schedule(other, study.axis).multipliers(), (x, alpha))):
            raise CurveError(
                f'runs {runs[0].place!r} and {other.place!r} have different schedules: draw the runs of one at a time'
            )
    plane, key = Plane(study, study.axis, errors), (method, runs[0].run.kind)
    figure, (ax,) = new_panels(1, size=(7.2, 4.2))
    rate = ax.twinx()
    rate.set_label('learning rate')
    rate.plot(x, alpha, color='#9A9A9A', linewidth=1.2)
    rate.set_ylabel('learning rate / its maximum', color='#6A6A6A')
    rate.tick_params(axis='y', colors='#6A6A6A')
    rate.set_ylim(0, 1.05)
    rate.grid(visible=False)
    rate.spines['right'].set_visible(True)
    draw_values(plane, ax, key)
    ax.set_zorder(rate.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.set_xlim(0, 1.03 * x[-1])
    ax.set_xlabel(PLURALS[study.axis])
    count_axis(ax.xaxis, study.axis)
    ax.set_ylabel(value_label(study))
    ax.set_title(shown(', '.join(key)))
    if entry := plane.error_entry():
        add_legend(figure, entry)
    return figure


def with_periods(runs: Iterable[TradeoffCurve], method: str = 'baseline') -> list[TradeoffCurve]:
    """Returns runs, those of the method with the period of their cycles as their kind: each is a curve of figure S1."""
    return [
        TradeoffCurve(replace(run.run, kind=f'{_PERIOD}{recorded_schedule(run).period_label}'), run.points)
        if run.run.method == method and has_cycles(run.run.kind) and run.points
        else run
        for run in runs
    ]


def constant_periods(study: Study, *, method: str = 'baseline', errors: Errors = 'ci') -> Figure:
    """Draws cyclic runs of different constant periods beside the standard curve, against time.

    The study is of :func:`with_periods`. A run with growing periods is labelled by its first and last.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure S1.
    """
    plane = Plane(study, 'time', errors)
    kinds = [kind for name, kind in plane.keys if name == method and kind.startswith(_PERIOD)]
    if all(' to ' in kind for kind in kinds):
        raise CurveError(
            f'no cyclic run of {method!r} has a constant period: name some that were trained with t_mult=1'
        )
    kinds.sort(key=lambda kind: float(kind.split()[-2]))
    # Periods have an order, and so have their colours; viridis ends in a yellow that print loses.
    plane.names[method, STANDARD] = STANDARD
    for kind, colour in zip(kinds, matplotlib.colormaps['viridis'](np.linspace(0.1, 0.8, len(kinds))), strict=True):
        key = method, kind
        plane.looks[key] = plane.looks[key]._replace(colour=colour, dashes='--')
        plane.names[key] = f'cyclic, {kind}'
    order = [key for kind in (STANDARD, *kinds) if (key := (method, kind)) in plane.keys]
    return draw_panels(plane, {method: order}, partial(draw_values, plane), value_label(study))


def learning_rate(
    cycles: Cycles, until: int, unit: str, lr: float, alpha_f: float = 0.0, *, branches: Sequence[int] = ()
) -> Figure:
    """Draws the learning rate over training, with a marker at each trough.

    Training ends at ``until``, in ``unit``; ``lr`` is the rate at the top of a cycle, of which ``alpha_f`` is left at a
    trough. The decays of ``branches`` off this run, by their ends, are drawn too.
    """
    figure, (ax,) = new_panels(1, size=(6.4, 3.4))
    times, multipliers = multiplier_line(cycles, until, alpha_f)
    ax.plot(times, [lr * multiplier for multiplier in multipliers], color='#0072B2')
    for end in branches:
        leaves = cycles.decay_start(end)
        line = zip(*multiplier_line(Cycles(cycles.start, [end], cycles.shape), end, alpha_f), strict=True)
        decay = [(time, lr * multiplier) for time, multiplier in line if time >= leaves]
        ax.plot(*zip(*decay, strict=True), color='#0072B2', linestyle='--')
    troughs = [*branches, *cycles.troughs(until)]
    rates = [lr * cycles.trough_multiplier(trough, alpha_f) for trough in troughs]
    (points,) = ax.plot(troughs, rates, 'o', color='#D55E00', label='points of the curve', clip_on=False)
    ax.set_xlabel(f'training time ({unit})')
    ax.set_ylabel('learning rate')
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    add_legend(figure, [points], side='upper')
    return figure


def _runs_with_cycles(study: Study, method: str) -> list[TradeoffCurve]:
    """Returns the method's runs of several cycles: the cyclic ones, or those of the first other kind."""
    kinds = sorted({kind for _, kind in study.curves if has_cycles(kind)}, key=kind_order)
    for kind in kinds:
        if found := [run for run in study.runs if (run.run.method, run.run.kind) == (method, kind)]:
            return found
    methods = sorted({name for name, kind in study.curves if has_cycles(kind)})
    raise CurveError(f'no cyclic run of {method!r} has points to draw: name one (the cyclic runs are of {methods})')
