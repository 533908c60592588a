"""The command that runs a study: run."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.cli.options import notes_on_stderr
from composer_clr.cli.study_options import Kinds, Methods, Recipes, Seeds, study_arguments
from composer_clr.recipes.schema import RecipeError

__all__ = ['run']


def run(
    recipes: Recipes,
    seeds: Seeds = '17',
    kinds: Kinds = 'cyclic,standard',
    methods: Methods = None,
    jobs: Annotated[
        int | None, typer.Option('-j', '--jobs', min=1, help='Runs side by side; by default one, or one per GPU named.')
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help='GPUs to share out between the runs side by side, separated by commas: 0,1.')
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="Ranks of each run, started by Composer's launcher.")] = 1,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar='FOLDER', help='Write a job array for sbatch here, and run nothing.'),
    ] = None,
) -> None:
    """Run a study: cyclic runs and their standard runs. Complete runs are skipped, interrupted ones resumed.

    The output of each run goes to train.log in its folder. Ctrl-C ends the runs; the same command resumes them. A run
    that fails does not stop the others; the exit status is then 1.
    """
    from composer_clr.cli.run_display import displayed, print_failures
    from composer_clr.recipes.study import Ranks, planned_runs
    from composer_clr.training.study import StudyRunner, check_devices

    for word in recipes:
        if word.partition('=')[0] in ('checkpoint.autoresume', 'progress_bar'):
            raise RecipeError(f'{word}: is set by run: leave it out')
    gpus = [gpu.strip() for gpu in (devices or '').split(',') if gpu.strip()]
    if devices is not None and not gpus:
        raise RecipeError(f'--devices {devices!r}: names no GPU: name some, such as 0,1, or leave it out')
    with notes_on_stderr():
        planned = planned_runs(**study_arguments(recipes, seeds, kinds, methods), ranks=Ranks(ranks, ranks))
    if slurm is not None:
        from composer_clr.training.slurm import write_job_array

        number = write_job_array(planned, slurm, jobs=jobs, ranks=ranks)
        typer.echo(f'{number} of {len(planned)} runs' + (f': sbatch {slurm / "study.sbatch"}' if number else ' to do'))
        return
    runner = StudyRunner(planned, jobs=jobs or max(1, len(gpus) // ranks), ranks=ranks, devices=gpus)
    check_devices(gpus)
    with displayed(runner.runs) as update:
        runner.run(update)
    failed = any(each.state == 'failed' for each in runner.runs)
    if failed:
        print_failures(runner.runs)
    if runner.interrupted is not None:
        done = sum(each.state == 'done' for each in runner.runs)
        typer.echo(
            f'composer-clr: interrupted by {signal.Signals(runner.interrupted).name} with {done} of {len(runner.runs)} '
            'runs complete: the same command continues',
            err=True,
        )
        raise typer.Exit(128 + runner.interrupted)
    if failed:
        raise typer.Exit(1)
