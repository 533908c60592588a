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
from composer_clr.curves.long_csv import read_long_csv, writable_curves, write_long_csv
from tests.helpers.markdown import code_blocks

README = Path(__file__).parents[2] / 'README.md'
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


def point(cycle, epoch, time_s, metrics, peaks=None):
    return TradeoffPoint(cycle, epoch, 10, 20, 30, time_s, time_s + 1, 0.1, metrics, peaks or {})


def contents(curve):
    """What a long CSV holds of a curve."""
    run = curve.run
    points = [(p.cycle, p.epoch, p.wall_clock_train_s, p.metrics, p.peak_metrics) for p in curve.points]
    return run.kind, run.method, run.seed, points


class TestRead:
    def test_standard_rows_are_runs_and_cyclic_rows_points(self, table):
        path = table(
            HEADER,
            'cyclic,"BP+CL",17,32,200.5,0.6,0.7',
            'standard,BP+CL,17,16,100,0.5,0.5',
            'cyclic,BP+CL,17,16,100,0.4,0.45',
            'standard,BP+CL,17,32,200,0.61,',
            'cyclic,BP+CL,18,16,101,0.41,0.41',
            'cyclic,LS,nan,16,99,0.3,0.3',
        )
        curves = read_long_csv(path)
        two = [(0, 16, 100, {ACC: 0.4}, {ACC: 0.45}), (1, 32, 200.5, {ACC: 0.6}, {ACC: 0.7})]
        assert [contents(curve) for curve in curves] == [
            ('cyclic', 'BP+CL', 17, two),
            ('standard', 'BP+CL', 17, [(0, 16, 100, {ACC: 0.5}, {ACC: 0.5})]),
            ('standard', 'BP+CL', 17, [(0, 32, 200, {ACC: 0.61}, {})]),
            ('cyclic', 'BP+CL', 18, [(0, 16, 101, {ACC: 0.41}, {ACC: 0.41})]),
            ('cyclic', 'LS', None, [(0, 16, 99, {ACC: 0.3}, {ACC: 0.3})]),
        ]
        assert [curve.run.run_name for curve in curves] == [f'{path}:{line}' for line in (2, 3, 5, 6, 7)]

    def test_columns_in_any_order_without_seeds_as_a_spreadsheet_saves_them(self, table):
        path = table(
            ' acc , epoch,method,kind,wall_clock_train_s', '', '0.5, 16,MX,cyclic,9', ',,,,', encoding='utf-8-sig'
        )
        assert [contents(curve) for curve in read_long_csv(path)] == [
            ('cyclic', 'MX', None, [(0, 16, 9, {'acc': 0.5}, {})])
        ]

    @pytest.mark.parametrize(
        ('header', 'rows', 'message'),
        [
            (
                'kind,seed,epoch,acc',
                ['cyclic,1,16,0.5'],
                'line 1 has no column method, wall_clock_train_s: it needs kind',
            ),
            ('kind,method,seed,epoch,wall_clock_train_s', ['cyclic,MX,1,16,9'], 'line 1 names no metric: add a column'),
            (
                f'{HEADER},{ACC}',
                ['a'],
                r'line 1 has columns of the same name \(eval/MulticlassAccuracy\): name each once',
            ),
            (f',{HEADER}', ['0.5,cyclic,MX,1,16,9,0.5,0.5'], 'line 1, column 1 has no name: name it'),
            ('kind,method,epochs,wall_clock_train_s,acc', ['cyclic,MX,16,9,0.5'], "rename 'epochs' to epoch"),
            (f'{HEADER},world_size', ['cyclic,MX,1,16,9,0.5,,0'], 'line 2, column world_size: 0 must be 1 or more'),
            (
                f'{HEADER},world_size',
                ['cyclic,MX,1,16,9,0.5,,8', 'cyclic,MX,1,32,9,0.5,,4'],
                'lines 2 and 3, column world_size: 8 and 4 in one run of cyclic, MX',
            ),
            (f'{HEADER},batch', ['cyclic,MX,1,,9,0.5,,1.5'], "line 2, column batch: '1.5' is not a whole number"),
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
            (HEADER, ['cyclic,MX,1,0,9,0.5,'], 'line 2, column epoch: 0 must be above 0: add 1 to epochs .*README'),
            (f'{HEADER},batch', ['cyclic,MX,1,0,9,0.5,,10'], 'line 2, column epoch: 0 must be above 0: add 1'),
            (HEADER, ['cyclic,MX,1,16,0,0.5,'], 'wall_clock_train_s: 0 must be above 0'),
            (HEADER, ['cyclic,MX,1,,9,0.5,'], 'line 2, column epoch: is empty: every'),
            (f'{HEADER},batch', ['cyclic,MX,1,,0,0.5,,10'], 'wall_clock_train_s: 0 must be above 0'),
            (HEADER, ['cyclic,MX,1.5,16,9,0.5,'], "line 2, column seed: '1.5' is not a whole"),
            (HEADER, ['cyclic,nan,1,16,9,0.5,'], 'line 2, column method: is empty'),
            (
                HEADER,
                ['cyclic,MX,,16,9,0.5,'] * 2,
                'lines 2 and 3, column epoch: both are 16 in cyclic, MX: give the runs different seeds',
            ),
            (
                HEADER.replace(',', ';'),
                ['cyclic;MX;1;16;9.5;0,5;0,5'],
                r"'0,5' \(line 2\) has a decimal comma, '9.5' \(line 2\) a decimal point: use one",
            ),
            (HEADER, ['cyclic,"MX'], r'cannot be read as a CSV \(unexpected end'),
        ],
    )
    def test_what_is_wrong_is_named_with_its_place(self, table, header, rows, message):
        path = table(header, *rows)
        with pytest.raises(CurveError, match=message) as caught:
            read_long_csv(path)
        assert str(caught.value).startswith(f'{path}: ')
        assert '\n' not in str(caught.value)

    @pytest.mark.parametrize(
        ('header', 'rows', 'note'),
        [
            (f',{HEADER}', ['0,cyclic,MX,1,16,9,0.5,0.6', '1,cyclic,MX,1,32,18.5,,0.7'], r"1 \(''\) is an index"),
            (f'Unnamed: 0,{HEADER}', ['3,cyclic,MX,1,16,9,0.5,0.6', '0,cyclic,MX,1,32,18.5,,0.7'], 'is an index'),
            (
                HEADER.replace(',', ';'),
                ['cyclic;MX;1;16;9;0,5;0,6', 'cyclic;MX;1;32;18,5;;0,7'],
                'a comma is read as a decimal comma',
            ),
            (HEADER.replace(',', ';'), ['cyclic;MX;1;16;9;0.5;0.6', 'cyclic;MX;1;32;18.5;;0.7'], None),
            (HEADER.replace(',', '\t'), ['cyclic\tMX\t1\t16\t9\t0.5\t0.6', 'cyclic\tMX\t1\t32\t18.5\t\t0.7'], None),
            (HEADER, ['cyclic,MX,1.0,16.0,9,0.5,0.6', 'cyclic,MX,1.,32,18.5,NaN,0.7'], None),
            (HEADER, ['cyclic,MX,1,16,9,0.5,0.6', 'cyclic,MX,1,32,18.5,N/A,0.7'], None),
            (f'{HEADER},,', ['cyclic,MX,1,16,9,0.5,0.6,,', 'cyclic,MX,1,32,18.5,,0.7,,,'], None),
            (
                f'{HEADER},note',
                ['cyclic,MX,1,16,9,0.5,0.6,2026-11-25 good', 'cyclic,MX,1,32,18.5,,0.7,'],
                r"column 8 \('note'\) holds text and is not read",
            ),
            (
                HEADER,
                ['Cyclic,MX,1,16,9,0.5,0.6', 'CYCLIC,MX,1,32,18.5,,0.7'],
                "kind 'Cyclic' is read as 'cyclic'; kind 'CYCLIC' is read as 'cyclic'",
            ),
            (
                HEADER.replace('epoch', 'Epoch'),
                ['cyclic,MX,1,16,9,0.5,0.6', 'cyclic,MX,1,32,18.5,,0.7'],
                "column 'Epoch' is read as 'epoch'",
            ),
        ],
    )
    def test_as_other_programs_write_it(self, table, header, rows, note):
        path = table(header, *rows)
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter('always')
            (curve,) = read_long_csv(path)
        points = [(0, 16, 9, {ACC: 0.5}, {ACC: 0.6}), (1, 32, 18.5, {}, {ACC: 0.7})]
        assert contents(curve) == ('cyclic', 'MX', 1, points)
        assert [bool(re.search(f'^{re.escape(str(path))}: .*{note}', str(one.message))) for one in noted] == (
            [] if note is None else [True]
        )

    @pytest.mark.parametrize('content', [None, b'\xff\xfe\x00'])
    def test_no_file_and_no_text(self, tmp_path, content):
        if content:
            (tmp_path / 'curve.csv').write_bytes(content)
        with pytest.raises(CurveError, match=r'curve\.csv: cannot be read as a CSV'):
            read_long_csv(tmp_path / 'curve.csv')

    def test_many_columns_of_one_name_are_refused_soon(self, table):
        begun = time.monotonic()
        with pytest.raises(CurveError, match='of the same name'):
            read_long_csv(table(HEADER + ',a,b' * 200_000, 'x'))
        assert time.monotonic() - begun < 5

    def test_counts_in_capitals_are_counts(self, table):
        path = table(f'kind,method,epoch,wall_clock_train_s,Token,World_Size,{ACC}', 'cyclic,MX,1,9,640,8,0.5')
        with pytest.warns(UserWarning, match="column 'Token' is read as 'token'; column 'World_Size' is read as"):
            (curve,) = read_long_csv(path)
        assert (curve.points[0].token, curve.run.world_size, curve.points[0].metrics) == (640, 8, {ACC: 0.5})

    def test_the_cost_of_branches_is_not_in_a_table(self, table):
        with pytest.warns(UserWarning, match='branches count as one run, .* their cost is a lower bound'):
            read_long_csv(table(HEADER, 'branch,MX,1,4,10,0.5,', 'branch,MX,1,8,20,0.6,'))


class TestOtherLogs:
    """What other programs log: joined, left out with a word, or refused with what would be right."""

    @pytest.mark.parametrize('timed', [True, False])
    @pytest.mark.filterwarnings('ignore:curve.csv. runs without wall_clock_train_s')
    def test_the_lines_of_the_readme_make_a_curve(self, tmp_path, monkeypatch, timed):
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

    @pytest.mark.parametrize('times', ['12 11 13', '12 12 13'])
    def test_seconds_of_each_epoch_are_refused(self, table, times):
        path = table(HEADER, *(f'log,A,1,{epoch},{time_s},0.5,' for epoch, time_s in enumerate(times.split(), 1)))
        with pytest.raises(
            CurveError, match='line 3, column wall_clock_train_s: 1. after 12 does not rise: give the seconds .*README'
        ):
            read_long_csv(path)
        # Standard runs are timed apart.
        path.write_text(path.read_text().replace('log', 'standard'))
        assert len(read_long_csv(path)) == 3

    def test_a_log_without_times(self, table):
        path = table('kind,method,epoch,acc', 'log,A,1,0.5', 'log,A,2,0.6')
        with pytest.warns(UserWarning, match='runs without wall_clock_train_s are compared by epochs alone'):
            (curve,) = read_long_csv(path)
        assert [math.isnan(p.wall_clock_train_s) for p in curve.points] == [True, True]
        write_long_csv(path, [curve])
        assert path.read_text().splitlines()[1:] == ['log,A,,1.0,,0.5', 'log,A,,2.0,,0.6']
        with pytest.raises(CurveError, match='line 3, column wall_clock_train_s: is empty: every point of a run needs'):
            read_long_csv(table(HEADER, 'log,A,1,1,9,0.5,', 'log,A,1,2,,0.6,'))

    @pytest.mark.parametrize(('header', 'before'), [(HEADER, '0,0,0.1,'), (f'{HEADER},batch', '0,0.5,0.1,,0')])
    def test_an_evaluation_before_training_is_left_out(self, table, header, before):
        after = ',10' if 'batch' in header else ''
        with pytest.warns(UserWarning, match=r'evaluations before training are left out \(epoch 0, 1 rows\)'):
            (curve,) = read_long_csv(table(header, f'log,A,1,{before}', f'log,A,1,1,9,0.5,{after}'))
        assert [p.epoch for p in curve.points] == [1]
        # A count of 0 beside another is not counted.
        (curve,) = read_long_csv(table(f'{HEADER},batch,sample', 'log,A,1,,9,0.5,,0,640'))
        assert (curve.points[0].batch, curve.points[0].sample) == (0, 640)

    def test_the_rows_of_two_loggers_are_one_point(self, table):
        columns = 'kind,method,epoch,wall_clock_train_s,loss,acc'
        rows = ['log,A,1,9,2.5,', 'log,A,1,9,,0.5', 'log,A,2,18,2.0,', 'log,A,2,18,,0.6']
        with pytest.warns(UserWarning, match='rows that two loggers wrote at one epoch are joined$'):
            (curve,) = read_long_csv(table(columns, *rows))
        assert [p.metrics for p in curve.points] == [{'loss': 2.5, 'acc': 0.5}, {'loss': 2.0, 'acc': 0.6}]
        keep = 'keep one row per'
        others = {'log,A,1,9.5,,0.5': 'give both one wall_clock_train_s', rows[0]: keep, 'log,A,1,9,2.5,0.5': keep}
        for other, remedy in others.items():
            with pytest.raises(CurveError, match=f'both are 1 in log, A: give the runs .*; of one run, {remedy}'):
                read_long_csv(table(columns, rows[0], other))

    @pytest.mark.parametrize(('column', 'cells'), [('lr', ('0.1', '1e-3x')), ('time', ('12 s', '3'))])
    def test_a_spoilt_number_matters_in_a_metric_only(self, table, column, cells):
        rows = [f'log,A,1,{i},{9 * i},0.5,,{cell}' for i, cell in enumerate(cells, 1)]
        with pytest.warns(UserWarning, match=rf"column 8 \('{column}'\) holds '.*', names no metric and is not read"):
            assert set(read_long_csv(table(f'{HEADER},{column}', *rows))[0].points[0].metrics) == {ACC}
        with pytest.raises(CurveError, match='column val_loss: .* is not a finite number'):
            read_long_csv(table(f'{HEADER},val_loss', *rows))

    @pytest.mark.parametrize(
        'lines',
        [
            pytest.param(['epoch,val_accuracy,loss', '0,0.5,2.5'], id='Keras'),
            pytest.param(['Step,Value', '1,0.5'], id='TensorBoard'),
            pytest.param(['kind,method,epoch,wall_clock_train', 'log,A,1,9'], id='a time of nearly the right name'),
        ],
    )
    def test_a_foreign_log_is_sent_to_the_readme(self, table, lines):
        with pytest.raises(CurveError, match='line 1 has no column .* it needs kind,.*README.md, "Curves from other'):
            read_long_csv(table(*lines))
        assert '### Curves from other logs' in README.read_text()

    def test_a_tsv(self, tmp_path):
        (tmp_path / 'a.TSV').write_text('kind\tmethod\tepoch\twall_clock_train_s\tacc\ncyclic\tA\t1\t9\t0.5\n')
        assert read_sources([tmp_path / 'a.TSV'])[0][0].points[0].metrics == {'acc': 0.5}


class TestWrite:
    def test_the_file_by_hand(self, tmp_path):
        curves = [
            TradeoffCurve(Run('a', 'cyclic', 'MX', 17), [point(0, 16.0, 9.5, {ACC: 0.5}, {ACC: 0.6})]),
            TradeoffCurve(Run('b', 'standard', 'a "b", c'), [point(0, 2.25, 1e6, {LOSS: math.nan, ACC: 0.1})]),
        ]
        write_long_csv(tmp_path / 'out.csv', curves)
        assert (tmp_path / 'out.csv').read_text().splitlines() == [
            f'kind,method,seed,epoch,wall_clock_train_s,batch,sample,token,world_size,{ACC},{LOSS},peak:{ACC}',
            'cyclic,MX,17,16.0,9.5,10,20,30,1,0.5,,0.6',
            'standard,"a ""b"", c",,2.25,1000000.0,10,20,30,1,0.1,,',
        ]
        assert [path.name for path in tmp_path.iterdir()] == ['out.csv']

    def test_what_is_written_is_read_back_to_the_last_bit(self, tmp_path):
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
        write_long_csv(tmp_path / 'out.csv', curves)
        assert [contents(curve) for curve in read_long_csv(tmp_path / 'out.csv')] == [*map(contents, curves)]

    def test_counts_are_carried_and_epochs_may_be_missing(self, tmp_path):
        def point(tokens: int, epoch: float | None) -> TradeoffPoint:
            return TradeoffPoint(0, epoch, tokens // 64, 0, tokens, 1.0 * tokens, 1.0, 0.0, {LOSS: 2.0}, {})

        curves = [
            TradeoffCurve(Run('a', 'cyclic', 'baseline', 17), [point(64, 0.5), point(128, 1.0)]),
            TradeoffCurve(Run('b', 'cyclic', 'stream', 17), [point(64, None), point(128, None)]),
        ]
        write_long_csv(tmp_path / 'a.csv', curves)
        header, first, *_, last = (tmp_path / 'a.csv').read_text().splitlines()
        assert header == f'kind,method,seed,epoch,wall_clock_train_s,batch,token,world_size,{LOSS}'
        assert (first, last) == ('cyclic,baseline,17,0.5,64.0,1,64,1,2.0', 'cyclic,stream,17,,128.0,2,128,1,2.0')
        for curve, read in zip(curves, read_long_csv(tmp_path / 'a.csv'), strict=True):
            assert [(p.epoch, p.batch, p.sample, p.token) for p in read.points] == [
                (p.epoch, p.batch, p.sample, p.token) for p in curve.points
            ]

    @pytest.mark.parametrize('ranks', [(None, None), (8, None), (8, 4)])
    def test_the_number_of_ranks_is_carried_where_a_run_has_one(self, tmp_path, ranks):
        of_run, of_last = ranks
        points = [point(0, 1.0, 9.0, {ACC: 0.5}), replace(point(1, 2.0, 19.0, {}), world_size=of_last)]
        runs = [Run('a', 'cyclic', 'MX', 17, world_size=of_run), Run('b', 'cyclic', 'LS', 17, world_size=None)]
        write_long_csv(tmp_path / 'a.csv', [TradeoffCurve(runs[0], points), TradeoffCurve(runs[1], points[:1])])
        carried = of_run if of_last is None else None
        assert [curve.run.world_size for curve in read_long_csv(tmp_path / 'a.csv')] == [carried, None]
        assert ('world_size' in (tmp_path / 'a.csv').read_text()) == (carried is not None)

    def test_a_diverged_point_does_not_come_back_as_a_sound_one(self, tmp_path):
        """A network of NaNs has an accuracy."""
        points = [point(0, 1.0, 9.0, {ACC: 0.5}), replace(point(1, 2.0, 19.0, {ACC: 0.1}, {ACC: 0.6}), diverged=True)]
        write_long_csv(tmp_path / 'a.csv', [TradeoffCurve(Run('a', 'cyclic', 'MX'), points)])
        (curve,) = read_long_csv(tmp_path / 'a.csv')
        assert [(p.metrics, p.peak_metrics) for p in curve.points] == [({ACC: 0.5}, {}), ({}, {})]

    def test_points_of_one_batch_are_one_row(self, tmp_path):
        points = [point(0, 1.0, 9.0, {ACC: 0.5}), point(1, 1.0, 9.0, {ACC: 0.5}), point(2, 2.0, 19.0, {ACC: 0.6})]
        write_long_csv(tmp_path / 'a.csv', [TradeoffCurve(Run('a', 'cyclic', 'MX'), points)])
        assert [p.epoch for p in read_long_csv(tmp_path / 'a.csv')[0].points] == [1, 2]

    def test_what_could_not_be_read_again_is_not_written(self, tmp_path):
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
            write_long_csv(tmp_path / 'out.csv', curves)
        assert not list(tmp_path.iterdir())
