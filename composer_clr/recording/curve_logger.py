"""Logs a tradeoff curve to the Trainer's loggers while it grows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

from composer.loggers import ConsoleLogger, Logger, WandBLogger
from composer.utils import MissingConditionalImportError, dist

from composer_clr.curves.curve import PREFIX, TradeoffCurve, TradeoffPoint, point_numbers, point_values, points_table
from composer_clr.utils.errors import errors_as_warnings

if TYPE_CHECKING:
    from composer_clr.loggers.wandb_live import WandBCurve

__all__ = ['CurveLogger']

# A table of all points at each of n troughs would come to n * n / 2 rows; after these, one at every eighth more comes
# to 9 n.
_TABLE_AT_EACH_OF = 32


class CurveLogger:
    """Logs each point to every logger of the Trainer, and now and then a table of all points so far.

    Weights & Biases gets axes, a chart and more (:class:`~composer_clr.loggers.wandb_live.WandBCurve`), and the console
    one line per point. A logger that fails causes a warning, and training continues.

    Raises:
        ValueError: If snapshots are to be logged as artifacts, and the Trainer has no ``WandBLogger``.
    """

    def __init__(self, logger: Logger, curve: TradeoffCurve, *, resumed: bool = False, log_artifact: bool = False):
        wandb_loggers = [one for one in logger.destinations if isinstance(one, WandBLogger)]
        if log_artifact and not wandb_loggers:
            raise ValueError("log_artifact=True logs snapshots to Weights & Biases: give the Trainer a 'WandBLogger'")
        consoles = [one for one in logger.destinations if isinstance(one, ConsoleLogger)]
        # They print their tables again with every later line of the run.
        self._consoles = consoles if dist.get_global_rank() == 0 else []
        self._others = [one for one in logger.destinations if one not in (*wandb_loggers, *consoles)]
        for destination in self._others:
            with errors_as_warnings(type(destination).__name__):
                destination.log_hyperparameters({'pareto.method': curve.run.method, 'pareto.kind': curve.run.kind})
        self._in_table = 0
        self._wandb: WandBCurve | None = None
        # Where each rank has its own W&B run, the curve goes to rank 0's.
        if wandb_loggers and dist.get_global_rank() == 0:
            with errors_as_warnings('Weights & Biases'):
                from composer_clr.loggers.wandb_live import open_curve

                self._wandb = open_curve(wandb_loggers, curve, resumed=resumed)

    def log(self, curve: TradeoffCurve, new: int, step: int, snapshot: str | None = None) -> None:
        """Logs the last ``new`` points of a curve, at the present batch; ``snapshot`` is where the weights are."""
        points, count = curve.points[-new:], len(curve.points)
        for console in self._consoles:
            for point in points:
                print(f'{PREFIX}point: {_point_line(point)}', file=cast(TextIO, console.stream), flush=True)
        for destination in self._others:
            with errors_as_warnings(type(destination).__name__):
                for point in points:
                    destination.log_metrics(point_numbers(point), step)
        if self._wandb is not None:
            with errors_as_warnings('Weights & Biases'):
                self._wandb.log(curve.run, points)
            if snapshot is not None:
                with errors_as_warnings('Weights & Biases, for the snapshot'):
                    self._wandb.log_snapshot(curve, snapshot)
        is_last = count == len(curve.run.schedule.get('troughs') or ())
        if count <= _TABLE_AT_EACH_OF or is_last or 8 * count >= 9 * self._in_table:
            self.log_table(curve, step)

    def log_table(self, curve: TradeoffCurve, step: int) -> None:
        """Logs the table of all points, unless it has been logged."""
        if len(curve.points) == self._in_table:
            return
        self._in_table = len(curve.points)
        columns, rows = points_table(curve)
        for destination in self._others:
            # Some of Composer's loggers write tables with pandas, an optional dependency; the values are logged anyway.
            with errors_as_warnings(type(destination).__name__), suppress(MissingConditionalImportError):
                destination.log_table(columns, rows, f'{PREFIX}points', step)
        if self._wandb is not None:
            with errors_as_warnings('Weights & Biases'):
                self._wandb.log_pictures(curve)


def _point_line(point: TradeoffPoint) -> str:
    """Returns a point on one line, for a console."""
    values = point_values(point)
    numbers = {'cycle': values.pop('cycle'), 'epoch': values.pop('epoch'), 'batch': point.batch, **values}
    return ', '.join(f'{name}={value:.6g}' for name, value in numbers.items() if value is not None)
