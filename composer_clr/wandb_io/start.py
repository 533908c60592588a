"""Starts Weights & Biases for a recipe: logged in or offline, with an id that a resumed run finds again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from composer.loggers import LoggerDestination, WandBLogger

from composer_clr.utils.errors import UserError

__all__ = ['logger_arguments', 'look_for_no_checkpoints_offline', 'run_id', 'wandb_errors_in_one_line']

_REMEDY = "run 'wandb login', set WANDB_API_KEY, or train with WANDB_MODE=offline"
_NOT_ONLINE = ('offline', 'disabled', 'dryrun')


def logger_arguments(arguments: Mapping[str, Any] | None, run_name: str, *, resumable: bool) -> dict[str, Any]:
    """Returns the arguments of a recipe's ``WandBLogger``, completed; refuses an online run that is not logged in.

    A ``resumable`` run continues in the same W&B run: its id is derived from its name, unless ``init_kwargs`` has one.
    """
    if arguments is not None and not isinstance(arguments, Mapping):
        raise UserError(f'loggers.WandBLogger={arguments!r}: must be arguments by name, such as project: clr')
    completed = dict(arguments or {})
    init = dict(completed.get('init_kwargs') or {})
    if resumable:
        init = {'id': run_id(run_name), 'resume': 'allow', **init}
    _check_login(init)
    return {**completed, 'init_kwargs': init}


def run_id(run_name: str) -> str:
    """Returns the W&B id of a run name: always the same, and valid for any characters in the name.

    Example:
        >>> run_id('digits-cyclic-64ep-seed17')
        'digits-cyclic-64ep-seed17'
        >>> run_id('study/7')
        'study-7-cb521f55'
    """
    plain = re.sub(r'[^A-Za-z0-9_.-]', '-', run_name)[:48]
    return plain if plain == run_name else f'{plain}-{sha256(run_name.encode()).hexdigest()[:8]}'


@contextmanager
def wandb_errors_in_one_line() -> Iterator[None]:
    """Raises an error of wandb while it starts as an error of the recipe; wandb waits 90 seconds for a network."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split('.')[0] != 'wandb':
            raise
        raise UserError(f'loggers.WandBLogger: {" ".join(str(error).split())}: {_REMEDY}') from error


def look_for_no_checkpoints_offline(loggers: Iterable[LoggerDestination], arguments: Mapping[str, Any]) -> None:
    """Lets a run with ``autoresume`` start offline, where Composer would ask W&B for a checkpoint and fail."""
    if _mode(arguments['init_kwargs']) in _NOT_ONLINE:
        for logger in loggers:
            if isinstance(logger, WandBLogger):
                logger.download_file = _nothing_offline


def _nothing_offline(remote_file_name: str, *_: Any, **__: Any) -> None:
    raise FileNotFoundError(f'{remote_file_name}: W&B is offline')


def _mode(init: Mapping[str, Any]) -> str | None:
    """Returns the mode in wandb's order: the argument, the environment, the settings of ``wandb offline``."""
    import wandb

    if os.environ.get('WANDB_DISABLED', '').lower() in ('true', '1'):
        return 'disabled'
    return init.get('mode') or os.environ.get('WANDB_MODE') or wandb.api.settings().get('mode')


def _check_login(init: Mapping[str, Any]) -> None:
    import wandb

    if _mode(init) not in _NOT_ONLINE and wandb.api.api_key is None:
        raise UserError(f'loggers.WandBLogger: not logged in to Weights & Biases: {_REMEDY}')
