"""Where the commands write: standard output, devices, and terminals of any encoding."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.studies import STUDY, run

KINDS = ['cyclic'] * 4 + ['standard'] * 2
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


@pytest.mark.parametrize(
    ('command', 'starts'),
    [('export . -o -', b'kind,method,seed,epoch'), ('compare . --json -', b'{\n'), ('plot . -o -', b'\x89PNG')],
)
def test_standard_output_has_the_result_alone(call, study, monkeypatch, command, starts, capfdbinary):
    monkeypatch.chdir(study)
    assert call(*command.split()) == 0
    out, said = capfdbinary.readouterr()
    assert out.startswith(starts)
    assert b' points' in said
    assert b' points' not in out


def test_standard_output_that_is_a_file_is_appended_to(study):
    done = sh('echo before > all; clr export . -o /dev/stdout >> all; cat all; rm all', study)
    assert [line.split(',')[0] for line in done.stdout.decode().splitlines()] == ['before', 'kind', *KINDS]
    assert done.stderr.decode() == '/dev/stdout: 6 points of 4 runs\n'
    assert stat.S_ISLNK(Path('/dev/stdout').lstat().st_mode)


@pytest.mark.parametrize('command', ['export . -o /dev/full', 'compare . --json run0'])
def test_what_cannot_be_written_is_one_line_and_status_2(call, study, monkeypatch, command, capsys):
    monkeypatch.chdir(study)
    assert call(*command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer-clr: ')


def test_what_standard_output_does_not_take_is_one_line_and_status_2(study):
    done = sh('clr compare . > /dev/full', study)
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
