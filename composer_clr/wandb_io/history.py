"""Curves recovered from the histories of Weights & Biases runs, whatever schedule they had and with no callback."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.kinds import run_kind
from composer_clr.curves.methods import method_name
from composer_clr.curves.peak_window import PeakWindow
from composer_clr.wandb_io.logged_troughs import Trough, find_troughs

__all__ = ['ClockUnit', 'Keys', 'RunHistory', 'recovered_curve', 'wanted']

ClockUnit = Literal['seconds', 'minutes', 'hours', 'days']

# What this package logs itself, which a recovered curve does not rest on.
_OWN = ('pareto/', 'pareto-by-epoch/')
_METRICS, _TRAINING_METRICS = 'metrics/', 'metrics/train/'
_TIMES = ('time/train', 'wall_clock/train')
_EPOCH, _LOGGED_AT = 'time/epoch', '_timestamp'
_RATE = re.compile(r'(^|[^a-z])(lr|learning[-_ ]?rate)([^a-z]|$)', re.IGNORECASE)
_SECONDS: dict[ClockUnit, int] = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400}
# How far before a trough an evaluation still stands for it, as a part of the cycle's length.
_NEAR = 0.05

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Keys:
    """Which keys of a run tell what; what is not said is told from the names that Composer's callbacks log under.

    Attributes:
        lr (str | None): The learning rate. Default: ``None``, ``lr-{optimizer}/group0`` as ``LRMonitor`` logs it, or
            any key with the word ``lr`` or ``learning_rate`` in it.
        time (str | None): Training time. Default: ``None``, ``SpeedMonitor``'s ``time/train`` or ``wall_clock/train``.
        time_unit (ClockUnit | None): Its unit. Default: ``None``, the largest in which it does not go faster than W&B's
            own clock.
        metrics (tuple[str, ...]): The metrics. Default: none named, all under ``metrics/`` but ``metrics/train/``.
        method (str | None): The method, in the run's config, levels separated by dots. Default: ``None``, made of the
            algorithms that Composer logs as ``enabled_algorithms/...``.
        batches_per_epoch (float | None): Default: ``None``, told from ``time/epoch``.
        window_epochs (float): How far before a trough its best value is looked for, >= 0, never before the cycle's
            restart. Default: ``0.0``.
    """

    lr: str | None = None
    time: str | None = None
    time_unit: ClockUnit | None = None
    metrics: tuple[str, ...] = ()
    method: str | None = None
    batches_per_epoch: float | None = None
    window_epochs: float = 0.0

    def __post_init__(self) -> None:
        if self.time_unit is not None and self.time_unit not in get_args(ClockUnit):
            raise CurveError(f'time unit {self.time_unit!r}: give one of {", ".join(get_args(ClockUnit))}')
        if not 0 <= self.window_epochs < math.inf:
            raise CurveError(f'a window of {self.window_epochs} epochs: give 0 or more')
        if self.batches_per_epoch is not None and not 0 < self.batches_per_epoch < math.inf:
            raise CurveError(f'{self.batches_per_epoch} batches an epoch: give a number above 0')


@dataclass
class RunHistory:
    """What a W&B run holds, as far as a curve needs it.

    Attributes:
        run_id (str): W&B's id.
        name (str): Its display name.
        group (str): Its group; empty for none.
        tags (tuple[str, ...]): Its tags.
        config (dict): Its config.
        series (dict[str, tuple[Array, Array]]): By key, the steps at which it was logged, in order, and its values.
    """

    run_id: str
    name: str
    group: str = ''
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'run {self.name!r} ({self.run_id})'

    def setting(self, key: str) -> Any:
        """A value of the config by its key, or by the keys of its levels joined with dots; ``None`` for none."""
        if key in self.config:
            return self.config[key]
        value: Any = self.config
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def wanted(keys: Keys) -> Callable[[str], bool]:
    """Which keys of a history to read at all: a run of days holds millions of other values."""
    named = {key for key in (keys.lr, keys.time, *keys.metrics, _EPOCH, _LOGGED_AT) if key is not None}

    def want(key: str) -> bool:
        if key.startswith(_OWN):
            return False
        return key in named or key in _TIMES or _is_metric(key) or bool(_RATE.search(key))

    return want


def recovered_curve(history: RunHistory, keys: Keys) -> TradeoffCurve:
    """Recover the curve of a run that logged its learning rate, training time and metrics.

    A point lies at each trough of the learning rate (:func:`~composer_clr.wandb_io.logged_troughs.find_troughs`). Its
    metrics are those evaluated at the trough, which is no later than the rate's next rise; where there were none, the
    last before it, at most a twentieth of the cycle away. A trough without any has no point. Time is interpolated
    between the two batches that it was logged at.

    Args:
        history (RunHistory): The run; its steps are batches, as Composer logs.
        keys (Keys): Which keys tell what.

    Raises:
        CurveError: If the run lacks what a curve needs, or has no trough with metrics.
    """
    lr = history.series[_rate_key(history, keys)]
    time = _seconds(history, keys)
    metrics = {_metric_name(key): history.series[key] for key in _metric_keys(history, keys)}
    per_epoch = keys.batches_per_epoch or _batches_per_epoch(history)
    troughs = find_troughs(*lr)
    if not troughs:
        raise CurveError(f'{history}: its learning rate has no trough: a run that was cut before one has no point')
    window = round(keys.window_epochs * per_epoch)
    points = list(_points(troughs, metrics, time, per_epoch, window))
    if not points:
        raise CurveError(f'{history}: nothing was evaluated at its {len(troughs)} troughs')
    run = Run(
        run_name=history.name,
        kind=history.setting('pareto.kind') or run_kind(len(troughs)),
        method=_method(history, keys),
        seed=_seed(history),
    )
    return TradeoffCurve(run, points)


def _points(
    troughs: list[Trough], metrics: Mapping[str, Series], time: Series, per_epoch: float, window: int
) -> Iterator[TradeoffPoint]:
    for cycle, trough in enumerate(troughs):
        evaluated = {name: _evaluated(trough, steps) for name, (steps, _) in metrics.items()}
        at_trough = {name: float(metrics[name][1][i]) for name, i in evaluated.items() if i is not None}
        if not at_trough:
            continue
        batch = max(trough.time, *(float(metrics[name][0][i]) for name, i in evaluated.items() if i is not None))
        time_s = float(np.interp(batch, *time))
        yield TradeoffPoint(
            cycle=cycle,
            epoch=batch / per_epoch,
            batch=round(batch),
            sample=0,
            token=0,
            wall_clock_train_s=time_s,
            wall_clock_total_s=math.nan,
            lr=trough.lr,
            metrics=at_trough,
            peak_metrics=_peaks(trough, batch, metrics, at_trough, window),
        )


def _evaluated(trough: Trough, steps: NDArray[np.float64]) -> int | None:
    """Which of a metric's evaluations is the trough's: the first from it on, else the last shortly before it."""
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


def _rate_key(history: RunHistory, keys: Keys) -> str:
    if keys.lr is not None:
        return _present(history, keys.lr, 'learning rate', '--lr-key')
    found = sorted(key for key in history.series if _RATE.search(key))
    # The first parameter group stands for the others, as it does in curve.json.
    found.sort(key=lambda key: not (key.startswith('lr-') and key.endswith('/group0')))
    if not found:
        raise CurveError(f"{history}: it logged no learning rate: add Composer's LRMonitor, or name the key (--lr-key)")
    return found[0]


def _metric_keys(history: RunHistory, keys: Keys) -> list[str]:
    if keys.metrics:
        return [_present(history, key, 'metric', '--metric') for key in keys.metrics]
    found = [key for key in history.series if _is_metric(key)]
    if not found:
        raise CurveError(f'{history}: it logged no metric of an evaluation under metrics/: name the keys (--metric)')
    return found


def _present(history: RunHistory, key: str, what: str, option: str) -> str:
    if key not in history.series:
        raise CurveError(f'{history}: it logged no {key!r}: name the key of its {what} ({option})')
    return key


def _is_metric(key: str) -> bool:
    return key.startswith(_METRICS) and not key.startswith(_TRAINING_METRICS)


def _metric_name(key: str) -> str:
    """Composer logs ``metrics/eval/accuracy`` for the accuracy of the evaluator ``eval``."""
    return key.removeprefix(_METRICS)


def _seconds(history: RunHistory, keys: Keys) -> Series:
    if keys.time is not None:
        key = _present(history, keys.time, 'training time', '--time-key')
    else:
        key = next((key for key in _TIMES if key in history.series), None)
        if key is None:
            raise CurveError(
                f"{history}: it logged no training time: add Composer's SpeedMonitor, or name the key (--time-key)"
            )
    steps, times = history.series[key]
    return steps, times * _SECONDS[keys.time_unit or _unit(history, key)]


def _unit(history: RunHistory, key: str) -> ClockUnit:
    """SpeedMonitor's unit is not logged, but W&B notes by its own clock, in seconds, when each row was.

    Of that time training is a part, mostly the larger one; units lie 24 and 60 times apart.
    """
    steps, times = history.series[key]
    at, logged = history.series.get(_LOGGED_AT, (np.array([]), np.array([])))
    _, here, there = np.intersect1d(steps, at, return_indices=True)
    trained_for, took_s = np.diff(times[here]), np.diff(logged[there])
    moved = (trained_for > 0) & (took_s > 0)
    if not moved.any():
        raise CurveError(f'{history}: the unit of {key!r} cannot be told: give it (--time-unit)')
    pace = float(np.median(took_s[moved] / trained_for[moved]))
    # A batch's clock may stop a little after W&B's.
    fitting: list[ClockUnit] = [unit for unit, seconds in _SECONDS.items() if seconds <= 2 * pace]
    if not fitting:
        raise CurveError(f'{history}: {key!r} goes faster than the clock: give its unit (--time-unit)')
    return fitting[-1]


def _batches_per_epoch(history: RunHistory) -> float:
    """From the steps at which Composer logs that an epoch starts."""
    steps, epochs = history.series.get(_EPOCH, (np.array([]), np.array([])))
    lengths = [float(steps[i] / epochs[i]) for i in range(len(steps)) if epochs[i] >= 1]
    if not lengths:
        raise CurveError(
            f'{history}: the length of its epochs cannot be told from {_EPOCH!r}: give it (--batches-per-epoch)'
        )
    # The end of training logs its epoch too, later than it started.
    return min(lengths)


def _method(history: RunHistory, keys: Keys) -> str:
    if keys.method is not None:
        named = history.setting(keys.method)
        if named is None:
            raise CurveError(f'{history}: its config has no {keys.method!r}: name the key of its method (--method-key)')
        return str(named)
    named = history.setting('pareto.method')
    prefix = 'enabled_algorithms/'
    enabled = [key.removeprefix(prefix) for key, on in history.config.items() if key.startswith(prefix) and on]
    return str(named) if named is not None else method_name(enabled)


def _seed(history: RunHistory) -> int | None:
    seeds = (history.setting(key) for key in ('rank_zero_seed', 'seed'))
    return next((seed for seed in seeds if type(seed) is int), None)
