"""Real photographs, from scikit-image and scikit-learn, and windows of them of any size."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

SIZES = ((500, 400), (500, 375), (400, 500), (500, 333))


@cache
def photographs() -> tuple[Image.Image, ...]:
    """Returns nine colour photographs of 451 x 300 to 1411 x 1411 pixels."""
    pictures = [
        data.astronaut(),
        data.chelsea(),
        data.coffee(),
        data.rocket(),
        data.retina(),
        data.hubble_deep_field(),
        data.stereo_motorcycle()[0],
        *load_sample_images().images,
    ]
    return tuple(Image.fromarray(picture) for picture in pictures)


def window(photograph: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Returns a random part of a photograph, at least 0.8 of the largest with the proportions of ``size``, resized."""
    width, height = photograph.size
    share = rng.uniform(0.8, 1.0) * min(width / size[0], height / size[1])
    part = share * size[0], share * size[1]
    left, top = rng.uniform(0, width - part[0]), rng.uniform(0, height - part[1])
    box = (left, top, left + part[0], top + part[1])
    return photograph.resize(size, Image.Resampling.LANCZOS, box)


def write_folder(folder: Path, classes: int, images: int, size: tuple[int, int], seed: int = 0) -> None:
    """Writes windows of photographs as JPEG files of quality 90 to 96, one class folder per photograph."""
    rng = random.Random(seed)
    for number in range(classes):
        name = folder / f'class{number}'
        name.mkdir(parents=True)
        for image in range(images):
            picture = window(photographs()[number], size, rng)
            picture.save(name / f'{image}.JPEG', format='JPEG', quality=90 + image % 7)
