"""The curve of a run under way: evaluated and measured at troughs, recorded, written to its folder, and logged."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from composer.core import State
from composer.utils import dist

from composer_clr.curves.curve import CURVE_FILE, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.peaks import PeakWindow
from composer_clr.recording.curve_logger import CurveLogger
from composer_clr.recording.evaluation import AddedEvaluations, scalars, share_buffers
from composer_clr.recording.existing_curve import keep_aside, with_later
from composer_clr.recording.rates import RateCheck
from composer_clr.recording.run_folder import RunFolder, save_weights
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.ranks import on_rank_zero

__all__ = ['CurveRecorder']


@dataclass
class Measurement:
    """What the evaluation under way has measured so far, over which weights, and what a second set has cost."""

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
        rates (RateCheck): Compares the optimizer's rate with the schedule's.
        folder (RunFolder): Where its curve is written.
        window (PeakWindow): The evaluations that the next trough's peak may look at.
        logger (CurveLogger): Logs the points.
        later (list[TradeoffPoint]): Points recorded after the checkpoint that the run was resumed from; each stays in
            the file until it is recorded again.
        metrics (Sequence[str] | None): The metrics to record; ``None`` for all.
        save_weights (bool): Whether the weights are saved at troughs.
        log_artifact (bool): Whether snapshots are logged as artifacts.
        kind_given (bool): Whether the user has named the kind of the curve.
    """

    kept: RunState
    run: Run
    schedule: RunSchedule
    rates: RateCheck
    folder: RunFolder
    window: PeakWindow
    logger: CurveLogger
    later: list[TradeoffPoint]
    metrics: Sequence[str] | None
    save_weights: bool
    log_artifact: bool
    kind_given: bool
    measurement: Measurement = field(default_factory=Measurement)
    # Whether the coming point is at the end of a run that was stopped, and not at a trough.
    stopped: bool = False

    @property
    def curve(self) -> TradeoffCurve:
        """The curve so far."""
        return TradeoffCurve(self.run, list(self.kept.points))

    def cycles_completed(self, state: State) -> list[int]:
        """Returns the cycles that the last batch completed and that have no point yet."""
        if self.stopped:
            return [self.kept.last_cycle + 1]
        cycles = [cycle + self.kept.offset for cycle in self.schedule.crossed(state)]
        return [cycle for cycle in cycles if cycle > self.kept.last_cycle]

    def has_just_recorded(self, state: State) -> bool:
        """Whether the last point was recorded at the present batch."""
        return bool(self.kept.points) and self.kept.points[-1].batch == state.timestamp.batch.value

    def begin(self, state: State, added: AddedEvaluations) -> None:
        """Checks the folder at a trough, and copies the buffers that rank 0 will save to every rank."""
        self.measurement = Measurement()
        cycles = self.cycles_completed(state)
        if cycles:
            added.begin(state)
            on_rank_zero(lambda: self._in_folder(self.folder.check_in_place, cycles[-1]))
            share_buffers(state.model)

    def save(self, state: State) -> None:
        """Saves the weights at a trough as its first evaluator starts, whether that succeeds or not."""
        cycles = self.cycles_completed(state)
        # Only rank 0 knows, and all ranks save together.
        if self.save_weights and cycles and not self.measurement.save_tried:
            self.measurement.save_tried = True
            self.measurement.checkpoint = save_weights(state, self.folder, cycles[-1])

    def measure(self, state: State) -> None:
        """Keeps what an evaluator has just measured; the metrics of the others may be older."""
        label = state.dataloader_label
        assert label is not None, 'the Trainer sets the label of the evaluator that runs'
        if state.eval_timestamp.batch.value == 0:
            warnings.warn(f"evaluator '{label}' has no sample: its metrics are left out", UserWarning, stacklevel=2)
            return
        for name, metric in state.eval_metrics[label].items():
            key = f'{label}/{name}'
            # A metric asked for by name is recorded of other weights too: averaged/eval/MulticlassAccuracy.
            if self.metrics is None or any(key == asked or key.endswith(f'/{asked}') for asked in self.metrics):
                self.measurement.metrics.update(scalars(key, metric.compute()))

    def note(self, state: State) -> None:
        """Keeps an evaluation between troughs if the next trough's peak may look at it."""
        if self.kept.clock.goes_on and not self.has_just_recorded(state):
            t = self.schedule.now(state)
            self.window.note(t, self.measurement.metrics, self.schedule.cycles.next_trough(t))

    def record(self, state: State, cycles: Sequence[int]) -> TradeoffPoint:
        """Records the point of a trough, writes the curve and logs the point; on all ranks together.

        A batch longer than a cycle completes several at once: each has its point, alike but for its number.

        Raises:
            OSError: If the curve cannot be written.
        """
        lr, scheduled_lr = self.rates.at_trough(state)
        timestamp, clock, measured = state.timestamp, self.kept.clock, self.measurement
        point = TradeoffPoint(
            cycle=cycles[-1],
            epoch=_epoch(state),
            batch=timestamp.batch.value,
            sample=timestamp.sample.value,
            token=timestamp.token.value,
            wall_clock_train_s=clock.batch_s,
            wall_clock_total_s=clock.batch_s + clock.paused_s,
            lr=lr,
            scheduled_lr=scheduled_lr,
            metrics=dict(measured.metrics),
            peak_metrics=self.window.peaks(measured.metrics),
            checkpoint=measured.checkpoint,
            extra=measured.extra,
            diverged=_has_diverged(state),
            world_size=dist.get_world_size(),
            stopped=self.stopped,
        )
        self.stopped = False
        if not self.kind_given:
            self.run = self.kept.rate.judged(self.run)
        self.kept.points.extend(replace(point, cycle=cycle) for cycle in cycles)
        self.window.restart()
        on_rank_zero(self.write)
        snapshot = self.folder.location(point.checkpoint) if self.log_artifact and point.checkpoint else None
        self.logger.log(self.curve, new=len(cycles), step=point.batch, snapshot=snapshot)
        return point

    def end(self, state: State) -> None:
        """Says, as training ends, if a trough was to come; the end of a run with one decay is a point, ``stopped``.

        Points beyond this end, which the run had reached in an earlier attempt, are kept aside.
        """
        schedule, batch, now = self.schedule, state.timestamp.batch.value, self.schedule.now(state)
        coming, until = schedule.cycles.next_trough(now), schedule.until
        if batch and coming is not None and (until is None or (now < coming <= until and now < until)):
            trough, name = schedule.spell(coming), schedule.cycles.end_name
            is_only = schedule.cycles.next_trough(coming) is None if until is None else schedule.troughs == [coming]
            self.stopped = is_only and schedule.decays
            self.run = replace(self.run, ended_at={'batch': batch, 'epoch': _epoch(state), 'trough': trough})
            then = 'its point is marked stopped, and no command compares it' if self.stopped else 'there is no point'
            if not (self.kept.points and self.kept.points[-1].diverged):
                warnings.warn(f"training ended at batch {batch}, before the {name} at '{trough}': {then}", stacklevel=2)
        whole = with_later(self.kept.points, self.later)
        if len(whole) > len(self.kept.points):
            beyond = TradeoffCurve(replace(self.run, ended_at=None), whole)
            on_rank_zero(lambda: keep_aside(self.folder, beyond, 'goes on beyond the end of this run'))
            self.later = []
            on_rank_zero(self.write)
        elif self.run.ended_at is not None:
            on_rank_zero(self.write)

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


def _epoch(state: State) -> float | None:
    return None if state.dataloader_len is None else state.timestamp.batch.value / int(state.dataloader_len)


def _has_diverged(state: State) -> bool:
    """Returns whether the last batch's loss or a weight is not finite on any rank; called on all ranks together."""
    tensors = [*_tensors(state.loss), *state.model.parameters()]
    finite = [state.device.tensor_to_device(tensor.detach().isfinite().all()) for tensor in tensors]
    diverged = (~torch.stack(finite).all()).to(torch.uint8)
    dist.all_reduce(diverged, 'MAX')
    return bool(diverged)


def _tensors(loss: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors of a loss as Composer allows it: one tensor, several, or several by name."""
    if isinstance(loss, torch.Tensor):
        yield loss
    elif isinstance(loss, Mapping):
        for part in loss.values():
            yield from _tensors(part)
    elif isinstance(loss, (list, tuple)):
        for part in loss:
            yield from _tensors(part)
