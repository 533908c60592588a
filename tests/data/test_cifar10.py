"""CIFAR-10 from torchvision's files and from class folders, in memory."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from composer.core import DataSpec
from torch.utils.data import DataLoader
from torchvision.datasets import cifar
from torchvision.io import write_png

from composer_clr.data.cifar10 import ImagesInMemory, cifar10_dataspecs

CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(256, size=(count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def both(tmp_path: Path, monkeypatch) -> tuple[Path, Path]:
    """Writes the same 60 and 20 images in both forms; in the files, image n is of class n % 10."""
    monkeypatch.setattr(cifar, 'check_integrity', lambda *checksum: True)
    files, folders = tmp_path / 'files', tmp_path / 'folders'
    batches = files / 'cifar-10-batches-py'
    batches.mkdir(parents=True)
    train, held_out = pictures(60), pictures(20)
    parts = [(f'data_batch_{i + 1}', train[12 * i : 12 * i + 12], 12 * i) for i in range(5)]
    for name, images, first in [*parts, ('test_batch', held_out, 0)]:
        labels = [(first + n) % 10 for n in range(len(images))]
        (batches / name).write_bytes(pickle.dumps({'data': images.reshape(len(images), -1), 'labels': labels}))
    (batches / 'batches.meta').write_bytes(pickle.dumps({'label_names': list(CLASSES)}))
    for part, images in (('train', train), ('val', held_out)):
        for n, image in enumerate(images):
            folder = folders / part / CLASSES[n % 10]
            folder.mkdir(parents=True, exist_ok=True)
            write_png(torch.from_numpy(image), str(folder / f'{n:04}.png'))
    return files, folders


def dataset_of(spec: DataSpec) -> ImagesInMemory:
    assert isinstance(spec.dataloader, DataLoader)
    assert isinstance(spec.dataloader.dataset, ImagesInMemory)
    return spec.dataloader.dataset


def contents(spec: DataSpec) -> set[tuple[bytes, int]]:
    dataset = dataset_of(spec)
    return {(image.numpy().tobytes(), int(label)) for image, label in zip(dataset.images, dataset.labels, strict=True)}


def test_the_two_forms_are_one_data_set(both):
    (train, held_out), (train_too, held_out_too) = (cifar10_dataspecs(10, 5, path) for path in both)
    assert contents(train) == contents(train_too)
    assert contents(held_out) == contents(held_out_too)
    assert len(contents(train)) == 60
    images, labels = next(iter(held_out.dataloader))
    assert (images.dtype, tuple(images.shape), tuple(labels.shape)) == (torch.uint8, (5, 3, 32, 32), (5,))


@pytest.mark.parametrize('form', [0, 1], ids=['files', 'folders'])
def test_parts_have_every_class_alike(both, form):
    train, held_out = cifar10_dataspecs(10, 5, both[form], train_images=30, eval_images=10)
    for spec, images, whole in ((train, 30, 60), (held_out, 10, 20)):
        dataset = dataset_of(spec)
        assert len(set(dataset.labels.bincount().tolist())) == 1
        assert (len(dataset), dataset.whole) == (images, whole)


def test_the_environment_names_the_folder(both, monkeypatch):
    monkeypatch.setenv('COMPOSER_CLR_CIFAR10', str(both[1]))
    assert len(dataset_of(cifar10_dataspecs(10, 5)[0])) == 60
    monkeypatch.delenv('COMPOSER_CLR_CIFAR10')
    with pytest.raises(ValueError, match='path is missing: pass data.path=FOLDER, or set COMPOSER_CLR_CIFAR10'):
        cifar10_dataspecs(10, 5)


def test_loader_processes_are_warned_of(both):
    with pytest.warns(UserWarning, match='num_workers=2: has no effect'):
        cifar10_dataspecs(10, 5, both[1], num_workers=2)


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'train_images': 61}, 'train_images=61: must be between 1 and 60'),
        ({'eval_images': 0}, 'eval_images=0: must be between 1 and 20'),
        ({'num_classes': 100}, 'num_classes=100: CIFAR-10 has 10 classes'),
        ({'batch_size': 61}, 'has 60 images, fewer than a batch'),
    ],
)
def test_refused(both, arguments, match):
    with pytest.raises(ValueError, match=match):
        cifar10_dataspecs(**{'batch_size': 10, 'eval_batch_size': 5, 'path': both[1], **arguments})


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match='does not hold all of CIFAR-10: .* train.zip and val.zip, or download=true'):
        cifar10_dataspecs(10, 5, tmp_path)


def test_classes_of_other_names_are_refused(both):
    folders = both[1]
    (folders / 'val' / CLASSES[0]).rename(folders / 'val' / 'zeppelin')
    match = f'classes differ, only in the training images: {CLASSES[0]}; only in the evaluation images: zeppelin'
    with pytest.raises(ValueError, match=match):
        cifar10_dataspecs(10, 5, folders)
