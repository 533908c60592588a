"""``composer-clr``: what is done with recipes and curves outside of training."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from composer_clr.curve import CurveError, TradeoffCurve
from composer_clr.data.conversion import ConversionError
from composer_clr.durations import read_duration
from composer_clr.recipe import RecipeError
from composer_clr.sources import read_sources
from composer_clr.terminal import printable
from composer_clr.whole_file import write_whole

__all__ = ['main']

app = typer.Typer(
    help='Accuracy-against-training-time tradeoff curves from one cyclic run.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Runs = Annotated[
    list[Path], typer.Argument(help='curve.json files, folders that hold some at any depth, or long CSVs.')
]
Metric = Annotated[str | None, typer.Option(help='label/metric; by default the accuracy that all have.')]
Peak = Annotated[bool, typer.Option('--peak', help='Take the best value in the window before each trough.')]
JsonFile = Annotated[Path | None, typer.Option('--json', help='Write the figures to this file too.')]
LowerIsBetter = Annotated[
    bool | None, typer.Option('--lower-is-better/--higher-is-better', help='By default told from the name.')
]
SlowStart = Annotated[
    float, typer.Option(metavar='EPOCHS', help='Take the first epochs to have gone at the pace of those after them.')
]
Strict = Annotated[bool, typer.Option('--strict', help='Stop at the first bad file or method.')]


@app.command()
def plot(
    runs: Runs,
    output: Annotated[Path, typer.Option('--output', '-o', help='PNG, SVG or PDF, by its ending.')] = Path('curve.png'),
    figure: Annotated[
        str,
        typer.Option(help='Figure of the paper: 1A, 1B, 1C, 2, 3, 3D, S1 or S2; 1C is accuracy against time.'),
    ] = '1C',
    metric: Metric = None,
    methods: Annotated[
        str | None, typer.Option(help='Methods to draw, separated by commas: all by default; one for 1A and S1.')
    ] = None,
    baseline: Annotated[str | None, typer.Option(help='For 2 and 3, the method to compare with: baseline.')] = None,
    align: Annotated[str | None, typer.Option(help='For 1B, 3 and 3D, as in compare.')] = None,
    axis: Annotated[str | None, typer.Option(help='For 1B, 3 and 3D, as in compare.')] = None,
    tolerance: Annotated[float | None, typer.Option(help='For 1B, 3 and 3D, as in compare.')] = None,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    strict: Strict = False,
) -> None:
    """Draw a figure: standard runs solid, cyclic ones dashed, error bars over seeds."""
    _check_picture(output)
    import matplotlib as mpl

    mpl.use('agg')
    from composer_clr.figure_style import show_as_written
    from composer_clr.figures import draw
    from composer_clr.pairing import Alignment

    given = {'mode': align, 'axis': axis, 'tolerance': tolerance}
    chosen = {name: value for name, value in given.items() if value is not None}
    curves = _read(runs, strict, slow_start)
    # Side by side stand the averaged weights' curves too; the other figures are of the runs.
    shown = _with_metric_sets(curves, metric) if figure in ('1C', '2', 'S2') else curves
    drawn = draw(
        figure,
        shown,
        metric,
        peak=peak,
        methods=methods.split(',') if methods else (),
        baseline=baseline,
        alignment=Alignment(**chosen) if chosen else None,  # type: ignore[arg-type]
        lower_is_better=lower_is_better,
    )
    show_as_written(drawn)
    output.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(output, dpi=200)
    points = sum(len(curve.points) for curve in curves)
    typer.echo(f'{output}: {points} points of {len(curves)} runs')


@app.command()
def compare(
    runs: Runs,
    metric: Metric = None,
    baseline: Annotated[str, typer.Option(help='The method that improvements are over.')] = 'baseline',
    align: Annotated[
        str, typer.Option(help='interpolate, exact, nearest, or fit (a curve through few standard runs).')
    ] = 'interpolate',
    axis: Annotated[str, typer.Option(help='Lay curves side by side by epoch or by time.')] = 'epoch',
    tolerance: Annotated[float, typer.Option(help='For nearest: how far apart, in natural log units.')] = 0.05,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Compare every kind of curve with the standard one: gaps, what methods gain on each, the ranking, what it cost."""
    from composer_clr import compare as comparing
    from composer_clr.pairing import Alignment
    from composer_clr.report import comparison_notes, comparison_table

    alignment = Alignment(align, axis, tolerance)  # type: ignore[arg-type]
    comparisons, left_out = comparing.compare_kinds(
        _with_metric_sets(_read(runs, strict, slow_start), metric),
        metric,
        baseline=baseline,
        alignment=alignment,
        peak=peak,
        lower_is_better=lower_is_better,
        strict=strict,
    )
    _write_json(json_file, comparing.record_kinds(comparisons))
    notes = [
        note if len(comparisons) == 1 else f'{escape(printable(kind))}: {note}'
        for kind, comparison in comparisons.items()
        for note in comparison_notes(comparison)
    ]
    notes.extend(escape(printable(f'{kind}: not compared, {why}')) for kind, why in left_out.items())
    _show(comparison_table(*comparisons.values()), notes)


@app.command()
def ask(
    runs: Runs,
    reach: Annotated[
        list[str] | None, typer.Option(help='How long to this value, 0.75 or 75%? May be given more than once.')
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            help='How good within this training time, 3600 (seconds), 90min or 2h? May be given more than once.'
        ),
    ] = None,
    frontier: Annotated[bool, typer.Option('--frontier', help='Which points does no other point beat?')] = False,
    metric: Metric = None,
    baseline: Annotated[str, typer.Option(help='The method that speedups are over.')] = 'baseline',
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    slow_start: SlowStart = 0.0,
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Ask every curve how soon it reaches a value, how much sooner than the baseline, how good it is in a time."""
    from composer_clr.answers import answer, answers_record
    from composer_clr.answers_report import answers_notes, answers_table, frontier_table

    if not (reach or within or frontier):
        raise CurveError('nothing is asked: give --reach VALUE, --within TIME or --frontier')
    told = answer(
        _read(runs, strict, slow_start),
        metric,
        reach=[_number('--reach', value, _fraction) for value in reach or ()],
        within_s=[_number('--within', time, read_duration) for time in within or ()],
        baseline=baseline,
        peak=peak,
        lower_is_better=lower_is_better,
    )
    _write_json(json_file, answers_record(told))
    if reach or within:
        _show(answers_table(told), answers_notes(told))
    if frontier:
        _show(frontier_table(told), [])


@app.command()
def export(
    runs: Runs,
    output: Annotated[Path, typer.Option('--output', '-o', help='The CSV to write.')] = Path('curves.csv'),
    strict: Strict = False,
) -> None:
    """Write runs as one long CSV, a row a point, which every command reads again."""
    from composer_clr.long_csv import write_long_csv

    curves = _read(runs, strict)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_long_csv(output, curves)
    typer.echo(f'{output}: {sum(len(curve.points) for curve in curves)} points of {len(curves)} runs')


@app.command('import-wandb')
def import_wandb(
    sources: Annotated[list[str], typer.Argument(help='ENTITY/PROJECT, or folders that W&B wrote offline.')],
    output: Annotated[Path, typer.Option('--output', '-o', help='The CSV to write.')] = Path('curves.csv'),
    name: Annotated[str | None, typer.Option(help='Regular expression of run names.')] = None,
    group: Annotated[str | None, typer.Option(help='Group of the runs.')] = None,
    tag: Annotated[list[str] | None, typer.Option(help='A tag that runs must have; may be given again.')] = None,
    config: Annotated[list[str] | None, typer.Option(help='key=value of their config; may be given again.')] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help='Key of a metric; by default metrics/..., not train.')
    ] = None,
    lr_key: Annotated[str | None, typer.Option(help='Key of the learning rate.')] = None,
    time_key: Annotated[str | None, typer.Option(help='Key of the training time.')] = None,
    time_unit: Annotated[str | None, typer.Option(help='seconds, minutes, hours or days; by default told.')] = None,
    method_key: Annotated[str | None, typer.Option(help='Key of the method in the config.')] = None,
    batches_per_epoch: Annotated[float | None, typer.Option(help='By default told from time/epoch.')] = None,
    window: Annotated[float, typer.Option(help='Epochs before a trough that its best value is looked for.')] = 0.0,
    strict: Strict = False,
) -> None:
    """Recover curves from the learning rates and metrics that W&B runs logged, and write them as a long CSV."""
    from composer_clr.long_csv import write_long_csv
    from composer_clr.wandb_history import Keys
    from composer_clr.wandb_import import import_curves
    from composer_clr.wandb_online import RunFilter

    keys = Keys(
        lr=lr_key,
        time=time_key,
        time_unit=time_unit,  # type: ignore[arg-type]
        metrics=tuple(metric or ()),
        method=method_key,
        batches_per_epoch=batches_per_epoch,
        window_epochs=window,
    )
    keep = RunFilter(name, group, tuple(tag or ()), dict(map(_setting, config or ())))
    curves, errors = import_curves(sources, keys, keep, strict=strict)
    _tell(errors)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_long_csv(output, curves)
    typer.echo(f'{output}: {sum(len(curve.points) for curve in curves)} points of {len(curves)} runs')


@app.command()
def schedule(
    recipe: Annotated[str, typer.Argument(help='A shipped recipe, such as quickstart/digits, or a YAML file.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='key=value pairs.')] = None,
    picture: Annotated[Path | None, typer.Option('--plot', help='Draw the learning rate: PNG, SVG or PDF.')] = None,
) -> None:
    """Show the cycles of a recipe, its points, and what the curve costs against a run for each point."""
    from composer_clr.recipe import load_recipe
    from composer_clr.recipe_cycles import recipe_cycles
    from composer_clr.report import schedule_notes, schedule_table

    if picture is not None:
        _check_picture(picture)
    loaded = load_recipe(recipe, overrides or [])
    told = recipe_cycles(loaded)
    _show(schedule_table(told), schedule_notes(told))
    if picture is not None:
        import matplotlib as mpl

        mpl.use('agg')
        from composer_clr.schedule_plot import learning_rate

        figure, _ = learning_rate(told, loaded.optimizer.lr, loaded.schedule.alpha_f)
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=200)
        typer.echo(f'{picture}: the learning rate')


@app.command()
def sweep(
    recipes: Annotated[list[str], typer.Argument(help='Recipes, and key=value pairs for all of their runs.')],
    seeds: Annotated[str, typer.Option(help='Seeds, separated by commas.')] = '17',
    kinds: Annotated[str, typer.Option(help='Kinds of run, separated by commas.')] = 'cyclic,standard',
    methods: Annotated[
        str | None, typer.Option(help='Methods to add to each recipe, separated by commas: baseline,LS,MX,LS+MX.')
    ] = None,
    launcher: Annotated[
        str, typer.Option(help="What starts a module: 'composer -n 8 -m' on eight GPUs.")
    ] = 'python -m',
) -> None:
    """Print the commands of a study, one a line: cyclic runs and their standard runs. Complete ones are left out."""
    from composer_clr.sweep import study

    names = [word for word in recipes if '=' not in word]
    overrides = [word for word in recipes if '=' in word]
    if not names:
        raise RecipeError('no recipe is named: give one, such as quickstart/digits')
    try:
        listed = [int(seed) for seed in seeds.split(',')]
    except ValueError as error:
        raise RecipeError(f'--seeds {seeds}: give whole numbers, such as 17,18,19') from error
    # All or nothing: a command that cannot be made is told before the first is started.
    runs = study(
        names,
        overrides,
        seeds=listed,
        kinds=kinds.split(','),
        methods=methods.split(',') if methods is not None else (),
    )
    commands = [shlex.join([*shlex.split(launcher), 'composer_clr.train', *run]) for run in runs]
    for command in commands:
        typer.echo(command)


@app.command()
def convert_images(
    source: Annotated[Path, typer.Argument(help='Folder with train/ and val/, a folder for each class in either.')],
    target: Annotated[Path, typer.Argument(help='Folder for the result; new, or that of an interrupted call.')],
    short_side: Annotated[int, typer.Option(help='What a longer short side is resized to, in pixels.')] = 400,
    quality: Annotated[int, typer.Option(help='JPEG quality of resized images, 1 to 95.')] = 90,
    form: Annotated[
        str, typer.Option('--format', help='mds: shards for data.name=streaming. folder: for data.name=imagefolder.')
    ] = 'mds',
    shard_images: Annotated[int, typer.Option(help='Images of a shard.')] = 1000,
    processes: Annotated[int | None, typer.Option(help='By default one for each core.')] = None,
    skip_unreadable: Annotated[
        bool, typer.Option('--skip-unreadable', help='Leave out files that are broken.')
    ] = False,
) -> None:
    """Make smaller copies of an ImageFolder's images, which load faster; interrupted, call it again and it goes on.

    What it does to accuracy has not been tested: evaluation pixels differ by about 2 of 255 on average at a short side
    of 400. Give all the runs of a comparison the same copies. Images that are small already are kept byte for byte.
    """
    import os

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from composer_clr.data import convert

    conversion = convert.Conversion(short_side, quality, form, shard_images, skip_unreadable)
    bar = Progress(BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task('images')
        made = convert.convert_images(
            source,
            target,
            conversion,
            processes or len(os.sched_getaffinity(0)),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(f'{target}: ' + ', '.join(f'{count} images in {split}' for split, count in made.items()))


@app.command()
def ensemble(
    recipe: Annotated[str, typer.Argument(help='The recipe that the run was trained with.')],
    overrides: Annotated[list[str] | None, typer.Argument(help='The same key=value pairs.')] = None,
    most: Annotated[int | None, typer.Option(min=1, help='The largest ensemble; by default all troughs.')] = None,
    csv_file: Annotated[
        Path | None, typer.Option('--csv', help='Write curves of kinds ensemble-2, ensemble-3, ... as a long CSV.')
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Evaluate ensembles of a run's snapshots: the mean of the probabilities of the last k troughs, at each trough.

    The recipe tells the network and the data, which curve.json does not hold, and with them the run's folder.
    """
    from composer_clr.ensemble import as_curves
    from composer_clr.ensemble_run import ensembles_of_recipe
    from composer_clr.long_csv import write_long_csv
    from composer_clr.report import ensemble_table

    curve, points = ensembles_of_recipe(recipe, overrides or [], most)
    if csv_file is not None:
        csv_file.parent.mkdir(parents=True, exist_ok=True)
        write_long_csv(csv_file, as_curves(curve, points))
    _write_json(json_file, {'run_name': curve.run.run_name, 'points': [point.as_record() for point in points]})
    _show(ensemble_table(points), [])


def main() -> None:
    """The entry point: errors in what was asked for are one line and exit status 2."""
    try:
        app()
    except (CurveError, RecipeError, ConversionError) as error:
        typer.echo(f'composer-clr: {printable(str(error))}', err=True)
        raise SystemExit(2) from error


def _read(paths: Sequence[Path], strict: bool, slow_start: float = 0.0) -> list[TradeoffCurve]:
    from composer_clr.slow_start import without_slow_start

    curves, errors = read_sources(paths, strict=strict)
    _tell(errors)
    return without_slow_start(curves, slow_start)


def _tell(errors: Sequence[CurveError]) -> None:
    for error in errors:
        typer.echo(f'composer-clr: left out: {printable(str(error))}', err=True)


def _write_json(path: Path | None, record: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, indent=1, allow_nan=False) + '\n')


def _fraction(text: str) -> float:
    try:
        return float(text.removesuffix('%')) / (100 if text.endswith('%') else 1)
    except ValueError as error:
        raise ValueError('is no number, write 0.75 or 75%') from error


def _number(option: str, text: str, read: Callable[[str], float]) -> float:
    try:
        return read(text)
    except ValueError as error:
        raise CurveError(f'{option} {text}: {error}') from error


def _setting(text: str) -> tuple[str, Any]:
    """A key and a value, in YAML's notation as in a recipe's overrides."""
    key, equals, value = text.partition('=')
    if not key or not equals:
        raise CurveError(f'--config {text!r} is not key=value, such as pareto.kind=cyclic')
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise CurveError(f'--config {text!r}: its value is not valid YAML') from error


def _with_metric_sets(curves: list[TradeoffCurve], metric: str | None) -> list[TradeoffCurve]:
    """The curves and those of their second metrics, unless a metric of such a set is asked for by its full name."""
    from composer_clr.metric_sets import METRIC_SETS, with_metric_sets

    return curves if (metric or '').startswith(tuple(f'{name}/' for name in METRIC_SETS)) else with_metric_sets(curves)


def _show(table: Table, notes: Sequence[str]) -> None:
    # Wider than any table of ours, so that no figure is cut: a narrow terminal wraps its lines.
    console = Console(width=500, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True)


def _check_picture(path: Path) -> None:
    if path.suffix not in ('.png', '.svg', '.pdf'):
        raise CurveError(f'{path}: a picture must end in .png, .svg or .pdf')
