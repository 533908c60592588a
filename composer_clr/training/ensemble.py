"""Evaluates ensembles of the snapshots in the folder of a recipe's run."""

from __future__ import annotations

from collections.abc import Sequence

from composer_clr.averaging.ensemble import EnsemblePoint, ensemble_points
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.study import ONE_RANK, Ranks, run_folder
from composer_clr.training.build import build_evaluator

__all__ = ['ensembles_of_recipe']


def ensembles_of_recipe(
    name: str, overrides: Sequence[str] = (), most: int | None = None, ranks: Ranks | None = ONE_RANK
) -> tuple[TradeoffCurve, list[EnsemblePoint]]:
    """Evaluates ensembles of the snapshots of a recipe's run."""
    recipe = load_recipe(name, overrides)
    folder = run_folder(recipe, ranks)
    if '://' in folder:
        raise CurveError(f'{folder}: snapshots are read from a local folder: copy it here and pass snapshot.folder')
    curve = TradeoffCurve.read(folder)
    trainer = build_evaluator(recipe)
    try:
        return curve, ensemble_points(curve, folder, trainer.state, most=most)
    finally:
        trainer.close()
