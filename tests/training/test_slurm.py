"""A study as a job array: the text, and with a real Slurm on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs
from composer_clr.training.slurm import write_job_arrays

SHORT = ['max_duration=4ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep', 'data.arguments.train_images=100']
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch')


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    (tmp_path / 'a study').mkdir()
    monkeypatch.chdir(tmp_path / 'a study')


def study(*overrides: str, **options):
    return planned_runs(['quickstart/digits'], [*SHORT, *overrides], **options)


def written(planned, **options) -> str:
    """Writes an array, and returns its script."""
    number, submit = write_job_arrays(planned, Path('jobs'), **options)
    assert number == len(planned)
    assert submit.startswith('sbatch ')
    return Path(submit.removeprefix('sbatch ')).read_text()


def task(script: Path, number: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a job of an array as Slurm would, with a program in place of the training that prints its arguments."""
    printing = script.with_name('printing.sh')
    printing.write_text(script.read_text().replace(f' {sys.executable} ', " printf '%s\\n' "))
    environment = {**os.environ, 'SLURM_ARRAY_JOB_ID': '7', 'SLURM_ARRAY_TASK_ID': str(number), **environment}
    return subprocess.run(['bash', printing], env=environment, capture_output=True, text=True)


def test_each_job_trains_one_run_and_logs_to_a_file_of_its_name():
    planned = study("run_name=it's/${schedule.kind} 100%a ${max_duration}")
    script = written(planned, jobs=3, ranks=2)
    assert '#SBATCH --array=1-3%3\n' in script
    for number, run in enumerate(planned, 1):
        done = task(Path('jobs/study-1.sbatch'), number)
        log = Path(f'jobs/{run.recipe.run_name}.out')
        assert (done.returncode, done.stdout) == (0, f'job 7_{number}: {log.absolute()}\n')
        command, *words = log.read_text().splitlines()
        assert command.split(' $ ')[1].startswith('printf')
        assert words[:6] == ['-m', 'composer.cli.launcher', '-n', '2', '-m', 'composer_clr.train']
        assert words[6 : 7 + len(run.overrides)] == [run.name, *run.overrides]
        assert 'checkpoint.autoresume=true' in words


def test_a_job_that_is_started_again_adds_to_its_log():
    (run, *_), _ = study(), written(study())
    log = Path(f'jobs/{run.recipe.run_name}.out')
    task(Path('jobs/study-1.sbatch'), 1)
    once = log.read_text().splitlines()[1:]
    task(Path('jobs/study-1.sbatch'), 1)
    again = log.read_text().splitlines()[1:]
    assert (again[: len(once)], again[len(once) + 1 :]) == (once, once)


@pytest.mark.parametrize('number', [0, 4, ''])
def test_a_job_without_a_run_fails(number):
    written(study())
    done = task(Path('jobs/study-1.sbatch'), number)
    assert (done.returncode, done.stderr) == (1, f"no run has the number '{number}': there are 3\n")


def test_the_status_of_a_job_is_that_of_its_run():
    script = written(study())
    Path('fails').write_text('#!/bin/sh\nexit 37\n')
    Path('fails').chmod(0o755)
    Path('jobs/study-1.sbatch').write_text(script.replace(sys.executable, './fails'))
    assert task(Path('jobs/study-1.sbatch'), 1).returncode == 37


def test_a_second_study_in_a_folder_changes_no_script_of_a_waiting_array():
    first = written(study(seeds=[1]))
    assert written(study(seeds=[1])) == first
    second = written(study(seeds=[2]))
    assert [Path(f'jobs/study-{number}.sbatch').read_text() for number in (1, 2)] == [first, second]
    assert 'seed=1 ' not in second
    assert len(list(Path('jobs').iterdir())) == 2


def test_two_runs_of_one_name_have_logs_of_their_own():
    written(study('run_name=same', 'snapshot.folder=runs/${schedule.kind}-${max_duration}'))
    for number in (1, 2, 3):
        task(Path('jobs/study-1.sbatch'), number)
    assert {file.name for file in Path('jobs').glob('*.out')} == {f'same-{number}.out' for number in (1, 2, 3)}


def test_processors_are_those_of_the_ranks_and_their_loaders():
    assert '#SBATCH --cpus-per-task=1\n' in written(study())
    planned = [*study(), *study('data.num_workers=3', 'run_name=b-${schedule.kind}-${max_duration}')]
    assert '#SBATCH --cpus-per-task=8\n' in written(planned, ranks=2)


def test_options_of_sbatch_come_last():
    sbatch = "--account=x --time=24:00:00 --comment 'a b'"
    lines = [line for line in written(study(), sbatch=sbatch).splitlines() if line.startswith('#SBATCH')]
    assert lines[-1] == f'#SBATCH {sbatch}'
    for own in ('-c 4', '-c4', '--cpus-per-gpu=6', '--cpus-per-task=2'):
        assert written(study(), sbatch=own).count('cpus-per-task=') == ('task' in own)


@pytest.mark.parametrize(
    ('sbatch', 'message'),
    [
        ('account=x', 'must be options of sbatch, such as'),
        ("--account='x", 'No closing quotation: quote as in a shell'),
        ('--account=x\n--time=1', 'must be options of sbatch'),
        ('--time=1 --array=1-3', '--sbatch --array=1-3: is set by --slurm, one job per run on one node'),
        ('-N2', '--sbatch -N2: is set by --slurm'),
        ('--nodes 2', '--sbatch --nodes: is set by --slurm'),
    ],
)
def test_refused_options(sbatch, message):
    with pytest.raises(RecipeError, match=message):
        write_job_arrays(study(), Path('jobs'), sbatch=sbatch)
    assert not Path('jobs').exists()


def cluster_with(largest: str, monkeypatch) -> None:
    """Puts an ``scontrol`` first on the path that has a ``MaxArraySize``."""
    Path('scontrol').write_text(f'#!/bin/sh\necho "MaxArraySize            = {largest}"\n')
    Path('scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', f'{Path.cwd()}{os.pathsep}{os.environ["PATH"]}')


def test_an_array_has_no_more_jobs_than_the_cluster_allows(monkeypatch):
    cluster_with('3', monkeypatch)
    planned = study(seeds=[1, 2, 3])
    assert write_job_arrays(planned[:2], Path('two')) == (2, 'sbatch two/study-1.sbatch')
    number, submit = write_job_arrays(planned, Path('jobs'))
    assert (number, submit) == (9, ' && '.join(f'sbatch jobs/study-{part}.sbatch' for part in range(1, 6)))
    trained = []
    for part in range(1, 6):
        script = Path(f'jobs/study-{part}.sbatch')
        jobs = 1 if part == 5 else 2
        assert f'#SBATCH --array=1-{jobs}\n' in script.read_text()
        trained += [task(script, number).stdout.split('/jobs/')[1].strip() for number in range(1, jobs + 1)]
    assert trained == [f'{run.recipe.run_name}.out' for run in planned]


def test_arrays_with_a_number_of_jobs_side_by_side_wait_for_each_other(monkeypatch):
    cluster_with('4', monkeypatch)
    _, submit = write_job_arrays(study(seeds=[1, 2, 3]), Path('a study'), jobs=2)
    Path('sbatch').write_text('#!/bin/sh\necho "$@" >> submitted\nwc -l < submitted\n')
    Path('sbatch').chmod(0o755)
    subprocess.run(['bash', '-c', submit], check=True)
    assert Path('submitted').read_text().splitlines() == [
        '--parsable a study/study-1.sbatch',
        '--parsable --dependency=afterany:1 a study/study-2.sbatch',
        '--parsable --dependency=afterany:2 a study/study-3.sbatch',
    ]


def test_a_cluster_without_arrays_is_refused(monkeypatch):
    cluster_with('0', monkeypatch)
    with pytest.raises(RecipeError, match='no job arrays .MaxArraySize is 0.'):
        write_job_arrays(study(), Path('jobs'))


@pytest.mark.parametrize('saves', [True, False])
def test_before_its_time_limit_a_job_that_has_saved_a_checkpoint_goes_back_to_the_queue(saves, monkeypatch):
    script = written(study('checkpoint.folder=saved/{run_name}'))
    Path('scontrol').write_text('#!/bin/sh\necho "scontrol $*"\n')
    # A training that goes on after the signal, as one does until Slurm ends it.
    run = study()[0].recipe.run_name
    Path('saved', run).mkdir(parents=True)
    Path('saved', run, 'ep0.pt').touch()
    # A folder that is made anew is no checkpoint.
    save = 'mkdir saved/$1/empty\n' + ('date > saved/$1/ep1.pt\n' if saves else '')
    Path('trains').write_text(f'#!/bin/sh\nsleep 0.1\n{save}kill -USR1 $PPID\nsleep 0.2\necho trained on\nexit 5\n')
    for program in ('scontrol', 'trains'):
        Path(program).chmod(0o755)
    monkeypatch.setenv('PATH', f'{Path.cwd()}{os.pathsep}{os.environ["PATH"]}')
    Path('jobs/study-1.sbatch').write_text(script.replace(f'{sys.executable} -m', f'./trains {run}'))
    assert task(Path('jobs/study-1.sbatch'), 1).returncode == 5
    said = Path(f'jobs/{run}.out').read_text().splitlines()[1:]
    assert said[-1] == 'trained on'
    if saves:
        assert said[:-1] == ['the time limit is near: back to the queue', 'scontrol requeue 7_1']
    else:
        assert said[0].startswith(f'the time limit is near, and saved/{run} has no new checkpoint')


def test_branches_are_refused():
    with pytest.raises(RecipeError, match='--slurm: digits-.*-branch-.* branches off another run'):
        write_job_arrays(study('schedule.t_hold=0.5', kinds=['branch']), Path('jobs'))
    assert not Path('jobs').exists()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Starts a cluster of this machine alone."""
    path = f'{os.environ["PATH"]}{os.pathsep}/usr/sbin'
    if missing := [program for program in PROGRAMS if shutil.which(program, path=path) is None]:
        pytest.skip(f'{", ".join(missing)} not installed: apt-get install slurm-wlm')
    if os.geteuid() != 0:
        pytest.skip("starting Slurm's daemons needs root")
    monkeypatch.setenv('PATH', path)
    host, user = socket.gethostname().split('.')[0], pwd.getpwuid(os.geteuid()).pw_name
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(('', 0))
            ports.append(probe.getsockname()[1])
    state = tmp_path / 'slurm'
    for name in ('ctld', 'd', 'munge'):
        (state / name).mkdir(parents=True)
    (state / 'munge').chmod(0o711)
    (state / 'key').write_bytes(os.urandom(1024))
    (state / 'key').chmod(0o400)
    socket_file = state / 'munge/socket'
    settings = {
        'ClusterName': 'test',
        'SlurmctldHost': f'{host}(127.0.0.1)',
        'SlurmUser': user,
        'SlurmctldPort': ports[0],
        'SlurmdPort': ports[1],
        'AuthType': 'auth/munge',
        'AuthInfo': f'socket={socket_file}',
        'CredType': 'cred/munge',
        'StateSaveLocation': state / 'ctld',
        'SlurmdSpoolDir': state / 'd',
        'SlurmctldPidFile': state / 'ctld.pid',
        'SlurmdPidFile': state / 'd.pid',
        'SlurmctldLogFile': state / 'ctld.log',
        'SlurmdLogFile': state / 'd.log',
        'ProctrackType': 'proctrack/linuxproc',
        'TaskPlugin': 'task/none',
        'JobAcctGatherType': 'jobacct_gather/none',
        'SelectType': 'select/cons_tres',
        'SelectTypeParameters': 'CR_CPU',
        'ReturnToService': 2,
        'MpiDefault': 'none',
    }
    lines = [f'{key}={value}' for key, value in settings.items()]
    lines.append(f'NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN')
    lines.append(f'PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP')
    (state / 'slurm.conf').write_text('\n'.join(lines) + '\n')
    monkeypatch.setenv('SLURM_CONF', str(state / 'slurm.conf'))
    munge = [f'--{name}={state}/munge/{name}' for name in ('socket', 'pid-file', 'log-file', 'seed-file')]
    daemons = []
    for command in (
        ['munged', '--foreground', '--force', f'--key-file={state}/key', *munge],
        ['slurmctld', '-D', '-i'],
        ['slurmd', '-D', '-N', host],
    ):
        with (state / 'errors.log').open('a') as errors:
            daemons.append(subprocess.Popen(command, cwd=state, stdout=subprocess.DEVNULL, stderr=errors))
        time.sleep(1)
    try:
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(30)


def wait_for(condition: Callable[[], bool], seconds: float = 400) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.5)


def shown(job: str, *wanted: str) -> list[str]:
    """Returns what Slurm says about a job."""
    told = subprocess.run(['scontrol', 'show', 'job', job], check=True, capture_output=True, text=True).stdout
    values = [word.partition('=') for word in told.split()]
    return [next(value for name, _, value in values if name == one) for one in wanted]


@pytest.mark.slow
def test_a_study_through_slurm(slurm):
    del slurm
    planned = study()
    _, submit = write_job_arrays(planned, Path('jobs'), jobs=1, sbatch="--time=30 --comment='a b' --cpus-per-task=2")
    job = subprocess.run(
        ['bash', '-c', submit.replace('sbatch', 'sbatch --parsable')], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert shown(f'{job}_2', 'TimeLimit', 'NumCPUs', 'Comment', 'Requeue') == ['00:30:00', '2', 'a', '1']
    # The same folder is written to while jobs wait, with other runs in the same places.
    write_job_arrays(study(seeds=[1]), Path('jobs'))
    wait_for(lambda: not subprocess.run(['squeue', '-h'], check=True, capture_output=True).stdout)
    outputs = {file.name: file.read_text() for file in Path('jobs').glob('*.out')}
    assert all(run.is_complete() for run in planned), outputs
    assert set(outputs) == {
        *(f'{run.recipe.run_name}.out' for run in planned),
        *(f'slurm-{job}_{number}.out' for number in (1, 2, 3)),
    }
    assert write_job_arrays(planned, Path('again')) == (0, '')
    assert not Path('again').exists()


@pytest.mark.slow
def test_a_job_at_its_time_limit_is_requeued_and_resumes(slurm):
    del slurm
    run = study('max_duration=1024ep', kinds=['cyclic'])[0]
    written([run])
    log = Path(f'jobs/{run.recipe.run_name}.out')
    job = subprocess.run(
        ['sbatch', '--parsable', 'jobs/study-1.sbatch'], check=True, capture_output=True, text=True
    ).stdout.strip()
    checkpoints = Path(run.folder, 'checkpoints')
    # Composer's link to the newest is the last thing to be written. What Slurm sends before the time limit:
    wait_for(lambda: any(checkpoints.glob('latest-*')))
    subprocess.run(['scancel', '--batch', '--signal=USR1', f'{job}_1'], check=True)
    wait_for(lambda: shown(f'{job}_1', 'JobState', 'Restarts') == ['PENDING', '1'])
    assert 'the time limit is near: back to the queue' in log.read_text()
    subprocess.run(['scontrol', 'update', f'JobId={job}_1', 'StartTime=now'], check=True)
    wait_for(lambda: 'goes on from batch' in log.read_text())
    subprocess.run(['scancel', job], check=True)
    wait_for(lambda: not subprocess.run(['squeue', '-h'], check=True, capture_output=True).stdout)


@pytest.mark.slow
def test_a_race_through_slurm_is_an_array_per_stage(slurm):
    del slurm
    # A method that learns next to nothing is hopeless at the fourth of five troughs.
    words = ['run', 'quickstart/digits', *SHORT, 'max_duration=32ep', '--methods', 'baseline, idle: optimizer.lr=1e-6']
    words += ['--kinds', 'cyclic', '--race', '--sigma', '0.1', '--slurm', 'jobs']
    said = []
    while 'to do' not in (output := CliRunner().invoke(app, words, catch_exceptions=False).output):
        said.append(output.splitlines()[-1])
        submit = said[-1].partition(': ')[2].partition(',')[0]
        subprocess.run(['bash', '-c', submit.replace('sbatch', 'sbatch --wait')], check=True, timeout=500)
    assert [line.partition(':')[0] for line in said] == ['2 of 2 runs', '1 of 2 runs']
    points = {file.parent.name: len(TradeoffCurve.read(file).points) for file in Path().rglob('curve.json')}
    assert points == {f'digits-{name}-cyclic-32ep-seed17': number for name, number in (('baseline', 5), ('idle', 4))}
    assert 'idle: stopped at 16ep: at most ' in output
