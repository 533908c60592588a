"""Images in memory: torchvision's pixels for the same random numbers, fixed parts, and draws that resume."""

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import RandomCrop, RandomHorizontalFlip
from torchvision.transforms import functional as F

from composer_clr.data.cifar10 import ImagesInMemory, crop_and_flip, in_memory_data
from composer_clr.data.loaders import class_balanced


def pictures(count: int, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('padding', [1, 4, 8])
def test_the_pixels_are_those_of_torchvision(padding):
    images = pictures(64)
    top, left = torch.randint(0, 2 * padding + 1, (2, 64))
    flip = torch.rand(64) < 0.5
    augmented = crop_and_flip(images, top, left, flip, padding)
    for image, row, column, mirrored, pixels in zip(images, top, left, flip, augmented, strict=True):
        wanted = F.crop(F.pad(image, [padding] * 4), int(row), int(column), 32, 32)
        assert torch.equal(pixels, F.hflip(wanted) if mirrored else wanted)


def test_torchvisions_transforms_with_their_random_numbers(monkeypatch):
    """Runs the transforms themselves, and records the random numbers that they draw."""
    images, drawn = pictures(32), []
    randint, rand = torch.randint, torch.rand
    monkeypatch.setattr(torch, 'randint', lambda *a, **k: drawn.append(randint(*a, **k)) or drawn[-1])
    monkeypatch.setattr(torch, 'rand', lambda *a, **k: drawn.append(rand(*a, **k)) or drawn[-1])
    crop, mirror = RandomCrop(32, padding=4), RandomHorizontalFlip()
    wanted = torch.stack([mirror(crop(image)) for image in images])
    top, left, flip = (torch.cat(drawn[first::3]) for first in range(3))
    assert torch.equal(crop_and_flip(images, top, left, flip < 0.5), wanted)


def test_every_crop_and_flip_is_drawn():
    data = ImagesInMemory(torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3) + 1, torch.zeros(1), padding=1)
    seen = {tuple(data[0][0].flatten().tolist()) for _ in range(400)}
    assert len(seen) == 3 * 3 * 2


def test_without_padding_the_images_are_as_they_are():
    images = pictures(6)
    batch, labels = ImagesInMemory(images, torch.arange(6)).__getitems__([4, 1])
    assert torch.equal(batch, images[[4, 1]])
    assert labels.tolist() == [4, 1]


def test_a_seed_tells_the_draws():
    data = ImagesInMemory(pictures(8), torch.arange(8), padding=4)
    first, other, again = ((torch.manual_seed(seed), data.__getitems__(range(8))[0])[1] for seed in (1, 2, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


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


def test_a_fixed_part_has_every_class_alike():
    labels = torch.arange(1000) % 10
    part = class_balanced(labels, 200, 'train_images')
    assert labels[part].bincount().tolist() == [20] * 10
    assert len(part.unique()) == 200
    assert torch.equal(part, class_balanced(labels, 200, 'train_images'))
    assert labels[class_balanced(labels, 23, 'n')].bincount().tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert class_balanced(labels, None, 'n').tolist() == list(range(1000))
    assert len(class_balanced([0] * 5 + [1] * 3, 6, 'n')) == 6


@pytest.mark.parametrize('count', [0, -1, 1001, True, 2.5])
def test_a_part_that_there_is_not(count):
    with pytest.raises(ValueError, match=r'eval_images=.*: must be between 1 and 1000'):
        class_balanced(torch.arange(1000) % 10, count, 'eval_images')
