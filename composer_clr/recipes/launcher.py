"""The number of ranks that a launcher's command line starts."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from composer_clr.recipes.schema import RecipeError

__all__ = ['ONE_RANK', 'Ranks', 'launched_ranks']

_LOCAL = ('-n', '--nproc', '--nproc_per_node', '--nproc-per-node')
_ALL = ('--world_size', '--world-size')
_PLAIN = 'python'


class Ranks(NamedTuple):
    """How many ranks a run has: the values of ``{world_size}`` and ``{local_world_size}`` in its folder."""

    world_size: int
    local_world_size: int


ONE_RANK = Ranks(1, 1)


def launched_ranks(launcher: str) -> Ranks | None:
    """Returns the ranks that a launcher starts.

    Args:
        launcher (str): What stands before the module, such as ``composer -n 8 -m``. The options of ``composer`` and
            ``torchrun`` are known: ``-n``, ``--nproc``, ``--nproc_per_node``, ``--world_size``.

    Returns:
        Ranks | None: One rank where ``python`` starts the module; ``None`` where another launcher has no option that
        gives their number, and so takes the machine's.

    Raises:
        RecipeError: If a number of ranks is not a whole number above 0.

    Example:
        >>> launched_ranks('composer -n 8 -m'), launched_ranks('composer --nproc=8 --world_size 16 -m')
        (Ranks(world_size=8, local_world_size=8), Ranks(world_size=16, local_world_size=8))
        >>> launched_ranks('python -m'), launched_ranks('composer -m')
        (Ranks(world_size=1, local_world_size=1), None)
    """
    try:
        words = shlex.split(launcher)
    except ValueError as error:
        raise RecipeError(f'--launcher {launcher!r}: {error}') from error
    local, total = _number(launcher, words, _LOCAL), _number(launcher, words, _ALL)
    if local is None and total is None:
        return ONE_RANK if any(_PLAIN in word.rpartition('/')[2] for word in words) else None
    return Ranks(total or local or 1, local or total or 1)


def _number(launcher: str, words: list[str], options: tuple[str, ...]) -> int | None:
    for word, following in zip(words, [*words[1:], ''], strict=True):
        name, equals, value = word.partition('=')
        if name in options:
            value = value if equals else following
            if not value.isdecimal() or int(value) < 1:
                raise RecipeError(f'--launcher {launcher!r}: {name} {value}: give a number of ranks, such as {name} 8')
            return int(value)
    return None
