"""The study runner: the same points as the runs alone, and a fault of one run leaves the others alone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import RecipeRun, planned_runs
from composer_clr.train import main
from composer_clr.training import study
from composer_clr.training.run_process import RunProcess
from composer_clr.training.study import StudyRun, StudyRunner, check_devices
from tests.helpers.curves import point
from tests.helpers.untimed_points import untimed_points

SHORT = ['max_duration=4ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep']
SHORT += ['data={arguments: {train_images: 100, eval_images: 90}, eval_batch_size: 90}']
DIGITS = ['quickstart/digits']


def short_runs(*overrides: str, **options: Any) -> list[RecipeRun]:
    return planned_runs(DIGITS, [*SHORT, *overrides], **options)


@pytest.fixture(scope='module')
def whole_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, StudyRun]]:
    """Runs a study, two runs side by side: three succeed, one diverges, one has no data, one is killed."""
    folder = tmp_path_factory.mktemp('study')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        planned = [
            *short_runs(kinds=['cyclic', 'standard']),
            *short_runs('run_name=diverges', 'optimizer.lr=1e20', kinds=['cyclic']),
            *short_runs('run_name=killed', 'max_duration=64ep', kinds=['cyclic']),
            *planned_runs(['resnet56_cifar10/baseline'], ['data.path=nowhere', 'run_name=no-data'], kinds=['cyclic']),
        ]
        runner = StudyRunner(planned, jobs=2)

        def kill() -> None:
            for run in runner.running:
                if run.name == 'killed' and run.points and run.process is not None:
                    run.process.send(signal.SIGKILL)

        runner.run(kill)
    return folder, {run.name: run for run in runner.runs}


def test_the_others_are_complete_and_each_failure_has_its_reason(whole_study):
    _, runs = whole_study
    reasons = {name: run.reason for name, run in runs.items() if run.state == 'failed'}
    assert reasons.keys() == {'diverges', 'no-data', 'killed'}
    assert reasons['diverges'].startswith('diverged by epoch ')
    assert 'nowhere: does not hold all of CIFAR-10' in reasons['no-data']
    assert reasons['killed'] == 'killed by SIGKILL, which the kernel sends when memory runs out'
    assert [run.state for run in runs.values()].count('done') == len(runs) - 3


def test_points_and_weights_are_those_of_the_commands_that_sweep_prints(whole_study, tmp_path, monkeypatch):
    folder, runs = whole_study
    monkeypatch.chdir(tmp_path)
    for run in runs.values():
        if run.state != 'done':
            continue
        assert main([*run.planned.command_line([], resumed=False)[1:], 'progress_bar=false']) == 0
        alone, in_study = tmp_path / run.planned.folder, folder / run.planned.folder
        assert untimed_points(in_study) == untimed_points(alone)
        for file in alone.glob('*.pt'):
            a, b = (torch.load(each / file.name, weights_only=True)['state']['model'] for each in (alone, in_study))
            assert all(torch.equal(a[name], b[name]) for name in a)


def test_output_is_in_the_runs_folder_and_no_checkpoints_are_left_of_complete_runs(whole_study):
    folder, runs = whole_study
    for run in runs.values():
        assert '$ python -m composer_clr.train' in (folder / run.log).read_text().splitlines()[0]
        assert run.log.parent == Path(run.planned.folder)
        assert not (folder / run.planned.folder / 'checkpoints').exists() or run.state == 'failed'


def test_called_again_only_the_failed_runs_run_and_one_that_diverged_is_named_again(whole_study, monkeypatch):
    folder, runs = whole_study
    monkeypatch.chdir(folder)
    again = StudyRunner([run.planned for run in runs.values()])
    states = {run.name: run.state for run in again.runs}
    assert states.pop('diverges') == 'failed'
    assert states.pop('no-data') == states.pop('killed') == 'waiting'
    assert set(states.values()) == {'done'}


def test_branches_wait_for_their_trunk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = short_runs('schedule.t_hold=0.5', kinds=['branch'])
    runner = StudyRunner(planned, jobs=4)
    trunk, *branches = runner.runs
    assert runner._next() is trunk
    trunk.state = 'running'
    assert runner._next() is None
    trunk.state = 'done'
    assert runner._next() in branches
    trunk.state = 'failed'
    assert runner._next() is None
    assert {run.reason for run in branches} == {f'the trunk that it branches off failed: {trunk.name}'}


@pytest.mark.parametrize(
    ('jobs', 'ranks', 'devices', 'expected'),
    [
        (2, 1, [], [None, None]),
        (2, 1, ['0', '1'], ['0', '1']),
        (4, 1, ['2', '5'], ['2', '5', '2', '5']),
        (2, 2, ['0', '1', '2', '3'], ['0,1', '2,3']),
        (1, 2, ['0', '1', '2'], ['0,1']),
    ],
)
def test_devices_are_shared_out(jobs, ranks, devices, expected):
    runner = StudyRunner([], jobs=jobs, ranks=ranks, devices=devices)
    assert runner._slots == expected


def test_devices_that_pytorch_does_not_find_are_refused(monkeypatch):
    monkeypatch.setattr(study, '_COUNT_GPUS', 'import os; print(os.environ["CUDA_VISIBLE_DEVICES"].count("0"))')
    check_devices(['0'])
    with pytest.raises(RecipeError, match='--devices 0,1: PyTorch finds 1 of these 2 GPUs: name those that nvidia-smi'):
        check_devices(['0', '1'])


def test_fewer_devices_than_ranks_are_refused():
    with pytest.raises(RecipeError, match='--devices 0,1: a run of 4 ranks needs 4 GPUs'):
        StudyRunner([], ranks=4, devices=['0', '1'])


def test_the_longest_run_starts_first_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = short_runs(kinds=['standard'])
    lengths = [run.troughs[-1] for run in planned]
    assert StudyRunner(planned)._next().planned.troughs[-1] == lengths[0]  # type: ignore[union-attr]
    assert StudyRunner(planned, jobs=2)._next().planned.troughs[-1] == max(lengths)  # type: ignore[union-attr]


def test_a_run_that_another_runner_has_completed_meanwhile_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (planned,) = short_runs('max_duration=2ep', kinds=['cyclic'])
    runner = StudyRunner([planned])
    run = Run(planned.run_name, planned.curve_kind, 'baseline')
    Path(planned.folder).mkdir(parents=True)
    TradeoffCurve(run, [point(epoch=2.0)]).write(Path(planned.folder, 'curve.json'))
    runner.run(lambda: None)
    assert [run.state for run in runner.runs] == ['done']
    assert not runner.runs[0].log.exists()


def test_a_run_waits_for_the_process_that_writes_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (planned,) = short_runs('max_duration=2ep', kinds=['cyclic'])
    folder = Path(planned.folder)
    folder.mkdir(parents=True)
    code = f'import time; from composer_clr.recording.folder_lock import *; l = FolderLock({folder!r}); '
    hold = ['-c', f'from pathlib import *; {code} print(flush=True); time.sleep(60)']
    reasons, completed = [], TradeoffCurve(Run(planned.run_name, 'cyclic', 'baseline'), [point(epoch=2.0)])
    with subprocess.Popen([sys.executable, *hold], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        runner = StudyRunner([planned])

        def end() -> None:
            reasons.append(runner.runs[0].reason)
            completed.write(folder / 'curve.json')
            holder.kill()

        runner.run(end)
    assert re.fullmatch(rf"waits for .* \(folder='.*' is .* by a live run \(process {holder.pid} on .*\)\)", reasons[0])
    assert (runner.runs[0].state, runner.runs[0].reason) == ('done', '')
    assert not runner.runs[0].log.exists()


@pytest.mark.slow
def test_two_runners_started_together_share_the_study_and_one_survives_the_end_of_its_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    planned = short_runs('max_duration=16ep', 'schedule.t_0=2ep', kinds=['standard'])
    code = 'import sys; from composer_clr.cli.app import main; main()'
    words = ['run', *DIGITS, *SHORT, 'max_duration=16ep', 'schedule.t_0=2ep', '--kinds', 'standard']
    other = subprocess.Popen([sys.executable, '-c', code, *words], stdout=subprocess.PIPE, text=True)
    runner = StudyRunner(planned)
    killed = []

    def kill_the_server() -> None:
        server = runner._server._process
        if server is not None and not killed and any(run.process and run.process.pid for run in runner.running):
            killed.append(server.pid)
            server.kill()

    runner.run(kill_the_server)
    output, _ = other.communicate(timeout=120)
    assert other.returncode == 0, output
    assert killed
    assert [run.state for run in runner.runs] == ['done'] * len(planned)
    starts = [run.log.read_text().count('$ python -m') for run in runner.runs]
    # One each, and one again after the end of the server.
    assert sorted(starts) == [1] * (len(planned) - 1) + [2]
    assert not any((tmp_path / 'temporary').iterdir())


def test_a_folder_that_cannot_be_written_to_fails_its_run_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    planned = [replace(run, folder='file/below') for run in short_runs(kinds=['cyclic'])]
    runner = StudyRunner(planned)
    runner.run(lambda: None)
    assert runner.runs[0].state == 'failed'
    assert runner.runs[0].reason.startswith('cannot be started: ')


def test_the_time_of_a_run_is_without_the_imports_before_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    times_s: list[float] = []
    monkeypatch.setattr(study.time, 'monotonic', lambda: times_s[-1])
    (planned,) = short_runs(kinds=['cyclic'])
    process = RunProcess()
    run = StudyRun(planned, 'running', process=process)

    def follow(time_s: float) -> None:
        times_s.append(time_s)
        run.follow()

    follow(6.0)
    process.pid = 1
    follow(10.0)
    assert (run.seconds, run.since_s) == (4.0, 4.0)
    recorded = TradeoffCurve(Run('a', 'cyclic', 'baseline'), [point(epoch=2.0, wall_clock_total_s=3.0)])
    Path(planned.folder).mkdir(parents=True)
    recorded.write(Path(planned.folder, 'curve.json'))
    follow(11.0)
    follow(13.0)
    assert (run.seconds, run.since_s, run.points, run.pace_s) == (7.0, 2.0, 1, 1.5)
