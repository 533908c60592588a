"""Augmented CIFAR-10 images per second, over torchvision's: ``python -m tests.benchmarks.cifar_input``.

Both sides make the same normalised batches, with a padded crop and a flip of each image, on one core: the process and
its workers are pinned to it. One side is the loader of the recipe ``resnet18_cifar10/baseline``, images in memory; the
other is torchvision's ``CIFAR10`` with ``RandomCrop``, ``RandomHorizontalFlip``, ``ToTensor`` and ``Normalize`` in a
``DataLoader`` with 0 and with 2 workers. They alternate, round by round. Printed are the median and the range of the
ratios of wall-clock time and of processor time (workers included).

The images are those at ``COMPOSER_CLR_CIFAR10``, or random bytes if it is not set: their values do not affect the time.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from composer_clr.data.cifar10 import MEAN, STD, ImagesInMemory, in_memory_data, read_class_folders

ROUNDS, IMAGES, BATCH = 7, 5000, 128


class Cifar10(CIFAR10):
    """Makes torchvision's data set of images in memory."""

    def __init__(self, images: np.ndarray, labels: list[int], transform: Callable):
        self.data, self.targets = images, labels
        self.transform, self.target_transform = transform, None


def images() -> tuple[torch.Tensor, torch.Tensor]:
    folder = os.environ.get('COMPOSER_CLR_CIFAR10')
    if folder is None:
        print('COMPOSER_CLR_CIFAR10 is not set: random bytes in place of photographs')
        return torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8), torch.arange(IMAGES) % 10
    return read_class_folders(Path(folder) / 'train.zip', 32, 10, IMAGES)[:2]


def in_memory_batches(x: torch.Tensor, y: torch.Tensor) -> Iterable:
    spec = in_memory_data(ImagesInMemory(x, y, padding=4), BATCH, train=True)
    return map(spec.microbatch_transforms, spec.dataloader)


def torchvision_batches(x: torch.Tensor, y: torch.Tensor, num_workers: int) -> Iterable:
    augment = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    data = Cifar10(x.permute(0, 2, 3, 1).contiguous().numpy(), y.tolist(), augment)
    return DataLoader(data, BATCH, shuffle=True, drop_last=True, num_workers=num_workers)


def seconds(batches: Iterable) -> tuple[float, float]:
    """Returns wall-clock and processor time of one epoch."""
    began, used = time.perf_counter(), processor_s()
    count = sum(len(labels) for _, labels in batches)
    assert count == IMAGES // BATCH * BATCH
    return time.perf_counter() - began, processor_s() - used


def processor_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore', 'This DataLoader will create 2 worker processes')
    x, y = images()
    times: dict[str, list[tuple[float, float]]] = {'in memory': [], '0 workers': [], '2 workers': []}
    for _ in range(ROUNDS):
        times['in memory'].append(seconds(in_memory_batches(x, y)))
        for num_workers in (0, 2):
            times[f'{num_workers} workers'].append(seconds(torchvision_batches(x, y, num_workers)))
    rate = IMAGES // BATCH * BATCH / median(wall for wall, _ in times['in memory'])
    print(f'{rate:,.0f} images per second, batches of {BATCH}, one core')
    for name in ('0 workers', '2 workers'):
        for column, clock in enumerate(('wall clock', 'processor')):
            ratios = [slow[column] / fast[column] for fast, slow in zip(times['in memory'], times[name], strict=True)]
            print(f'{median(ratios):5.1f} ({min(ratios):.1f} to {max(ratios):.1f}) times torchvision, {name}, {clock}')


if __name__ == '__main__':
    main()
