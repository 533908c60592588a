"""Logs a tradeoff curve to TensorBoard during training, beside what Composer's logger writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composer.loggers import TensorboardLogger

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint, point_numbers

__all__ = ['BY_SECOND', 'TensorboardCurve']

BY_SECOND = 'pareto-by-second'


class TensorboardCurve:
    """Logs a curve to the event files of a run.

    ===========================  ===================================================================================
    tag                          what
    ===========================  ===================================================================================
    ``pareto/...``               each point's values, at its batch as the step
    ``pareto-by-second/...``     its metrics again, in a run ``{run_name}/pareto-by-second``, at its training time,
                                 rounded to whole seconds, as the step: TensorBoard's axis "Step" shows seconds
    ===========================  ===================================================================================

    TensorBoard's own axes "Relative" and "Wall" show the time of day, with evaluations and interruptions.

    A run that goes on at a batch has what was written beyond it hidden by TensorBoard, as with torch's ``purge_step``;
    it is still in the files. Points are on the disk before a checkpoint keeps them, so that none is logged twice or
    lost; where the files are gone, all points are logged again.
    """

    def __init__(self, destination: TensorboardLogger, settings: dict[str, Any], batch: int):
        from torch.utils.tensorboard import SummaryWriter

        assert destination.writer is not None, 'the Trainer opens it before training'
        self._destination = destination
        destination.log_hyperparameters(settings)
        folder = Path(destination.writer.log_dir) / BY_SECOND
        self._first = 0
        if folder.exists():
            self._first = batch + 1
            destination.writer.close()
            destination.writer = SummaryWriter(
                destination.writer.log_dir, purge_step=batch + 1, flush_secs=destination.writer.flush_secs
            )
            # TensorBoard reads files by their names, in which are the second and then a number: '10' before '9'.
            time.sleep(1 - time.time() % 1)
        self._by_second = SummaryWriter(folder, purge_step=0)

    def log(self, run: Run, points: Sequence[TradeoffPoint]) -> None:
        writer = self._destination.writer
        assert writer is not None, 'the Trainer closes it after training'
        for point in points:
            for name, value in point_numbers(point).items() if point.batch >= self._first else ():
                writer.add_scalar(name, value, point.batch)
            for name, value in point.metrics.items():
                self._by_second.add_scalar(f'{BY_SECOND}/{name}', value, round(point.wall_clock_train_s))
        for one in (writer, self._by_second):
            one.flush()

    def log_table(self, curve: TradeoffCurve) -> None:
        """Logs nothing: TensorBoard shows no tables."""

    def close(self) -> None:
        self._by_second.close()
