"""Records a point of the tradeoff curve at each trough of the learning rate: the order of events."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from composer.core import Callback, Event, State, Time
from composer.loggers import Logger

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import filled_in
from composer_clr.curves.peaks import PeakWindow
from composer_clr.recording.curve_logger import CurveLogger
from composer_clr.recording.curve_recorder import CurveRecorder
from composer_clr.recording.evaluation import AddedEvaluations, give_evaluators_back, stated_directions
from composer_clr.recording.existing_curve import take_over
from composer_clr.recording.preconditions import (
    check_epoch_length,
    check_metric_names,
    check_not_diverged,
    check_schedule,
    check_trainer,
)
from composer_clr.recording.random_state import RandomState
from composer_clr.recording.rates import RateCheck
from composer_clr.recording.resume import ON_CHANGE, continue_points, ends_so_far, ignored, is_over
from composer_clr.recording.run_folder import RunFolder, save_file, save_weights
from composer_clr.recording.run_record import describe_run
from composer_clr.recording.run_state import RunState, Start
from composer_clr.recording.trainer_settings import optimizer_settings
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.times import read_time
from composer_clr.utils.ranks import on_rank_zero, rank_numbers

__all__ = ['ParetoSnapshot']


class ParetoSnapshot(Callback):
    """Records a run's tradeoff curve: a point at each trough of its learning rate schedule.

    Every evaluator runs once at each trough, epoch-aligned or not, in addition to the user's own ``eval_interval``. The
    point holds the training time so far, the learning rate and every metric; the weights are saved; and
    ``{folder}/curve.json`` is rewritten, complete at every instant. A recorded point does not change, with one
    exception: a run that is resumed from before a trough records its point again, with the same metrics and a new time.

    Training is bit for bit what it is without this callback, on any number of ranks: the random numbers that the added
    evaluations draw are undone, and ``EarlyStopper`` and ``ThresholdStopper`` do not see these evaluations. Metrics
    that are themselves drawn at random, as those of masked language models, carry that noise. Under
    ``DistributedDataParallel`` every rank takes over rank 0's buffers (the statistics of batch norm) before it
    evaluates at a trough, so that the metrics are those of the saved weights.

    At each trough every logger receives the values below. One that takes tables gets a table ``pareto/points`` of all
    points so far, at each of the first 32, then with every eighth more, and at the end; Weights & Biases gets axes, a
    chart and more (:class:`~composer_clr.wandb_io.live.WandBCurve`). A logger that fails causes a warning, and training
    continues.

    =================================  ===========================================================
    key                                value
    =================================  ===========================================================
    ``pareto/cycle``                   the cycle that ended, from 0
    ``pareto/epoch``                   batches over the train loader's length, if it has one
    ``pareto/wall_clock_train_s``      seconds of training alone
    ``pareto/lr``                      the learning rate of the optimizer, at its lowest
    ``pareto/{label}/{metric}``        each metric at the trough
    ``pareto/peak/{label}/{metric}``   its best value within ``peak_window`` before the trough
    =================================  ===========================================================

    Training time is without evaluation and snapshots, and with the Trainer's own checkpoints (``save_folder``), by a
    monotonic clock. It continues across a resume, without the time in which the dataloader fast-forwards to its place.

    A run is extended by the same command with a longer ``max_duration``, from its last checkpoint: with cyclic
    schedules ("one more doubling") it is bit for bit the longer run that was never interrupted, points and weights. A
    run with one decay over all its length (``standard``) gets a point at its new end beside the earlier one, which is
    marked ``own_decay``. A run that is stopped before a trough records where in ``ended_at``, with a warning; one with
    one decay also gets a point there, marked ``stopped``, which no command compares. Where the optimizer's rate at a
    trough is not the schedule's, a warning is given, and the point also has ``scheduled_lr``.

    The curve keeps what made it in ``settings``, by dotted name such as ``optimizer.lr``; a run that is resumed with
    other settings is refused (``on_change``), and another device, host or number of ranks is recorded in ``changes``. A
    run from another run's checkpoint (``load_path`` with another ``run_name``) starts an empty curve and names that run
    as its ``parent``. Optimizer settings and seed are the checkpoint's, as in Composer; a warning names those that were
    given otherwise.

    Args:
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): The scheduler whose troughs to record, or the
            troughs themselves, such as ``['16ep', '32ep']``, or ``['1dur']`` for a schedule of your own with one decay
            that ends with training, as ModernBERT's ``warmup_stable_decay``, ``cosine_inverse_sqrt`` and
            ``one_minus_sqrt``. Default: ``None``, the Trainer's own scheduler.
        folder (str): The folder of ``curve.json`` and the snapshots: a local one, or a URI such as
            ``s3://bucket/study``. ``{run_name}`` stands for the run's name. Default: ``'{run_name}/pareto'``.
        metrics (Sequence[str] | None): The metrics to record, each ``label/metric`` such as
            ``'eval/MulticlassAccuracy'``. Default: ``None``, every metric of every evaluator.
        directions (Mapping[str, str] | None): Whether ``'max'`` or ``'min'`` is best, by metric; kept in
            ``curve.json``. Default: ``None``, as the metric states it (``higher_is_better``), else as
            :func:`~composer_clr.curves.metrics.is_lower_better` reads its name.
        save_weights (bool): Whether to save the weights at each trough. Default: ``True``.
        peak_window (str | Time): How far before a trough its peak metrics look, over the evaluations of the user's own
            ``eval_interval``, and never past the cycle's restart. Default: ``'0ep'``.
        method (str | None): Name of the training method. Default: ``None``, derived from the Trainer's algorithms
            (``'baseline'``, ``'BP+CL'``).
        kind (str | None): Kind of curve. Default: ``None``, ``'standard'`` for one trough and ``'cyclic'`` for more, or
            ``'wsd-s'`` where the schedule's cycles hold their peak before they decay; ``'marked'`` for several troughs
            passed where the rate does not come down to them.
        overwrite (bool): Whether a new run may replace a curve that is already in the folder, and remove its snapshots.
            A run resumed from a checkpoint continues its own curve in any case. Default: ``False``.
        autoresume (bool): Whether the Trainer was given ``autoresume``, which callbacks cannot see. A run that then
            finds its own curve but no checkpoint keeps that curve aside (``curve-1.json``) and starts over, unless
            other settings made it. Default: ``False``.
        on_nan (str): Whether to ``'stop'`` or ``'continue'`` after a trough at which training has diverged, that is, at
            which the last batch's loss or a weight is not a finite number. Its point is recorded with ``diverged``
            true, and a warning is given. Default: ``'stop'``.
        on_change (str): Whether to ``'refuse'`` or ``'continue'`` a run that is resumed with other settings than its
            points were recorded with: optimizer, schedule up to now, algorithms, averages, loss, network, data, batch
            size, method or kind. The curve then records in ``changes`` what changed at which batch. Default:
            ``'refuse'``.
        log_artifact (bool): Whether to log each snapshot to Weights & Biases as an artifact. Default: ``False``.

    Raises:
        ValueError: On construction, if an argument is out of range; at ``FIT_START``, before the first batch, if the
            Trainer has no evaluation data, no schedule with known troughs, or not a metric that was asked for, or if
            the run had diverged and ``on_nan`` is ``'stop'``, or other settings and ``on_change`` is ``'refuse'``.
        FileExistsError: At ``FIT_START``, if the folder holds a curve of another run or other settings, and
            ``overwrite`` is false.
        FolderInUseError: At ``FIT_START``, if another live process writes to the folder.
        NotADirectoryError: At ``FIT_START``, if the folder cannot be created.
        OSError: At ``FIT_START``, if the folder has no room for the first snapshot; there and at a trough, if
            ``curve.json`` cannot be written. A snapshot that cannot be written causes a warning, and its point has no
            ``checkpoint``.

    Example:
        >>> from composer_clr import CyclicCosineScheduler, ParetoSnapshot
        >>> arguments = dict(
        ...     schedulers=CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep'),
        ...     callbacks=ParetoSnapshot(folder='runs/{run_name}'),
        ...     max_duration='512ep',
        ... )  # Trainer(model=..., train_dataloader=..., eval_dataloader=..., **arguments)

    Source:
        Portes et al. 2022, arXiv:2206.00832.
    """

    def __init__(
        self,
        scheduler: CyclicCosineScheduler | Sequence[str | Time] | None = None,
        *,
        folder: str = '{run_name}/pareto',
        metrics: Sequence[str] | None = None,
        directions: Mapping[str, str] | None = None,
        save_weights: bool = True,
        peak_window: str | Time = '0ep',
        method: str | None = None,
        kind: str | None = None,
        overwrite: bool = False,
        autoresume: bool = False,
        on_nan: str = 'stop',
        on_change: str = 'refuse',
        log_artifact: bool = False,
    ):
        if not folder:
            raise ValueError(f"{folder=}: name a folder for curve.json, such as '{{run_name}}/pareto'")
        for name, direction in (directions or {}).items():
            if direction not in ('max', 'min'):
                raise ValueError(f"directions[{name!r}]={direction!r}: must be 'max' or 'min'")
        if isinstance(metrics, str):
            raise ValueError(f'metrics={metrics!r}: give a list of names, [{metrics!r}]')
        if on_nan not in ('stop', 'continue'):
            raise ValueError(f"{on_nan=}: must be 'stop' or 'continue'")
        if on_change not in ON_CHANGE:
            raise ValueError(f"{on_change=}: must be 'refuse' or 'continue'")
        if log_artifact and not save_weights:
            raise ValueError('log_artifact=True logs the snapshots, which save_weights=False omits: save them')
        self.scheduler = scheduler
        self.folder = folder
        self.metrics = metrics
        self.directions = dict(directions or {})
        self.save_weights = save_weights
        self.peak_window = read_time('peak_window', peak_window)
        if self.peak_window.value < 0:
            raise ValueError(f'{peak_window=!s}: must not be negative')
        self.method = method
        self.kind = kind
        self.overwrite = overwrite
        self.autoresume = autoresume
        self.on_nan = on_nan
        self.on_change = on_change
        self.log_artifact = log_artifact

        # A run from a recipe keeps it, resolved and plain, among its settings.
        self.recipe: dict[str, Any] | None = None

        self._kept = RunState()
        # What the Trainer was given and a checkpoint replaces: the optimizers' settings and the seed.
        self._passed: tuple[dict[str, Any], int] = {}, 0
        # From FIT_START on.
        self._recorder: CurveRecorder | None = None
        self._added: AddedEvaluations | None = None

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps: plain values alone, so that it loads with ``weights_only=True``."""
        return self._kept.as_plain()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept = RunState.from_plain(state)

    @property
    def curve(self) -> TradeoffCurve:
        """The curve so far.

        Raises:
            RuntimeError: Before training has started.
        """
        return self._started().curve

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Passes every event to the clock first."""
        self._kept.clock.on(event)
        super().run_event(event, state, logger)

    @property
    def loaded_run(self) -> Run | None:
        """The record in the checkpoint that the Trainer has loaded, before training starts."""
        return self._kept.run

    def init(self, state: State, logger: Logger) -> None:
        del logger
        self._passed = optimizer_settings(state), state.rank_zero_seed

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuses what cannot work, before the first batch; then makes every evaluator run at troughs."""
        random_state = RandomState.now(state)
        check_trainer(self, state, save_weights=self.save_weights)
        loaded = self.loaded_run
        start = self._kept.start(state)
        if self.on_nan == 'stop':
            check_not_diverged(self._kept.points)
        schedule = RunSchedule.of_trainer(state, self.scheduler)
        check_schedule(schedule, state)
        check_metric_names('metrics', self.metrics or (), state)
        check_metric_names('directions', self.directions, state)
        if self._recorder is not None and self._added is not None:
            self._recorder.folder.close()
            self._added.show_stoppers()
        recorder = self._recorder = self._open(state, logger, start, loaded, schedule)
        self._added = AddedEvaluations(
            state, lambda state: bool(recorder.cycles_completed(state)), recorder.has_just_recorded
        )
        self._kept.clock.start(mid_epoch=state.timestamp.batch_in_epoch.value > 0)
        random_state.load()

    def after_train_batch(self, state: State, logger: Logger) -> None:
        del logger
        self._started().rates.batch_trained(state)

    def batch_end(self, state: State, logger: Logger) -> None:
        del logger
        self._started().rates.scheduler_stepped(state)

    def epoch_end(self, state: State, logger: Logger) -> None:
        del logger
        check_epoch_length(state)
        self._started().rates.scheduler_stepped(state)  # which may be once per epoch

    def eval_before_all(self, state: State, logger: Logger) -> None:
        del logger
        if self._recorder is not None and self._added is not None:
            self._recorder.begin(state, self._added)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Saves the weights at a trough, now that algorithms such as EMA have put in those that are evaluated."""
        del logger
        if self._recorder is not None and self._added is not None:
            self._added.begin_one(state)
            self._recorder.save(state)

    def eval_end(self, state: State, logger: Logger) -> None:
        del logger
        if self._recorder is not None:
            self._recorder.measure(state)

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Records the point if this evaluation is at a trough."""
        del logger
        recorder, added = self._recorder, self._added
        if recorder is not None and added is not None:
            cycles = recorder.cycles_completed(state)
            if cycles:
                added.end(state)
                point = recorder.record(state, cycles)
                added.leave(state, for_good=False)
                self._stop_if_diverged(state, point)
            else:
                recorder.note(state)
        self._kept.clock.resume()

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        del logger
        if self._added is not None:
            self._added.leave(state, for_good=True)

    def fit_end(self, state: State, logger: Logger) -> None:
        """Comes before the evaluators that run at the end of training, also for the point of a run that was stopped.

        Logs the table of all points, which may lack the last ones where training ends before its last trough.
        """
        del logger
        recorder = self._started()
        recorder.end(state)
        if self._kept.points:
            recorder.logger.log_table(recorder.curve, state.timestamp.batch.value)

    def close(self, state: State, logger: Logger) -> None:
        del logger
        give_evaluators_back(state)
        if self._recorder is not None:
            self._recorder.folder.close()

    # For callbacks that evaluate or save more at a trough.

    def save_beside(self, state: State, suffix: str) -> None:
        """Saves what the network holds beside the snapshot of the trough, if any, as ``cycle0-ba20-{suffix}.pt``."""
        cycles = self._started().cycles_completed(state)
        if cycles:
            save_weights(state, self._started().folder, cycles[-1], f'-{suffix}')

    def note_extra(self, name: str, cost: dict[str, float]) -> None:
        """Records the cost of a second set of metrics of the coming point: ``train_s`` and ``batches``."""
        self._started().measurement.extra[name] = cost

    def save_file(self, state: State, name: str, *, weights_only: bool) -> None:
        """Saves a checkpoint into the folder of the curve, whole at once; on all ranks together."""
        save_file(state, self._started().folder, name, weights_only=weights_only)

    def _started(self) -> CurveRecorder:
        if self._recorder is None:
            raise RuntimeError('ParetoSnapshot has no curve before training has started')
        return self._recorder

    def _stop_if_diverged(self, state: State, point: TradeoffPoint) -> None:
        if not point.diverged:
            return
        stops = self.on_nan == 'stop'
        warnings.warn(
            f'training has diverged by cycle {point.cycle}, batch {point.batch}: a loss or a weight is not a finite '
            f"number; {'training stops here' if stops else 'training continues'} (on_nan='{self.on_nan}')",
            UserWarning,
            stacklevel=2,
        )
        if stops:
            state.stop_training()

    def _open(
        self, state: State, logger: Logger, start: Start, loaded: Run | None, schedule: RunSchedule
    ) -> CurveRecorder:
        """Claims the folder, where rank 0 writes the curve: whether it can is known before anything is spent."""
        kept, resumed = self._kept, start is Start.RESUMED
        passed, seed = self._passed
        # Rank 0's, as in the checkpoint: each rank may have data and a host of its own.
        run = on_rank_zero(
            lambda: describe_run(
                state,
                schedule,
                method=self.method,
                kind=self.kind,
                started_at=kept.started_at,
                peak_window=str(self.peak_window) if self.peak_window.value else '0ep',
                passed=passed,
                loaded=None if start is Start.ANEW else loaded,
                recipe=self.recipe,
            )
        )
        run = replace(run, parent=kept.parent)
        warned: list[str] = []
        if resumed:
            kind_given = self.kind is not None
            warned = continue_points(
                kept, run, schedule, state, passed=passed, on_change=self.on_change, kind_given=kind_given
            )
            if kept.run is not None and is_over(schedule, state):
                run = kept.run
        if start is not Start.ANEW:
            warned += ignored(run, passed, seed)
        for warning in warned:
            warnings.warn(warning, UserWarning, stacklevel=2)
        if self.kind is None:
            run = kept.rate.judged(run)
        directions = {**stated_directions(state), **self.directions}
        run = replace(run, directions=directions, changes=kept.changes)
        kept.run, kept.ends = run, ends_so_far(schedule, state)
        curve = TradeoffCurve(run, list(kept.points))
        window = PeakWindow(round(schedule.count('peak_window', self.peak_window)), directions, kept.seen)
        folder = RunFolder(filled_in(self.folder, state.run_name, **rank_numbers()))

        def claim() -> list[TradeoffPoint]:
            folder.prepare()
            if self.save_weights:
                folder.check_room(sum(t.nbytes for t in (*state.model.parameters(), *state.model.buffers())))
            return take_over(folder, curve, resumed=resumed, overwrite=self.overwrite, autoresume=self.autoresume)

        try:
            later = on_rank_zero(claim)
            curve_logger = CurveLogger(logger, curve, resumed=resumed, log_artifact=self.log_artifact)
        except BaseException:
            folder.close()
            raise
        return CurveRecorder(
            kept,
            run,
            schedule,
            RateCheck(schedule, kept.rate, state.max_duration),
            folder,
            window,
            curve_logger,
            later,
            metrics=self.metrics,
            save_weights=self.save_weights,
            log_artifact=self.log_artifact,
            kind_given=self.kind is not None,
        )
