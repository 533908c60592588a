"""Compares curves from one run with the standard curve: ``python -m tests.benchmarks.one_run_curves FOLDER``.

The quickstart's network and data are trained in every shape and kind, with ten seeds per line, as the baseline and with
label smoothing and MixUp. Printed is a Markdown table: each line's gap to the standard cosine curve (mean over its
points, and its standard error over seeds), the gap at the last point, and the cost of the curve, in training batches
over those of the standard curve's runs. The folder holds every run's ``curve.json``, the table, and per method the
whole comparison (``.json``), a figure (``.png``) and one of the gaps (``-gap.png``).

Complete runs are skipped, so that an interrupted study continues. Each worker process trains several runs, one after
the other, with one thread. ``--help`` lists options for a smaller study.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.files import read_sources, with_metric_sets
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.study import planned_runs
from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import KindComparison, compare
from composer_clr.study.estimates import Estimates
from composer_clr.study.record import record
from composer_clr.study.table import Study as Table

RECIPE = 'quickstart/digits'
HOLD_AND_DECAY = ['schedule.t_hold=0.8', 'schedule.shape=1-sqrt']
# The kind of run of each line, and its changes to the recipe.
LINES: dict[str, tuple[str, list[str]]] = {
    # Averaging weights at the troughs does not change the run: its points hold both.
    'standard': ('standard', ['callbacks.TroughAverage={window: 0.25}']),
    'cyclic': ('cyclic', ['callbacks.TroughAverage={window: 0.25}']),
    # The control of averaging: a window of the trough alone, so that only batch norm's statistics differ.
    'statistics': ('cyclic', ['callbacks.TroughAverage={window: 1.0e-6}']),
    'fast': ('cyclic', ['callbacks.FastCycles={period: 1ba, amplitude: 0.1, cycles: 3}']),
    'linear': ('cyclic', ['schedule.shape=linear']),
    '1-sqrt': ('cyclic', ['schedule.shape=1-sqrt']),
    'triangle': ('cyclic', ['schedule.shape=triangle']),
    'peaks-0.7': ('cyclic', ['schedule.peak_decay=0.7']),
    'peaks-sqrt': ('cyclic', ['schedule.peak_decay=sqrt']),
    'rewarmup': ('cyclic', ['schedule.t_rewarmup=0.1']),
    'constant': ('cyclic', ['schedule.t_mult=1']),
    'wsd-s': ('cyclic', HOLD_AND_DECAY),
    'branch': ('branch', HOLD_AND_DECAY),
}
METHODS = ('baseline', 'LS+MX')


@dataclass(frozen=True)
class Study:
    """The runs of a study, and what its table and figure show.

    Attributes:
        recipe (str): The recipe of all runs.
        lines (dict[str, tuple[str, list[str]]]): The kind of run of each line, and its changes to the recipe.
        labels (dict[str, str]): Label of each kind of curve in the table, in order.
        drawn (tuple[str, ...]): The kinds in the figure.
        overrides (tuple[str, ...]): Changes to the recipe for all runs. Default: ``()``.
        methods (tuple[str, ...]): The methods to train. Default: the baseline, and label smoothing with MixUp.
    """

    recipe: str
    lines: dict[str, tuple[str, list[str]]]
    labels: dict[str, str]
    drawn: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS


DRAWN = ('standard', 'cyclic', 'cyclic-averaged', 'wsd-s', 'branch')
LABELS = {
    'cyclic': 'cyclic, as in the paper',
    'cyclic-averaged': 'cyclic, weights averaged over the last quarter of each cycle',
    'statistics-averaged': "cyclic, only batch norm's statistics recomputed",
    'standard-averaged': 'standard, weights averaged over the last quarter of each run',
    'fast-fast-cycles': 'cyclic, three fast cycles of a batch off each trough, averaged',
    'linear': 'linear decays',
    '1-sqrt': '1-sqrt decays',
    'triangle': 'triangles',
    'peaks-0.7': 'each peak 0.7 of the one before',
    'peaks-sqrt': 'peaks by one over the square root of the cycle',
    'rewarmup': 'a rise over the first tenth of each cycle',
    'constant': 'constant short cycles',
    'wsd-s': 'WSD-S, decays over the last fifth of each cycle',
    'branch': 'cooldown branches over the last fifth',
}


DIGITS = Study(RECIPE, LINES, LABELS, DRAWN)


def chains(options: argparse.Namespace) -> Iterator[list[list[str]]]:
    """Yields the runs that are not complete, in chains to be trained in order: a trunk before its branches."""
    for method in options.methods:
        for seed in range(17, 17 + options.seeds):
            for line in options.lines:
                kind, changes = options.study.lines[line]
                overrides = [
                    *options.study.overrides,
                    f'max_duration={options.max_duration}',
                    f'run_name=${{snapshot.method}}-{line}-${{max_duration}}-seed${{seed}}',
                    f'snapshot.folder={options.folder}/{method}/{{run_name}}',
                    f'snapshot.kind={line}',
                    'snapshot.save_weights=false',
                    'progress_bar=false',
                    *changes,
                ]
                planned = planned_runs([options.study.recipe], overrides, seeds=[seed], kinds=[kind], methods=[method])
                if runs := [[run.name, *run.overrides] for run in planned if not run.is_complete()]:
                    yield runs


def train_chain(runs: list[list[str]]) -> list[str]:
    """Trains runs one after the other without output; returns those that failed, and why."""
    from composer_clr.train import main as train

    failed = []
    for run in runs:
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            status = train(run)
        if status:
            failed.append(f'{" ".join(run)}: {errors.getvalue().strip()}')
    return failed


def train_all(options: argparse.Namespace) -> None:
    os.environ['OMP_NUM_THREADS'] = '1'  # before a worker imports torch
    todo = list(chains(options))
    print(f'{sum(map(len, todo))} runs to train, {options.workers} at a time', file=sys.stderr)
    if not todo:
        return
    began = time.monotonic()
    # Composer keeps the state of every closed Trainer, with its images, until the process ends.
    with multiprocessing.get_context('spawn').Pool(options.workers, maxtasksperchild=8) as pool:
        for done, failed in enumerate(pool.imap_unordered(train_chain, todo), start=1):
            for what in failed:
                print(f'failed: {what}', file=sys.stderr)
            minutes = (time.monotonic() - began) / 60
            print(f'{done} of {len(todo)} chains of runs, {minutes:.1f} minutes', file=sys.stderr)
        pool.close()
        pool.join()


def compared(options: argparse.Namespace, method: str) -> tuple[dict[str, KindComparison], dict[str, float]]:
    """Returns each kind's comparison with the standard curve, and its cost in training batches."""
    curves, _ = read_sources([options.folder / method])
    # The plain points of these two repeat those of the cyclic line.
    curves = [curve for curve in with_metric_sets(curves) if curve.run.kind not in ('statistics', 'fast')]
    found = compare(Table.of(curves, baseline=method, strict=False), Alignment('exact'), strict=False)
    for kind, why in found.left_out.items():
        print(f'{method}, {kind}: {why}', file=sys.stderr)
    (options.folder / f'{method}.json').write_text(json.dumps(record(found), indent=1) + '\n', encoding='utf-8')
    comparisons = {kind: one for kind, one in found.kinds.items() if one.methods}
    drawn = [curve for curve in curves if curve.run.kind in options.study.drawn]
    draw(drawn, options.folder / f'{method}.png')
    of_compared = [curve for curve in drawn if curve.run.kind in ('standard', *comparisons)]
    draw(of_compared, options.folder / f'{method}-gap.png', 'gap')
    batches = Table.of(map(in_batches, curves), found.study.metric, baseline=method, strict=False)
    of_batches = compare(batches, Alignment('exact'), strict=False).kinds
    costs = {kind: 1 / float(of_batches[kind].methods[method].cost.ratio.value) for kind in comparisons}
    return comparisons, costs


def in_batches(curve: TradeoffCurve) -> TradeoffCurve:
    """Returns the curve with batches in place of seconds, which depend on the machine's other work."""
    parent = curve.run.parent
    if parent is not None:
        parent = {**parent, 'wall_clock_train_s': float(parent['batch'])}
    points = [replace(point, wall_clock_train_s=float(point.batch)) for point in curve.points]
    return TradeoffCurve(replace(curve.run, parent=parent), points)


def draw(curves: list[TradeoffCurve], path: Path, figure: str = '1C') -> None:
    import matplotlib as mpl

    mpl.use('agg')
    from composer_clr.figures import by_number
    from composer_clr.figures.plane import paper_style

    with paper_style():
        by_number.draw(figure, Table.of(curves)).savefig(path, dpi=200)


def table(options: argparse.Namespace) -> str:
    """Returns the table in Markdown: a row per line, two columns per method, and the cost."""
    results = {method: compared(options, method) for method in options.methods}
    labels = options.study.labels
    costs = {kind: cost for _, of_method in reversed(results.values()) for kind, cost in of_method.items()}
    kinds = [kind for kind in labels if kind in costs] + [kind for kind in costs if kind not in labels]
    gaps = {
        method: {kind: found.methods[method].gap for kind, found in of_method.items()}
        for method, (of_method, _) in results.items()
    }
    last = max(gap.count[-1] for of_method in gaps.values() for gap in of_method.values())
    headings = [f'{method}: {what}' for method in results for what in ('mean gap', f'gap at {last:g} epochs')]
    rows = [['curve', *headings, 'cost'], ['---', *['---:'] * (len(headings) + 1)]]
    for kind in kinds:
        row = [labels.get(kind, kind)]
        for of_method in gaps.values():
            gap = of_method.get(kind)
            places = [] if gap is None else gap.count.tolist()
            row.append('' if gap is None else with_error(gap.mean_of_all, 0, options.confidence))
            row.append(with_error(gap.each, places.index(last), options.confidence) if gap and last in places else '')
        rows.append([*row, f'{costs[kind]:.3f}'])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n'


def with_error(found: Estimates, i: int, confidence: bool) -> str:
    """Returns a gap with half of its 95% interval, or with its standard error; alone, with one seed."""
    value, sem, _, high, seeds = (float(part[i]) for part in found)
    return f'{value:+.2f}' if seeds < 2 else f'{value:+.2f} ± {high - value if confidence else sem:.2f}'


def run_study(study: Study, description: str | None, seeds: int, *, confidence: bool = False) -> None:
    """Reads the command line, trains the runs that are not complete, and prints the table.

    Args:
        study (Study): The study.
        description (str | None): Text of ``--help``.
        seeds (int): Default number of seeds.
        confidence (bool): Whether gaps have 95% intervals, by Student's t, in place of standard errors. Default:
            ``False``.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='folder for runs, table, comparisons and figures')
    parser.add_argument('overrides', nargs='*', metavar='key=value', help='changes to the recipe for all runs')
    parser.add_argument('--seeds', type=int, default=seeds)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--max-duration', default='64ep')
    parser.add_argument('--lines', nargs='+', choices=list(study.lines), default=list(study.lines))
    parser.add_argument('--methods', nargs='+', choices=study.methods, default=study.methods)
    options = parser.parse_args()
    options.study = study = replace(study, overrides=(*study.overrides, *options.overrides))
    options.confidence = confidence
    train_all(options)
    rows = table(options)
    points = points_of(study, options.max_duration)
    spread = '95% intervals' if confidence else 'standard errors'
    over = f'{options.seeds} seeds' if options.seeds > 1 else 'one seed'
    note = (
        f'\n{over}; gaps in percentage points with {spread}, at {points} epochs; cost in batches, standard curve 1.\n'
    )
    (options.folder / 'table.md').write_text(rows + note, encoding='utf-8')
    print(rows + note, end='')


def points_of(study: Study, max_duration: str) -> str:
    from composer_clr.recipes.load import load_recipe

    recipe = load_recipe(study.recipe, [*study.overrides, f'max_duration={max_duration}', 'schedule.kind=cyclic'])
    return ', '.join(map(str, recipe_cycles(recipe).troughs))


if __name__ == '__main__':
    run_study(DIGITS, __doc__, seeds=10)
