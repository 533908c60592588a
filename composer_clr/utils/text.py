"""Text made safe for a terminal, and the nearest known name to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ['did_you_mean', 'printable']


def printable(text: str) -> str:
    r"""The text on one line, without characters that would move a cursor, change colours or clear a screen.

    Example:
        >>> printable('evil\x1b[2J\nname')
        'evil [2J name'
    """
    return ''.join(character if character.isprintable() else ' ' for character in text)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of an error's sentence: the nearest known name, or nothing where none is known.

    Example:
        >>> did_you_mean('sed', ['seed', 'model'])
        ", did you mean 'seed'?"
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f', did you mean {close[0]!r}?' if close else ''
