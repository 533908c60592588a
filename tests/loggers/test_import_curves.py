"""Curves from run histories: what is inferred from what, and which errors name what is missing."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb

from composer_clr.cli import app as cli
from composer_clr.curves.curve import CurveError
from composer_clr.curves.long_csv import long_csv, read_long_csv
from composer_clr.loggers.history import RunFilter, RunHistory
from composer_clr.loggers.import_curves import import_curves
from composer_clr.loggers.recovered_curve import Keys, LoggedRun, wanted
from composer_clr.loggers.wandb_runs import wandb_runs

LR, ACC = 'lr-SGD/group0', 'metrics/eval/Accuracy'


def series(values: dict[float, float]):
    return np.array(list(values), dtype=float), np.array(list(values.values()), dtype=float)


def history(run_id='id7', name='old', *, algorithms=('MixUp', 'BlurPool'), **changes) -> RunHistory:
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
    config = {'rank_zero_seed': 3, **{f'enabled_algorithms/{algorithm}': True for algorithm in algorithms}}
    read = RunHistory(run_id, name, config={**config, **changes.pop('config', {})})
    read.series = {key: series(values) for key, values in logged.items()}
    return read


def recovered(read: RunHistory, **keys):
    return LoggedRun(read, Keys(**keys)).curve()


def rows(read: RunHistory, **keys):
    points = recovered(read, **keys).points
    return [(p.epoch, p.wall_clock_train_s, *p.metrics.values()) for p in points]


def approx(rows):
    return [pytest.approx(row) for row in rows]


BOTH = approx([(3, 6, 0.6), (7, 14, 0.7)])


def test_troughs_times_accuracies_and_what_the_run_was():
    curve = recovered(history(), window_epochs=1)
    assert rows(history()) == BOTH
    assert [p.peak_metrics['eval/Accuracy'] for p in curve.points] == [0.6, 0.75]
    assert [p.lr for p in curve.points] == [0.01, 0.01]
    assert (curve.run.kind, curve.run.method, curve.run.seed) == ('cyclic', 'BP+MX', 3)


def test_the_window_ends_at_the_restart():
    curve = recovered(history(series={ACC: {5: 0.9, 6: 0.6, 7: 0.8, 14: 0.7}}), window_epochs=7)
    assert [p.peak_metrics['eval/Accuracy'] for p in curve.points] == [0.9, 0.8]


HOURS = {batch: batch / 3600 for batch in range(1, 15)}
NAN_AT_6 = {**HOURS, 6: math.nan}
# At a resume, batches 7 and 8 are repeated in less time.
RESUMED = {**HOURS, 7: 9.04 / 3600, 8: 9.06 / 3600}


@pytest.mark.parametrize(
    ('changes', 'keys'),
    [
        *(({'time/train': {batch: batch / seconds for batch in range(1, 15)}}, {}) for seconds in (1, 60, 3600, 86400)),
        # A pause between two parts of a run does not change the unit.
        ({'_timestamp': {batch: 1e9 + 1.5 * batch + (1e6 if batch > 7 else 0) for batch in range(1, 15)}}, {}),
        # The rate is known at batch 5 and has risen by 8; of the evaluations from 5 on, the first is the trough's.
        ({LR: {2: 1, 5: 0.15, 8: 0.96, 11: 0.5, 14: 0.01}}, {}),
        # Time is interpolated; it starts at 0, and goes on at the last pace for as long as it was between the last two.
        ({'time/train': {batch: batch / 3600 for batch in (1, 5, 9, 13, 14)}}, {}),
        *(
            ({'time/train': {batch: batch for batch in logged}}, {'time_unit': 'seconds'})
            for logged in ((4, 8, 12), (8, 12), (12,))
        ),
        ({'time/train': NAN_AT_6}, {}),
        ({'time/train': RESUMED}, {}),
    ],
)
def test_the_same_points_from_times_in_any_unit_and_from_sparse_logs(changes, keys):
    assert rows(history(series=changes), **keys) == BOTH


def test_older_runs_and_keys_by_name():
    read = history()
    read.series['wall_clock/train'] = series({batch: float(batch) for batch in range(1, 15)})
    read.series['my/learning_rate'] = read.series.pop(LR)
    read.series['acc'] = read.series.pop(ACC)
    del read.series['time/train'], read.series['time/epoch']
    read.config['recipe'] = {'name': 'mine'}
    assert rows(read, metrics=('acc',), batches_per_epoch=2) == BOTH
    assert recovered(read, metrics=('acc',), batches_per_epoch=2, method='recipe.name').run.method == 'mine'
    assert rows(read, metrics=('acc',), batches_per_epoch=1)[0][0] == 6


@pytest.mark.parametrize(
    ('changes', 'keys', 'left', 'match'),
    [
        (
            {'time/train': {batch: batch for batch in (2, 4, 6, 8)}},
            {'time_unit': 'seconds'},
            (3, 6, 0.6),
            'no evaluation with a training time at the trough at epoch 7: no point there',
        ),
        (
            {ACC: {4: 0.4, 10: 0.65, 14: 0.7}},
            {},
            (7, 14, 0.7),
            r"run 'old' \(id7\): no evaluation with a training time at the trough at epoch 3: no point",
        ),
    ],
    ids=['long-after-the-last-time', 'nothing-evaluated'],
)
def test_a_trough_without_a_time_or_an_evaluation_has_no_point(changes, keys, left, match):
    with pytest.warns(UserWarning, match=match):
        assert rows(history(series=changes), **keys) == approx([left])


def test_steps_and_epochs_that_count_from_0():
    read = history()
    read.series = {key: (at - 1, values) for key, (at, values) in read.series.items()}
    assert rows(read, first_step=0) == BOTH
    assert rows(read, batches_per_epoch=2)[0][0] == 2.5
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
        ({'time/epoch': {0: 1, 3: 2}}, {'first_step': 1}, 'length of an epoch cannot be.*--batches-per-epoch'),
        ({'_timestamp': None}, {}, "unit of 'time/train' cannot be determined: pass --time-unit"),
        ({LR: {1: 1, 2: 1, 3: 1}}, {}, 'no trough: constant, or stopped before'),
        ({ACC: {1: 0.1}}, {}, 'no evaluation with a training time at any of its 2 troughs'),
        ({'time/token': dict.fromkeys(range(1, 15), 1e30)}, {}, 'its steps, samples or tokens are not counts'),
        ({}, {'lr': 'rate'}, "did not log 'rate'.*--lr-key"),
        ({}, {'method': 'recipe.name'}, "'recipe.name' is not in its config.*--method-key"),
    ],
)
def test_what_is_missing_is_named_with_the_run(changes, keys, match):
    with pytest.raises(CurveError, match=match):
        recovered(history(series=changes), **keys)


@pytest.mark.parametrize(
    'each', [[60, 59, 61, 60.5, 60, 62, 58], [60, 60.1, 60, 60.1, 60, 60.1, 60], [9, 8, 7, 6, 5, 4, 3]]
)
def test_the_time_of_each_epoch_is_refused(each):
    read = history(series={'time/train': dict(zip(range(2, 15, 2), each, strict=True))})
    with pytest.raises(
        CurveError, match="'time/train' falls from .* to .* at step .*, not that of each epoch: log the"
    ):
        recovered(read, time_unit='seconds')


@pytest.mark.parametrize('kind', ['anytime', 'anytime-falling-half-life-0.5', 'schedule-free', 'marked'])
def test_points_at_marks_are_not_read_from_the_rate(kind):
    # Of one over the square root, the end looks like that of a decay.
    run = history(series={LR: {t: (1 + t) ** -0.5 for t in range(1, 40)}}, config={'pareto': {'kind': kind}})
    with pytest.raises(CurveError, match=f'kind {kind!r} are at marks, not at troughs: read its curve.json') as raised:
        recovered(run)
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


def test_a_run_of_less_than_an_epoch_counts_batches_samples_and_tokens(tmp_path):
    """Composer logs the counts at the start of each batch, and the end of training at none."""
    counts = {
        f'time/{name}': {batch: batch * each for batch in range(14)} for name, each in (('sample', 8), ('token', 1024))
    }
    read = history(series={'time/epoch': {0: 0, 14: 0}, **counts})
    curve = recovered(read)
    assert [(p.epoch, p.batch, p.sample, p.token) for p in curve.points] == [
        (None, 6, 48, 6144),
        (None, 14, 112, 14336),
    ]
    (tmp_path / 'a.csv').write_text(long_csv([curve]))
    (again,) = read_long_csv(tmp_path / 'a.csv')
    assert [p.token for p in again.points] == [6144, 14336]
    with pytest.raises(CurveError, match='a window in epochs needs the length of an epoch: pass --batches-per-epoch'):
        recovered(read, window_epochs=1)


def test_a_rate_that_stays_at_its_peak_before_each_decay_is_wsd_s():
    rates = [0.5, 1, 1, 1, 0.5, 0.01, 1, 1, 1, 1, 1, 1, 0.5, 0.01]
    read = history(series={LR: dict(enumerate(rates, start=1))})
    assert rows(read) == BOTH
    assert recovered(read).run.kind == 'wsd-s'
    read.config['pareto'] = {'kind': 'wsd-s-linear'}
    assert recovered(read).run.kind == 'wsd-s-linear'


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


class BrokenRun(FakeRun):
    def scan_history(self, keys, page_size):
        raise ConnectionError('reset by peer')


def fake_run(read: RunHistory, kind: type[FakeRun] = FakeRun) -> FakeRun:
    logged = {key: dict(zip(*map(np.ndarray.tolist, both), strict=True)) for key, both in read.series.items()}
    clock = logged['_timestamp']
    logged['_timestamp'] = {step: clock.get(step, 1e9) for values in logged.values() for step in values}
    summary = dict.fromkeys(['_step', 'loss/train/total', *logged])
    return kind(
        id=read.run_id,
        name=read.name,
        group=None,
        tags=['a'],
        config=read.config,
        logged=logged,
        summary_metrics=summary,
    )


@pytest.fixture
def imported(monkeypatch, tmp_path, capsys):
    """Returns a function that imports runs from a server that :class:`FakeRun` stands in for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(wandb.api), 'api_key', 'x' * 40)

    def call(*histories: RunHistory | FakeRun, arguments: tuple[str, ...] = ()):
        runs = [fake_run(run) if isinstance(run, RunHistory) else run for run in histories]
        asked = []

        class Api:
            def __init__(self, timeout):
                pass

            def runs(self, project, filters, per_page):
                asked.append((project, filters))
                return runs

        monkeypatch.setattr(wandb, 'Api', Api)
        status, out, lines = command(monkeypatch, capsys, 'me/study', '-o', 'out/c.csv', *arguments)
        curves = read_long_csv('out/c.csv') if status == 0 else []
        return SimpleNamespace(status=status, out=out, lines=lines, asked=asked, curves=curves)

    return call


def command(monkeypatch, capsys, *arguments: str):
    monkeypatch.setattr(sys, 'argv', ['composer-clr', 'import-wandb', *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, [line for line in err.splitlines() if line.startswith('composer-clr: ')]


def test_a_project_is_imported_and_what_failed_is_named(imported):
    FakeRun.requests = 0
    flat, broken = history('id8', 'flat', series={ACC: None, 'time/train': None}), history('id9', 'broken')
    runs = history(), flat, fake_run(broken, BrokenRun)
    filters = ['--name', '^o', '--group', 'g', '--tag', 'a', '--tag', 'b', '--config', 'pareto.kind=cyclic']
    made = imported(*runs, arguments=tuple(filters))
    assert (made.status, made.out) == (0, 'out/c.csv: 2 points of 1 run\n')
    assert made.lines == [
        "composer-clr: left out: run 'broken' (id9): its history cannot be read: ConnectionError: reset by peer",
        "composer-clr: left out: run 'flat' (id8): did not log training time: add Composer's SpeedMonitor, or name its "
        'key (--time-key)',
    ]
    (curve,) = made.curves
    assert [(p.epoch, p.wall_clock_train_s, *p.metrics.values()) for p in curve.points] == BOTH
    tags = [{'tags': {'$in': ['a']}}, {'tags': {'$in': ['b']}}]
    query = {'display_name': {'$regex': '^o'}, 'group': 'g', '$and': tags, 'config.pareto.kind': 'cyclic'}
    assert made.asked == [('me/study', query)]
    # Read in bulk: one scan for each of rate, metric, time, epoch of the first run, and for two of the second.
    assert FakeRun.requests == 6
    made = imported(*runs, arguments=('--strict',))
    assert (made.status, len(made.lines)) == (2, 1)
    assert 'broken' in made.lines[0]
    # Without any curve, every run is named all the same.
    (line,) = imported(*runs[1:]).lines
    assert "run 'broken' (id9): its history" in line
    assert "run 'flat' (id8): did not log" in line


def test_all_runs_of_an_import_have_one_unit(imported):
    """A run that W&B's clock says nothing of has the unit of the others; runs of two units are refused."""
    short = history('id8', 'short', algorithms=['MixUp'])
    short.series['_timestamp'] = series(dict.fromkeys(range(1, 15), 1e9))
    made = imported(history(), short)
    assert [(p.epoch, p.wall_clock_train_s) for p in made.curves[1].points] == approx([(3, 6), (7, 14)])
    seconds = history('id9', 'new', series={'time/train': {batch: batch for batch in range(1, 15)}})
    made = imported(history(), short, seconds)
    assert (made.status, made.lines) == (
        2,
        [
            "composer-clr: 'time/train' seems to be in different units by the logger's clock, hours in run 'old' "
            "(id7), seconds in run 'new' (id9): pass --time-unit, and import runs of another unit by themselves"
        ],
    )
    assert (
        imported(history(), short, arguments=('--time-unit', 'minutes')).curves[0].points[0].wall_clock_train_s == 0.1
    )


def test_runs_without_algorithms_are_methods_by_their_names(imported):
    none = {'algorithms': (), 'config': {'rank_zero_seed': None, 'lr': 0.1}}
    one, other, third = (history(f'id{i}', name, **none) for i, name in enumerate(['lr 0.1', 'lr 0.2', 'lr 0.1']))
    made = imported(one, other, history('id9'))
    assert [curve.run.method for curve in made.curves] == ['lr 0.1', 'lr 0.2', 'BP+MX']
    assert made.lines == [
        'composer-clr: 2 runs logged no algorithms: the method of each is its name; name the key of the method in '
        'their config (--method-key) for another'
    ]
    assert [curve.run.method for curve in imported(one).curves] == ['baseline']
    # Of one name, kind and seed, or of none, a second run is left out and named.
    made = imported(one, third)
    assert [curve.run.method for curve in made.curves] == ['baseline']
    (line,) = made.lines
    assert "runs 'lr 0.1 (id0)' and 'lr 0.1 (id2)' are both cyclic, baseline, seed None: " in line
    made = imported(one, other, arguments=('--method-key', 'lr'))
    assert [curve.run.method for curve in made.curves] == ['0.1']
    assert "runs 'lr 0.1 (id0)' and 'lr 0.2 (id1)' are both cyclic, 0.1, seed None: " in made.lines[0]


def test_separate_runs_without_seeds_conflict_too(imported):
    lr = dict(enumerate(np.cos(np.arange(14) / 14 * np.pi / 2) ** 2, start=1))
    runs = [
        history(f'id{i}', config={'rank_zero_seed': seed}, series={LR: lr}) for i, seed in enumerate([None, None, 3])
    ]
    made = imported(*runs)
    assert [(curve.run.kind, curve.run.seed) for curve in made.curves] == [('standard', None), ('standard', 3)]
    (line,) = made.lines
    assert (
        "left out: runs 'old (id0)' and 'old (id1)' are both standard, BP+MX, of one length and without a seed" in line
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'nowhere: must be an existing path or ENTITY/PROJECT'),
        (['.'], '.: no .wandb file in this folder'),
        (['me/study'], 'me/study: not logged in'),
        (['me/study', '--name', '('], "--name '(' is not a regular expression"),
        (['me/study', '--config', 'kind'], "--config 'kind' is not key=value"),
        (['broken.wandb'], 'broken.wandb: no run can be read from it'),
        (['empty.wandb'], 'empty.wandb: no run can be read from it'),
    ],
)
def test_what_cannot_be_imported_is_one_line(arguments, message, monkeypatch, tmp_path, capsys):
    (tmp_path / 'x').mkdir()
    monkeypatch.chdir(tmp_path / 'x')
    monkeypatch.setattr(type(wandb.api), 'api_key', None)
    if arguments[0].endswith('.wandb'):
        Path(arguments[0]).write_bytes(b'W&B?' * 30 if 'broken' in arguments[0] else b'')
    status, _, lines = command(monkeypatch, capsys, *arguments)
    assert status == 2
    assert lines[-1].startswith(f'composer-clr: {message}')


def test_a_server_that_does_not_answer_is_one_line(monkeypatch):
    def unreachable(timeout):
        raise ConnectionError('no route\nto host')

    monkeypatch.setattr(type(wandb.api), 'api_key', 'x' * 40)
    monkeypatch.setattr(wandb, 'Api', unreachable)
    with pytest.raises(CurveError, match='me/study: W&B cannot list its runs: ConnectionError: no route to host$'):
        import_curves(wandb_runs, ['me/study'], Keys(), RunFilter())


def test_filters_take_what_has_been_read():
    read = RunHistory('id', 'digits-17', 'g', ('a', 'b'), {'pareto': {'kind': 'cyclic'}, 'x.y': 3})
    assert RunFilter('digits', 'g', ('a',), {'pareto.kind': 'cyclic', 'x.y': 3})(read)
    others = RunFilter(name='^17'), RunFilter(group='h'), RunFilter(tags=('a', 'c')), RunFilter(config={'x.y': 4})
    assert not any(other(read) for other in others)
