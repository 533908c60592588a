"""The history of a Weights & Biases run, and the keys of it that a curve needs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from composer_clr.curves.curve import CurveError

__all__ = [
    'EPOCH',
    'LOGGED_AT',
    'SAMPLE',
    'TIMES',
    'TOKEN',
    'ClockUnit',
    'Keys',
    'RunHistory',
    'Series',
    'metric_keys',
    'metric_name',
    'present',
    'rate_key',
    'wanted',
]

ClockUnit = Literal['seconds', 'minutes', 'hours', 'days']

# Logged by this package; a recovered curve does not use it.
_OWN = ('pareto/', 'pareto-by-epoch/')
_METRICS, _TRAINING_METRICS = 'metrics/', 'metrics/train/'
TIMES = ('time/train', 'wall_clock/train')
EPOCH, SAMPLE, TOKEN, LOGGED_AT = 'time/epoch', 'time/sample', 'time/token', '_timestamp'
_RATE = re.compile(r'(^|[^a-z])(lr|learning[-_ ]?rate)([^a-z]|$)', re.IGNORECASE)

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Keys:
    """The keys of a run to read; by default those under which Composer's callbacks log.

    Attributes:
        lr (str | None): The learning rate. Default: ``None``, ``lr-{optimizer}/group0`` as ``LRMonitor`` logs it, or
            any key that contains the word ``lr`` or ``learning_rate``.
        time (str | None): Training time. Default: ``None``, ``SpeedMonitor``'s ``time/train`` or ``wall_clock/train``.
        time_unit (ClockUnit | None): Its unit. Default: ``None``, the largest unit in which it is not faster than W&B's
            clock.
        metrics (tuple[str, ...]): The metrics. Default: ``()``, all under ``metrics/`` except ``metrics/train/``.
        method (str | None): Key of the method in the config, levels separated by dots. Default: ``None``, from the
            algorithms that Composer logs as ``enabled_algorithms/...``.
        batches_per_epoch (float | None): Batches per epoch, > 0. Default: ``None``, from ``time/epoch``;
            a run of less than an epoch counts batches, samples and tokens.
        window_epochs (float): Epochs before a trough in which its best value may lie, >= 0, within the cycle. Default:
            ``0.0``.
        first_step (float): Step at which the first batch is logged; the steps of a run that counts from 0 are one
            short of its batches. Default: ``1.0``.
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
        if self.time_unit is not None and self.time_unit not in get_args(ClockUnit):
            raise CurveError(f'time unit {self.time_unit!r}: choose one of {", ".join(get_args(ClockUnit))}')
        if not math.isfinite(self.first_step):
            raise CurveError(f'first_step={self.first_step}: must be a step, such as 0 or 1')
        if not 0 <= self.window_epochs < math.inf:
            raise CurveError(f'window={self.window_epochs}: must be 0 or more epochs')
        if self.batches_per_epoch is not None and not 0 < self.batches_per_epoch < math.inf:
            raise CurveError(f'batches_per_epoch={self.batches_per_epoch}: must be above 0')


@dataclass
class RunHistory:
    """The parts of a W&B run that a curve needs.

    Attributes:
        run_id (str): W&B's id.
        name (str): Its display name.
        group (str): Its group; empty for none.
        tags (tuple[str, ...]): Its tags.
        config (dict): Its config.
        series (dict[str, tuple[Array, Array]]): By key, the steps at which it was logged, sorted, and the values.
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
        """Returns a value of the config by its key, or keys of levels joined with dots; ``None`` if it is not set."""
        if key in self.config:
            return self.config[key]
        value: Any = self.config
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def wanted(keys: Keys) -> Callable[[str], bool]:
    """Returns the test for keys of a history to read: a run of days holds millions of other values."""
    named = {key for key in (keys.lr, keys.time, *keys.metrics, EPOCH, SAMPLE, TOKEN, LOGGED_AT) if key is not None}

    def want(key: str) -> bool:
        if key.startswith(_OWN):
            return False
        return key in named or key in TIMES or _is_metric(key) or bool(_RATE.search(key))

    return want


def rate_key(history: RunHistory, keys: Keys) -> str:
    """Returns the key of the learning rate.

    Raises:
        CurveError: If the run did not log one.
    """
    if keys.lr is not None:
        return present(history, keys.lr, 'learning rate', '--lr-key')
    found = sorted(key for key in history.series if _RATE.search(key))
    # The first parameter group, as in curve.json.
    found.sort(key=lambda key: not (key.startswith('lr-') and key.endswith('/group0')))
    if not found:
        raise CurveError(
            f"{history}: did not log a learning rate: add Composer's LRMonitor, or name its key (--lr-key)"
        )
    return found[0]


def metric_keys(history: RunHistory, keys: Keys) -> list[str]:
    """Returns the keys of the metrics.

    Raises:
        CurveError: If the run did not log one.
    """
    if keys.metrics:
        return [present(history, key, 'metric', '--metric') for key in keys.metrics]
    found = [key for key in history.series if _is_metric(key)]
    if not found:
        raise CurveError(f'{history}: did not log a metric of an evaluation under metrics/: name its key (--metric)')
    return found


def present(history: RunHistory, key: str, what: str, option: str) -> str:
    """Returns a key that the run logged.

    Args:
        history (RunHistory): The run.
        key (str): The key.
        what (str): What it is the key of, for the error.
        option (str): The option that names it, likewise.

    Raises:
        CurveError: If the run did not log it.
    """
    if key not in history.series:
        raise CurveError(f'{history}: did not log {key!r}: name the key of its {what} ({option})')
    return key


def _is_metric(key: str) -> bool:
    return key.startswith(_METRICS) and not key.startswith(_TRAINING_METRICS)


def metric_name(key: str) -> str:
    """Removes the prefix: Composer logs the accuracy of the evaluator ``eval`` as ``metrics/eval/accuracy``."""
    return key.removeprefix(_METRICS)
