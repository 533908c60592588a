"""Data sets, one module each; :func:`data_set` finds them by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from composer_clr.utils.errors import did_you_mean

if TYPE_CHECKING:
    from composer.core import DataSpec

__all__ = ['DATA_SETS', 'data_set']

DATA_SETS = ('cifar10', 'digits', 'imagefolder', 'standard_library', 'streaming')


def data_set(name: str) -> Callable[..., tuple[DataSpec, DataSpec]]:
    """Returns the function that makes training and evaluation data of a data set, which is imported only now.

    Raises:
        ValueError: If the name is unknown, or the data set's libraries are not installed.
    """
    if name not in DATA_SETS:
        raise ValueError(f'unknown name{did_you_mean(name, DATA_SETS)} (the data sets are {", ".join(DATA_SETS)})')
    return getattr(import_module(f'composer_clr.data.{name}'), f'{name}_dataspecs')
