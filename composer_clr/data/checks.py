"""Checks of every data set before an image is read: classes, sizes, and that all ranks see the same data."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from composer.utils import dist

__all__ = ['check_batch', 'check_classes', 'check_num_classes', 'check_ranks', 'start_ranks']


def check_num_classes(num_classes: int | None, classes: int, source: object) -> None:
    """Refuses a network whose number of classes is not that of the data.

    Args:
        num_classes (int | None): Classes of the network; ``None`` checks nothing.
        classes (int): Classes of the data.
        source (object): Name of the data, for the error.

    Raises:
        ValueError: If the two differ.

    Example:
        >>> check_num_classes(7, 10, 'digits')
        Traceback (most recent call last):
        ValueError: num_classes=7: digits has 10 classes
    """
    if num_classes not in (None, classes):
        raise ValueError(f'{num_classes=}: {source} has {classes} classes')


def check_classes(train: Sequence[str], held_out: Sequence[str], sources: tuple[object, object]) -> None:
    """Refuses training and evaluation data whose classes differ.

    Args:
        train (Sequence[str]): Names of the training classes, in order.
        held_out (Sequence[str]): Names of the evaluation classes, in order.
        sources (tuple[object, object]): Names of the two, for the error.

    Raises:
        ValueError: If they differ, in names or in order.

    Example:
        >>> check_classes(['cat', 'dog'], ['cat'], ('train', 'val'))
        Traceback (most recent call last):
        ValueError: training and evaluation classes differ, only in train: dog
    """
    if list(train) == list(held_out):
        return
    pairs = ((sources[0], set(train) - set(held_out)), (sources[1], set(held_out) - set(train)))
    only = '; '.join(f'only in {source}: {some(sorted(names))}' for source, names in pairs if names)
    raise ValueError(f'training and evaluation classes differ, {only or f"in their order: {sources[0]}, {sources[1]}"}')


def check_batch(images: int, batch_size: int, source: object) -> None:
    """Refuses training data smaller than one batch over all ranks.

    Raises:
        ValueError: If there are fewer than ``batch_size`` images per rank.

    Example:
        >>> check_batch(48, 64, 'train')
        Traceback (most recent call last):
        ValueError: train has 48 images, fewer than a batch of 1 x 64
    """
    ranks = dist.get_world_size()
    if images < ranks * batch_size:
        raise ValueError(f'{source} has {images} images, fewer than a batch of {ranks} x {batch_size}')


def start_ranks() -> None:
    """Connects the ranks if there are several and they are not connected yet."""
    if dist.get_world_size() > 1 and not dist.is_initialized():
        dist.initialize_dist()


def check_ranks(content: bytes, source: object, images: int) -> None:
    """Refuses ranks that see different data: each takes its share by index, so images would be missed or repeated.

    Args:
        content (bytes): What must be the same on every rank, such as the names of all files.
        source (object): Name of the data, for the error.
        images (int): Number of images, for the error.

    Raises:
        ValueError: If it differs between ranks; on every rank.
    """
    start_ranks()
    if not dist.is_initialized():
        return
    seen = dist.all_gather_object((images, sha256(content).hexdigest()))
    other = next((rank for rank, listing in enumerate(seen) if listing != seen[0]), None)
    if other is not None:
        raise ValueError(f'ranks 0 and {other} see different {source}: {seen[0][0]} and {seen[other][0]} images')


def some(names: Sequence[str]) -> str:
    """Returns the first few of the names, and how many more there are.

    Example:
        >>> some(list('abcdefg'))
        'a, b, c, d, e and 2 more'
    """
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
