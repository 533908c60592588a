"""Makes a curve from a run's checkpoints: averages of their weights, evaluated at marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from composer import Trainer
from composer.core import State

from composer_clr.averaging.checkpoints import Checkpoint, averages_at, read_checkpoints
from composer_clr.averaging.trough_weights import load_tensors, measure_statistics
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.kinds import MERGED
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import CheckpointRecipe, RecipeError
from composer_clr.recording.evaluation import scalars
from composer_clr.recording.run_record import describe_run
from composer_clr.schedule.anytime import AnytimeScheduler
from composer_clr.schedule.times import COUNTED, horizon
from composer_clr.schedule.trainer_schedule import trainer_schedule
from composer_clr.training.build import build_trainer

__all__ = ['merged_curve']


def merged_curve(
    name: str,
    checkpoints: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    marks: Sequence[str] | None = None,
    window: float = 0.25,
    decay: str = 'linear',
    bn_batches: int = 50,
) -> TradeoffCurve:
    """Evaluates averages of a run's checkpoints, as a curve of the kind ``merged``.

    The recipe describes the network and the data, which checkpoints do not. A Trainer is built and never run: it
    applies what algorithms do to the network, such as BlurPool, which renames weights.

    Args:
        name (str): The recipe.
        checkpoints (Sequence[Path]): Composer's checkpoints of a run whose rate does not decay, or folders of them;
            they are loaded with ``weights_only=True``.
        overrides (Sequence[str]): ``key=value`` pairs of the run.
        marks (Sequence[str] | None): The marks, such as ``['4ep', '8ep']``. Default: ``None``, those of the recipe.
        window (float): The part of training up to each mark whose checkpoints are averaged, in (0, 1]. Default:
            ``0.25``.
        decay (str): The decay that the average stands for: ``'linear'`` (uniform), ``'cosine'`` or ``'1-sqrt'``.
            Default: ``'linear'``.
        bn_batches (int): Training batches over which batch norm's statistics are recomputed. Default: ``50``.

    Raises:
        RecipeError: If the recipe cannot be read or built, or an argument is out of range.
        CurveError: If a checkpoint cannot be read, does not fit the network, or is missing at a mark.

    Source:
        Tian et al. 2025 (WSM), arXiv:2507.17634.
    """
    if isinstance(window, bool) or not 0 < window <= 1:
        raise RecipeError(f'window={window}: must be a part of the time so far, above 0 and at most 1')
    read = read_checkpoints(checkpoints)
    recipe = load_recipe(name, overrides)
    schedule = replace(recipe.schedule, kind='standard', t_hold=None, shape='cosine')
    bare = replace(
        recipe, schedule=schedule, loggers={}, callbacks={}, checkpoint=CheckpointRecipe(), progress_bar=False
    )
    trainer = build_trainer(bare)
    try:
        state = trainer.state
        planned = recipe.schedule
        try:
            if marks is not None:
                scheduler = AnytimeScheduler(list(marks))
            else:
                ends = planned.cycle_ends
                scheduler = AnytimeScheduler(
                    ends, planned.t_warmup, **({} if ends else {'t_0': planned.t_0, 't_mult': planned.t_mult})
                )
            cycles = trainer_schedule(state, scheduler)
        except ValueError as error:
            raise RecipeError(f'marks: {error}') from error
        until = horizon(state, cycles.unit)
        last = read[-1].counts[COUNTED[cycles.unit]]
        at = cycles.cycles.troughs(last if until is None else min(last, until))
        if not at:
            raise CurveError(f'the last checkpoint, {read[-1].path}, comes before the first mark: pass --marks')
        points = [
            _point(trainer, number, checkpoint, average, bn_batches)
            for number, (checkpoint, average) in enumerate(averages_at(read, at, COUNTED[cycles.unit], window, decay))
        ]
        run = describe_run(state, cycles, method=recipe.snapshot.method, kind=MERGED, started_at=None)
        described = {'scheduler': 'merge', 'window': window, 'decay': decay, 'checkpoints': len(read)}
        run = replace(
            run,
            run_name=f'{read[0].run_name}-{MERGED}',
            seed=read[0].seed,
            schedule={**run.schedule, **described, 'troughs': at},
        )
        return TradeoffCurve(run, points)
    finally:
        trainer.close()


def _point(trainer: Trainer, number: int, checkpoint: Checkpoint, average: dict, bn_batches: int) -> TradeoffPoint:
    state = trainer.state
    weights = checkpoint.model()
    try:
        state.model.load_state_dict(weights)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:300]
        raise CurveError(
            f"{checkpoint.path}: does not fit the recipe's network: pass the run's recipe ({reason})"
        ) from error
    parameters = {name for name, _ in state.model.named_parameters()}
    load_tensors(state.model, {key: value for key, value in average.items() if key in parameters})
    measure_statistics(state, state.model, bn_batches)
    metrics = _evaluated(trainer, state)
    counts, length = checkpoint.counts, state.dataloader_len
    return TradeoffPoint(
        cycle=number,
        epoch=None if length is None else counts['batch'] / int(length),
        batch=counts['batch'],
        sample=counts['sample'],
        token=counts['token'],
        wall_clock_train_s=checkpoint.train_s,
        wall_clock_total_s=checkpoint.train_s,
        lr=checkpoint.lr,
        metrics=metrics,
        peak_metrics=dict(metrics),
    )


def _evaluated(trainer: Trainer, state: State) -> dict[str, float]:
    trainer.eval()
    return {
        key: value
        for label, metrics in state.eval_metrics.items()
        for name, metric in metrics.items()
        for key, value in scalars(f'{label}/{name}', metric.compute()).items()
    }
