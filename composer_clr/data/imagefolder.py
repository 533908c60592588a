"""Images in one folder per class, as torchvision's ``ImageFolder`` reads them."""

from __future__ import annotations

from pathlib import Path

from composer.core import DataSpec

from composer_clr.data import images, loaders
from composer_clr.utils.errors import all_at_once

__all__ = ['imagefolder_dataspecs']


def imagefolder_dataspecs(
    path: str | Path,
    batch_size: int,
    eval_batch_size: int,
    num_workers: int = 8,
    num_classes: int | None = None,
    train_size: int = 224,
    eval_resize: int = 256,
    eval_size: int = 224,
    eval_images: int | None = None,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns the data of a folder with ``train/`` and ``val/``, each with one folder per class.

    Everything that names of folders and files show is checked here, before an image is read. Ranks of one run must
    list the same files.

    Args:
        path (str | Path): Folder with ``train/`` and ``val/``.
        batch_size (int): Training images per batch and rank.
        eval_batch_size (int): Evaluation images per batch and rank.
        num_workers (int): Loader processes per rank, each with a single thread. Default: ``8``.
        num_classes (int | None): Classes of the network, to be checked. Default: ``None``, not checked.
        train_size (int): Side of the training images, in pixels. Default: ``224``.
        eval_resize (int): Shorter side of the resized evaluation images, in pixels. Default: ``256``.
        eval_size (int): Side of its central crop, in pixels. Default: ``224``.
        eval_images (int | None): Number of evaluation images, spread evenly. Default: ``None``, all.
        seed (int): Determines the order of the training images. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training data, shuffled, without the incomplete last batch of an epoch, and
        evaluation data, every image once on any number of ranks. Batches are uint8 images of (batch, 3, size, size)
        and labels of (batch,); on the device the images become float32, normalised with ImageNet's mean and deviation.

    Raises:
        ValueError: If a folder is missing or empty, its classes differ from those of the other or from
            ``num_classes`` in number, there are fewer training images than one batch, or ranks see different files.
    """
    train = images.ImageFolderDataset(Path(path) / 'train', images.TrainTransform(train_size))
    held_out = images.ImageFolderDataset(Path(path) / 'val', images.EvalTransform(eval_resize, eval_size))
    images.check_classes(train.classes, held_out.classes, (train.folder, held_out.folder))
    with all_at_once() as check:
        check(images.check_num_classes, num_classes, len(train.classes), train.folder)
        check(loaders.check_batch, len(train), batch_size, train.folder)
    for data in (train, held_out):
        loaders.check_ranks(data.files.tobytes() + data.labels.tobytes(), f'files in {data.folder}', len(data))
    return loaders.dataspecs(
        train,
        loaders.evenly_spaced(held_out, eval_images),
        batch_size,
        eval_batch_size,
        seed,
        on_device=images.Normalize(),
        **loaders.loader_arguments(num_workers, loaders.collate_images),
    )
