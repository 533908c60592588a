"""Output paths from anybody: what was there keeps its kind, and the file has the content or one line says why not."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import strategies as st

from composer_clr.utils.errors import UserError
from composer_clr.utils.files import write_output
from tests.helpers.fuzzing import NUMBERS, check_each, refused_or

NAMES = ['file', 'folder', 'folder/file', 'folder/folder', 'pipe', 'link', 'link2', 'folder/link', '.part-file']
TARGETS = ['file', 'folder', '../file', 'link', 'link2', 'nowhere', 'nowhere/file', 'pipe', '/dev/null', '.', 'file/']

worlds = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(['file', 'pipe', *TARGETS]), max_size=len(NAMES))
steps = st.sampled_from([*NAMES, '..', '.', '', 'new', 'x' * 255, 'x' * 256, 'é', '\udce9', '\0', ' ', '\n'])
# Fewer steps than the folders above, so that none leads out of the test's own.
paths = st.lists(steps, min_size=1, max_size=4).map('/'.join)


def build(root: Path, world: dict[str, str]) -> None:
    """Makes files, folders, pipes, and links to any of them, to themselves and to nothing."""
    for name, what in sorted(world.items()):
        path = root / name
        if name.endswith('folder'):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if 'link' in name:
            path.symlink_to(what)
        elif 'pipe' in name:
            os.mkfifo(path)
        else:
            path.write_bytes(name.encode())


def contents(root: Path) -> dict[Path, object]:
    """All below a folder: the bytes of files, the targets of links, the kinds of the rest."""
    found: dict[Path, object] = {}
    for path in root.rglob('*'):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[path] = path.read_bytes()
        else:
            found[path] = path.readlink() if stat.S_ISLNK(mode) else stat.S_IFMT(mode)
    return found


def check_output(tmp_path: Path, world: dict[str, str], path: str) -> None:
    top = tmp_path / 'top'
    shutil.rmtree(top, ignore_errors=True)
    root = top / 'a/b/c/d'
    root.mkdir(parents=True)
    build(root, world)
    before = contents(top)
    # Below the folder, also where the path begins with a slash.
    target = Path(f'{root}/{path}')
    # Each pipe has a reader.
    readers = [os.open(pipe, os.O_RDWR | os.O_NONBLOCK) for pipe, kind in before.items() if kind == stat.S_IFIFO]
    try:
        written = refused_or(lambda: (write_output(target, b'written'), True), UserError)
    finally:
        for reader in readers:
            os.close(reader)
    after = contents(top)
    if written is None:
        assert {path: kind for path, kind in after.items() if kind != stat.S_IFDIR} == {
            path: kind for path, kind in before.items() if kind != stat.S_IFDIR
        }
        return
    file = target.resolve()
    if file.is_file():
        assert file.read_bytes() == b'written'
        after.pop(file)
        before.pop(file, None)
    # A part of that name, left by a killed process, is replaced.
    before.pop(file.with_name(f'.part-{file.name}'), None)
    assert before.items() <= after.items()
    assert all(kind == stat.S_IFDIR for path, kind in after.items() if path not in before)


FOUND = [({'link': '../file', 'file': 'file'}, 'link'), ({'link': 'link2', 'link2': 'link'}, 'link')]
FOUND += [({'pipe': 'pipe'}, 'pipe')]


@pytest.mark.parametrize('number', NUMBERS)
def test_output_paths(tmp_path, number):
    check_each(number, st.tuples(worlds, paths), lambda case: check_output(tmp_path, *case), FOUND)
