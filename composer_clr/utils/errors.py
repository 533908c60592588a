"""Errors that a user can act on, each on one line."""

from __future__ import annotations

from composer_clr.utils.text import printable

__all__ = ['UserError', 'one_line']


class UserError(ValueError):
    """An error whose message names what is wrong and what would be right, on one line.

    The message may quote names and values from files; characters that would move a terminal's cursor become spaces.

    Example:
        >>> UserError('seed=abc:\\nmust be a whole number')
        UserError('seed=abc: must be a whole number')
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


def one_line(error: BaseException) -> str:
    """Returns an error's message on one line, without the traceback that a loader's worker process puts before it."""
    text = str(error).rstrip()
    if 'Original Traceback' in text:
        text = text.rpartition('\n')[2].removeprefix(f'{type(error).__name__}: ')
    return printable(' '.join(text.split()))
