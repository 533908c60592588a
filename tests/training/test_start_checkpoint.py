"""Checkpoints that are cut off, damaged or of another run, at ``autoresume`` and ``load_path``: one line, status 2."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from composer_clr import TradeoffCurve
from composer_clr.train import main

RECIPE = ['quickstart/digits', 'data.arguments.train_images=100', 'progress_bar=false', 'run_name=run']
OWN = ['snapshot.folder=out', 'checkpoint.folder=own', 'checkpoint.keep=2', 'checkpoint.autoresume=true']
NEWEST, OLDER = 'own/ep4-ba8-rank0.pt', 'own/ep3-ba6-rank0.pt'


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains a run of four epochs, and keeps its last two checkpoints."""
    folder = tmp_path_factory.mktemp('finished')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*RECIPE, *OWN, 'max_duration=4ep']) == 0
    return folder


@pytest.fixture
def copy(finished, tmp_path, monkeypatch) -> Path:
    shutil.copytree(finished, tmp_path / 'copy', symlinks=True)
    monkeypatch.chdir(tmp_path / 'copy')
    return tmp_path / 'copy'


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    'empty': (lambda path: path.write_bytes(b''), 'is empty'),
    'truncated': (lambda path: path.write_bytes(path.read_bytes()[:100_000]), 'is truncated, or not a checkpoint'),
    'text': (lambda path: path.write_text('hello'), 'is truncated, or not a checkpoint'),
    'a-bit-flipped': (flip_a_bit, 'does not have its checksum'),
}


@pytest.mark.parametrize('case', DAMAGE)
def test_the_next_older_checkpoint_is_resumed_and_that_is_said(copy, case):
    damage, problem = DAMAGE[case]
    damage(copy / NEWEST)
    with pytest.warns(UserWarning, match=f'{NEWEST} .*{problem}: resuming from {OLDER}'):
        assert main([*RECIPE, *OWN, 'max_duration=8ep']) == 0
    assert [point.epoch for point in TradeoffCurve.read(Path('out')).points] == [4.0, 8.0]
    assert (copy / 'own/latest-rank0.pt').readlink() == Path('ep8-ba16-rank0.pt')
    assert not list(copy.glob('own/.*'))


def test_a_kill_before_the_newest_is_linked_loses_nothing(copy):
    (copy / 'own/latest-rank0.pt').unlink()
    with pytest.warns(UserWarning, match=f'own/latest-rank0.pt is missing: resuming from {NEWEST}'):
        assert main([*RECIPE, *OWN, 'max_duration=8ep']) == 0
    assert not (copy / 'out/curve-1.json').exists()


@pytest.mark.filterwarnings('ignore:.*the run starts over. it is kept as curve-1.json:UserWarning')
def test_a_kill_while_the_first_checkpoint_is_saved_starts_over(copy):
    (copy / 'own/latest-rank0.pt').unlink()
    (copy / OLDER).unlink()
    (copy / NEWEST).write_bytes(b'')
    with pytest.warns(UserWarning, match=f'{NEWEST} is empty: starting over'):
        assert main([*RECIPE, *OWN, 'max_duration=8ep']) == 0
    assert [point.epoch for point in TradeoffCurve.read(Path('out')).points] == [4.0, 8.0]


@pytest.mark.parametrize('case', ['truncated', 'a-bit-flipped'])
def test_no_whole_checkpoint_is_one_line(copy, case, capsys):
    damage, problem = DAMAGE[case]
    damage(copy / NEWEST)
    damage(copy / OLDER)
    before = (copy / 'out/curve.json').read_bytes()
    assert main([*RECIPE, *OWN, 'max_duration=8ep']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f'{NEWEST} {"is damaged: " if "checksum" in problem else ""}' in line
    assert problem in line
    assert line.endswith('no older checkpoint is whole: restore it from a copy, or remove own to start over')
    assert (copy / 'out/curve.json').read_bytes() == before


def test_the_only_checkpoint_that_is_kept_is_one_line_with_the_remedy(copy, capsys):
    (copy / OLDER).unlink()
    (copy / NEWEST).write_bytes(b'')
    assert main([*RECIPE, *OWN, 'checkpoint.keep=1', 'max_duration=8ep']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'composer_clr.train: checkpoint.autoresume=true: {NEWEST} is empty')
    assert line.endswith(
        'and checkpoint.keep=1 keeps no older one: restore it from a copy, or remove own to start over; '
        'checkpoint.keep=2 keeps one'
    )
    assert (copy / 'out/curve.json').exists()


def test_load_path_is_checked_too(copy, capsys):
    flip_a_bit(copy / NEWEST)
    assert main([*RECIPE, 'snapshot.folder=other', 'max_duration=8ep', f'checkpoint.load_path={NEWEST}']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'composer_clr.train: checkpoint.load_path={NEWEST}: {NEWEST} ')
    assert 'does not have its checksum' in line


@pytest.mark.parametrize('path', ['nowhere.pt', 'own'])
def test_a_load_path_that_is_no_file(copy, path, capsys):
    assert main([*RECIPE, 'snapshot.folder=other', 'max_duration=8ep', f'checkpoint.load_path={path}']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert path in line


@pytest.mark.parametrize('key', ['autoresume', 'load_path'])
def test_another_network_is_one_line(copy, key, capsys):
    start = OWN if key == 'autoresume' else [f'checkpoint.load_path={NEWEST}']
    # Into another folder: the curve of the first one has other settings, which is refused before.
    other = ['snapshot.folder=other', 'max_duration=8ep', 'model.arguments.depth=14']
    assert main([*RECIPE, *start, *other]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f'composer_clr.train: checkpoint.{key}=')
    assert f'{NEWEST}: does not fit this run (RuntimeError: ' in line
    assert 'size mismatch for module' in line
    assert line.endswith('pass the model, optimizer and algorithms of the run that saved it, or start without it')


def test_another_programs_file_is_one_line(copy, capsys):
    torch.save({'weights': torch.zeros(3)}, copy / 'foreign.pt')
    assert main([*RECIPE, 'snapshot.folder=other', 'max_duration=8ep', 'checkpoint.load_path=foreign.pt']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "checkpoint.load_path=foreign.pt: does not fit this run (KeyError: 'state')" in line


def test_a_rank_that_ends_while_a_checkpoint_is_loaded_is_not_a_checkpoint_that_does_not_fit(copy, monkeypatch, capsys):
    def load(*_args, **_arguments):
        raise RuntimeError('[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:56194')

    monkeypatch.setattr('composer.core.state.State.load_model_state', load)
    assert main([*RECIPE, *OWN, 'max_duration=8ep']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer_clr.train: another rank has ended (Connection closed by peer): ')
