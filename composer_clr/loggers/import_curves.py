"""Curves of the runs that loggers have kept, whatever the logger: read, in one unit of time, and told apart."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.loggers.history import RunFilter, RunHistory
from composer_clr.loggers.recovered_curve import ClockUnit, Keys, LoggedRun, wanted

__all__ = ['import_curves']

_Reader = Callable[[str, RunFilter, Callable[[str], bool]], tuple[list[RunHistory], list[CurveError]]]


def import_curves(
    read: _Reader, sources: Sequence[str], keys: Keys, keep: RunFilter, *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Recovers the curves of many runs, with a progress bar on stderr.

    Times under one key are in one unit. Runs whose config says nothing of their method are of the method ``baseline``
    if they share a name; otherwise their names are their methods, which is a warning.

    W&B may write the end of an offline run after ``wandb.finish()`` has returned; in the process that trained it, call
    ``wandb.teardown()`` first.

    Args:
        read (Callable): Reads the selected runs of a source, such as
            :func:`~composer_clr.loggers.wandb_runs.wandb_runs`.
        sources (Sequence[str]): The sources.
        keys (Keys): The keys to read.
        keep (RunFilter): Which runs to take.
        strict (bool): Raise at the first run without a curve. Default: ``False``.

    Returns:
        tuple[list[TradeoffCurve], list[CurveError]]: The curves, and an error for each other run.

    Raises:
        CurveError: If no run has a curve, their times are not in one unit, or ``strict`` and one run has no curve.
    """
    runs, errors = list[LoggedRun](), list[CurveError]()
    for source in sources:
        histories, unread = read(source, keep, wanted(keys))
        runs += [LoggedRun(history, keys) for history in histories]
        errors += unread
    units = _common_units(runs)
    recovered: list[tuple[LoggedRun, TradeoffCurve]] = []
    for run in runs:
        try:
            recovered.append((run, run.curve(units.get(run.time_key))))
        except CurveError as error:
            errors.append(error)
    curves = _told_apart(recovered, errors)
    if errors and strict:
        raise errors[0]
    if not curves:
        raise CurveError('; '.join(map(str, errors)) or f'{", ".join(sources)}: no run passes the filters')
    return curves, errors


def _common_units(runs: Iterable[LoggedRun]) -> dict[str, ClockUnit]:
    """Returns the unit of each key of times: that of all runs in which the logger's clock shows it."""
    found: dict[str, dict[ClockUnit, LoggedRun]] = defaultdict(dict)
    for run in runs:
        with suppress(CurveError):
            found[run.time_key].setdefault(run.unit, run)
    for key, units in found.items():
        if len(units) > 1:
            listed = ', '.join(f'{unit} in {run}' for unit, run in units.items())
            raise CurveError(
                f"{key!r} seems to be in different units by the logger's clock, {listed}: pass --time-unit, and import "
                'runs of another unit by themselves'
            )
    return {key: next(iter(units)) for key, units in found.items() if units}


def _told_apart(recovered: Sequence[tuple[LoggedRun, TradeoffCurve]], errors: list[CurveError]) -> list[TradeoffCurve]:
    """Names the methods of runs that do not say theirs, and leaves out separate runs that only a seed would tell apart.

    Of other kinds, the long CSV refuses a second run of a kind, method and seed.
    """
    unnamed = [curve for run, curve in recovered if run.method is None]
    if len({curve.run.run_name for curve in unnamed}) > 1:
        for curve in unnamed:
            curve.run = replace(curve.run, method=curve.run.run_name)
        warnings.warn(
            f'{len(unnamed)} runs logged no algorithms: the method of each is its name; name the key of the method in '
            'their config (--method-key) for another',
            UserWarning,
            stacklevel=3,
        )
    kept: list[TradeoffCurve] = []
    seen: dict[tuple[object, ...], TradeoffCurve] = {}
    for _, curve in recovered:
        run, last = curve.run, curve.points[-1]
        key = (run.method, last.epoch, last.batch) if run.kind == 'standard' and run.seed is None else (id(curve),)
        if seen.setdefault(key, curve) is curve:
            kept.append(curve)
            continue
        errors.append(
            CurveError(
                f'runs {seen[key].place!r} and {curve.place!r} are both standard, {run.method}, of one length and '
                'without a seed in their config: log it as seed, or name their methods (--method-key)'
            )
        )
    return kept
