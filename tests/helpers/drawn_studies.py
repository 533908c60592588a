"""Two methods with known improvements, runs with a recorded schedule, and readers of what a figure shows."""

from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.figures import by_number
from composer_clr.figures.schedule import with_periods
from composer_clr.study.table import Study
from tests.helpers.runs_and_lines import point, run, standard_runs

# Times are 100 s per epoch except in MX's standard runs. Improvements by hand: cyclic 3 and 6, standard 2 and 1.
STUDY = [
    run('baseline', 'cyclic', [(16, 0.50), (32, 0.60)]),
    *standard_runs('baseline', [(16, 0.49), (32, 0.61)]),
    run('MX', 'cyclic', [(16, 0.53), (32, 0.66)]),
    *standard_runs('MX', [(16, 0.51, 1500.0), (32, 0.62, 3300.0)]),
]

SCHEDULE = {
    'scheduler': 'CyclicCosineScheduler',
    't_0': '2ep',
    't_mult': 2.0,
    't_warmup': '2ep',
    'alpha_f': 0.1,
    'ssr': 1.0,
    'max_duration': '8ep',
    'unit': 'ba',
    'troughs': [40, 80],
}


def recorded(seed=None, name='r', method='baseline', values=(0.5, 0.6), **schedule):
    """Returns a cyclic run of 10 batches per epoch, with a point at each trough."""
    record = SCHEDULE | schedule
    points = [
        point(trough / 10, value, batch=trough)
        for trough, value in zip(record['troughs'] or (40, 80), values, strict=True)
    ]
    return TradeoffCurve(Run(name, 'cyclic', method, seed, schedule=record), points)


def draw(name: str, curves: list[TradeoffCurve], **options: Any) -> Figure:
    """Draws a figure of runs, as ``plot`` does; what a study is made with is taken from its options."""
    of_study = {key: options.pop(key) for key in ('metric', 'peak', 'baseline', 'lower_is_better') if key in options}
    curves = with_periods(curves) if name == 'S1' else curves
    return by_number.draw(name, Study.of(curves, axis=options.get('axis'), **of_study), **options)


def legend(figure: Figure) -> list[str]:
    """Returns the texts of a figure's legend."""
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def lines(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Returns the x and y values of each line with error bars, by its label."""
    bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    return {str(c.get_label()): (list(c.lines[0].get_xdata()), list(c.lines[0].get_ydata())) for c in bars}  # type: ignore


def dashes(ax: Axes) -> dict[str, str]:
    """Returns the style of each line with error bars, by its label."""
    return {str(c.get_label()): c.lines[0].get_linestyle() for c in ax.containers}  # type: ignore


def ends(ax: Axes, label: str) -> list[list[float]]:
    """Returns the lower and the upper ends of a line's error bars."""
    (drawn,) = (c for c in ax.containers if c.get_label() == label)
    return [list(cap.get_ydata()) for cap in drawn.lines[1]]  # type: ignore


def errors(ax: Axes, label: str) -> list[float]:
    """Returns half the height of each error bar of a line."""
    return [(high - low) / 2 for low, high in zip(*ends(ax, label), strict=True)]


def replace_method(curve, method):
    return TradeoffCurve(replace(curve.run, method=method), curve.points)


def many(methods):
    """Returns a cyclic and a standard run of each of so many methods."""
    names = ['baseline', *(f'Method{i:02d}' for i in range(methods - 1))]
    kinds = ('cyclic', 'standard')
    return [run(name, kind, [(16, 0.5 + i / 99), (32, 0.6)]) for i, name in enumerate(names) for kind in kinds]
