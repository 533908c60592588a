"""Reads small images in class folders, or in a zip file of them, into one array of bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import torch

from composer_clr.data.in_memory import class_balanced
from composer_clr.data.transforms import decode_rgb

__all__ = ['read_class_folders']

_SUFFIXES = ('.jpg', '.jpeg', '.png')
# A photograph of a few dozen pixels has about a thousand bytes.
_MAX_BYTES = 2**20


def read_class_folders(
    path: Path, side: int, classes: int, count: int | None = None, name: str = 'train_images'
) -> tuple[torch.Tensor, torch.Tensor, int, list[str]]:
    """Returns the JPEG and PNG images of a folder, or of a zip file, with one folder per class.

    Args:
        path (Path): The folder or zip file. A zip file is read in place; nothing is extracted.
        side (int): Required height and width of every image, in pixels.
        classes (int): Required number of classes; they are numbered in the order of their names.
        count (int | None): Number of images, chosen by :func:`~composer_clr.data.in_memory.class_balanced`. Default:
            ``None``, all.
        name (str): Name of that argument, for the error. Default: ``'train_images'``.

    Returns:
        tuple[Tensor, Tensor, int, list[str]]: uint8 of (images, 3, side, side), int64 labels of (images,), the number
        of all images, chosen or not, and the names of the classes, in order.

    Raises:
        ValueError: If an image cannot be read or has another size, the number of classes differs, or there are too few
            images.
    """
    try:
        with ExitStack() as opened:
            names, read = _folder(path) if path.is_dir() else _archive(opened.enter_context(zipfile.ZipFile(path)))
            files = sorted(filter(_is_image, names))
            found = sorted({PurePosixPath(file).parent.name for file in files})
            if len(found) != classes:
                listed = ', '.join(found[:3]) + (', ...' if len(found) > 3 else '')
                raise ValueError(f'{path}: has {len(found)} class folders with images ({listed}): must be {classes}')
            labels = torch.tensor([found.index(PurePosixPath(file).parent.name) for file in files])
            chosen = class_balanced(labels, count, name)
            images = torch.empty(len(chosen), 3, side, side, dtype=torch.uint8)
            for place, number in enumerate(chosen.tolist()):
                image = decode_rgb(_as_tensor(read(files[number])), f'{path}: {files[number]}')
                if image.shape[1:] != (side, side):
                    size = 'x'.join(map(str, image.shape[1:]))
                    raise ValueError(f'{path}: {files[number]} has {size} pixels: must be {side}x{side}')
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


def _folder(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    def read(name: str) -> bytes:
        file = path / name
        _check_size(name, file.stat().st_size)
        return file.read_bytes()

    return [file.relative_to(path).as_posix() for file in path.rglob('*') if file.is_file()], read


def _archive(archive: zipfile.ZipFile) -> tuple[list[str], Callable[[str], bytes]]:
    def read(name: str) -> bytes:
        _check_size(name, archive.getinfo(name).file_size)
        with archive.open(name) as member:
            return member.read(_MAX_BYTES)

    return archive.namelist(), read


def _check_size(name: str, size: int) -> None:
    if not 0 < size < _MAX_BYTES:
        raise OSError(f'{name} has {size} bytes, which no image of this size has')


def _as_tensor(encoded: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
