"""Makes the errors of a logger warnings: training does not wait for it, and its points are in ``curve.json``."""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from composer.loggers import LoggerDestination, MLFlowLogger, TensorboardLogger, WandBLogger

__all__ = ['Outlived']

# What Composer calls of these loggers in training; others may have been given to the Trainer to end it.
_GUARDED = (MLFlowLogger, TensorboardLogger, WandBLogger)
_CALLS = ('run_event', 'log_metrics', 'log_table', 'log_images', 'log_hyperparameters', 'upload_file')
# A call that failed after so many seconds or more is not repeated before this many times as long, 5% of training.
_LONG_S, _PAUSES = 1.0, 20
_known: weakref.WeakKeyDictionary[LoggerDestination, Outlived] = weakref.WeakKeyDictionary()


class Outlived:
    """Calls a logger, whose first error is a warning, and whose later ones are none.

    One that fails slowly, as without its server, is left alone for a time before it is called again.
    """

    def __init__(self, name: str):
        self.name = name
        self._warned = False
        self._again_s = -float('inf')

    @classmethod
    def of(cls, destination: LoggerDestination) -> Outlived:
        """Returns that of a logger, which all calls of MLflow's, TensorBoard's and W&B's go through from now on."""
        if destination not in _known:
            _known[destination] = outlived = cls(type(destination).__name__)
            for name in _CALLS if isinstance(destination, _GUARDED) else ():
                setattr(destination, name, outlived.guarding(getattr(destination, name)))
        return _known[destination]

    def guarding(self, call: Callable[..., Any]) -> Callable[..., None]:
        """Returns the call, without its errors."""
        return lambda *args, **kwargs: self(lambda: call(*args, **kwargs))

    def __call__(self, call: Callable[[], Any], *, now: bool = False) -> None:
        """Calls the logger, unless it is left alone; ``now`` calls it in any case."""
        began_s = time.monotonic()
        if began_s < self._again_s and not now:
            return
        try:
            call()
        except Exception as error:  # of the logger's library, its server and the disk
            ended_s = time.monotonic()
            if ended_s - began_s >= _LONG_S:
                self._again_s = ended_s + _PAUSES * (ended_s - began_s)
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f'{self.name} failed ({type(error).__name__}: {error}): training goes on, its points are kept in '
                    'curve.json, and are logged at the next trough at which it works again',
                    RuntimeWarning,
                    stacklevel=3,
                )
