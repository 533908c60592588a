"""Decoding only the crop's region: the same pixels, and everything that is no plain JPEG read all the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from composer_clr.data.image_loader import collate_images
from composer_clr.data.imagefolder import ImageFolderDataset, imagefolder_dataspecs
from composer_clr.data.transforms import TrainTransform, decode_rgb
from tests.helpers.photographs import photographs, write_folder

pytest.importorskip('nvidia.nvimgcodec', reason='the extra region is not installed')
from composer_clr.data.region import RegionImage, decode_region

ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6

FILES = {
    '4:2:0': ('RGB', 'JPEG', {'subsampling': 2}),
    '4:2:2': ('RGB', 'JPEG', {'subsampling': 1}),
    '4:4:4': ('RGB', 'JPEG', {'subsampling': 0}),
    'progressive': ('RGB', 'JPEG', {'progressive': True}),
    'turned-by-exif': ('RGB', 'JPEG', {'exif': ORIENTED}),
    'grey': ('L', 'JPEG', {}),
    'cmyk': ('CMYK', 'JPEG', {}),
    'png': ('RGB', 'PNG', {}),
    'gif': ('P', 'GIF', {}),
    'tiff': ('RGB', 'TIFF', {}),
}


def bytes_of(mode: str, form: str, options: dict, size: tuple[int, int] = (451, 300)) -> torch.Tensor:
    file = io.BytesIO()
    photographs()[1].resize(size).convert(mode).save(file, form, quality=93, **options)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


@pytest.mark.parametrize('kind', FILES)
def test_crops_have_the_pixels_of_the_whole_image(kind):
    encoded = bytes_of(*FILES[kind])
    image, whole = decode_region(encoded, 'a file'), decode_rgb(encoded, 'a file')
    assert isinstance(image, RegionImage) == (FILES[kind][:2] == ('RGB', 'JPEG'))
    assert image.shape == whole.shape
    with Image.open(io.BytesIO(encoded.numpy().tobytes())) as opened:
        assert (image.shape[2], image.shape[1]) == opened.size
    for seed in range(20):
        crops = []
        for pixels in (image, whole):
            torch.manual_seed(seed)
            crops.append(TrainTransform(64)(pixels).int())
        assert (crops[0] - crops[1]).abs().float().mean() <= 0.5


def test_only_the_region_is_decoded(monkeypatch):
    """An image that is never decoded whole, and whose parts are those that were asked for."""
    monkeypatch.setattr('composer_clr.data.region.decode_rgb', None)
    encoded = bytes_of('RGB', 'JPEG', {})
    part = decode_region(encoded, 'a file')[:, 17:118, 33:300]
    assert part.shape == (3, 101, 267)
    assert torch.equal(part, decode_rgb(encoded, 'a file')[:, 17:118, 33:300])


def test_a_file_that_was_cut_off_is_named():
    for kept in (0.9, 0.5, 0.01):
        encoded = bytes_of('RGB', 'JPEG', {})
        with pytest.raises(OSError, match='a file: not a readable image'):
            decode_region(encoded[: int(len(encoded) * kept)].clone(), 'a file')
    with pytest.raises(OSError, match='a file: not a readable image'):
        decode_region(torch.zeros(100, dtype=torch.uint8), 'a file')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_an_imagefolder_trains_on_the_same_pixels(tmp_path, num_workers):
    for split in ('train', 'val'):
        write_folder(tmp_path / split, classes=2, images=8, size=(75, 60))
    batches = []
    for decoder in ('whole', 'region'):
        torch.manual_seed(1)
        train, _ = imagefolder_dataspecs(tmp_path, 4, 4, num_workers, train_size=32, decoder=decoder)
        batches.append(list(train.dataloader))
    for (x, y), (same_x, same_y) in zip(*batches, strict=True):
        assert (x.int() - same_x.int()).abs().float().mean() <= 0.5
        assert torch.equal(y, same_y)


def test_a_decoder_that_the_parent_has_used_works_in_its_forks(tmp_path):
    write_folder(tmp_path, classes=1, images=4, size=(75, 60))
    data = ImageFolderDataset(tmp_path, TrainTransform(32), decode_region)
    here = data[0][0]
    (there, _), *_ = list(DataLoader(data, 4, num_workers=1, collate_fn=collate_images, multiprocessing_context='fork'))
    assert here.shape == there[0].shape
    assert int(np.prod(there.shape)) == 4 * 3 * 32 * 32


def test_an_unknown_decoder_is_refused(tmp_path):
    for split in ('train', 'val'):
        write_folder(tmp_path / split, classes=1, images=1, size=(75, 60))
    with pytest.raises(ValueError, match="decoder='nvjpeg': images are decoded 'whole', or by the crop's 'region'"):
        imagefolder_dataspecs(tmp_path, 1, 1, decoder='nvjpeg')
