"""Keeps small images in memory as bytes, on the GPU where there is one, and crops them a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset

from composer_clr.data.sample_order import order_seed
from composer_clr.data.transforms import Normalize

__all__ = ['ImagesInMemory', 'class_balanced', 'crop_and_flip', 'in_memory_data']


def crop_and_flip(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor, padding: int = 4
) -> torch.Tensor:
    """Pads images with black on all sides, crops each back to its size, and mirrors some.

    The pixels are those of torchvision's ``RandomCrop(size, padding=padding)`` and ``RandomHorizontalFlip`` for the
    same random numbers.

    Args:
        images (Tensor): uint8 images.
        top (Tensor): First row of each crop in the padded image, int64 in [0, 2 * padding], on the CPU.
        left (Tensor): First column, likewise.
        flip (Tensor): Whether to mirror each, bool, on the CPU.
        padding (int): Pixels of padding on each side. Default: ``4``.

    Shape:
        Images of (batch, channels, height, width) and the others of (batch,), to (batch, channels, height, width).

    Example:
        >>> one, right = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2), torch.tensor([2])
        >>> crop_and_flip(one, torch.tensor([1]), right, torch.tensor([True]), padding=1)
        tensor([[[[0, 1],
                  [0, 3]]]], dtype=torch.uint8)

    Source:
        He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    height, width = images.shape[-2:]
    # A view of every crop of every image, of which one per image is copied.
    crops = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)
    # Computed on the CPU, so as not to wait for the device.
    number, mirrored = torch.arange(len(images)), flip.nonzero()[:, 0]
    number, top, left, mirrored = (each.to(images.device, non_blocking=True) for each in (number, top, left, mirrored))
    cropped = crops[number, top, left]
    cropped[mirrored] = cropped[mirrored].flip(-1)
    return cropped


class ImagesInMemory(Dataset):
    """Serves labelled images in memory, a batch at a time.

    Random crops and flips are drawn from torch's own state on the CPU, three numbers per image, so that a resumed run
    draws the same, and a GPU the same as the CPU.

    Args:
        images (Tensor): uint8 of (images, channels, height, width).
        labels (Tensor): int64 of (images,).
        padding (int): Pixels of padding for random crops and flips; 0 leaves the images as they are. Default: ``0``.
        device (device | str): Device of the images and labels. Default: ``'cpu'``.
        whole (int | None): Number of images in the whole set, if these are a part. Default: ``None``, these.

    Example:
        >>> data = ImagesInMemory(torch.zeros(10, 3, 32, 32, dtype=torch.uint8), torch.arange(10))
        >>> images, labels = data.__getitems__([3, 5])
        >>> images.shape, labels
        (torch.Size([2, 3, 32, 32]), tensor([3, 5]))
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        padding: int = 0,
        device: torch.device | str = 'cpu',
        whole: int | None = None,
    ):
        self.images, self.labels = images.contiguous().to(device), labels.to(device)
        self.padding = padding
        self.whole = len(images) if whole is None else whole

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Returns a batch; torch's loader calls this in place of ``__getitem__`` per image."""
        chosen = torch.as_tensor(indices).to(self.images.device, non_blocking=True)
        images = self.images[chosen]
        if self.padding:
            top, left = torch.randint(0, 2 * self.padding + 1, (2, len(images)))
            images = crop_and_flip(images, top, left, torch.rand(len(images)) < 0.5, self.padding)
        return [images, self.labels[chosen]]


def class_balanced(labels: Sequence[int] | torch.Tensor, count: int | None, name: str) -> torch.Tensor:
    """Returns the indices of a fixed part of the images in which every class has the same share.

    They are spread evenly over the images of each class. If the number of classes does not divide the count, the first
    classes have one image more.

    Args:
        labels (Sequence[int] | Tensor): The class of each image.
        count (int | None): Number of images; ``None`` for all.
        name (str): Name of the argument, for the error.

    Raises:
        ValueError: If the count is below 1, or a class has too few images.

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


def in_memory_data(
    dataset: ImagesInMemory, batch_size: int, *, train: bool, normalize: Normalize, seed: int = 0
) -> DataSpec:
    """Returns images in memory as training data, shuffled and in whole batches, or as evaluation data, each once.

    Loader processes are not used: a batch is a few copies within memory.

    Args:
        dataset (ImagesInMemory): The images.
        batch_size (int): Images per batch and rank.
        train (bool): Whether they are for training.
        normalize (Normalize): Converts bytes to floats, on the device.
        seed (int): Determines the order of training images. Default: ``0``.
    """
    sampler = dist.get_sampler(dataset, shuffle=train, drop_last=train, seed=order_seed(seed))
    loader = DataLoader(dataset, batch_size, sampler=sampler, drop_last=train, collate_fn=_as_it_is)
    return DataSpec(loader, microbatch_transforms=normalize)


def _as_it_is(batch: Any) -> Any:
    return batch
