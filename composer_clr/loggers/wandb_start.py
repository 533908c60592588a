"""Starts Weights & Biases for a recipe: logged in or offline, with an id that a resumed run finds again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import wandb
from composer.core import State
from composer.loggers import Logger, WandBLogger

from composer_clr.utils.errors import UserError, one_line

__all__ = ['recipe_logger', 'run_id']

_REMEDY = "run 'wandb login', set WANDB_API_KEY, or train with WANDB_MODE=offline"


def recipe_logger(run_name: str, *, resumable: bool, **arguments: Any) -> WandBLogger:
    """Builds a recipe's ``WandBLogger``; wandb's errors at its start become errors of the recipe.

    A ``resumable`` run continues in the same W&B run: its id is derived from its name, unless ``init_kwargs`` has one.

    Raises:
        UserError: If nobody is logged in, for an online run.
    """
    init = {
        **({'id': run_id(run_name), 'resume': 'allow'} if resumable else {}),
        **(arguments.get('init_kwargs') or {}),
    }
    online = _mode(init) not in ('offline', 'disabled', 'dryrun')
    if online and wandb.api.api_key is None:
        raise UserError(f'loggers.WandBLogger: not logged in to Weights & Biases: {_REMEDY}')
    destination = WandBLogger(**{**arguments, 'init_kwargs': init})
    start = destination.init

    def started(state: State, logger: Logger) -> None:
        try:
            start(state, logger)
        except Exception as error:  # a network is waited for for 90 seconds
            if type(error).__module__.split('.')[0] != 'wandb':
                raise
            raise UserError(f'loggers.WandBLogger: {one_line(error)}: {_REMEDY}') from error

    destination.init = started
    if not online:
        destination.download_file = _nothing_offline
    return destination


def run_id(run_name: str) -> str:
    """Returns the W&B id of a run name: always the same, and valid for any characters in the name.

    Example:
        >>> run_id('digits-cyclic-64ep-seed17'), run_id('study/7')
        ('digits-cyclic-64ep-seed17', 'study-7-cb521f55')
    """
    plain = re.sub(r'[^A-Za-z0-9_.-]', '-', run_name)[:48]
    return plain if plain == run_name else f'{plain}-{sha256(run_name.encode()).hexdigest()[:8]}'


def _nothing_offline(remote_file_name: str, *_: Any, **__: Any) -> None:
    """Says that there is no checkpoint, for which Composer would ask W&B at ``autoresume``, and fail."""
    raise FileNotFoundError(f'{remote_file_name}: W&B is offline')


def _mode(init: Mapping[str, Any]) -> str | None:
    """Returns the mode in wandb's order: the argument, the environment, the settings of ``wandb offline``."""
    if os.environ.get('WANDB_DISABLED', '').lower() in ('true', '1'):
        return 'disabled'
    return init.get('mode') or os.environ.get('WANDB_MODE') or wandb.api.settings().get('mode')
