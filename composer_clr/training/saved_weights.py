"""Evaluates weights that a run has saved: averages of its checkpoints at marks, ensembles of its snapshots."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer import Trainer
from composer.core import State
from torch import Tensor

from composer_clr.averaging.batch_norm import batch_norm_layers, measure_statistics, modes_in_training
from composer_clr.averaging.checkpoints import Checkpoint, averages_at, read_checkpoints
from composer_clr.averaging.ensemble import ensemble_curves
from composer_clr.averaging.state_file import load_network, weights_in
from composer_clr.averaging.train_batches import TrainBatches
from composer_clr.averaging.trough_weights import load_tensors
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import MERGED, shaped_kind
from composer_clr.curves.settings import RECIPE, Effect, differences, listed_differences, settings_of
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError, ScheduleRecipe
from composer_clr.recipes.study import ONE_RANK, Ranks, run_folder
from composer_clr.recording.evaluation import scalars
from composer_clr.recording.run_record import describe_run
from composer_clr.schedule.averages import check_average
from composer_clr.schedule.cycle_ends import read_marks
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.scheduler import AnytimeScheduler
from composer_clr.training.build import build_evaluator
from composer_clr.training.registry import built

__all__ = ['ensembles_of_recipe', 'merged_curve']

# Training batches on which the statistics of batch norm are recomputed.
_BN_BATCHES = 50
# What a curve of averages has of its own, and not of the run that trained the weights.
_OF_MERGING = ('kind', 'schedule', 'averages', 'callbacks', 'evaluation', 'peak_window', 'snapshot', 'starts_from')


def merged_curve(
    name: str,
    checkpoints: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    marks: Sequence[str] | None = None,
    window: float = 0.25,
    decay: str = 'linear',
    code: Sequence[str] = (),
) -> TradeoffCurve:
    """Evaluates averages of a run's checkpoints, as a curve of the kind ``merged``."""
    try:
        check_average(window, None, decay)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    read = read_checkpoints(checkpoints)
    recipe = load_recipe(name, overrides, code)
    trainer = build_evaluator(
        replace(
            recipe,
            # The order in which statistics are recomputed is the run's.
            seed=recipe.seed if read[0].seed is None else read[0].seed,
            schedule=replace(recipe.schedule, kind='standard', t_hold=None, shape='cosine'),
        )
    )
    try:
        state = trainer.state
        cycles = built('marks', _marks, {'state': state, 'planned': recipe.schedule, 'marks': marks})
        _check_recipe(state, read)
        load_network(state.model, weights_in(read[0].path), read[0].path)  # before any are averaged
        count = cycles.counter
        at = _marks_reached(cycles, read[-1], marks is not None)
        batches = _train_batches(trainer)
        points, averaged = [], []
        for checkpoint, weights, number in averages_at(read, at, count, window, decay):
            points.append(_point(trainer, len(points), checkpoint, weights, batches))
            averaged.append(number)
        if single := [str(mark) for mark, number in zip(at, averaged, strict=True) if number == 1]:
            warnings.warn(
                f'no average: one checkpoint alone lies in the window of the mark of {count} {", ".join(single)}: save '
                'them more often, or pass a larger window',
                UserWarning,
                stacklevel=2,
            )
        kind = shaped_kind(MERGED, {'average': {'window': window, 'decay': decay}})
        run = describe_run(state, cycles, method=recipe.snapshot.method, kind=kind, recipe=recipe.plain())
        run = replace(run, settings=_settings(run, read[-1]))
        described = {'scheduler': 'merge', 'window': window, 'decay': decay, 'checkpoints': len(read)}
        schedule = {**run.schedule, **described, 'averaged': averaged, 'troughs': at}
        run = replace(run, run_name=f'{read[0].run_name}-{kind}', seed=read[0].seed, schedule=schedule)
        return TradeoffCurve(run, points)
    finally:
        trainer.close()


def ensembles_of_recipe(
    name: str,
    overrides: Sequence[str] = (),
    most: int | None = None,
    ranks: Ranks | None = ONE_RANK,
    code: Sequence[str] = (),
) -> tuple[TradeoffCurve, list[TradeoffCurve]]:
    """Returns the curve of a recipe's run, and those of the ensembles of its snapshots."""
    recipe = load_recipe(name, overrides, code)
    folder = run_folder(recipe, ranks)
    if '://' in folder:
        raise CurveError(f'{folder}: snapshots are read from a local folder: copy it here and pass snapshot.folder')
    curve = TradeoffCurve.read(folder)
    trainer = build_evaluator(recipe)
    try:
        return curve, ensemble_curves(curve, folder, trainer.state, most=most)
    finally:
        trainer.close()


def _marks(state: State, planned: ScheduleRecipe, marks: Sequence[str] | None) -> RunSchedule:
    ends = planned.cycle_ends if planned.marks is None else read_marks(planned.marks)
    if marks is not None:
        scheduler = AnytimeScheduler(list(marks))
    elif ends is not None:
        scheduler = AnytimeScheduler(ends, planned.t_warmup)
    else:
        scheduler = AnytimeScheduler(None, planned.t_warmup, t_0=planned.t_0, t_mult=planned.t_mult)
    return RunSchedule.of_trainer(state, scheduler)


def _check_recipe(state: State, read: Sequence[Checkpoint]) -> None:
    algorithms = tuple(sorted(type(algorithm).__qualname__ for algorithm in state.algorithms))
    length = None if state.dataloader_len is None else int(state.dataloader_len)
    for checkpoint in read:
        if checkpoint.algorithms != algorithms:
            trained, named = (', '.join(names) or 'none' for names in (checkpoint.algorithms, algorithms))
            raise CurveError(
                f'{checkpoint.path}: of a run with the algorithms {trained}, and the recipe has {named}: pass the '
                "run's recipe, with its algorithms"
            )
        epochs, within = checkpoint.counts['epoch'], checkpoint.counts['batch_in_epoch']
        batches = checkpoint.counts['batch'] - within
        if length is not None and epochs and batches != epochs * length:
            raise CurveError(
                f"{checkpoint.path}: of a run with {batches / epochs:g} batches per epoch, and the recipe's data have "
                f"{length}: pass the run's recipe, with its data.batch_size"
            )


def _marks_reached(cycles: RunSchedule, last: Checkpoint, asked: bool) -> list[int]:
    count = cycles.counter
    end, until = last.counts[count], cycles.until
    at = cycles.cycles.troughs(end if asked or until is None else min(end, until))
    later = cycles.cycles.next_trough(end)
    if not at:
        raise CurveError(f'the last checkpoint, {last.path}, comes before the first mark: pass --marks')
    if later is not None and asked:
        raise CurveError(
            f'no checkpoint at the mark of {count} {later}: the last, {last.path}, is at {end}: leave that mark out'
        )
    if later is not None and until is not None and later <= until:
        warnings.warn(
            f'the last checkpoint is at {count} {end}: marks from {count} {later} on are left out',
            UserWarning,
            stacklevel=3,
        )
    return at


def _settings(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what made the weights: what the checkpoint says, of which the recipe may differ in its schedule alone."""
    now = run.settings or {}
    if checkpoint.run is None:
        # The device and the ranks that trained are not known.
        return {name: value for name, value in now.items() if Effect.of(name) is not Effect.PACE}
    found = differences(settings_of(checkpoint.run), settings_of(run))
    found = [one for one in found if not one.name.removeprefix(f'{RECIPE}.').startswith(_OF_MERGING)]
    if found:
        raise CurveError(
            f"{checkpoint.path}: trained with {listed_differences(found, 'the recipe has')}: pass the run's recipe, "
            'with the same overrides'
        )
    of_run = checkpoint.run.settings or now
    return {
        **{name: value for name, value in of_run.items() if not name.startswith(_OF_MERGING)},
        **{name: value for name, value in now.items() if name.startswith((*_OF_MERGING, RECIPE))},
    }


def _train_batches(trainer: Trainer) -> TrainBatches | None:
    if not batch_norm_layers(trainer.state.model, modes_in_training(trainer.state.model)):
        return None
    arguments = {'state': trainer.state, 'what_for': 'bn_batches', 'data': trainer._train_data_spec}
    return built('data', TrainBatches, arguments)


def _point(
    trainer: Trainer, cycle: int, checkpoint: Checkpoint, average: Mapping[str, Tensor], batches: TrainBatches | None
) -> TradeoffPoint:
    state = trainer.state
    load_network(state.model, weights_in(checkpoint.path), checkpoint.path)
    parameters = {name for name, _ in state.model.named_parameters()}
    load_tensors(state.model, {key: value for key, value in average.items() if key in parameters})
    measure_statistics(state, state.model, _BN_BATCHES, batches, modes_in_training(state.model))
    trainer.eval()
    metrics = {
        key: value
        for label, of_label in state.eval_metrics.items()
        for name, metric in of_label.items()
        for key, value in scalars(f'{label}/{name}', metric.compute()).items()
    }
    counts, length = checkpoint.counts, state.dataloader_len
    return TradeoffPoint(
        cycle=cycle,
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
