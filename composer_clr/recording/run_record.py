"""Describes a run for ``curve.json`` from the Trainer's state."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence, Sized
from importlib import metadata
from typing import cast

import composer
import torch
from composer.core import Evaluator, State
from composer.utils import dist
from torch.utils.data import DataLoader, IterableDataset, Subset

from composer_clr import __version__
from composer_clr.curves.curve import Run
from composer_clr.curves.kinds import run_kind
from composer_clr.curves.methods import method_name
from composer_clr.schedule.marks import Marks
from composer_clr.schedule.times import horizon, spell
from composer_clr.schedule.trainer_schedule import TrainerSchedule
from composer_clr.utils.models import is_schedule_free, network_name

__all__ = ['describe_run']

# Libraries that a run may use, by module, and their packages.
_IF_IMPORTED = {'llmfoundry': 'llm-foundry', 'streaming': 'mosaicml-streaming', 'transformers': 'transformers'}


def describe_run(
    state: State, schedule: TrainerSchedule, *, method: str | None, kind: str | None, started_at: str | None
) -> Run:
    """Describes the run that a Trainer is about to start.

    Args:
        state (State): The trainer's state.
        schedule (TrainerSchedule): Its cycles.
        method (str | None): Name of the method; ``None`` derives it from the Trainer's algorithms.
        kind (str | None): Kind of curve; ``None`` gives :func:`run_kind` of its troughs.
        started_at (str | None): When the run first started, UTC, ISO 8601.
    """
    until = horizon(state, schedule.unit)
    troughs = None if until is None else schedule.cycles.troughs(until)
    # Of a run whose points are averaged weights: which average.
    average = next((one.describe_average() for one in state.callbacks if hasattr(one, 'describe_average')), None)  # type: ignore[attr-defined]
    schedule_free = any(map(is_schedule_free, state.optimizers))
    return Run(
        run_name=state.run_name,
        kind=kind
        or run_kind(
            None if troughs is None else len(troughs),
            {**schedule.description, 'average': average},
            decays=schedule.decays if schedule_free else average is None and not isinstance(schedule.cycles, Marks),
            comes_down=schedule.comes_down,
            averaged=average is not None,
            schedule_free=schedule_free,
        ),
        method=method or method_name(type(algorithm).__name__ for algorithm in state.algorithms),
        seed=state.rank_zero_seed,
        model=network_name(state.model),
        world_size=dist.get_world_size(),
        schedule={
            **schedule.description,
            'max_duration': None if state.max_duration is None else spell(state.max_duration),
            'unit': schedule.unit.value,
            'troughs': troughs,
            **({} if average is None else {'average': average}),
        },
        evaluation=_evaluation(state.evaluators),
        training=_training(state),
        versions={
            'composer_clr': __version__,
            'mosaicml': composer.__version__,
            'torch': torch.__version__,
            'python': platform.python_version(),
            **{package: metadata.version(package) for module, package in _IF_IMPORTED.items() if module in sys.modules},
        },
        parameters=None if state.fsdp_enabled else sum(p.numel() for p in state.model.parameters()),
        started_at=started_at,
    )


def _training(state: State) -> dict[str, object]:
    """Returns the settings of the loader and the algorithms that every batch of a run has in common."""
    loader = state.train_dataloader
    dataset = loader.dataset if isinstance(loader, DataLoader) else None
    sized = isinstance(dataset, Sized) and not isinstance(dataset, IterableDataset)
    batch_size = getattr(loader, 'batch_size', None)
    return {
        'loader_length': None if state.dataloader_len is None else int(state.dataloader_len),
        'batch_size': batch_size * dist.get_world_size() if isinstance(batch_size, int) else None,
        'samples': len(cast(Sized, dataset)) if sized else None,
        'algorithms': [type(getattr(algorithm, 'algorithm', algorithm)).__name__ for algorithm in state.algorithms],
    }


def _evaluation(evaluators: Sequence[Evaluator]) -> dict[str, dict[str, int]]:
    """Returns the sizes of what each evaluator runs on and of its data set, so that a subset is recognized."""
    evaluation = {}
    for evaluator in evaluators:
        loader = evaluator.dataloader.dataloader
        dataset = getattr(loader, 'dataset', None)
        sizes = _sizes(dataset)
        if not isinstance(loader, DataLoader) or sizes is None:
            continue
        samples, whole = sizes
        if loader.batch_size is not None and evaluator.subset_num_batches not in (None, -1):
            samples = min(samples, evaluator.subset_num_batches * loader.batch_size * dist.get_world_size())
        evaluation[evaluator.label] = {'samples': samples, 'of': whole}
    return evaluation


def _sizes(dataset: object) -> tuple[int, int] | None:
    """Returns the samples that a loader of all the data set goes through on all ranks, and those of the whole set."""
    if isinstance(dataset, IterableDataset):
        # The length of an iterable data set may be that of one rank, and may be wrong. StreamingDataset has both.
        samples, whole = getattr(dataset, 'epoch_size', None), getattr(dataset, 'size', None)
        return (samples, whole) if isinstance(samples, int) and isinstance(whole, int) else None
    if not isinstance(dataset, Sized):
        return None
    samples = len(dataset)
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    # Images in memory may be read in part.
    return samples, getattr(dataset, 'whole', None) or len(cast(Sized, dataset))
