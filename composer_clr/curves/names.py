"""Names of runs and of their files."""

from __future__ import annotations

from string import Formatter

__all__ = ['branch_file', 'check_run_name', 'filled_in']


def check_run_name(name: str) -> None:
    """Refuses a run name that would lead out of the folder that it is filled into, or that a file cannot have.

    A slash makes a folder within the folder and is allowed; ``..``, an empty part (so an absolute path or a URI) and
    characters that do not print are not.

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
    """Returns the name of the checkpoint that the branch of a duration starts from.

    Example:
        >>> branch_file('16ep')
        'branch-to-16ep.pt'
    """
    return f'branch-to-{duration}.pt'


def filled_in(
    folder: str,
    run_name: str,
    *,
    key: str = 'folder',
    world_size: int = 1,
    local_world_size: int | None = None,
    rank: int = 0,
    local_rank: int = 0,
    node_rank: int = 0,
) -> str:
    """Returns a folder with Composer's placeholders filled in, as its ``format_name_with_dist`` fills them.

    Args:
        folder (str): The folder or URI; ``{run_name}``, ``{world_size}``, ``{local_world_size}``, ``{rank}``,
            ``{local_rank}`` and ``{node_rank}`` may stand in it.
        run_name (str): The run's name.
        key (str): The folder's key, for errors. Default: ``'folder'``.
        world_size (int): Number of ranks. Default: ``1``.
        local_world_size (int | None): Number of ranks on this node. Default: ``None``, all of them.
        rank (int): Global rank. Default: ``0``, the rank that writes curves.
        local_rank (int): Rank on this node. Default: ``0``.
        node_rank (int): This node's number. Default: ``0``.

    Raises:
        ValueError: If the name cannot name a folder, a placeholder is unknown, or braces are left.

    Example:
        >>> filled_in('out/{run_name}/on-{world_size}', 'study', world_size=8)
        'out/study/on-8'
        >>> filled_in('out/{name}', 'study')
        Traceback (most recent call last):
        ValueError: folder='out/{name}' with run_name='study' cannot be filled in: {name} is not one of Composer's \
placeholders: run_name, world_size, local_world_size, rank, local_rank, node_rank
    """
    check_run_name(run_name)
    values = {
        'run_name': run_name,
        'world_size': world_size,
        'local_world_size': world_size if local_world_size is None else local_world_size,
        'rank': rank,
        'local_rank': local_rank,
        'node_rank': node_rank,
    }
    try:
        if unknown := [name for _, name, _, _ in Formatter().parse(folder) if name is not None and name not in values]:
            raise ValueError(f"{{{unknown[0]}}} is not one of Composer's placeholders: {', '.join(values)}")
        uri = folder.format_map(values)
        if '{' in uri or '}' in uri:
            raise ValueError(f'it comes to {uri!r}, and Composer would fill in braces again: leave them out')
    except ValueError as error:
        raise ValueError(f'{key}={folder!r} with {run_name=} cannot be filled in: {error}') from error
    return uri
