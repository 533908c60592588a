"""Locks: what a lock is never written through, and a folder or lock that is gone is noticed at the next trough."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.recording.folder_lock import LOCK_FILE, FolderLock
from composer_clr.recording.run_folder import snapshot_path
from tests.helpers.recorded_runs import At, curve, doubling, snapshot


def symbolic_link(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim)


def hard_link(lock: Path, victim: Path) -> None:
    os.link(victim, lock)


def other_file(lock: Path, victim: Path) -> None:
    lock.write_text(victim.read_text())


def pipe(lock: Path, victim: Path) -> None:
    os.mkfifo(lock)


def unix_socket(lock: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(lock))


@pytest.mark.parametrize('place', [symbolic_link, hard_link, other_file, pipe, unix_socket])
def test_a_lock_is_never_written_through(tmp_path, place):
    victim, folder = tmp_path / 'victim', tmp_path / 'run'
    folder.mkdir()
    victim.write_text('precious')
    place(folder / LOCK_FILE, victim)
    with pytest.raises(OSError, match=r"run/\.lock' is .*(remove it|move it away)|No such device or address"):
        FolderLock(folder)
    assert victim.read_text() == 'precious'
    assert os.path.lexists(folder / LOCK_FILE)


def test_a_lock_that_was_replaced_is_not_removed(tmp_path):
    lock = FolderLock(tmp_path)
    (tmp_path / LOCK_FILE).unlink()
    assert not lock.is_in_place
    (tmp_path / LOCK_FILE).write_text('process 1 on elsewhere\n')
    assert not lock.is_in_place
    lock.release()
    assert (tmp_path / LOCK_FILE).exists()


def test_half_made_files_of_other_names_are_not_removed(make_trainer):
    Path('out').mkdir()
    names = ['.part-curve.json', '.part-cycle0-ba20.pt', '.part-cycle1-ba40-fast-cycles.pt', '.part-branch-to-4ep.pt']
    for name in (*names, '.part-thesis.tex', '.part-', '.part-cycle0.pt'):
        Path('out', name).write_text('half')
    Path('out/.part-curve-1.json').symlink_to('elsewhere')
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(save_weights=False), max_duration='2ep')
    trainer.fit()
    trainer.close()
    left = sorted(path.name for path in Path('out').iterdir())
    assert left == ['.part-', '.part-curve-1.json', '.part-cycle0.pt', '.part-thesis.tex', 'curve.json']


# A folder or lock that is gone, noticed at the next trough.


def test_a_folder_that_was_removed_is_made_again_with_the_whole_curve(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), At(25, lambda: shutil.rmtree('out'))])
    with pytest.warns(UserWarning, match="folder='out': the folder or its lock was removed while the run wrote to it"):
        trainer.fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert sorted(path.name for path in Path('out').iterdir()) == [
        LOCK_FILE,
        'curve.json',
        'cycle1-ba40.pt',
        'cycle2-ba80.pt',
    ]


def test_a_lock_that_was_removed_is_taken_again(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), At(25, Path('out', LOCK_FILE).unlink)])
    with pytest.warns(UserWarning, match='or its lock was removed') as warned:
        trainer.fit()
    assert len([one for one in warned if 'or its lock' in str(one.message)]) == 1
    assert Path('out', LOCK_FILE).exists()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    trainer.close()
    assert not Path('out', LOCK_FILE).exists()


def test_where_another_run_has_taken_the_folder_training_stops_and_writes_nothing(make_trainer):
    def other_run():
        shutil.rmtree('out')
        Path('out').mkdir()
        Path('out/curve.json').write_text('{}')

    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), At(25, other_run)])
    with pytest.raises(OSError, match=r'training stops at cycle 1 .*its lock is gone, and another run has written'):
        trainer.fit()
    assert trainer.state.timestamp.batch == 40
    assert Path('out/curve.json').read_text() == '{}'
    assert not list(Path('out').glob('*.pt'))


# A point's snapshot, whose name may come from a stranger.


@pytest.mark.parametrize('name', ['../x.pt', '/etc/passwd', 'x.pt', 'a/cycle0-ba20.pt', 'cycle0-ba20.pt\n', ''])
def test_a_checkpoint_is_a_bare_snapshot_name(tmp_path, name):
    with pytest.raises(CurveError, match=r"checkpoint=.*must name a snapshot beside curve.json, as 'cycle0-ba20.pt'"):
        snapshot_path(tmp_path, name)


def test_a_checkpoint_is_a_regular_file(tmp_path):
    with pytest.raises(CurveError, match='is missing, or is not a regular file'):
        snapshot_path(tmp_path, 'cycle0-ba20.pt')
    os.mkfifo(tmp_path / 'cycle0-ba20.pt')
    with pytest.raises(CurveError, match='is missing, or is not a regular file'):
        snapshot_path(tmp_path, 'cycle0-ba20.pt')
    (tmp_path / 'cycle1-ba40.pt').write_text('')
    assert snapshot_path(tmp_path, 'cycle1-ba40.pt') == tmp_path / 'cycle1-ba40.pt'


def test_a_damaged_curve_at_a_resume_is_to_be_moved_away(make_trainer):
    own = {'save_folder': 'own', 'save_interval': '1ep', 'autoresume': True, 'save_overwrite': True}
    first = make_trainer(schedulers=doubling(), callbacks=snapshot(autoresume=True), max_duration='4ep', **own)
    first.fit()
    first.close()
    Path('out/curve.json').write_text('{"half')
    with pytest.raises(CurveError, match=r'curve\.json: .*move it away'):
        make_trainer(schedulers=doubling(), callbacks=snapshot(autoresume=True), **own).fit()
    Path('out/curve.json').rename('damaged.json')
    make_trainer(schedulers=doubling(), callbacks=snapshot(autoresume=True), **own).fit()
    assert [p.batch for p in TradeoffCurve.read('out').points] == [20, 40, 80]
