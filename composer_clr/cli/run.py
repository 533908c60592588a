"""The command that runs a study, and what it shares with ``sweep``: which runs there are."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composer_clr.cli.options import OwnCode, check_sigma, command_line, notes_on_stderr
from composer_clr.recipes.methods import split_methods
from composer_clr.recipes.schema import RecipeError

if TYPE_CHECKING:
    from composer_clr.training.race import Race
    from composer_clr.training.study import StudyRun

__all__ = ['Kinds', 'Methods', 'Recipes', 'Seeds', 'run', 'study_arguments']

Recipes = Annotated[list[str], typer.Argument(help='Recipes, and key=value pairs for all runs.')]
Seeds = Annotated[str, typer.Option(help='Seeds, separated by commas.')]
Kinds = Annotated[
    str, typer.Option(help='Kinds of run, separated by commas: cyclic, standard, branch, anytime, schedule-free.')
]
Methods = Annotated[
    str | None,
    typer.Option(
        help='Methods to train each recipe with, separated by commas: baseline; algorithms by name, or BP, CL, LS, MX '
        '(BlurPool, ChannelsLast, LabelSmoothing, MixUp), joined by +; or a name and key=value pairs: '
        "'baseline, LS+MX, CutMix, slow: optimizer.lr=0.05'."
    ),
]


def study_arguments(
    recipes: list[str], seeds: str, kinds: str, methods: str | None, code: list[str] | None = None
) -> dict[str, Any]:
    """Returns the arguments of :func:`~composer_clr.recipes.study.planned_runs` from those of a command.

    Example:
        >>> study_arguments(['quickstart/digits', 'max_duration=4ep'], '1,2', 'cyclic', None)['seeds']
        [1, 2]
    """
    names = [word for word in recipes if '=' not in word]
    if not names:
        raise RecipeError('no recipe is named: name one, such as quickstart/digits')
    try:
        numbers = [int(seed) for seed in seeds.split(',')]
    except ValueError as error:
        raise RecipeError(f'--seeds {seeds}: must be whole numbers, such as 17,18,19') from error
    return {
        'names': names,
        'overrides': [word for word in recipes if '=' in word],
        'seeds': numbers,
        'kinds': kinds.split(','),
        'methods': split_methods(methods) if methods is not None else (),
        'code': code or (),
    }


def run(
    context: typer.Context,
    recipes: Recipes,
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
    from composer_clr.recipes.study import Ranks, calibration, planned_runs
    from composer_clr.training.race import Race
    from composer_clr.training.study import StudyRunner, check_devices

    for word in recipes:
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
    arguments = study_arguments(recipes, seeds, kinds, methods, code)
    with notes_on_stderr():
        if calibrate:
            arguments['kinds'].append('standard')
        planned = planned_runs(**arguments, ranks=Ranks(ranks, ranks))
    if calibrate:
        planned = calibration(planned)
    runner = StudyRunner(planned, jobs=jobs or max(1, len(gpus) // ranks), ranks=ranks, devices=gpus)
    judge = Race(runner.runs, metric=metric, sigma=sigma) if race else None
    if slurm is not None:
        _write_arrays(runner.runs, judge, slurm, jobs=jobs, ranks=ranks, sbatch=sbatch)
        return
    check_devices(gpus)
    of_study = RunPage(runner.runs, command_line(context), equivalent=calibrate) if page else None
    with displayed(runner.runs) as update:
        update = update if of_study is None else of_study.after(update)
        runner.run(update, *([] if judge is None else [judge.advance]))
    print_end(runner.runs)
    if of_study is not None:
        of_study.close()
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
