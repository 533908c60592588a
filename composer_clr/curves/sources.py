"""Curves read from the paths of a command: ``curve.json`` files, folders searched for them, long CSVs."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve
from composer_clr.curves.extended_runs import split_extended
from composer_clr.curves.long_csv import read_long_csv

__all__ = ['check_size', 'read_sources']

# Beyond these, tables and figures take minutes and nobody can read them.
_MOST_POINTS = 2000
_LONGEST_NAME = 1000


def read_sources(
    paths: Iterable[str | os.PathLike[str]], *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Reads every curve in files and folders.

    Folders are searched to any depth for ``curve.json``, also behind links; a CSV is read where it is named. A file
    that two paths lead to is read once. The later points of a standard run that was made longer come as a curve of
    their own kind.

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
    for file in _files(map(Path, paths)):
        if isinstance(file, CurveError):
            errors.append(file)
        elif file.resolve() not in read:
            read.add(file.resolve())
            try:
                if file.suffix.lower() == '.csv':
                    curves.extend(read_long_csv(file))
                else:
                    curves.extend(split_extended(TradeoffCurve.read(file)))
            except CurveError as error:
                errors.append(error)
        if errors and strict:
            raise errors[0]
    if not curves:
        raise errors[0] if errors else CurveError('no runs are named: give curve.json files, folders or long CSVs')
    return curves, errors


def check_size(curves: Iterable[TradeoffCurve]) -> None:
    """Refuses curves that are too large to compare or draw.

    Raises:
        CurveError: If a method has more than 2,000 points of one kind, or a name is longer than 1,000 characters.
    """
    epochs: dict[tuple[str, str], set[float]] = defaultdict(set)
    for curve in curves:
        run = curve.run
        metrics = {name for point in curve.points for name in (*point.metrics, *point.peak_metrics)}
        for name in (run.run_name, run.method, run.kind, *metrics):
            if len(name) > _LONGEST_NAME:
                raise CurveError(
                    f'{(curve.source or name)[:200]}: the name {name[:20] + "..."!r} has {len(name):,} characters: '
                    f'shorten it to {_LONGEST_NAME:,} at most'
                )
        epochs[run.method, run.kind].update(
            point.batch if point.epoch is None else point.epoch for point in curve.points
        )
    for (method, kind), found in epochs.items():
        if len(found) > _MOST_POINTS:
            raise CurveError(
                f'{method}, {kind}: {len(found):,} points, one curve may have {_MOST_POINTS:,} at most: name fewer '
                'runs, or export them and keep fewer rows'
            )


def _files(paths: Iterable[Path]) -> Iterator[Path | CurveError]:
    for path in paths:
        if not path.is_dir():
            yield path if path.exists() else CurveError(f'{path}: no such file or folder')
            continue
        found = list(_curve_files(path))
        yield from found
        if not found:
            yield CurveError(f'{path}: no {CURVE_FILE} in this folder: name a folder that holds runs')


def _curve_files(folder: Path) -> Iterator[Path | CurveError]:
    """Yields the curves at any depth by name, also behind links, and an error for each folder that cannot be read."""
    unread: list[OSError] = []
    entered: set[str] = set()
    found = []
    for path, folders, files in os.walk(folder, onerror=unread.append, followlinks=True):
        # A link may lead to a folder above it.
        real = os.path.realpath(path)
        if real in entered:
            folders.clear()
        entered.add(real)
        found.extend(Path(path, name) for name in files if name == CURVE_FILE)
    yield from sorted(found)
    yield from (CurveError(f'{error.filename}: cannot be read ({error.strerror})') for error in unread)
