"""The known name that a wrong one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ['did_you_mean']


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of an error's sentence: the nearest known name, or nothing where none is known.

    Example:
        >>> did_you_mean('sed', ['seed', 'model'])
        ", did you mean 'seed'?"
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f', did you mean {close[0]!r}?' if close else ''
