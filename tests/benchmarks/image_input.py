"""Images per second of this package's data sets, over torchvision's: ``python -m tests.benchmarks.image_input``.

All load the same images in batches, alternating round by round, in one process with one thread and no workers. The
usual path is torchvision's ``ImageFolder`` with PIL: ``RandomResizedCrop``, flip, ``ToTensor`` and ``Normalize`` in
training, ``Resize`` and ``CenterCrop`` in place of the first two in evaluation. This package's end with a batch of
uint8, which the device normalises. If the extra ``streaming`` is installed, MDS shards of the originals are measured
too.

The files are windows of the photographs of scikit-image and scikit-learn, of about 500 x 400 pixels at quality 90 to
96, and copies of them with a short side of at most 400 and of 256, all re-encoded at quality 90. (The converter leaves
small images unchanged.) The copies are compared with the usual path on the originals. Printed are the median and the
range of the ratios per round of processor time of the whole process, threads included; the files are in the page cache.
Options: ``--subsampling 0`` keeps the originals' colours at full resolution; ``--spread`` makes one image in five
larger, up to 1400 pixels wide, as photographs in the wild are.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from composer_clr.data.images import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, ImageFolderDataset, TrainTransform
from composer_clr.data.loaders import collate_images
from tests.helpers.photographs import SIZES, photographs, window

ROUNDS, FILES, BATCH = 11, 96, 32
COPIES = {'short side 400': 400, 'short side 256': 256}


def write_files(folder: Path, subsampling: int, spread: bool) -> None:
    """Writes the originals and their copies, each a folder of one class."""
    rng = random.Random(0)
    for kind in ('originals', *COPIES):
        (folder / kind / 'class').mkdir(parents=True)
    for number in range(FILES):
        size = SIZES[number % len(SIZES)]
        if spread and number % 5 == 0:
            factor = rng.uniform(1.28, 2.8)
            size = round(size[0] * factor), round(size[1] * factor)
        picture = window(photographs()[number % len(photographs())], size, rng)
        original = folder / 'originals/class' / f'{number}.JPEG'
        picture.save(original, quality=90 + number % 7, subsampling=subsampling)
        with Image.open(original) as picture:
            for kind, short in COPIES.items():
                factor = min(1.0, short / min(picture.size))
                side = round(picture.width * factor), round(picture.height * factor)
                copy = picture if factor == 1.0 else picture.resize(side, Image.Resampling.BICUBIC)
                copy.save(folder / kind / 'class' / original.name, quality=90)


def size_of(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


def data_sets(folder: Path, phase: str) -> dict[str, Dataset]:
    """Returns this package's data sets, by what they read."""
    transform = TrainTransform() if phase == 'training' else EvalTransform()
    kinds = ('originals', *COPIES)
    by_name: dict[str, Dataset] = {kind: ImageFolderDataset(folder / kind, transform) for kind in kinds}
    if find_spec('streaming'):
        from streaming import MDSWriter

        from composer_clr.data.streaming import ShardImages, StreamedImages

        shards = folder / 'shards'
        if not shards.exists():
            with MDSWriter(columns={'x': 'bytes', 'y': 'int'}, out=str(shards)) as writer:
                for file in sorted((folder / 'originals/class').iterdir()):
                    writer.write({'x': file.read_bytes(), 'y': 0})
        by_name['MDS shards of the originals'] = (
            StreamedImages(TrainTransform(), local=str(shards), batch_size=BATCH, shuffle=True)
            if phase == 'training'
            else ShardImages(shards, transform)
        )
    return by_name


def seconds(loader: DataLoader) -> float:
    # Processor time, since wall-clock time includes the other work of a shared machine.
    began = time.process_time()
    for _ in loader:
        pass
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--subsampling', type=int, default=2, choices=(0, 1, 2))
    parser.add_argument('--spread', action='store_true')
    options = parser.parse_args()
    torch.set_num_threads(1)
    as_numbers = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    usual = {
        'training': [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *as_numbers],
        'evaluation': [transforms.Resize(256), transforms.CenterCrop(224), *as_numbers],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, options.subsampling, options.spread)
        for kind in ('originals', *COPIES):
            files = list((folder / kind / 'class').iterdir())
            width, height = (mean(side) for side in zip(*map(size_of, files), strict=True))
            kilobytes = mean(file.stat().st_size for file in files) / 1000
            print(f'{kind}: {len(files)} files, mean {width:.0f} x {height:.0f} pixels, {kilobytes:.0f} KB')
        print(f'{ROUNDS} rounds, one thread; images per second, and their ratio to the usual path on the originals')
        for phase in usual:
            loaders = {'usual': DataLoader(ImageFolder(folder / 'originals', transforms.Compose(usual[phase])), BATCH)}
            for name, data in data_sets(folder, phase).items():
                loaders[name] = DataLoader(data, BATCH, collate_fn=collate_images)
            times: dict[str, list[float]] = {kind: [] for kind in loaders}
            for turn in range(-1, ROUNDS):
                for kind in sorted(loaders, reverse=bool(turn % 2)):
                    torch.manual_seed(turn + 1)
                    elapsed = seconds(loaders[kind])
                    if turn >= 0:  # the first one warms the page cache
                        times[kind].append(elapsed)
            print(f'{phase}, usual: {FILES / median(times["usual"]):.0f} images/s')
            for kind in [name for name in loaders if name != 'usual']:
                ratios = [slow / fast for slow, fast in zip(times['usual'], times[kind], strict=True)]
                spread = f'{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})'
                print(f'{phase}, {kind}: {FILES / median(times[kind]):.0f} images/s, {spread}')


if __name__ == '__main__':
    main()
