"""Logs a tradeoff curve to the Trainer's loggers while it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO, cast

from composer.loggers import ConsoleLogger, Logger, LoggerDestination, WandBLogger
from composer.utils import MissingConditionalImportError, dist

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.rows import PREFIX, errors_as_warnings, point_line, point_numbers, points_table

if TYPE_CHECKING:
    from composer_clr.wandb_io.live import WandBCurve

__all__ = ['CurveLogger']


class CurveLogger:
    """Logs each point, and a table of all points so far, to every logger of the Trainer.

    :class:`composer.loggers.WandBLogger` gets axes, a chart and more
    (:class:`~composer_clr.wandb_io.live.WandBCurve`). The console gets one line per point. Every other destination gets
    the values through ``log_metrics``, at the step of their batch, and the table through ``log_table`` if it takes
    tables. A logger that fails causes a warning, and training continues: the points are in ``curve.json``.

    Args:
        logger (Logger): The Trainer's logger.
        curve (TradeoffCurve): The run, with the points that a resumed one already has.
        resumed (bool): Whether training continues from a checkpoint. Default: ``False``.
        log_artifact (bool): Whether snapshots will be logged as artifacts. Default: ``False``.

    Raises:
        ValueError: If snapshots are to be logged as artifacts, and the Trainer has no ``WandBLogger``.
    """

    def __init__(
        self,
        logger: Logger,
        curve: TradeoffCurve,
        *,
        resumed: bool = False,
        log_artifact: bool = False,
    ):
        wandb_loggers = [destination for destination in logger.destinations if isinstance(destination, WandBLogger)]
        if log_artifact and not wandb_loggers:
            raise ValueError("log_artifact=True logs snapshots to Weights & Biases: give the Trainer a 'WandBLogger'")
        self._others = [destination for destination in logger.destinations if destination not in wandb_loggers]
        self._wandb: WandBCurve | None = None
        # Where each rank has its own W&B run, the curve goes to rank 0's.
        if wandb_loggers and dist.get_global_rank() == 0:
            with errors_as_warnings('Weights & Biases'):
                from composer_clr.wandb_io.live import open_curve

                self._wandb = open_curve(wandb_loggers, curve, resumed=resumed)

    def log(self, curve: TradeoffCurve, new: int, step: int, snapshot: str | None = None) -> None:
        """Logs the last ``new`` points of a curve.

        Args:
            curve (TradeoffCurve): All points so far.
            new (int): The number of points just recorded, >= 1.
            step (int): The present batch.
            snapshot (str | None): Path or URI of the last point's weights, to be logged as an artifact.
        """
        columns, rows = points_table(curve)
        for destination in self._others:
            if isinstance(destination, ConsoleLogger):
                # It prints a line per value, and its tables again with every later line of the run.
                if dist.get_global_rank() == 0:
                    for point in curve.points[-new:]:
                        print(f'{PREFIX}point: {point_line(point)}', file=cast(TextIO, destination.stream), flush=True)
                continue
            with errors_as_warnings(type(destination).__name__):
                for point in curve.points[-new:]:
                    destination.log_metrics(point_numbers(point), step)
            _log_table(destination, columns, rows, step)
        if self._wandb is not None:
            with errors_as_warnings('Weights & Biases'):
                self._wandb.log(curve)
            if snapshot is not None:
                with errors_as_warnings('Weights & Biases, for the snapshot'):
                    self._wandb.log_snapshot(curve, snapshot)


def _log_table(destination: LoggerDestination, columns: list[str], rows: list[list[float | None]], step: int) -> None:
    with errors_as_warnings(type(destination).__name__):
        try:
            destination.log_table(columns, rows, f'{PREFIX}points', step)
        except MissingConditionalImportError:
            # Some of Composer's loggers write tables with pandas, an optional dependency; the values are logged anyway.
            return
