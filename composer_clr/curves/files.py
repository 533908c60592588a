"""Curves read from the paths of a command, and the curves that one record holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.long_csv import read_long_csv
from composer_clr.curves.names import METRIC_SETS

__all__ = ['read_sources', 'split_extended', 'with_metric_sets']


def read_sources(
    paths: Iterable[str | os.PathLike[str]], *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Reads every curve in files and folders.

    Folders are searched to any depth for ``curve.json``, also behind links; a CSV or TSV is read where it is named. A
    file that two paths lead to is read once. Of a standard run that was made longer come two curves
    (:func:`split_extended`).

    Args:
        paths (Iterable[str | PathLike]): Files and folders.
        strict (bool): Whether the first bad file raises. Default: ``False``.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The curves, in the order of the paths and of names within a
        folder, and the errors of the files that could not be read.

    Raises:
        CurveError: If no curve can be read, or one cannot and ``strict``.
    """
    curves: list[TradeoffCurve] = []
    errors: list[CurveError] = []
    read: set[Path] = set()
    for file in (file for path in paths for file in _files(Path(path))):
        try:
            if isinstance(file, CurveError):
                raise file
            if file.resolve() in read:
                continue
            read.add(file.resolve())
            is_table = file.suffix.lower() in ('.csv', '.tsv')
            curves.extend(read_long_csv(file) if is_table else split_extended(TradeoffCurve.read(file)))
        except CurveError as error:
            if strict:
                raise
            errors.append(error)
    if not curves:
        raise errors[0] if errors else CurveError('no runs are named: give curve.json files, folders or long CSVs')
    return curves, errors


def _files(path: Path) -> Iterator[Path | CurveError]:
    """Yields a file, or a folder's curves at any depth by name, also behind links, and errors for what is not read."""
    if not path.is_dir():
        yield path if path.exists() else CurveError(f'{path}: no such file or folder')
        return
    unread: list[OSError] = []
    entered: set[str] = set()
    found = []
    for folder, below, files in os.walk(path, onerror=unread.append, followlinks=True):
        # A link may lead to a folder above it.
        real = os.path.realpath(folder)
        if real in entered:
            below.clear()
        entered.add(real)
        found.extend(Path(folder, name) for name in files if name == CURVE_FILE)
    yield from sorted(found)
    yield from (CurveError(f'{error.filename}: cannot be read ({error.strerror})') for error in unread)
    if not found and not unread:
        yield CurveError(f'{path}: no {CURVE_FILE} in this folder: name a folder that holds runs')


def split_extended(curve: TradeoffCurve) -> list[TradeoffCurve]:
    """Separates the points that were reached through an earlier decay, as a curve of the kind ``standard-extended``.

    A standard run that was made longer has two decays behind its later points, so these are not points of the standard
    curve.

    Args:
        curve (TradeoffCurve): Any run.

    Returns:
        list[TradeoffCurve]: The curve alone where it was not made longer; else its part up to the first point marked
        ``own_decay``, and the rest.
    """
    shared = next((i + 1 for i, point in enumerate(curve.points) if point.own_decay), len(curve.points))
    later = curve.of_points(curve.points[shared:], kind=f'{curve.run.kind}-extended')
    return [curve.of_points(curve.points[:shared]), later] if later.points else [curve]


def with_metric_sets(curves: Iterable[TradeoffCurve]) -> list[TradeoffCurve]:
    """Returns the curves, and after each a further one for every second set of metrics, as of averaged weights.

    The further curve is of the kind ``{kind}-{set}``, such as ``cyclic-averaged``, and its metrics have the plain
    names, so that it is compared with the plain ones and drawn beside them. Its times are those of the same run; where
    a set took training of its own, each point is a branch off the run, with the time and batches of both.

    Example:
        >>> from composer_clr.curves.curve import Run, TradeoffPoint
        >>> both = {'eval/accuracy': 0.7, 'averaged/eval/accuracy': 0.8}
        >>> point = TradeoffPoint(0, 16.0, 100, 0, 0, 60.0, 61.0, 0.0, both, both)
        >>> of_average = with_metric_sets([TradeoffCurve(Run('demo', 'cyclic', 'baseline'), [point])])[1]
        >>> of_average.run.kind, of_average.points[0].metrics
        ('cyclic-averaged', {'eval/accuracy': 0.8})
    """
    expanded = []
    for curve in curves:
        expanded.append(curve)
        for name in METRIC_SETS:
            points = [
                replace(point, metrics=metrics, peak_metrics=_of_set(point.peak_metrics, name))
                for point in curve.points
                if (metrics := _of_set(point.metrics, name))
            ]
            further = curve.of_points(points, kind=f'{curve.run.kind}-{name}')
            if any(name in point.extra for point in points):
                expanded.extend(_branch(further, point, name) for point in points)
            elif points:
                expanded.append(further)
    return expanded


def _of_set(metrics: dict[str, float], name: str) -> dict[str, float]:
    return {key.removeprefix(f'{name}/'): value for key, value in metrics.items() if key.startswith(f'{name}/')}


def _branch(curve: TradeoffCurve, point: TradeoffPoint, name: str) -> TradeoffCurve:
    counts = {axis: getattr(point, axis) for axis in ('epoch', 'batch', 'sample', 'token')}
    parent = {'run_name': curve.run.run_name, **counts, 'wall_clock_train_s': point.wall_clock_train_s}
    extra = point.extra.get(name, {})
    time_s, batch = point.wall_clock_train_s + extra.get('train_s', 0.0), point.batch + round(extra.get('batches', 0))
    reached = replace(point, wall_clock_train_s=time_s, batch=batch)
    return curve.of_points([reached], run_name=f'{curve.run.run_name}-cycle{point.cycle}', parent=parent)
