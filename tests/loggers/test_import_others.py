"""Curves from MLflow and TensorBoard: real runs through Composer's loggers, read back by the commands."""

import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composer.algorithms import LabelSmoothing
from composer.callbacks import LRMonitor, SpeedMonitor
from composer.loggers import MLFlowLogger, TensorboardLogger
from composer.metrics import CrossEntropy
from composer.models import ComposerClassifier
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from composer_clr import AnytimeAverage, AnytimeScheduler, ParetoSnapshot, TradeoffCurve
from composer_clr.cli import app as cli
from composer_clr.curves.curve import CurveError
from composer_clr.curves.long_csv import read_long_csv
from composer_clr.loggers.history import RunFilter
from composer_clr.loggers.import_curves import import_curves
from composer_clr.loggers.recovered_curve import Keys
from composer_clr.loggers.tensorboard_runs import tensorboard_runs
from composer_clr.schedule.cycles import Cycles
from tests.helpers.fake_clock import FakeClock
from tests.helpers.fuzzing import refused_or
from tests.helpers.mlflow_server import server
from tests.helpers.recorded_runs import doubling
from tests.helpers.trainers import classifier
from tests.helpers.wandb_runs import in_its_own_process, offline

__all__ = ['offline', 'server']

LOGGERS = ['mlflow', 'tensorboard']
LOGGED_TO = {'mlflow': 'mlruns', 'tensorboard': 'tensorboard_logs'}


@pytest.fixture
def clock(monkeypatch):
    """The loggers' clocks too are the one of training."""
    clock = FakeClock(monkeypatch)
    of_day = SimpleNamespace(time=lambda: 1.7e9 + clock.now_s)
    monkeypatch.setattr('torch.utils.tensorboard.writer.time', of_day)
    monkeypatch.setattr('mlflow.tracking.fluent.get_current_time_millis', lambda: round(1000 * of_day.time()))


def logger(name: str, **arguments):
    pytest.importorskip(name)
    if name == 'tensorboard':
        return TensorboardLogger()
    local = {
        'tracking_uri': Path('mlruns').resolve().as_uri(),
        'synchronous': True,
        'log_system_metrics': False,
        'logging_buffer_seconds': None,
    }
    return MLFlowLogger('study', **local, **arguments)


@pytest.fixture(autouse=True)
def ended(tmp_path):
    """MLflow keeps a run open in its process, and one server for all, whose folder it makes as the process ends."""
    yield
    if 'mlflow' in sys.modules:
        import mlflow

        mlflow.end_run()
        mlflow.set_tracking_uri((tmp_path / 'mlruns').as_uri())


def callbacks(*others):
    return [*others, LRMonitor(), SpeedMonitor(window_size=2)]


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command that reads a logger's runs, and gives its status, its curves and what it says."""

    def call(name: str, source: str | None = None, *arguments: str):
        words = ['composer-clr', f'import-{name}', source or LOGGED_TO[name], '-o', 'back.csv', *arguments]
        monkeypatch.setattr(sys, 'argv', words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith('composer-clr: ')]
        return ended.value.code or 0, [] if ended.value.code else read_long_csv('back.csv'), '\n'.join(said)

    return call


@pytest.mark.parametrize('name', LOGGERS)
def test_the_curve_of_a_resumed_run_comes_back_out_of_the_learning_rate(name, make_trainer, clock, command):
    for duration, load in (('5ep', None), ('8ep', 'ck/ep4.pt')):
        trainer = make_trainer(
            run_name='study/a',
            schedulers=doubling(),
            algorithms=[LabelSmoothing()],
            callbacks=callbacks(ParetoSnapshot(folder='out')),
            loggers=logger(name, **({'resume': True} if name == 'mlflow' else {})),
            max_duration=duration,
            load_path=load,
            save_folder=None if load else 'ck',
            save_filename='ep{epoch}.pt',
            save_interval='1ep',
        )
        if load is None:
            with pytest.warns(UserWarning, match='max_duration'):
                trainer.fit()
        else:
            trainer.fit()
        trainer.close()
    status, (curve,), said = command(name, None, '--name', '^study/a$', '--group', 'study')
    assert (status, said) == (0, '')
    assert (curve.run.kind, curve.run.method, curve.run.seed) == ('cyclic', 'LS', 17)
    points = TradeoffCurve.read('out').points
    assert [(p.epoch, p.batch, p.sample) for p in curve.points] == [(p.epoch, p.batch, p.sample) for p in points]
    assert [p.epoch for p in points] == [2, 4, 8]
    # TensorBoard keeps single precision.
    for read, point in zip(curve.points, points, strict=True):
        assert read.metrics == pytest.approx(point.metrics, rel=1e-6 if name == 'tensorboard' else 1e-15)
        assert read.wall_clock_train_s == pytest.approx(point.wall_clock_train_s, rel=1e-6)


class Constant(MulticlassAccuracy):
    def compute(self):
        return torch.tensor(0.5)


@pytest.mark.parametrize(
    ('metrics', 'snapshot', 'epochs'),
    [
        pytest.param([Constant(num_classes=2), CrossEntropy()], False, [2, 4, 8], id='beside-another'),
        pytest.param([Constant(num_classes=2)], True, [2, 4, 8], id='beside-our-points'),
        pytest.param([Constant(num_classes=2)], False, [2], id='alone'),
    ],
)
def test_a_value_that_mlflow_drops_since_it_did_not_change_is_carried_forward(
    metrics, snapshot, epochs, make_trainer, clock, command
):
    network = torch.nn.Linear(4, 2)
    logs: Any = logger('mlflow')
    trainer = make_trainer(
        model=ComposerClassifier(network, num_classes=2, val_metrics=MetricCollection(metrics)),
        schedulers=doubling(),
        eval_interval='2ep',
        callbacks=callbacks(*([ParetoSnapshot(folder='out')] if snapshot else [])),
        loggers=logs,
    )
    trainer.fit()
    entries = logs._mlflow_client.get_metric_history(logs._run_id, 'metrics/eval/Constant')
    assert len(entries) < 3
    status, (curve,), said = command('mlflow')
    assert status == 0
    assert [p.epoch for p in curve.points if 'eval/Constant' in p.metrics] == epochs
    assert ('no evaluation with a training time at the troughs at epoch 4, 8' in said) == (epochs == [2])


@pytest.mark.parametrize('name', LOGGERS)
def test_a_run_without_a_decay_cannot_be_read_from_its_rate(name, make_trainer, command):
    model = classifier()
    trainer = make_trainer(
        model=model,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.1),
        schedulers=AnytimeScheduler(['2ep', '4ep'], '1ep', rate='1/sqrt', a='1ep'),
        callbacks=callbacks(AnytimeAverage(), ParetoSnapshot(folder='out')),
        loggers=logger(name),
        max_duration='4ep',
    )
    trainer.fit()
    trainer.close()
    status, _, said = command(name)
    assert status == 2
    assert "points of the kind 'anytime-falling' are at marks, not at troughs: read its curve.json" in said


@pytest.mark.parametrize(
    ('name', 'source', 'arguments', 'message'),
    [
        ('tensorboard', '.', [], '.: no event file in this folder: name the log_dir'),
        ('tensorboard', 'nowhere', [], 'nowhere: no event file in this folder'),
        ('tensorboard', '.', ['--tag', 'a'], '--tag: runs of TensorBoard have none'),
        ('mlflow', '.', [], '.: must be a folder mlruns, or a tracking URI'),
        ('mlflow', 'nowhere', [], 'nowhere: must be a folder mlruns, or a tracking URI'),
        ('mlflow', 'sqlite:///no.db', [], 'sqlite:///no.db: there is no such file'),
        ('mlflow', 'http://127.0.0.1:9', [], 'http://127.0.0.1:9: MLflow cannot list its runs: '),
    ],
)
def test_what_cannot_be_imported_is_one_line(name, source, arguments, message, command, tmp_path, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '0')
    status, _, said = command(name, source, *arguments)
    assert status == 2
    assert said.startswith(f'composer-clr: {message}')
    assert '\n' not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', LOGGERS)
def test_a_missing_package_is_one_line(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in [one for one in sys.modules if one.split('.')[0] == name] + [name]:
        monkeypatch.setitem(sys.modules, module, None)
    status, _, said = command(name, '.')
    assert (status, said.count('\n')) == (2, 0)
    assert f'cannot be imported (import of {name}' in said
    assert f"pip install 'composer_clr[{name}]'" in said


def test_event_files_cut_short_or_damaged_are_read_up_to_there_or_refused(tmp_path):
    """A run that was killed has a curve of the troughs before; that of a damaged file is never another one."""
    pytest.importorskip('tensorboard')
    from torch.utils.tensorboard import SummaryWriter

    cycles = Cycles(0, [10, 30, 70])
    with SummaryWriter(tmp_path / 'a') as writer:
        for step in range(1, 71):
            logged = {'time/train': step, 'metrics/eval/Acc': step / 128, 'lr-SGD/group0': cycles.multiplier(step - 1)}
            for key, value in logged.items():
                writer.add_scalar(key, value, step, walltime=1e9 + step)
    (file,) = (tmp_path / 'a').iterdir()
    whole = file.read_bytes()

    def read() -> list[tuple[Any, float]]:
        source, keys = [str(tmp_path)], Keys(batches_per_epoch=1)
        found = refused_or(lambda: import_curves(tensorboard_runs, source, keys, RunFilter()), CurveError)
        return [(p.epoch, p.metrics['eval/Acc']) for p in found[0][0].points] if found else []  # type: ignore[index]

    points = read()
    assert points == [(10, 10 / 128), (30, 30 / 128), (70, 70 / 128)]
    numbers = set()
    for i in range(0, len(whole), len(whole) // 60):
        for content in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            file.write_bytes(content)
            *before, last = read() or [None]
            assert before == points[: len(before)]
            # The end of a run is a trough where 1% of the cycle's height is left, as a few batches before its end.
            assert last is None or 0 <= points[len(before)][0] - last[0] <= 3
            numbers.add(len(before) + (last is not None))
    assert numbers == {0, 1, 2, 3}


@pytest.mark.parametrize('name', LOGGERS)
def test_a_run_that_lacks_something_is_named(name, make_trainer, command):
    trainer = make_trainer(schedulers=doubling(), callbacks=[LRMonitor()], loggers=logger(name), max_duration='2ep')
    trainer.fit()
    trainer.close()
    status, _, said = command(name)
    assert status == 2
    assert re.search(r"run 'run' \(.*\): did not log training time: add Composer's SpeedMonitor", said)


@pytest.mark.slow
def test_a_killed_and_resumed_run_comes_back_from_three_loggers(server, offline, command, monkeypatch):
    pytest.importorskip('tensorboard')
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(offline)
    words = [
        f'loggers.MLFlowLogger={{tracking_uri: "{server.uri}", synchronous: true}}',
        'loggers.TensorboardLogger={flush_interval: 10}',
    ]
    # After the trough at 32, with a checkpoint at 30, and between two troughs.
    for batch, status in (('33', -signal.SIGKILL), ('45', -signal.SIGKILL), ('-1', 0)):
        done = in_its_own_process(offline, 'tests.helpers.wandb_killed_and_resumed', batch, *words)
        assert done.returncode == status, done.stderr
    curve = TradeoffCurve.read(offline / 'out')
    assert len(curve.points) == 4
    client = MlflowClient(server.uri)
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert [one.value for one in client.get_metric_history(run.info.run_id, 'pareto/cycle')] == [0, 1, 2, 3]
    shown = EventAccumulator('tensorboard_logs/killed').Reload()
    assert [one.value for one in shown.Scalars('pareto/cycle')] == [0, 1, 2, 3]
    for point in curve.points:
        assert {one.step: one.value for one in shown.Scalars('pareto/wall_clock_train_s')}[
            point.batch
        ] == pytest.approx(point.wall_clock_train_s, rel=1e-6)
    for name, source in (('wandb', 'wandb'), ('mlflow', server.uri), ('tensorboard', 'tensorboard_logs')):
        status, curves, said = command(name, source)
        assert (name, status, len(curves)) == (name, 0, 1)
        (read,), points = curves, {point.epoch: point for point in curve.points}
        if name == 'wandb':
            # The kill has cost it a block of 32 KiB, and points there with it.
            points = {p.epoch: points[p.epoch] for p in read.points}
        else:
            assert said == ''
        assert (read.run.kind, read.run.method, read.run.seed) == (curve.run.kind, curve.run.method, curve.run.seed)
        for one, point in zip(read.points, points.values(), strict=True):
            assert (name, one.epoch, one.batch, one.sample) == (name, point.epoch, point.batch, point.sample)
            assert one.metrics == pytest.approx(point.metrics, rel=1e-6)
            assert one.wall_clock_train_s == pytest.approx(point.wall_clock_train_s, rel=0.2)
