"""Builds the loaders of a run, the same way for every data set that is read by index."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from hashlib import sha256
from multiprocessing.util import Finalize
from typing import Any, NoReturn, cast

import numpy as np
import torch
from composer.core import Callback, DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset, default_collate

__all__ = [
    'Loader',
    'SampleOrder',
    'check_batch',
    'check_ranks',
    'class_balanced',
    'collate_images',
    'dataspecs',
    'evenly_spaced',
    'loader_arguments',
    'order_seed',
    'sampled',
    'start_ranks',
]


class Loader(DataLoader):
    """torch's ``DataLoader``, which after ``timeout`` seconds also ends where a loader process is stopped."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        if self.num_workers:
            Finalize(None, _end_loader_processes, exitpriority=0)  # before Python waits for them

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        watched = self.num_workers and threading.current_thread() is threading.main_thread()
        return _in_time(batches, self.timeout) if watched else batches


def _in_time(batches: Iterator[Any], timeout_s: float) -> Iterator[Any]:
    def end(*_: object) -> NoReturn:
        raise RuntimeError(f'DataLoader timed out after {timeout_s} seconds')  # torch's own words

    while True:
        before = signal.signal(signal.SIGALRM, end)
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            batch = next(batches)
        except StopIteration:
            return
        except (ConnectionError, EOFError):
            time.sleep(1)  # for torch's handler of ended processes, which raises an error that says how one ended
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        yield batch


def _end_loader_processes() -> None:
    """Ends them as they would be, but by the one signal that a stopped process receives."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error for each
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def dataspecs(
    train: Dataset, held_out: Dataset, batch_size: int, eval_batch_size: int, seed: int, **arguments: Any
) -> tuple[DataSpec, DataSpec]:
    """Returns training and evaluation data, as :func:`sampled` makes each."""
    return (
        sampled(train, batch_size, train=True, seed=seed, **arguments),
        sampled(held_out, eval_batch_size, train=False, **arguments),
    )


def sampled(
    dataset: Dataset, batch_size: int, *, train: bool, seed: int = 0, on_device: Callable | None = None, **loader: Any
) -> DataSpec:
    """Returns this rank's share: shuffled and in whole batches for training, every sample once for evaluation."""
    sampler = dist.get_sampler(dataset, shuffle=train, drop_last=train, seed=order_seed(seed))
    # Iterating draws a number: from the evaluation's own generator, so that evaluating more often trains no other run.
    generator = None if train else torch.Generator()
    loaded = Loader(dataset, batch_size, sampler=sampler, drop_last=train, generator=generator, **loader)
    return DataSpec(loaded, microbatch_transforms=on_device)


def loader_arguments(num_workers: int, collate_fn: Callable | None = None) -> dict[str, Any]:
    """Returns the arguments that the ``DataLoader``\\ s of training and of evaluation share."""
    return {
        'collate_fn': collate_fn,
        'num_workers': num_workers,
        'persistent_workers': num_workers > 0,
        'pin_memory': torch.cuda.is_available(),
    }


def collate_images(samples: list[tuple[torch.Tensor, int]]) -> list[torch.Tensor]:
    """Returns a batch of images and labels; the images stay in the layout they were decoded in, channels last."""
    # As rows of pixels an image is one piece of memory, which torch's collate copies at once.
    images, labels = default_collate([(image.permute(1, 2, 0), label) for image, label in samples])
    return [images.permute(0, 3, 1, 2), labels]


def order_seed(seed: int) -> int:
    """Returns the seed of a run's sampler, of 32 bits.

    Samplers add the epoch to it: with the run's own, epoch 1 of seed 17 would have the order of epoch 0 of seed 18.
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


class SampleOrder(Callback):
    """Keeps the sampler's seed in checkpoints, so that a resumed run continues in the order that it started with."""

    def __init__(self, sampler: DistributedSampler):
        self.sampler = sampler

    def state_dict(self) -> dict[str, Any]:
        return {'seed': self.sampler.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.seed = int(state['seed'])


def evenly_spaced(dataset: Dataset, count: int | None, name: str = 'eval_images') -> Dataset:
    """Returns part of a data set, spread evenly over it: if it is sorted by class, every class keeps its share.

    Example:
        >>> [int(image) for image in evenly_spaced(torch.arange(10), 4)]
        [0, 2, 5, 7]
    """
    samples = len(cast(Sized, dataset))
    if count is None or count == samples:
        return dataset
    if not 1 <= count < samples:
        raise ValueError(f'{name}={count!r}: must be between 1 and {samples}, the number of evaluation samples')
    return Subset(dataset, [n * samples // count for n in range(count)])


def class_balanced(labels: Sequence[int] | torch.Tensor, count: int | None, name: str) -> torch.Tensor:
    """Returns the indices of a fixed part with equal shares of the classes; of a rest, the first have one image more.

    Example:
        >>> class_balanced([0, 0, 0, 0, 1, 1, 1, 1], 4, 'train_images').tolist()
        [0, 2, 4, 6]
    """
    labels = torch.as_tensor(labels)
    if count is None:
        return torch.arange(len(labels))
    each = [(labels == c).nonzero()[:, 0] for c in labels.unique()]
    most = min(len(of_class) for of_class in each) * len(each)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise ValueError(f'{name}={count!r}: must be between 1 and {most}, of which every class has the same share')
    share, rest = divmod(count, len(each))
    shares = [share + (c < rest) for c in range(len(each))]
    parts = [of_class[torch.arange(n) * len(of_class) // n] for of_class, n in zip(each, shares, strict=True) if n]
    return torch.cat(parts).sort().values


def check_batch(images: int, batch_size: int, source: object) -> None:
    """Refuses training data smaller than one batch over all ranks."""
    ranks = dist.get_world_size()
    if images < ranks * batch_size:
        cure = f'pass data.batch_size={images - images % ranks}' if images >= ranks else 'use fewer ranks'
        raise ValueError(f'{source} has {images} images, fewer than a batch of {ranks} x {batch_size}: {cure} or less')


def start_ranks() -> None:
    """Connects the ranks if there are several and they are not connected yet."""
    if dist.get_world_size() > 1 and not dist.is_initialized():
        dist.initialize_dist()


def check_ranks(content: bytes, source: object, images: int) -> None:
    """Refuses, on every rank, ranks on which ``content`` differs: each takes its share of the images by index."""
    start_ranks()
    if not dist.is_initialized():
        return
    seen = dist.all_gather_object((images, sha256(content).hexdigest()))
    other = next((rank for rank, listing in enumerate(seen) if listing != seen[0]), None)
    if other is not None:
        raise ValueError(f'ranks 0 and {other} see different {source}: {seen[0][0]} and {seen[other][0]} images')
