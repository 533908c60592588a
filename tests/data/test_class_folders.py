"""Class folders and zip files of small images: read, or refused with a reason."""

import zipfile
from pathlib import Path

import pytest
import torch
from torchvision.io import encode_png, write_jpeg, write_png

from composer_clr.data.cifar10 import read_class_folders


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


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', None], ids=['empty', 'cut-off', 'missing'])
def test_no_zip_file(tmp_path, content):
    if content is not None:
        (tmp_path / 'set.zip').write_bytes(content)
    with pytest.raises(ValueError, match=r'set.zip: cannot be read'):
        read_class_folders(tmp_path / 'set.zip', 8, 2)
