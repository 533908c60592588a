"""Text that comes from files, made safe for a terminal."""

from __future__ import annotations

__all__ = ['printable']


def printable(text: str) -> str:
    r"""The text on one line, without characters that would move a cursor, change colours or clear a screen.

    Example:
        >>> printable('evil\x1b[2J\nname')
        'evil [2J name'
    """
    return ''.join(character if character.isprintable() else ' ' for character in text)
