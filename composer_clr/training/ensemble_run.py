"""Evaluates ensembles of the snapshots in the folder of a recipe's run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from composer_clr.averaging.ensemble import EnsemblePoint, ensemble_points
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.recipes.launcher import ONE_RANK, Ranks
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import CheckpointRecipe
from composer_clr.recipes.study import run_folder
from composer_clr.training.build import build_trainer

__all__ = ['ensembles_of_recipe']


def ensembles_of_recipe(
    name: str, overrides: Sequence[str] = (), most: int | None = None, ranks: Ranks | None = ONE_RANK
) -> tuple[TradeoffCurve, list[EnsemblePoint]]:
    """Evaluates ensembles of the snapshots of a recipe's run.

    Takes the recipe rather than the run's folder, because ``curve.json`` does not describe the network and the data.
    A Trainer is built and never run: it applies what algorithms do to the network, such as BlurPool, which renames
    weights. Loggers, callbacks and checkpoints are left out.

    Args:
        name (str): The recipe.
        overrides (Sequence[str]): ``key=value`` pairs of the run.
        most (int | None): The largest ensemble. Default: ``None``, all troughs.
        ranks (Ranks | None): How many ranks the run had, for a folder with ``{world_size}`` in it. Default: one rank.

    Raises:
        RecipeError: If the recipe cannot be read or built.
        CurveError: If the run's folder is in an object store, holds no curve, or its snapshots do not fit.
    """
    recipe = load_recipe(name, overrides)
    folder = run_folder(recipe, ranks)
    if '://' in folder:
        raise CurveError(f'{folder}: snapshots are read from a local folder: copy it here and pass snapshot.folder')
    curve = TradeoffCurve.read(folder)
    bare = replace(recipe, loggers={}, callbacks={}, checkpoint=CheckpointRecipe(), progress_bar=False)
    trainer = build_trainer(bare)
    try:
        return curve, ensemble_points(curve, folder, trainer.state, most=most)
    finally:
        trainer.close()
