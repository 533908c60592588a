"""Work that rank 0 does for all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from composer.utils import dist

__all__ = ['on_rank_zero']

_T = TypeVar('_T')


def on_rank_zero(call: Callable[[], _T]) -> _T:
    """Calls a function on rank 0 alone and returns its result, or raises its error, on every rank.

    So no rank waits for one that has stopped. To be called on all ranks together.

    Args:
        call (Callable): What rank 0 does; its result and its errors are sent to the other ranks.

    Example:
        >>> on_rank_zero(lambda: 'done')
        'done'
    """
    outcome: list[Any] = [None, None]
    if dist.get_global_rank() == 0:
        try:
            outcome[0] = call()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
