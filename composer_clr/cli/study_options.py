"""What the commands of a study share: the options that say which runs there are, of recipes or of one's own script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from composer_clr.recipes.methods import split_methods
from composer_clr.recipes.schema import RecipeError

if TYPE_CHECKING:
    from composer_clr.recipes.planned_run import PlannedRun
    from composer_clr.recipes.study import Ranks

__all__ = [
    'Command',
    'CycleEnds',
    'Folder',
    'Kinds',
    'MaxDuration',
    'Method',
    'Methods',
    'OwnCommand',
    'Period',
    'PeriodRatio',
    'Recipes',
    'Seeds',
    'Warmup',
    'planned_study',
]

Recipes = Annotated[list[str] | None, typer.Argument(help='Recipes, and key=value pairs for all runs.')]
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
Command = Annotated[
    str | None,
    typer.Option(
        help="In place of recipes, your own script: 'python train.py --kind {kind} --seed {seed} --duration "
        "{max_duration} --folder {folder}'; with --max-duration, --t-0, --t-warmup, --method (--help-all). It uses "
        'ParetoSnapshot and study_scheduler.'
    ),
]
_OF_COMMAND = 'For --command: '
MaxDuration = Annotated[
    str | None, typer.Option(hidden=True, help=f'{_OF_COMMAND}length of the cyclic run, such as 64ep.')
]
Period = Annotated[str | None, typer.Option('--t-0', hidden=True, help=f'{_OF_COMMAND}period of the first cycle.')]
PeriodRatio = Annotated[
    float | None,
    typer.Option('--t-mult', hidden=True, help=f'{_OF_COMMAND}period of a cycle over the one before; by default 2.'),
]
Warmup = Annotated[
    str | None, typer.Option('--t-warmup', hidden=True, help=f'{_OF_COMMAND}length of the warmup; by default none.')
]
CycleEnds = Annotated[
    str | None, typer.Option(hidden=True, help=f'{_OF_COMMAND}the troughs, 4ep,8ep,12ep, in place of --t-0.')
]
Method = Annotated[
    str | None,
    typer.Option(
        hidden=True,
        help=f'{_OF_COMMAND}the method of its curves, in the names of the runs too; the script gets it as {{method}}. '
        'By default as ParetoSnapshot names it.',
    ),
]
Folder = Annotated[
    str | None,
    typer.Option(
        hidden=True,
        help=f'{_OF_COMMAND}where the ParetoSnapshot of the script writes; by default runs/{{run_name}}. The script '
        'gets it as {folder}.',
    ),
]


@dataclass(frozen=True)
class OwnCommand:
    """A script of one's own and its schedule, as the options give them; ``command`` is ``None`` for recipes."""

    command: str | None
    max_duration: str | None
    t_0: str | None
    t_mult: float | None
    t_warmup: str | None
    cycle_ends: str | None
    method: str | None
    folder: str | None


def planned_study(
    own: OwnCommand,
    recipes: Sequence[str] | None,
    *,
    seeds: str,
    kinds: str,
    methods: str | None,
    code: Sequence[str] | None,
    ranks: Ranks | None,
) -> Sequence[PlannedRun]:
    """Returns the runs of recipes or of a command, and refuses the options of the other one."""
    from composer_clr.recipes.command_study import command_runs
    from composer_clr.recipes.study import planned_runs

    try:
        numbers = [int(seed) for seed in seeds.split(',')]
    except ValueError as error:
        raise RecipeError(f'--seeds {seeds}: must be whole numbers, such as 17,18,19') from error
    names = [word for word in recipes or () if '=' not in word]
    if own.command is None:
        for field in fields(own):
            if (value := getattr(own, field.name)) is not None:
                option = field.name.replace('_', '-')
                raise RecipeError(f'--{option} {value}: is for --command: recipes have keys, schedule.t_0=4ep')
        if not names:
            raise RecipeError('no recipe is named: name one, such as quickstart/digits, or pass --command')
        return planned_runs(
            names,
            [word for word in recipes or () if '=' in word],
            seeds=numbers,
            kinds=kinds.split(','),
            methods=split_methods(methods) if methods is not None else (),
            code=code or (),
            ranks=ranks,
        )
    of_recipes = [*(recipes or ()), *(f'--code {one}' for one in code or ()), *(['--methods'] if methods else [])]
    if of_recipes:
        raise RecipeError(f'{of_recipes[0]}: is for recipes, not for --command: leave it out (a method: --method NAME)')
    if own.max_duration is None:
        raise RecipeError('--command: pass --max-duration, the length of the cyclic run, such as 64ep')
    schedule = {'t_0': own.t_0, 't_mult': own.t_mult, 't_warmup': own.t_warmup}
    if own.cycle_ends is not None:
        schedule['cycle_ends'] = own.cycle_ends.split(',')
    return command_runs(
        own.command,
        own.max_duration,
        schedule={name: value for name, value in schedule.items() if value is not None},
        seeds=numbers,
        kinds=kinds.split(','),
        method=own.method,
        **({} if own.folder is None else {'folder': own.folder}),
    )
