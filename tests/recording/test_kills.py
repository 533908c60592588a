"""Killed with SIGKILL, again and again, and resumed each time: at the end it is the run that nobody disturbed."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.helpers.killed_runs import ARGUMENTS, LOADER_LENGTH, check_same, check_whole, points, train, train_ranks
from tests.helpers.kills import DONE, WHERE, Kill, moments
from tests.helpers.wandb_runs import Logged, folders


def check_logged_once(killed: Path) -> None:
    """Over all of the run's folders of W&B, each point is one row, and says what the curve says."""
    rows = [row for folder in folders(killed) for row in Logged(folder).points]
    metric = 'eval/MulticlassAccuracy'
    logged = sorted((row['pareto/cycle'], row[f'pareto/{metric}']) for row in rows)
    assert logged == [(point['cycle'], point['metrics'][metric]) for point in points(killed)]


def check_kills(
    tmp_path: Path,
    number: int,
    epochs: int,
    troughs: list[int],
    seed: int,
    ranks: int = 1,
    more_arguments: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    check_end: Callable[[Path], None] = lambda killed: None,
) -> None:
    """Kills a run a number of times; one that ends before all of its kills is compared, and started again."""
    draw, kills = random.Random(seed), Counter()
    arguments = [*ARGUMENTS, f'max_duration={epochs}ep', 'run_name=run', *more_arguments]

    def train_until(folder: Path, kill: Kill | None) -> tuple[int | None, int]:
        """Returns the exit code of the rank that was to be killed, and which one that is."""
        if ranks == 1:
            return train(folder, arguments, kill, environment), 0
        rank = draw.randrange(ranks)
        if kill and rank and kill.phase not in ('warmup', 'start'):
            # Rank 1 neither writes files nor waits for them: it is in training then.
            kill = Kill('training', kill.batch, kill.delay_s)
        return train_ranks(folder, arguments, kill, rank)[rank], rank

    assert train_until(tmp_path / 'whole', None)[0] == 0
    lives = 0
    while kills.total() < number:
        lives += 1
        killed, passed = tmp_path / f'killed{lives}', []
        for kill in moments(draw, number - kills.total(), epochs * LOADER_LENGTH, troughs, batch_s=0.02):
            code, rank = train_until(killed, kill)
            assert code in (-9, 0), f'seed {seed}: {kill} of rank {rank} ended with {code}'
            passed = check_whole(killed, passed)
            if code == 0:
                break
            kills[f'{(killed / f"{WHERE}{rank}").read_text().strip()} of rank {rank}'] += 1
        if not (killed / DONE).exists():
            assert train_until(killed, None)[0] == 0
        check_same(killed, tmp_path / 'whole')
        check_end(killed)
    print(f'\nseed {seed}, {number} kills in {lives} runs: {", ".join(f"{kills[p]} in {p}" for p in sorted(kills))}')


def test_killed_twice(tmp_path):
    check_kills(tmp_path, 2, epochs=8, troughs=[24, 48], seed=secrets.randbelow(10**6))


@pytest.mark.slow
def test_killed_fifty_times(tmp_path):
    check_kills(tmp_path, 50, epochs=64, troughs=[24, 48, 96, 192, 384], seed=secrets.randbelow(10**6))


@pytest.mark.slow
def test_killed_ten_times_weights_and_biases_has_every_point_once(tmp_path):
    check_kills(
        tmp_path,
        10,
        epochs=16,
        troughs=[24, 48, 96],
        seed=secrets.randbelow(10**6),
        more_arguments=['loggers.WandBLogger.project=clr'],
        environment={'WANDB_MODE': 'offline', 'WANDB_SILENT': 'true'},
        check_end=check_logged_once,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    'kind',
    [
        ['schedule.kind=anytime', 'schedule.average={window: 0.5, decay: 1-sqrt}'],
        ['schedule.kind=anytime', 'schedule.average={half_life: 0.25}'],
        ['schedule.kind=schedule-free', 'schedule.schedule_free={name: SGDScheduleFree, lr: 1.0}'],
        ['schedule.kind=schedule-free', 'schedule.schedule_free={name: AdamWScheduleFree, lr: 0.01, arguments: {}}'],
    ],
    ids=['window', 'half-life', 'sgd', 'adamw'],
)
def test_a_run_without_a_decay_killed_six_times(tmp_path, kind):
    pytest.importorskip('schedulefree')
    check_kills(tmp_path, 6, epochs=16, troughs=[24, 48, 96], seed=secrets.randbelow(10**6), more_arguments=kind)


# Two ranks, of which one is killed.


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_launch_and_the_next_one_goes_on(tmp_path):
    arguments = [*ARGUMENTS, 'max_duration=4ep', 'run_name=run']
    (tmp_path / 'killed').mkdir()
    command = [
        str(Path(sys.executable).parent / 'composer'),
        '-n',
        '2',
        '-m',
        'tests.helpers.kills',
        '1',
        'evaluation',
        '24',
        '0',
    ]
    ended = subprocess.run(
        [*command, *arguments],
        cwd=tmp_path / 'killed',
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode != 0
    assert 'Rank 1 crashed with exit code -9' in ended.stdout + ended.stderr
    assert train_ranks(tmp_path / 'killed', arguments) == [0, 0]
    assert train_ranks(tmp_path / 'whole', arguments) == [0, 0]
    check_same(tmp_path / 'killed', tmp_path / 'whole')


@pytest.mark.slow
@pytest.mark.parametrize('seed', [None, 930838], ids=['any-seed', 'kills-after-the-end'])
def test_a_rank_killed_ten_times(tmp_path, seed):
    seed = secrets.randbelow(10**6) if seed is None else seed
    check_kills(tmp_path, 10, epochs=16, troughs=[24, 48], seed=seed, ranks=2)
