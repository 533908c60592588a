"""Curves from Weights & Biases: the runs of a project, or of folders written offline."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.loggers.recovered_curve import (
    ClockUnit,
    Keys,
    logged_method,
    logged_unit,
    recovered_curve,
    time_key,
    wanted,
)
from composer_clr.loggers.wandb_runs import RunFilter, RunHistory, offline_runs, online_runs

__all__ = ['import_curves']


def import_curves(
    sources: Sequence[str], keys: Keys, keep: RunFilter, *, strict: bool = False
) -> tuple[list[TradeoffCurve], list[CurveError]]:
    """Recovers the curves of many runs, with a progress bar on stderr.

    Times under one key are in one unit. Runs whose config says nothing of their method are of the method ``baseline``
    if they share a name; otherwise their names are their methods, which is a warning.

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
        CurveError: If no run has a curve, their times are not in one unit, or ``strict`` and one run has no curve.
    """
    histories: list[RunHistory] = []
    errors: list[CurveError] = []
    for source in sources:
        path, want = Path(source), wanted(keys)
        found, unread = offline_runs(path, keep, want) if path.exists() else online_runs(source, keep, want)
        histories += found
        errors += unread
    units = {} if keys.time_unit is not None else _common_units(histories, keys)
    recovered: list[tuple[RunHistory, TradeoffCurve]] = []
    for history in histories:
        try:
            unit = keys.time_unit or units.get(time_key(history, keys))
            recovered.append((history, recovered_curve(history, replace(keys, time_unit=unit))))
        except CurveError as error:
            errors.append(error)
    curves = _told_apart(recovered, keys, errors)
    if errors and strict:
        raise errors[0]
    if not curves:
        raise CurveError('; '.join(map(str, errors)) or f'{", ".join(sources)}: no run passes the filters')
    return curves, errors


def _common_units(histories: Iterable[RunHistory], keys: Keys) -> dict[str, ClockUnit]:
    """Returns the unit of each key of times: that of all runs in which W&B's clock shows it."""
    found: dict[str, dict[ClockUnit, RunHistory]] = defaultdict(dict)
    for history in histories:
        with suppress(CurveError):
            unit = logged_unit(history, key := time_key(history, keys))
            found[key].setdefault(unit, history)
    for key, units in found.items():
        if len(units) > 1:
            listed = ', '.join(f'{unit} in {history}' for unit, history in units.items())
            raise CurveError(
                f"{key!r} seems to be in different units by W&B's clock, {listed}: pass --time-unit, and import runs "
                'of another unit by themselves'
            )
    return {key: next(iter(units)) for key, units in found.items()}


def _told_apart(
    recovered: Sequence[tuple[RunHistory, TradeoffCurve]], keys: Keys, errors: list[CurveError]
) -> list[TradeoffCurve]:
    """Names the methods of runs that do not say theirs, and leaves out separate runs that only a seed would tell apart.

    Of other kinds, the long CSV refuses a second run of a kind, method and seed.
    """
    unnamed = [curve for history, curve in recovered if logged_method(history, keys) is None]
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
