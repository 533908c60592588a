"""What image data have in common, however they are stored: batches of bytes, and an exact evaluation."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, cast

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from composer_clr.data.transforms import Normalize

__all__ = ['collate_images', 'evaluation_dataspec', 'evenly_spaced', 'loading']


def collate_images(samples: list[tuple[torch.Tensor, int]]) -> list[torch.Tensor]:
    """A batch of images and labels; the images' bytes stay in the order that they were decoded in, channels last.

    Shape:
        Images of (channels, height, width) to (batch, channels, height, width), labels to (batch,).

    Example:
        >>> images, labels = collate_images([(torch.zeros(3, 32, 32, dtype=torch.uint8), 5)] * 4)
        >>> images.shape, images.is_contiguous(memory_format=torch.channels_last), labels
        (torch.Size([4, 3, 32, 32]), True, tensor([5, 5, 5, 5]))
    """
    # As rows of pixels an image is one piece of memory, which torch's collate copies at once, in a worker straight
    # into the memory that it shares with the training process.
    images, labels = default_collate([(image.permute(1, 2, 0), label) for image, label in samples])
    return [images.permute(0, 3, 1, 2), labels]


def loading(num_workers: int) -> dict[str, Any]:
    """Arguments of a ``DataLoader`` of images, in training and in evaluation."""
    return {
        'collate_fn': collate_images,
        'num_workers': num_workers,
        'persistent_workers': num_workers > 0,
        'pin_memory': torch.cuda.is_available(),
    }


def evaluation_dataspec(images: Dataset, eval_batch_size: int, num_workers: int, eval_images: int | None) -> DataSpec:
    """Evaluation data: every image once on any number of ranks.

    Composer's sampler fills the ranks up to equal numbers, and its evaluation leaves the fillings out again.

    Args:
        images (Dataset): The images, by number.
        eval_batch_size (int): Images a batch on each rank.
        num_workers (int): Loader processes a rank.
        eval_images (int | None): How many of the images, spread evenly over them; ``None``: all.
    """
    if eval_images is not None:
        images = evenly_spaced(images, eval_images)
    return DataSpec(
        DataLoader(images, eval_batch_size, sampler=dist.get_sampler(images), **loading(num_workers)),
        microbatch_transforms=Normalize(),
    )


def evenly_spaced(dataset: Dataset, eval_images: int) -> Dataset:
    """A part of a data set, spread evenly over it, so that where classes lie side by side all have their share.

    Raises:
        ValueError: If there are not as many.

    Example:
        >>> [int(image) for image in evenly_spaced(torch.arange(10), 4)]
        [0, 2, 5, 7]
    """
    there = len(cast(Sized, dataset))
    if not 1 <= eval_images <= there:
        raise ValueError(f'{eval_images=}: there are between 1 and {there} images to evaluate on')
    return dataset if eval_images == there else Subset(dataset, [n * there // eval_images for n in range(eval_images)])
