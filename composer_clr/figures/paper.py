"""The figures of the paper by number, and others by name, drawn from any curves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import BASELINE, STANDARD
from composer_clr.figures.cost import training_time, training_time_of_method
from composer_clr.figures.gap import gap_to_standard
from composer_clr.figures.improvement import improvement_over_baseline
from composer_clr.figures.panels import methods_beside_baseline, standard_beside_cyclic
from composer_clr.figures.schedule import constant_periods, learning_rate_and_accuracy
from composer_clr.figures.tradeoff import accuracy_against_time
from composer_clr.utils.errors import did_you_mean

__all__ = ['FIGURES', 'draw', 'takes_axis']

# Each takes curves, metric=None and peak=False, and returns the figure and the axes drawn on: one Axes, or a list for
# a figure of several panels. Its signature has the other options.
FIGURES: dict[str, Callable[..., tuple[Any, Any]]] = {
    '1A': learning_rate_and_accuracy,
    '1B': training_time_of_method,
    '1C': accuracy_against_time,
    '2': methods_beside_baseline,
    '3': improvement_over_baseline,
    '3D': training_time,
    'S1': constant_periods,
    'S2': standard_beside_cyclic,
    'gap': gap_to_standard,
}


def takes_axis(name: str) -> bool:
    """Returns whether a figure has the axis itself as an argument, rather than in an alignment."""
    return name in FIGURES and 'axis' in inspect.signature(FIGURES[name]).parameters


def draw(
    name: str,
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    methods: Sequence[str] = (),
    kinds: Sequence[str] = (),
    **options: Any,
) -> Figure:
    """Draws a figure by its number or name.

    Args:
        name (str): A key of :data:`FIGURES`.
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value in the window before each trough. Default: ``False``.
        methods (Sequence[str]): The methods to draw; a figure that needs the baseline draws it too. Default: ``()``,
            all methods, or the baseline in a figure of one method.
        kinds (Sequence[str]): The kinds of curve to draw; the gap's figure has the standard one too. Default: ``()``,
            all kinds.
        **options (Any): Further arguments of the figure's function; ``None`` is the default of each.

    Raises:
        CurveError: If the figure is unknown, a method or a kind has no runs, or the figure does not take an option; and
            as for the figure's function.
    """
    if name not in FIGURES:
        raise CurveError(f'--figure {name}: choose one of {", ".join(FIGURES)}')
    curves = list(curves)
    taken = inspect.signature(FIGURES[name]).parameters
    options = {option: value for option, value in options.items() if value is not None}
    for option in options:
        if option not in taken:
            takers = [figure for figure, make in FIGURES.items() if option in inspect.signature(make).parameters]
            raise CurveError(f'figure {name} does not take {option}: remove it (it is for {", ".join(takers)})')
    _check('method', methods, {curve.run.method for curve in curves})
    _check('kind', kinds, {curve.run.kind for curve in curves})
    if kinds:
        of_kinds = {*kinds, STANDARD} if name == 'gap' else {*kinds}
        curves = [curve for curve in curves if curve.run.kind in of_kinds]
    if methods and 'method' in taken:
        if len(methods) > 1:
            raise CurveError(f'figure {name} shows one method, not {", ".join(methods)}: name one')
        options['method'] = methods[0]
    elif methods:
        shown = {*methods, options.get('baseline', BASELINE)} if 'baseline' in taken else {*methods}
        curves = [curve for curve in curves if curve.run.method in shown]
    return FIGURES[name](curves, metric, peak=peak, **options)[0]


def _check(what: str, names: Sequence[str], known: set[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise CurveError(f'no run of the {what} {unknown[0]!r}{did_you_mean(unknown[0], sorted(known))}')
