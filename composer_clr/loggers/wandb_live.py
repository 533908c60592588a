"""Logs a tradeoff curve to Weights & Biases during training: history on its own axes, a table and a chart."""

from __future__ import annotations

import functools
import math
import re
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import wandb
from wandb.sdk.wandb_run import Run as WandBRun

from composer_clr.curves.curve import (
    PREFIX,
    CurveError,
    Run,
    TradeoffCurve,
    TradeoffPoint,
    point_numbers,
    point_values,
    points_table,
)
from composer_clr.curves.metrics import default_metric, is_lower_better
from composer_clr.loggers.wandb_runs import read_files
from composer_clr.schedule.cycles import cost_ratio

__all__ = ['WandBCurve', 'open_curve']

_TIME, _EPOCH, _CYCLE = f'{PREFIX}wall_clock_train_s', f'{PREFIX}epoch', f'{PREFIX}cycle'
_BY_EPOCH = 'pareto-by-epoch/'
_LOG_TIME = 'log10_wall_clock_train_s'
# W&B's process may be stopped for so many looks at it.
LOOK_EVERY_S, MOST_LOOKS = 5.0, 6


def open_curve(run: Run, *, resumed: bool) -> WandBCurve | None:
    """Returns the logger of a curve to the W&B run that Composer's logger has opened; ``None`` if W&B is disabled."""
    opened = wandb.run
    if not isinstance(opened, WandBRun) or opened.disabled:
        return None
    if services := tuple(child.pid for child in psutil.Process().children() if 'wandb' in child.name()):
        _watch(services)
    return WandBCurve(opened, run, resumed=resumed)


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
    or from its folder if it is offline, which cycles are there, so that a point that W&B lost is logged again.
    """

    def __init__(self, run: WandBRun, recorded: Run, *, resumed: bool):
        self._run = run
        if run.offline:
            # As WANDB_ALLOW_OFFLINE_ARTIFACTS=false: with tables as artifacts, wandb 0.18 waits minutes for its server.
            run._settings.unfreeze()  # of which `run.settings` is a copy
            run._settings.update(allow_offline_artifacts=False)
            run._settings.freeze()
        run.define_metric(_TIME)
        run.define_metric(_EPOCH)
        run.define_metric(f'{PREFIX}*', step_metric=_TIME)
        run.define_metric(f'{_BY_EPOCH}*', step_metric=_EPOCH)
        run.config.update({'pareto': _described(recorded)}, allow_val_change=True)
        self._logged = _cycles_logged(run) if resumed else set()
        self._metric: str | None = None
        self._best: TradeoffPoint | None = None

    def log(self, run: Run, new: Sequence[TradeoffPoint]) -> None:
        """Logs the points that were just recorded, unless the W&B run has them, and the summary."""
        # Points of one batch are alike but for their cycle. They are one row, since a further one would take W&B past
        # the Trainer's batch, and it would drop Composer's values at that step.
        logged = {point.batch for point in new if point.cycle in self._logged}
        rows = [_row(point) for point in {point.batch: point for point in new if point.batch not in logged}.values()]
        for row in rows[:-1]:
            # A row per point: in one row, values of one name would replace each other.
            self._run.log(row, commit=True)
        if rows:
            self._run.log(rows[-1], commit=False)
        self._logged.update(point.cycle for point in new)
        self._metric = self._metric or charted(run, new)
        self._best = best_point(run, [*([self._best] if self._best else []), *new], self._metric)
        for which, point in (('last', new[-1] if new else None), ('best', self._best)):
            values = {} if point is None else point_values(point)
            known = {f'{PREFIX}{which}/{name}': value for name, value in values.items() if value is not None}
            self._run.summary.update(known)

    def log_table(self, curve: TradeoffCurve) -> None:
        """Logs the table and the chart of all points."""
        columns, rows = points_table(curve)
        pictures: dict[str, Any] = {f'{PREFIX}points': wandb.Table(columns=columns, data=rows)}
        if self._metric is not None:
            pictures[f'{PREFIX}curve'] = _chart(curve, self._metric)
        self._run.log(pictures, commit=False)

    def log_snapshot(self, curve: TradeoffCurve, snapshot: str) -> None:
        """Logs the last point's weights: a local file by content, one in an object store by reference."""
        point = curve.points[-1]
        name = re.sub(r'[^a-zA-Z0-9-_.]', '-', f'{curve.run.run_name}-pareto')
        metadata = {'run': curve.run.run_name, 'method': curve.run.method, 'kind': curve.run.kind, 'batch': point.batch}
        for key, value in point_values(point).items():
            # Strict JSON, which artifacts require.
            metadata[key] = value if value is None or math.isfinite(value) else str(value)
        artifact = wandb.Artifact(name, type='model', metadata=metadata)
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


def _chart(curve: TradeoffCurve, metric: str) -> Any:
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
    return wandb.plot.line(
        table, _LOG_TIME, name, stroke='kind', title=f'{metric} against training time', split_table=True
    )


def charted(run: Run, points: Sequence[TradeoffPoint]) -> str | None:
    """Returns the metric of the chart and of the best point: an accuracy, else the first one, if there is any."""
    try:
        return default_metric([TradeoffCurve(run, list(points))])
    except CurveError:
        return next((name for point in points for name in point.metrics), None)


def best_point(run: Run, points: Sequence[TradeoffPoint], metric: str | None) -> TradeoffPoint | None:
    """Returns the first of the points with the best value of a metric; ``None`` if none has one."""
    if metric is None:
        return None
    comparable = [p for p in points if not p.diverged and math.isfinite(p.metrics.get(metric, math.nan))]
    choose = min if is_lower_better(metric, run.directions) else max
    return choose(comparable, key=lambda point: point.metrics[metric], default=None)


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
    # Those of W&B's runs that a kill left empty hold none.
    histories, _ = read_files({file.resolve() for file in earlier} - {own}, {_CYCLE}.__contains__)
    return {int(cycle) for history in histories for cycle in history.series.get(_CYCLE, ((), ()))[1]}


@functools.cache
def _watch(services: tuple[int, ...]) -> None:
    """Has a process of W&B that stays stopped ended: logging and ``wandb.finish()`` would wait for it without end."""
    threading.Thread(target=_end_stopped, args=(services,), name='composer_clr-wandb', daemon=True).start()


def _end_stopped(services: Sequence[int]) -> None:
    seen_stopped = 0
    while True:
        # Looks are counted, not seconds: a job that is suspended as a whole is not looking.
        time.sleep(LOOK_EVERY_S)
        try:
            stopped = [one for one in map(psutil.Process, services) if one.status() == psutil.STATUS_STOPPED]
            seen_stopped = seen_stopped + 1 if stopped else 0
            if seen_stopped == MOST_LOOKS:
                for one in stopped:
                    one.kill()
                warnings.warn(
                    f'the process of Weights & Biases has been stopped for {LOOK_EVERY_S * MOST_LOOKS:.0f} s: it is '
                    'ended, so that training does not wait for it',
                    RuntimeWarning,
                    stacklevel=2,
                )
        except psutil.NoSuchProcess:
            return
