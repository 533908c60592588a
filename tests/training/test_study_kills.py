"""The runner and its processes killed at random moments: the same command finishes the study."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers.untimed_points import untimed_points_by_run

COMMAND = [
    str(Path(sys.executable).parent / 'composer-clr'),
    'run',
    'quickstart/digits',
    'max_duration=16ep',
    'schedule.t_0=2ep',
    'checkpoint.interval=1ep',
    '--seeds',
    '1',
]
STUDY = ['cyclic-16ep', 'standard-4ep', 'standard-8ep', 'standard-16ep']


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str], timeout_s: float = 300) -> tuple[int, str]:
    output, _ = process.communicate(timeout=timeout_s)
    return process.returncode, output


def processes_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        runner = psutil.Process(process.pid)
        return [runner, *runner.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(processes: list[psutil.Process], timeout_s: float = 20) -> None:
    until = time.monotonic() + timeout_s
    while left := [process for process in processes if alive(process)]:
        assert time.monotonic() < until, f'still running: {left}'
        time.sleep(0.1)


def running(folder: Path) -> bool:
    return any(folder.rglob('curve.json'))


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[dict[str, Any]]], float]:
    """Runs the study undisturbed; returns its points and how long it took."""
    folder = tmp_path_factory.mktemp('whole')
    began_s = time.monotonic()
    status, output = finished(started(folder, '-j', '2'))
    assert status == 0, output
    assert output.splitlines()[0] == '4 runs'
    assert output.splitlines()[4].startswith('4/4 ')
    found = untimed_points_by_run(folder)
    assert sorted(found) == sorted(f'digits-baseline-{run}-seed1' for run in STUDY)
    return found, time.monotonic() - began_s


@pytest.mark.slow
def test_kills_at_random_moments(whole, tmp_path):
    expected, took_s = whole
    draw = random.Random(14)
    for kill in range(20):
        process = started(tmp_path, '-j', '2')
        time.sleep(draw.uniform(0, took_s))
        family = processes_of(process)
        if process.poll() is None and family:
            victim = family[0] if kill % 2 else draw.choice(family)
            victim.kill()
            if victim.pid == process.pid:
                process.wait()
                wait_for_end(family[1:])
        finished(process)
        for run, now in untimed_points_by_run(tmp_path).items():
            assert [point['cycle'] for point in now] == list(range(len(now))), run
    status, output = finished(started(tmp_path, '-j', '2'))
    assert status == 0, output
    assert untimed_points_by_run(tmp_path) == expected
    status, output = finished(started(tmp_path))
    first, _, *table, curves, _ = output.splitlines()
    assert (status, first) == (0, '4 runs, 4 of them complete')
    # Nothing was trained: 1 cyclic run and 3 standard ones, in no time.
    assert [line.split()[-3:] for line in table] == [['1', 'done', '0:00:00'], ['3', 'done', '0:00:00']]
    assert curves == 'curves: runs/quickstart (composer-clr compare runs/quickstart)'


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_and_the_same_command_continues(whole, tmp_path, number):
    expected, _ = whole
    process = started(tmp_path, '-j', '2')
    while process.poll() is None and not running(tmp_path):
        time.sleep(0.05)
    family = processes_of(process)
    os.kill(process.pid, number)
    status, output = finished(process, 60)
    assert status == 128 + number
    assert f'interrupted by {signal.Signals(number).name} with ' in output
    assert 'the same command continues' in output
    wait_for_end(family[1:])
    status, output = finished(started(tmp_path))
    assert status == 0, output
    assert untimed_points_by_run(tmp_path) == expected


@pytest.mark.slow
def test_a_signal_while_the_imports_run(tmp_path):
    process = started(tmp_path)
    while not any(tmp_path.rglob('train.log')):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert finished(process, 20)[0] == 128 + signal.SIGTERM


@pytest.mark.slow
def test_several_ranks_through_the_launcher(whole, tmp_path):
    expected, _ = whole
    process = started(tmp_path, '--kinds', 'cyclic', '--ranks', '2')
    while process.poll() is None and not running(tmp_path):
        time.sleep(0.05)
    family = processes_of(process)
    process.kill()
    finished(process)
    wait_for_end(family[1:])
    status, output = finished(started(tmp_path, '--kinds', 'cyclic', '--ranks', '2'))
    assert status == 0, output
    (now,) = untimed_points_by_run(tmp_path).values()
    assert [point['epoch'] for point in now] == [point['epoch'] for point in next(iter(expected.values()))]


RACE = ['max_duration=32ep', 'schedule.t_0=1ep', 'schedule.t_warmup=1ep', 'data.arguments.train_images=100']
RACE += [
    '--methods',
    'baseline, LS+MX, slow: optimizer.lr=0.01, slower: optimizer.lr=0.002',
    '--kinds',
    'cyclic',
    '-j',
    '2',
]


def decisions(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns why runs were stopped, by their names, without when they had started."""
    records = {file.parent.name: json.loads(file.read_text()) for file in folder.rglob('race.json')}
    return {run: {**record, 'started_at': None} for run, record in records.items()}


@pytest.mark.slow
def test_a_race_killed_at_random_moments_stops_the_same_and_ends_with_the_points_of_the_undisturbed_runs(tmp_path):
    whole, raced, killed = (tmp_path / name for name in ('whole', 'raced', 'killed'))
    for folder in (whole, raced, killed):
        folder.mkdir()
    status, output = finished(started(whole, *RACE))
    assert status == 0, output
    expected = untimed_points_by_run(whole)
    began_s = time.monotonic()
    status, output = finished(started(raced, *RACE, '--race', '--sigma', '0.2'))
    assert status == 0, output
    took_s = time.monotonic() - began_s
    decided = decisions(raced)
    points = untimed_points_by_run(raced)
    assert 0 < len(decided) < len(points) == 4
    for run, of_run in points.items():
        # A stopped run has the first points of the undisturbed one.
        assert of_run == expected[run][: len(of_run)]
        assert (len(of_run) < 5) == (run in decided)
    draw = random.Random(23)
    for _ in range(4):
        process = started(killed, *RACE, '--race', '--sigma', '0.2')
        time.sleep(draw.uniform(0, took_s))
        family = processes_of(process)
        process.kill()
        finished(process)
        wait_for_end(family[1:])
    status, output = finished(started(killed, *RACE, '--race', '--sigma', '0.2'))
    assert status == 0, output
    assert untimed_points_by_run(killed) == points
    assert decisions(killed) == decided
    status, output = finished(started(killed, *RACE))
    assert status == 0, output
    assert untimed_points_by_run(killed) == expected
