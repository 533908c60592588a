"""Work that rank 0 does for all ranks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypedDict, TypeVar

from composer.utils import dist

__all__ = ['on_rank_zero', 'rank_numbers']

_T = TypeVar('_T')


def on_rank_zero(call: Callable[[], _T]) -> _T:
    """Calls a function on rank 0 alone and returns its result, or raises its error, on every rank.

    So no rank waits for one that has stopped. To be called on all ranks together; results and errors are pickled.
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


class RankNumbers(TypedDict, total=False):
    """This process's ranks and their numbers."""

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int
    node_rank: int


def rank_numbers() -> RankNumbers:
    """Returns this process's ranks and their numbers, by the names of Composer's placeholders for folders.

    A number that the launcher did not set is left out, as Composer leaves it out.
    """
    numbers: RankNumbers = {}
    for name, number in (
        ('rank', dist.get_global_rank),
        ('local_rank', dist.get_local_rank),
        ('world_size', dist.get_world_size),
        ('local_world_size', dist.get_local_world_size),
        ('node_rank', dist.get_node_rank),
    ):
        with suppress(dist.MissingEnvironmentError):
            numbers[name] = number()
    return numbers
