"""Errors that a user can act on, each on one line, and the words that they are made of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ['UserError', 'all_at_once', 'did_you_mean', 'listed', 'one_line', 'printable']


_WORD = re.compile(r'[a-z0-9]+')
_CLOSE = 0.6


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
    """Returns an error's message on one line, or its class; without the traceback that a loader process puts before."""
    text = str(error).rstrip()
    if 'Original Traceback' in text:
        text = text.rpartition('\n')[2].removeprefix(f'{type(error).__name__}: ')
    return printable(' '.join(text.split())) or type(error).__name__


def printable(text: str) -> str:
    """Returns the text on one line, without characters that move a cursor, change colours or clear a screen."""
    return ''.join(character if character.isprintable() else ' ' for character in text)


def listed(items: Sequence[str], most: int = 12) -> str:
    """Returns items separated by commas; of more than ``most``, the first ones, the last one, and their number.

    Example:
        >>> listed(['1', '2', '3']), listed(['1', '2', '3', '4'], most=3)
        ('1, 2, 3', '1, 2, ..., 4 (4 in all)')
    """
    if len(items) <= most:
        return ', '.join(items)
    return f'{", ".join(items[: most - 1])}, ..., {items[-1]} ({len(items):,} in all)'


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Returns the end of an error's sentence: the nearest known name, or nothing where none is near.

    The shortest known name that has all words of the wrong one comes first, since what is missing is then the rest of
    the name; then the one that is spelled most alike. ``SGD`` is not what ``DecoupledSGD`` means.

    Example:
        >>> did_you_mean('DecoupledSGD', ['SGD', 'DecoupledSGDW']), did_you_mean('sed', ['seed', 'model'])
        (", did you mean 'DecoupledSGDW'?", ", did you mean 'seed'?")
    """
    lowered, words = name.lower(), _WORD.findall(name.lower())
    longer = [
        candidate
        for candidate in known
        if candidate.lower().startswith(lowered)
        or (len(lowered) > 2 and words and all(word in candidate.lower() for word in words))
    ]
    if longer:
        return f', did you mean {min(longer, key=len)!r}?'
    by_lowered = {candidate.lower(): candidate for candidate in reversed(known)}
    close = difflib.get_close_matches(lowered, by_lowered, n=1, cutoff=_CLOSE)
    return f', did you mean {by_lowered[close[0]]!r}?' if close else ''


@contextmanager
def all_at_once() -> Iterator[Callable[..., None]]:
    """Yields a function that makes a check: what several of them refuse is one error in the end.

    Example:
        >>> with all_at_once() as check:
        ...     check(int, '4')
        ...     check(int, 'a')
        ...     check(float, 'b')
        Traceback (most recent call last):
        ValueError: invalid literal for int() with base 10: 'a'; could not convert string to float: 'b'
    """
    refused: list[str] = []

    def check(made: Callable[..., object], *arguments: object) -> None:
        try:
            made(*arguments)
        except ValueError as error:
            refused.append(str(error))

    yield check
    if refused:
        raise ValueError('; '.join(refused))
