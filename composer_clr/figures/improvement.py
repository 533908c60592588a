"""The figure of improvements over the baseline, on standard and on cyclic curves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.analysis.differences import improvement
from composer_clr.analysis.pairing import INTERPOLATED, Alignment
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.metrics import study_direction
from composer_clr.figures.legend import error_handles, explain
from composer_clr.figures.lines import mean_lines
from composer_clr.figures.style import axes_or_new, draw_points, figure_of, figure_size, log_ticks

__all__ = ['improvement_over_baseline']


def improvement_over_baseline(
    curves: Iterable[TradeoffCurve],
    metric: str | None = None,
    *,
    peak: bool = False,
    baseline: str = 'baseline',
    alignment: Alignment = INTERPOLATED,
    lower_is_better: bool | None = None,
    bands: bool = False,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draws each method's improvement over the baseline's curve of the same kind: standard solid, cyclic dashed.

    A method's points are compared with the baseline at equal epochs, or at equal training time with
    ``Alignment(axis='time')``; a point where the baseline was not measured is not drawn. Error bars are the standard
    error over seeds, if both have several.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        metric (str | None): ``label/metric``. Default: ``None``, that of :func:`default_metric`.
        peak (bool): Use the best value near each point. Default: ``False``.
        baseline (str): The method that improvements are over. Default: ``'baseline'``.
        alignment (Alignment): How points are compared, and the axis they are drawn on. Default: interpolation in log
            epochs.
        lower_is_better (bool | None): Direction of the metric; an improvement is above 0. Default: ``None``, from the
            metric's name.
        bands (bool): Draw errors over seeds as bands, not bars. Default: ``False``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: The figure and the axes drawn on.

    Raises:
        CurveError: If the baseline has no runs of a method's kind, no other method has runs, a value is not finite, or
            no point of a method can be compared with the baseline; and as for :func:`mean_curves`.

    Source:
        Portes et al. 2022, arXiv:2206.00832, figure 3A-C.
    """
    curves = list(curves)
    lines = mean_lines(curves, metric, axis=alignment.counted(curves), peak=peak, allow_nan=False, bands=bands)
    lower = study_direction(curves, lines.metric, lower_is_better)
    keys = [key for key in lines.means if key[0] != baseline]
    if not keys:
        raise CurveError(f'all runs are of the baseline {baseline!r}: name those of another method too')
    by_time, seeds = alignment.axis == 'time', set[int]()
    axes = axes_or_new(ax, figure_size(keys))
    axes.axhline(0, color='#4D4D4D', linewidth=0.8)
    for method, kind in keys:
        line, base = lines.means[method, kind], lines.means.get((baseline, kind))
        if base is None:
            raise CurveError(
                f'{line}: the baseline {baseline!r} has no {kind} runs: name them too, or another baseline'
            )
        how = alignment if kind == 'standard' else alignment.of_cyclic()
        x = how.positions(line)
        found = improvement(line, base, x, how, lower_is_better=lower, scale=lines.scale)
        if found is None:
            raise CurveError(
                f'{line}: no point can be compared with the baseline: train both to similar '
                f'{alignment.axis or line.axis}s'
            )
        errors = np.array([error or 0.0 for error in found.sem])
        shown: Any = errors if errors.any() else None
        seeds.update(len(common) for common in found.seeds)
        units = lines.seconds if by_time else 1.0
        draw_points(axes, found.position / units, found.value, shown, lines.means, (method, kind), bands=bands)
    log_ticks(axes)
    axes.set_xlabel(lines.time_label if by_time else lines.count_label)
    axes.set_ylabel(f'improvement over {baseline}\n({lines.difference_label})')
    axes.grid(alpha=0.25)
    explain(axes, keys, lines.means, beside=ax is None, errors=error_handles('± standard error', seeds, bands=bands))
    return figure_of(axes), axes
