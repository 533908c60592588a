"""The commands on recipes: schedule, sweep, ensemble."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from composer_clr.cli.options import (
    JsonFile,
    check_output,
    check_picture,
    notes_on_stderr,
    say,
    show,
    write_json,
    write_picture,
    write_result,
)
from composer_clr.cli.study_options import Kinds, Methods, Recipes, Seeds, study_arguments
from composer_clr.recipes.schema import RecipeError
from composer_clr.utils.errors import listed

__all__ = ['ensemble', 'merge', 'schedule', 'sweep']


def schedule(
    recipe: Annotated[str, typer.Argument(help='A shipped recipe, such as quickstart/digits, or a YAML file.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='key=value pairs.')] = None,
    points: Annotated[
        int | None, typer.Option(help='Find the schedule with so many points up to max_duration, as overrides to copy.')
    ] = None,
    start: Annotated[
        str | None,
        typer.Option('--from', metavar='TIME', help='Add what training on from this time costs: a run to extend.'),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option('--plot', help='Draw the learning rate to this PNG, SVG or PDF.')
    ] = None,
) -> None:
    """Show the cycles of a recipe's run, its points, and the cost of the curve beside one run per point.

    For schedule.kind=branch: the trunk and its branches.
    """
    from composer_clr.cli.schedule_tables import (
        branch_notes,
        branch_table,
        copies_note,
        extension_note,
        schedule_notes,
        schedule_table,
    )
    from composer_clr.curves.names import ANYTIME
    from composer_clr.recipes.load import load_recipe
    from composer_clr.recipes.preview import extended, fitting_overrides, planned_branches, planned_run

    if picture is not None:
        check_picture(picture)
    loaded = load_recipe(recipe, overrides or [])
    notes = []
    if points is not None:
        fitting = fitting_overrides(loaded, points)
        loaded = load_recipe(recipe, [*(overrides or []), *fitting])
        notes.append(f'{points} points up to max_duration={loaded.max_duration}: {shlex.join(fitting)}')
    if start is not None:
        notes.append(extension_note(extended(loaded, start)))
    planned = planned_run(loaded)
    if loaded.schedule.kind == ANYTIME:
        notes.append(copies_note(planned, loaded.schedule.average))
    branches = planned_branches(loaded) if loaded.schedule.kind == 'branch' else []
    if branches:
        show(branch_table(branches, planned.unit), [*branch_notes(branches, planned), *notes])
    else:
        show(schedule_table(planned), [*schedule_notes(planned), *notes])
    if picture is not None:
        import matplotlib as mpl

        mpl.use('agg')
        from composer_clr.figures.schedule import learning_rate
        from composer_clr.figures.style import paper_style

        with paper_style():
            figure, _ = learning_rate(
                planned.cycles,
                planned.end,
                planned.unit,
                loaded.optimizer.lr,
                loaded.schedule.alpha_f,
                branches=[branch.end for branch in branches[1:]],
            )
            write_picture(picture, figure)
        say(f'{picture}: the learning rate', picture)


def sweep(
    recipes: Recipes,
    seeds: Seeds = '17',
    kinds: Kinds = 'cyclic,standard',
    methods: Methods = None,
    launcher: Annotated[
        str,
        typer.Option(
            help="The command that starts a module: 'composer -n 8 -m' on eight GPUs; 'llmfoundry train' for its YAML."
        ),
    ] = 'python -m',
) -> None:
    """Print the commands of a study, one per line: cyclic runs and their standard runs. Complete runs are skipped."""
    from composer_clr.recipes.llm_foundry_study import is_llm_foundry, llm_foundry_study
    from composer_clr.recipes.study import launched_ranks, study

    arguments = study_arguments(recipes, seeds, kinds, methods)
    words = shlex.split(launcher)
    # All or nothing: an error in one command comes before the first is started.
    if is_llm_foundry(words):
        if methods is not None:
            raise RecipeError(f'--methods {methods}: are for recipes: name LLM Foundry algorithms in the YAML')
        names, _ = arguments.pop('names'), arguments.pop('methods')
        with notes_on_stderr():
            runs = [run for name in names for run in llm_foundry_study(name, **arguments)]
    else:
        words.append('composer_clr.train')
        with notes_on_stderr():
            runs = study(**arguments, ranks=launched_ranks(launcher))
    for run in runs:
        typer.echo(shlex.join([*words, *run]))


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
    json_file: JsonFile = None,
) -> None:
    """Evaluate ensembles of a run's snapshots: the mean of the probabilities of the last k troughs, at each trough.

    The recipe names the network, the data and the run's folder, which are not in curve.json.
    """
    from composer_clr.averaging.ensemble import as_curves
    from composer_clr.cli.tables import ensemble_table
    from composer_clr.curves.long_csv import long_csv
    from composer_clr.recipes.study import launched_ranks
    from composer_clr.training.ensemble import ensembles_of_recipe

    curve, points = ensembles_of_recipe(recipe, overrides or [], most, launched_ranks(launcher))
    if csv_file is not None:
        write_result(csv_file, long_csv(as_curves(curve, points)).encode())
    write_json(json_file, {'run_name': curve.run.run_name, 'points': [point.as_record() for point in points]})
    show(ensemble_table(curve, points), [], json_file, csv_file)


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
) -> None:
    """Evaluate averages of the checkpoints of a run whose rate does not decay: a curve that nobody planned.

    The recipe describes the network and the data, which are not in checkpoints. Checkpoints are not unpickled.
    """
    from composer_clr.curves.names import MERGED
    from composer_clr.training.merge import merged_curve

    check_output(output, MERGED)
    files = [Path(word) for word in checkpoints if '=' not in word]
    overrides = [word for word in checkpoints if '=' in word]
    with notes_on_stderr():
        curve = merged_curve(
            recipe, files, overrides, marks=None if marks is None else marks.split(','), window=window, decay=decay
        )
    write_result(output, curve.to_json().encode(), MERGED)
    counts = listed([str(count) for count in curve.run.schedule['averaged']])
    points = f'{len(curve.points)} point{"s" * (len(curve.points) > 1)} of {curve.run.run_name}'
    say(f'{output}: {points}, from {counts} checkpoints', output)
