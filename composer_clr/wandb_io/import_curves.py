"""Curves out of Weights & Biases: the runs of a project, or of folders that were written offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.utils.text import printable
from composer_clr.wandb_io.history import Keys, RunHistory, recovered_curve, wanted
from composer_clr.wandb_io.offline import read_histories, run_files
from composer_clr.wandb_io.online import RunFilter, find_runs, read_history

__all__ = ['import_curves']

T = TypeVar('T')


def import_curves(
    sources: Sequence[str], keys: Keys, keep: RunFilter, *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Recover the curves of many runs, with a progress bar on stderr.

    Args:
        sources (Sequence[str]): Each an offline run folder (``wandb/offline-run-...``), a folder that holds some at any
            depth, or a project ``ENTITY/PROJECT``; what exists as a path is one.
        keys (Keys): Which keys tell what.
        keep (RunFilter): Which runs to take.
        strict (bool): Whether one run without a curve stops everything. Default: ``False``.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The curves, and what was wrong with the other runs, each named.

    Raises:
        CurveError: If there is no curve at all, or ``strict`` and one run has none.
    """
    histories: list[RunHistory] = []
    errors: list[CurveError] = []
    for source in sources:
        read = _offline if Path(source).exists() else _online
        found, wrong = read(source, keys, keep)
        histories += found
        errors += wrong
    curves: list[TradeoffCurve] = []
    for history in histories:
        try:
            curves.append(recovered_curve(history, keys))
        except CurveError as error:
            errors.append(error)
    if errors and (strict or not curves):
        raise errors[0]
    if not curves:
        raise CurveError(f'{", ".join(sources)}: no run is left by the filters')
    return curves, errors


def _offline(source: str, keys: Keys, keep: RunFilter) -> tuple[list[RunHistory], list[CurveError]]:
    files = run_files(Path(source))
    if not files:
        raise CurveError(f'{source}: no .wandb file in this folder: name one that W&B wrote offline')
    histories, errors = read_histories(_progress(files, source), wanted(keys))
    return [history for history in histories if keep(history)], errors


def _online(source: str, keys: Keys, keep: RunFilter) -> tuple[list[RunHistory], list[CurveError]]:
    if source.count('/') != 1:
        raise CurveError(f'{source}: neither a path that exists nor ENTITY/PROJECT')
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
