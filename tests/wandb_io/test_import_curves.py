"""Curves from run histories: what is inferred from what, and which errors name what is missing."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb
from hypothesis import given, settings
from hypothesis import strategies as st

from composer_clr.cli import app as cli
from composer_clr.curves.curve import CurveError
from composer_clr.curves.long_csv import read_long_csv, writable_curves, write_long_csv
from composer_clr.wandb_io.history import (
    Keys,
    RunFilter,
    RunHistory,
    find_runs,
    read_histories,
    read_history,
    run_files,
    wanted,
)
from composer_clr.wandb_io.recovered_curve import recovered_curve

LR, ACC = 'lr-SGD/group0', 'metrics/eval/Accuracy'


def series(values: dict[float, float]):
    return np.array(list(values), dtype=float), np.array(list(values.values()), dtype=float)


def history(**changes) -> RunHistory:
    """Two cycles, of 4 and 8 batches after a warmup of 2; 2 batches an epoch; a second a batch, logged in hours."""
    lr = [0.5, 1, 0.85, 0.5, 0.15, 0.01, 1, 0.96, 0.85, 0.7, 0.5, 0.3, 0.15, 0.01]
    logged = {
        LR: dict(enumerate(lr, start=1)),
        ACC: {2: 0.3, 4: 0.4, 6: 0.6, 8: 0.2, 10: 0.65, 12: 0.75, 14: 0.7},
        'time/train': {batch: batch / 3600 for batch in range(1, 15)},
        # Every second batch is evaluated, which takes as long as training on it.
        '_timestamp': {batch: 1e9 + 1.5 * batch for batch in range(1, 15)},
        'time/epoch': {batch: batch // 2 for batch in range(0, 15, 2)},
    }
    logged = {key: values for key, values in {**logged, **changes.pop('series', {})}.items() if values is not None}
    config = {'rank_zero_seed': 3, 'enabled_algorithms/MixUp': True, 'enabled_algorithms/BlurPool': True}
    read = RunHistory('id7', 'old', config={**config, **changes.pop('config', {})})
    read.series = {key: series(values) for key, values in logged.items()}
    return read


def rows(read: RunHistory, **keys):
    points = recovered_curve(read, Keys(**keys)).points
    return [(p.epoch, p.wall_clock_train_s, *p.metrics.values()) for p in points]


def approx(rows):
    return [pytest.approx(row) for row in rows]


BOTH = approx([(3, 6, 0.6), (7, 14, 0.7)])


def test_troughs_times_accuracies_and_what_the_run_was():
    curve = recovered_curve(history(), Keys(window_epochs=1))
    assert rows(history()) == BOTH
    assert [p.peak_metrics['eval/Accuracy'] for p in curve.points] == [0.6, 0.75]
    assert [p.lr for p in curve.points] == [0.01, 0.01]
    assert (curve.run.kind, curve.run.method, curve.run.seed) == ('cyclic', 'BP+MX', 3)


def test_the_window_ends_at_the_restart():
    curve = recovered_curve(history(series={ACC: {5: 0.9, 6: 0.6, 7: 0.8, 14: 0.7}}), Keys(window_epochs=7))
    assert [p.peak_metrics['eval/Accuracy'] for p in curve.points] == [0.9, 0.8]


@pytest.mark.parametrize('unit', ['seconds', 'minutes', 'hours', 'days'])
def test_the_unit_of_time_comes_from_wandbs_clock(unit):
    seconds = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400}[unit]
    read = history(series={'time/train': {batch: batch / seconds for batch in range(1, 15)}})
    assert rows(read) == BOTH


def test_a_pause_between_two_parts_of_a_run_does_not_change_the_unit():
    clock = {batch: 1e9 + 1.5 * batch + (1e6 if batch > 7 else 0) for batch in range(1, 15)}
    assert rows(history(series={'_timestamp': clock})) == BOTH


def test_older_runs_and_keys_by_name():
    read = history()
    read.series['wall_clock/train'] = series({batch: float(batch) for batch in range(1, 15)})
    read.series['my/learning_rate'] = read.series.pop(LR)
    read.series['acc'] = read.series.pop(ACC)
    del read.series['time/train'], read.series['time/epoch']
    read.config['recipe'] = {'name': 'mine'}
    keys = Keys(metrics=('acc',), batches_per_epoch=2, method='recipe.name')
    assert rows(read, metrics=('acc',), batches_per_epoch=2) == BOTH
    assert recovered_curve(read, keys).run.method == 'mine'
    assert rows(read, metrics=('acc',), batches_per_epoch=1)[0][0] == 6


def test_rates_logged_rarely_still_meet_the_evaluation_at_the_trough():
    """The rate is known at batch 5 and has risen by 8; of the evaluations from 5 on, the first is the trough's."""
    read = history(series={LR: {2: 1, 5: 0.15, 8: 0.96, 11: 0.5, 14: 0.01}})
    assert rows(read) == BOTH


def test_time_is_interpolated_where_it_was_logged_rarely():
    read = history(series={'time/train': {batch: batch / 3600 for batch in (1, 5, 9, 13, 14)}})
    assert rows(read) == BOTH


@pytest.mark.parametrize('logged', [(4, 8, 12), (8, 12), (12,)])
def test_time_that_was_not_logged_at_the_last_trough(logged):
    """It starts at 0, and goes on at the last pace for as long as it was between the last two."""
    read = history(series={'time/train': {batch: batch for batch in logged}})
    assert rows(read, time_unit='seconds') == BOTH


def test_a_trough_long_after_the_last_time_has_no_point():
    read = history(series={'time/train': {batch: batch for batch in (2, 4, 6, 8)}})
    with pytest.warns(UserWarning, match='no evaluation with a training time at the trough at epoch 7: no point there'):
        assert rows(read, time_unit='seconds') == approx([(3, 6, 0.6)])


def test_times_that_are_nan_are_not_read():
    read = history(series={'time/train': {batch: math.nan if batch == 6 else batch / 3600 for batch in range(1, 15)}})
    assert rows(read) == BOTH


def test_counts_that_are_none_are_refused():
    read = history(series={'time/token': dict.fromkeys(range(1, 15), 1e30)})
    with pytest.raises(CurveError, match=r"run 'old' \(id7\): its steps, samples or tokens are not counts"):
        recovered_curve(read, Keys())


def test_a_trough_that_nothing_was_evaluated_at_has_no_point():
    read = history(series={ACC: {4: 0.4, 10: 0.65, 14: 0.7}})
    with pytest.warns(
        UserWarning, match=r"run 'old' \(id7\): no evaluation with a training time at the trough at epoch 3: no point"
    ):
        assert rows(read) == approx([(7, 14, 0.7)])


def test_steps_that_count_from_0():
    read = history()
    read.series = {key: (at - 1, values) for key, (at, values) in read.series.items()}
    assert rows(read, first_step=0) == BOTH
    assert rows(read, batches_per_epoch=2)[0][0] == 2.5


def test_epochs_that_count_from_0():
    lr = dict(enumerate([1, 0.5, 0, 1, 0.75, 0.5, 0.25, 0]))
    read = history(series={LR: lr, ACC: {2: 0.6, 7: 0.7}, 'time/train': {step: (step + 1) * 60 for step in lr}})
    made = rows(read, batches_per_epoch=1, first_step=0, time_unit='seconds')
    assert made == approx([(3, 180, 0.6), (8, 480, 0.7)])


@pytest.mark.parametrize(
    ('changes', 'keys', 'match'),
    [
        ({LR: None}, {}, r"run 'old' \(id7\): did not log a learning rate.*LRMonitor.*--lr-key"),
        ({ACC: None}, {}, 'did not log a metric of an evaluation.*--metric'),
        ({'time/train': None}, {}, 'did not log training time.*SpeedMonitor.*--time-key'),
        ({'time/epoch': None}, {}, 'length of an epoch cannot be.*--batches-per-epoch'),
        ({'_timestamp': None}, {}, "unit of 'time/train' cannot be determined: pass --time-unit"),
        ({LR: {1: 1, 2: 1, 3: 1}}, {}, 'no trough: constant, or stopped before'),
        ({ACC: {1: 0.1}}, {}, 'no evaluation with a training time at any of its 2 troughs'),
        ({}, {'lr': 'rate'}, "did not log 'rate'.*--lr-key"),
        ({}, {'method': 'recipe.name'}, "'recipe.name' is not in its config.*--method-key"),
    ],
)
def test_what_is_missing_is_named_with_the_run(changes, keys, match):
    with pytest.raises(CurveError, match=match):
        recovered_curve(history(series=changes), Keys(**keys))


@pytest.mark.parametrize('kind', ['anytime', 'anytime-falling-half-life-0.5', 'schedule-free', 'marked'])
def test_points_at_marks_are_not_read_from_the_rate(kind):
    # Of one over the square root, the end looks like that of a decay.
    run = history(series={LR: {t: (1 + t) ** -0.5 for t in range(1, 40)}}, config={'pareto': {'kind': kind}})
    with pytest.raises(CurveError, match=f'kind {kind!r} are at marks, not at troughs: read its curve.json') as raised:
        recovered_curve(run, Keys())
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('keys', 'match'),
    [
        ({'first_step': float('nan')}, 'first_step=nan: must be a step'),
        ({'time_unit': 'weeks'}, "'weeks': choose one of seconds"),
        ({'window_epochs': -1}, 'window=-1: must be'),
        ({'batches_per_epoch': 0}, 'batches_per_epoch=0: must be above 0'),
    ],
)
def test_what_cannot_be_asked_for(keys, match):
    with pytest.raises(CurveError, match=match):
        Keys(**keys)


def test_our_own_keys_are_not_read():
    want = wanted(Keys())
    assert all(map(want, [LR, ACC, 'time/train', 'wall_clock/train']))
    assert not any(map(want, ['pareto/lr', 'pareto/wall_clock_train_s', 'metrics/train/Accuracy', 'loss/train/total']))


class FakeRun(SimpleNamespace):
    """Stands in for a run of :mod:`wandb.apis.public`, without a server, as far as the package uses one."""

    requests = 0

    def scan_history(self, keys, page_size):
        assert page_size >= 10_000
        FakeRun.requests += 1
        steps = sorted({step for values in self.logged.values() for step in values})
        rows = ({'_step': step, **{k: v[step] for k, v in self.logged.items() if step in v}} for step in steps)
        # The server gives rows that have all keys.
        return ({key: row[key] for key in keys} for row in rows if all(key in row for key in keys))


def fake_run(read: RunHistory, **changes) -> FakeRun:
    logged = {key: dict(zip(*map(np.ndarray.tolist, both), strict=True)) for key, both in read.series.items()}
    clock = logged['_timestamp']
    logged['_timestamp'] = {step: clock.get(step, 1e9) for values in logged.values() for step in values}
    arguments = {'id': read.run_id, 'name': read.name, 'group': None, 'tags': ['a'], 'config': read.config}
    summary = dict.fromkeys(['_step', 'loss/train/total', *logged])
    return FakeRun(**{**arguments, 'logged': logged, 'summary_metrics': summary, **changes})


def test_a_history_from_the_server_is_read_in_bulk():
    FakeRun.requests = 0
    read = read_history(fake_run(history()), wanted(Keys()))
    assert rows(read) == BOTH
    # One scan for each of: rate, metric, time, epoch.
    assert FakeRun.requests == 4
    assert (read.run_id, read.name, read.group, read.tags) == ('id7', 'old', '', ('a',))


class BrokenRun(FakeRun):
    def scan_history(self, keys, page_size):
        raise ConnectionError('reset by peer')


@pytest.fixture
def fake_server(monkeypatch):
    """Stands in for ``wandb.Api``: three runs, one of which breaks off; what it was asked is kept."""
    asked = []
    runs = [
        fake_run(history()),
        fake_run(history(), id='id8', name='flat', logged={LR: {1: 1, 2: 1}, '_timestamp': {}}),
    ]
    runs.append(BrokenRun(**{**vars(fake_run(history())), 'id': 'id9', 'name': 'broken'}))

    class Api:
        def __init__(self, timeout):
            pass

        def runs(self, project, filters, per_page):
            asked.append((project, filters))
            return runs

    monkeypatch.setattr(wandb, 'Api', Api)
    monkeypatch.setattr(type(wandb.api), 'api_key', 'x' * 40)
    return asked


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['composer-clr', 'import-wandb', *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0  # type: ignore[return-value]


def test_a_project_is_imported_and_what_failed_is_named(fake_server, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    filters = ['--name', '^o', '--group', 'g', '--tag', 'a', '--tag', 'b', '--config', 'pareto.kind=cyclic']
    assert call(monkeypatch, 'me/study', '-o', 'out/c.csv', *filters) == 0
    out, err = capsys.readouterr()
    assert out == 'out/c.csv: 2 points of 1 runs\n'
    assert "left out: run 'broken' (id9): its history cannot be read: ConnectionError: reset by peer" in err
    assert "left out: run 'flat' (id8): did not log" in err
    (curve,) = read_long_csv('out/c.csv')
    assert [(p.epoch, p.wall_clock_train_s, *p.metrics.values()) for p in curve.points] == BOTH
    tags = [{'tags': {'$in': ['a']}}, {'tags': {'$in': ['b']}}]
    query = {'display_name': {'$regex': '^o'}, 'group': 'g', '$and': tags, 'config.pareto.kind': 'cyclic'}
    assert fake_server == [('me/study', query)]


def test_strict_stops_at_the_first(fake_server, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, 'me/study', '--strict') == 2
    assert 'broken' in capsys.readouterr().err
    assert not Path('curves.csv').exists()


def test_nobody_logged_in_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(wandb.api), 'api_key', None)
    assert call(monkeypatch, 'me/study') == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith('composer-clr: me/study: not logged in')


def test_a_server_that_does_not_answer_is_one_line(monkeypatch):
    def unreachable(timeout):
        raise ConnectionError('no route\nto host')

    monkeypatch.setattr(type(wandb.api), 'api_key', 'x' * 40)
    monkeypatch.setattr(wandb, 'Api', unreachable)
    with pytest.raises(CurveError, match='me/study: W&B cannot list its runs: ConnectionError: no route to host$'):
        find_runs('me/study', RunFilter())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'nowhere: must be an existing path or ENTITY/PROJECT'),
        (['.'], '.: no .wandb file in this folder'),
        (['me/study', '--name', '('], "--name '(' is not a regular expression"),
        (['me/study', '--config', 'kind'], "--config 'kind' is not key=value"),
        (['broken.wandb'], 'broken.wandb: no run can be read from it'),
        (['empty.wandb'], 'empty.wandb: no run can be read from it'),
    ],
)
def test_what_cannot_be_imported_is_one_line(arguments, message, monkeypatch, tmp_path, capsys):
    (tmp_path / 'x').mkdir()
    monkeypatch.chdir(tmp_path / 'x')
    if arguments[0].endswith('.wandb'):
        Path(arguments[0]).write_bytes(b'W&B?' * 30 if 'broken' in arguments[0] else b'')
    assert call(monkeypatch, *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f'composer-clr: {message}')


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_file_breaks_the_reader(tmp_path_factory, data, as_wandb):
    header = b':W&B' + (0xBEE1).to_bytes(2, 'little') + b'\0' if as_wandb else b''
    file = tmp_path_factory.mktemp('any') / 'run-x.wandb'
    file.write_bytes(header + data)
    histories, errors = read_histories(run_files(file), wanted(Keys()))
    assert len(histories) + len(errors) == 1


def test_filters_take_what_has_been_read():
    read = RunHistory('id', 'digits-17', 'g', ('a', 'b'), {'pareto': {'kind': 'cyclic'}, 'x.y': 3})
    assert RunFilter('digits', 'g', ('a',), {'pareto.kind': 'cyclic', 'x.y': 3})(read)
    assert not RunFilter(name='^17')(read)
    assert not RunFilter(group='h')(read)
    assert not RunFilter(tags=('a', 'c'))(read)
    assert not RunFilter(config={'pareto.kind': 'standard'})(read)


def test_a_run_of_less_than_an_epoch_counts_batches_samples_and_tokens(tmp_path):
    """Composer logs the counts at the start of each batch, and the end of training at none."""
    counts = {
        f'time/{name}': {batch: batch * each for batch in range(14)} for name, each in (('sample', 8), ('token', 1024))
    }
    read = history(series={'time/epoch': {0: 0, 14: 0}, **counts})
    curve = recovered_curve(read, Keys())
    assert [(p.epoch, p.batch, p.sample, p.token) for p in curve.points] == [
        (None, 6, 48, 6144),
        (None, 14, 112, 14336),
    ]
    write_long_csv(tmp_path / 'a.csv', [curve])
    (again,) = read_long_csv(tmp_path / 'a.csv')
    assert [p.token for p in again.points] == [6144, 14336]
    with pytest.raises(CurveError, match='a window in epochs needs the length of an epoch: pass --batches-per-epoch'):
        recovered_curve(read, Keys(window_epochs=1))


def test_a_rate_that_stays_at_its_peak_before_each_decay_is_wsd_s():
    rates = [0.5, 1, 1, 1, 0.5, 0.01, 1, 1, 1, 1, 1, 1, 0.5, 0.01]
    read = history(series={LR: dict(enumerate(rates, start=1))})
    assert rows(read) == BOTH
    assert recovered_curve(read, Keys()).run.kind == 'wsd-s'
    read.config['pareto'] = {'kind': 'wsd-s-linear'}
    assert recovered_curve(read, Keys()).run.kind == 'wsd-s-linear'


def test_runs_that_share_a_name_are_named_with_their_ids():
    first, second = history(), history()
    second.run_id = 'id8'
    _, errors = writable_curves([recovered_curve(read, Keys()) for read in (first, second)])
    assert str(errors[0]).startswith("runs 'old (id7)' and 'old (id8)' are both cyclic, BP+MX, seed 3: ")
