"""The command that runs a study."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composer_clr.cli.options import OwnCode, check_sigma, command_line, notes_on_stderr, report
from composer_clr.cli.study_options import (
    Command,
    CycleEnds,
    Folder,
    MaxDuration,
    Method,
    Methods,
    OwnCommand,
    Period,
    PeriodRatio,
    Recipes,
    Seeds,
    Warmup,
    planned_study,
)
from composer_clr.recipes.schema import RecipeError

if TYPE_CHECKING:
    from composer_clr.training.race import Race
    from composer_clr.training.study import StudyRun

__all__ = ['run']


def run(
    context: typer.Context,
    recipes: Recipes = None,
    seeds: Seeds = '17',
    kinds: Annotated[
        str | None,
        typer.Option(help='Kinds of run, separated by commas; by default cyclic,standard, with --calibrate cyclic.'),
    ] = None,
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
    sbatch: Annotated[
        str,
        typer.Option(
            hidden=True,
            help="For --slurm: options of sbatch, '--account=x --gres=gpu:8 --mem=64G --time=24:00:00'. Two minutes "
            'before its time limit a job goes back to the queue, and resumes from its newest checkpoint, if it has '
            'written one. The same command again writes the runs that are left.',
        ),
    ] = '',
    calibrate: Annotated[
        bool,
        typer.Option(
            '--calibrate',
            help="Train the baseline's standard run to the second trough alone, for equivalent lengths.",
        ),
    ] = False,
    race: Annotated[
        bool,
        typer.Option('--race', help='From the fourth trough on, stop a method that cannot reach what the leader has.'),
    ] = False,
    sigma: Annotated[
        float | None,
        typer.Option(
            hidden=True,
            help='For --race: standard deviation of a run between seeds, as --sigma of forecast; by default measured.',
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(hidden=True, help='For --race: label/metric; by default as compare chooses it.')
    ] = None,
    code: OwnCode = None,
    command: Command = None,
    max_duration: MaxDuration = None,
    t_0: Period = None,
    t_mult: PeriodRatio = None,
    t_warmup: Warmup = None,
    cycle_ends: CycleEnds = None,
    method: Method = None,
    folder: Folder = None,
    page: Annotated[
        bool, typer.Option('--page/--no-page', help='Write page.html beside the runs, as report does, after each run.')
    ] = True,
) -> None:
    """Run a study: cyclic runs and their standard runs. Complete runs are skipped, interrupted ones resumed.

    The output of each run goes to train.log in its folder. Ctrl-C ends the runs; the same command resumes them. A run
    that fails does not stop the others; the exit status is then 1. The same command without --race trains the methods
    that a race has stopped. With --slurm, a race writes the array of its next stage alone: repeat the command when
    these jobs have ended.
    """
    from composer_clr.cli.run_display import displayed, print_end, print_failures
    from composer_clr.cli.run_page import RunPage
    from composer_clr.recipes.command_study import check_programs
    from composer_clr.recipes.study import Ranks, calibration
    from composer_clr.training.race import Race
    from composer_clr.training.study import StudyRunner, check_devices

    for word in recipes or ():
        if word.partition('=')[0] in ('checkpoint.autoresume', 'progress_bar'):
            raise RecipeError(f'{word}: is set by run: leave it out')
    gpus = [gpu.strip() for gpu in (devices or '').split(',') if gpu.strip()]
    if devices is not None and not gpus:
        raise RecipeError(f'--devices {devices!r}: names no GPU: name some, such as 0,1, or leave it out')
    for option, value in (('--sigma', sigma), ('--metric', metric)):
        if value is not None and not race:
            raise RecipeError(f'{option} {value}: is for --race: pass that too, or leave it out')
    if devices is not None and slurm is not None:
        raise RecipeError(
            f'--devices {devices}: Slurm gives each job its GPUs: pass --sbatch --gres=gpu:{ranks} instead'
        )
    if sbatch and slurm is None:
        raise RecipeError(f'--sbatch {sbatch!r}: is for --slurm: pass that too, or leave it out')
    check_sigma(sigma)
    if calibrate and 'standard' in (kinds or '').split(','):
        raise RecipeError(
            f'--kinds {kinds}: trains all standard runs, of which --calibrate trains one: leave out one of the two'
        )
    kinds = kinds or ('cyclic' if calibrate else 'cyclic,standard')
    if command is not None and (race or ranks > 1):
        option = '--race: stops a run' if race else f'--ranks {ranks}: starts ranks'
        raise RecipeError(f'{option}, which only a recipe can: leave it out (a --command may start a launcher itself)')
    with notes_on_stderr():
        planned = planned_study(
            OwnCommand(command, max_duration, t_0, t_mult, t_warmup, cycle_ends, method, folder),
            recipes,
            seeds=seeds,
            kinds=f'{kinds},standard' if calibrate else kinds,
            methods=methods,
            code=code,
            ranks=Ranks(ranks, ranks),
        )
    if calibrate:
        planned = calibration(planned)
    # A command may start as many ranks as a run has GPUs.
    shared = max(1, len(gpus) // jobs) if command is not None and jobs else ranks
    runner = StudyRunner(planned, jobs=jobs or max(1, len(gpus) // shared), ranks=shared, devices=gpus)
    judge = Race(runner.runs, metric=metric, sigma=sigma) if race else None
    if slurm is not None:
        _write_arrays(runner.runs, judge, slurm, jobs=jobs, ranks=ranks, sbatch=sbatch)
        return
    check_devices(gpus)
    check_programs(planned)
    of_study = RunPage(runner.runs, command_line(context), equivalent=calibrate) if page else None
    with displayed(runner.runs) as update:
        update = update if of_study is None else of_study.after(update)
        runner.run(update, *([] if judge is None else [judge.advance]))
    print_end(runner.runs)
    if of_study is not None:
        of_study.close()
    if command is not None:
        report(_differing(runner.runs))
    if judge is not None:
        typer.echo(judge.lines()[-1])
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


def _differing(runs: Sequence[StudyRun]) -> list[str]:
    """Returns in what the runs of a command differ beside the seed and the schedule, since there is no recipe."""
    from composer_clr.curves.curve import CURVE_FILE
    from composer_clr.curves.files import read_sources
    from composer_clr.study.pooling import differing_kinds, mixed_curves

    files = [Path(run.planned.folder, CURVE_FILE) for run in runs if run.state == 'done' and run.is_local]
    curves, _ = read_sources(files) if files else ([], [])
    return [*map(str, mixed_curves(curves)), *differing_kinds(curves)]


def _write_arrays(runs: Sequence[StudyRun], judge: Race | None, folder: Path, **options: Any) -> None:
    """Writes the runs that are to be trained as job arrays of Slurm: in a race, those of the next stage."""
    from composer_clr.training.slurm import write_job_arrays

    if judge is not None:
        judge.advance()
    number, submit = write_job_arrays([run.planned for run in runs if run.state == 'waiting'], folder, **options)
    if judge is not None:
        typer.echo('\n'.join(judge.lines()))
    again = '' if judge is None else ', then this command again'
    typer.echo(f'{number} of {len(runs)} runs' + (f': {submit}{again}' if number else ' to do'))
