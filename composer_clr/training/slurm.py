"""Writes a study as Slurm job arrays: scripts for ``sbatch``, each with the commands of its runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from composer_clr.curves.names import filled_in
from composer_clr.recipes.planned_run import PlannedRun
from composer_clr.recipes.schema import RecipeError

__all__ = ['write_job_arrays']

# The largest number of a job in an array, where no cluster says its own: Slurm's default of MaxArraySize, less one.
_LARGEST = 1000
_ANSWER_S = 10
# Options of sbatch that would make other jobs of the array than one per run, on one node.
_SET_HERE = re.compile(r'-[aNn]|--(array|nodes|ntasks|wrap)\b')
_CPUS = re.compile(r'-c|--cpus-per-(task|gpu)\b')
_SCRIPT = """\
#!/bin/bash
# {number} runs of a study, one per job, written by composer-clr run --slurm. Slurm copies this file at its submission:
#   sbatch {script}
#
# Two minutes before its time limit a job goes back to the queue, and resumes from its newest checkpoint. One that has
# written no checkpoint since it began ends at the limit instead. A job that is preempted, or whose node fails, runs
# again and resumes too. For what has failed or ended, run the command that wrote this file again.
#SBATCH --job-name=composer_clr
#SBATCH --array=1-{number}{side_by_side}
#SBATCH --output={output}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
{resources}

run() {{
  log={folder}/$1.out checkpoints=$2
  shift 2
  echo "job ${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID: $log"
  mkdir -p "$(dirname "$log")" && exec >> "$log" 2>&1 || exit 1
  began=$(date +%s.%N)
  echo "$(date '+%F %T') \\$ $*"
  trap at_time_limit USR1
  "$@" &
  # A signal ends the wait, not the run.
  until wait $!; status=$?; ! kill -0 $! 2> /dev/null; do :; done
  exit $status
}}

at_time_limit() {{
  if [ -n "$(find "$checkpoints/" -type f -newermt "@$began" -print -quit 2> /dev/null)" ]; then
    echo 'the time limit is near: back to the queue'
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
  else
    echo "the time limit is near, and $checkpoints has no new checkpoint: pass a longer --time to sbatch"
  fi
}}

cd {here} || exit 1
case $SLURM_ARRAY_TASK_ID in
{runs}
  *)
    echo "no run has the number '$SLURM_ARRAY_TASK_ID': there are {number}" >&2
    exit 1
    ;;
esac
"""
_RUN = """\
  {number})
    run {words}
    ;;"""
_CPUS_LINE = """\
# {ranks} x (1 + {workers}): the ranks of a run, and the loader processes of each.
#SBATCH --cpus-per-task={cpus}"""
_REST = "# What is not named here, such as GPUs, memory and time, is the cluster's default, unless --sbatch names it."


def write_job_arrays(
    planned: Sequence[PlannedRun], folder: Path, *, jobs: int | None = None, ranks: int = 1, sbatch: str = ''
) -> tuple[int, str]:
    """Writes an array of the runs that are not complete, or several where the cluster limits the size of one.

    Scripts are ``study-1.sbatch``, ``study-2.sbatch``, ...; none that exists is changed. Returns the number of runs,
    and the commands that submit them.

    Args:
        planned (Sequence[PlannedRun]): The runs.
        folder (Path): Where the scripts and the logs go; logs have the names of the runs.
        jobs (int | None): Runs side by side; ``None``: as many as the cluster starts.
        ranks (int): Ranks of each run. Default: ``1``.
        sbatch (str): Options of ``sbatch``, which win over those of the script. Default: ``''``, none.

    Raises:
        RecipeError: If an option is set by the script, or a run branches off another one, for which jobs of an array
            cannot wait.
    """
    options = _options(sbatch)
    left = [run for run in planned if not run.is_complete()]
    if branch := next((run for run in left if run.trunk is not None), None):
        raise RecipeError(
            f'--slurm: {branch.run_name} branches off another run, for which a job of an array cannot wait: '
            'pass --kinds without branch, or use run without --slurm'
        )
    if not left:
        return 0, ''
    folder.mkdir(parents=True, exist_ok=True)
    largest = _largest_array()
    parts = [left[first : first + largest] for first in range(0, len(left), largest)]
    scripts = [_written(folder, part, jobs, ranks, options) for part in parts]
    return len(left), _submission(scripts, one_by_one=jobs is not None)


def _options(sbatch: str) -> list[str]:
    """Returns options of ``sbatch`` as words."""
    try:
        words = shlex.split(sbatch)
    except ValueError as error:
        raise RecipeError(f'--sbatch {sbatch!r}: {error}: quote as in a shell') from error
    if not sbatch.isprintable() or (words and not words[0].startswith('-')):
        raise RecipeError(f"--sbatch {sbatch!r}: must be options of sbatch, such as '--account=x --time=24:00:00'")
    if taken := next((word for word in words if _SET_HERE.match(word)), None):
        raise RecipeError(f'--sbatch {taken}: is set by --slurm, one job per run on one node: leave it out')
    return words


def _largest_array() -> int:
    """Returns how many jobs an array may have on this cluster."""
    try:
        asked = ['scontrol', 'show', 'config']
        told = subprocess.run(asked, capture_output=True, text=True, timeout=_ANSWER_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return _LARGEST
    found = re.search(r'^MaxArraySize\s*=\s*(\d+)', told, re.MULTILINE)
    if found is None:
        return _LARGEST
    if int(found[1]) < 2:
        raise RecipeError(f'--slurm: this cluster has no job arrays (MaxArraySize is {found[1]}): use run without it')
    return int(found[1]) - 1


def _written(folder: Path, runs: Sequence[PlannedRun], jobs: int | None, ranks: int, options: Sequence[str]) -> Path:
    """Writes a script to a new file, or finds it in one, and returns that."""
    for number in count(1):
        script = folder / f'study-{number}.sbatch'
        text = _script(script.absolute(), runs, jobs, ranks, options).encode()
        try:
            with script.open('xb') as file:
                file.write(text)
        except FileExistsError:
            if script.read_bytes() != text:
                continue
        return script
    raise AssertionError


def _script(script: Path, runs: Sequence[PlannedRun], jobs: int | None, ranks: int, options: Sequence[str]) -> str:
    """Returns the script of an array, in which options of the user come last, and win."""
    folder = str(script.parent)
    workers = [run.loader_processes for run in runs if run.loader_processes is not None]
    resources = [_REST]
    if workers and not any(map(_CPUS.match, options)):
        most = max(workers)
        resources.insert(0, _CPUS_LINE.format(ranks=ranks, workers=most, cpus=ranks * (1 + most)))
    if options:
        resources.append(f'#SBATCH {shlex.join(options)}')
    launcher = [sys.executable, '-m']
    if ranks > 1:
        launcher += ['composer.cli.launcher', '-n', str(ranks), '-m']
    names = [run.run_name for run in runs]
    cases = []
    for number, run in enumerate(runs, 1):
        log = run.run_name if names.count(run.run_name) == 1 else f'{run.run_name}-{number}'
        words = [log, _checkpoints(run, ranks), *run.command_line(launcher)]
        cases.append(_RUN.format(number=number, words=shlex.join(words)))
    return _SCRIPT.format(
        number=len(runs),
        side_by_side=f'%{jobs}' if jobs else '',
        script=shlex.quote(str(script)),
        folder=shlex.quote(folder),
        # Quoted for Slurm, in whose file names % starts a placeholder.
        output='"{}/slurm-%A_%a.out"'.format(folder.replace('%', '%%').replace('"', '\\"')),
        resources='\n'.join(resources),
        here=shlex.quote(str(Path.cwd())),
        runs='\n'.join(cases),
    )


def _checkpoints(run: PlannedRun, ranks: int) -> str:
    """Returns the folder of the checkpoints that a run resumes from."""
    numbers = {'world_size': ranks, 'local_world_size': ranks}
    return filled_in(run.checkpoints, run.run_name, key='checkpoint.folder', **numbers)


def _submission(scripts: Sequence[Path], *, one_by_one: bool) -> str:
    """Returns the commands that submit scripts; one by one, each waits for the one before."""
    names = [shlex.quote(str(script)) for script in scripts]
    if len(names) == 1 or not one_by_one:
        return ' && '.join(f'sbatch {name}' for name in names)
    waits = ['', *['--dependency=afterany:$j '] * (len(names) - 1)]
    return ' && '.join(f'j=$(sbatch --parsable {wait}{name})' for wait, name in zip(waits, names, strict=True))
