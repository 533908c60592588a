"""The curve of a run under way: evaluated and measured at troughs, recorded, written to its folder, and logged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from composer.core import Callback, State, Time
from composer.loggers import Logger
from composer.utils import dist, ensure_tuple

from composer_clr.curves.curve import CURVE_FILE, TradeoffPoint
from composer_clr.curves.peaks import PeakWindow
from composer_clr.recording.curve_logger import CurveLogger
from composer_clr.recording.evaluation import AddedEvaluations, scalars, share_buffers
from composer_clr.recording.run_folder import RunFolder
from composer_clr.recording.run_state import RateWatch, RunState
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.ranks import on_rank_zero

if TYPE_CHECKING:
    from composer_clr.recording.pareto_snapshot import ParetoSnapshot

__all__ = ['CurveRecorder']


class CurveRecorder(Callback):
    """The part of :class:`ParetoSnapshot` that follows training: its schedule, folder and loggers are known.

    Attributes:
        folder (RunFolder): Where its curve and snapshots are written.
        due (list[int]): The cycles that the last batch completed and that have no point yet.
        extra (dict[str, dict[str, float]]): What a second set of metrics of the coming point has cost.
    """

    def __init__(
        self,
        options: ParetoSnapshot,
        kept: RunState,
        state: State,
        schedule: RunSchedule,
        window: PeakWindow,
        folder: RunFolder,
        logger: CurveLogger,
    ):
        self.folder, self._rates = folder, _RateCheck(schedule, kept.rate, state.max_duration)
        self.due: list[int] = []
        self.extra: dict[str, dict[str, float]] = {}
        self._options, self._kept, self._schedule, self._window, self._logger = options, kept, schedule, window, logger
        self._added = AddedEvaluations(state, kept.points[-1].batch if kept.points else None)
        # Of the evaluation under way.
        self._metrics: dict[str, float] = {}
        self._checkpoint: str | None = None
        self._save_tried = False
        # Whether the coming point is at the end of a run that was stopped, and not at a trough.
        self._stopped = False

    def after_train_batch(self, state: State, logger: Logger) -> None:
        self._rates.batch_trained(state)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Finds out, for all that follows until the next batch, whether this one has reached a trough."""
        self._rates.scheduler_stepped(state)
        cycles = [cycle + self._kept.offset for cycle in self._schedule.crossed(state)]
        self._reach([cycle for cycle in cycles if cycle > self._kept.last_cycle])

    def epoch_end(self, state: State, logger: Logger) -> None:
        _check_epoch_length(state)
        self._rates.scheduler_stepped(state)  # which may be once per epoch

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Checks the folder at a trough, and copies the buffers that rank 0 will save to every rank."""
        self._metrics, self._checkpoint, self._save_tried, self.extra = {}, None, False, {}
        if self.due:
            self._added.begin(state)
            on_rank_zero(lambda: self._in_folder(self.folder.check_in_place, self.due[-1]))
            share_buffers(state.model)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Saves the weights at a trough, now that algorithms such as EMA have put in those that are evaluated."""
        self._added.begin_one(state)
        # Tried once, since only rank 0 knows that it has failed, and all ranks save together.
        if self._options.save_weights and self.due and not self._save_tried:
            self._save_tried = True
            self._checkpoint = self.folder.save_weights(state, self.due[-1])

    def eval_end(self, state: State, logger: Logger) -> None:
        """Keeps what an evaluator has just measured; the metrics of the others may be older."""
        label, asked = state.dataloader_label, self._options.metrics
        assert label is not None, 'the Trainer sets the label of the evaluator that runs'
        if state.eval_timestamp.batch.value == 0:
            warnings.warn(f"evaluator '{label}' has no sample: its metrics are left out", stacklevel=2)
            return
        for name, metric in state.eval_metrics[label].items():
            key = f'{label}/{name}'
            # A metric asked for by name is recorded of other weights too: averaged/eval/MulticlassAccuracy.
            if asked is None or any(key == one or key.endswith(f'/{one}') for one in asked):
                self._metrics.update(scalars(key, metric.compute()))

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Records the point of a trough; keeps an evaluation between troughs for the peak of the next one."""
        if self.due:
            self._added.end(state)
            point = self._record(state, self.due)
            self._reach([])
            self._added.recorded_at = point.batch
            self._added.leave(state, for_good=False)
            if point.diverged:
                self._diverge(state, point)
        elif self._kept.clock.goes_on and self._added.recorded_at != state.timestamp.batch.value:
            t = self._schedule.now(state)
            self._window.note(t, self._metrics, self._schedule.cycles.next_trough(t))

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        self._added.leave(state, for_good=True)

    def fit_end(self, state: State, logger: Logger) -> None:
        """Says, before the evaluators that run at the end of training, if a trough was to come.

        The end of a run with one decay is a point, ``stopped``. The table of all points may lack the last ones.
        """
        kept, schedule, batch, now = self._kept, self._schedule, state.timestamp.batch.value, self._schedule.now(state)
        coming, until = schedule.cycles.next_trough(now), schedule.until
        if batch and coming is not None and (until is None or now < coming <= until):
            trough, name = schedule.spell(coming), schedule.cycles.end_name
            is_only = schedule.cycles.next_trough(coming) is None if until is None else schedule.troughs == [coming]
            self._stopped = is_only and schedule.decays
            self._reach([kept.last_cycle + 1] if self._stopped else [])
            kept.run = replace(kept.curve.run, ended_at={'batch': batch, 'epoch': _epoch(state), 'trough': trough})
            then = 'its point is marked stopped, and no command compares it' if self._stopped else 'there is no point'
            if not (kept.points and kept.points[-1].diverged):
                warnings.warn(f"training ended at batch {batch}, before the {name} at '{trough}': {then}", stacklevel=2)
        on_rank_zero(lambda: self._in_folder(lambda: self.folder.end(kept.curve), kept.last_cycle))
        if kept.points:
            self._logger.end(kept.curve)

    def close(self, state: State, logger: Logger) -> None:
        """Gives back the folder, and to early stopping what it looks at, also after training has failed."""
        self._added.show_stoppers()
        self._logger.close()
        self.folder.close()

    def _diverge(self, state: State, point: TradeoffPoint) -> None:
        stops = self._options.on_nan == 'stop'
        warnings.warn(
            f'training has diverged by cycle {point.cycle}, batch {point.batch}: a loss or a weight is not a finite '
            f"number; training {'stops here' if stops else 'continues'} (on_nan='{self._options.on_nan}')",
            stacklevel=2,
        )
        if stops:
            state.stop_training()

    def _reach(self, cycles: list[int]) -> None:
        self.due, self._added.at_trough = cycles, bool(cycles)

    def _record(self, state: State, cycles: list[int]) -> TradeoffPoint:
        """Records the point of a trough, writes the curve and logs the point; on all ranks together.

        A batch longer than a cycle completes several at once: each has its point, alike but for its number.
        """
        lr, scheduled_lr = self._rates.at_trough(state)
        timestamp, kept = state.timestamp, self._kept
        point = TradeoffPoint(
            cycle=cycles[-1],
            epoch=_epoch(state),
            batch=timestamp.batch.value,
            sample=timestamp.sample.value,
            token=timestamp.token.value,
            wall_clock_train_s=kept.clock.batch_s,
            wall_clock_total_s=kept.clock.batch_s + kept.clock.paused_s,
            lr=lr,
            scheduled_lr=scheduled_lr,
            metrics=self._metrics,
            peak_metrics=self._window.peaks(self._metrics),
            checkpoint=self._checkpoint,
            extra=self.extra,
            diverged=_has_diverged(state),
            world_size=dist.get_world_size(),
            stopped=self._stopped,
        )
        self._stopped = False
        if self._options.kind is None:
            kept.run = kept.rate.judged(kept.curve.run)
        kept.points.extend(replace(point, cycle=cycle) for cycle in cycles)
        self._window.restart()
        curve = kept.curve
        on_rank_zero(lambda: self._in_folder(lambda: self.folder.write_curve(curve), cycles[-1]))
        to_log = self.folder.location(point.checkpoint) if self._options.log_artifact and point.checkpoint else None
        self._logger.log(curve, new=len(cycles), snapshot=to_log)
        return point

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
    losses = [one for one in ensure_tuple(state.loss) if isinstance(one, torch.Tensor)]
    tensors = [*losses, *state.model.parameters()]
    finite = [state.device.tensor_to_device(tensor.detach().isfinite().all()) for tensor in tensors]
    diverged = (~torch.stack(finite).all()).to(torch.uint8)
    dist.all_reduce(diverged, 'MAX')
    return bool(diverged)


def _check_epoch_length(state: State) -> None:
    """Warns, at the end of the first epoch, if it had fewer batches than the length of the train dataloader."""
    length, trained = state.dataloader_len, state.previous_timestamp
    if length is None or trained is None or trained.epoch.value > 0 or trained.batch_in_epoch == length:
        return
    batches, length = trained.batch_in_epoch.value, int(length)
    warnings.warn(
        f'the first epoch had {batches} batches, but the length of the train dataloader is {length}: schedule and '
        f"curve count an epoch as {length} batches, so a trough at '1ep' comes after {length / batches:.3g} epochs of "
        'data, and max_duration may end before the later troughs; pass '
        f"train_subset_num_batches={batches} to the Trainer, or count the schedule in 'ba'",
        stacklevel=2,
    )


class _RateCheck:
    """Compares the optimizer's rates with the schedule's at each trough; a difference is a warning, once."""

    def __init__(self, schedule: RunSchedule, watch: RateWatch, max_duration: Time | None):
        self._schedule, self._watch, self._max_duration = schedule, watch, str(max_duration)
        self._set: list[float] | None = None
        self._driven: tuple[list[float], list[float]] | None = None
        self._warned = False

    def batch_trained(self, state: State) -> None:
        """Notices rates that something else than the scheduler has set for this batch."""
        rates = _rates(state)
        self._driven = None if self._set is None or self._set == rates else (rates, self._set)

    def scheduler_stepped(self, state: State) -> None:
        """Follows the rates that the scheduler has set for the next batch."""
        self._set = _rates(state)
        if self._schedule.comes_down is None:
            self._watch.see(self._set[0])

    def at_trough(self, state: State) -> tuple[float, float | None]:
        """Returns the rate of the first parameter group, and the scheduled one where that of any group is another."""
        rates, asked = self._driven or (_rates(state), self._asked(state))
        if self._schedule.comes_down is None:
            self._watch.reach_trough(rates[0])
        if asked is None or np.allclose(rates, asked, rtol=1e-6, atol=1e-12):
            return rates[0], None
        if not self._warned:
            self._warned = True
            warnings.warn(
                f'the learning rate at batch {state.timestamp.batch.value} is {rates[0]:.6g}, and the schedule asks '
                f'for {asked[0]:.6g}: something else drives it, or step_schedulers_every_batch=False steps the '
                'scheduler once per epoch; the points keep both, lr and scheduled_lr',
                stacklevel=2,
            )
        return rates[0], asked[0]

    def _asked(self, state: State) -> list[float] | None:
        # What stops training shortens max_duration, and with it a schedule in 'dur'.
        multiplier = self._schedule.last_multiplier(state) if str(state.max_duration) == self._max_duration else None
        if multiplier is None:
            return None
        return [float(group.get('initial_lr', group['lr'])) * multiplier for group in _groups(state)]


def _groups(state: State) -> list[dict]:
    return [group for optimizer in state.optimizers for group in optimizer.param_groups]


def _rates(state: State) -> list[float]:
    return [float(group['lr']) for group in _groups(state)]
