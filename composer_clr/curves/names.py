"""Names of runs and of their files."""

from __future__ import annotations

__all__ = ['branch_file', 'check_run_name']


def check_run_name(name: str) -> None:
    """Refuse a run name that would lead out of the folder that it is filled into, or that no file can have.

    A slash makes a folder within the folder and is allowed; ``..``, an empty part (and so an absolute path or a URI)
    and characters that do not print are not.

    Raises:
        ValueError: If the name is one of those.

    Example:
        >>> check_run_name('study/lr0.1')
        >>> check_run_name('../elsewhere')
        Traceback (most recent call last):
        ValueError: run_name='../elsewhere' cannot name a folder: leave out '..', empty parts and control characters
    """
    if not name.isprintable() or any(part in ('', '.', '..') for part in name.replace('\\', '/').split('/')):
        raise ValueError(f"run_name={name!r} cannot name a folder: leave out '..', empty parts and control characters")


def branch_file(duration: str) -> str:
    """Name of the checkpoint that the branch of a duration starts from.

    Example:
        >>> branch_file('16ep')
        'branch-to-16ep.pt'
    """
    return f'branch-to-{duration}.pt'
