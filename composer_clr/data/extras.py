"""Data whose libraries are extras of this package, imported when they are asked for."""

from __future__ import annotations

from typing import Any

from composer.core import DataSpec

__all__ = ['streaming_dataspecs']


def streaming_dataspecs(**arguments: Any) -> tuple[DataSpec, DataSpec]:
    """See :func:`composer_clr.data.streaming.streaming_dataspecs`."""
    from composer_clr.data.streaming import streaming_dataspecs

    return streaming_dataspecs(**arguments)
