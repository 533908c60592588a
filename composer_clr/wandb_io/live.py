"""Logs a tradeoff curve to Weights & Biases during training: history on its own axes, a table and a chart."""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from composer.loggers import WandBLogger
from wandb.sdk.lib.sock_client import SockClientClosedError
from wandb.sdk.wandb_run import Run as WandBRun

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import default_metric, is_lower_better
from composer_clr.curves.rows import PREFIX, errors_as_warnings, point_numbers, point_values, points_table
from composer_clr.schedule.cost_ratio import cost_ratio
from composer_clr.wandb_io.run_file import logged_values

__all__ = ['WandBCurve', 'open_curve']

_TIME, _EPOCH, _CYCLE = f'{PREFIX}wall_clock_train_s', f'{PREFIX}epoch', f'{PREFIX}cycle'
_BY_EPOCH = 'pareto-by-epoch/'
_LOG_TIME = 'log10_wall_clock_train_s'


def open_curve(loggers: Sequence[WandBLogger], curve: TradeoffCurve, *, resumed: bool) -> WandBCurve | None:
    """Returns the logger of a curve to the W&B run that Composer's logger has opened; ``None`` if W&B is disabled."""
    run = wandb.run
    if not isinstance(run, WandBRun) or run.disabled:
        return None
    for logger in loggers:
        _outlive_service(logger)
    return WandBCurve(run, curve, resumed=resumed)


class WandBCurve:
    """Logs a curve to a W&B run.

    ==============================  ================================================================================
    where                           what
    ==============================  ================================================================================
    ``pareto/...``                  history: each point's values, with ``pareto/wall_clock_train_s`` as their x axis
    ``pareto-by-epoch/...``         history: its metrics again, with ``pareto/epoch`` as their x axis
    ``pareto/points``               table: all points so far
    ``pareto/curve``                line chart: the metric against the decimal logarithm of training seconds
    ``pareto/last/...``             summary: the last point
    ``pareto/best/...``             summary: the point with the best value of the chart's metric
    ``pareto`` in the config        method, kind, schedule, and the cost beside that of separate runs
    ==============================  ================================================================================

    Points are logged without a step, because W&B drops a step that was used before, and into the current row, so that
    Composer's values at the same step are not dropped either. Each batch is logged once: a resumed run reads from W&B,
    or from its folder if it is offline, which cycles are there. A point that W&B lost, because it was killed before
    writing it, is logged again; a point that training repeats is not. Table and summary are always those of
    ``curve.json``.

    Offline, tables are not saved as artifacts: wandb 0.18 would wait minutes for its server.

    Args:
        run (wandb.sdk.wandb_run.Run): The W&B run.
        curve (TradeoffCurve): The run, with the points of a resumed one.
        resumed (bool): Whether training continues from a checkpoint.
    """

    def __init__(self, run: WandBRun, curve: TradeoffCurve, *, resumed: bool):
        self._run = run
        if run.offline:
            _keep_tables_out_of_artifacts(run)
        run.define_metric(_TIME)
        run.define_metric(_EPOCH)
        run.define_metric(f'{PREFIX}*', step_metric=_TIME)
        run.define_metric(f'{_BY_EPOCH}*', step_metric=_EPOCH)
        run.config.update({'pareto': _described(curve.run)}, allow_val_change=True)
        self._logged = _cycles_logged(run) if resumed else set()
        if curve.points:
            self.log(curve)

    def log(self, curve: TradeoffCurve) -> None:
        """Logs the points that the W&B run does not have yet, and the current table, chart and summary."""
        # Points of one batch are alike but for their cycle. They are one row, since a further one would take W&B past
        # the Trainer's batch, and it would drop Composer's values at that step.
        logged = {point.batch for point in curve.points if point.cycle in self._logged}
        missing = list({point.batch: point for point in curve.points if point.batch not in logged}.values())
        for point in missing[:-1]:
            # A row per point: in one row, values of one name would replace each other.
            self._run.log(_row(point), commit=True)
        row = _row(missing[-1]) if missing else {}
        self._run.log({**row, **_pictures(curve)}, commit=False)
        self._logged.update(point.cycle for point in curve.points)
        self._run.summary.update(_summary(curve))

    def log_snapshot(self, curve: TradeoffCurve, snapshot: str) -> None:
        """Logs the last point's weights: a local file by content, one in an object store by reference."""
        point = curve.points[-1]
        name = re.sub(r'[^a-zA-Z0-9-_.]', '-', f'{curve.run.run_name}-pareto')
        metadata = {'run': curve.run.run_name, 'method': curve.run.method, 'kind': curve.run.kind}
        metadata |= {'batch': point.batch, **point_values(point)}
        artifact = wandb.Artifact(name, type='model', metadata=_finite(metadata))
        if '://' in snapshot:
            artifact.add_reference(snapshot, checksum=False)
        else:
            artifact.add_file(snapshot)
        self._run.log_artifact(artifact, aliases=['latest', f'cycle{point.cycle}', f'ba{point.batch}'])


def _row(point: TradeoffPoint) -> dict[str, Any]:
    row = point_numbers(point)
    if point.epoch is not None:
        row |= {f'{_BY_EPOCH}{name}': value for name, value in point.metrics.items()}
    return row


def _pictures(curve: TradeoffCurve) -> dict[str, Any]:
    columns, rows = points_table(curve)
    pictures: dict[str, Any] = {f'{PREFIX}points': wandb.Table(columns=columns, data=rows)}
    metric = _charted(curve)
    if metric is None:
        return pictures
    # W&B's line chart does not have a logarithmic axis, so the column is the logarithm; and a slash in a name is not
    # allowed in a field of its table.
    name = metric.rpartition('/')[2]
    points = [point for point in curve.points if point.wall_clock_train_s > 0]
    table = wandb.Table(
        columns=[_LOG_TIME, 'wall_clock_train_s', 'epoch', name, 'kind'],
        data=[
            [math.log10(point.wall_clock_train_s), point.wall_clock_train_s, point.epoch, value, curve.run.kind]
            for point in points
            if math.isfinite(value := point.metrics.get(metric, math.nan))
        ],
    )
    title = f'{metric} against training time'
    pictures[f'{PREFIX}curve'] = wandb.plot.line(table, _LOG_TIME, name, stroke='kind', title=title, split_table=True)
    return pictures


def _summary(curve: TradeoffCurve) -> dict[str, Any]:
    chosen = {'last': curve.points[-1]}
    metric = _charted(curve)
    comparable = [
        point
        for point in curve.points
        if metric and not point.diverged and math.isfinite(point.metrics.get(metric, math.nan))
    ]
    if metric is not None and comparable:
        choose = min if is_lower_better(metric, curve.run.directions) else max
        chosen['best'] = choose(comparable, key=lambda point: point.metrics[metric])
    return {
        f'{PREFIX}{which}/{name}': value
        for which, point in chosen.items()
        for name, value in point_values(point).items()
        if value is not None
    }


def _charted(curve: TradeoffCurve) -> str | None:
    """Returns the metric of the chart and of the best point: an accuracy, else the first one, if there is any."""
    try:
        return default_metric([curve])
    except CurveError:
        return next((name for point in curve.points for name in point.metrics), None)


def _described(run: Run) -> dict[str, Any]:
    described: dict[str, Any] = {'method': run.method, 'kind': run.kind, 'schedule': run.schedule}
    troughs = run.schedule.get('troughs')
    if isinstance(troughs, list) and troughs:
        described['cost'] = {
            'points': len(troughs),
            'unit': run.schedule.get('unit'),
            'this_run': troughs[-1],
            'separate_runs': sum(troughs),
            'ratio': cost_ratio(troughs),
        }
    return described


def _cycles_logged(run: WandBRun) -> set[int]:
    """Returns the cycles whose points are already in the W&B run, from before it was resumed."""
    if not run.offline:
        last = run.summary.get(_CYCLE) if run.resumed else None
        return set() if last is None else set(range(int(last) + 1))
    own = Path(run.settings.sync_file).resolve()
    earlier = own.parent.parent.glob(f'*run-*-{run.id}/run-{run.id}.wandb')
    cycles: set[int] = set()
    for file in {file.resolve() for file in earlier} - {own}:
        with errors_as_warnings(f'Reading {file}'):
            cycles.update(map(int, logged_values(file, _CYCLE)))
    return cycles


def _keep_tables_out_of_artifacts(run: WandBRun) -> None:
    """Does the same as ``WANDB_ALLOW_OFFLINE_ARTIFACTS=false``, for one run; ``run.settings`` is a copy."""
    settings = run._settings
    frozen = settings.is_frozen()
    settings.unfreeze()
    settings.update(allow_offline_artifacts=False)
    if frozen:
        settings.freeze()


def _finite(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metadata as strict JSON, which artifacts require."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in metadata.items()
    }


def _outlive_service(logger: WandBLogger) -> None:
    """Stops Composer's logger, with a warning, when the background process of W&B has died.

    Otherwise it would end training at the next batch.
    """
    dead = False

    def guarded(log: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(log)
        def log_if_alive(*args: Any, **kwargs: Any) -> None:
            nonlocal dead
            if dead:
                return
            try:
                log(*args, **kwargs)
            except (ConnectionError, SockClientClosedError) as error:
                dead = True
                warnings.warn(
                    f'the process of Weights & Biases has died ({type(error).__name__}: {error}): training continues, '
                    'its points are in curve.json, and nothing more is logged to W&B until the run is resumed',
                    RuntimeWarning,
                    stacklevel=2,
                )

        log_if_alive.guarded = True  # type: ignore[attr-defined]
        return log_if_alive

    for name in ('log_metrics', 'log_table', 'log_images', 'log_hyperparameters', 'upload_file'):
        log = getattr(logger, name)
        if not hasattr(log, 'guarded'):
            setattr(logger, name, guarded(log))
