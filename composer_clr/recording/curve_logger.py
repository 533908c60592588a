"""Logs a tradeoff curve to the Trainer's loggers while it grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TextIO, cast

from composer.loggers import (
    ConsoleLogger,
    Logger,
    LoggerDestination,
    MLFlowLogger,
    TensorboardLogger,
    WandBLogger,
)
from composer.utils import MissingConditionalImportError, dist

from composer_clr.curves.curve import (
    PREFIX,
    Run,
    TradeoffCurve,
    TradeoffPoint,
    point_numbers,
    point_values,
    points_table,
)
from composer_clr.curves.settings import RECIPE, settings_of
from composer_clr.loggers.outlived import Outlived

__all__ = ['CurveLogger', 'logged_to']

# A table of all points at each of n troughs would come to n * n / 2 rows; after these, one at every eighth more comes
# to 9 n.
_TABLE_AT_EACH_OF = 32


class CurveLogger:
    """Logs each point to every logger of the Trainer, and now and then a table of all points so far.

    Weights & Biases, MLflow and TensorBoard get what is theirs (:mod:`composer_clr.loggers`), from rank 0 and for a
    resumed run the points that they lack too; the console gets one line per point. A logger that fails causes a
    warning, and training continues; it gets the points that it missed once it works again.

    Raises:
        ValueError: If snapshots are to be logged as artifacts, and the Trainer has no ``WandBLogger``.
    """

    def __init__(
        self, logger: Logger, curve: TradeoffCurve, *, batch: int, resumed: bool = False, log_artifact: bool = False
    ):
        wandb_loggers = [one for one in logger.destinations if isinstance(one, WandBLogger)]
        if log_artifact and not wandb_loggers:
            raise ValueError("log_artifact=True logs snapshots to Weights & Biases: give the Trainer a 'WandBLogger'")
        self._in_table = 0
        self._sinks: list[_Sink] = []
        self._consoles: list[ConsoleLogger] = []
        for destination in logger.destinations:
            # Guarded in any case.
            outlived = Outlived.of(destination)
            if isinstance(destination, ConsoleLogger):
                # They print their tables again with every later line of the run.
                self._consoles += [destination] if dist.get_global_rank() == 0 else []
            elif (opened := _opening(destination, curve.run, batch, resumed)) is None:
                self._sinks.append(_Sink(outlived, partial(_PlainLog, destination, curve.run), len(curve.points)))
            # Where each rank has a run of its own there, the curve goes to rank 0's; W&B has one per process.
            elif dist.get_global_rank() == 0 and destination not in wandb_loggers[1:]:
                self._sinks.append(_Sink(outlived, opened))
        for sink in self._sinks:
            sink.log(curve)
            if curve.points and sink.is_whole:
                sink.log_table(curve)

    def log(self, curve: TradeoffCurve, new: int, snapshot: str | None = None) -> None:
        """Logs the last ``new`` points of a curve; ``snapshot`` is where the weights of the last one are."""
        for console in self._consoles:
            for point in curve.points[-new:]:
                print(f'{PREFIX}point: {_point_line(point)}', file=cast(TextIO, console.stream), flush=True)
        for sink in self._sinks:
            sink.log(curve)
            if snapshot is not None:
                sink.log_snapshot(curve, snapshot)
        count = len(curve.points)
        is_last = count == len(curve.run.schedule.get('troughs') or ())
        if count <= _TABLE_AT_EACH_OF or is_last or 8 * count >= 9 * self._in_table:
            self._log_table(curve)

    def end(self, curve: TradeoffCurve) -> None:
        """Logs, at the end of training, what is not logged yet: points that a logger missed, and the table."""
        for sink in self._sinks:
            sink.log(curve, now=True)
        if len(curve.points) > self._in_table:
            self._log_table(curve)

    def close(self) -> None:
        """Closes what has been opened for the curve."""
        for sink in self._sinks:
            sink.close()

    def _log_table(self, curve: TradeoffCurve) -> None:
        self._in_table = len(curve.points)
        for sink in self._sinks:
            sink.log_table(curve)


def logged_to(logger: Logger) -> dict[str, str]:
    """Returns the ids of the loggers' runs that a resumed recipe looks for: ``Run.logged_to``."""
    if not any(isinstance(one, MLFlowLogger) for one in logger.destinations):
        return {}
    from composer_clr.loggers.mlflow_live import active_run_id

    run_id = active_run_id()
    return {} if run_id is None else {MLFlowLogger.__name__: run_id}


class _Log(Protocol):
    """What a logger's own module does with a curve."""

    def log(self, run: Run, points: Sequence[TradeoffPoint], /) -> None: ...

    def log_table(self, curve: TradeoffCurve, /) -> None: ...


def _opening(destination: LoggerDestination, run: Run, batch: int, resumed: bool) -> Callable[[], _Log | None] | None:
    """Returns what opens a logger that has a module of its own, which knows the points that it has."""
    if isinstance(destination, WandBLogger):
        from composer_clr.loggers.wandb_live import open_curve

        return partial(open_curve, run, resumed=resumed)
    if isinstance(destination, MLFlowLogger):
        from composer_clr.loggers.mlflow_live import MLflowCurve

        return partial(MLflowCurve, destination, _settings(run), resumed=resumed)
    if isinstance(destination, TensorboardLogger):
        from composer_clr.loggers.tensorboard_live import TensorboardCurve

        return partial(TensorboardCurve, destination, _settings(run), batch)
    return None


class _PlainLog:
    """Logs a curve to a logger that has no module of its own."""

    def __init__(self, destination: LoggerDestination, run: Run):
        self._destination = destination
        destination.log_hyperparameters(_settings(run))

    def log(self, run: Run, points: Sequence[TradeoffPoint]) -> None:
        for point in points:
            self._destination.log_metrics(point_numbers(point), point.batch)

    def log_table(self, curve: TradeoffCurve) -> None:
        # Some of Composer's loggers write tables with pandas, an optional dependency; the values are logged anyway.
        with suppress(MissingConditionalImportError):
            self._destination.log_table(*points_table(curve), f'{PREFIX}points', curve.points[-1].batch)


class _Sink:
    """Where a curve is logged: opened at the first call that it does not fail, with the points logged so far."""

    def __init__(self, outlived: Outlived, opening: Callable[[], _Log | None], logged: int = 0):
        self._outlived, self._opening, self._logged = outlived, opening, logged
        self._opened: _Log | None = None
        self.is_whole = logged == 0

    def log(self, curve: TradeoffCurve, *, now: bool = False) -> None:
        """Logs the points that are not logged yet."""

        def log() -> None:
            opened = self._open()
            if opened is not None and len(curve.points) > self._logged:
                opened.log(curve.run, curve.points[self._logged :])
                self._logged = len(curve.points)

        self._outlived(log, now=now)

    def log_table(self, curve: TradeoffCurve) -> None:
        self._outlived(lambda: None if (opened := self._open()) is None else opened.log_table(curve))

    def log_snapshot(self, curve: TradeoffCurve, snapshot: str) -> None:
        """Logs the last point's weights, where there is a place for them."""
        call: Any = getattr(self._opened, 'log_snapshot', None)
        if call is not None:
            self._outlived(lambda: call(curve, snapshot))

    def close(self) -> None:
        call: Any = getattr(self._opened, 'close', None)
        if call is not None:
            self._outlived(call, now=True)

    def _open(self) -> _Log | None:
        if self._opened is None:
            self._opened = self._opening()
        return self._opened


def _settings(run: Run) -> dict[str, Any]:
    """Returns all that made a curve, by the names that it is logged under; the recipe says the same once more."""
    return {f'pareto.{name}': value for name, value in settings_of(run).items() if name != RECIPE}


def _point_line(point: TradeoffPoint) -> str:
    """Returns a point on one line, for a console."""
    values = point_values(point)
    numbers = {'cycle': values.pop('cycle'), 'epoch': values.pop('epoch'), 'batch': point.batch, **values}
    return ', '.join(f'{name}={value:.6g}' for name, value in numbers.items() if value is not None)
