"""Describes a run for ``curve.json`` from the Trainer: all that makes its curve what it is, as plain values."""

from __future__ import annotations

import inspect
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sized
from importlib import metadata
from itertools import count
from typing import Any, cast

import composer
import numpy as np
import torch
from composer import Trainer
from composer.core import Evaluator, State, TimeUnit
from composer.utils import dist
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler, Subset
from torchmetrics import Metric, MetricCollection

from composer_clr import __version__
from composer_clr.curves.curve import Run
from composer_clr.curves.names import method_name, run_kind
from composer_clr.curves.settings import COMMAND, COMMAND_VARIABLE, RECIPE, flat
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.utils.arguments import arguments_of, digest, plain
from composer_clr.utils.models import is_schedule_free, network_name, without_ddp

__all__ = ['describe_run', 'optimizer_settings', 'trainer_of']

# Libraries that a run may use, by module, and their packages.
_IF_IMPORTED = {'llmfoundry': 'llm-foundry', 'streaming': 'mosaicml-streaming', 'transformers': 'transformers'}
# What the optimizers of schedulefree count while training, among their settings.
_COUNTED = ('k', 'lr_max', 'scheduled_lr', 'train_mode', 'weight_sum')
# Arguments that say where and with what, not which weights: troughs are compared by themselves.
_NOT_OF_WEIGHTS = ('scheduler', 'train_data', 'save_weights', 'device')
# Arguments of a sampler that the run has anyway: its ranks, its seed, its data.
_NOT_OF_ORDER = ('data_source', 'dataset', 'generator', 'num_replicas', 'num_samples', 'rank', 'sampler', 'seed')


def describe_run(
    state: State,
    schedule: RunSchedule,
    *,
    method: str | None,
    kind: str | None,
    peak_window: str = '0ep',
    passed: Mapping[str, Any] | None = None,
    loaded: Run | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Run:
    """Describes the run that a Trainer is about to start, at or after ``FIT_START``.

    Args:
        state (State): The trainer's state.
        schedule (RunSchedule): Its cycles.
        method (str | None): Name of the method; ``None`` derives it from the Trainer's algorithms.
        kind (str | None): Kind of curve; ``None`` derives it from the schedule and the callbacks.
        peak_window (str): How far before a trough its peak metrics look. Default: ``'0ep'``.
        passed (Mapping | None): :func:`optimizer_settings` at ``INIT``. Default: ``None``, what they are now.
        loaded (Run | None): The run whose checkpoint was loaded. Default: ``None``, no checkpoint.
        recipe (Mapping | None): The resolved recipe, nested and plain. Default: ``None``, no recipe.
    """
    used_versions = _versions()
    evaluation = {evaluator.label: _evaluated(evaluator) for evaluator in state.evaluators}
    settings = {
        **_trainer(state),
        **_optimizer(state, passed or {}, None if loaded is None else loaded.settings or {}),
        **flat(evaluation, 'evaluation'),
        **flat(used_versions, 'versions'),
        'peak_window': peak_window,
    }
    # As a part of the duration it is another count in runs of another length, and the same schedule.
    warmup = str(schedule.scheduler.get('t_warmup'))
    settings['schedule.warmup'] = warmup if warmup.endswith('dur') else f'{schedule.cycles.start}{schedule.unit}'
    if recipe is not None:
        settings[RECIPE] = dict(recipe)
    if command := os.environ.get(COMMAND_VARIABLE):
        settings[COMMAND] = command
    # Of a run whose points are averaged weights: which average.
    average = next((one.describe_average() for one in state.callbacks if hasattr(one, 'describe_average')), None)  # type: ignore[attr-defined]
    schedule_free = any(map(is_schedule_free, state.optimizers))
    return Run(
        run_name=state.run_name,
        kind=kind
        or run_kind(
            None if schedule.until is None else len(schedule.troughs),
            {**schedule.scheduler, 'average': average},
            decays=schedule.decays if schedule_free else average is None and schedule.cycles.decays,
            comes_down=schedule.comes_down is not False,
            averaged=average is not None,
            schedule_free=schedule_free,
        ),
        method=method or method_name(type(algorithm).__name__ for algorithm in state.algorithms),
        seed=state.rank_zero_seed,
        model=settings['model'],
        world_size=settings['world_size'],
        schedule={**schedule.record, **({} if average is None else {'average': average})},
        evaluation={
            label: {name: one[name] for name in ('samples', 'of')} for label, one in evaluation.items() if 'of' in one
        },
        training={
            **{name: settings.get(f'data.{name}') for name in ('loader_length', 'batch_size', 'samples')},
            'algorithms': settings['algorithms'],
        },
        versions=used_versions,
        parameters=settings.get('model.parameters'),
        settings=settings,
    )


def _trainer(state: State) -> dict[str, Any]:
    loader = state.train_dataloader
    settings = {
        **_model(state),
        **_algorithms(state),
        **_averages(state),
        **flat(_data(loader), 'data'),
        'microbatch_size': _microbatch_size(state),
        'precision': state.precision.value,
        # Composer and torch.compile put the compiled one in the place of the class's.
        'compile': 'forward' in vars(without_ddp(state.model)),
        'parallelism': 'fsdp' if state.fsdp_enabled else 'ddp',
        'world_size': dist.get_world_size(),
        'device': torch.cuda.get_device_name() if state.device.name == 'gpu' else state.device.name,
        'host': platform.node(),
    }
    if state.dataloader_len is not None:
        settings['data.loader_length'] = int(state.dataloader_len)
    trainer = trainer_of(state)
    if trainer is not None:
        settings['step_schedulers_every_batch'] = trainer._scheduler_step_frequency is TimeUnit.BATCH
    for name in ('num_workers', 'prefetch_factor', 'pin_memory', 'persistent_workers'):
        if hasattr(loader, name):
            settings[f'loader.{name}'] = getattr(loader, name)
    return settings


def optimizer_settings(state: State) -> dict[str, Any]:
    """Returns the settings of the optimizers' groups by dotted name: ``optimizer.lr``, or ``optimizer.group0.lr``."""
    # SAM keeps the one that it steps with.
    optimizers = [getattr(one, 'base_optimizer', one) for one in state.optimizers]
    groups = [group for one in optimizers for group in one.param_groups]
    settings: dict[str, Any] = {'optimizer': '+'.join(type(one).__name__ for one in optimizers)}
    for number, group in enumerate(groups):
        left_out = ('params', 'lr', 'initial_lr', *(_COUNTED if 'train_mode' in group else ()))
        kept = {name: plain(value) for name, value in group.items() if name not in left_out}
        # A scheduler keeps here what it multiplies; one of torch's does so before there is a Trainer.
        kept['lr'] = float(group.get('initial_lr', group['lr']))
        settings |= flat(kept, 'optimizer' if len(groups) == 1 else f'optimizer.group{number}')
    return settings


def _versions() -> dict[str, str]:
    """Returns the versions of this package and of the libraries that a run's numbers come from."""
    imported = {package: metadata.version(package) for module, package in _IF_IMPORTED.items() if module in sys.modules}
    own = {'composer_clr': __version__, 'mosaicml': composer.__version__, 'torch': torch.__version__}
    return {**own, 'python': platform.python_version(), **imported}


def trainer_of(state: State) -> Trainer | None:
    """Returns the Trainer under whose event this is called: its state lacks the train data and how schedulers step."""
    frame = inspect.currentframe()
    while frame is not None:
        # Only the Trainer's own frames, since reading the variables of a frame keeps them alive.
        caller = frame.f_locals.get('self') if frame.f_globals.get('__name__') == Trainer.__module__ else None
        if isinstance(caller, Trainer) and caller.state is state:
            return caller
        frame = frame.f_back
    return None


def _model(state: State) -> dict[str, Any]:
    model = without_ddp(state.model)
    settings: dict[str, Any] = {'model': network_name(model), 'loss': _loss(model)}
    if not state.fsdp_enabled:
        settings['model.parameters'] = sum(parameter.numel() for parameter in model.parameters())
        settings['model.structure'] = digest('\n'.join(_structure(model)))
    return settings


def _structure(model: torch.nn.Module) -> Iterable[str]:
    """Yields a line per module with its arguments, such as the rate of dropout; metrics are no part of a network."""
    metrics = [name for name, one in model.named_modules() if isinstance(one, (Metric, MetricCollection))]
    for name, module in model.named_modules():
        if not any(name == metric or name.startswith(f'{metric}.') for metric in metrics):
            yield f'{name} {type(module).__name__}({module.extra_repr()})'


def _loss(model: torch.nn.Module) -> str:
    function = getattr(model, '_loss_fn', None) or getattr(model, 'loss_fn', None)
    return str(plain(function or getattr(type(model), 'loss', None)))


def _optimizer(state: State, passed: Mapping[str, Any], loaded: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what the optimizers were made with: what is not as passed was changed in training, or is a checkpoint's.

    The learning rate is kept apart by the scheduler that changes it.
    """
    made_with = passed if loaded is None else loaded
    now = optimizer_settings(state)
    changed = {name for name, value in now.items() if name in passed and value != passed[name]}
    changed = {name for name in changed if name.rpartition('.')[2] not in ('optimizer', 'lr')}
    return now | {name: made_with[name] for name in changed if name in made_with}


def _algorithms(state: State) -> dict[str, Any]:
    names, arguments = [], {}
    for algorithm in state.algorithms:
        # InCycles(EMA()) wraps one.
        inner = getattr(algorithm, 'algorithm', algorithm)
        names.append(type(inner).__name__)
        own = _without(arguments_of(inner), 'scheduler') | {'in_cycles': inner is not algorithm}
        arguments[_numbered(names[-1], arguments)] = own
    return {'algorithms': names, **flat(arguments, 'algorithms')}


def _averages(state: State) -> dict[str, Any]:
    """Returns the callbacks that evaluate weights of their own, with all their arguments."""
    described = {}
    for callback in state.callbacks:
        if hasattr(callback, 'make_weights'):
            described[_numbered(type(callback).__name__, described)] = _without(
                arguments_of(callback), *_NOT_OF_WEIGHTS
            )
    return {'averages': sorted(described), **flat(described, 'averages')}


def _numbered(name: str, taken: Mapping[str, Any]) -> str:
    """Returns a name for the next of several of one class: ``EMA``, then ``EMA2``."""
    return name if name not in taken else next(f'{name}{n}' for n in count(2) if f'{name}{n}' not in taken)


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _data(loader: object) -> dict[str, Any]:
    """Returns what is known of the data that a loader reads and of their order, over all ranks."""
    if not isinstance(loader, DataLoader):
        return {'loader': type(loader).__name__}
    dataset, settings = loader.dataset, {}
    if isinstance(loader.batch_size, int):
        settings['batch_size'] = loader.batch_size * dist.get_world_size()
    if isinstance(dataset, Sized) and not isinstance(dataset, IterableDataset):
        settings['samples'] = len(dataset)
    if not isinstance(dataset, IterableDataset):
        settings['sampler'] = _order(loader.sampler)
    settings['part'] = 'the whole set'
    while isinstance(dataset, Subset):
        settings['part'] = f'indices:{digest(np.asarray(dataset.indices).tobytes())}'
        dataset = dataset.dataset
    settings['dataset'] = type(dataset).__name__
    settings['collate'] = plain(loader.collate_fn)
    for name in ('transform', 'target_transform', 'transforms'):
        transform = getattr(dataset, name, getattr(dataset, f'_{name}', None))
        if transform is not None:
            settings[name] = plain(transform)
    return settings


def _order(sampler: object) -> str:
    """Returns how samples are drawn: the samplers of one rank and of several draw alike."""
    if isinstance(sampler, SequentialSampler) or (isinstance(sampler, DistributedSampler) and not sampler.shuffle):
        return 'in order'
    if isinstance(sampler, DistributedSampler) or (isinstance(sampler, RandomSampler) and not sampler.replacement):
        return 'shuffled'
    arguments = _without(arguments_of(sampler), *_NOT_OF_ORDER)
    return f'{type(sampler).__name__}({", ".join(f"{name}={value!r}" for name, value in arguments.items())})'


def _microbatch_size(state: State) -> object:
    if state.auto_microbatching:
        return 'auto'
    size, batch_size = state.device_train_microbatch_size, getattr(state.train_dataloader, 'batch_size', None)
    return 'whole batch' if size is None or (isinstance(batch_size, int) and size >= batch_size) else size


def _evaluated(evaluator: Evaluator) -> dict[str, Any]:
    """Returns what is known of an evaluator's data: a part, ``samples``, ``of`` the whole set."""
    loader = evaluator.dataloader.dataloader
    data = _data(loader)
    settings = {name: data[name] for name in ('dataset', 'transform', 'transforms') if name in data}
    sizes = _sizes(getattr(loader, 'dataset', None))
    if isinstance(loader, DataLoader) and sizes is not None:
        samples, whole = sizes
        over_ranks = data.get('batch_size')
        if over_ranks is not None and evaluator.subset_num_batches not in (None, -1):
            samples = min(samples, evaluator.subset_num_batches * over_ranks)
        settings |= {'samples': samples, 'of': whole}
        # A mean over batches of unequal sizes depends on the size, per rank: another number of ranks is no other size.
        if over_ranks is not None:
            settings['batch_size'] = loader.batch_size if samples % over_ranks else 'divides the set'
    return settings


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
