"""What ``compare --equivalent`` shows: the gaps of points at the lengths of the standard runs that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from composer_clr.cli.tables import Table, number, plus_minus, with_interval
from composer_clr.curves.axes import PLURALS, count_labels
from composer_clr.curves.metrics import difference_unit, in_points

if TYPE_CHECKING:
    from composer_clr.study.differences import Differences
    from composer_clr.study.estimates import Estimates
    from composer_clr.study.table import Study

__all__ = ['equivalent_tables']


def equivalent_tables(
    study: Study,
    measured: Mapping[tuple[str, str], Differences],
    placed: Mapping[tuple[str, str], Differences],
    *,
    points: bool,
) -> Iterator[Table]:
    """Yields the mean gaps as measured and at equivalent lengths, and with ``points`` those at every point."""
    from composer_clr.study.equivalent import mean_distance

    digits = 3 if in_points(study.metric, study.scale) else 4
    unit = 'as a ratio' if study.is_ratio else f'in {difference_unit(study.metric, study.scale)}'
    title = f'gap to standard runs at equivalent lengths, {study.metric}, {unit}'
    headers = ['method', 'kind', 'gap as trained', 'distance', 'gap there', 'distance', 'seeds']
    rows = []
    for key, there in placed.items():
        gaps = [there]
        if key in measured:
            both = np.intersect1d(measured[key].mean_count, there.mean_count)
            gaps = [replace(one, mean_count=both) for one in (measured[key], there)]
        cells = [
            cell for gap in gaps for cell in (_cell(study, gap.mean, 0, digits), number(mean_distance(gap), digits))
        ]
        rows.append([*key, *[''] * (4 - len(cells)), *cells, str(int(gaps[-1].mean.seeds[0]))])
    yield Table(title, headers, rows, 2)
    if points:
        rows = []
        for key, gap in placed.items():
            lengths = [float(f'{length:.3g}') for length in gap.position]
            labels = zip(*(count_labels(counts, study.axis) for counts in (gap.count.tolist(), lengths)), strict=True)
            rows += [[*key, *label, _cell(study, gap.each, i, digits - 1)] for i, label in enumerate(labels)]
        yield Table(
            f'{title}, at every point', ['method', 'kind', PLURALS[study.axis], 'stand for', 'gap there'], rows, 2
        )


def _cell(study: Study, found: Estimates, i: int, digits: int) -> str:
    value, low, high = (float(part[i]) for part in (found.value, found.low, found.high))
    if study.is_ratio:
        return with_interval(value, low, high, f'{{:.{digits}f}}'.format)
    return plus_minus(value, low, high, digits)
