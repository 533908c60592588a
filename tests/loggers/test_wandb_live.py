"""The curve in Weights & Biases while it grows: real runs, offline, read back by W&B's own reader."""

import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import wandb
from composer import Callback
from composer.algorithms import LabelSmoothing
from composer.callbacks import LRMonitor, SpeedMonitor
from composer.loggers import InMemoryLogger, LoggerDestination, WandBLogger
from composer.models import ComposerClassifier
from composer.optim import CosineAnnealingWarmRestartsScheduler, CosineAnnealingWithWarmupScheduler
from pydantic import TypeAdapter
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from composer_clr import (
    AnytimeAverage,
    AnytimeScheduler,
    CyclicCosineScheduler,
    ParetoSnapshot,
    ScheduleFree,
    TradeoffCurve,
    TradeoffPoint,
)
from composer_clr.cli import app as cli
from composer_clr.curves import curve as curve_module
from composer_clr.curves.curve import CurveError
from composer_clr.curves.long_csv import read_long_csv
from composer_clr.loggers import wandb_live
from composer_clr.loggers.history import RunFilter
from composer_clr.loggers.import_curves import import_curves
from composer_clr.loggers.recovered_curve import Keys
from composer_clr.loggers.wandb_runs import wandb_runs
from composer_clr.train import main
from tests.helpers.fake_clock import FakeClock
from tests.helpers.recorded_runs import doubling
from tests.helpers.runs_and_lines import run
from tests.helpers.trainers import classifier
from tests.helpers.wandb_runs import Logged, close_files, folders, go_offline, in_its_own_process, offline

__all__ = ['offline']

ACCURACY = 'eval/MulticlassAccuracy'
QUICKSTART = [
    'quickstart/digits',
    'run_name=watched',
    'max_duration=16ep',
    'data.arguments.train_images=100',
    'progress_bar=false',
    'loggers.WandBLogger.project=clr',
    'callbacks={LRMonitor: {}, SpeedMonitor: {window_size: 2}}',
    'snapshot={folder: out, log_artifact: true}',
]


@pytest.fixture(scope='module')
def quickstart(tmp_path_factory) -> Path:
    """The quickstart, shrunk to three troughs, offline."""
    folder = tmp_path_factory.mktemp('quickstart')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        go_offline(folder, patch)
        FakeClock(patch)
        assert main(QUICKSTART) == 0
    close_files()
    return folder


@pytest.fixture(scope='module')
def logged(quickstart) -> Logged:
    (folder,) = folders(quickstart)
    return Logged(folder)


@pytest.fixture(scope='module')
def curve(quickstart) -> TradeoffCurve:
    return TradeoffCurve.read(quickstart / 'out')


def test_every_point_is_a_row_with_all_its_values_and_composers_and_its_own_axes(logged, curve):
    assert len(logged.points) == len(curve.points) == 3
    for row, point in zip(logged.points, curve.points, strict=True):
        for name in ('cycle', 'epoch', 'wall_clock_train_s', 'lr'):
            assert row[f'pareto/{name}'] == getattr(point, name)
        for name, value in point.metrics.items():
            assert row[f'pareto/{name}'] == row[f'pareto-by-epoch/{name}'] == row[f'metrics/{name}'] == value
        for name, value in point.peak_metrics.items():
            assert row[f'pareto/peak/{name}'] == value
        assert row['_step'] == row['time/batch'] == point.batch or point.cycle == 2
        # Logged after our point, when the epoch ends and the next one starts.
        assert row['time/epoch'] == point.epoch
    assert [row['_step'] for row in logged.rows] == list(range(33))
    for prefix, axis in (('pareto/', 'pareto/wall_clock_train_s'), ('pareto-by-epoch/', 'pareto/epoch')):
        assert logged.axes[f'{prefix}*'] == logged.axes[f'{prefix}{ACCURACY}'] == axis
    # The axes themselves are defined, and are their own.
    assert logged.axes['pareto/wall_clock_train_s'] == logged.axes['pareto/epoch'] == ''


def test_the_table_holds_all_points_as_they_are_in_the_file(logged, curve):
    columns, rows = logged.table('pareto/points')
    assert columns[:4] == ['cycle', 'epoch', 'wall_clock_train_s', 'lr']
    assert len(rows) == 3
    for values, point in zip((dict(zip(columns, row, strict=True)) for row in rows), curve.points, strict=True):
        assert values['epoch'] == point.epoch
        assert values['wall_clock_train_s'] == point.wall_clock_train_s
        assert {name: values[name] for name in point.metrics} == point.metrics


def test_the_chart_is_a_line_of_accuracy_against_the_logarithm_of_time(logged, curve):
    chart = logged.config['_wandb.visualize.pareto/curve']
    assert chart['panel_type'] == 'Vega2'
    assert chart['panel_config']['panelDefId'] == 'wandb/line/v0'
    fields = {'x': 'log10_wall_clock_train_s', 'y': 'MulticlassAccuracy', 'stroke': 'kind'}
    assert chart['panel_config']['fieldSettings'] == fields
    (query,) = chart['panel_config']['userQuery']['queryFields']
    key = next(f['args'][0]['value'] for f in query['fields'] if f['name'] == 'summaryTable')
    columns, rows = logged.table(key)
    assert set(fields.values()) <= set(columns)
    drawn = [(row[columns.index('log10_wall_clock_train_s')], row[columns.index('MulticlassAccuracy')]) for row in rows]
    assert drawn == [(math.log10(p.wall_clock_train_s), p.metrics[ACCURACY]) for p in curve.points]
    assert {row[columns.index('kind')] for row in rows} == {'cyclic'}


def test_config_and_summary_tell_method_kind_schedule_cost_and_the_last_and_the_best_point(logged, curve):
    config = logged.config['pareto']
    assert (config['method'], config['kind'], config['schedule']) == ('baseline', 'cyclic', curve.run.schedule)
    assert config['cost'] == {'points': 3, 'unit': 'ba', 'this_run': 32, 'separate_runs': 56, 'ratio': 1.75}
    best = max(curve.points, key=lambda point: point.metrics[ACCURACY])
    for which, point in (('last', curve.points[-1]), ('best', best)):
        assert logged.summary[f'pareto/{which}/cycle'] == point.cycle
        assert logged.summary[f'pareto/{which}/{ACCURACY}'] == point.metrics[ACCURACY]


def test_the_best_point_of_a_loss_is_the_lowest():
    for metric, directions in (('eval/loss_by_class/0', {}), ('eval/F1', {'eval/F1': 'min'})):
        lossy = run('baseline', 'cyclic', [(1, 0.9), (2, 0.4), (3, 0.6), (4, 0.4)], metric=metric)
        assert wandb_live.charted(lossy.run, lossy.points) == metric
        best = wandb_live.best_point(replace(lossy.run, directions=directions), lossy.points, metric)
        assert best == lossy.points[1]


def test_each_snapshot_is_an_artifact_with_its_point(logged, curve):
    snapshots = [artifact for artifact in logged.artifacts if artifact.type == 'model']
    assert [artifact.name for artifact in snapshots] == ['watched-pareto'] * 3
    for artifact, point in zip(snapshots, curve.points, strict=True):
        assert {'latest', f'cycle{point.cycle}', f'ba{point.batch}'} <= set(artifact.aliases)
        assert [entry.path for entry in artifact.manifest.contents] == [point.checkpoint]
        assert json.loads(artifact.metadata)[ACCURACY] == point.metrics[ACCURACY]


def wandb_logger(**init) -> WandBLogger:
    return WandBLogger(project='clr', init_kwargs=init)


def test_a_batch_that_completes_several_cycles_logs_one_row_and_drops_none_of_composers(make_trainer, offline):
    """Also the last point is written, though nothing is logged after it: W&B does, when the process exits."""
    ends = ParetoSnapshot(
        CyclicCosineScheduler(cycle_ends=['5sp', '6sp', '7sp', '8sp', '320sp']), folder='out', save_weights=False
    )
    callbacks = [ends, LRMonitor()]
    make_trainer(
        schedulers=CyclicCosineScheduler('80sp'), callbacks=callbacks, loggers=wandb_logger(), max_duration='8ep'
    ).fit()
    assert wandb.run is not None
    (folder,) = folders(offline)
    logged = Logged(folder)
    assert [point.cycle for point in TradeoffCurve.read(offline / 'out').points] == [0, 1, 2, 3, 4]
    assert [(row['_step'], row['pareto/cycle']) for row in logged.points] == [(2, 3), (80, 4)]
    assert [row['_step'] for row in logged.rows if 'lr-SGD/group0' in row] == list(range(1, 81))


def test_resumed_under_another_id_a_run_has_all_points_there_too(make_trainer, offline):
    """What a run without an id of its own gets: a new W&B run, whole."""
    make_trainer(
        schedulers=doubling(),
        callbacks=ParetoSnapshot(folder='out'),
        loggers=wandb_logger(mode='disabled'),
        save_folder='ck',
        max_duration='4ep',
    ).fit()
    wandb.finish()
    make_trainer(
        schedulers=doubling(),
        callbacks=ParetoSnapshot(folder='out'),
        loggers=wandb_logger(),
        load_path='ck/latest-rank0.pt',
    ).fit()
    wandb.finish()
    (folder,) = folders(offline)
    logged = Logged(folder)
    assert [row['pareto/cycle'] for row in logged.points] == [0, 1, 2]
    # Composer's own rows are all there: from the batch after the checkpoint on.
    assert [row['time/batch'] for row in logged.rows if 'time/batch' in row] == list(range(40, 81))
    assert len(logged.table('pareto/points')[1]) == 3


def test_a_metric_that_is_nan_is_logged_and_not_drawn(offline, make_trainer):

    class Fails(MulticlassAccuracy):
        def compute(self):
            return torch.tensor(float('nan'))

    network = torch.nn.Linear(4, 2)
    model = ComposerClassifier(network, num_classes=2, val_metrics=MetricCollection([Fails(num_classes=2)]))
    make_trainer(
        model=model, schedulers=doubling(), callbacks=ParetoSnapshot(folder='out'), loggers=wandb_logger()
    ).fit()
    wandb.finish()
    logged = Logged(folders(offline)[0])
    assert all(math.isnan(float(row['pareto/eval/Fails'])) for row in logged.points)
    assert len(logged.table('pareto/points')[1]) == 3
    assert logged.table('Custom Chart Tables/pareto/curve_table')[1] == []
    assert 'pareto/best/cycle' not in logged.summary


@pytest.mark.slow
@pytest.mark.parametrize(
    ('signal_name', 'warned'),
    [
        ('SIGKILL', 'WandBLogger failed (BrokenPipeError'),
        ('SIGSTOP', 'process of Weights & Biases has been stopped for 1 s: it is ended'),
    ],
)
def test_a_dead_or_stopped_service_is_warned_of_once_and_training_goes_on(offline, signal_name, warned):
    """In a process of its own, which ends as it should too: W&B has hooks in a process's output and exit."""
    done = in_its_own_process(offline, 'tests.helpers.wandb_service_killed', signal_name)
    assert done.returncode == 0, done.stderr
    assert 'sent to 1' in done.stdout
    assert 'trained' in done.stdout
    assert done.stderr.count(warned) == 1
    assert [point.cycle for point in TradeoffCurve.read(offline / 'out').points] == [0, 1, 2]


class EndsAt(Callback):
    def __init__(self, batch: int):
        self.batch = batch

    def batch_checkpoint(self, state, logger):
        if state.timestamp.batch == self.batch:
            state.stop_training()


class Complains(LoggerDestination):
    """A destination that fails when it is given a point, and keeps tables."""

    def __init__(self):
        self.tables = []

    def log_metrics(self, metrics, step=None):
        if 'pareto/cycle' in metrics:
            raise ConnectionError('no route to host')

    def log_table(self, columns, rows, name='Table', step=None):
        self.tables.append((name, step, columns, rows))


def test_a_destination_that_fails_is_warned_of_and_all_get_the_points_and_the_table(make_trainer):
    memory, complains = InMemoryLogger(), Complains()
    trainer = make_trainer(schedulers=doubling(), callbacks=ParetoSnapshot(folder='out'), loggers=[complains, memory])
    with pytest.warns(RuntimeWarning, match='Complains failed .*no route to host.*curve.json'):
        trainer.fit()
    assert [value for _, value in memory.data['pareto/cycle']] == [0, 1, 2]
    tables = [(name, step, len(rows)) for name, step, _, rows in complains.tables]
    assert tables == [('pareto/points', 20, 1), ('pareto/points', 40, 2), ('pareto/points', 80, 3)]
    _, _, columns, rows = complains.tables[-1]
    points = TradeoffCurve.read('out').points
    assert [row[columns.index(ACCURACY)] for row in rows] == [point.metrics[ACCURACY] for point in points]


def test_a_point_costs_the_same_however_many_there_are(make_trainer, monkeypatch):
    """What grows with the points is copied at most: a point is put into text once, and into few tables."""
    texts, tables = [], []

    class Adapter:
        def dump_json(self, point: TradeoffPoint) -> bytes:
            texts.append(point.cycle)
            return TypeAdapter(TradeoffPoint).dump_json(point)

    class Tables(LoggerDestination):
        def log_table(self, columns, rows, name='Table', step=None):
            tables.append((step, len(rows)))

    monkeypatch.setattr(curve_module, '_POINT', Adapter())
    trainer = make_trainer(
        schedulers=CyclicCosineScheduler('1ba', 1.0),
        callbacks=[ParetoSnapshot(folder='out', save_weights=False), EndsAt(58)],
        loggers=Tables(),
        max_duration='100ba',
    )
    # Stopped between two tables, the points are in one all the same.
    with pytest.warns(UserWarning, match='training ended at batch 58'):
        trainer.fit()
    assert texts == list(range(58))
    assert tables == [(n, n) for n in [*range(1, 33), 36, 41, 47, 53, 58]]


def test_artifacts_are_refused_without_a_place_for_them(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=ParetoSnapshot(folder='out', log_artifact=True))
    with pytest.raises(ValueError, match="log_artifact=True .*'WandBLogger'"):
        trainer.fit()
    with pytest.raises(ValueError, match='log_artifact=True .*save_weights=False'):
        ParetoSnapshot(log_artifact=True, save_weights=False)


def imported(monkeypatch, folder: Path, *arguments: str) -> list[TradeoffCurve]:
    """What ``composer-clr import-wandb`` writes, read back."""
    monkeypatch.setattr(sys, 'argv', ['composer-clr', 'import-wandb', str(folder), '-o', 'back.csv', *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return read_long_csv('back.csv')


def test_the_same_curve_comes_back_out_of_the_learning_rate(quickstart, curve, monkeypatch, tmp_path):
    """The reader leaves out what is under pareto/: the curve rests on Composer's own logging."""
    monkeypatch.chdir(tmp_path)
    (recovered,) = imported(monkeypatch, quickstart)
    assert (recovered.run.kind, recovered.run.method, recovered.run.seed) == ('cyclic', 'baseline', 17)
    assert_alike(recovered, curve)


def assert_alike(recovered: TradeoffCurve, curve: TradeoffCurve) -> None:
    assert [p.epoch for p in recovered.points] == [p.epoch for p in curve.points]
    assert [p.metrics for p in recovered.points] == [p.metrics for p in curve.points]
    assert [p.peak_metrics for p in recovered.points] == [p.peak_metrics for p in curve.points]
    # Up to the rounding of hours: both are of one clock here.
    times = [p.wall_clock_train_s for p in curve.points]
    assert [p.wall_clock_train_s for p in recovered.points] == pytest.approx(times, rel=1e-12)


@pytest.mark.parametrize(
    ('scheduler', 'troughs'),
    [
        pytest.param(CosineAnnealingWarmRestartsScheduler('2ep', 2.0), [2, 6], id="Composer's restarts"),
        pytest.param(CosineAnnealingWithWarmupScheduler('1ep', '1dur', alpha_f=0.3), [7], id='a standard run'),
    ],
)
def test_other_schedules_too(scheduler, troughs, make_trainer, offline, monkeypatch):
    FakeClock(monkeypatch)
    trainer = make_trainer(
        schedulers=scheduler,
        max_duration=f'{troughs[-1]}ep',
        eval_interval='1ep',
        algorithms=[LabelSmoothing()],
        callbacks=[
            ParetoSnapshot(folder='out', peak_window='1ep'),
            LRMonitor(),
            SpeedMonitor(window_size=2, time_unit='seconds'),
        ],
        loggers=wandb_logger(),
    )
    trainer.fit()
    trainer.close()
    close_files()
    (recovered,) = imported(monkeypatch, offline, '--window', '1')
    assert [p.epoch for p in recovered.points] == troughs
    assert recovered.run.method == 'LS'
    assert_alike(recovered, TradeoffCurve.read('out'))


@pytest.mark.parametrize('kind', ['anytime', pytest.param('schedule-free', marks=pytest.mark.slow)])
def test_a_run_without_a_decay_logs_its_points_and_cannot_be_read_from_its_rate(kind, make_trainer, offline):
    model = classifier()
    if kind == 'anytime':
        average, optimizer = AnytimeAverage(), torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        schedulefree = pytest.importorskip('schedulefree')
        average, optimizer = ScheduleFree(), schedulefree.SGDScheduleFree(model.parameters(), lr=0.5)
    trainer = make_trainer(
        model=model,
        optimizers=optimizer,
        schedulers=AnytimeScheduler(['2ep', '4ep', '8ep'], '1ep'),
        callbacks=[average, ParetoSnapshot(folder='out'), LRMonitor(), SpeedMonitor(window_size=2)],
        loggers=wandb_logger(),
    )
    trainer.fit()
    trainer.close()
    close_files()
    curve, logged = TradeoffCurve.read('out'), Logged(folders(offline)[0])
    assert logged.config['pareto']['kind'] == curve.run.kind == kind
    sets = ('', 'plain/') if kind == 'anytime' else ('',)
    for row, point in zip(logged.points, curve.points, strict=True):
        assert [name for name in point.metrics if name.endswith('Accuracy')] == [f'{name}{ACCURACY}' for name in sets]
        assert {name: row[f'pareto/{name}'] for name in point.metrics} == point.metrics
    best = max(curve.points, key=lambda point: point.metrics[ACCURACY])
    assert logged.summary['pareto/best/cycle'] == best.cycle
    with pytest.raises(CurveError, match=f'points of the kind {kind!r} are at marks, not at troughs'):
        import_curves(wandb_runs, [str(offline)], Keys(), RunFilter())


@pytest.mark.slow
def test_killed_between_troughs_and_resumed_a_run_has_every_point_once(offline):
    """SIGKILL after the troughs at 8, 16 and 32, with a checkpoint at 42."""
    killed = in_its_own_process(offline, 'tests.helpers.wandb_killed_and_resumed', '45')
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(TradeoffCurve.read(offline / 'out').points) == 3
    # W&B writes in blocks of 32 KiB, and the kill has cost it the last; where that ended is chance, here it is not.
    (file,) = folders(offline)[0].glob('*.wandb')
    assert file.stat().st_size > 20_000
    os.truncate(file, 20_000)
    resumed = in_its_own_process(offline, 'tests.helpers.wandb_killed_and_resumed', '-1')
    assert resumed.returncode == 0, resumed.stderr
    first, second = map(Logged, folders(offline))
    assert second.run.run_id == 'killed'
    assert len(first.points) < 3
    cycles = [row['pareto/cycle'] for row in first.points + second.points]
    assert cycles == [0, 1, 2, 3]
    points = TradeoffCurve.read(offline / 'out').points
    for row, point in zip(first.points + second.points, points, strict=True):
        assert row[f'pareto/{ACCURACY}'] == point.metrics[ACCURACY]
        assert row['pareto/wall_clock_train_s'] == point.wall_clock_train_s
    assert len(second.table('pareto/points')[1]) == 4


@pytest.mark.slow
@pytest.mark.parametrize('rank_zero_only', ['true', 'false'])
def test_two_ranks_log_once(offline, rank_zero_only):
    overrides = ['max_duration=8ep', 'progress_bar=false', 'loggers.WandBLogger.project=clr', 'snapshot.folder=out']
    overrides.append(f'loggers.WandBLogger.rank_zero_only={rank_zero_only}')
    done = in_its_own_process(
        offline, 'composer.cli.launcher', '-n', '2', '-m', 'composer_clr.train', 'quickstart/digits', *overrides
    )
    assert done.returncode == 0, done.stderr
    runs = [Logged(folder) for folder in folders(offline)]
    assert len(runs) == {'true': 1, 'false': 2}[rank_zero_only]
    with_points = [run for run in runs if run.points]
    assert [[row['pareto/cycle'] for row in run.points] for run in with_points] == [[0, 1]]
    assert len(with_points[0].table('pareto/points')[1]) == 2
