"""Curves from Weights & Biases: the runs of a project, or of folders written offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.utils.errors import printable
from composer_clr.wandb_io.history import (
    Keys,
    RunFilter,
    RunHistory,
    find_runs,
    read_histories,
    read_history,
    run_files,
    wanted,
)
from composer_clr.wandb_io.recovered_curve import recovered_curve

__all__ = ['import_curves']

T = TypeVar('T')


def import_curves(
    sources: Sequence[str], keys: Keys, keep: RunFilter, *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Recovers the curves of many runs, with a progress bar on stderr.

    W&B may write the end of an offline run after ``wandb.finish()`` has returned; in the process that trained it, call
    ``wandb.teardown()`` first.

    Args:
        sources (Sequence[str]): Each an existing path (an offline run folder such as ``wandb/offline-run-...``, or a
            folder with some at any depth), or a project ``ENTITY/PROJECT``.
        keys (Keys): The keys to read.
        keep (RunFilter): Which runs to take.
        strict (bool): Raise at the first run without a curve. Default: ``False``.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The curves, and an error for each other run.

    Raises:
        CurveError: If no run has a curve, or ``strict`` and one run does not.
    """
    histories: list[RunHistory] = []
    errors: list[CurveError] = []
    for source in sources:
        read = _offline if Path(source).exists() else _online
        found, unread = read(source, keys, keep)
        histories += found
        errors += unread
    curves: list[TradeoffCurve] = []
    for history in histories:
        try:
            curves.append(recovered_curve(history, keys))
        except CurveError as error:
            errors.append(error)
    if errors and (strict or not curves):
        raise errors[0]
    if not curves:
        raise CurveError(f'{", ".join(sources)}: no run passes the filters')
    return curves, errors


def _offline(source: str, keys: Keys, keep: RunFilter) -> tuple[list[RunHistory], list[CurveError]]:
    files = run_files(Path(source))
    if not files:
        raise CurveError(f'{source}: no .wandb file in this folder: name a folder written by W&B offline')
    histories, errors = read_histories(_progress(files, source), wanted(keys))
    return [history for history in histories if keep(history)], errors


def _online(source: str, keys: Keys, keep: RunFilter) -> tuple[list[RunHistory], list[CurveError]]:
    if source.count('/') != 1:
        raise CurveError(f'{source}: must be an existing path or ENTITY/PROJECT')
    runs = find_runs(source, keep)
    histories, errors = [], []
    for run in _progress(runs, source):
        try:
            histories.append(read_history(run, wanted(keys)))
        except CurveError as error:
            errors.append(error)
    return histories, errors


def _progress(items: Sequence[T], source: str) -> Iterable[T]:
    return track(items, description=escape(printable(source)), console=Console(stderr=True), transient=True)
