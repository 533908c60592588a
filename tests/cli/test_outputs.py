"""Where the commands write: standard output, devices, and terminals of any encoding."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.studies import STUDY, run

CLI = [sys.executable, '-c', 'from composer_clr.cli.app import main; main()']


@pytest.fixture(scope='module')
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('study')
    for i, curve in enumerate(STUDY):
        (folder / f'run{i}').mkdir()
        curve.write(folder / f'run{i}' / 'curve.json')
    return folder


def sh(command: str, study: Path, **environment: str) -> subprocess.CompletedProcess:
    words = ' '.join(f"'{word}'" for word in CLI)
    return subprocess.run(
        f'clr() {{ {words} "$@"; }}; {command}',
        shell=True,
        cwd=study,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize('name', ['-', '/dev/stdout'])
def test_standard_output_has_the_csv_alone(study, name):
    done = sh(f'clr export . -o {name}', study)
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith('kind,method,seed,epoch')
    assert len(lines) == 7
    assert done.stderr.decode() == f'{name}: 6 points of 4 runs\n'
    assert stat.S_ISLNK(Path('/dev/stdout').lstat().st_mode)


def test_standard_output_that_is_a_file_is_appended_to(study):
    done = sh('echo before > all; clr export . -o /dev/stdout >> all; cat all; rm all', study)
    assert [line.split(',')[0] for line in done.stdout.decode().splitlines()][:2] == ['before', 'kind']


@pytest.mark.parametrize(('command', 'starts'), [('compare . --json -', b'{\n'), ('plot . -o -', b'\x89PNG')])
def test_other_outputs_too(study, command, starts):
    done = sh(f'clr {command}', study)
    assert (done.returncode, done.stdout[: len(starts)]) == (0, starts)
    assert b'points' in done.stderr


@pytest.mark.parametrize(
    'command',
    ['export . -o /dev/full', 'compare . > /dev/full', 'compare . --json run0'],
)
def test_what_cannot_be_written_is_one_line_and_status_2(study, command):
    done = sh(f'clr {command}', study)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith('composer-clr: ')


def test_a_reader_that_stops_is_not_an_error_message(study):
    done = sh('(clr export . -o -; echo $? >&2) | true', study)
    assert b'Traceback' not in done.stderr


def test_a_name_that_the_encoding_does_not_have_is_escaped(tmp_path):
    for kind in ('cyclic', 'standard'):
        (tmp_path / kind).mkdir()
        run(kind, 1, (4, 10, 0.5), (8, 20, 0.6), method='größer中').write(tmp_path / kind / 'curve.json')
    done = sh('clr compare . --baseline größer中', tmp_path, PYTHONIOENCODING='latin-1')
    assert done.returncode == 0
    assert 'größer'.encode('latin-1') + rb'\u4e2d' in done.stdout
