"""Files that a command writes: through links and to devices, as a whole or not at all."""

import os
import stat
import threading
from pathlib import Path

import pytest

from composer_clr.utils.errors import UserError
from composer_clr.utils.files import is_stdout, part_of, write_output, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_and_its_folder(tmp_path):
    write_output(tmp_path / 'a' / 'b' / 'out.csv', b'x')
    assert (tmp_path / 'a' / 'b' / 'out.csv').read_bytes() == b'x'
    assert names(tmp_path / 'a' / 'b') == ['out.csv']


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    output = tmp_path / 'out'
    output.write_text('old')
    output.chmod(0o600)
    write_output(output, b'new')
    assert (output.read_bytes(), stat.S_IMODE(output.stat().st_mode)) == (b'new', 0o600)


@pytest.mark.parametrize('target', ['there', 'not-yet'])
def test_a_link_stays_and_its_target_is_written(tmp_path, target):
    (tmp_path / 'there').write_text('old')
    (tmp_path / 'folder').mkdir()
    link = tmp_path / 'folder' / 'link'
    link.symlink_to(f'../{target}')
    write_output(link, b'new')
    assert link.is_symlink()
    assert (tmp_path / target).read_bytes() == b'new'
    assert names(tmp_path / 'folder') == ['link']


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b'x' * 200_000)
    reader.join(10)
    assert received == [b'x' * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to_and_stays(tmp_path):
    link = tmp_path / 'null'
    link.symlink_to(os.devnull)
    write_output(link, b'x')
    assert link.is_symlink()
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('folder', 'Is a directory|Not a regular'),
        ('full', 'No space left'),
        ('loop', 'loop|levels of symbolic links'),
        ('file/out', 'Not a directory|File exists'),
        ('x' * 300, 'name too long'),
        ('nul\0', 'null'),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, match):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('kept')
    (tmp_path / 'full').symlink_to('/dev/full')
    (tmp_path / 'loop').symlink_to('loop')
    before = names(tmp_path)
    with pytest.raises(UserError, match=rf'cannot be written \(.*({match}).*\): choose another file'):
        write_output(tmp_path / name, b'x')
    assert names(tmp_path) == before
    assert (tmp_path / 'file').read_text() == 'kept'


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anything')
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path):
    (tmp_path / 'out').write_text('kept')
    (tmp_path / 'out').chmod(0o400)
    with pytest.raises(UserError, match='Permission denied'):
        write_output(tmp_path / 'out', b'x')
    assert (tmp_path / 'out').read_text() == 'kept'


@pytest.mark.parametrize('write', [lambda path: write_output(path, b'new'), lambda path: write_whole(path, 'new')])
def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path, write):
    (tmp_path / 'victim').write_text('kept')
    part_of(tmp_path / 'out').symlink_to('victim')
    write(tmp_path / 'out')
    assert ((tmp_path / 'victim').read_text(), (tmp_path / 'out').read_text()) == ('kept', 'new')
    assert names(tmp_path) == ['out', 'victim']


def test_standard_output(capfdbinary):
    assert is_stdout(Path('-'))
    write_output(Path('-'), b'x')
    assert capfdbinary.readouterr().out == b'x'
