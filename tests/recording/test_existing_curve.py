"""What becomes of a curve that is in the folder already, and of a folder that another process has."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr import ParetoSnapshot
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.recording.folder_lock import LOCK_FILE, FolderInUseError, FolderLock
from composer_clr.recording.run_folder import RunFolder
from tests.helpers.curves import point
from tests.helpers.launcher import PROCESSES
from tests.helpers.recorded_runs import doubling

RUN = Run(
    'mine', 'cyclic', 'baseline', started_at='2022-06-02T00:00:00+00:00', schedule={'t_0': '8ep', 'troughs': [10, 20]}
)
LATER_START = replace(RUN, started_at='2022-06-03T00:00:00+00:00')
OTHER = replace(RUN, run_name='other')


def made(run: Run, *cycles: int, time_s: float = 1.0) -> TradeoffCurve:
    return TradeoffCurve(run, [point(cycle, wall_clock_train_s=time_s) for cycle in cycles])


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(str(tmp_path / 'run'))
    folder.prepare()
    yield folder
    folder.close()


def recorded(folder: RunFolder, name: str = 'curve.json') -> tuple[str | None, list[tuple[int, float]]]:
    """Returns when the run in a file started, and the cycle and time of its points."""
    kept = folder.curve(name)
    assert kept is not None
    return kept.run.started_at, [(p.cycle, p.wall_clock_train_s) for p in kept.points]


def start(folder: RunFolder, curve: TradeoffCurve, **how: bool) -> None:
    folder.take_over(curve, **{'resumed': False, 'overwrite': False, 'autoresume': False, **how})


@pytest.mark.parametrize('found', [None, made(OTHER)], ids=['nothing', 'no-points'])
@pytest.mark.parametrize('resumed', [False, True])
def test_nothing_in_the_way(folder, found, resumed):
    if found is not None:
        folder.write_curve(found)
    points = (0, 1) if resumed else ()
    start(folder, made(RUN, *points), resumed=resumed)
    assert recorded(folder) == (RUN.started_at, [(c, 1.0) for c in points])


@pytest.mark.parametrize('overwrite', [False, True])
def test_resumed_the_checkpoints_points_win_and_later_ones_stay(folder, overwrite):
    folder.write_curve(made(RUN, 0, 1, 2, 3, time_s=9.0))
    start(folder, made(RUN, 0, 1), resumed=True, overwrite=overwrite)
    assert recorded(folder) == (RUN.started_at, [(0, 1.0), (1, 1.0), (2, 9.0), (3, 9.0)])
    # The next point takes the place of its own; the one after it is still there.
    folder.write_curve(made(RUN, 0, 1, 2))
    assert recorded(folder)[1] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 9.0)]


def test_resumed_as_another_run_of_the_name_keeps_points_of_its_own_aside(folder):
    folder.write_curve(made(replace(RUN, schedule={'t_0': '4ep', 'troughs': [5, 10, 20]}), 0, 1, 2, time_s=9.0))
    with pytest.warns(UserWarning, match='curve.json there, with 3 points, was recorded under .* kept as curve-1.json'):
        start(folder, made(RUN, 0), resumed=True)
    assert recorded(folder) == (RUN.started_at, [(0, 1.0)])
    assert recorded(folder, 'curve-1.json') == (RUN.started_at, [(0, 9.0), (1, 9.0), (2, 9.0)])


@pytest.mark.parametrize('overwrite', [False, True])
def test_without_a_checkpoint_autoresume_keeps_its_own_curve_aside_and_starts_over(folder, overwrite):
    for number in (1, 2):
        folder.write_curve(made(RUN, 0, time_s=number))
        with pytest.warns(UserWarning, match=f'no checkpoint to resume from.*starts over.*kept as curve-{number}.json'):
            start(folder, made(LATER_START), autoresume=True, overwrite=overwrite)
        assert recorded(folder) == (LATER_START.started_at, [])
        assert recorded(folder, f'curve-{number}.json') == (RUN.started_at, [(0, number)])


@pytest.mark.parametrize(
    ('then', 'now', 'difference'),
    [
        ({'settings': {'optimizer.lr': 0.2}}, {'settings': {'optimizer.lr': 0.05}}, 'optimizer.lr=0.2, now 0.05'),
        ({'schedule': {'t_0': '8ep', 'alpha_f': 0.1}}, {}, 'schedule.alpha_f=0.1, now 0.0'),
        ({'method': 'BP'}, {'settings': {}}, "method='BP', now 'baseline'"),
    ],
)
def test_a_curve_of_other_settings_is_not_started_over(folder, then, now, difference):
    found, run = replace(RUN, **then), replace(RUN, **now)
    folder.write_curve(made(found, 0))
    with pytest.raises(FileExistsError, match=f'other settings: {difference}: name another folder or run_name, or set'):
        start(folder, made(run), autoresume=True)
    assert recorded(folder)[1] == [(0, 1.0)]
    with pytest.warns(UserWarning, match='starts over: it is kept as curve-1.json'):
        start(folder, made(run), autoresume=True, overwrite=True)
    assert recorded(folder)[1] == []


def test_another_pace_and_what_is_not_known_are_no_other_settings(folder):
    folder.write_curve(made(replace(RUN, settings={'device': 'a', 'optimizer.lr': 0.2}, world_size=1), 0))
    now = replace(RUN, settings={'device': 'b', 'optimizer.lr': 0.2, 'loss': 'mse'}, world_size=2, seed=18)
    with pytest.warns(UserWarning, match='starts over'):
        start(folder, made(now), autoresume=True)


@pytest.mark.parametrize('how', [{}, {'autoresume': True}, {'resumed': True}], ids=['new', 'autoresume', 'resumed'])
def test_another_runs_curve_is_replaced_with_overwrite_alone(folder, how):
    folder.write_curve(made(OTHER, 0, 1))
    with pytest.raises(
        FileExistsError, match="already holds the curve.json of run 'other' with 2 points: name another"
    ):
        start(folder, made(RUN), **how)
    assert recorded(folder)[1] == [(0, 1.0), (1, 1.0)]
    start(folder, made(RUN), overwrite=True, **how)
    assert recorded(folder)[1] == []


@pytest.mark.parametrize('how', [{}, {'autoresume': True}, {'resumed': True}])
def test_a_file_that_is_no_curve(folder, tmp_path, how):
    (tmp_path / 'run' / 'curve.json').write_text('{}')
    with pytest.raises(CurveError, match=r'curve\.json: not a curve'):
        start(folder, made(RUN), **how)
    start(folder, made(RUN), overwrite=True, **how)
    assert recorded(folder) == (RUN.started_at, [])


@pytest.mark.parametrize('exists', [True, False])
def test_a_folder_that_may_not_be_written_to_is_one_line(make_trainer, monkeypatch, exists):
    # Simulated, since a superuser may write anywhere.
    refused = PermissionError(13, 'Permission denied')

    def refuse(*_, **__):
        raise refused

    if exists:
        Path('out').mkdir()
        monkeypatch.setattr('composer_clr.recording.folder_lock.os.open', refuse)
    else:
        monkeypatch.setattr('composer_clr.recording.run_folder.Path.mkdir', refuse)
    match = r"folder='.*out' cannot be (created|written to) \(Permission denied\): name a folder that this user may"
    with pytest.raises(PermissionError, match=match) as raised:
        make_trainer(schedulers=doubling(), callbacks=ParetoSnapshot(folder='out')).fit()
    assert '\n' not in str(raised.value)


def test_a_store_that_composer_does_not_know_is_one_line():
    with pytest.raises(
        ValueError, match="folder='nfs://x/y': Composer has no such object store: name a local folder, or"
    ):
        RunFolder('nfs://x/y')


# Locks. A process of its own holds them: within one process the newest takes over.


def _hold(folder: str, holds, let_go) -> None:
    lock = FolderLock(Path(folder))
    holds.set()
    let_go.wait(60)
    lock.release()


@pytest.fixture
def holder(tmp_path):
    """Another live process that has the folder; setting the event ends it."""
    holds, let_go = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=_hold, args=(str(tmp_path), holds, let_go))
    process.start()
    assert holds.wait(60)
    yield process, let_go
    if process.is_alive():
        # Killed while it waits, it may have taken the event's own lock with it.
        let_go.set()
    process.join(60)
    process.close()


def test_a_folder_that_a_live_process_has_is_refused(holder, tmp_path):
    process, let_go = holder
    with pytest.raises(FolderInUseError, match=f'being written to by a live run \\(process {process.pid} on .*wait'):
        FolderLock(tmp_path)
    with pytest.raises(FolderInUseError):
        RunFolder(str(tmp_path)).prepare()
    let_go.set()
    process.join(60)
    assert not list(tmp_path.iterdir())
    FolderLock(tmp_path).release()


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    process, _ = holder
    process.kill()
    process.join(60)
    assert [p.name for p in tmp_path.iterdir()] == [LOCK_FILE]
    FolderLock(tmp_path).release()
    assert not list(tmp_path.iterdir())


def test_a_worker_process_that_outlives_its_parent_keeps_nobody_out(tmp_path):
    def parent(write: int) -> None:
        FolderLock(tmp_path)
        worker = os.fork()
        if worker == 0:
            signal.pause()
        os.write(write, str(worker).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        parent(write)
    os.close(write)
    os.waitpid(process, 0)
    worker = int(os.read(read, 20))
    os.close(read)
    try:
        FolderLock(tmp_path).release()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_within_a_process_the_newest_takes_over(holder, tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    first, second = FolderLock(folder), FolderLock(folder)
    first.release()
    assert (folder / LOCK_FILE).exists()
    assert f'process {os.getpid()} on' in (folder / LOCK_FILE).read_text()
    second.release()
    second.release()
    assert not list(folder.iterdir())


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch):
    def none_here(*_):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.lockf', none_here)
    with pytest.warns(UserWarning, match='cannot be locked .*No locks available.*no two runs write to it'):
        lock = FolderLock(tmp_path)
    lock.release()
