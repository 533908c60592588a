"""The curve of a run under way: its points recorded, written to its folder, and logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from composer.core import State
from composer.utils import dist

from composer_clr.curves.curve import CURVE_FILE, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.peak_window import PeakWindow
from composer_clr.recording.curve_logger import CurveLogger
from composer_clr.recording.divergence import has_diverged
from composer_clr.recording.existing_curve import with_later
from composer_clr.recording.run_folder import RunFolder
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.ranks import on_rank_zero

__all__ = ['CurveRecorder', 'Measurement']


@dataclass
class Measurement:
    """The metrics of the evaluation under way so far, and over which weights.

    Attributes:
        metrics (dict[str, float]): ``label/metric`` to its value.
        checkpoint (str | None): The snapshot's file name; ``None`` where it could not be saved.
        save_tried (bool): Whether the snapshot has been saved, or could not be.
        extra (dict[str, dict[str, float]]): What a second set of metrics cost, by set.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    save_tried: bool = False
    extra: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass
class CurveRecorder:
    """Records the points of a run whose schedule, folder and loggers are known: from ``FIT_START`` on.

    Attributes:
        kept (RunState): What checkpoints keep, the points among it.
        run (Run): The run.
        schedule (RunSchedule): Its cycles.
        folder (RunFolder): Where its curve is written.
        window (PeakWindow): The evaluations that the next trough's peak may look at.
        logger (CurveLogger): Logs the points.
        later (list[TradeoffPoint]): Points recorded after the checkpoint that the run was resumed from; each stays in
            the file until it is recorded again.
        log_artifact (bool): Whether snapshots are logged as artifacts.
    """

    kept: RunState
    run: Run
    schedule: RunSchedule
    folder: RunFolder
    window: PeakWindow
    logger: CurveLogger
    later: list[TradeoffPoint]
    log_artifact: bool

    @property
    def curve(self) -> TradeoffCurve:
        """The curve so far."""
        return TradeoffCurve(self.run, list(self.kept.points))

    def cycles_completed(self, state: State) -> list[int]:
        """Returns the cycles that the last batch completed and that have no point yet."""
        cycles = [cycle + self.kept.offset for cycle in self.schedule.crossed(state)]
        return [cycle for cycle in cycles if cycle > self.kept.last_cycle]

    def has_just_recorded(self, state: State) -> bool:
        """Whether the last point was recorded at the present batch."""
        return bool(self.kept.points) and self.kept.points[-1].batch == state.timestamp.batch.value

    def note(self, state: State, measurement: Measurement) -> None:
        """Keeps an evaluation between troughs if the next trough's peak may look at it."""
        t = self.schedule.now(state)
        self.window.note(t, measurement.metrics, self.schedule.cycles.next_trough(t))

    def record(self, state: State, cycles: list[int], measurement: Measurement) -> TradeoffPoint:
        """Records the point of a trough, writes the curve and logs the point; on all ranks together.

        Args:
            state (State): The trainer's state, after the evaluation.
            cycles (list[int]): The cycles that end here. A batch longer than a cycle completes several at once: each
                has its point, alike but for its number.
            measurement (Measurement): What the evaluation measured.

        Raises:
            OSError: If the curve cannot be written.
        """
        loader_length, timestamp, clock = state.dataloader_len, state.timestamp, self.kept.clock
        point = TradeoffPoint(
            cycle=cycles[-1],
            epoch=None if loader_length is None else timestamp.batch.value / int(loader_length),
            batch=timestamp.batch.value,
            sample=timestamp.sample.value,
            token=timestamp.token.value,
            wall_clock_train_s=clock.batch_s,
            wall_clock_total_s=clock.batch_s + clock.paused_s,
            lr=float(state.optimizers[0].param_groups[0]['lr']),
            metrics=dict(measurement.metrics),
            peak_metrics=self.window.peaks(measurement.metrics),
            checkpoint=measurement.checkpoint,
            extra=measurement.extra,
            diverged=has_diverged(state),
            world_size=dist.get_world_size(),
        )
        self.kept.points.extend(replace(point, cycle=cycle) for cycle in cycles)
        self.window.restart()
        on_rank_zero(self.write)
        snapshot = self.folder.location(point.checkpoint) if self.log_artifact and point.checkpoint else None
        self.logger.log(self.curve, new=len(cycles), step=point.batch, snapshot=snapshot)
        return point

    def check_folder(self, cycle: int) -> None:
        """Makes sure that the folder is still this run's, before anything of a trough is written to it.

        Raises:
            OSError: If it cannot be written to.
        """
        self._in_folder(self.folder.check_in_place, cycle)

    def write(self) -> None:
        """Writes the curve to its folder.

        Raises:
            OSError: If it cannot be written.
        """
        curve = TradeoffCurve(self.run, with_later(self.kept.points, self.later))
        self._in_folder(lambda: self.folder.write_curve(curve), self.kept.last_cycle)

    def _in_folder(self, call: Callable[[], None], cycle: int) -> None:
        try:
            call()
        except OSError as error:
            raise OSError(
                f"folder='{self.folder.uri}': {CURVE_FILE} cannot be written, so training stops at cycle {cycle} "
                f'({error}): the points recorded before are kept; correct this, then resume from the last checkpoint'
            ) from error
