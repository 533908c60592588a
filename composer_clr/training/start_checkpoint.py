"""Finds the checkpoint that a run starts from, the newest whole one, and checks it before Composer reads it."""

from __future__ import annotations

import os
import re
import traceback
import warnings
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from composer import Trainer
from composer.utils import load_checkpoint

from composer_clr.curves.names import filled_in
from composer_clr.data.loaders import start_ranks
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.training.torch_errors import lost_rank
from composer_clr.utils.errors import printable
from composer_clr.utils.ranks import on_rank_zero, rank_numbers

__all__ = ['damage', 'load_trainer', 'settle_start']

# Composer's own names, which recipes do not change. Rank 0 saves the state of all ranks.
_LATEST = 'latest-rank0.pt'
_NAME = re.compile(r'ep\d+-ba\d+-rank0\.pt')


def settle_start(recipe: Recipe) -> str | None:
    """Returns the checkpoint that the run will start from, as its key and value; ``None`` for a run from the start.

    If a power cut left the newest one incomplete, or Composer's link to it missing, the link is pointed to the newest
    whole one, with a warning; without one, the run is refused. Those in an object store are left to Composer.
    """
    checkpoint = recipe.checkpoint
    start_ranks()
    if checkpoint.autoresume and checkpoint.folder is not None and '://' not in checkpoint.folder:
        folder = Path(filled_in(checkpoint.folder, recipe.run_name, key='checkpoint.folder', **rank_numbers()))
        newest, passed_over = on_rank_zero(lambda: _settle_latest(folder, checkpoint.keep))
        if passed_over is not None:
            remedy = 'starting over' if newest is None else f'resuming from {newest}'
            warnings.warn(f'checkpoint.autoresume=true: {passed_over}: {remedy}', UserWarning, 2)
        if newest is not None:
            return f'checkpoint.autoresume=true: {newest}'
    if checkpoint.load_path is None:
        return None
    key = f'checkpoint.load_path={checkpoint.load_path}'
    if '://' not in checkpoint.load_path and checkpoint.load_path.endswith('.pt'):
        path = Path(filled_in(checkpoint.load_path, recipe.run_name, key='checkpoint.load_path', **rank_numbers()))
        problem = on_rank_zero(lambda: damage(path))
        if problem is not None:
            raise RecipeError(f'{key}: {problem}: pass a whole checkpoint')
    return key


def load_trainer(start: str | None, **arguments: Any) -> Trainer:
    """Builds a Trainer; an error while it loads its checkpoint, of another network or version, becomes one line."""
    try:
        return Trainer(**arguments)
    except Exception as error:
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        if start is None or lost_rank(error) or all(frame.f_code is not load_checkpoint.__code__ for frame in frames):
            raise
        raise RecipeError(
            f'{start}: does not fit this run ({_summary(error)}): pass the model, optimizer and algorithms of the run '
            'that saved it, or start without it'
        ) from error


def damage(path: Path) -> str | None:
    """Returns what is wrong with a checkpoint; every byte is compared with its checksum, which torch does not do."""
    try:
        if path.stat().st_size == 0:
            return f'{path} is empty'
        with ZipFile(path) as archive:
            broken = archive.testzip()
            names = archive.namelist()
    except BadZipFile:
        return f'{path} is truncated, or not a checkpoint'
    except OSError as error:
        return f'{path} cannot be read ({error.strerror})'
    if broken is not None:
        return f'{path} is damaged: {broken} does not have its checksum'
    return None if any(name.endswith('/data.pkl') for name in names) else f'{path} is not a checkpoint'


def _settle_latest(folder: Path, keep: int) -> tuple[Path | None, str | None]:
    """Returns the newest whole checkpoint in a folder, and why the newest of all was passed over, if it was."""
    link = folder / _LATEST
    named = [path for path in folder.glob('ep*-rank0.pt') if _NAME.fullmatch(path.name)]
    newest_first = [folder / link.readlink()] if link.is_symlink() else []
    newest_first += sorted(named, key=lambda path: -path.stat().st_mtime_ns)
    problems: dict[str, None] = {}
    for path in newest_first:
        problem = damage(path)
        if problem is None:
            if path == newest_first[0] and link.exists():
                return path, None
            _point(link, path)
            return path, '; '.join(problems) or f'{link} is missing'
        problems[problem] = None
    if not link.is_symlink():
        # Composer links a checkpoint only when it is whole, so the run was killed while it saved its first one.
        return None, '; '.join(problems) or None
    older, remedy = 'no older checkpoint is whole', ''
    if keep == 1:
        older, remedy = 'checkpoint.keep=1 keeps no older one', '; checkpoint.keep=2 keeps one'
    raise RecipeError(
        f'checkpoint.autoresume=true: {"; ".join(problems)}, and {older}: restore it from a copy, or remove {folder} '
        f'to start over{remedy}'
    )


def _point(link: Path, target: Path) -> None:
    aside = link.with_name(f'.{link.name}.{os.getpid()}')
    aside.symlink_to(target.name)
    aside.replace(link)


def _summary(error: Exception) -> str:
    """Returns the first two lines of an error; torch writes one per weight that differs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    more = f' and {len(lines) - 2} more' if len(lines) > 2 else ''
    return f'{type(error).__name__}: {printable(" ".join(lines[:2]))}{more}'
