"""Checkpoint files in the folder of a curve: whole under their names, or absent."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

from composer.core import State
from composer.utils import dist
from composer.utils.checkpoint import save_checkpoint

from composer_clr.recording.run_folder import RunFolder, snapshot_name

__all__ = ['save_file', 'save_weights']


def save_file(state: State, folder: RunFolder, name: str, *, weights_only: bool) -> None:
    """Saves a checkpoint into a folder, on all ranks together; only rank 0 writes a file.

    Args:
        state (State): The trainer's state.
        folder (RunFolder): The folder, prepared.
        name (str): The file's name.
        weights_only (bool): Whether it holds the weights alone, or all that a run can be resumed from.

    Raises:
        OSError | RuntimeError: If the file cannot be written; ``torch`` reports it as either.
    """
    try:
        path = save_checkpoint(
            state, str(folder.aside(name)), weights_only=weights_only, ignore_keys=_make_loadable_without_pickle
        )
    except (OSError, RuntimeError):
        if dist.get_global_rank() == 0:
            # The other ranks wait, at the end of save_checkpoint, for the file.
            dist.barrier()
        raise
    if path is not None:
        folder.publish(name)


def save_weights(state: State, folder: RunFolder, cycle: int, suffix: str = '') -> str | None:
    """Saves the weights at a trough, on all ranks together; a failure is a warning, and training continues.

    Args:
        state (State): The trainer's state.
        folder (RunFolder): The folder, prepared.
        cycle (int): The cycle that ends at the trough.
        suffix (str): Of the file's name, for other weights than those in training. Default: ``''``.

    Returns:
        str | None: The file's name; ``None`` where it could not be written.
    """
    name = snapshot_name(cycle, state.timestamp.batch.value, suffix)
    try:
        save_file(state, folder, name, weights_only=True)
    except (OSError, RuntimeError) as error:
        if dist.get_global_rank() > 0:
            raise
        with suppress(OSError):
            folder.discard(name)
        reason = str(error).partition('\n')[0]
        warnings.warn(
            f"folder='{folder.uri}': the weights of cycle {cycle} are NOT saved ({reason}): training continues, "
            'and the point names no checkpoint',
            UserWarning,
            stacklevel=2,
        )
        return None
    return name


def _make_loadable_without_pickle(state_dict: dict[str, Any]) -> None:
    """Replaces torch's version, an object of torch's own that ``weights_only=True`` refuses, by its text."""
    metadata = state_dict['state']['metadata']
    metadata['torch_version'] = str(metadata['torch_version'])
