"""The names under which a curve is logged, and what happens where logging fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from composer_clr.curves.curve import TradeoffCurve, TradeoffPoint

__all__ = ['PREFIX', 'errors_as_warnings', 'point_line', 'point_numbers', 'point_values', 'points_table']

PREFIX = 'pareto/'


@contextmanager
def errors_as_warnings(destination: str) -> Iterator[None]:
    """Turns any error of a logger into a warning: a point that it lost is still in ``curve.json``."""
    try:
        yield
    except Exception as error:
        warnings.warn(
            f'{destination} failed ({type(error).__name__}: {error}): training goes on, and its points are kept in '
            'curve.json',
            RuntimeWarning,
            stacklevel=3,
        )


def point_values(point: TradeoffPoint) -> dict[str, float | None]:
    """Returns a point as a row of names and values."""
    place = {
        'cycle': point.cycle,
        'epoch': point.epoch,
        'wall_clock_train_s': point.wall_clock_train_s,
        'lr': point.lr,
    }
    return {**place, **point.metrics, **{f'peak/{name}': value for name, value in point.peak_metrics.items()}}


def points_table(curve: TradeoffCurve) -> tuple[list[str], list[list[float | None]]]:
    """Returns all points as a table: its columns, and a row per point with ``None`` for what was not measured."""
    values = [point_values(point) for point in curve.points]
    columns = list(dict.fromkeys(name for row in values for name in row))
    return columns, [[row.get(name) for name in columns] for row in values]


def point_numbers(point: TradeoffPoint) -> dict[str, Any]:
    """Returns the measured values of a point, by the names that they are logged under."""
    return {f'{PREFIX}{name}': value for name, value in point_values(point).items() if value is not None}


def point_line(point: TradeoffPoint) -> str:
    """Returns a point on one line, for a console.

    Example:
        >>> point_line(TradeoffPoint(0, 0.5, 64, 1024, 65536, 12.5, 13.0, 0.0, {'eval/CrossEntropy': 2.5}, {}))
        'cycle=0, epoch=0.5, batch=64, wall_clock_train_s=12.5, lr=0, eval/CrossEntropy=2.5'
    """
    values = point_values(point)
    numbers = {'cycle': values.pop('cycle'), 'epoch': values.pop('epoch'), 'batch': point.batch, **values}
    return ', '.join(f'{name}={value:.6g}' for name, value in numbers.items() if value is not None)
