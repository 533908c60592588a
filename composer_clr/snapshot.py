"""At each trough of the learning rate: evaluate, record a point of the tradeoff curve, save the weights."""

from __future__ import annotations

import difflib
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import composer
import torch
from composer.core import Callback, Event, State, Time
from composer.loggers import Logger
from composer.models import ComposerClassifier
from composer.utils import dist, format_name_with_dist
from composer.utils.checkpoint import save_checkpoint

from composer_clr._version import __version__
from composer_clr.curve import CURVE_FILE, Run, TradeoffCurve, TradeoffPoint
from composer_clr.methods import method_name
from composer_clr.run_folder import RunFolder
from composer_clr.scheduler import CyclicCosineScheduler, warn_if_cut
from composer_clr.times import COUNTED, common_unit, horizon, in_unit, parse_time
from composer_clr.trainer_schedule import TrainerSchedule, schedule_record, trainer_schedule

__all__ = ['ParetoSnapshot']

_LOWER_IS_BETTER = ('loss', 'error', 'perplexity', 'entropy')


class ParetoSnapshot(Callback):
    """Draws a run's tradeoff curve: a point at each trough of its learning rate schedule.

    Every evaluator runs once at each trough, epoch-aligned or not, on top of the user's own ``eval_interval``. The
    point then holds the training time so far, the learning rate and every metric; the weights are saved; and
    ``{folder}/curve.json`` is written anew, whole at every instant. A point is written once and never changed. Under
    ``DistributedDataParallel`` every rank takes over rank 0's buffers (the statistics of batch norm) before it
    evaluates at a trough, so that the metrics are those of the saved weights.

    Logged at each trough, to every logger:

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
        kind (str | None): Kind of curve. Default: ``None``, ``'standard'`` for one trough and ``'cyclic'`` for more.
        overwrite (bool): Whether a new run may take the place of a curve that is in the folder already. A run resumed
            from a checkpoint goes on with its own curve in any case. Default: ``False``.

    Raises:
        ValueError: On construction, if an argument is out of range; at ``FIT_START``, before the first batch, if there
            is no evaluation data, no schedule with troughs, or no metric of a name that was asked for.
        FileExistsError: At ``FIT_START``, if the folder holds a curve and ``overwrite`` is false.
        NotADirectoryError: At ``FIT_START``, if the folder cannot be made.

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
    ):
        if not folder:
            raise ValueError(f"{folder=}: name a folder for curve.json, such as '{{run_name}}/pareto'")
        for name, direction in (directions or {}).items():
            if direction not in ('max', 'min'):
                raise ValueError(f"directions[{name!r}]={direction!r}: best is either 'max' or 'min'")
        if isinstance(metrics, str):
            raise ValueError(f'metrics={metrics!r}: give a list of names, [{metrics!r}]')
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

        self._points: list[TradeoffPoint] = []
        self._started_at: str | None = None
        self._not_training_s = 0.0
        self._spinning_s = 0.0
        # Evaluations since the restart that the peak of the coming trough may look at: (time, metrics).
        self._recent: list[tuple[int, dict[str, float]]] = []

        # Known from FIT_START on.
        self._schedule: TrainerSchedule | None = None
        self._run: Run | None = None
        self._run_folder: RunFolder | None = None
        self._window = 0
        # Of the evaluation that is going on.
        self._evaluated: dict[str, float] = {}
        self._eval_began = 0.0
        self._mid_epoch_resume = False
        self._loader_asked: float | None = None

    # What a checkpoint keeps: plain values only, so that it loads with weights_only=True.
    def state_dict(self) -> dict[str, Any]:
        return {
            'points': [asdict(point) for point in self._points],
            'started_at': self._started_at,
            'not_training_s': self._not_training_s,
            'spinning_s': self._spinning_s,
            'recent': [[t, dict(metrics)] for t, metrics in self._recent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._points = [TradeoffPoint(**point) for point in state['points']]
        self._started_at = state['started_at']
        self._not_training_s = state['not_training_s']
        self._spinning_s = state['spinning_s']
        self._recent = [(t, dict(metrics)) for t, metrics in state['recent']]

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
        del logger
        others = [c for c in state.callbacks if type(c).__qualname__ == type(self).__qualname__ and c is not self]
        if others:
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
        self._schedule = trainer_schedule(state, self.scheduler)
        warn_if_cut(self._schedule.cycles, self._schedule.unit, state)
        self._check_metric_names(state)
        self._window = self._window_in_unit(state)
        self._started_at = self._started_at or datetime.now(timezone.utc).isoformat(timespec='seconds')
        self._run = self._describe_run(state, self._schedule)
        self._open_folder(state)
        for evaluator in state.evaluators:
            interval = evaluator.eval_interval
            if isinstance(interval, _AtTroughsToo):
                interval = interval.users
            assert interval is not None, 'the Trainer has set every eval_interval by FIT_START'
            evaluator.eval_interval = _AtTroughsToo(interval, self)
        self._mid_epoch_resume = state.timestamp.batch_in_epoch.value > 0

    def before_dataloader(self, state: State, logger: Logger) -> None:
        """After a resume in the middle of an epoch, note when the loader starts to spin forward."""
        del state, logger
        if self._mid_epoch_resume:
            self._mid_epoch_resume = False
            self._loader_asked = time.monotonic()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """The first batch that is trained on has come: what was spent until now made no progress."""
        del state, logger
        self._stop_spinning()

    def epoch_end(self, state: State, logger: Logger) -> None:
        """An epoch whose every batch was spun over ends without one that is trained on."""
        del state, logger
        self._stop_spinning()

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Give every rank, at a trough, the weights that rank 0 will save."""
        del logger
        self._eval_began = time.monotonic()
        self._evaluated = {}
        if self._schedule is not None and self._cycles_crossed(state):
            _share_buffers(state.model)

    def eval_end(self, state: State, logger: Logger) -> None:
        """Keep what this evaluator has just measured; the metrics of the others may be older."""
        del logger
        label = state.dataloader_label
        assert label is not None, 'the Trainer sets the label of the evaluator that runs'
        for name, metric in state.eval_metrics[label].items():
            key = f'{label}/{name}'
            if self.metrics is None or key in self.metrics:
                self._evaluated.update(_scalars(key, metric.compute()))

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Record the point if this evaluation stands at a trough."""
        if self._schedule is None:
            return
        t = state.timestamp.get(self._schedule.unit).value
        crossed = self._cycles_crossed(state)
        if crossed:
            self._record(state, logger, crossed)
            self._recent = []
        elif self._window and self._evaluated:
            opens = (self._schedule.cycles.next_trough(t) or math.inf) - self._window
            if t >= opens:
                self._recent.append((t, self._evaluated))
        self._not_training_s += time.monotonic() - self._eval_began

    def close(self, state: State, logger: Logger) -> None:
        del state, logger
        if self._run_folder is not None:
            self._run_folder.close()

    def _stop_spinning(self) -> None:
        if self._loader_asked is not None:
            self._spinning_s += time.monotonic() - self._loader_asked
            self._loader_asked = None

    def _cycles_crossed(self, state: State) -> list[int]:
        """The cycles that the last batch completed and that have no point yet."""
        assert self._schedule is not None
        if state.previous_timestamp is None:
            return []
        count = COUNTED[self._schedule.unit]
        before, now = getattr(state.previous_timestamp, count).value, getattr(state.timestamp, count).value
        if before == now:
            return []
        last = self._points[-1].cycle if self._points else -1
        return [cycle for cycle in self._schedule.cycles.crossed(before, now) if cycle > last]

    def _record(self, state: State, logger: Logger, crossed: list[int]) -> None:
        assert self._run_folder is not None
        checkpoint = self._save_weights(state, crossed[-1]) if self.save_weights else None
        loader_length = state.dataloader_len
        batch = state.timestamp.batch.value
        train_s = state.timestamp.total_wct.total_seconds() - self._spinning_s
        point = TradeoffPoint(
            cycle=crossed[-1],
            epoch=None if loader_length is None else batch / int(loader_length),
            batch=batch,
            sample=state.timestamp.sample.value,
            token=state.timestamp.token.value,
            wall_clock_train_s=train_s,
            wall_clock_total_s=train_s + self._not_training_s + time.monotonic() - self._eval_began,
            lr=float(state.optimizers[0].param_groups[0]['lr']),
            metrics=dict(self._evaluated),
            peak_metrics=self._peaks(),
            checkpoint=checkpoint,
        )
        # A batch longer than a cycle completes several at once: each has its point, and they are alike.
        self._points.extend(TradeoffPoint(**{**asdict(point), 'cycle': cycle}) for cycle in crossed)
        if dist.get_global_rank() == 0:
            self._write_curve()
        logger.log_metrics(_logged(point))

    def _write_curve(self) -> None:
        assert self._run_folder is not None
        self._run_folder.aside(CURVE_FILE).write_text(self.curve.to_json(), encoding='utf-8')
        self._run_folder.publish(CURVE_FILE)

    def _save_weights(self, state: State, cycle: int) -> str:
        """Save the weights, on all ranks together; only rank 0 of a run that is not sharded makes a file."""
        assert self._run_folder is not None
        name = f'cycle{cycle}-ba{state.timestamp.batch.value}.pt'
        made = save_checkpoint(
            state, str(self._run_folder.aside(name)), weights_only=True, ignore_keys=_make_loadable_without_pickle
        )
        if made is not None and dist.get_global_rank() == 0:
            self._run_folder.publish(name)
        return name

    def _peaks(self) -> dict[str, float]:
        peaks = {}
        for name, at_trough in self._evaluated.items():
            seen = [metrics[name] for _, metrics in self._recent if name in metrics]
            comparable = [value for value in [*seen, at_trough] if not math.isnan(value)]
            best = min if self._direction(name) == 'min' else max
            peaks[name] = best(comparable) if comparable else math.nan
        return peaks

    def _direction(self, name: str) -> str:
        lowered = name.rpartition('/')[2].lower()
        return self.directions.get(name) or ('min' if any(word in lowered for word in _LOWER_IS_BETTER) else 'max')

    def _check_metric_names(self, state: State) -> None:
        present = [f'{label}/{name}' for label, metrics in state.eval_metrics.items() for name in metrics]
        for argument, names in (('metrics', self.metrics or ()), ('directions', self.directions)):
            for name in names:
                if name not in present:
                    close = difflib.get_close_matches(name, present, n=1, cutoff=0.0)
                    hint = f', did you mean {close[0]!r}?' if close else ''
                    raise ValueError(f'{argument} names {name!r}, but the evaluators have {present}{hint}')

    def _window_in_unit(self, state: State) -> int:
        assert self._schedule is not None
        if not self.peak_window.value:
            return 0
        unit = common_unit({'peak_window': self.peak_window}, state)
        if unit != self._schedule.unit:
            raise ValueError(
                f'peak_window={self.peak_window} cannot be counted in {self._schedule.unit.value!r}, the unit of the '
                'schedule: give both in the same unit'
            )
        return round(in_unit('peak_window', self.peak_window, state, ssr=1.0))

    def _describe_run(self, state: State, schedule: TrainerSchedule) -> Run:
        until = horizon(state, schedule.unit)
        one_trough = until is not None and len(schedule.cycles.troughs(until)) <= 1
        return Run(
            run_name=state.run_name,
            kind=self.kind or ('standard' if one_trough else 'cyclic'),
            method=self.method or method_name(type(algorithm).__name__ for algorithm in state.algorithms),
            seed=state.rank_zero_seed,
            model=_model_name(state.model),
            world_size=dist.get_world_size(),
            schedule=schedule_record(schedule, state),
            versions={
                'composer_clr': __version__,
                'mosaicml': composer.__version__,
                'torch': torch.__version__,
                'python': platform.python_version(),
            },
            started_at=self._started_at,
        )

    def _open_folder(self, state: State) -> None:
        """Rank 0 looks at the folder; what it finds wrong is raised on every rank, so that none is left waiting."""
        uri = format_name_with_dist(self.folder, state.run_name)
        found: list[Exception | None] = [None]
        if dist.get_global_rank() == 0:
            try:
                self._run_folder = RunFolder(uri)
                self._run_folder.prepare()
                self._check_free(uri, resumed=state.timestamp.batch.value > 0)
                if state.timestamp.batch.value == 0:
                    # Without points yet: tells that the folder can be written to while nothing has been spent.
                    self._write_curve()
            except Exception as error:
                found = [error]
        dist.broadcast_object_list(found)
        if found[0] is not None:
            raise found[0]
        if self._run_folder is None:
            self._run_folder = RunFolder(uri)

    def _check_free(self, uri: str, resumed: bool) -> None:
        assert self._run_folder is not None
        assert self._run is not None
        kept = None if self.overwrite and not resumed else self._run_folder.curve(CURVE_FILE)
        if kept is None or not kept.points or (resumed and kept.run.run_name == self._run.run_name):
            return
        raise FileExistsError(
            f"folder='{uri}' already holds the {CURVE_FILE} of run '{kept.run.run_name}' with {len(kept.points)} "
            'points: name another folder or run_name, or set overwrite=True to give it up'
        )


class _AtTroughsToo:
    """An ``eval_interval``: the user's own, and once at each trough.

    Composer asks at the end of a batch, of an epoch and of training, which may all be the same moment.
    """

    def __init__(self, users: Callable[[State, Event], bool], snapshot: ParetoSnapshot):
        self.users = users
        self._snapshot = snapshot

    def __call__(self, state: State, event: Event) -> bool:
        # Asked first and always: it may keep count.
        asked = bool(self.users(state, event))
        if event == Event.BATCH_END and self._snapshot._cycles_crossed(state):
            return True
        points = self._snapshot._points
        just_evaluated = bool(points) and points[-1].batch == state.timestamp.batch.value
        return asked and not just_evaluated


def _scalars(key: str, value: object) -> dict[str, float]:
    """A metric's value as floats: one, or one for each entry of a metric that gives several by name."""
    if isinstance(value, Mapping):
        return {k: v for name, item in value.items() for k, v in _scalars(f'{key}/{name}', item).items()}
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        return {k: v for i, item in enumerate(value.flatten()) for k, v in _scalars(f'{key}/{i}', item).items()}
    return {key: float(value)}  # type: ignore[arg-type]


def _share_buffers(model: torch.nn.Module) -> None:
    """Take over rank 0's buffers, such as the running statistics of batch norm, which every rank keeps for itself.

    ``DistributedDataParallel`` does so before the next batch in any case; done before the evaluation, the metrics are
    those of the saved weights, on any number of ranks.
    """
    if isinstance(model, torch.nn.parallel.DistributedDataParallel) and model.broadcast_buffers:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def _make_loadable_without_pickle(state_dict: dict[str, Any]) -> None:
    """Composer records torch's version as an object of torch's own, which ``weights_only=True`` refuses to load."""
    metadata = state_dict['state']['metadata']
    metadata['torch_version'] = str(metadata['torch_version'])


def _logged(point: TradeoffPoint) -> dict[str, Any]:
    place = {'cycle': point.cycle, 'wall_clock_train_s': point.wall_clock_train_s, 'lr': point.lr}
    if point.epoch is not None:
        place['epoch'] = point.epoch
    peaks = {f'peak/{name}': value for name, value in point.peak_metrics.items()}
    return {f'pareto/{name}': value for name, value in {**place, **point.metrics, **peaks}.items()}


def _model_name(model: torch.nn.Module) -> str:
    """The network's class, from under DistributedDataParallel and Composer's own wrapper."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        model = model.module
    network = model.module if isinstance(model, ComposerClassifier) else model
    return type(network).__name__
