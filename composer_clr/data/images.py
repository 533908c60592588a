"""Images from file to network: decoded, cropped and resized as uint8, normalised on the device.

Crops and pixels are those of torchvision's usual pipeline on PIL images. Composer is not imported here, for which every
process of a conversion would wait.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.functional import pil_to_tensor

from composer_clr.utils.errors import listed

__all__ = [
    'IMAGENET_MEAN',
    'IMAGENET_STD',
    'EvalTransform',
    'ImageFolderDataset',
    'Normalize',
    'TrainTransform',
    'check_classes',
    'check_num_classes',
    'decode_rgb',
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of torchvision's RandomResizedCrop: parts of the area, width over height.
_SCALE, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_LOG_RATIO = torch.log(torch.tensor(_RATIO)).tolist()


class ImageFolderDataset(Dataset):
    """Reads the images that torchvision's ``ImageFolder`` finds, when asked for them, as ``transform`` makes them."""

    def __init__(self, folder: str | Path, transform: Callable[[torch.Tensor], torch.Tensor]):
        self.folder = Path(folder).expanduser()
        self.transform = transform
        if not self.folder.is_dir():
            raise ValueError(f'{self.folder}: no such folder')
        try:
            self.classes, numbers = find_classes(self.folder)
        except FileNotFoundError as error:
            raise ValueError(f'{self.folder} has no class folders: put each class into its own') from error
        samples = make_dataset(str(self.folder), numbers, IMG_EXTENSIONS, allow_empty=True)
        # Arrays, since each worker's reference counts would soon copy lists of a million strings.
        prefix = f'{self.folder}{os.sep}'
        self.files = np.array([os.fsencode(path.removeprefix(prefix)) for path, _ in samples], dtype=bytes)
        self.labels = np.array([label for _, label in samples], dtype=np.int64)
        images = np.bincount(self.labels, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, images, strict=True) if not count]
        if empty:
            raise ValueError(f'{self.folder} has class folders without images: {listed(empty, most=5)}')

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.folder / os.fsdecode(self.files[index])
        image = decode_rgb(torch.from_numpy(np.fromfile(path, dtype=np.uint8)), str(path))
        return self.transform(image), int(self.labels[index])


def check_num_classes(num_classes: int | None, classes: int, source: object) -> None:
    """Refuses a network whose number of classes, if given, is not that of the data."""
    if num_classes not in (None, classes):
        raise ValueError(f'{num_classes=}: {source} has {classes} classes: pass model.num_classes={classes}')


def check_classes(train: Sequence[str], held_out: Sequence[str], sources: tuple[object, object]) -> None:
    """Refuses training and evaluation data whose classes differ, in names or in order."""
    if list(train) == list(held_out):
        return
    pairs = ((sources[0], set(train) - set(held_out)), (sources[1], set(held_out) - set(train)))
    only = '; '.join(f'only in {source}: {listed(sorted(names), most=5)}' for source, names in pairs if names)
    raise ValueError(f'training and evaluation classes differ, {only or f"in their order: {sources[0]}, {sources[1]}"}')


def decode_rgb(encoded: torch.Tensor, source: str) -> torch.Tensor:
    """Decodes an image file as PIL's ``convert('RGB')`` does, by its content; an OSError names the ``source``.

    EXIF orientation is ignored, of an animation the first frame is taken, of 16 bits the upper 8, which PIL clips.
    """
    try:
        image = decode_image(encoded, mode=ImageReadMode.RGB)
    except RuntimeError as error:
        return _decoded_by_pil(encoded, source, str(error).partition('\n')[0].rstrip('.'))
    if image.dim() == 4:
        image = image[0]
    return image if image.dtype == torch.uint8 else (image.int() >> 8).byte()


def _decoded_by_pil(encoded: torch.Tensor, source: str, reason: str) -> torch.Tensor:
    """Decodes a file whose format torchvision does not know, or which is broken, for the reason that it gave."""
    try:
        image = Image.open(io.BytesIO(encoded.numpy().tobytes()))
        image.load()
    except Exception as error:
        raise OSError(f'{source}: not a readable image ({reason}); replace the file or remove it') from error
    # PIL reads a PGM of more than 8 bits as 32-bit integers, scaled to 16 bits.
    if image.mode.startswith('I;16') or (image.mode == 'I' and image.format == 'PPM'):
        grey = torch.from_numpy(np.asarray(image).astype(np.int32) >> 8).byte()
        return grey.expand(3, *grey.shape).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    if image.mode in ('I', 'F'):
        kind = 'floats' if image.mode == 'F' else 'integers'
        raise OSError(
            f'{source}: pixels are 32-bit {kind}, whose range is unknown; save the file with 8 or 16 bits per channel'
        )
    return pil_to_tensor(image.convert('RGB'))


class TrainTransform:
    """torchvision's ``RandomResizedCrop`` to a square, and ``RandomHorizontalFlip`` of half of the images.

    Random numbers come from torch's own state, which each loader process has for itself, in torchvision's order.
    """

    def __init__(self, size: int = 224):
        if size < 1:
            raise ValueError(f'{size=}: must be 1 or more')
        self.size = size

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        top, left, height, width = _random_box(*image.shape[-2:])
        crop = _channels_last(image[:, top : top + height, left : left + width])
        crop = interpolate(crop, size=(self.size, self.size), mode='bilinear', antialias=True)
        return (crop.flip(-1) if torch.rand(1).item() < 0.5 else crop)[0]


def _random_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of a random part: ``RandomResizedCrop.get_params`` in a third of its time."""
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(*_SCALE).item()
        ratio = torch.exp(torch.empty(1).uniform_(*_LOG_RATIO)).item()
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            top, left = (int(torch.randint(0, room + 1, (1,))) for room in (height - down, width - across))
            return top, left, down, across
    # None of ten fits a very wide or tall image: take its middle, in the allowed proportions nearest to its own.
    ratio = min(max(width / height, _RATIO[0]), _RATIO[1])
    down, across = (round(width / ratio), width) if width / height < ratio else (height, round(height * ratio))
    return (height - down) // 2, (width - across) // 2, down, across


class EvalTransform:
    """torchvision's ``Resize`` of the shorter side and ``CenterCrop``, with its roundings."""

    def __init__(self, resize: int = 256, crop: int = 224):
        if not 1 <= crop <= resize:
            raise ValueError(f'{crop=} of {resize=}: the crop must be from 1 to resize')
        self.resize, self.crop = resize, crop

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        short = min(height, width)
        resized = [self.resize * side // short for side in (height, width)]
        top, left = (round((side - self.crop) / 2) for side in resized)
        if short == self.resize:
            return _channels_last(image[:, top : top + self.crop, left : left + self.crop])[0]
        # The whole image is scaled but for what lies right of the crop and below: a box with corners of its own,
        # rounded to pixels, would be another grid, a part of a pixel away.
        rows, row_factor = self._needed(height, resized[0], top)
        columns, column_factor = self._needed(width, resized[1], left)
        part = interpolate(
            _channels_last(image[:, :rows, :columns]),
            scale_factor=(row_factor, column_factor),
            mode='bilinear',
            antialias=True,
        )
        return _channels_last(part[0, :, top : top + self.crop, left : left + self.crop])[0]

    def _needed(self, side: int, resized: int, start: int) -> tuple[int, float]:
        """Returns the pixels of a side that the crop depends on, and the factor that they are scaled by."""
        step = side / resized
        reach = max(step, 1.0)  # of the triangular filter, in pixels to either side
        # Torch truncates length times factor: a whole number must not come out a rounding error less.
        factor = resized / side * (1 + 1e-9)
        needed = math.ceil((start + self.crop) * step + reach) + 1
        # Torch leaves a side unchanged, whatever the factor, if its length would not change: then scale all of it.
        if needed >= side or int(needed * factor) == needed:
            needed = side
        return needed, factor


class Normalize:
    """Normalises bytes to mean 0 and deviation 1 on the device, as the ``microbatch_transforms`` of a ``DataSpec``.

    Mean and deviation are those of each channel, of a range from 0 to 1.

    Example:
        >>> images, labels = torch.full((1, 1, 1, 2), 255, dtype=torch.uint8), torch.tensor([3])
        >>> Normalize(mean=(0.5,), std=(0.25,))((images, labels))
        (tensor([[[[2., 2.]]]]), tensor([3]))
    """

    def __init__(self, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD):
        self.mean, self.std = mean, std
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = batch
        if images.device not in self._constants:
            # Once per device: a copy in every step would make the host wait for the device.
            mean, std = (torch.tensor(each, device=images.device).reshape(-1, 1, 1) for each in (self.mean, self.std))
            self._constants[images.device] = 255 * mean, 255 * std
        mean, std = self._constants[images.device]
        # Contiguous whatever the loader's layout: the ChannelsLast algorithm alone makes a network channels last.
        images = images.to(torch.float32, memory_format=torch.contiguous_format)
        return images.sub_(mean).div_(std), labels


def _channels_last(image: torch.Tensor) -> torch.Tensor:
    """Returns a batch of one, in the layout that torch resamples bytes in without unpacking them first."""
    return image[None].contiguous(memory_format=torch.channels_last)
