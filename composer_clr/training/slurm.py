"""Writes a study as a Slurm job array: a script for ``sbatch`` and the list of its commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import PlannedRun
from composer_clr.training.study import resumable
from composer_clr.utils.files import write_whole

__all__ = ['write_job_array']

_SCRIPT = """\
#!/bin/bash
# Runs the commands in {commands}, one per job. Options of sbatch on its command line win over these:
#   sbatch --gres=gpu:{ranks} --time=24:00:00 {script}
#SBATCH --job-name=composer_clr
#SBATCH --array=1-{number}{side_by_side}
#SBATCH --output={output}
#SBATCH --open-mode=append
# A job that is preempted, or whose node fails, runs again and resumes.
#SBATCH --requeue
cd {here} || exit 1
exec bash -c "exec $(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {commands})"
"""


def write_job_array(planned: Sequence[PlannedRun], folder: Path, *, jobs: int | None = None, ranks: int = 1) -> int:
    """Writes ``study.sbatch`` and ``commands.txt`` for the runs that are not complete, and returns their number.

    Raises:
        RecipeError: If a run branches off another one, for which jobs of an array cannot wait.
    """
    left = [run for run in planned if not run.is_complete()]
    if branch := next((run for run in left if run.trunk is not None), None):
        raise RecipeError(
            f'--slurm: {branch.recipe.run_name} branches off another run, for which a job of an array cannot wait: '
            'pass --kinds without branch, or use run without --slurm'
        )
    if not left:
        return 0
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    launcher = [sys.executable, '-m']
    if ranks > 1:
        launcher += ['composer.cli.launcher', '-n', str(ranks), '-m']
    commands = [shlex.join([*launcher, 'composer_clr.train', *resumable(run)[0]]) for run in left]
    write_whole(folder / 'commands.txt', '\n'.join(commands) + '\n')
    script = _SCRIPT.format(
        commands=shlex.quote(str(folder / 'commands.txt')),
        script=shlex.quote(str(folder / 'study.sbatch')),
        # Quoted for Slurm, in whose file names % starts a placeholder.
        output='"{}/%a.out"'.format(str(folder).replace('%', '%%').replace('"', '\\"')),
        here=shlex.quote(str(Path.cwd())),
        number=len(left),
        ranks=ranks,
        side_by_side=f'%{jobs}' if jobs else '',
    )
    write_whole(folder / 'study.sbatch', script)
    return len(left)
