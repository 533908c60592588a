"""Reads the state in a checkpoint or snapshot without pickle, in time and memory that the file's size bounds."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import torch
from torch.torch_version import TorchVersion

from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import one_line

__all__ = ['load_network', 'read_state', 'weights_in']

# What Composer's checkpoints hold beside tensors and plain values: random states, durations and torch's version.
_HARMLESS = [
    np.empty(0).__reduce__()[0],
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ('uint8', 'uint32', 'uint64', 'int64', 'float32', 'float64')),
    timedelta,
    TorchVersion,
]
# Of all that is not a tensor, which torch reads one instruction at a time: ten times that of 10,000 tensors.
_MOST_PLAIN_BYTES = 32 << 20
_MOST_LETTERS = 300


def read_state(path: Path) -> dict[str, Any]:
    """Returns the ``state`` of a file that Composer saved; its tensors are read when they are used."""
    try:
        _check_sizes(path)
        with torch.serialization.safe_globals(_HARMLESS):
            state = torch.load(path, map_location='cpu', weights_only=True, mmap=True)['state']
    except OSError as error:
        raise CurveError(f'{path}: cannot be read ({error})') from error
    except Exception as error:
        # torch raises errors of many kinds for a file that it did not write.
        reason = one_line(error)[:_MOST_LETTERS]
        raise CurveError(f'{path}: not a checkpoint that can be read without pickle ({reason})') from error
    if not isinstance(state, dict):
        raise CurveError(f'{path}: not a checkpoint that Composer saved: its state is a {type(state).__name__}')
    return state


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    """Returns the network's weights and buffers in a file by name."""
    weights = read_state(path).get('model')
    if not isinstance(weights, dict):
        raise CurveError(f'{path}: holds no weights of a network')
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CurveError(f'{path}: holds a {type(tensor).__name__} in place of the weights {str(name)[:80]!r}')
        ordinary = tensor.layout == torch.strided and tensor.device.type == 'cpu' and not tensor.is_quantized
        if not ordinary or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CurveError(f'{path}: {name[:80]} of shape {tuple(tensor.shape)} is not an ordinary tensor')
    return weights


def load_network(network: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Loads weights into the network of a recipe."""
    own = network.state_dict()
    other = next((n for n, tensor in weights.items() if n in own and _kind(tensor) != _kind(own[n])), None)
    try:
        if other is not None:
            raise TypeError(f'{other} is of {weights[other].dtype}, in place of {own[other].dtype}')
        network.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise CurveError(
            f'{path}: not weights of this network: give the recipe of the run ({one_line(error)[:_MOST_LETTERS]})'
        ) from error


def _kind(tensor: torch.Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _check_sizes(path: Path) -> None:
    # Opened without blocking: a pipe without a writer would block forever.
    with open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError('it is not a regular file')
        try:
            with ZipFile(file) as archive:
                parts = archive.infolist()
        except BadZipFile as error:
            raise ValueError('it is truncated, or torch did not save it') from error
    if any(part.compress_type != ZIP_STORED for part in parts) or sum(p.file_size for p in parts) > status.st_size:
        raise ValueError('it is compressed, as torch does not save it')
    plain = sum(part.file_size for part in parts if part.filename.endswith('.pkl'))
    if plain > _MOST_PLAIN_BYTES:
        raise ValueError(f'its plain values take {plain >> 20} MiB, more than the {_MOST_PLAIN_BYTES >> 20} allowed')
