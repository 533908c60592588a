"""The long CSV: what it reads, what it writes, and how it says what is wrong."""

import math
import re
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.files import read_sources
from composer_clr.curves.long_csv import long_csv, read_long_csv, writable_curves
from tests.helpers.markdown import code_blocks

README = Path(__file__).parents[2] / 'yamls/README.md'
ACC, LOSS = 'eval/MulticlassAccuracy', 'eval/CrossEntropy'
HEADER = f'kind,method,seed,epoch,wall_clock_train_s,{ACC},peak:{ACC}'


@pytest.fixture
def table(tmp_path):
    """Writes lines to a file and gives its path."""

    def write(*lines, encoding='utf-8'):
        path = tmp_path / 'curves.csv'
        path.write_text('\n'.join(lines) + '\n', encoding=encoding)
        return path

    return write


def noted(path):
    """The curves of a file, and its warning."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter('always')
        return read_long_csv(path), '\n'.join(str(note.message) for note in notes)


def read_back(path, curves):
    path.write_text(long_csv(curves))
    return noted(path)[0]


def point(cycle, epoch, time_s, metrics, peaks=None, **changes):
    return replace(TradeoffPoint(cycle, epoch, 10, 20, 30, time_s, time_s + 1, 0.1, metrics, peaks or {}), **changes)


def contents(curve):
    """What a long CSV holds of a curve."""
    run = curve.run
    points = [(p.cycle, p.epoch, p.wall_clock_train_s, p.metrics, p.peak_metrics) for p in curve.points]
    return run.kind, run.method, run.seed, points


def test_standard_rows_are_runs_and_cyclic_rows_points(table):
    path = table(
        HEADER,
        'cyclic,"BP+CL",17,32,200.5,0.6,0.7',
        'standard,BP+CL,17,16,100,0.5,0.5',
        'cyclic,BP+CL,17,16,100,0.4,0.45',
        'standard,BP+CL,17,32,90,0.61,',
        'cyclic,BP+CL,18,16,101,0.41,0.41',
        'cyclic,LS,nan,16,99,0.3,0.3',
    )
    curves = read_long_csv(path)
    two = [(0, 16, 100, {ACC: 0.4}, {ACC: 0.45}), (1, 32, 200.5, {ACC: 0.6}, {ACC: 0.7})]
    assert [contents(curve) for curve in curves] == [
        ('cyclic', 'BP+CL', 17, two),
        ('standard', 'BP+CL', 17, [(0, 16, 100, {ACC: 0.5}, {ACC: 0.5})]),
        ('standard', 'BP+CL', 17, [(0, 32, 90, {ACC: 0.61}, {})]),
        ('cyclic', 'BP+CL', 18, [(0, 16, 101, {ACC: 0.41}, {ACC: 0.41})]),
        ('cyclic', 'LS', None, [(0, 16, 99, {ACC: 0.3}, {ACC: 0.3})]),
    ]
    assert [curve.run.run_name for curve in curves] == [f'{path}:{line}' for line in (2, 3, 5, 6, 7)]


# The header, the rows, and what is said of them.
REFUSED = [
    ('kind,seed,epoch,acc', ['cyclic,1,16,0.5'], 'line 1 has no column method, wall_clock_train_s: it needs kind'),
    ('kind,method,seed,epoch,wall_clock_train_s', ['cyclic,MX,1,16,9'], 'line 1 names no metric: add a column'),
    (f'{HEADER},{ACC}', ['a'], r'line 1 has columns of the same name \(eval/MulticlassAccuracy\): name each once'),
    (f',{HEADER}', ['0.5,cyclic,MX,1,16,9,0.5,0.5'], 'line 1, column 1 has no name: name it'),
    (f'peak:,{HEADER}', ['1,cyclic,MX,1,16,9,0.5,0.5'], "line 1 has a column 'peak:': name its metric"),
    ('kind,method,epochs,wall_clock_train_s,acc', ['cyclic,MX,16,9,0.5'], "rename 'epochs' to epoch"),
    (
        'kind,method,epoch,wall_clock_train',
        ['log,A,1,9'],
        "rename 'wall_clock_train' to wall_clock_train_s; yamls/README",
    ),
    ('epoch,val_accuracy,loss', ['0,0.5,2.5'], 'line 1 has no column .* it needs kind,.*README.md, "Curves from other'),
    ('Step,Value', ['1,0.5'], 'line 1 has no column .* it needs kind,.*README.md, "Curves from other logs"'),
    (f'{HEADER},world_size', ['cyclic,MX,1,16,9,0.5,,0'], 'line 2, column world_size: 0 must be 1 or more'),
    (
        f'{HEADER},world_size',
        ['cyclic,MX,1,16,9,0.5,,8', 'cyclic,MX,1,32,9,0.5,,4'],
        'lines 2 and 3, column world_size: 8 and 4 in one run of cyclic, MX',
    ),
    (f'{HEADER},batch', ['cyclic,MX,1,,9,0.5,,1.5'], "line 2, column batch: '1.5' is not a whole number"),
    (f'{HEADER},batch', ['cyclic,MX,1,,9,0.5,,' + '9' * 19], 'column batch: .* is not a whole number'),
    (HEADER, [], 'holds no rows: give a header and one row per point'),
    ('', [], 'holds no rows'),
    (HEADER, ['cyclic,MX,1,16,9,0.5,', 'cyclic,MX,1,32,9,0.5'], 'line 3 has 6 cells, the header 7: make them'),
    (HEADER, ['cyclic,MX,1,16,9,0.5,,1'], 'line 2 has 8 cells, the header 7'),
    (
        HEADER,
        ['', 'cyclic,MX,1,16,9,high,0.5', 'cyclic,MX,1,32,9,0.5,0.5'],
        f"line 3, column {ACC}: 'high' is not a finite number: correct it, or leave the cell empty",
    ),
    (HEADER, ['cyclic,MX,1,16,9,76%,0.5'], f"line 2, column {ACC}: '76%' is not a finite"),
    (HEADER, ['cyclic,MX,1,16,"1,234",0.5,'], "'1,234' is not a finite"),
    (HEADER, ['cyclic,MX,1,16,1_234,0.5,'], "'1_234' is not a finite"),
    (HEADER, ['cyclic,MX,1,16,inf,0.5,'], "wall_clock_train_s: 'inf' is not a finite"),
    (f'{HEADER},val_loss', ['log,A,1,1,9,0.5,,0.1', 'log,A,1,2,18,0.5,,1e-3x'], 'val_loss: .* is not a finite number'),
    (HEADER, ['cyclic,MX,1,0,9,0.5,'], 'line 2, column epoch: 0 must be above 0: add 1 to epochs .*README'),
    (f'{HEADER},batch', ['cyclic,MX,1,0,9,0.5,,10'], 'line 2, column epoch: 0 must be above 0: add 1'),
    (HEADER, ['cyclic,MX,1,16,0,0.5,'], 'wall_clock_train_s: 0 must be above 0'),
    (HEADER, ['cyclic,MX,1,,9,0.5,'], 'line 2, column epoch: is empty: every'),
    (HEADER, ['log,A,1,1,9,0.5,', 'log,A,1,2,,0.6,'], 'line 3, column wall_clock_train_s: is empty: every point of a'),
    (f'{HEADER},batch', ['cyclic,MX,1,,0,0.5,,10'], 'wall_clock_train_s: 0 must be above 0'),
    (HEADER, ['cyclic,MX,1.5,16,9,0.5,'], "line 2, column seed: '1.5' is not a whole"),
    (HEADER, ['cyclic,nan,1,16,9,0.5,'], 'line 2, column method: is empty'),
    (
        HEADER,
        ['cyclic,MX,,16,9,0.5,'] * 2,
        'lines 2 and 3, column epoch: both are 16 in cyclic, MX: give the runs different seeds',
    ),
    *(
        (
            HEADER,
            [f'log,A,1,{epoch},{time_s},0.5,' for epoch, time_s in enumerate(times, 1)],
            'line 3, column wall_clock_train_s: 1. after 12 does not rise: give the seconds .*README',
        )
        for times in ((12, 11, 13), (12, 12, 13))
    ),
    *(
        (
            'kind,method,epoch,wall_clock_train_s,loss,acc',
            ['log,A,1,9,2.5,', other],
            f'both are 1 in log, A: give the runs .*; of one run, {remedy}',
        )
        for other, remedy in [
            ('log,A,1,9.5,,0.5', 'give both one wall_clock_train_s'),
            ('log,A,1,9,2.5,', 'keep one row per epoch'),
            ('log,A,1,9,2.5,0.5', 'keep one row per epoch'),
        ]
    ),
    (
        HEADER.replace(',', ';'),
        ['cyclic;MX;1;16;9.5;0,5;0,5'],
        r"'0,5' \(line 2\) has a decimal comma, '9.5' \(line 2\) a decimal point: use one",
    ),
    (HEADER, ['cyclic,"MX'], r'cannot be read as a CSV \(unexpected end'),
]


@pytest.mark.parametrize(('header', 'rows', 'message'), REFUSED)
def test_what_is_wrong_is_named_with_its_place(table, header, rows, message):
    path = table(header, *rows)
    with pytest.raises(CurveError, match=message) as caught:
        read_long_csv(path)
    assert str(caught.value).startswith(f'{path}: ')
    assert '\n' not in str(caught.value)


def test_no_file_no_text_and_many_columns_of_one_name(tmp_path, table):
    for content in (None, b'\xff\xfe\x00'):
        if content:
            (tmp_path / 'curve.csv').write_bytes(content)
        with pytest.raises(CurveError, match=r'curve\.csv: cannot be read as a CSV'):
            read_long_csv(tmp_path / 'curve.csv')
    begun = time.monotonic()
    with pytest.raises(CurveError, match='of the same name'):
        read_long_csv(table(HEADER + ',a,b' * 200_000, 'x'))
    assert time.monotonic() - begun < 5
    assert '### Curves from other logs' in README.read_text()


TWO = ['cyclic,MX,1,16,9,0.5,0.6', 'cyclic,MX,1,32,18.5,,0.7']


@pytest.mark.parametrize(
    ('header', 'rows', 'note'),
    [
        (f',{HEADER}', [f'{i},{row}' for i, row in enumerate(TWO)], r"1 \(''\) is an index and is not read"),
        (f'Unnamed: 0,{HEADER}', [f'{3 - 3 * i},{row}' for i, row in enumerate(TWO)], 'is an index'),
        (
            HEADER.replace(',', ';'),
            ['cyclic;MX;1;16;9;0,5;0,6', 'cyclic;MX;1;32;18,5;;0,7'],
            'a comma is read as a decimal comma',
        ),
        (HEADER.replace(',', ';'), [row.replace(',', ';') for row in TWO], ''),
        (HEADER.replace(',', '\t'), [row.replace(',', '\t') for row in TWO], ''),
        (HEADER, ['cyclic,MX,1.0,16.0,9,0.5,0.6', 'cyclic,MX,1.,32,18.5,NaN,0.7'], ''),
        (HEADER, [TWO[0], 'cyclic,MX,1,32,18.5,N/A,0.7'], ''),
        (f'{HEADER},,', [f'{TWO[0]},,', f'{TWO[1]},,,'], ''),
        (f' {HEADER.replace(",", " , ")}', ['', TWO[0], ',,,,', TWO[1]], ''),
        (
            f'{HEADER},note',
            [f'{TWO[0]},2026-11-25 good', f'{TWO[1]},'],
            r"column 8 \('note'\) holds text and is not read",
        ),
        (f'{HEADER},lr', [f'{TWO[0]},0.1', f'{TWO[1]},1e-3x'], r"\('lr'\) holds '1e-3x', names no metric and is not"),
        (f'{HEADER},time', [f'{TWO[0]},12 s', f'{TWO[1]},3'], r"\('time'\) holds '12 s', names no metric and is not"),
        (
            HEADER,
            [TWO[0].replace('c', 'C', 1), TWO[1].replace('cyclic', 'CYCLIC')],
            "kind 'Cyclic' is read as 'cyclic'; ",
        ),
        (HEADER.replace('epoch', 'Epoch'), TWO, "column 'Epoch' is read as 'epoch'"),
        (HEADER, ['cyclic,MX,1,0,0,0.1,', *TWO], r'evaluations before training are left out \(epoch 0, 1 rows\)$'),
        (
            f'{HEADER},batch',
            ['cyclic,MX,1,0,0.5,0.1,,0', f'{TWO[0]},10', f'{TWO[1]},20'],
            'evaluations before training are left out',
        ),
        (
            HEADER,
            ['cyclic,MX,1,16,9,0.5,', 'cyclic,MX,1,16,9,,0.6', TWO[1]],
            'rows that two loggers wrote at one epoch',
        ),
    ],
)
def test_as_other_programs_write_it(table, header, rows, note):
    path = table(header, *rows, encoding='utf-8-sig')
    (curve,), said = noted(path)
    points = [(0, 16, 9, {ACC: 0.5}, {ACC: 0.6}), (1, 32, 18.5, {}, {ACC: 0.7})]
    assert contents(curve) == ('cyclic', 'MX', 1, points)
    assert re.search(f'^{re.escape(str(path))}: .*{note}' if note else '^$', said)


def test_counts_and_ranks(table):
    columns = f'kind,method,epoch,wall_clock_train_s,Token,World_Size,{ACC}'
    (curve,), said = noted(table(columns, 'cyclic,MX,1,9,640,8,0.5'))
    assert (curve.points[0].token, curve.run.world_size, curve.points[0].metrics) == (640, 8, {ACC: 0.5})
    assert "column 'Token' is read as 'token'; column 'World_Size' is read as" in said
    # A count of 0 beside another is not counted.
    (curve,) = read_long_csv(table(f'{HEADER},batch,sample', 'log,A,1,,9,0.5,,0,640'))
    assert (curve.points[0].batch, curve.points[0].sample) == (0, 640)


def test_the_cost_of_branches_is_not_in_a_table(table):
    _, said = noted(table(HEADER, 'branch,MX,1,4,10,0.5,', 'branch,MX,1,8,20,0.6,'))
    assert 'branches count as one run, the table does not have what each took: their cost is a lower bound' in said


def test_a_log_without_times(table, tmp_path):
    (curve,), said = noted(table('kind,method,epoch,acc', 'log,A,1,0.5', 'log,A,2,0.6'))
    assert 'runs without wall_clock_train_s are compared by epochs alone' in said
    assert [math.isnan(p.wall_clock_train_s) for p in curve.points] == [True, True]
    assert long_csv([curve]).splitlines()[1:] == ['log,A,,1.0,,0.5', 'log,A,,2.0,,0.6']


@pytest.mark.parametrize('timed', [True, False])
@pytest.mark.filterwarnings('ignore:curve.csv. runs without wall_clock_train_s')
def test_the_lines_of_the_readme_make_a_curve(tmp_path, monkeypatch, timed):
    monkeypatch.chdir(tmp_path)
    log = ['epoch,val_accuracy,seconds', '0,0.5,12', '1,0.6,11', '2,0.7,13']
    Path('training.csv').write_text('\n'.join(line if timed else line.rpartition(',')[0] for line in log))
    (lines,) = [block for block in code_blocks(README, 'python') if 'training.csv' in block]
    ended = subprocess.run([sys.executable, '-c', lines], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, '')
    (curve,) = read_sources(['curve.csv'])[0]
    assert (curve.run.kind, curve.run.method, curve.run.seed) == ('log', 'baseline', 17)
    assert [(p.epoch, p.metrics) for p in curve.points] == [(i, {'val_accuracy': (4 + i) / 10}) for i in (1, 2, 3)]
    times = [12, 23, 36] if timed else 3 * [math.nan]
    assert [p.wall_clock_train_s for p in curve.points] == pytest.approx(times, nan_ok=True)


def test_the_file_by_hand():
    curves = [
        TradeoffCurve(Run('a', 'cyclic', 'MX', 17), [point(0, 16.0, 9.5, {ACC: 0.5}, {ACC: 0.6})]),
        TradeoffCurve(Run('b', 'standard', 'a "b", c'), [point(0, 2.25, 1e6, {LOSS: math.nan, ACC: 0.1})]),
    ]
    assert long_csv(curves).splitlines() == [
        f'kind,method,seed,epoch,wall_clock_train_s,batch,sample,token,world_size,{ACC},{LOSS},peak:{ACC}',
        'cyclic,MX,17,16.0,9.5,10,20,30,1,0.5,,0.6',
        'standard,"a ""b"", c",,2.25,1000000.0,10,20,30,1,0.1,,',
    ]


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path):
    awkward = 0.1 + 0.2
    points = [
        point(0, 16 + awkward, 100 / 3, {ACC: awkward, LOSS: 1e-300}, {ACC: awkward}),
        point(1, 32.0, 200 / 3, {ACC: 2 / 3, LOSS: 1e300}, {ACC: 1 / 3}),
    ]
    curves = [
        TradeoffCurve(Run('a', 'cyclic', 'LS+MX', 17), points),
        TradeoffCurve(Run('b', 'standard', 'LS+MX', 17), [point(0, 16.0, 1 / 7, {ACC: 5e-324})]),
        TradeoffCurve(Run('c', 'standard', 'LS+MX', 17), [point(0, 32.0, 2 / 7, {ACC: 1.0})]),
        TradeoffCurve(Run('d', 'branch', 'baseline'), [point(0, 8.0, 3.0, {LOSS: -0.0})]),
    ]
    assert [contents(curve) for curve in read_back(tmp_path / 'a.csv', curves)] == [*map(contents, curves)]


def test_counts_are_carried_and_epochs_may_be_missing(tmp_path):
    def of(tokens: int, epoch: float | None) -> TradeoffPoint:
        return TradeoffPoint(0, epoch, tokens // 64, 0, tokens, 1.0 * tokens, 1.0, 0.0, {LOSS: 2.0}, {})

    curves = [
        TradeoffCurve(Run('a', 'cyclic', 'baseline', 17), [of(64, 0.5), of(128, 1.0)]),
        TradeoffCurve(Run('b', 'cyclic', 'stream', 17), [of(64, None), of(128, None)]),
    ]
    header, first, *_, last = long_csv(curves).splitlines()
    assert header == f'kind,method,seed,epoch,wall_clock_train_s,batch,token,world_size,{LOSS}'
    assert (first, last) == ('cyclic,baseline,17,0.5,64.0,1,64,1,2.0', 'cyclic,stream,17,,128.0,2,128,1,2.0')
    for curve, read in zip(curves, read_back(tmp_path / 'a.csv', curves), strict=True):
        assert [(p.epoch, p.batch, p.sample, p.token) for p in read.points] == [
            (p.epoch, p.batch, p.sample, p.token) for p in curve.points
        ]


@pytest.mark.parametrize('ranks', [(None, None), (8, None), (8, 4)])
def test_the_number_of_ranks_is_carried_where_a_run_has_one(tmp_path, ranks):
    of_run, of_last = ranks
    points = [point(0, 1.0, 9.0, {ACC: 0.5}), point(1, 2.0, 19.0, {}, world_size=of_last)]
    runs = [Run('a', 'cyclic', 'MX', 17, world_size=of_run), Run('b', 'cyclic', 'LS', 17, world_size=None)]
    curves = [TradeoffCurve(runs[0], points), TradeoffCurve(runs[1], points[:1])]
    carried = of_run if of_last is None else None
    assert [curve.run.world_size for curve in read_back(tmp_path / 'a.csv', curves)] == [carried, None]
    assert ('world_size' in (tmp_path / 'a.csv').read_text()) == (carried is not None)


@pytest.mark.parametrize('mark', ['diverged', 'stopped'])
def test_points_that_do_not_count_do_not_come_back_as_sound_ones_and_points_of_one_batch_are_one_row(tmp_path, mark):
    """A network of NaNs has an accuracy."""
    good = point(0, 1.0, 9.0, {ACC: 0.5})
    points = [good, replace(good, cycle=1), point(2, 2.0, 19.0, {ACC: 0.1}, {ACC: 0.6}, **{mark: True})]
    (curve,) = read_back(tmp_path / 'a.csv', [TradeoffCurve(Run('a', 'cyclic', 'MX'), points)])
    assert [(p.epoch, p.metrics, p.peak_metrics) for p in curve.points] == [(1, {ACC: 0.5}, {}), (2, {}, {})]


def test_what_could_not_be_read_again_is_not_written():
    def curve(name, *points, method=None):
        return TradeoffCurve(Run(name, 'cyclic', method or name), list(points))

    good = point(0, 1.0, 9.0, {ACC: 0.5})
    curves = [
        curve('a', good, point(1, 2.0, 0.0, {ACC: 0.6}), point(2, 3.0, math.nan, {ACC: 0.7})),
        curve('b', good, replace(good, metrics={ACC: 0.9})),
        curve('c', point(0, 0.0, 9.0, {ACC: 0.5})),
        curve('d', replace(good, epoch=None, batch=0, sample=0, token=0)),
        curve('e', good, method='a'),
        curve('f', good, point(1, 2.0, 8.0, {ACC: 0.6})),
    ]
    kept, errors = writable_curves(curves)
    assert kept == [curve('a', good)]
    faults = [
        "'a': a point has wall_clock_train_s 0.0, a long CSV requires one above 0: keep its curve.json",
        "'a': a point has wall_clock_train_s nan",
        "'b': two of its points at epoch 1 have different values",
        "'c': a point has epoch 0.0",
        "'d' counts neither epochs nor batches",
        "'a' and 'e' are both cyclic, a, seed None: a long CSV cannot distinguish them",
        "'f', column wall_clock_train_s: 8 after 9 does not rise",
    ]
    assert [fault in str(error) for fault, error in zip(faults, errors, strict=True)] == [True] * len(faults)
    with pytest.raises(CurveError, match='wall_clock_train_s 0.0, a long CSV requires one above 0: keep its curve'):
        long_csv(curves)
