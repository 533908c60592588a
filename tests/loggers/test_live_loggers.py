"""The curve in MLflow and TensorBoard while it grows: real runs, read back by their own readers."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composer import Callback
from composer.callbacks import LRMonitor, SpeedMonitor
from composer.loggers import InMemoryLogger, MLFlowLogger, TensorboardLogger
from composer.metrics import CrossEntropy
from composer.models import ComposerClassifier
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from composer_clr import ParetoSnapshot, TradeoffCurve
from composer_clr.loggers.mlflow_live import MLflowCurve
from composer_clr.train import main
from tests.helpers.mlflow_server import server
from tests.helpers.recorded_runs import doubling
from tests.helpers.runs_and_lines import run

__all__ = ['server']

RECIPE = [
    'quickstart/digits',
    'run_name=a',
    'max_duration=16ep',
    'data.arguments.train_images=100',
    'progress_bar=false',
    'schedule={t_0: 4ep, t_warmup: 4ep}',
    'snapshot.save_weights=false',
]


@pytest.fixture(autouse=True)
def ended(tmp_path, monkeypatch):
    """MLflow keeps a run open in its process, and one server for all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '0')
    yield
    if 'mlflow' in sys.modules:
        import mlflow

        mlflow.end_run()
        mlflow.set_tracking_uri('')


def mlflow_logger(**arguments: Any) -> MLFlowLogger:
    pytest.importorskip('mlflow')
    return MLFlowLogger('study', tracking_uri=Path('mlruns').resolve().as_uri(), log_system_metrics=False, **arguments)


class InMLflow:
    """The only run of the folder ``mlruns`` or of a server, or the newest, through MLflow's own client."""

    def __init__(self, uri: str | None = None, runs: int = 1):
        from mlflow import MlflowClient

        self.client = MlflowClient(uri or Path('mlruns').resolve().as_uri())
        experiments = [str(one.experiment_id) for one in self.client.search_experiments()]
        found = self.client.search_runs(experiments)
        assert len(found) == runs
        self.run = found[0]
        self.params = self.run.data.params

    def values(self, key: str) -> list[tuple[int, float]]:
        """Returns all that was logged under a key, in time: step and value."""
        history = self.client.get_metric_history(self.run.info.run_id, key)
        return [(one.step, one.value) for one in history]

    def table(self) -> dict[str, Any]:
        path = self.client.download_artifacts(self.run.info.run_id, 'pareto/points.json')
        return json.loads(Path(path).read_text())


@pytest.fixture
def tensorboard(monkeypatch):
    """Event files each have a second of their own in their names, as those of other processes do."""
    pytest.importorskip('tensorboard')
    seconds = count(int(time.time()))
    of_day = SimpleNamespace(time=lambda: next(seconds))
    monkeypatch.setattr('tensorboard.summary.writer.event_file_writer.time', of_day)


def in_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns what TensorBoard shows of the event files of a folder, without what a resumed run has replaced."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder), size_guidance={'scalars': 0})
    shown.Reload()
    return {tag: [(one.step, one.value) for one in shown.Scalars(tag)] for tag in shown.Tags()['scalars']}


class Constant(MulticlassAccuracy):
    def compute(self):
        return torch.tensor(0.5)


def resumed(make_trainer, logger, **arguments) -> TradeoffCurve:
    """Trains past the trough at 4 epochs, goes on from the checkpoint before it, and returns the whole curve."""
    for until, load in (('5ep', None), ('8ep', 'ck/ep3.pt')):
        trainer = make_trainer(
            run_name='a',
            schedulers=doubling(),
            eval_interval='1ep',
            callbacks=[ParetoSnapshot(folder='out', save_weights=False), LRMonitor(), SpeedMonitor(window_size=2)],
            loggers=logger(),
            max_duration=until,
            load_path=load,
            save_folder=None if load else 'ck',
            save_filename='ep{epoch}.pt',
            save_interval='1ep',
            **arguments,
        )
        if load is None:
            with pytest.warns(UserWarning, match='max_duration'):
                trainer.fit()
        else:
            trainer.fit()
        trainer.close()
    curve = TradeoffCurve.read('out')
    assert [point.batch for point in curve.points] == [20, 40, 80]
    return curve


def test_mlflow_has_every_point_once_and_whole_and_one_table(make_trainer):
    """Composer leaves out a value that equals the last one, and appends each table to the one before."""
    network = torch.nn.Linear(4, 2)
    metrics = MetricCollection([Constant(num_classes=2), CrossEntropy()])
    model = ComposerClassifier(network, num_classes=2, val_metrics=metrics)
    curve = resumed(make_trainer, lambda: mlflow_logger(resume=True), model=model)
    logged, points = InMLflow(), curve.points
    assert len(logged.values('metrics/eval/Constant')) < len(points)
    for key, values in {
        'cycle': [0, 1, 2],
        'sample': [point.sample for point in points],
        'eval/Constant': [0.5] * 3,
        'eval/CrossEntropy': [point.metrics['eval/CrossEntropy'] for point in points],
    }.items():
        assert logged.values(f'pareto/{key}') == list(zip([20, 40, 80], values, strict=True))
    # The point at 40 batches was recorded again, at another time.
    times = dict(logged.values('pareto/wall_clock_train_s'))
    assert [times[20], times[80]] == [points[0].wall_clock_train_s, points[2].wall_clock_train_s]
    table = logged.table()
    rows = [dict(zip(table['columns'], row, strict=True)) for row in table['data']]
    assert [row['cycle'] for row in rows] == [0, 1, 2]
    assert [row['wall_clock_train_s'] for row in rows] == [point.wall_clock_train_s for point in points]
    asked = ('method', 'kind', 'optimizer.lr', 'data.batch_size', 'schedule.t_0')
    assert [logged.params[f'pareto.{name}'] for name in asked] == ['baseline', 'cyclic', '0.5', '4', '1ep']


def test_tensorboard_shows_every_point_once_also_against_seconds(make_trainer, tensorboard):
    curve = resumed(make_trainer, TensorboardLogger)
    points = curve.points
    shown = in_tensorboard(Path('tensorboard_logs/a'))
    single = lambda value: pytest.approx(value, rel=1e-6)  # noqa: E731
    assert shown['pareto/cycle'] == [(20, 0), (40, 1), (80, 2)]
    for name in ('wall_clock_train_s', 'sample'):
        assert shown[f'pareto/{name}'] == [(point.batch, single(getattr(point, name))) for point in points]
    # Composer's own values beyond the checkpoint are not shown twice either.
    assert [step for step, _ in shown['lr-SGD/group0']] == list(range(1, 81))
    accuracy = 'eval/MulticlassAccuracy'
    by_second = in_tensorboard(Path('tensorboard_logs/a/pareto-by-second'))
    assert by_second == {
        f'pareto-by-second/{name}': [(round(p.wall_clock_train_s), single(p.metrics[name])) for p in points]
        for name in points[0].metrics
    }
    assert f'pareto-by-second/{accuracy}' in by_second


def test_tensorboard_has_all_points_where_the_earlier_files_are_gone(make_trainer, tensorboard):
    folders = iter(['logs-1', 'logs-2'])
    resumed(make_trainer, lambda: TensorboardLogger(log_dir=next(folders)))
    assert in_tensorboard(Path('logs-2/a'))['pareto/cycle'] == [(20, 0), (40, 1), (80, 2)]


def test_every_logger_has_the_time_and_the_samples_of_a_point(make_trainer):
    memory = InMemoryLogger()
    make_trainer(schedulers=doubling(), callbacks=ParetoSnapshot(folder='out'), loggers=memory).fit()
    for name in ('wall_clock_train_s', 'sample'):
        expected = [getattr(point, name) for point in TradeoffCurve.read('out').points]
        assert [value for _, value in memory.data[f'pareto/{name}']] == expected
    # Batches of images have no tokens.
    assert 'pareto/token' not in memory.data
    assert memory.hyperparameters['pareto.optimizer.lr'] == 0.5


def started(*overrides: str, folder: str = 'out') -> int:
    """Trains the recipe with checkpoints in the folder of the curve."""
    logs = Path('mlruns').resolve().as_uri()
    return main(
        [
            *RECIPE,
            f'snapshot.folder={folder}',
            f'checkpoint={{folder: {folder}/ck, interval: 1ep, autoresume: true}}',
            f'loggers.MLFlowLogger={{tracking_uri: "{logs}", log_system_metrics: false}}',
            *overrides,
        ]
    )


def test_a_recipe_that_resumes_goes_on_in_its_mlflow_run_and_in_another_folder_or_setting_it_is_another(monkeypatch):
    pytest.importorskip('mlflow')
    assert started('--until=8ep') == 0
    first = TradeoffCurve.read('out').run.logged_to['MLFlowLogger']
    # What differs on another machine cannot replace a param.
    monkeypatch.setenv('NODENAME', 'another')
    assert started() == 0
    logged = InMLflow()
    assert logged.run.info.run_id == first == TradeoffCurve.read('out').run.logged_to['MLFlowLogger']
    assert (logged.run.info.status, logged.run.info.run_name) == ('FINISHED', 'a')
    assert [value for _, value in logged.values('pareto/cycle')] == [0, 1]
    assert 'unknown' in logged.params['node_name']
    # Of the whole points, and all of them are where the rest is.
    with pytest.warns(UserWarning, match='under other settings'):
        assert started('max_duration=32ep', 'snapshot.method=other', 'snapshot.on_change=continue') == 0
    logged = InMLflow(runs=2)
    assert logged.run.info.run_id != first
    assert [value for _, value in logged.values('pareto/cycle')] == [0, 1, 2]
    assert started(folder='elsewhere') == 0
    assert [value for _, value in InMLflow(runs=3).values('pareto/cycle')] == [0, 1]


def test_a_deleted_run_is_not_gone_on_in_and_a_server_that_is_gone_is_one_line(capsys):
    pytest.importorskip('mlflow')
    assert started('--until=8ep') == 0
    logged = InMLflow()
    logged.client.delete_run(logged.run.info.run_id)
    assert started() == 0
    assert [value for _, value in InMLflow().values('pareto/cycle')] == [0, 1]
    capsys.readouterr()
    assert started('loggers.MLFlowLogger.tracking_uri=http://127.0.0.1:9', folder='other') == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer_clr.train: loggers.MLFlowLogger: API request to http://127.0.0.1:9')
    assert line.endswith('name the tracking_uri of a server that runs')


def test_names_and_values_that_mlflow_refuses_are_logged_under_others():
    logger = mlflow_logger(ignore_hyperparameters=['pareto.hidden*'], rename_metrics={'pareto/lr': 'rate'})
    import mlflow

    metric = 'eval/Acc@5%/../..//top'
    curve = run('baseline', 'cyclic', [(1, 0.5), (2, 0.5)], metric=metric)
    curve.points[:] = [replace(point, batch=10 * (i + 1), cycle=i) for i, point in enumerate(curve.points)]
    settings = {
        'pareto.hidden.key': 1,
        'pareto.mine:Net.arguments': [1] * 10_000,
        **{f'pareto.{"k" * i}': i for i in range(1, 300)},
    }
    with mlflow.start_run(experiment_id=logger._experiment_id):
        log = MLflowCurve(logger, settings, resumed=False)
        log.log(curve.run, curve.points)
        log.log_table(curve)
    logged = InMLflow()
    assert logged.values('pareto/eval/Acc_5_/_/_/top') == [(p.batch, 0.5) for p in curve.points]
    assert len(logged.values('rate')) == 2
    assert metric in logged.table()['columns']
    assert not [key for key in logged.params if 'hidden' in key]
    # As many as there were, and told apart.
    assert len(logged.params) == 300
    assert max(map(len, logged.params)) == 250
    value = logged.params['pareto.mine_Net.arguments']
    assert value.startswith('[1, 1, ')
    assert len(value) == 250


class FailsAt(Callback):
    """Makes calls of a library fail from one batch to another."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str, batches: range):
        self.patch, self.owner, self.name, self.batches = patch, owner, name, batches
        self.call = getattr(owner, name)

    def fails(self, *args, **kwargs):
        raise OSError('no route to host')

    def batch_start(self, state, logger):
        fails = state.timestamp.batch.value in self.batches
        self.patch.setattr(self.owner, self.name, self.fails if fails else self.call)


@pytest.mark.parametrize('name', ['mlflow', 'tensorboard'])
def test_a_logger_that_fails_for_a_time_is_warned_of_once_and_has_all_points_in_the_end(
    name, make_trainer, monkeypatch, recwarn
):
    pytest.importorskip(name)
    if name == 'mlflow':
        import mlflow

        logger, call = mlflow_logger(synchronous=True), (mlflow, 'log_metrics')
    else:
        from torch.utils.tensorboard import SummaryWriter

        logger, call = TensorboardLogger(flush_interval=1), (SummaryWriter, 'flush')
    trainer = make_trainer(
        run_name='a',
        schedulers=doubling(),
        callbacks=[
            ParetoSnapshot(folder='out', save_weights=False),
            LRMonitor(),
            FailsAt(monkeypatch, *call, range(15, 75)),
        ],
        loggers=logger,
    )
    trainer.fit()
    trainer.close()
    warned = [one for one in recwarn if 'failed (OSError: no route to host)' in str(one.message)]
    assert [str(one.message).split()[0] for one in warned] == [type(logger).__name__]
    curve = TradeoffCurve.read('out')
    assert [point.cycle for point in curve.points] == [0, 1, 2]
    if name == 'mlflow':
        found = InMLflow().values('pareto/cycle')
    else:
        found = sorted(set(in_tensorboard(Path('tensorboard_logs/a'))['pareto/cycle']))
    assert found == [(20, 0), (40, 1), (80, 2)]


class Calls(Callback):
    """Calls functions at the start of batches."""

    def __init__(self, calls: dict[int, Callable[[], None]]):
        self.calls = calls

    def batch_start(self, state, logger):
        self.calls.get(state.timestamp.batch.value, lambda: None)()


@pytest.mark.slow
@pytest.mark.parametrize('synchronous', [True, False])
def test_a_server_that_stops_costs_no_point_and_gets_them_when_it_is_back(server, synchronous, make_trainer, recwarn):
    logger = MLFlowLogger('study', tracking_uri=server.uri, log_system_metrics=False, synchronous=synchronous)
    trainer = make_trainer(
        run_name='a',
        schedulers=doubling(),
        callbacks=[
            ParetoSnapshot(folder='out', save_weights=False),
            LRMonitor(),
            Calls({15: server.stop, 75: server.start}),
        ],
        loggers=logger,
    )
    trainer.fit()
    trainer.close()
    # Composer closes it again when the process exits, without the server.
    logger._enabled = False
    warned = [str(one.message) for one in recwarn if 'MLFlowLogger failed (MlflowException: ' in str(one.message)]
    assert len(warned) == 1
    points = TradeoffCurve.read('out').points
    logged = InMLflow(server.uri)
    assert logged.values('pareto/wall_clock_train_s') == [(p.batch, p.wall_clock_train_s) for p in points]
    assert len(points) == len(logged.table()['data']) == 3
