"""At each trough of the learning rate: evaluate, record a point of the tradeoff curve, save the weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any

from composer.core import Callback, State, Time
from composer.loggers import Logger
from composer.utils import dist, format_name_with_dist
from composer.utils.checkpoint import save_checkpoint

from composer_clr.algorithms.in_cycles import check_run_clocks
from composer_clr.curves.curve import CURVE_FILE, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import check_run_name
from composer_clr.curves.peak_window import PeakWindow
from composer_clr.recording.curve_logger import LiveCurve
from composer_clr.recording.divergence import has_diverged
from composer_clr.recording.evaluation import ask_at_troughs_too, check_metric_names, scalars, share_buffers
from composer_clr.recording.existing_curve import take_over, with_later
from composer_clr.recording.run_folder import RunFolder, snapshot_name
from composer_clr.recording.run_record import describe_run
from composer_clr.recording.training_clock import TrainingClock
from composer_clr.schedule.scheduler import CyclicCosineScheduler, warn_if_cut
from composer_clr.schedule.times import COUNTED, common_unit, horizon, in_unit, now, parse_time
from composer_clr.schedule.trainer_schedule import TrainerSchedule, trainer_schedule
from composer_clr.utils.ranks import on_rank_zero

__all__ = ['ParetoSnapshot']


class ParetoSnapshot(Callback):
    """Draws a run's tradeoff curve: a point at each trough of its learning rate schedule.

    Every evaluator runs once at each trough, epoch-aligned or not, on top of the user's own ``eval_interval``. The
    point then holds the training time so far, the learning rate and every metric; the weights are saved; and
    ``{folder}/curve.json`` is written anew, whole at every instant. A point is never changed, but for one thing: a run
    that is resumed from before a trough makes its point again, with the same metrics and a new time. Under
    ``DistributedDataParallel`` every rank takes over rank 0's buffers (the statistics of batch norm) before it
    evaluates at a trough, so that the metrics are those of the saved weights.

    Logged at each trough, to every logger, with a table ``pareto/points`` of all points so far to those that take
    tables; Weights & Biases gets axes, a chart and more (:class:`~composer_clr.wandb_io.live.WandBCurve`). A logger
    that fails is warned of, and training goes on.

    =================================  ===========================================================
    key                                value
    =================================  ===========================================================
    ``pareto/cycle``                   the cycle that ended, from 0
    ``pareto/epoch``                   batches over the train loader's length, if it has one
    ``pareto/wall_clock_train_s``      seconds of training alone
    ``pareto/lr``                      the learning rate, at its lowest
    ``pareto/{label}/{metric}``        each metric at the trough
    ``pareto/peak/{label}/{metric}``   its best value within ``peak_window`` before the trough
    =================================  ===========================================================

    Training time is Composer's ``timestamp.total_wct``: evaluation and the saving of snapshots are not in it; the
    Trainer's own checkpoints (``save_folder``) are. It goes on across a resume, less the time that the dataloader takes
    to spin forward to its place.

    Args:
        scheduler (CyclicCosineScheduler | Sequence[str | Time] | None): What tells the troughs: a scheduler, or the
            troughs themselves, such as ``['16ep', '32ep']``. Default: ``None``, the Trainer's own scheduler.
        folder (str): Where ``curve.json`` and the snapshots go: a local folder, or a URI such as ``s3://bucket/study``.
            ``{run_name}`` stands for the run's name. Default: ``'{run_name}/pareto'``.
        metrics (Sequence[str] | None): The metrics to record, each ``label/metric`` such as
            ``'eval/MulticlassAccuracy'``. Default: ``None``, every metric of every evaluator.
        directions (Mapping[str, str] | None): For the peak, whether ``'max'`` or ``'min'`` is best, by metric. By
            default names with ``loss``, ``error``, ``entropy`` or ``perplexity`` in them are ``'min'``.
        save_weights (bool): Whether to save the weights at each trough. Default: ``True``.
        peak_window (str | Time): How far before a trough its peak metrics look, over whatever evaluations the user's
            own ``eval_interval`` makes there, and never past the cycle's restart. Default: ``'0ep'``.
        method (str | None): Name of the training method. Default: ``None``, made of the Trainer's algorithms
            (``'baseline'``, ``'BP+CL'``).
        kind (str | None): Kind of curve. Default: ``None``, ``'standard'`` for one trough and ``'cyclic'`` for more, or
            ``'wsd-s'`` where the schedule's cycles hold their peak before they decay. A run of the kind ``'branch'``
            that starts from another run's checkpoint names it as its ``parent``, and has none of its points.
        overwrite (bool): Whether a new run may take the place of a curve that is in the folder already, whose snapshots
            are then removed. A run resumed from a checkpoint goes on with its own curve in any case. Default:
            ``False``.
        autoresume (bool): Whether the Trainer was given ``autoresume``, of which it tells its callbacks nothing. A run
            that then finds its own curve but had no checkpoint yet keeps that curve aside (``curve-1.json``) and
            starts over. Default: ``False``.
        on_nan (str): What follows the trough at which training has diverged, that is, at which the last batch's loss
            or a weight is no finite number. Its point is recorded as it is, with ``diverged`` true. Then ``'stop'``
            ends training, with a warning, and ``'continue'`` goes on. Default: ``'stop'``.
        log_artifact (bool): Whether to log each snapshot to Weights & Biases as an artifact. Default: ``False``.

    Raises:
        ValueError: On construction, if an argument is out of range; at ``FIT_START``, before the first batch, if there
            is no evaluation data, no schedule with troughs, no metric of a name that was asked for, or a run that has
            diverged already and is to stop.
        FileExistsError: At ``FIT_START``, if the folder holds a curve and ``overwrite`` is false.
        FolderInUseError: At ``FIT_START``, if another live process writes to the folder.
        NotADirectoryError: At ``FIT_START``, if the folder cannot be made.
        OSError: At ``FIT_START``, if it has no room for the first snapshot, or the curve cannot be written to it.
        OSError: If ``curve.json`` cannot be written: at ``FIT_START``, or at a trough. Snapshots that cannot be are
            warned of, and their points have no ``checkpoint``.

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
        log_artifact: bool = False,
    ):
        if not folder:
            raise ValueError(f"{folder=}: name a folder for curve.json, such as '{{run_name}}/pareto'")
        for name, direction in (directions or {}).items():
            if direction not in ('max', 'min'):
                raise ValueError(f"directions[{name!r}]={direction!r}: best is either 'max' or 'min'")
        if isinstance(metrics, str):
            raise ValueError(f'metrics={metrics!r}: give a list of names, [{metrics!r}]')
        if on_nan not in ('stop', 'continue'):
            raise ValueError(f"{on_nan=}: what follows a loss that is no number is either 'stop' or 'continue'")
        if log_artifact and not save_weights:
            raise ValueError('log_artifact=True logs the snapshots, and save_weights=False makes none: save them')
        self.scheduler = scheduler
        self.folder = folder
        self.metrics = metrics
        self.directions = dict(directions or {})
        self.save_weights = save_weights
        self.peak_window = parse_time('peak_window', peak_window)
        if self.peak_window.value < 0:
            raise ValueError(f'{peak_window=!s}: a window before the trough cannot be negative')
        self.method = method
        self.kind = kind
        self.overwrite = overwrite
        self.autoresume = autoresume
        self.on_nan = on_nan
        self.log_artifact = log_artifact

        self._points: list[TradeoffPoint] = []
        # Recorded by this run after the checkpoint that it goes on from: kept until they are made again.
        self._later: list[TradeoffPoint] = []
        self._started_at: str | None = None
        # Of which run the state is, and which one that run was branched off.
        self._of_run: str | None = None
        self._parent: dict[str, Any] | None = None
        self._clock = TrainingClock()
        self._window = PeakWindow(0, self.directions)

        # Known from FIT_START on.
        self._schedule: TrainerSchedule | None = None
        self._run: Run | None = None
        self._run_folder: RunFolder | None = None
        self._live: LiveCurve | None = None
        # What the evaluation that is going on has measured so far, and the weights that it is over.
        self._evaluated: dict[str, float] = {}
        self._checkpoint: str | None = None
        self._extra: dict[str, dict[str, float]] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain values alone, so that it loads with ``weights_only=True``."""
        return {
            'points': [asdict(point) for point in self._points],
            'started_at': self._started_at,
            'run_name': self._of_run,
            'parent': self._parent,
            'paused_s': self._clock.paused_s,
            'spinning_s': self._clock.spinning_s,
            'seen': [[t, dict(metrics)] for t, metrics in self._window.seen],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._points = [TradeoffPoint(**point) for point in state['points']]
        self._started_at = state['started_at']
        # Checkpoints from before there were branches say nothing of them.
        self._of_run, self._parent = state.get('run_name'), state.get('parent')
        self._clock = TrainingClock(state['paused_s'], state['spinning_s'])
        self._window.seen = [(t, dict(metrics)) for t, metrics in state['seen']]

    @property
    def curve(self) -> TradeoffCurve:
        """The curve so far.

        Raises:
            RuntimeError: Before training has started.
        """
        if self._run is None:
            raise RuntimeError('there is no curve before training has started')
        return TradeoffCurve(self._run, list(self._points))

    def fit_start(self, state: State, logger: Logger) -> None:
        """Refuse what cannot work, before the first batch; then have every evaluator asked about troughs."""
        self._check_trainer(state)
        branches_off = self._branches_off(state)
        if state.timestamp.batch.value == 0:
            # A run from its beginning, whatever this callback or the checkpoint's may have seen before.
            self._points, self._started_at, self._clock = [], None, TrainingClock()
            self._window.restart()
            self._parent = None
        elif branches_off:
            self._parent = {
                'run_name': self._of_run,
                'batch': state.timestamp.batch.value,
                'wall_clock_train_s': self._clock.train_s(state.timestamp.total_wct.total_seconds()),
            }
            self._points, self._started_at = [], None
            self._window.restart()
        self._of_run = state.run_name
        self._check_not_diverged()
        schedule = self._schedule = trainer_schedule(state, self.scheduler)
        warn_if_cut(schedule.cycles, schedule.unit, state)
        until = horizon(state, schedule.unit)
        if until is None or schedule.cycles.bounds(0)[1] < until:
            check_run_clocks(state)
        check_metric_names('metrics', self.metrics or (), state)
        check_metric_names('directions', self.directions, state)
        self._window.length = self._window_length(state, schedule)
        self._started_at = self._started_at or datetime.now(timezone.utc).isoformat(timespec='seconds')
        self._run = describe_run(state, schedule, method=self.method, kind=self.kind, started_at=self._started_at)
        self._run = replace(self._run, parent=self._parent)
        self._open_folder(state, new=branches_off or state.timestamp.batch.value == 0)
        self._live = LiveCurve(
            logger,
            self.curve,
            resumed=state.timestamp.batch.value > 0 and not branches_off,
            directions=self.directions,
            log_artifact=self.log_artifact,
        )
        ask_at_troughs_too(state, lambda state: bool(self._cycles_completed(state)), self._just_recorded)
        self._clock.training_starts(mid_epoch=state.timestamp.batch_in_epoch.value > 0)

    def before_dataloader(self, state: State, logger: Logger) -> None:
        del state, logger
        self._clock.loader_asked()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        del state, logger
        self._clock.progress()

    def epoch_end(self, state: State, logger: Logger) -> None:
        """An epoch whose every batch was spun over ends without one that is trained on."""
        del state, logger
        self._clock.progress()

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Give every rank, at a trough, the weights that rank 0 will save."""
        del logger
        self._clock.pause()
        self._evaluated, self._checkpoint, self._extra = {}, None, {}
        if self._cycles_completed(state):
            share_buffers(state.model)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Save the weights at a trough, now that algorithms such as EMA have put in those that are evaluated."""
        del logger
        completed = self._cycles_completed(state)
        if self.save_weights and completed and self._checkpoint is None:
            self._checkpoint = self._save_weights(state, completed[-1])

    def eval_end(self, state: State, logger: Logger) -> None:
        """Keep what this evaluator has just measured; the metrics of the others may be older."""
        del logger
        label = state.dataloader_label
        assert label is not None, 'the Trainer sets the label of the evaluator that runs'
        for name, metric in state.eval_metrics[label].items():
            key = f'{label}/{name}'
            # A metric that is asked for is wanted of other weights too: averaged/eval/MulticlassAccuracy.
            if self.metrics is None or any(key == wanted or key.endswith(f'/{wanted}') for wanted in self.metrics):
                self._evaluated.update(scalars(key, metric.compute()))

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Record the point if this evaluation stands at a trough."""
        del logger
        completed = self._cycles_completed(state)
        if completed:
            self._record(state, completed)
            self._window.restart()
        elif self._schedule is not None:
            t = now(state, self._schedule.unit)
            self._window.note(t, self._evaluated, self._schedule.cycles.next_trough(t))
        self._clock.resume()

    def save_beside(self, state: State, suffix: str) -> None:
        """Save what the network holds now beside the snapshot of the trough that is being evaluated, if there is one.

        Args:
            state (State): The trainer's state.
            suffix (str): Comes after the snapshot's name: ``cycle0-ba20-{suffix}.pt``.
        """
        completed = self._cycles_completed(state)
        if completed:
            self._save_weights(state, completed[-1], f'-{suffix}')

    def note_extra(self, name: str, cost: dict[str, float]) -> None:
        """Tell what a second set of metrics of the coming point has taken: ``train_s`` and ``batches``."""
        self._extra[name] = cost

    def save_file(self, state: State, name: str, *, weights_only: bool) -> None:
        """Save a checkpoint into the folder of the curve, whole at once; on all ranks together.

        Args:
            state (State): The trainer's state, after ``FIT_START``.
            name (str): The file's name.
            weights_only (bool): Whether it holds the weights alone, or all that a run can be resumed from.
        """
        assert self._run_folder is not None, 'training has not started'
        try:
            made = save_checkpoint(
                state,
                str(self._run_folder.aside(name)),
                weights_only=weights_only,
                ignore_keys=_make_loadable_without_pickle,
            )
        except (OSError, RuntimeError):
            if dist.get_global_rank() == 0:
                # The others wait, at the end of save_checkpoint, for the file to be there.
                dist.barrier()
            raise
        if made is not None:
            self._run_folder.publish(name)

    def close(self, state: State, logger: Logger) -> None:
        del state, logger
        if self._run_folder is not None:
            self._run_folder.close()

    def _branches_off(self, state: State) -> bool:
        """Whether this is a branch that starts from another run's checkpoint, whose points are not its own."""
        return self.kind == 'branch' and state.timestamp.batch.value > 0 and self._of_run not in (None, state.run_name)

    def _cycles_completed(self, state: State) -> list[int]:
        """The cycles that the last batch completed and that have no point yet."""
        if self._schedule is None or state.previous_timestamp is None:
            return []
        count = COUNTED[self._schedule.unit]
        before, after = getattr(state.previous_timestamp, count).value, getattr(state.timestamp, count).value
        last = self._points[-1].cycle if self._points else -1
        return [cycle for cycle in self._schedule.cycles.crossed(before, after) if cycle > last]

    def _just_recorded(self, state: State) -> bool:
        return bool(self._points) and self._points[-1].batch == state.timestamp.batch.value

    def _record(self, state: State, completed: list[int]) -> None:
        loader_length, timestamp = state.dataloader_len, state.timestamp
        total_wct_s = timestamp.total_wct.total_seconds()
        point = TradeoffPoint(
            cycle=completed[-1],
            epoch=None if loader_length is None else timestamp.batch.value / int(loader_length),
            batch=timestamp.batch.value,
            sample=timestamp.sample.value,
            token=timestamp.token.value,
            wall_clock_train_s=self._clock.train_s(total_wct_s),
            wall_clock_total_s=self._clock.total_s(total_wct_s),
            lr=float(state.optimizers[0].param_groups[0]['lr']),
            metrics=dict(self._evaluated),
            peak_metrics=self._window.peaks(self._evaluated),
            checkpoint=self._checkpoint,
            extra=self._extra,
            diverged=has_diverged(state),
        )
        # A batch longer than a cycle completes several at once: each has its point, and they are alike.
        self._points.extend(replace(point, cycle=cycle) for cycle in completed)
        on_rank_zero(self._write_curve)
        assert self._live is not None
        assert self._run_folder is not None
        self._live.log(
            self.curve,
            new=len(completed),
            step=point.batch,
            snapshot=self._run_folder.location(self._checkpoint) if self.log_artifact and self._checkpoint else None,
        )
        if point.diverged:
            self._diverged(state, point)

    def _save_weights(self, state: State, cycle: int, suffix: str = '') -> str | None:
        """Save the weights, on all ranks together; only rank 0 makes a file. Training goes on where it cannot."""
        assert self._run_folder is not None
        name = snapshot_name(cycle, state.timestamp.batch.value, suffix)
        try:
            self.save_file(state, name, weights_only=True)
        # torch tells of a write that failed by a RuntimeError of its own.
        except (OSError, RuntimeError) as error:
            if dist.get_global_rank() > 0:
                raise
            with suppress(OSError):
                self._run_folder.discard(name)
            what = str(error).partition('\n')[0]
            warnings.warn(
                f"folder='{self._run_folder.uri}': the weights of cycle {cycle} are NOT saved ({what}): training goes "
                'on, and the point will name no checkpoint',
                UserWarning,
                stacklevel=2,
            )
            return None
        return name

    def _write_curve(self) -> None:
        assert self._run_folder is not None
        assert self._run is not None
        try:
            self._run_folder.write_curve(TradeoffCurve(self._run, with_later(self._points, self._later)))
        except OSError as error:
            raise OSError(
                f"folder='{self._run_folder.uri}': {CURVE_FILE} cannot be written, so training stops at cycle "
                f'{self._points[-1].cycle} ({error}): the points recorded before are kept; mend it, then resume from '
                'the last checkpoint'
            ) from error

    def _diverged(self, state: State, point: TradeoffPoint) -> None:
        stops = self.on_nan == 'stop'
        warnings.warn(
            f'training has diverged by cycle {point.cycle}, batch {point.batch}: a loss or a weight is no finite '
            f'number; {"training stops here" if stops else "it goes on"} (on_nan={self.on_nan!r})',
            UserWarning,
            stacklevel=2,
        )
        if stops:
            state.stop_training()

    def _check_not_diverged(self) -> None:
        if self.on_nan == 'stop' and self._points and self._points[-1].diverged:
            point = self._points[-1]
            raise ValueError(
                f'the checkpoint is of a run that had diverged by cycle {point.cycle}, batch {point.batch}: start from '
                "an earlier one with a lower learning rate, or go on with on_nan='continue'"
            )

    def _check_trainer(self, state: State) -> None:
        if any(type(other) is type(self) and other is not self for other in state.callbacks):
            raise ValueError(
                'the Trainer has several ParetoSnapshot callbacks, and its checkpoints keep the state of one only: '
                'give it one (it records every evaluator)'
            )
        if not state.evaluators:
            raise ValueError('ParetoSnapshot has nothing to evaluate: give eval_dataloader to the Trainer')
        if self.save_weights and state.fsdp_sharded_state_dict_enabled:
            raise ValueError(
                "save_weights=True needs whole state dicts, but FSDP's are sharded: "
                "set state_dict_type='full' in the FSDP config, or save_weights=False and use the Trainer's save_folder"
            )

    def _window_length(self, state: State, schedule: TrainerSchedule) -> int:
        if not self.peak_window.value:
            return 0
        if common_unit({'peak_window': self.peak_window}, state) != schedule.unit:
            raise ValueError(
                f'peak_window={self.peak_window} cannot be counted in {schedule.unit.value!r}, the unit of the '
                'schedule: give both in the same unit'
            )
        return round(in_unit('peak_window', self.peak_window, state))

    def _open_folder(self, state: State, *, new: bool) -> None:
        """Rank 0 looks at the folder, and writes the curve: whether it can be is known while nothing has been spent."""
        if self._run_folder is not None:
            self._run_folder.close()
        folder, model = RunFolder(_filled_in(self.folder, state.run_name)), state.model
        self._run_folder = folder

        def claim() -> None:
            folder.prepare()
            if self.save_weights:
                folder.check_room(sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())))
            self._later = take_over(
                folder,
                self.curve,
                resumed=not new,
                overwrite=self.overwrite,
                autoresume=self.autoresume,
            )

        try:
            on_rank_zero(claim)
        except BaseException:
            folder.close()
            raise


def _filled_in(folder: str, run_name: str) -> str:
    """The folder with the run's name in it; Composer would fill in again what still looks like a placeholder."""
    check_run_name(run_name)
    remedy = "in folder only {run_name} and Composer's other placeholders may stand in braces, in run_name nothing may"
    try:
        uri = format_name_with_dist(folder, run_name)
    except ValueError as error:
        raise ValueError(f'folder={folder!r} cannot be filled in ({error}): {remedy}') from error
    if '{' in uri or '}' in uri:
        raise ValueError(f'folder={folder!r} with run_name={run_name!r} comes to {uri!r}: {remedy}')
    return uri


def _make_loadable_without_pickle(state_dict: dict[str, Any]) -> None:
    """Composer records torch's version as an object of torch's own, which ``weights_only=True`` refuses to load."""
    metadata = state_dict['state']['metadata']
    metadata['torch_version'] = str(metadata['torch_version'])
