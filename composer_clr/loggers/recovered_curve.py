"""Curves recovered from what was logged of runs with any schedule, without our callback."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import has_marks, method_name, run_kind
from composer_clr.curves.peaks import PeakWindow
from composer_clr.loggers.history import LOGGED_AT, RunHistory, Series
from composer_clr.loggers.logged_troughs import Trough, find_troughs, part_at_peak
from composer_clr.utils.errors import one_line

__all__ = ['ClockUnit', 'Keys', 'LoggedRun', 'wanted']

ClockUnit = Literal['seconds', 'minutes', 'hours', 'days']
# Logged by this package; a recovered curve does not use it.
_OWN = ('pareto/', 'pareto-by-epoch/', 'pareto-by-second/')
_TIMES = ('time/train', 'wall_clock/train')
_EPOCH, _SAMPLE, _TOKEN = 'time/epoch', 'time/sample', 'time/token'
_RATE = re.compile(r'(^|[^a-z])(lr|learning[-_ ]?rate)([^a-z]|$)', re.IGNORECASE)
_SECONDS: dict[ClockUnit, int] = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400}
# An evaluation at most this part of a cycle before its trough counts as the trough's.
_NEAR = 0.05
# A resumed run repeats batches in another time: its time may fall by this part of all of it.
_FALLS = 0.01
_NOTHING: Series = (np.array([]), np.array([]))


@dataclass(frozen=True)
class Keys:
    """The keys of a run to read; by default those under which Composer's callbacks log.

    Attributes:
        lr (str | None): The learning rate. Default: ``None``, ``lr-{optimizer}/group0`` as ``LRMonitor`` logs it, or
            any key that contains the word ``lr`` or ``learning_rate``.
        time (str | None): Training time. Default: ``None``, ``SpeedMonitor``'s ``time/train`` or ``wall_clock/train``.
        time_unit (ClockUnit | None): Its unit. Default: ``None``, from the logger's own clock.
        metrics (tuple[str, ...]): The metrics. Default: ``()``, all under ``metrics/`` except ``metrics/train/``.
        method (str | None): Key of the method in the config, levels separated by dots. Default: ``None``, from the
            algorithms that Composer logs as ``enabled_algorithms/...``.
        batches_per_epoch (float | None): Batches per epoch, > 0. Default: ``None``, from ``time/epoch``.
        window_epochs (float): Epochs before a trough in which its best value may lie, >= 0. Default: ``0.0``.
        first_step (float): Step at which the first batch is logged. Default: ``1.0``, as in Composer.

    Raises:
        CurveError: If a value is none of those.
    """

    lr: str | None = None
    time: str | None = None
    time_unit: ClockUnit | None = None
    metrics: tuple[str, ...] = ()
    method: str | None = None
    batches_per_epoch: float | None = None
    window_epochs: float = 0.0
    first_step: float = 1.0

    def __post_init__(self) -> None:
        if self.time_unit not in (None, *get_args(ClockUnit)):
            raise CurveError(f'time unit {self.time_unit!r}: choose one of {", ".join(get_args(ClockUnit))}')
        if not math.isfinite(self.first_step):
            raise CurveError(f'first_step={self.first_step}: must be a step, such as 0 or 1')
        if not 0 <= self.window_epochs < math.inf:
            raise CurveError(f'window={self.window_epochs}: must be 0 or more epochs')
        if self.batches_per_epoch is not None and not 0 < self.batches_per_epoch < math.inf:
            raise CurveError(f'batches_per_epoch={self.batches_per_epoch}: must be above 0')


def wanted(keys: Keys) -> Callable[[str], bool]:
    """Returns the test for keys of a history to read: a run of days holds millions of other values."""
    named = {keys.lr, keys.time, *keys.metrics, *_TIMES, _EPOCH, _SAMPLE, _TOKEN, LOGGED_AT}
    return cache(lambda key: not key.startswith(_OWN) and (key in named or _is_metric(key) or _is_rate(key)))


class LoggedRun:
    """A run as it was logged, with batches as steps: what its curve needs, each found or refused once."""

    def __init__(self, history: RunHistory, keys: Keys):
        self.history, self.keys = history, keys
        # Steps that count batches from 1.
        self._series = {key: (at + 1 - keys.first_step, values) for key, (at, values) in history.series.items()}

    def __str__(self) -> str:
        return str(self.history)

    def _key(self, named: str | None, found: Iterable[str], what: str, option: str, remedy: str) -> str:
        """Returns the key that is named, else the first of those found."""
        if named is not None and named not in self._series:
            raise CurveError(f'{self}: did not log {named!r}: name the key of its {what} ({option})')
        if (key := named or next(iter(found), None)) is None:
            raise CurveError(f'{self}: did not log {remedy} ({option})')
        return key

    @cached_property
    def time_key(self) -> str:
        """The key of the training time."""
        found = (key for key in _TIMES if key in self._series)
        remedy = "training time: add Composer's SpeedMonitor, or name its key"
        return self._key(self.keys.time, found, 'training time', '--time-key', remedy)

    @cached_property
    def unit(self) -> ClockUnit:
        """The unit of the training time: as named, else by the clock of the logger, which SpeedMonitor does not log.

        Training is most of that time, and the units are at least 24 times apart.
        """
        if self.keys.time_unit is not None:
            return self.keys.time_unit
        key = self.time_key
        (steps, times), (at, logged) = self._series[key], self._series.get(LOGGED_AT, _NOTHING)
        _, here, there = np.intersect1d(steps, at, return_indices=True)
        trained, elapsed_s = np.diff(times[here]), np.diff(logged[there])
        advanced = (trained > 0) & (elapsed_s > 0)
        if not advanced.any():
            raise CurveError(f'{self}: the unit of {key!r} cannot be determined: pass --time-unit')
        pace = float(np.median(elapsed_s[advanced] / trained[advanced]))
        # A batch's clock may stop a little after the logger's.
        fitting: list[ClockUnit] = [unit for unit, seconds in _SECONDS.items() if seconds <= 2 * pace]
        if not fitting:
            raise CurveError(f'{self}: {key!r} is faster than the clock in any unit: pass --time-unit')
        return fitting[-1]

    @cached_property
    def method(self) -> str | None:
        """The method that the config tells, by its key or from its algorithms; ``None`` if it tells none."""
        key = self.keys.method
        named = self.history.setting('pareto.method' if key is None else key)
        if key is not None and named is None:
            raise CurveError(f'{self}: {key!r} is not in its config: name the key of its method (--method-key)')
        if named is not None:
            return str(named)
        prefix = 'enabled_algorithms/'
        enabled = [
            name.removeprefix(prefix) for name, on in self.history.config.items() if name.startswith(prefix) and on
        ]
        return method_name(enabled) if enabled else None

    def curve(self, unit: ClockUnit | None = None) -> TradeoffCurve:
        """Recovers the run's curve, with the time in a unit, by default its own.

        A point lies at each trough of the learning rate. Its metrics are those of the first evaluation at or after the
        trough and before the rate rises again; otherwise those of the last evaluation before it, at most a twentieth of
        the cycle earlier. Time is interpolated between the two batches at which it was logged; within one more such
        interval after the last, it goes on at the last pace.
        """
        rate, time, metrics, kind = (
            self._rate(),
            self._seconds(unit),
            self._metrics(),
            self.history.setting('pareto.kind'),
        )
        per_epoch = self.keys.batches_per_epoch or self._batches_per_epoch()
        if kind is not None and has_marks(str(kind)):
            raise CurveError(f'{self}: points of the kind {kind!r} are at marks, not at troughs: read its curve.json')
        if not (troughs := find_troughs(*rate)):
            raise CurveError(f'{self}: its learning rate has no trough: constant, or stopped before its first one')
        if per_epoch is None and self.keys.window_epochs:
            raise CurveError(f'{self}: a window in epochs needs the length of an epoch: pass --batches-per-epoch')
        found = [self._point(cycle, trough, time, metrics, per_epoch) for cycle, trough in enumerate(troughs)]
        points = [point for point in found if point is not None]
        if not points:
            raise CurveError(f'{self}: no evaluation with a training time at any of its {len(troughs)} troughs')
        if len(points) < len(troughs):
            missing = [f'{t.time / (per_epoch or 1):.4g}' for t, point in zip(troughs, found, strict=True) if not point]
            warnings.warn(
                f'{self}: no evaluation with a training time at the trough{"s" * (len(missing) > 1)} at '
                f'{"batch" if per_epoch is None else "epoch"} {", ".join(missing)}: no point there',
                UserWarning,
                stacklevel=2,
            )
        seeds = (self.history.setting(key) for key in ('rank_zero_seed', 'seed'))
        run = Run(
            run_name=self.history.name,
            kind=kind or run_kind(len(troughs), {'t_hold': part_at_peak(*rate, troughs[-1])}),
            method=self.method or method_name([]),
            seed=next((seed for seed in seeds if type(seed) is int), None),
            world_size=None,
        )
        curve = TradeoffCurve(run, points)
        # Runs may share a name.
        curve.source = f'{self.history.name} ({self.history.run_id})'
        return curve

    def _point(
        self, cycle: int, trough: Trough, time: Series, metrics: Mapping[str, Series], per_epoch: float | None
    ) -> TradeoffPoint | None:
        """Returns the point at a trough; ``None`` without an evaluation or a time there."""
        at = {name: i for name, (steps, _) in metrics.items() if (i := _evaluated(trough, steps)) is not None}
        batch = max([trough.time, *(float(metrics[name][0][i]) for name, i in at.items())])
        time_s = _time_at(batch, time)
        if not at or time_s is None:
            return None
        values = {name: float(metrics[name][1][i]) for name, i in at.items()}
        window = PeakWindow(round(self.keys.window_epochs * (per_epoch or 0.0)), {})
        for name in values:
            steps, earlier = metrics[name]
            for i in np.flatnonzero((steps > trough.restart) & (steps < batch)):
                window.note(int(steps[i]), {name: float(earlier[i])}, trough=round(batch))
        try:
            return TradeoffPoint(
                cycle=cycle,
                epoch=None if per_epoch is None else batch / per_epoch,
                batch=round(batch),
                sample=_count(self._series.get(_SAMPLE, _NOTHING), batch),
                token=_count(self._series.get(_TOKEN, _NOTHING), batch),
                wall_clock_train_s=time_s,
                wall_clock_total_s=math.nan,
                lr=trough.lr,
                metrics=values,
                peak_metrics=window.peaks(values),
            )
        except (ValueError, OverflowError) as error:
            reason = one_line(error)[:200]
            raise CurveError(f'{self}: its steps, samples or tokens are not counts ({reason})') from error

    def _rate(self) -> Series:
        # The first parameter group first, as in curve.json.
        found = sorted(filter(_is_rate, self._series), key=lambda key: (not re.fullmatch('lr-.*/group0', key), key))
        remedy = "a learning rate: add Composer's LRMonitor, or name its key"
        return self._series[self._key(self.keys.lr, found, 'learning rate', '--lr-key', remedy)]

    def _metrics(self) -> dict[str, Series]:
        keys = [self._key(key, (), 'metric', '--metric', '') for key in self.keys.metrics]
        keys = keys or list(filter(_is_metric, self._series))
        if not keys:
            raise CurveError(f'{self}: did not log a metric of an evaluation under metrics/: name its key (--metric)')
        # Composer logs the accuracy of the evaluator `eval` as metrics/eval/accuracy.
        return {key.removeprefix('metrics/'): self._series[key] for key in keys}

    def _seconds(self, unit: ClockUnit | None) -> Series:
        key = self.time_key
        steps, times = self._series[key]
        known = np.isfinite(times)
        if not known.any():
            raise CurveError(f'{self}: {key!r} has no finite value: name the key of its training time (--time-key)')
        steps, times = steps[known], times[known]
        falls = np.maximum(-np.diff(times), 0.0)
        if falls.sum() > _FALLS * np.ptp(times):
            i = int(falls.argmax())
            raise CurveError(
                f'{self}: {key!r} falls from {times[i]:g} to {times[i + 1]:g} at step {steps[i + 1]:g}: must be the '
                'time since the start of training, not that of each epoch: log the sum, or name its key (--time-key)'
            )
        return steps, times * _SECONDS[unit or self.unit]

    def _batches_per_epoch(self) -> float | None:
        """Returns the batches per epoch, from the starts of epochs; ``None`` for less than an epoch."""
        steps, epochs = self._series.get(_EPOCH, _NOTHING)
        if len(steps) and epochs.max() < 1:
            return None
        # The end of training logs its epoch too, later than it started.
        lengths = steps[epochs >= 1] / epochs[epochs >= 1]
        if not len(lengths) or lengths.min() <= 0:
            raise CurveError(
                f'{self}: the length of an epoch cannot be determined from {_EPOCH!r}: pass --batches-per-epoch'
            )
        return float(lengths.min())


def _is_metric(key: str) -> bool:
    return key.startswith('metrics/') and not key.startswith('metrics/train/')


def _is_rate(key: str) -> bool:
    return _RATE.search(key) is not None


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


def _count(series: Series, batch: float) -> int:
    """Returns the samples or tokens after a batch, from those logged at the start of batches; 0 if none were."""
    steps, values = series
    if not len(steps):
        return 0
    if batch <= steps[-1] or steps[-1] <= 0:
        return round(float(np.interp(batch, steps, values)))
    # The last batch ends after the last start of one.
    return round(float(batch * values[-1] / steps[-1]))
