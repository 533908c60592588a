"""The tables and texts of a page beside those of the commands: points, verdicts, costs, and what a hover says."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from composer_clr.cli.tables import (
    Table,
    direction,
    marked,
    metric_value,
    number,
    plus_minus,
    readable_duration,
    with_interval,
)
from composer_clr.curves.axes import PLURALS, UNITS, count_labels
from composer_clr.curves.metrics import difference_unit, in_points
from composer_clr.curves.settings import settings_of
from composer_clr.study.compare import Comparison
from composer_clr.study.estimates import Array, Estimates
from composer_clr.study.findings import Finding
from composer_clr.study.table import Study

__all__ = ['cost_tables', 'difference_texts', 'one_method_lines', 'points_table', 'value_texts', 'verdict_tables']


def value_texts(study: Study, count: Array, found: Estimates) -> list[str]:
    """Returns what a point of a curve is: ``16 epochs: 76.31% [76.1%, 76.5%], 3 seeds``."""
    return _texts(study, count, found, lambda value: metric_value(study, value))


def difference_texts(study: Study, count: Array, found: Estimates) -> list[str]:
    digits = 2 if in_points(study.metric, study.scale) else 4
    return _texts(study, count, found, lambda value: number(value, digits, sign=True))


def _texts(study: Study, count: Array, found: Estimates, spelled: Callable[[float], str]) -> list[str]:
    labels, axis = count_labels(count.tolist(), study.axis), PLURALS[study.axis]
    return [
        f'{label} {axis}: {with_interval(value, low, high, spelled)}, {seeds:.0f} seed{"s" * (seeds > 1)}'
        for label, value, _, low, high, seeds in zip(labels, *map(np.ndarray.tolist, found), strict=True)
    ]


def points_table(study: Study) -> Table:
    """Returns a row per point of each curve."""
    rows = []
    for (method, kind), curve in study.curves.items():
        found = study.values(curve)
        for i, label in enumerate(count_labels(curve.count.tolist(), study.axis)):
            value, low, high = (float(part[i]) for part in (found.value, found.low, found.high))
            said = with_interval(value, low, high, lambda value: metric_value(study, value))
            time = readable_duration(float(curve.mean('time_s')[i])) if study.is_timed else ''
            rows.append([method, kind, label, time, said, f'{found.seeds[i]:.0f}'])
    title = f'{study.metric} ({direction(study.lower_is_better)}) [95% interval]'
    return Table(title, ['method', 'kind', PLURALS[study.axis], 'training time', 'value', 'seeds'], rows, 2)


def verdict_tables(study: Study, found: Sequence[Finding]) -> Iterator[Table]:
    """Yields a table of the verdicts by method and budget, if there are some."""
    verdicts = [one for one in found if one.quantity == 'verdict']
    counts = sorted({one.at for one in verdicts})
    digits = 2 if in_points(study.metric, study.scale) else 4
    cells: dict[tuple[str, str], dict[float, str]] = defaultdict(dict)
    for one in verdicts:
        size = with_interval(one.value, one.low, one.high, partial(number, digits=digits, sign=True))
        cells[one.method, one.kind][one.at] = f'{size} {one.note.partition(";")[0]}'
    headers = [f'{label} {UNITS[study.axis]}' for label in count_labels(counts, study.axis)]
    rows = [[*key, *(of_curve.get(count, '') for count in counts)] for key, of_curve in cells.items()]
    if rows:
        title = f'improvement over {study.baseline}, with intervals that hold for all methods and budgets of a kind'
        yield Table(title, ['method', 'kind', *headers], rows, 2)


def cost_tables(compared: Comparison) -> Iterator[Table]:
    """Yields a table of what each curve took, and what separate runs to its points took."""
    study, rows = compared.study, []
    on_gpus = all(settings_of(curve.run).get('device') != 'cpu' for curve in study.runs)
    for kind, of_kind in compared.kinds.items():
        for method, one in of_kind.methods.items():
            cost, ratio = one.cost, one.cost.ratio
            times = [readable_duration(time) for time in (cost.one_run_s, cost.separate_s) if not math.isnan(time)]
            spelled = with_interval(float(ratio.value), float(ratio.low), float(ratio.high), partial(number, digits=2))
            hours = [
                '' if one is None or not on_gpus else f'{one:.3g}' for one in (cost.one_run_gpu_h, cost.separate_gpu_h)
            ]
            counted = number(cost.counted_ratio, 3)
            rows.append([method, kind, *(times or ['', '']), marked(spelled, one.unlike_times), counted, *hours])
    counted = f'in {PLURALS[study.axis]}'
    headers = ['one run', 'separate runs', 'separate over one', counted, 'GPU-hours, one', 'GPU-hours, separate']
    if rows:
        title = 'time to train the points of a curve, as one run and as separate runs'
        yield Table(title, ['method', 'kind', *headers], rows, 2)


def one_method_lines(study: Study, found: Sequence[Finding]) -> list[str]:
    """Returns a line per kind of curve: its mean gap to standard runs, and what separate runs cost over it."""
    digits = 2 if in_points(study.metric, study.scale) else 4
    unit = difference_unit(study.metric, study.scale)
    lines = []
    for one in found:
        if one.quantity == 'mean_gap' and study.is_ratio:
            ratio = with_interval(one.value, one.low, one.high, partial(number, digits=3))
            lines.append(f'{one.kind}: on average {ratio} times the value of standard runs')
        elif one.quantity == 'mean_gap':
            gap = plus_minus(one.value, one.low, one.high, digits)
            lines.append(f'{one.kind}: mean gap to standard runs {gap} {unit}')
        elif one.quantity == 'cost_ratio':
            ratio = with_interval(one.value, one.low, one.high, partial(number, digits=2))
            lines.append(f'{one.kind}: separate runs take {ratio} times as long as one run')
    return lines
