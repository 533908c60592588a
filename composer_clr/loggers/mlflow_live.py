"""Logs a tradeoff curve to MLflow during training, in the run that Composer's logger has opened."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from composer.loggers import MLFlowLogger

from composer_clr.curves.curve import PREFIX, Run, TradeoffCurve, TradeoffPoint, point_numbers, points_table
from composer_clr.loggers.mlflow_start import RecipeMLFlowLogger, wait_less

__all__ = ['MLflowCurve', 'active_run_id']

_POINTS = f'{PREFIX}points.json'
_TABLES = 'mlflow.loggedArtifacts'
# MLflow's limits, of which that of values has been 250, 500 and 6,000.
_LONGEST_KEY, _LONGEST_VALUE = 250, 250


class MLflowCurve:
    """Logs a curve to an MLflow run.

    ==========================  ====================================================================================
    where                       what
    ==========================  ====================================================================================
    metrics ``pareto/...``      each point's values, at its batch as the step
    ``pareto/points.json``      table of all points so far
    params ``pareto....``       method, kind, and all that made the curve, as ``pareto.optimizer.lr``
    ==========================  ====================================================================================

    Points are logged at once, each once, and whole: Composer's logger leaves out a value that equals the last one.
    What Composer has logged so far is sent before a checkpoint is saved. A run that goes on asks MLflow which cycles it
    has. Params do not change once they are set; those that are too long end in a digest.
    """

    def __init__(self, destination: MLFlowLogger, settings: Mapping[str, Any], *, resumed: bool):
        import mlflow

        wait_less()
        run_id = active_run_id()
        if run_id is None:
            raise RuntimeError('MLflow has no active run: end it after training')
        self._destination, self._run_id = destination, run_id
        self._client = mlflow.MlflowClient()
        recorded = self._client.get_run(self._run_id).data
        # A recipe goes on in a run of its own settings alone, also where it starts over.
        goes_on = resumed or isinstance(destination, RecipeMLFlowLogger)
        cycles = self._client.get_metric_history(self._run_id, self._key(f'{PREFIX}cycle')) if goes_on else []
        self._logged = {int(one.value) for one in cycles}
        tables = json.loads(recorded.tags.get(_TABLES, '[]'))
        if all(one.get('path') != _POINTS for one in tables):
            self._client.set_tag(self._run_id, _TABLES, json.dumps([*tables, {'path': _POINTS, 'type': 'table'}]))
        asked = _without(settings, destination.ignore_hyperparameters)
        params = {self._key(key): _short(str(value), _LONGEST_VALUE) for key, value in asked.items()}
        new = {key: value for key, value in params.items() if key not in recorded.params}
        mlflow.log_params(new, synchronous=True, run_id=self._run_id)

    def log(self, run: Run, points: Sequence[TradeoffPoint]) -> None:
        """Logs the points that the MLflow run does not have."""
        import mlflow

        for point in (point for point in points if point.cycle not in self._logged):
            asked = _without(point_numbers(point), self._destination.ignore_metrics)
            numbers = {self._key(key): value for key, value in asked.items()}
            mlflow.log_metrics(numbers, point.batch, synchronous=True, run_id=self._run_id)
            self._logged.add(point.cycle)
        if points and not self._destination.synchronous:
            mlflow.flush_async_logging()

    def log_table(self, curve: TradeoffCurve) -> None:
        """Logs the table of all points in the place of the last one; MLflow would append it."""
        columns, rows = points_table(curve)
        data = [[None if value is None or not math.isfinite(value) else value for value in row] for row in rows]
        self._client.log_dict(self._run_id, {'columns': columns, 'data': data}, _POINTS)

    def _key(self, key: str) -> str:
        """Returns the name of a metric or param as MLflow takes it, renamed as Composer's logger was asked to."""
        plain = re.sub(r'[^/\w.\- ]', '_', self._destination.rename(key)).strip('/')
        return _short('/'.join(part if part.strip('.') else '_' for part in PurePosixPath(plain).parts), _LONGEST_KEY)


def active_run_id() -> str | None:
    """Returns the id of the MLflow run that Composer's logger has opened on this rank, if any."""
    import mlflow

    active = mlflow.active_run()
    return None if active is None else active.info.run_id


def _without(values: Mapping[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    """Returns the values whose names fit none of the patterns."""
    return {key: value for key, value in values.items() if not any(fnmatch(key, pattern) for pattern in ignored)}


def _short(text: str, most: int) -> str:
    """Returns a text of at most so many characters; one that is cut ends in the digest of the whole."""
    return text if len(text) <= most else f'{text[: most - 12]}... {sha256(text.encode()).hexdigest()[:8]}'
