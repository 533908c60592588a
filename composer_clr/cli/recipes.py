"""The commands on recipes: sweep, ensemble, merge."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.cli.options import (
    JsonFile,
    OwnCode,
    check_output,
    notes_on_stderr,
    say,
    write_json,
    write_result,
)
from composer_clr.cli.study_options import (
    Command,
    CycleEnds,
    Folder,
    Kinds,
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
from composer_clr.cli.tables import Table, number, show
from composer_clr.curves.axes import UNITS, count_labels, default_axis, point_count
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.metrics import is_lower_better
from composer_clr.recipes.schema import RecipeError
from composer_clr.utils.errors import listed

__all__ = ['ensemble', 'ensemble_table', 'merge', 'sweep']

_LAUNCHER = 'python -m'


def sweep(
    recipes: Recipes = None,
    seeds: Seeds = '17',
    kinds: Kinds = 'cyclic,standard',
    methods: Methods = None,
    launcher: Annotated[
        str,
        typer.Option(help="The command that starts a module: 'composer -n 8 -m' on eight GPUs."),
    ] = _LAUNCHER,
    code: OwnCode = None,
    command: Command = None,
    max_duration: MaxDuration = None,
    t_0: Period = None,
    t_mult: PeriodRatio = None,
    t_warmup: Warmup = None,
    cycle_ends: CycleEnds = None,
    method: Method = None,
    folder: Folder = None,
) -> None:
    """Print the commands of a study, one per line: cyclic runs and their standard runs. Complete runs are skipped.

    Of --command, each line passes the command itself on (env COMPOSER_CLR_COMMAND=...), which the curve then records.
    """
    from composer_clr.recipes.study import launched_ranks

    if command is not None and launcher != _LAUNCHER:
        raise RecipeError(f'--launcher {launcher!r}: is for recipes: put it into --command')
    with notes_on_stderr():
        planned = planned_study(
            OwnCommand(command, max_duration, t_0, t_mult, t_warmup, cycle_ends, method, folder),
            recipes,
            seeds=seeds,
            kinds=kinds,
            methods=methods,
            code=code,
            ranks=launched_ranks(launcher),
        )
    # All or nothing: an error in one command comes before the first is started.
    left = [run for run in planned if not run.is_complete()]
    for run in left:
        typer.echo(shlex.join(run.command_line(shlex.split(launcher), resumed=False)))


def ensemble(
    recipe: Annotated[str, typer.Argument(help='The recipe of the run.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='The same key=value pairs.')] = None,
    most: Annotated[int | None, typer.Option(min=1, help='The largest ensemble; by default all troughs.')] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            '--csv', help='Write curves of kinds ensemble-2, ensemble-3, ... as a long CSV; - is standard output.'
        ),
    ] = None,
    launcher: Annotated[
        str,
        typer.Option(help="What started the run, where its folder has {world_size} in it: 'composer -n 8 -m'."),
    ] = 'python -m',
    code: OwnCode = None,
    json_file: JsonFile = None,
) -> None:
    """Evaluate ensembles of a run's snapshots: the mean of the probabilities of the last k troughs, at each trough.

    The recipe names the network, the data and the run's folder, which are not in curve.json.
    """
    from composer_clr.averaging.ensemble import INFERENCE_COST
    from composer_clr.curves.long_csv import long_csv
    from composer_clr.recipes.study import launched_ranks
    from composer_clr.training.saved_weights import ensembles_of_recipe

    curve, ensembles = ensembles_of_recipe(recipe, overrides or [], most, launched_ranks(launcher), code or [])
    if csv_file is not None:
        write_result(csv_file, long_csv(ensembles[1:]).encode())
    records = [
        {
            'kind': 'ensemble',
            INFERENCE_COST: members,
            'members': members,
            **{key: getattr(point, key) for key in ('cycle', 'epoch', 'wall_clock_train_s')},
            'metrics': {name: value for name, value in point.metrics.items() if name != INFERENCE_COST},
        }
        for members, of_size in enumerate(ensembles, 1)
        for point in of_size.points
    ]
    records.sort(key=lambda record: record['cycle'])
    write_json(json_file, {'run_name': curve.run.run_name, 'points': records})
    show(ensemble_table(curve, ensembles), [], json_file, csv_file)


def ensemble_table(curve: TradeoffCurve, ensembles: Sequence[TradeoffCurve]) -> Table:
    """Returns a row per trough: the score of the last 1, 2, 3, ... snapshots, which is also the inference cost."""
    axis = default_axis([curve])
    troughs = {point.cycle: point_count(point, axis) or 0.0 for point in curve.points}
    metric = next(iter(ensembles[0].points[0].metrics)) if ensembles else ''
    loss = is_lower_better(metric)
    scores = {(p.cycle, size): p.metrics[metric] for size, of_size in enumerate(ensembles, 1) for p in of_size.points}
    sizes = sorted({size for _, size in scores})
    rows = []
    for cycle in sorted({cycle for cycle, _ in scores}):
        trough = troughs[cycle]
        label = f'{trough:g}ep' if axis == 'epoch' else f'{count_labels([trough], axis)[0]} {UNITS[axis]}'
        here = [scores.get((cycle, size), math.nan) for size in sizes]
        rows.append([label, *(number(score, 4) if loss else number(100 * score, 2) for score in here)])
    title = f'{metric if loss else "accuracy in %"}, by number of snapshots (= forward passes)'
    return Table(title, ['trough', *map(str, sizes)], rows)


def merge(
    recipe: Annotated[str, typer.Argument(help='The recipe of the run.')],
    checkpoints: Annotated[
        list[str], typer.Argument(help="The run's checkpoints, or folders of them, and the same key=value pairs.")
    ],
    output: Annotated[Path, typer.Option('-o', '--output', help='The curve.json to write.')] = Path(
        'merged/curve.json'
    ),
    marks: Annotated[
        str | None,
        typer.Option(help='Times of the points, separated by commas: 4ep,8ep; by default those of the recipe.'),
    ] = None,
    window: Annotated[float, typer.Option(help='The part of training up to each mark that is averaged.')] = 0.25,
    decay: Annotated[
        str, typer.Option(help='The decay that the average stands for: linear (uniform), cosine or 1-sqrt.')
    ] = 'linear',
    code: OwnCode = None,
) -> None:
    """Evaluate averages of the checkpoints of a run whose rate does not decay: a curve that nobody planned.

    The recipe describes the network and the data, which are not in checkpoints. Checkpoints are not unpickled.
    """
    from composer_clr.curves.names import MERGED
    from composer_clr.training.saved_weights import merged_curve

    check_output(output, MERGED)
    files = [Path(word) for word in checkpoints if '=' not in word]
    overrides = [word for word in checkpoints if '=' in word]
    with notes_on_stderr():
        curve = merged_curve(
            recipe,
            files,
            overrides,
            marks=None if marks is None else marks.split(','),
            window=window,
            decay=decay,
            code=code or [],
        )
    write_result(output, curve.to_json().encode(), MERGED)
    counts = listed([str(count) for count in curve.run.schedule['averaged']])
    points = f'{len(curve.points)} point{"s" * (len(curve.points) > 1)} of {curve.run.run_name}'
    say(f'{output}: {points}, from {counts} checkpoints', output)
