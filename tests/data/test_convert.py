"""Smaller copies of images: the right pixels, every image, and the same result after a kill."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.data.conversion.convert import Conversion, convert_images, smaller_copy
from composer_clr.data.images import EvalTransform, ImageFolderDataset
from composer_clr.utils.errors import UserError
from tests.helpers.launcher import PROCESSES
from tests.helpers.photographs import photographs, write_folder

pytest.importorskip('streaming', reason='the extra streaming is not installed')

from composer_clr.data.streaming import ShardImages


def encoded(image: Image.Image, form: str = 'JPEG', **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def quietly(done: int, total: int) -> None:
    del done, total


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob('*') if file.is_file()}


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes two classes of photographs: 12 training and 5 evaluation images each, of 150 x 120 pixels."""
    folder = tmp_path_factory.mktemp('images')
    write_folder(folder / 'train', classes=2, images=12, size=(150, 120), seed=1)
    write_folder(folder / 'val', classes=2, images=5, size=(150, 120), seed=2)
    return folder


def test_a_small_image_is_kept_byte_for_byte():
    for image in (encoded(photographs()[0].resize((500, 400))), encoded(photographs()[0].resize((64, 900)), 'PNG')):
        assert smaller_copy(image, 400, 90, 'a file') == image


@pytest.mark.parametrize(
    ('mode', 'form'), [('RGB', 'JPEG'), ('L', 'JPEG'), ('CMYK', 'JPEG'), ('RGB', 'PNG'), ('P', 'GIF'), ('RGB', 'TIFF')]
)
def test_a_large_image_becomes_a_jpeg_of_the_right_size_whatever_it_was(mode, form):
    photo = photographs()[1].resize((451, 301))
    original = encoded(photo.convert(mode), form)
    copy = Image.open(io.BytesIO(smaller_copy(original, 100, 95, 'a file')))
    assert (copy.format, copy.mode, copy.size) == ('JPEG', 'RGB', (149, 100))
    with Image.open(io.BytesIO(original)) as opened:
        reference = opened.convert('RGB').resize((149, 100), Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(copy, dtype=int) - np.asarray(reference, dtype=int)).mean()
    assert difference < 3  # what a JPEG of quality 95 costs


def test_evaluation_pixels_of_short_side_400_differ_by_about_two_levels():
    """Tests what the command's help says."""
    differences = []
    for photo in photographs():
        large = photo.resize((750, 600), Image.Resampling.LANCZOS)
        original = encoded(large, quality=93)
        pixels = []
        for content in (original, smaller_copy(original, 400, 90, 'a file')):
            with Image.open(io.BytesIO(content)) as opened:
                image = torch.from_numpy(np.asarray(opened).copy()).permute(2, 0, 1)
            pixels.append(EvalTransform()(image).int())
        differences.append(float((pixels[0] - pixels[1]).abs().float().mean()))
    assert 0.5 < sum(differences) / len(differences) < 3.5


def test_an_image_is_not_turned_by_its_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    copy = Image.open(io.BytesIO(smaller_copy(encoded(photographs()[0].resize((90, 60)), exif=exif), 30, 90, 'a file')))
    assert copy.size == (45, 30)
    assert copy.getexif().get(0x0112, 1) == 1


def test_shards_hold_every_image_once_with_its_class(images, tmp_path):
    progress: list[tuple[int, int]] = []
    counts = convert_images(
        images, tmp_path / 'mds', Conversion(60, shard_images=5), 1, lambda done, total: progress.append((done, total))
    )
    assert counts == {'train': 24, 'val': 10}
    assert progress[0] == (0, 34)
    assert progress[-1] == (34, 34)
    for split, count in counts.items():
        transform = EvalTransform(60, 56)
        copies = ShardImages(tmp_path / 'mds' / split, transform)
        originals = ImageFolderDataset(images / split, transform)
        assert len(copies) == count
        index = json.loads((tmp_path / 'mds' / split / 'index.json').read_text())
        assert index['classes'] == ['class0', 'class1']
        unused = list(originals)  # type: ignore[arg-type]
        for image, label in copies:  # type: ignore[misc]
            distances = [float((image.int() - other.int()).abs().float().mean()) for other, _ in unused]
            nearest = int(np.argmin(distances))
            assert distances[nearest] < 6
            assert unused.pop(nearest)[1] == label
        assert not unused
    labels = [label for _, label in ShardImages(tmp_path / 'mds/train', EvalTransform(60, 56))]  # type: ignore[misc]
    assert labels != sorted(labels)  # a shard is not of a single class


@pytest.mark.parametrize('processes', [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_called_again_it_comes_to_the_same(processes, tmp_path):
    images = tmp_path / 'images'
    write_folder(images / 'train', classes=2, images=60, size=(300, 240))
    write_folder(images / 'val', classes=2, images=2, size=(300, 240))
    conversion = Conversion(100, shard_images=4)
    target = tmp_path / 'killed'
    process = PROCESSES.Process(target=convert_images, args=(images, target, conversion, processes, quietly))
    process.start()
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(target.glob('train/.made.*'))) < 3:
        time.sleep(0.01)
    process.kill()
    process.join()
    kept = {file: file.stat().st_mtime_ns for file in target.glob('train/.made.*')}
    assert 3 <= len(kept) < 30
    assert not (target / 'train/index.json').exists()

    counts = convert_images(images, target, conversion, 1, quietly)
    assert counts == {'train': 120, 'val': 4}
    whole = tmp_path / 'whole'
    convert_images(images, whole, conversion, 1, quietly)
    assert contents(target) == contents(whole)
    # What was there already is not converted again.
    assert all(file.stat().st_mtime_ns == kept[file] for file in kept)


def broken(images: Path, tmp_path: Path) -> Path:
    copy = tmp_path / 'images'
    for split in ('train', 'val'):
        write_folder(copy / split, classes=1, images=4, size=(75, 60))
    (copy / 'train/class0/2.JPEG').write_bytes((images / 'train/class0/2.JPEG').read_bytes()[:900])
    return copy


def test_a_broken_file_is_named_or_left_out_and_counted(images, tmp_path):
    source, target = broken(images, tmp_path), tmp_path / 'copies'
    with pytest.raises(UserError, match=r'1 files .* such as .*/train/class0/2\.JPEG: .*--skip-unreadable'):
        convert_images(source, target, Conversion(50, shard_images=3), 1, quietly)
    assert not (target / 'val/index.json').exists()
    counts = convert_images(source, target, Conversion(50, shard_images=3, skip_unreadable=True), 1, quietly)
    assert counts == {'train': 3, 'val': 4}
    assert '2.JPEG' in json.loads((target / 'train/index.json').read_text())['left_out'][0]


def test_the_end_is_checked_by_count_and_size(images, tmp_path):
    target = tmp_path / 'mds'
    convert_images(images, target, Conversion(60, shard_images=5), 1, quietly)
    (target / 'train/shard.00001.mds').write_bytes(b'')
    with pytest.raises(UserError, match=r'shard\.00001\.mds is incomplete'):
        convert_images(images, target, Conversion(60, shard_images=5), 1, quietly)
    (target / 'train/shard.00001.mds').unlink()
    with pytest.raises(UserError, match=r'shard\.00001\.mds is incomplete'):
        convert_images(images, target, Conversion(60, shard_images=5), 1, quietly)


def test_a_target_of_something_else_is_refused(images, tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/mine.txt').touch()
    with pytest.raises(UserError, match=r'/full is not empty'):
        convert_images(images, tmp_path / 'full', Conversion(60), 1, quietly)
    convert_images(images, tmp_path / 'small', Conversion(60), 1, quietly)
    with pytest.raises(UserError, match=r'/small holds a conversion of other files or with other options'):
        convert_images(images, tmp_path / 'small', Conversion(61), 1, quietly)


def test_the_command(images, tmp_path):
    runner = CliRunner()
    target = tmp_path / 'small'
    arguments = ['convert-images', str(images), str(target), '--short-side', '60']
    done = runner.invoke(app, [*arguments, '--processes', '1'])
    assert done.exit_code == 0, done.output
    assert f'{target}: 24 images in train, 10 images in val' in done.output.replace('\n', '')
    help_text = ' '.join(runner.invoke(app, ['convert-images', '--help']).output.split())
    assert 'The effect on accuracy is not tested' in help_text
    for wrong in (['--quality', '100'], ['--short-side', '0']):
        refused = runner.invoke(app, ['convert-images', str(images), str(tmp_path / 'other'), *wrong])
        assert isinstance(refused.exception, UserError)
    missing = runner.invoke(app, ['convert-images', str(tmp_path / 'none'), str(tmp_path / 'other')])
    assert isinstance(missing.exception, UserError)
    assert 'no such folder' in str(missing.exception)
