"""Which way to draw a curve from one run comes nearest to the standard one.

``python -m tests.benchmarks.one_run_curves FOLDER`` makes the whole study; ``--help`` tells how to make less of it.

The quickstart's network and data are trained in every way that this package knows, with ten seeds a line, under the
baseline and under label smoothing with MixUp. Printed is a Markdown table: each line's gap to the standard cosine curve
(mean over its points, and its standard error over seeds), the gap at the last point, and what the curve costs, in
batches of training over those of the standard curve's runs. Under the folder given are every run's ``curve.json``, the
table, and for each method the whole comparison (``.json``) and a picture (``.png``).

Runs that are complete are left out: a study that was broken off goes on where it was. Each worker process trains many
runs, one after the other, with one thread.
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
from dataclasses import replace
from pathlib import Path

from composer_clr.analysis.compare import Comparison, compare_kinds
from composer_clr.analysis.comparison_record import record_kinds
from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.metric_sets import with_metric_sets
from composer_clr.curves.sources import read_sources
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.sweep import study

RECIPE = 'quickstart/digits'
HELD = ['schedule.t_hold=0.8', 'schedule.shape=1-sqrt']
# Each line: the kind of run, and what it changes in the recipe.
LINES: dict[str, tuple[str, list[str]]] = {
    # Weights averaged at the troughs leave the run as it is: its points hold both.
    'standard': ('standard', ['callbacks.TroughAverage={window: 0.25}']),
    'cyclic': ('cyclic', ['callbacks.TroughAverage={window: 0.25}']),
    # The control of averaging: a window of the trough alone, so that only batch norm's statistics are other ones.
    'statistics': ('cyclic', ['callbacks.TroughAverage={window: 1.0e-6}']),
    'fast': ('cyclic', ['callbacks.FastCycles={period: 1ep, amplitude: 0.1, cycles: 3}']),
    'linear': ('cyclic', ['schedule.shape=linear']),
    '1-sqrt': ('cyclic', ['schedule.shape=1-sqrt']),
    'triangle': ('cyclic', ['schedule.shape=triangle']),
    'peaks-0.7': ('cyclic', ['schedule.peak_decay=0.7']),
    'peaks-sqrt': ('cyclic', ['schedule.peak_decay=sqrt']),
    'rewarmup': ('cyclic', ['schedule.t_rewarmup=0.1']),
    'constant': ('cyclic', ['schedule.t_mult=1']),
    'wsd-s': ('cyclic', HELD),
    'branch': ('branch', HELD),
}
METHODS = ('baseline', 'LS+MX')
DRAWN = ('standard', 'cyclic', 'cyclic-averaged', 'wsd-s', 'branch')
EXPLAINED = {
    'cyclic': 'cyclic, as in the paper',
    'cyclic-averaged': 'cyclic, weights averaged over the last quarter of each cycle',
    'statistics-averaged': "cyclic, batch norm's statistics alone measured anew",
    'standard-averaged': 'standard, weights averaged over the last quarter of each run',
    'fast-fast-cycles': 'cyclic, three fast cycles of an epoch off each trough, averaged',
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


def chains(options: argparse.Namespace) -> Iterator[list[list[str]]]:
    """The runs that are still to be made; those of a chain one after the other, a trunk before its branches."""
    for seed in range(17, 17 + options.seeds):
        for method in options.methods:
            for line in options.lines:
                kind, changes = LINES[line]
                overrides = [
                    f'max_duration={options.max_duration}',
                    f'run_name=${{snapshot.method}}-{line}-${{max_duration}}-seed${{seed}}',
                    f'snapshot.folder={options.folder}/{method}/{{run_name}}',
                    f'snapshot.kind={line}',
                    'snapshot.save_weights=false',
                    'progress_bar=false',
                    *changes,
                ]
                runs = list(study([RECIPE], overrides, seeds=[seed], kinds=[kind], methods=[method]))
                if runs:
                    yield runs


def train_chain(runs: list[list[str]]) -> list[str]:
    """Train runs one after the other, in silence; tells those that failed, and why."""
    from composer_clr.train import main as train

    failed = []
    for run in runs:
        told = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            status = train(run)
        if status:
            failed.append(f'{" ".join(run)}: {told.getvalue().strip()}')
    return failed


def train_all(options: argparse.Namespace) -> None:
    os.environ['OMP_NUM_THREADS'] = '1'  # before a worker imports torch
    todo = list(chains(options))
    print(f'{sum(map(len, todo))} runs to make, {options.workers} at a time', file=sys.stderr)
    if not todo:
        return
    began = time.monotonic()
    with multiprocessing.get_context('spawn').Pool(options.workers) as pool:
        for done, failed in enumerate(pool.imap_unordered(train_chain, todo), start=1):
            for what in failed:
                print(f'failed: {what}', file=sys.stderr)
            minutes = (time.monotonic() - began) / 60
            print(f'{done} of {len(todo)} chains of runs, {minutes:.1f} minutes', file=sys.stderr)


def compared(options: argparse.Namespace, method: str) -> tuple[dict[str, Comparison], dict[str, float]]:
    """Each kind's comparison with the standard curve, and its cost in batches of training."""
    curves, _ = read_sources([options.folder / method])
    # Whose plain points are those of the cyclic line once more.
    curves = [curve for curve in with_metric_sets(curves) if curve.run.kind not in ('statistics', 'fast')]
    found, left_out = compare_kinds(curves, baseline=method, alignment=Alignment('exact'), strict=False)
    for kind, why in left_out.items():
        print(f'{method}, {kind}: {why}', file=sys.stderr)
    (options.folder / f'{method}.json').write_text(json.dumps(record_kinds(found), indent=1) + '\n', encoding='utf-8')
    draw([curve for curve in curves if curve.run.kind in DRAWN], options.folder / f'{method}.png')
    metric = next(iter(found.values())).metric
    batches = mean_curves(map(in_batches, curves), metric)
    costs = {
        kind: 1 / measured_cost_ratio(batches[method, kind], batches[method, 'standard'], Alignment('exact'))
        for kind in found
    }
    return found, costs


def in_batches(curve: TradeoffCurve) -> TradeoffCurve:
    """The curve with batches in place of seconds, which do not tell of what else the machine did meanwhile."""
    parent = curve.run.parent
    if parent is not None:
        parent = {**parent, 'wall_clock_train_s': float(parent['batch'])}
    points = [replace(point, wall_clock_train_s=float(point.batch)) for point in curve.points]
    return TradeoffCurve(replace(curve.run, parent=parent), points)


def draw(curves: list[TradeoffCurve], path: Path) -> None:
    import matplotlib as mpl

    mpl.use('agg')
    from composer_clr.figures.tradeoff import accuracy_against_time

    accuracy_against_time(curves)[0].savefig(path, dpi=200)


def table(options: argparse.Namespace) -> str:
    """The table in Markdown: a row a line, three columns a method."""
    results = {method: compared(options, method) for method in options.methods}
    first = next(iter(results.values()))[0]
    kinds = [kind for kind in EXPLAINED if all(kind in found for found, _ in results.values())]
    kinds += [kind for kind in first if kind not in EXPLAINED]
    last = max(first[kinds[0]].methods[options.methods[0]].gap.count)
    headings = [f'{method}: {what}' for method in results for what in ('mean gap', f'gap at {last:g} epochs')]
    rows = [['curve', *headings, 'cost'], ['---', *['---:'] * (len(headings) + 1)]]
    for kind in kinds:
        row = [EXPLAINED.get(kind, kind)]
        for method, (found, _) in results.items():
            gap = found[kind].methods[method].gap
            row += [with_error(gap.mean, gap.mean_sem), with_error(float(gap.value[-1]), gap.sem[-1])]
        rows.append([*row, f'{next(iter(results.values()))[1][kind]:.3f}'])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n'


def with_error(value: float, error: float | None) -> str:
    return f'{value:+.2f}' if error is None else f'{value:+.2f} ± {error:.2f}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where runs, table, comparisons and pictures go')
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--max-duration', default='64ep')
    parser.add_argument('--lines', nargs='+', choices=list(LINES), default=list(LINES))
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=METHODS)
    options = parser.parse_args()
    train_all(options)
    told = table(options)
    points = recipe_cycles_of(options.max_duration)
    note = (
        f'\n{options.seeds} seeds; gaps in percentage points, at {points} epochs; cost in batches, standard curve 1.\n'
    )
    (options.folder / 'table.md').write_text(told + note, encoding='utf-8')
    print(told + note, end='')


def recipe_cycles_of(max_duration: str) -> str:
    from composer_clr.recipes.load import load_recipe

    return ', '.join(map(str, recipe_cycles(load_recipe(RECIPE, [f'max_duration={max_duration}'])).troughs))


if __name__ == '__main__':
    main()
