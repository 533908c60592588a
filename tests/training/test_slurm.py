"""A study as a job array: the text, and with a real Slurm on this machine."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs
from composer_clr.training.slurm import write_job_array

SHORT = ['max_duration=4ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep', 'data.arguments.train_images=100']
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch')


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    (tmp_path / 'a study').mkdir()
    monkeypatch.chdir(tmp_path / 'a study')


def study(*overrides: str, **options):
    return planned_runs(['quickstart/digits'], [*SHORT, *overrides], **options)


def test_the_script_runs_each_command_once(tmp_path):
    planned = study("run_name=it's ${schedule.kind} ${max_duration}")
    assert write_job_array(planned, Path('jobs'), jobs=3, ranks=2) == len(planned) == 3
    assert '#SBATCH --array=1-3%3\n' in Path('jobs/study.sbatch').read_text()
    commands = Path('jobs/commands.txt').read_text().splitlines()
    for command, run in zip(commands, planned, strict=True):
        words = shlex.split(command)
        assert words[1:7] == ['-m', 'composer.cli.launcher', '-n', '2', '-m', 'composer_clr.train']
        assert words[7 : 8 + len(run.overrides)] == [run.name, *run.overrides]
        assert 'checkpoint.autoresume=true' in words
    # As Slurm would run it, with a program in place of the training that prints its arguments.
    printing = [command.replace(shlex.split(command)[0], 'printf %s\\\\n', 1) for command in commands]
    Path('jobs/commands.txt').write_text('\n'.join(printing) + '\n')
    for number, run in enumerate(planned, 1):
        environment = {**os.environ, 'SLURM_ARRAY_TASK_ID': str(number)}
        done = subprocess.run(
            ['bash', 'jobs/study.sbatch'], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[6 : 7 + len(run.overrides)] == [run.name, *run.overrides]


def test_branches_are_refused():
    with pytest.raises(RecipeError, match='--slurm: digits-.*-branch-.* branches off another run'):
        write_job_array(study('schedule.t_hold=0.5', kinds=['branch']), Path('jobs'))
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


@pytest.mark.slow
def test_a_study_through_slurm(slurm):
    del slurm
    planned = study()
    write_job_array(planned, Path('jobs'), jobs=1)
    subprocess.run(['sbatch', '--wait', '--no-requeue', 'jobs/study.sbatch'], check=True, timeout=500)
    outputs = {file.name: file.read_text() for file in Path('jobs').glob('*.out')}
    assert all(run.is_complete() for run in planned), outputs
    assert write_job_array(planned, Path('again')) == 0
    assert not Path('again').exists()
