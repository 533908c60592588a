"""The transforms against torchvision's own on PIL images, pixel by pixel, on real photographs."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision import transforms
from torchvision.transforms.functional import center_crop, pil_to_tensor

from composer_clr.data.images import EvalTransform, Normalize, TrainTransform, decode_rgb
from tests.helpers.photographs import photographs, window

SIZES = [
    pytest.param((500, 400), id='landscape'),
    pytest.param((375, 500), id='portrait'),
    pytest.param((341, 256), id='short-side-resized-already'),
    pytest.param((257, 255), id='a-pixel-off'),
    pytest.param((2500, 1800), id='huge'),
    pytest.param((900, 90), id='panorama'),
    pytest.param((40, 700), id='tower'),
    pytest.param((23, 31), id='tiny'),
    pytest.param((1, 1), id='one-pixel'),
]


def encoded(image: Image.Image, form: str = 'JPEG', **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def as_pil(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert('RGB')


def decoded(content: bytes) -> torch.Tensor:
    return decode_rgb(torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy()), 'some/file.JPEG')


def pixels(image: Image.Image) -> torch.Tensor:
    return pil_to_tensor(image)


def mean_difference(image: torch.Tensor, reference: torch.Tensor) -> float:
    assert image.dtype == reference.dtype == torch.uint8
    assert image.shape == reference.shape
    return float((image.int() - reference.int()).abs().float().mean())


GREY_16 = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
IN_32_BITS = GREY_16.astype(np.int32)


@pytest.mark.parametrize(
    ('image', 'form'),
    [
        pytest.param(Image.fromarray(GREY_16), 'PNG', id='png'),
        pytest.param(Image.fromarray(GREY_16), 'TIFF', id='tiff'),
        pytest.param(Image.fromarray(GREY_16.astype('>u2')), 'TIFF', id='tiff-big-endian'),
        pytest.param(Image.fromarray(IN_32_BITS), 'PPM', id='pgm'),
    ],
)
def test_of_16_bits_the_upper_8_are_taken(image, form):
    read = decoded(encoded(image, form))
    assert read.shape == (3, 16, 16)
    assert all(np.array_equal(channel, GREY_16 >> 8) for channel in read.numpy())


@pytest.mark.parametrize(
    ('pixels', 'kind'), [(IN_32_BITS, 'integers'), ((GREY_16 / 65535).astype(np.float32), 'floats')]
)
def test_pixels_of_32_bits_are_refused_by_name(pixels, kind):
    content = encoded(Image.fromarray(pixels), 'TIFF')
    with pytest.raises(OSError, match=rf'^some/file\.JPEG: pixels are 32-bit {kind}, whose range is unknown; save'):
        decoded(content)


def files(size: tuple[int, int]) -> list[bytes]:
    """Returns a JPEG file of each photograph, of a size, and of quality 90 to 96."""
    rng = random.Random(0)
    return [
        encoded(window(photograph, size, rng), quality=90 + number % 7)
        for number, photograph in enumerate(photographs()[:4] if max(size) > 1000 else photographs())
    ]


@pytest.mark.parametrize('size', SIZES)
def test_training_pixels_are_torchvisions_under_the_same_seed(size):
    usual = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()])
    for seed, file in enumerate(files(size)):
        for crop in range(2):
            torch.manual_seed(2 * seed + crop)
            image = TrainTransform()(decoded(file))
            torch.manual_seed(2 * seed + crop)
            assert mean_difference(image, pixels(usual(as_pil(file)))) <= 0.05


@pytest.mark.parametrize(('resize', 'crop'), [(256, 224), (256, 256), (36, 32), (7, 1)])
@pytest.mark.parametrize('size', SIZES)
def test_evaluation_pixels_are_torchvisions(size, resize, crop):
    usual = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(crop)])
    transform = EvalTransform(resize, crop)
    for file in files(size)[:: 1 if resize == 256 else 3]:
        difference = mean_difference(transform(decoded(file)), pixels(usual(as_pil(file))))
        assert difference <= (0.05 if crop > 1 else 1)


@pytest.mark.parametrize('resize', [256, 36])
def test_the_evaluation_crop_lies_on_the_grid_of_the_whole_image(resize):
    transform = EvalTransform(resize, resize - 4)
    rng = random.Random(0)
    near = [(resize + a, resize + b) for a in range(-2, 3) for b in range(-2, 3)]
    for height, width in near + [(rng.randint(1, 600), rng.randint(1, 600)) for _ in range(100)]:
        # Noise shows a grid that is off.
        image = torch.randint(256, (3, height, width), dtype=torch.uint8)
        short = min(height, width)
        size = (resize * height // short, resize * width // short)
        whole = interpolate(image[None], size=size, mode='bilinear', antialias=True)
        crop = center_crop(whole, [resize - 4, resize - 4])[0]
        assert (transform(image).int() - crop.int()).abs().max() <= 1, (height, width)


def photo(mode: str) -> Image.Image:
    return window(photographs()[0], (120, 90), random.Random(1)).convert(mode)


ODD_FILES = {
    'greyscale': encoded(photo('L')),
    'cmyk': encoded(photo('CMYK'), quality=95),
    'progressive': encoded(photo('RGB'), progressive=True),
    'no-subsampling': encoded(photo('RGB'), subsampling=0),
    'png': encoded(photo('RGB'), 'PNG'),
    'png-grey': encoded(photo('L'), 'PNG'),
    'png-alpha': encoded(photo('RGBA'), 'PNG'),
    'png-grey-alpha': encoded(photo('LA'), 'PNG'),
    'png-palette': encoded(photo('P'), 'PNG'),
    'png-two-colours': encoded(photo('1'), 'PNG'),
    'gif': encoded(photo('RGB'), 'GIF'),
    'gif-moving': encoded(photo('P'), 'GIF', save_all=True, append_images=[photo('P').rotate(90)]),
    'webp': encoded(photo('RGB'), 'WEBP'),
    'bmp': encoded(photo('RGB'), 'BMP'),
    'tiff': encoded(photo('RGB'), 'TIFF'),
    'ppm': encoded(photo('RGB'), 'PPM'),
}


@pytest.mark.parametrize('kind', ODD_FILES)
def test_odd_files_are_read_as_pil_reads_them(kind):
    assert mean_difference(decoded(ODD_FILES[kind]), pixels(as_pil(ODD_FILES[kind]))) <= 0.01


def test_exif_orientation_turns_nothing():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(encoded(photo('RGB'), exif=exif)).shape == (3, 90, 120)


JPEG, PNG = encoded(photo('RGB'), quality=92), encoded(photo('RGB'), 'PNG')


@pytest.mark.parametrize(
    'content',
    [
        pytest.param(JPEG[: len(JPEG) // 2], id='jpeg-half'),
        pytest.param(JPEG[:-20], id='jpeg-end-missing'),
        pytest.param(JPEG[:100], id='jpeg-header-alone'),
        pytest.param(PNG[: len(PNG) // 2], id='png-half'),
        pytest.param(ODD_FILES['bmp'][:500], id='bmp-part'),
        pytest.param(ODD_FILES['cmyk'][:2000], id='cmyk-part'),
        pytest.param(b'', id='empty'),
        pytest.param(b'<html>404</html>', id='text'),
    ],
)
def test_broken_files_are_named(content):
    with pytest.raises(OSError, match=r'some/file\.JPEG: not a readable image \(.+\); replace'):
        decoded(content)


def test_normalised_bytes_are_torchvisions():
    images = torch.stack([TrainTransform(64)(decoded(file)) for file in files((300, 200))])
    labels = torch.arange(len(images))
    usual = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for layout in (torch.contiguous_format, torch.channels_last):
        given = images.contiguous(memory_format=layout)
        before = given.clone()
        normalised, same = Normalize()((given, labels))
        assert normalised.dtype == torch.float32
        assert normalised.is_contiguous()
        torch.testing.assert_close(normalised, usual(images.float() / 255), atol=1e-5, rtol=0)
        assert torch.equal(given, before)
        assert same is labels


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: TrainTransform(0), 'size=0: must be 1 or more'),
        (lambda: EvalTransform(256, 257), r'crop=257 of resize=256'),
        (lambda: EvalTransform(256, 0), r'crop=0 of resize=256'),
    ],
)
def test_sizes_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
