"""A study of one's own script: started, checked, ended and started again. The script is a program of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from composer_clr.cli.app import main
from composer_clr.curves.curve import TradeoffCurve
from tests.helpers.own_script import FAKE, FAKE_COMMAND, REAL, REAL_COMMAND
from tests.helpers.slurm import commands
from tests.helpers.untimed_points import untimed_points, untimed_points_by_run

SCHEDULE = ['--max-duration', '4ep', '--t-0', '1ep', '--t-warmup', '1ep']
STUDY = ['cyclic-4ep', 'standard-2ep', 'standard-4ep']


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # The program that a shell would find is this Python.
    monkeypatch.setenv('PATH', f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    (tmp_path / 'fake.py').write_text(FAKE)
    (tmp_path / 'train.py').write_text(REAL)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Returns a function that runs a command, and returns its status, its output and its errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr('sys.argv', ['composer-clr', *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def study(command: str = FAKE_COMMAND, *options: str) -> list[str]:
    return ['run', '--command', command, *SCHEDULE, '--no-page', *options]


def test_runs_are_trained_once_and_one_seed_more_makes_only_the_new_ones(call):
    status, said, errors = call(*study(FAKE_COMMAND, '-j', '3'))
    assert (status, said.splitlines()[0], errors) == (0, '3 runs', '')
    assert sorted(untimed_points_by_run(Path('runs'))) == [f'{run}-seed17' for run in STUDY]
    assert said.splitlines()[-1] == 'curves: runs (composer-clr compare runs)'
    times = {file: file.stat().st_mtime_ns for file in Path('runs').rglob('*')}
    status, said, _ = call(*study(FAKE_COMMAND, '-j', '3', '--seeds', '17,18'))
    assert (status, said.splitlines()[0]) == (0, '6 runs, 3 of them complete')
    assert times == {file: file.stat().st_mtime_ns for file in times}
    assert call(*study(FAKE_COMMAND, '--seeds', '17,18'))[1].splitlines()[0] == '6 runs, 6 of them complete'
    log = Path('runs/cyclic-4ep-seed18/train.log').read_text()
    assert log.splitlines()[0].endswith('$ python fake.py cyclic 18 4ep runs/cyclic-4ep-seed18')
    settings = TradeoffCurve.read('runs/cyclic-4ep-seed18').run.settings
    assert settings is not None
    assert settings['command'] == FAKE_COMMAND


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ('{{"kind": "standard"}}', 'holds the curve of another run, baseline, standard, '),
        ('{{"method": "LS", "seed": 3}}', 'complete with seed 3, not 17: give {seed} to the Trainer'),
        ('{{"epochs": [2]}}', 'ended with 1 of 2 points'),
        ('{{"epochs": [1, 4]}}', 'holds the curve of another run, baseline, cyclic, with points at [1.0, 4.0], not of'),
        ('{{"settings": {{"schedule.warmup": "0ba"}}}}', 'complete with the warmup at 0ba, not 1ep'),
        ('[', 'JSONDecodeError: '),
    ],
    ids=str,
)
def test_a_script_that_does_something_else_fails_with_what_it_did(call, changes, reason):
    status, said, _ = call(*study(f"{FAKE_COMMAND} '{changes}'", '--kinds', 'cyclic'))
    assert status == 1
    (line,) = [line for line in said.splitlines() if line.startswith('  cyclic-4ep-seed17: ')]
    assert reason in line


def test_the_curve_is_looked_for_where_it_is_expected(call):
    elsewhere = 'python fake.py {kind} {seed} {max_duration} '
    status, said, _ = call(*study(f'{elsewhere} {{run_name}}/pareto', '--kinds', 'cyclic'))
    found = "but cyclic-4ep-seed17/pareto has one: pass --folder '{run_name}/pareto'"
    assert (status, f'ended without runs/cyclic-4ep-seed17/curve.json, {found}' in said) == (1, True)
    options = ['--folder', '{run_name}/pareto', '--kinds', 'cyclic']
    assert call(*study(f'{elsewhere} {{run_name}}/pareto', *options))[0] == 0
    status, said, _ = call(*study('python -c 0 {kind}', '--kinds', 'cyclic', '--seeds', '18'))
    assert (status, 'ended without runs/cyclic-4ep-seed18/curve.json: give the ParetoSnapshot' in said) == (1, True)


def test_another_command_is_refused_in_the_same_folders_and_a_method_gives_it_others(call):
    lower, higher = (f'{FAKE_COMMAND} \'{{{{"parameters": {value}}}}}\'' for value in (1, 2))
    assert call(*study(lower, '--kinds', 'cyclic'))[0] == 0
    status, _, errors = call(*study(higher, '--kinds', 'cyclic'))
    assert (status, errors.count('\n')) == (2, 1)
    assert errors.startswith("composer-clr: runs/cyclic-4ep-seed17: complete under command='python fake.py ")
    # The script has to take the method on.
    status, said, _ = call(*study(higher, '--kinds', 'cyclic', '--method', 'b'))
    assert (status, 'another run, baseline, cyclic, ' in said) == (1, True)
    assert call(*study(f'{FAKE_COMMAND} \'{{{{"method": "{{method}}"}}}}\'', '--method', 'c'))[0] == 0
    assert TradeoffCurve.read('runs/c-cyclic-4ep-seed17').run.method == 'c'


def test_what_the_runs_differ_in_is_said_at_the_end(call):
    # A rate that follows the kind, as scripts of the user's have it.
    differs = FAKE.replace("'command':", "'optimizer.lr': len(kind), 'command':")
    Path('fake.py').write_text(differs)
    status, _, errors = call(*study())
    assert (status, errors) == (
        0,
        'composer-clr: baseline: cyclic runs have optimizer.lr=6, standard runs 8: a gap is not that of the schedules '
        'alone\n',
    )


def test_what_sweep_prints_trains_the_same_and_is_complete_for_run(call):
    words = study()[1:-1]
    status, said, _ = call('sweep', *words)
    assert (status, len(said.splitlines())) == (0, 3)
    subprocess.run(['sh', '-e'], input=said, text=True, check=True)
    assert call('sweep', *words) == (0, '', '')
    assert call(*study())[1].splitlines()[0] == '3 runs, 3 of them complete'
    status, _, errors = call('sweep', *[word.replace('fake.py', './fake.py') for word in words])
    assert (status, 'complete under command=' in errors) == (2, True)


def test_jobs_of_slurm_are_the_same_commands(call):
    status, said, _ = call(*study(FAKE_COMMAND, '--slurm', 'jobs', '--sbatch', '--gres=gpu:2'))
    assert (status, said) == (0, '3 of 3 runs: sbatch jobs/study-1.sbatch\n')
    script = Path('jobs/study-1.sbatch').read_text()
    assert 'cpus-per-task' not in script
    printed = [shlex.split(line) for line in call('sweep', *study()[1:-1])[1].splitlines()]
    assert commands('jobs/study-1.sbatch') == printed
    assert '  run cyclic-4ep-seed17 runs/cyclic-4ep-seed17/checkpoints env ' in script


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (study(FAKE_COMMAND, '--ranks', '2'), '--ranks 2: starts ranks, which only a recipe can'),
        (study(FAKE_COMMAND, '--race'), '--race: stops a run, which only a recipe can'),
        (study('no-such-program {kind} {max_duration}'), "--command: 'no-such-program' is no program here"),
        (study('python {kind} {max_duration} {what}'), '--command: {what} in'),
        (study("python 'fake.py"), 'No closing quotation'),
        (study(FAKE_COMMAND, 'quickstart/digits'), 'quickstart/digits: is for recipes, not for --command'),
        (study(FAKE_COMMAND, '--methods', 'LS'), '--methods: is for recipes'),
        (study(FAKE_COMMAND, '--code', 'm.py'), '--code m.py: is for recipes'),
        (['run', '--command', FAKE_COMMAND, '--t-0', '1ep'], '--command: pass --max-duration'),
        (['run', 'quickstart/digits', '--t-0', '1ep'], '--t-0 1ep: is for --command: recipes have keys'),
        (['sweep', 'quickstart/digits', '--folder', 'a'], '--folder a: is for --command'),
        (['sweep', *study()[1:-1], '--launcher', 'composer -m'], "--launcher 'composer -m': is for recipes"),
        (['run'], 'no recipe is named: name one, such as quickstart/digits, or pass --command'),
    ],
    ids=lambda value: ' '.join(value[-2:]) if isinstance(value, list) else '',
)
def test_refusals_are_one_line_and_start_nothing(call, words, message):
    status, said, errors = call(*words)
    assert (status, said, errors.count('\n')) == (2, '', 1)
    assert message in errors
    assert not Path('runs').exists()


def test_gpus_are_shared_out_between_the_runs_side_by_side(call, monkeypatch):
    monkeypatch.setattr('composer_clr.training.study._COUNT_GPUS', 'print(4)')
    Path('fake.py').write_text(f'{FAKE}\nPath(folder, "gpus").write_text(os.environ["CUDA_VISIBLE_DEVICES"])')
    assert call(*study(FAKE_COMMAND, '--devices', '0,1,2,3', '-j', '2', '--kinds', 'cyclic', '--seeds', '1,2'))[0] == 0
    assert {file.read_text() for file in Path('runs').rglob('gpus')} == {'0,1', '2,3'}


def started(*options: str) -> subprocess.Popen[str]:
    program = [str(Path(sys.executable).parent / 'composer-clr'), *study(*options)]
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
open('ready', 'w').write(str(child.pid))
time.sleep(600)
"""


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_processes_of_a_command_end_with_the_runner(number):
    Path('sleeper.py').write_text(SLEEPER)
    runner = started('python sleeper.py {kind}', '--kinds', 'cyclic')
    until = time.monotonic() + 60
    while not (Path('ready').exists() and Path('ready').read_text()):
        assert runner.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    family = psutil.Process(runner.pid).children(recursive=True)
    assert len(family) == 3
    os.kill(runner.pid, number)
    said, _ = runner.communicate(timeout=30)
    assert runner.returncode == (-number if number is signal.SIGKILL else 128 + number)
    assert ('the same command continues' in said) == (number is not signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_real_script_killed_and_started_again_makes_the_curves_of_the_script_started_by_hand(call, here):
    options = [REAL_COMMAND, '-j', '2', '--seeds', '1,2']
    runner = started(*options)
    until = time.monotonic() + 300
    while not any(here.rglob('curve.json')):
        assert runner.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    family = psutil.Process(runner.pid).children(recursive=True)
    runner.kill()
    runner.communicate()
    psutil.wait_procs(family, timeout=20)
    status, said, errors = call(*study(*options))
    assert (status, errors) == (0, ''), said
    runs = untimed_points_by_run(here / 'runs')
    assert len(runs) == 6
    for run, kind, seed, duration in (
        ('cyclic-4ep-seed1', 'cyclic', 1, '4ep'),
        ('standard-2ep-seed2', 'standard', 2, '2ep'),
    ):
        values = {'kind': kind, 'seed': seed, 'max_duration': duration, 'folder': 'by-hand'}
        subprocess.run(shlex.split(REAL_COMMAND.format(**values)), check=True, capture_output=True)
        assert untimed_points(here / 'by-hand') == runs[run]
        Path('by-hand').rename(f'by-hand-{run}')
    # The first point of the cyclic run is the standard run's.
    first, standard = (runs[f'{run}-seed1'][0]['metrics'] for run in STUDY[:2])
    assert first == standard
    assert call(*study(*options))[1].splitlines()[0] == '6 runs, 6 of them complete'
    assert call('compare', 'runs')[0] == 0
