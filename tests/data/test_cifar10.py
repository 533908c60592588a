"""CIFAR-10 from torchvision's files and from class folders, in memory, with torchvision's crops for the same draws."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from composer.core import DataSpec
from torch.utils.data import DataLoader
from torchvision.datasets import cifar
from torchvision.io import encode_png, write_jpeg, write_png
from torchvision.transforms import functional as F

from composer_clr.data.cifar10 import (
    ImagesInMemory,
    cifar10_dataspecs,
    crop_and_flip,
    in_memory_data,
    read_class_folders,
)

CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')


def pictures(count: int, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def both(tmp_path: Path, monkeypatch) -> tuple[Path, Path]:
    """Writes the same 60 and 20 images in both forms; in the files, image n is of class n % 10."""
    monkeypatch.setattr(cifar, 'check_integrity', lambda *checksum: True)
    files, folders = tmp_path / 'files', tmp_path / 'folders'
    batches = files / 'cifar-10-batches-py'
    batches.mkdir(parents=True)
    train, held_out = pictures(80)[:60], pictures(80)[60:]
    parts = [(f'data_batch_{i + 1}', train[12 * i : 12 * i + 12], 12 * i) for i in range(5)]
    for name, images, first in [*parts, ('test_batch', held_out, 0)]:
        labels = [(first + n) % 10 for n in range(len(images))]
        (batches / name).write_bytes(pickle.dumps({'data': images.reshape(len(images), -1).numpy(), 'labels': labels}))
    (batches / 'batches.meta').write_bytes(pickle.dumps({'label_names': list(CLASSES)}))
    for part, images in (('train', train), ('val', held_out)):
        for n, image in enumerate(images):
            folder = folders / part / CLASSES[n % 10]
            folder.mkdir(parents=True, exist_ok=True)
            write_png(image, str(folder / f'{n:04}.png'))
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
    (both[1] / 'val' / CLASSES[0]).rename(both[1] / 'val' / 'zeppelin')
    with pytest.raises(
        ValueError, match=f'only in the training images: {CLASSES[0]}; only in the evaluation images: z'
    ):
        cifar10_dataspecs(10, 5, both[1])


def write(folder: Path, each: int = 3, classes: int = 2, side: int = 8) -> None:
    generator = torch.Generator().manual_seed(0)
    for c in range(classes):
        (folder / f'class{c}').mkdir(parents=True)
        for n in range(each):
            image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator)
            file = str(folder / f'class{c}' / f'{n:02}')
            write_png(image, f'{file}.png') if n % 2 else write_jpeg(image, f'{file}.jpg', quality=95)


def zipped(folder: Path, prefix: str = 'val/') -> Path:
    path = folder.with_suffix('.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob('*.*')):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
        archive.writestr('__MACOSX/val/class0/._00.jpg', b'\0')
    return path


def test_a_zip_file_is_read_as_its_folder(tmp_path):
    write(tmp_path / 'set')
    images, labels, whole, classes = read_class_folders(tmp_path / 'set', 8, 2)
    assert (whole, classes) == (6, ['class0', 'class1'])
    assert images.shape == (6, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    for prefix in ('', 'val/', 'a/b/'):
        again, labels_again, *_ = read_class_folders(zipped(tmp_path / 'set', prefix), 8, 2)
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)


def test_only_the_part_asked_for_is_decoded(tmp_path):
    write(tmp_path / 'set', each=4)
    (tmp_path / 'set/class0/01.png').write_bytes(b'broken')
    images, labels, whole, _ = read_class_folders(tmp_path / 'set', 8, 2, count=4)
    assert (len(images), whole) == (4, 8)
    assert labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ('name', 'content', 'match'),
    [
        ('class0/01.png', b'', 'class0/01.png has 0 bytes'),
        ('class0/01.png', b'\x89PNG no more', 'class0/01.png: not a readable image'),
        ('class0/01.png', b'\0' * 2**20, 'which no image of this size has'),
        ('class0/01.png', bytes(encode_png(torch.zeros(3, 8, 9, dtype=torch.uint8))), 'has 8x9 pixels: must be 8x8'),
        ('more/01.png', b'1', r'has 3 class folders with images \(class0, class1, more\): must be 2'),
    ],
    ids=['empty', 'broken', 'huge', 'another-size', 'another-class'],
)
@pytest.mark.parametrize('packed', [False, True], ids=['folder', 'zip'])
def test_refused_in_one_line(tmp_path, name, content, match, packed):
    write(tmp_path / 'set')
    file = tmp_path / 'set' / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=match) as raised:
        read_class_folders(zipped(tmp_path / 'set') if packed else tmp_path / 'set', 8, 2)
    assert '\n' not in str(raised.value)


def test_no_zip_file(tmp_path):
    (tmp_path / 'set.zip').write_bytes(b'PK\x03\x04 cut off')
    with pytest.raises(ValueError, match=r'set.zip: cannot be read'):
        read_class_folders(tmp_path / 'set.zip', 8, 2)


@pytest.mark.parametrize('padding', [1, 8])
def test_the_pixels_are_those_of_torchvision(padding):
    images = pictures(64)
    top, left = torch.randint(0, 2 * padding + 1, (2, 64))
    flip = torch.rand(64) < 0.5
    augmented = crop_and_flip(images, top, left, flip, padding)
    for image, row, column, mirrored, pixels in zip(images, top, left, flip, augmented, strict=True):
        wanted = F.crop(F.pad(image, [padding] * 4), int(row), int(column), 32, 32)
        assert torch.equal(pixels, F.hflip(wanted) if mirrored else wanted)


def test_every_crop_and_flip_is_drawn():
    data = ImagesInMemory(torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3) + 1, torch.zeros(1), padding=1)
    seen = {tuple(data[0][0].flatten().tolist()) for _ in range(400)}
    assert len(seen) == 3 * 3 * 2


def test_the_loader_takes_whole_batches_and_needs_no_process():
    data = ImagesInMemory(pictures(10), torch.arange(10), padding=4)
    train = in_memory_data(data, 4, train=True)
    evaluation = in_memory_data(ImagesInMemory(pictures(10), torch.arange(10)), 4, train=False)
    assert isinstance(train.dataloader, DataLoader)
    assert train.dataloader.num_workers == 0
    assert [tuple(x.shape) for x, _ in train.dataloader] == [(4, 3, 32, 32)] * 2
    assert torch.cat([y for _, y in evaluation.dataloader]).tolist() == list(range(10))
    images, _ = train.microbatch_transforms(next(iter(train.dataloader)))
    assert images.dtype == torch.float32
