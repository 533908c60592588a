"""Starts MLflow for a recipe: a resumed run goes on in its MLflow run."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from composer.core import State
from composer.loggers import Logger, MLFlowLogger

from composer_clr.utils.errors import UserError, one_line

__all__ = ['RecipeMLFlowLogger', 'wait_less']

_RUN_ID = 'MLFLOW_RUN_ID'


class RecipeMLFlowLogger(MLFlowLogger):
    """Composer's ``MLFlowLogger``, in the MLflow run of an earlier start; errors at the start are the recipe's.

    ``goes_on_in`` is that run's id. One that was deleted, or is in another experiment, is not gone on in.
    """

    def __init__(self, goes_on_in: str | None = None, **arguments: Any):
        self._goes_on_in = goes_on_in
        self._recorded: set[str] | None = None
        wait_less()
        _or_refused(lambda: super(RecipeMLFlowLogger, self).__init__(**arguments))

    def init(self, state: State, logger: Logger) -> None:
        run_id = self._goes_on_in
        if self._enabled and run_id is not None and _RUN_ID not in os.environ:
            _or_refused(partial(self._find, run_id))
        try:
            _or_refused(lambda: super(RecipeMLFlowLogger, self).init(state, logger))
        finally:
            if self._recorded is not None:
                os.environ.pop(_RUN_ID, None)

    def log_hyperparameters(self, hyperparameters: dict[str, Any]) -> None:
        """Logs what the run does not have yet, since MLflow refuses other values, such as another host."""
        recorded = self._recorded or ()
        super().log_hyperparameters({key: value for key, value in hyperparameters.items() if key not in recorded})

    def _find(self, run_id: str) -> None:
        """Makes Composer's logger go on in a run, if it is there."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._mlflow_client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == 'RESOURCE_DOES_NOT_EXIST':
                return
            raise
        if run.info.lifecycle_stage == 'active' and run.info.experiment_id == self._experiment_id:
            self._recorded = set(run.data.params)
            # Which Composer reads.
            os.environ[_RUN_ID] = run.info.run_id


def wait_less() -> None:
    """Has MLflow ask a server that does not answer for about 15 seconds, not for minutes, unless the user says."""
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '3')


def _or_refused(start: Callable[[], None]) -> None:
    try:
        start()
    except Exception as error:
        if type(error).__module__.split('.')[0] != 'mlflow':
            raise
        raise UserError(
            f'loggers.MLFlowLogger: {one_line(error)}: name the tracking_uri of a server that runs'
        ) from error
