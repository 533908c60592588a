"""CIFAR-10: 60,000 photographs of 32x32 pixels, in memory, from torchvision's files or from JPEG and PNG files."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch
from composer.core import DataSpec
from composer.utils import dist
from torch.nn.functional import pad
from torch.utils.data import Dataset
from torchvision.datasets import CIFAR10

from composer_clr.data.images import Normalize, check_classes, check_num_classes, decode_rgb
from composer_clr.data.loaders import check_batch, check_ranks, class_balanced, sampled, start_ranks
from composer_clr.utils.errors import listed

__all__ = [
    'MEAN',
    'STD',
    'ImagesInMemory',
    'cifar10_dataspecs',
    'crop_and_flip',
    'in_memory_data',
    'read_class_folders',
]

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_PATH = 'COMPOSER_CLR_CIFAR10'
_NAMES = {'train': ('train',), 'eval': ('val', 'test')}
_SUFFIXES = ('.jpg', '.jpeg', '.png')
# A photograph of a few dozen pixels has about a thousand bytes.
_MAX_BYTES = 2**20
# The size of a stored file, and what opens it.
_Stored = tuple[int, Callable[[], IO[bytes]]]


def cifar10_dataspecs(
    batch_size: int,
    eval_batch_size: int,
    path: str | Path | None = None,
    num_workers: int = 0,
    num_classes: int | None = None,
    download: bool = False,
    train_images: int | None = None,
    eval_images: int | None = None,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns CIFAR-10: 50,000 training images, padded by 4 pixels, cropped and flipped, and 10,000 to evaluate on.

    All images stay in memory as bytes, on the GPU where there is one, and are cropped, flipped and normalised there, a
    batch at a time. Loader processes are not used.

    Args:
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        path (str | Path | None): Folder that holds ``cifar-10-batches-py``; or JPEG or PNG files of 32x32 pixels in
            ``train`` and ``val``, each a folder or a zip file with one folder per class. Default: ``None``, the
            environment variable ``COMPOSER_CLR_CIFAR10``.
        num_workers (int): Has no effect here; a value above 0 raises a warning. Default: ``0``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, not checked.
        download (bool): Whether to download missing files of ``cifar-10-batches-py``. Default: ``False``.
        train_images (int | None): Number of images, in equal shares of the classes. Default: ``None``, all.
        eval_images (int | None): Number of evaluation images, likewise. Default: ``None``, all.
        seed (int): Determines the order of the training images. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training and evaluation data: uint8 images of (batch, 3, 32, 32) and labels of
        (batch,); as microbatches the images become float32, normalised with the mean and deviation of the training set.

    Raises:
        ValueError: If the data are missing or incomplete, the classes of the training and evaluation images differ, or
            ``num_classes`` is not 10.

    Source:
        A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the crops and flips are those of
        He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    check_num_classes(num_classes, 10, 'CIFAR-10')
    if num_workers:
        warnings.warn(f'{num_workers=}: has no effect, since the images are in memory: leave it at 0', stacklevel=2)
    path = path or os.environ.get(_PATH)
    if not path:
        raise ValueError(f'path is missing: pass data.path=FOLDER, or set {_PATH}')
    folder = Path(path).expanduser()
    start_ranks()
    train, train_classes = _read(folder, 'train', train_images, download)
    held_out, eval_classes = _read(folder, 'eval', eval_images, download)
    check_classes(train_classes, eval_classes, ('the training images', 'the evaluation images'))
    for images, name in ((train, 'training images'), (held_out, 'evaluation images')):
        check_ranks(bytes(images.labels.cpu().to(torch.uint8)), name, len(images))
    check_batch(len(train), batch_size, folder)
    return (
        in_memory_data(train, batch_size, train=True, seed=seed),
        in_memory_data(held_out, eval_batch_size, train=False),
    )


def in_memory_data(dataset: ImagesInMemory, batch_size: int, *, train: bool, seed: int = 0) -> DataSpec:
    """Returns images in memory as data, without loader processes: a batch is a few copies within memory."""
    on_device = Normalize(MEAN, STD)
    return sampled(dataset, batch_size, train=train, seed=seed, on_device=on_device, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def _read(folder: Path, part: str, count: int | None, download: bool) -> tuple[ImagesInMemory, list[str]]:
    name = f'{part}_images'
    sources = [folder / f'{stem}{suffix}' for stem in _NAMES[part] for suffix in ('', '.zip')]
    source = next((source for source in sources if source.exists()), None)
    if source is not None and not download and not (folder / CIFAR10.base_folder).exists():
        images, labels, whole, classes = read_class_folders(source, 32, 10, count, name)
    else:
        data = _torchvision(folder, part == 'train', download)
        labels, classes = torch.tensor(data.targets), data.classes
        chosen = class_balanced(labels, count, name)
        images, labels, whole = torch.from_numpy(data.data)[chosen].permute(0, 3, 1, 2), labels[chosen], len(labels)
    device = f'cuda:{dist.get_local_rank()}' if torch.cuda.is_available() else 'cpu'
    return ImagesInMemory(images, labels, padding=4 if part == 'train' else 0, device=device, whole=whole), classes


def _torchvision(folder: Path, train: bool, download: bool) -> CIFAR10:
    try:
        # Rank 0 of a node downloads the files, the others find them there.
        with dist.run_local_rank_zero_first():
            return CIFAR10(str(folder), train=train, download=download)
    except RuntimeError as error:
        raise ValueError(
            f'path={folder}: does not hold all of CIFAR-10: pass the folder of cifar-10-batches-py or of train.zip and '
            'val.zip, or download=true'
        ) from error


class ImagesInMemory(Dataset):
    """Serves labelled images in memory, a batch at a time; ``whole`` is the size of the set that they are a part of.

    With padding they are cropped and flipped at random, by numbers from torch's own state on the CPU.
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


def crop_and_flip(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor, padding: int = 4
) -> torch.Tensor:
    """Pads images with black, crops each at its own place and mirrors some: torchvision's pixels for its numbers."""
    height, width = images.shape[-2:]
    # A view of every crop of every image, of which one per image is copied.
    crops = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)
    # Computed on the CPU, so as not to wait for the device.
    number, mirrored = torch.arange(len(images)), flip.nonzero()[:, 0]
    number, top, left, mirrored = (each.to(images.device, non_blocking=True) for each in (number, top, left, mirrored))
    cropped = crops[number, top, left]
    cropped[mirrored] = cropped[mirrored].flip(-1)
    return cropped


def read_class_folders(
    path: Path, side: int, classes: int, count: int | None = None, name: str = 'train_images'
) -> tuple[torch.Tensor, torch.Tensor, int, list[str]]:
    """Returns images and labels of a folder or zip file with one folder per class, the number of all, and the classes.

    ``count`` of the square JPEG and PNG images are chosen by :func:`class_balanced`.
    """
    try:
        with nullcontext() if path.is_dir() else zipfile.ZipFile(path) as archive:
            stored = _in_folder(path) if archive is None else _in_archive(archive)
            files = sorted(filter(_is_image, stored))
            found = sorted({PurePosixPath(file).parent.name for file in files})
            if len(found) != classes:
                raise ValueError(
                    f'{path}: has {len(found)} class folders with images ({listed(found, most=5)}): must be {classes}'
                )
            labels = torch.tensor([found.index(PurePosixPath(file).parent.name) for file in files])
            chosen = class_balanced(labels, count, name)
            images = torch.empty(len(chosen), 3, side, side, dtype=torch.uint8)
            for place, number in enumerate(chosen.tolist()):
                file, (size, opened) = files[number], stored[files[number]]
                if not 0 < size < _MAX_BYTES:
                    raise OSError(f'{file} has {size} bytes, which no image of this size has')
                with opened() as content:
                    encoded = torch.frombuffer(bytearray(content.read(_MAX_BYTES)), dtype=torch.uint8)
                image = decode_rgb(encoded, f'{path}: {file}')
                if image.shape[1:] != (side, side):
                    size = 'x'.join(map(str, image.shape[1:]))
                    raise ValueError(f'{path}: {file} has {size} pixels: must be {side}x{side}')
                images[place] = image
            return images, labels[chosen], len(files), found
    # zipfile raises RuntimeError for an encrypted member, NotImplementedError for an unknown compression.
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise ValueError(f'{path}: cannot be read ({error})') from error


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    # Files that macOS adds to zip archives are not images.
    hidden = any(part.startswith(('.', '__MACOSX')) for part in path.parts)
    return path.suffix.lower() in _SUFFIXES and not hidden


def _in_folder(path: Path) -> dict[str, _Stored]:
    files = [file for file in path.rglob('*') if file.is_file()]
    return {file.relative_to(path).as_posix(): (file.stat().st_size, partial(file.open, 'rb')) for file in files}


def _in_archive(archive: zipfile.ZipFile) -> dict[str, _Stored]:
    return {file.filename: (file.file_size, partial(archive.open, file)) for file in archive.infolist()}
