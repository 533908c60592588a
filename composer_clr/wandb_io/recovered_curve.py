"""Curves recovered from the histories of Weights & Biases runs with any schedule, without our callback."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import has_marks, method_name, run_kind
from composer_clr.curves.peaks import PeakWindow
from composer_clr.utils.errors import one_line
from composer_clr.wandb_io.history import (
    EPOCH,
    LOGGED_AT,
    SAMPLE,
    TIMES,
    TOKEN,
    ClockUnit,
    Keys,
    RunHistory,
    Series,
    metric_keys,
    metric_name,
    present,
    rate_key,
)
from composer_clr.wandb_io.logged_troughs import Trough, find_troughs, part_at_peak

__all__ = ['recovered_curve']

_SECONDS: dict[ClockUnit, int] = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400}
# An evaluation at most this part of a cycle before its trough counts as the trough's.
_NEAR = 0.05


def recovered_curve(history: RunHistory, keys: Keys) -> TradeoffCurve:
    """Recovers the curve of a run that logged its learning rate, training time and metrics, with batches as steps.

    A point lies at each trough of the learning rate (:func:`~composer_clr.wandb_io.logged_troughs.find_troughs`). Its
    metrics are those of the first evaluation at or after the trough and before the rate rises again; otherwise those of
    the last evaluation before it, at most a twentieth of the cycle earlier. Time is interpolated between the two
    batches at which it was logged; within one more such interval after the last, it goes on at the last pace. A trough
    without an evaluation or a time has no point, which is a warning; a run without a point, or without what one needs,
    is a CurveError. A run that did not log its kind is ``wsd-s`` if the rate stays at its peak for a tenth of the last
    cycle or longer.
    """
    history = _from_the_first_batch(history, keys.first_step)
    lr = history.series[rate_key(history, keys)]
    time = _seconds(history, keys)
    metrics = {metric_name(key): history.series[key] for key in metric_keys(history, keys)}
    per_epoch = keys.batches_per_epoch or _batches_per_epoch(history)
    kind = history.setting('pareto.kind')
    if kind is not None and has_marks(str(kind)):
        raise CurveError(f'{history}: points of the kind {kind!r} are at marks, not at troughs: read its curve.json')
    troughs = find_troughs(*lr)
    if not troughs:
        raise CurveError(f'{history}: its learning rate has no trough: constant, or stopped before its first one')
    if per_epoch is None and keys.window_epochs:
        raise CurveError(f'{history}: a window in epochs needs the length of an epoch: pass --batches-per-epoch')
    window = round(keys.window_epochs * (per_epoch or 0.0))
    counts = {key: history.series[key] for key in (SAMPLE, TOKEN) if key in history.series}
    try:
        points = list(_points(troughs, metrics, time, per_epoch, window, counts))
    except (ValueError, OverflowError) as error:
        raise CurveError(f'{history}: its steps, samples or tokens are not counts ({one_line(error)[:200]})') from error
    if not points:
        raise CurveError(f'{history}: no evaluation with a training time at any of its {len(troughs)} troughs')
    found = {point.cycle for point in points}
    _note_missing(history, [trough for cycle, trough in enumerate(troughs) if cycle not in found], per_epoch)
    run = Run(
        run_name=history.name,
        kind=kind or run_kind(len(troughs), {'t_hold': part_at_peak(*lr, troughs[-1])}),
        method=_method(history, keys),
        seed=_seed(history),
        world_size=None,
    )
    curve = TradeoffCurve(run, points)
    # Runs may share a name.
    curve.source = f'{history.name} ({history.run_id})'
    return curve


def _from_the_first_batch(history: RunHistory, first_step: float) -> RunHistory:
    """Returns the history with steps that count batches from 1."""
    return replace(history, series={key: (at + 1 - first_step, values) for key, (at, values) in history.series.items()})


def _note_missing(history: RunHistory, missing: list[Trough], per_epoch: float | None) -> None:
    if missing:
        unit, each = ('batch', 1.0) if per_epoch is None else ('epoch', per_epoch)
        places = ', '.join(f'{trough.time / each:.4g}' for trough in missing)
        warnings.warn(
            f'{history}: no evaluation with a training time at the {"trough" if len(missing) == 1 else "troughs"} at '
            f'{unit} {places}: no point there',
            UserWarning,
            stacklevel=3,
        )


def _points(
    troughs: list[Trough],
    metrics: Mapping[str, Series],
    time: Series,
    per_epoch: float | None,
    window: int,
    counts: Mapping[str, Series],
) -> Iterator[TradeoffPoint]:
    for cycle, trough in enumerate(troughs):
        evaluated = {name: _evaluated(trough, steps) for name, (steps, _) in metrics.items()}
        at_trough = {name: float(metrics[name][1][i]) for name, i in evaluated.items() if i is not None}
        if not at_trough:
            continue
        batch = max(trough.time, *(float(metrics[name][0][i]) for name, i in evaluated.items() if i is not None))
        time_s = _time_at(batch, time)
        if time_s is None:
            continue
        yield TradeoffPoint(
            cycle=cycle,
            epoch=None if per_epoch is None else batch / per_epoch,
            batch=round(batch),
            sample=_count(counts.get(SAMPLE), batch),
            token=_count(counts.get(TOKEN), batch),
            wall_clock_train_s=time_s,
            wall_clock_total_s=math.nan,
            lr=trough.lr,
            metrics=at_trough,
            peak_metrics=_peaks(trough, batch, metrics, at_trough, window),
        )


def _time_at(batch: float, time: Series) -> float | None:
    """Returns the training time at a batch: between two that were logged, or at the last pace in the interval after."""
    steps, seconds = time
    if steps[0] > 0:
        steps, seconds = np.append(0.0, steps), np.append(0.0, seconds)
    beyond = batch - steps[-1]
    if beyond <= 0 or len(steps) < 2:
        return float(np.interp(batch, steps, seconds)) if beyond <= 0 else None
    interval, taken_s = steps[-1] - steps[-2], seconds[-1] - seconds[-2]
    return float(seconds[-1] + beyond / interval * taken_s) if beyond <= interval else None


def _evaluated(trough: Trough, steps: NDArray[np.float64]) -> int | None:
    """Returns the index of the trough's evaluation: the first from it on, else the last shortly before it."""
    first = int(np.searchsorted(steps, trough.time))
    if first < len(steps) and steps[first] < trough.until:
        return first
    near = max(trough.restart, trough.time - _NEAR * (trough.time - trough.restart))
    return first - 1 if first and steps[first - 1] > near else None


def _peaks(
    trough: Trough, batch: float, metrics: Mapping[str, Series], at_trough: Mapping[str, float], window: int
) -> dict[str, float]:
    peaks = PeakWindow(window, {})
    for name in at_trough:
        steps, values = metrics[name]
        for i in np.flatnonzero((steps > trough.restart) & (steps < batch)):
            peaks.note(int(steps[i]), {name: float(values[i])}, trough=round(batch))
    return peaks.peaks(at_trough)


def _seconds(history: RunHistory, keys: Keys) -> Series:
    if keys.time is not None:
        key = present(history, keys.time, 'training time', '--time-key')
    else:
        key = next((key for key in TIMES if key in history.series), None)
        if key is None:
            raise CurveError(
                f"{history}: did not log training time: add Composer's SpeedMonitor, or name its key (--time-key)"
            )
    steps, times = history.series[key]
    known = np.isfinite(times)
    if not known.any():
        raise CurveError(f'{history}: {key!r} has no finite value: name the key of its training time (--time-key)')
    return steps[known], times[known] * _SECONDS[keys.time_unit or _unit(history, key)]


def _unit(history: RunHistory, key: str) -> ClockUnit:
    """Returns the unit of a time: SpeedMonitor does not log its unit, but W&B logs its own clock, in seconds.

    Training is most of that time, and the units are at least 24 times apart.
    """
    steps, times = history.series[key]
    at, logged = history.series.get(LOGGED_AT, (np.array([]), np.array([])))
    _, here, there = np.intersect1d(steps, at, return_indices=True)
    trained, elapsed_s = np.diff(times[here]), np.diff(logged[there])
    advanced = (trained > 0) & (elapsed_s > 0)
    if not advanced.any():
        raise CurveError(f'{history}: the unit of {key!r} cannot be determined: pass --time-unit')
    pace = float(np.median(elapsed_s[advanced] / trained[advanced]))
    # A batch's clock may stop a little after W&B's.
    fitting: list[ClockUnit] = [unit for unit, seconds in _SECONDS.items() if seconds <= 2 * pace]
    if not fitting:
        raise CurveError(f'{history}: {key!r} is faster than the clock in any unit: pass --time-unit')
    return fitting[-1]


def _count(series: Series | None, batch: float) -> int:
    """Returns the samples or tokens after a batch, from those logged at the start of batches; 0 if none were."""
    if series is None or not len(series[0]):
        return 0
    steps, values = series
    if batch <= steps[-1] or steps[-1] <= 0:
        return round(float(np.interp(batch, steps, values)))
    # The last batch ends after the last start of one.
    return round(float(batch * values[-1] / steps[-1]))


def _batches_per_epoch(history: RunHistory) -> float | None:
    """Returns the batches per epoch, from the starts of epochs that Composer logs; ``None`` for less than an epoch."""
    steps, epochs = history.series.get(EPOCH, (np.array([]), np.array([])))
    lengths = [float(steps[i] / epochs[i]) for i in range(len(steps)) if epochs[i] >= 1]
    if not lengths and len(steps) and epochs.max() < 1:
        return None
    if not lengths:
        raise CurveError(
            f'{history}: the length of an epoch cannot be determined from {EPOCH!r}: pass --batches-per-epoch'
        )
    # The end of training logs its epoch too, later than it started.
    return min(lengths)


def _method(history: RunHistory, keys: Keys) -> str:
    if keys.method is not None:
        named = history.setting(keys.method)
        if named is None:
            raise CurveError(
                f'{history}: {keys.method!r} is not in its config: name the key of its method (--method-key)'
            )
        return str(named)
    named = history.setting('pareto.method')
    prefix = 'enabled_algorithms/'
    enabled = [key.removeprefix(prefix) for key, on in history.config.items() if key.startswith(prefix) and on]
    return str(named) if named is not None else method_name(enabled)


def _seed(history: RunHistory) -> int | None:
    seeds = (history.setting(key) for key in ('rank_zero_seed', 'seed'))
    return next((seed for seed in seeds if type(seed) is int), None)
