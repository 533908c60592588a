"""Trains in processes that can be killed, and compares them with an undisturbed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from composer_clr import TradeoffCurve
from tests.helpers.kills import Kill, train_marked
from tests.helpers.launcher import PROCESSES, rank_environments
from tests.helpers.untimed_points import untimed_points

ARGUMENTS = [
    'quickstart/digits',
    'progress_bar=false',
    'snapshot.folder=out',
    'checkpoint.folder=own',
    'checkpoint.autoresume=true',
]
LOADER_LENGTH = 6


def start(folder: Path, arguments: list[str], kill: Kill | None, environment: dict[str, str] | None = None):
    folder.mkdir(exist_ok=True)
    process = PROCESSES.Process(target=train_marked, args=(folder, arguments, kill, environment))
    process.start()
    return process


def train(
    folder: Path, arguments: list[str], kill: Kill | None = None, environment: dict[str, str] | None = None
) -> int | None:
    """Trains in a separate process until it ends or is killed; returns its exit code."""
    process = start(folder, arguments, kill, environment)
    process.join(300)
    code = process.exitcode
    process.close()
    return code


def train_ranks(folder: Path, arguments: list[str], kill: Kill | None = None, killed_rank: int = 0) -> list[int | None]:
    """Trains on two ranks until both end, or until one is killed and so, as by the launcher, the other."""
    ranks = [
        start(folder, arguments, kill if rank == killed_rank else None, environment)
        for rank, environment in enumerate(rank_environments(2))
    ]
    ranks[killed_rank].join(300)
    other = ranks[1 - killed_rank]
    other.join(300 if ranks[killed_rank].exitcode == 0 else 5)
    if other.exitcode is None:
        other.kill()
        other.join()
    codes = [process.exitcode for process in ranks]
    for process in ranks:
        process.close()
    return codes


def points(folder: Path) -> list[dict[str, Any]]:
    """Returns the points of a run without their times."""
    return untimed_points(folder / 'out')


def same_weights(one: Path, other: Path) -> bool:
    a, b = (torch.load(path, weights_only=True)['state']['model'] for path in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_whole(folder: Path, passed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Checks that a kill leaves every earlier point and only complete snapshots; returns the points."""
    if not (folder / 'out' / 'curve.json').exists():
        assert not passed
        return []
    now = points(folder)
    assert now[: len(passed)] == passed
    for path in (folder / 'out').glob('cycle*.pt'):
        assert torch.load(path, weights_only=True)['state']['model'], path
    assert all((folder / 'out' / point['checkpoint']).exists() for point in now)
    return now


def check_same(killed: Path, whole: Path) -> None:
    """Checks that a killed run equals the undisturbed one: points, all weights, and no further file."""
    assert points(killed) == points(whole)
    files = sorted(path.name for path in (whole / 'out').iterdir())
    assert sorted(path.name for path in (killed / 'out').iterdir()) == files
    assert all(same_weights(killed / 'out' / name, whole / 'out' / name) for name in files if name.endswith('.pt'))
    times = [point.wall_clock_train_s for point in TradeoffCurve.read(killed / 'out').points]
    assert times == sorted(times)
