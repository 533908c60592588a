"""Data sets, one module each; :func:`data_set` finds them by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.core import DataSpec

__all__ = ['DATA_SETS', 'data_set']

DATA_SETS = ('cifar10', 'digits', 'imagefolder', 'standard_library', 'streaming')


def data_set(name: str) -> Callable[..., tuple[DataSpec, DataSpec]]:
    """Returns the function that makes training and evaluation data of one of the data sets, which is imported now."""
    return getattr(import_module(f'composer_clr.data.{name}'), f'{name}_dataspecs')
