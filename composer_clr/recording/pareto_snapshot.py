"""Records a point of the tradeoff curve at each trough of the learning rate: the order of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from composer.core import Callback, Evaluator, Event, State, Time, TimeUnit
from composer.loggers import Logger

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.curves.names import filled_in
from composer_clr.curves.peaks import PeakWindow
from composer_clr.recording.curve_logger import CurveLogger, logged_to
from composer_clr.recording.curve_recorder import CurveRecorder
from composer_clr.recording.evaluation import give_evaluators_back, stated_directions
from composer_clr.recording.random_state import RandomState
from composer_clr.recording.resume import continued, ends_so_far, warn_of_replaced
from composer_clr.recording.run_folder import RunFolder
from composer_clr.recording.run_record import describe_run, optimizer_settings
from composer_clr.recording.run_state import RunState, TrainingClock
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import CyclicCosineScheduler
from composer_clr.schedule.times import read_duration, read_time
from composer_clr.utils.errors import did_you_mean
from composer_clr.utils.models import is_schedule_free
from composer_clr.utils.ranks import on_rank_zero, rank_numbers

__all__ = ['ParetoSnapshot']


class ParetoSnapshot(Callback):
    """Records a run's tradeoff curve: a point at each trough of its learning rate schedule.

    Every evaluator runs once at each trough, epoch-aligned or not, in addition to the user's own ``eval_interval``. The
    point holds the training time so far, the learning rate and every metric; the weights are saved; and
    ``{folder}/curve.json`` is rewritten, complete at every instant. A recorded point does not change, but for the time
    of one that a resumed run records again.

    Training is bit for bit what it is without this callback, on any number of ranks: the random numbers that the added
    evaluations draw are undone, and ``EarlyStopper`` and ``ThresholdStopper`` do not see these evaluations. Metrics
    that are themselves drawn at random, as those of masked language models, carry that noise. Under
    ``DistributedDataParallel`` every rank takes over rank 0's buffers (the statistics of batch norm) before it
    evaluates at a trough, so that the metrics are those of the saved weights.

    At each trough every logger receives the values below. One that takes tables gets a table ``pareto/points`` of all
    points so far, at each of the first 32, then with every eighth more, and at the end. What Weights & Biases, MLflow
    and TensorBoard get beside them stands at :class:`~composer_clr.loggers.wandb_live.WandBCurve`,
    :class:`~composer_clr.loggers.mlflow_live.MLflowCurve` and
    :class:`~composer_clr.loggers.tensorboard_live.TensorboardCurve`. A logger that fails causes a warning, and training
    continues.

    =================================  ===========================================================
    key                                value
    =================================  ===========================================================
    ``pareto/cycle``                   the cycle that ended, from 0
    ``pareto/epoch``                   batches over the train loader's length, if it has one
    ``pareto/wall_clock_train_s``      seconds of training alone
    ``pareto/lr``                      the learning rate of the optimizer, at its lowest
    ``pareto/sample``                  samples trained, over all ranks
    ``pareto/token``                   tokens trained, over all ranks, of text
    ``pareto/{label}/{metric}``        each metric at the trough
    ``pareto/peak/{label}/{metric}``   its best value within ``peak_window`` before the trough
    =================================  ===========================================================

    Training time is without evaluation and snapshots, and with the Trainer's own checkpoints (``save_folder``). It
    continues across a resume, without the time in which the dataloader fast-forwards to its place.

    A run is extended by the same command with a longer ``max_duration``, from its last checkpoint: a cyclic run ("one
    more doubling") is bit for bit the longer run that was never interrupted; one with one decay over all its length
    gets a point at its new end, and the earlier one is marked ``own_decay``. A run that is stopped before a trough says
    where in ``ended_at``; one with one decay has a point there, marked ``stopped``, which no command compares. Where
    the optimizer's rate at a trough is not the schedule's, the point also has ``scheduled_lr``. Each is a warning.

    The curve keeps what made it in ``settings``, by dotted name such as ``optimizer.lr``; a run that is resumed with
    other settings is refused (``on_change``), and another device, host or number of ranks is recorded in ``changes``. A
    run from another run's checkpoint (``load_path`` with another ``run_name``) starts an empty curve and names that run
    as its ``parent``. Optimizer settings and seed are the checkpoint's, as in Composer, which a warning says.

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
        overwrite (bool): Whether a new run may replace a curve that is already in the folder. A run resumed from a
            checkpoint continues its own curve in any case. Default: ``False``.
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
        OSError: At ``FIT_START``, if the folder cannot be created or written to; there and at a trough, if
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
        if on_change not in ('refuse', 'continue'):
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
        self._recorder: CurveRecorder | None = None  # from FIT_START on

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
        return self._kept.curve

    @property
    def loaded_run(self) -> Run | None:
        """The record in the checkpoint that the Trainer has loaded, before training starts."""
        return self._kept.run

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Passes every event to the clock first, and from ``FIT_START`` on to the recorder."""
        self._kept.clock.on(event)
        super().run_event(event, state, logger)
        if self._recorder is not None:
            self._recorder.run_event(event, state, logger)
        if event is Event.EVAL_AFTER_ALL:
            self._kept.clock.stop()

    def init(self, state: State, logger: Logger) -> None:
        del logger
        self._passed = optimizer_settings(state), state.rank_zero_seed

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuses what cannot work, before the first batch; then makes every evaluator run at troughs."""
        random_state = RandomState.now(state)
        _check_trainer(self, state)
        kept = self._state_of(state)
        if self.on_nan == 'stop' and kept.points and kept.points[-1].diverged:
            raise ValueError(
                f'the checkpoint is of a run that had diverged by cycle {kept.last_cycle}, batch '
                f'{kept.points[-1].batch}: start from an earlier one with a lower learning rate, or continue with '
                "on_nan='continue'"
            )
        schedule = RunSchedule.of_trainer(state, self.scheduler)
        _check_schedule(schedule, state)
        _check_metric_names('metrics', self.metrics or (), state)
        _check_metric_names('directions', self.directions, state)
        if self._recorder is not None:
            self._recorder.close(state, logger)
        self._recorder = self._open(state, logger, schedule, kept)
        self._kept = kept
        kept.clock.start(mid_epoch=state.timestamp.batch_in_epoch.value > 0)
        random_state.load()

    def close(self, state: State, logger: Logger) -> None:
        give_evaluators_back(state)
        if self._recorder is not None:
            self._recorder.close(state, logger)

    # For callbacks that evaluate or save more at a trough.

    def save_beside(self, state: State, suffix: str) -> None:
        """Saves what the network holds beside the snapshot of the trough, if any, as ``cycle0-ba20-{suffix}.pt``."""
        recorder = self._started()
        if recorder.due:
            recorder.folder.save_weights(state, recorder.due[-1], f'-{suffix}')

    def note_extra(self, name: str, cost: dict[str, float]) -> None:
        """Records the cost of a second set of metrics of the coming point: ``train_s`` and ``batches``."""
        self._started().extra[name] = cost

    def save_file(self, state: State, name: str, *, weights_only: bool) -> None:
        """Saves a checkpoint into the folder of the curve, whole at once; on all ranks together."""
        self._started().folder.save(state, name, weights_only=weights_only)

    def _started(self) -> CurveRecorder:
        if self._recorder is None:
            raise RuntimeError('ParetoSnapshot has no curve before training has started')
        return self._recorder

    def _state_of(self, state: State) -> RunState:
        """Returns what the run that starts now goes on with: of another run's checkpoint, the time alone."""
        loaded = self._kept.run
        if state.timestamp.batch.value == 0:
            return RunState()
        if loaded is None:  # Composer's clock is all there is of the time before
            return RunState(clock=TrainingClock(state.timestamp.total_wct.total_seconds()))
        if loaded.run_name != state.run_name:
            return RunState(clock=self._kept.clock)
        # Training goes on from where it was stopped, towards the trough.
        return replace(self._kept, points=[point for point in self._kept.points if not point.stopped])

    def _open(self, state: State, logger: Logger, schedule: RunSchedule, kept: RunState) -> CurveRecorder:
        """Claims the folder, where rank 0 writes the curve: whether it can is known before anything is spent."""
        batch, (passed, seed) = state.timestamp.batch.value, self._passed
        loaded = self._kept.run if batch else None
        resumed = bool(batch) and (loaded is None or kept.run is loaded)
        # Rank 0's, as in the checkpoint: each rank may have data and a host of its own.
        run = on_rank_zero(
            lambda: describe_run(
                state,
                schedule,
                method=self.method,
                kind=self.kind,
                peak_window=str(self.peak_window) if self.peak_window.value else '0ep',
                passed=passed,
                loaded=loaded,
                recipe=self.recipe,
            )
        )
        run = replace(run, started_at=datetime.now(timezone.utc).isoformat(timespec='seconds'))
        if resumed:
            kind_given = self.kind is not None
            run = continued(kept, run, schedule, state, passed=passed, on_change=self.on_change, kind_given=kind_given)
        elif loaded is not None:
            left = {'run_name': loaded.run_name, 'batch': batch, 'wall_clock_train_s': kept.clock.train_s}
            run = replace(run, parent=left)
        if batch:
            warn_of_replaced(run, passed, seed)
        if self.kind is None:
            run = kept.rate.judged(run)
        logged = on_rank_zero(lambda: logged_to(logger))
        kept.run = replace(run, directions={**stated_directions(state), **self.directions}, logged_to=logged)
        kept.ends = ends_so_far(schedule, schedule.now(state))
        curve, length = kept.curve, round(schedule.count('peak_window', self.peak_window))
        window = PeakWindow(length, curve.run.directions, kept.seen)
        folder = RunFolder(filled_in(self.folder, state.run_name, **rank_numbers()))

        def claim() -> None:
            folder.prepare()
            folder.take_over(curve, resumed=resumed, overwrite=self.overwrite, autoresume=self.autoresume)

        try:
            on_rank_zero(claim)
            curve_logger = CurveLogger(logger, curve, batch=batch, resumed=resumed, log_artifact=self.log_artifact)
            return CurveRecorder(self, kept, state, schedule, window, folder, curve_logger)
        except BaseException:
            folder.close()
            raise


def _check_trainer(snapshot: ParetoSnapshot, state: State) -> None:
    """Refuses a Trainer in which a curve cannot be recorded."""
    loaders = [evaluator.dataloader.dataloader for evaluator in state.evaluators]
    # On TPUs the two differ in every run.
    if state.dataloader is not state.train_dataloader and any(state.dataloader is loader for loader in loaders):
        raise ValueError(
            f"an evaluation was interrupted, and the data of '{state.dataloader_label}' would be trained on: pass "
            'train_dataloader to fit() again'
        )
    if any(isinstance(other, ParetoSnapshot) and other is not snapshot for other in state.callbacks):
        raise ValueError(
            'the Trainer has several ParetoSnapshot callbacks, and its checkpoints keep the state of one only: '
            'give it one (it records every evaluator)'
        )
    if not state.evaluators:
        raise ValueError('ParetoSnapshot has nothing to evaluate: give eval_dataloader to the Trainer')
    for evaluator in state.evaluators:
        _check_evaluator(evaluator, state)
    free = next(filter(is_schedule_free, state.optimizers), None)
    if free is not None and not any(getattr(one, 'schedule_free', False) for one in state.callbacks):
        raise ValueError(
            f'{type(free).__name__} evaluates other weights than those that it trains: give the Trainer the callback '
            'ScheduleFree() too'
        )
    if snapshot.save_weights and state.fsdp_sharded_state_dict_enabled:
        raise ValueError(
            "save_weights=True needs whole state dicts, but FSDP's are sharded: "
            "set state_dict_type='full' in the FSDP config, or save_weights=False and use the Trainer's save_folder"
        )


def _check_evaluator(evaluator: Evaluator, state: State) -> None:
    """Refuses an evaluator without a sample, whose metrics would be zeros, and one whose loader is that of training."""
    loader = evaluator.dataloader.dataloader
    if evaluator.subset_num_batches == 0:
        raise ValueError(
            f"evaluator '{evaluator.label}': eval_subset_num_batches=0 evaluates on no sample: give a number above "
            '0, or -1 for all'
        )
    with suppress(TypeError):  # a loader over an iterable has no length
        if len(loader) == 0:  # type: ignore[arg-type]
            raise ValueError(f"evaluator '{evaluator.label}': its loader has no batch: give it data")
    if loader is state.train_dataloader and getattr(loader, 'persistent_workers', False):
        raise ValueError(
            f"evaluator '{evaluator.label}' has the train loader, whose workers persist: an evaluation within an "
            'epoch would start the epoch over: give it a loader of its own'
        )


def _check_schedule(schedule: RunSchedule, state: State) -> None:
    """Warns of a run that is cut within a cycle, and refuses algorithms that do not go with its cycles or marks."""
    if state.max_duration is not None and state.max_duration.unit != TimeUnit.SECOND:
        read_duration('max_duration', state.max_duration)
    schedule.warn_if_cut()
    if state.algorithms:
        # Imported for runs that use algorithms: Composer's take longer to import than the rest of this package.
        from composer_clr.algorithms.in_cycles import check_algorithms

        check_algorithms(state, schedule)


def _check_metric_names(argument: str, names: Iterable[str], state: State) -> None:
    """Refuses metrics that no evaluator has; the error has the nearest known one."""
    present = [f'{label}/{name}' for label, metrics in state.eval_metrics.items() for name in metrics]
    for name in names:
        if name not in present:
            hint = did_you_mean(name, present)
            raise ValueError(f'{argument} names {name!r}, but the evaluators have {present}{hint}')
