"""The ImageFolder data: torchvision's files, their pixels, errors that name them, and a real Trainer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from composer import Callback, State, Trainer
from composer.models import ComposerClassifier
from composer.utils import reproducibility
from torch.utils.data import DataLoader
from torchvision import transforms

from composer_clr.data.imagefolder import imagefolder_dataspecs
from composer_clr.data.images import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, ImageFolderDataset, TrainTransform
from composer_clr.data.loaders import collate_images
from composer_clr.training.models import SmallResNet
from tests.helpers.loaders import batches, end
from tests.helpers.photographs import write_folder

SMALL: dict[str, Any] = {'train_size': 32, 'eval_resize': 36, 'eval_size': 32}


def touch(folder: Path, *files: str) -> Path:
    """Creates files without content, which can be listed but not read as images."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_files_and_classes_are_torchvisions(tmp_path):
    touch(tmp_path, 'b/2.JPEG', 'b/10.jpg', 'b/deep/er/1.png', 'B/é.webp', 'a/x.jpeg', 'a/notes.txt', 'readme.jpg')
    (tmp_path / 'b/dots.and space.JPEG').touch()
    usual = torchvision.datasets.ImageFolder(str(tmp_path))
    dataset = ImageFolderDataset(tmp_path, TrainTransform())
    assert dataset.classes == usual.classes == ['B', 'a', 'b']
    paths = [str(dataset.folder / os.fsdecode(file)) for file in dataset.files]
    assert list(zip(paths, dataset.labels.tolist(), strict=True)) == usual.samples
    assert len(dataset) == len(usual) == 6


def test_a_broken_file_in_the_middle_of_an_epoch_is_named(tmp_path):
    write_folder(tmp_path / 'train', classes=1, images=6, size=(75, 60))
    broken = tmp_path / 'train/class0/3.JPEG'
    broken.write_bytes(broken.read_bytes()[:900])
    data = ImageFolderDataset(tmp_path / 'train', EvalTransform(36, 32))
    loaded = iter(DataLoader(data, 2, num_workers=1, collate_fn=collate_images))
    next(loaded)
    with pytest.raises(OSError, match=r'train/class0/3\.JPEG: not a readable image \(.*truncated\)'):
        next(loaded)
    end(loaded)


def test_a_file_that_has_gone_is_named(tmp_path):
    data = ImageFolderDataset(touch(tmp_path, 'class/0.jpg'), TrainTransform())
    (tmp_path / 'class/0.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'class/0\.jpg'):
        data[0]


REFUSED = {
    'no-folder': ([], {}, r'/train: no such folder'),
    'no-val': (['train/a/0.jpg'], {}, r'/val: no such folder'),
    'no-class-folders': (['train/a/0.jpg', 'val/0.jpg'], {}, r'/val has no class folders: put each class'),
    'many-empty-classes': (
        [f'train/c{number}/0.txt' for number in range(9)],
        {},
        r'without images: c0, c1, c2, c3, ..., c8 \(9 in all\)$',
    ),
    'classes-differ': (
        ['train/a/0.jpg', 'train/b/0.jpg', 'val/a/0.jpg', 'val/c/0.jpg'],
        {},
        r'classes differ, only in .*/train: b; only in .*/val: c$',
    ),
    'num-classes-too-small': (
        ['train/a/0.jpg', 'train/b/0.jpg', 'val/a/0.jpg', 'val/b/0.jpg'],
        {'num_classes': 1},
        r'num_classes=1: .*/train has 2 classes',
    ),
    'less-than-a-batch': (['train/a/0.jpg', 'val/a/0.jpg'], {'batch_size': 2}, r'/train has 1 images, fewer than .* 2'),
    'classes-and-batch': (
        ['train/a/0.jpg', 'val/a/0.jpg'],
        {'batch_size': 2, 'num_classes': 3},
        r'num_classes=3: .*/train has 1 classes: pass model.num_classes=1; .*/train has 1 images, fewer than a batch '
        r'of 1 x 2: pass data.batch_size=1 or less$',
    ),
    'crop-too-large': (['train/a/0.jpg', 'val/a/0.jpg'], {'eval_size': 300}, r'crop=300 of resize=256'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_before_an_image_is_read(case, tmp_path):
    files, arguments, message = REFUSED[case]
    touch(tmp_path, *files)
    with pytest.raises(ValueError, match=message):
        imagefolder_dataspecs(tmp_path, **{'batch_size': 1, 'eval_batch_size': 1, **arguments})


def epoch(images: Path, seed: int) -> list[tuple[torch.Tensor, ...]]:
    reproducibility.seed_all(seed)
    train, _ = imagefolder_dataspecs(images, 8, 8, num_workers=2, seed=seed, **SMALL)
    return batches(train)


def test_a_seed_gives_the_same_batches_and_another_seed_other_images_and_crops(images):
    first, again, other = (epoch(images, seed) for seed in (1, 1, 2))
    assert len(first) == 6
    for (x, y), (same_x, same_y), (other_x, _) in zip(first, again, other, strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
        assert not torch.equal(x, other_x)


def test_batches_are_bytes_and_each_evaluation_image_comes_once(images):
    train, held_out = imagefolder_dataspecs(images, 20, 10, num_workers=0, num_classes=3, **SMALL)
    assert [len(y) for _, y in train.dataloader] == [20, 20]
    batches = list(held_out.dataloader)
    assert [len(y) for _, y in batches] == [10, 10, 10, 3]
    assert torch.cat([y for _, y in batches]).bincount().tolist() == [11, 11, 11]
    for x, y in batches:
        assert x.dtype == torch.uint8
        assert x.shape == (len(y), 3, 32, 32)
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert (train.num_samples, held_out.num_samples) == (48, 33)


class Watcher(Callback):
    """Records what the loader returns, and what reaches the network."""

    def __init__(self) -> None:
        self.loaded: list[torch.Tensor] = []
        self.seen: list[torch.Tensor] = []

    def after_dataloader(self, state: State, logger: object) -> None:
        self.loaded.append(state.batch[0])

    def before_forward(self, state: State, logger: object) -> None:
        self.seen.append(state.batch[0])

    eval_before_forward = before_forward


def test_a_trainer_learns_and_its_accuracy_is_that_of_the_usual_pipeline(images, make_trainer):
    reproducibility.seed_all(3)
    model = ComposerClassifier(SmallResNet(depth=8, num_classes=3), num_classes=3)
    train, held_out = imagefolder_dataspecs(images, 16, 16, num_workers=0, num_classes=3, seed=3, **SMALL)
    watcher = Watcher()
    trainer: Trainer = make_trainer(
        model=model,
        train_dataloader=train,
        eval_dataloader=held_out,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        max_duration='10ep',
        device_train_microbatch_size=8,
        callbacks=watcher,
    )
    trainer.fit()
    assert {(x.dtype, len(x)) for x in watcher.loaded} == {(torch.uint8, 16)}
    assert {(x.dtype, len(x)) for x in watcher.seen} == {(torch.float32, 8)}
    assert all(x.is_contiguous() for x in watcher.seen)
    normalised = torch.cat(watcher.seen)
    assert -2.2 < normalised.min() < -1.5
    assert 2.0 < normalised.max() < 2.7

    trainer.eval()
    measured = float(trainer.state.eval_metric_values['MulticlassAccuracy'])
    as_usual = [
        transforms.Resize(36),
        transforms.CenterCrop(32),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    usual = torchvision.datasets.ImageFolder(str(images / 'val'), transforms.Compose(as_usual))
    model.eval()
    with torch.no_grad():
        right = sum(int((model((x, y)).argmax(1) == y).sum()) for x, y in DataLoader(usual, 16))
    assert measured * 33 == pytest.approx(right, abs=1e-3)
    assert right > 20  # of 33, 11 by chance
