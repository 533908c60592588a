"""Trains one recipe: ``composer -n N -m composer_clr.train RECIPE [key=value ...] [--code MODULE ...] [--check]``.

``--code mine.py`` executes a file, or a module, of your own, and the recipe may name what it defines:
``model.name=mine:network``. ``--check`` builds everything, tries two training batches and one evaluation batch, and
prints the cost of the run; nothing is kept. ``--until 16ep`` ends training at that trough, after its point; the same
command without it goes on, for which it needs ``checkpoint.folder`` and ``checkpoint.autoresume=true``. ``--keys``
prints every key of a recipe with its type, default and meaning. ``--traceback`` shows where in the code an error was
raised. The exit status is 2 for a run that cannot be started, 1 for one that failed later.
"""

from __future__ import annotations

import sys
from argparse import ArgumentError, ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from composer.utils import dist

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve
from composer_clr.data.loaders import start_ranks
from composer_clr.recipes.load import __doc__ as recipe_help
from composer_clr.recipes.load import load_recipe, shipped_recipes
from composer_clr.recipes.planned_run import troughs_passed
from composer_clr.recipes.preview import planned_run
from composer_clr.recipes.schema import Recipe, RecipeError, explained_keys
from composer_clr.recipes.study import PLACES, Ranks, check_same_settings, run_folder
from composer_clr.recording.folder_lock import LOCK_FILE, FolderLock
from composer_clr.schedule.times import ScheduleTime, read_duration
from composer_clr.training.build import build_trainer, fit, snapshot_of
from composer_clr.training.pause import PauseAt, Paused
from composer_clr.training.run_process import end_with_launcher
from composer_clr.training.torch_errors import torch_errors
from composer_clr.utils.errors import UserError, one_line
from composer_clr.utils.ranks import on_rank_zero

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, trains, and returns the exit status."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument('--code', action='append', default=[])
    parser.add_argument('--until')
    try:
        options, words = parser.parse_known_args(arguments)
    except ArgumentError as error:
        print(f'composer_clr.train: {error}: pass --code mine.py, --until 16ep', file=sys.stderr)
        return 2
    flags = {word for word in words if word.startswith('-')}
    name, *overrides = [word for word in words if word not in flags] or ['']
    if '--keys' in flags:
        print(explained_keys())
        return 0
    if not name or flags & {'-h', '--help'}:
        print(__doc__, f'Recipes: {", ".join(shipped_recipes())}', recipe_help, sep='\n\n')
        return 0
    try:
        unknown = sorted(flags - {'--check', '--traceback'})
        if unknown:
            known = '--check, --until TIME, --traceback, --code MODULE, or key=value'
            raise RecipeError(f'{unknown[0]}: unknown option: pass {known}')
        recipe = load_recipe(name, overrides, options.code)
        until = _until(recipe, options.until)
        end_with_launcher()
        with torch_errors():
            if '--check' in flags:
                from composer_clr.training.check import check_recipe

                _say(check_recipe(recipe).rstrip())
            else:
                _train(recipe, until)
        return 0
    except (UserError, OSError) as error:
        if '--traceback' in flags:
            raise
        print(f'composer_clr.train: {one_line(error)}', file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def _until(recipe: Recipe, until: str | None) -> ScheduleTime | None:
    """Returns the trough that training ends at, if it is not the last one."""
    if until is None:
        return None
    if recipe.checkpoint.folder is None or not recipe.checkpoint.autoresume:
        raise RecipeError(f'--until {until}: goes on from a checkpoint: pass checkpoint.folder, checkpoint.autoresume')
    try:
        return read_duration('--until', until)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _train(recipe: Recipe, until: ScheduleTime | None = None) -> None:
    folder = run_folder(recipe, Ranks(dist.get_world_size(), dist.get_local_world_size()))
    resumes = recipe.checkpoint.autoresume
    start_ranks()
    # Rank 0's: the folder of another node may be another one.
    curve = on_rank_zero(lambda: _recorded(recipe, folder))
    if curve is not None and _has_all_points(curve):
        is_whole = resumes and _is_whole(recipe, curve)
        if is_whole or recipe.snapshot.on_change != 'continue':
            goes_on = resumes or recipe.checkpoint.load_path is not None
            check_same_settings(curve.run, recipe, f'{folder}: complete', also=() if goes_on else PLACES)
        if is_whole:
            on_rank_zero(lambda: _clear_lock(Path(folder)))
            _say(f'{recipe.run_name} is complete: {_points(curve)} in {folder}/{CURVE_FILE}')
            return
    trainer = build_trainer(recipe)
    if until is not None:
        # After the Trainer's own, which saves a checkpoint there where one is due.
        trainer.state.callbacks.append(PauseAt(trainer, until))
    ended = ''
    try:
        if batch := trainer.state.timestamp.batch.value:
            loaded = snapshot_of(trainer).loaded_run
            other = None if loaded is None or loaded.run_name == recipe.run_name else loaded.run_name
            own_seed = None if loaded is None or other else loaded.seed
            if other and resumes and recipe.checkpoint.load_path is None:
                # It would go on with the weights alone, in a curve without the points so far.
                raise RecipeError(
                    f'{recipe.checkpoint.folder}: has the checkpoints of run {other!r}: pass run_name={other} '
                    'too to make that one longer, or another checkpoint.folder for another'
                )
            if own_seed not in (None, recipe.seed) and recipe.snapshot.on_change != 'continue':
                # Composer goes on with the checkpoint's, which would not be the run that is asked for.
                raise RecipeError(
                    f'{recipe.checkpoint.folder}: trained to batch {batch} under seed={own_seed}, asked for '
                    f'{recipe.seed}: choose another folder, or another run_name'
                )
            _say(f'{recipe.run_name} goes on from batch {batch}')
        elif curve is not None and curve.points and resumes:
            _say(f'{recipe.run_name} starts over, since {recipe.checkpoint.folder} has no checkpoint')
        ended = '' if fit(trainer) else ' is complete'
    except Paused:
        ended = f' pauses at {until}'
    except BaseException:
        # Not Trainer.close(), which waits for all ranks: the others may be waiting in training for this one.
        trainer.engine.close()
        raise
    curve = snapshot_of(trainer).curve
    trainer.close()
    _say(f'{recipe.run_name}{ended}: {_points(curve)} in {folder}/{CURVE_FILE}')


def _recorded(recipe: Recipe, folder: str) -> TradeoffCurve | None:
    """Returns the curve of a run of this name that is in a local folder."""
    try:
        curve = TradeoffCurve.read(Path(folder))
    except CurveError:
        return None
    return curve if curve.run.run_name == recipe.run_name else None


def _has_all_points(curve: TradeoffCurve) -> bool:
    """Returns whether the run of a curve was trained to its end."""
    troughs = curve.run.schedule.get('troughs')
    return isinstance(troughs, list) and 0 < len(troughs) <= sum(not point.stopped for point in curve.points)


def _is_whole(recipe: Recipe, curve: TradeoffCurve) -> bool:
    """Returns whether a curve has the points of the recipe's run, where the recipe alone tells how many it has."""
    try:
        planned = planned_run(recipe)
    except RecipeError:
        return False
    return troughs_passed(curve, planned.troughs, planned.unit) == len(planned.troughs)


def _clear_lock(folder: Path) -> None:
    """Removes the lock that a process killed after its last point has left; that of a live one stays."""
    if (folder / LOCK_FILE).exists():
        with suppress(OSError):
            FolderLock(folder).release()


def _points(curve: TradeoffCurve) -> str:
    return f'{len(curve.points)} point{"s" * (len(curve.points) != 1)}'


def _say(line: str) -> None:
    if dist.get_global_rank() == 0:
        print(line, flush=True)


if __name__ == '__main__':
    sys.exit(main())
