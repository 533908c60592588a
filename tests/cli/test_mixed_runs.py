"""What the commands say and print where runs of one method and kind differ in more than the seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.curves.curve import TradeoffCurve
from tests.helpers.studies import run

COMMANDS = [
    ['compare', '.', '--json', 'out.json'],
    ['ask', '.', '--reach', '0.55', '--json', 'out.json'],
    ['plot', '.', '-o', 'out.png'],
    ['forecast', '.', '--json', 'out.json'],
    ['report', '.', '--cdn'],
]


def write(folder: Path, rates: list[float], **settings) -> None:
    """Writes a cyclic and two standard runs per rate, seeds from 1, each seed one point better than the last."""
    for seed, rate in enumerate(rates, start=1):
        v = 0.01 * seed
        curves = [
            run('cyclic', seed, (4, 10, 0.50 + v), (8, 20, 0.60 + v)),
            run('standard', seed, (4, 12, 0.52 + v)),
            run('standard', seed, (8, 22, 0.64 + v)),
        ]
        for i, curve in enumerate(curves):
            record = replace(curve.run, settings={'seed': seed, 'optimizer.lr': rate, **settings})
            (folder / f'seed{seed}-{i}').mkdir()
            TradeoffCurve(record, curve.points).write(folder / f'seed{seed}-{i}' / 'curve.json')


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / 'study').mkdir()
    monkeypatch.chdir(tmp_path / 'study')
    return tmp_path / 'study'


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[0])
class TestEveryCommand:
    def test_leaves_the_odd_runs_out_with_the_reason(self, call, folder, capsys, command):
        write(folder, [0.1, 0.1, 0.05])
        assert call(*command) == 0
        said = capsys.readouterr().err.splitlines()
        assert said == [
            f"composer-clr: left out: run 'seed3-{i}/curve.json' has optimizer.lr=0.05, most runs of baseline, {kind} "
            '0.1: give it a method of its own (snapshot.method), or leave it out'
            for i, kind in enumerate(('cyclic', 'standard', 'standard'))
        ]

    def test_stops_at_the_first_one_if_strict(self, call, folder, capsys, command):
        write(folder, [0.1, 0.1, 0.05])
        assert call(*command, '--strict') == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "run 'seed3-0/curve.json' has optimizer.lr=0.05" in line
        assert not list(folder.glob('out*'))

    def test_says_once_that_a_run_went_on_under_other_settings(self, call, folder, capsys, command):
        write(folder, [0.1])
        curve = TradeoffCurve.read(folder / 'seed1-0')
        changes = [{'batch': 50, 'changed': {'optimizer.lr': [0.2, 0.1]}}]
        TradeoffCurve(replace(curve.run, changes=changes), curve.points).write(folder / 'seed1-0' / 'curve.json')
        assert call(*command) == 0
        said = ' '.join(' '.join(capsys.readouterr()).split())
        assert said.count('baseline, cyclic: run ') == 1
        assert 'went on at batch 50 under other settings: optimizer.lr=0.2, now 0.1' in said

    def test_refuses_in_one_line_where_most_do_not_agree(self, call, folder, capsys, command):
        write(folder, [0.1, 0.05])
        assert call(*command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            "composer-clr: run 'seed1-0/curve.json' has optimizer.lr=0.1, run 'seed2-0/curve.json' 0.05, so they are "
            'not seeds of one curve (baseline, cyclic): '
        )
        assert not list(folder.glob('out*'))


def test_the_numbers_are_those_without_the_odd_runs(call, folder, capsys):
    write(folder, [0.1, 0.1, 0.05])
    for name in ('with', 'without'):
        paths = ['.'] if name == 'with' else [str(path) for path in folder.glob('seed[12]*')]
        assert call('compare', *paths, '--json', f'../{name}-compare.json') == 0
        assert call('ask', *paths, '--reach', '0.6', '--json', f'../{name}-ask.json') == 0
    for command in ('compare', 'ask'):
        assert json.loads((folder.parent / f'with-{command}.json').read_text()) == json.loads(
            (folder.parent / f'without-{command}.json').read_text()
        )
    # Seeds 1 and 2, standard: 0.535 after 12 s and 0.655 after 22 s.
    (reached,) = json.loads((folder.parent / 'with-ask.json').read_text())['curves'][0]['reach']
    assert reached['time_s'] == pytest.approx(12 * (22 / 12) ** ((0.6 - 0.535) / 0.12))


def test_export_keeps_every_point_and_says_that_a_csv_keeps_no_settings(call, folder, capsys):
    write(folder, [0.1, 0.05])
    assert call('export', '.', '-o', 'out.csv') == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith('composer-clr: a CSV keeps no settings: run ') for line in said] == [True, True]
    assert len((folder / 'out.csv').read_text().splitlines()) == 1 + 2 * 4
    assert call('export', '.', '-o', 'strict.csv', '--strict') == 2


def lines(capsys) -> list[str]:
    return [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]


class TestPace:
    @pytest.fixture(autouse=True)
    def methods(self, folder):
        """Two methods of one seed on either kind, the second method on another device."""
        for method, device, faster in (('baseline', 'A100', 1.0), ('MX', 'H100', 0.5)):
            for kind, *points in (('cyclic', (4, 10, 0.5), (8, 20, 0.6)), ('standard', (4, 12, 0.52), (8, 22, 0.64))):
                curve = run(kind, 1, *((e, s * faster, v) for e, s, v in points), method=method)
                path = folder / f'{method}-{kind}' / 'curve.json'
                path.parent.mkdir()
                record = replace(curve.run, settings={'device': device})
                TradeoffCurve(record, curve.points).write(path)

    WHY = (
        "* training times are not comparable: run 'baseline-{0}/curve.json' has device='A100', "
        "run 'MX-{0}/curve.json' 'H100'"
    )

    def test_compare_marks_what_rests_on_time(self, call, folder, capsys):
        assert call('compare', '.') == 0
        printed = lines(capsys)
        assert [line for line in printed if line.startswith('* ')] == [
            self.WHY.format(kind) for kind in ('standard', 'cyclic')
        ]
        # Gaps and costs are of runs that were timed alike; improvements are at equal epochs and at equal time.
        rows = [line.split()[1:] for line in printed if line.startswith('MX ') and 'baseline' not in line]
        assert [row[1] for row in rows] == ['-4.000', '0.000', '0.000']
        assert '*' not in rows[0]

    def test_the_cost_in_epochs_stands_first_where_the_kinds_differ(self, call, folder, capsys):
        assert call('compare', 'baseline-cyclic', 'MX-standard', '--json', '../out.json') == 2
        record = TradeoffCurve.read('MX-standard')
        TradeoffCurve(replace(record.run, method='baseline'), record.points).write('MX-standard/curve.json')
        capsys.readouterr()
        assert call('compare', 'baseline-cyclic', 'MX-standard') == 0
        printed = lines(capsys)
        assert any(line.endswith('cost, ep cost, time') for line in printed)
        # 4 and 8 epochs over 8; 6 and 11 s over 20 s.
        assert any(line.startswith('baseline ') and line.endswith(' 1.500 0.85 *') for line in printed)

    def test_ask_answers_in_epochs_first(self, call, folder, capsys):
        assert call('ask', 'baseline-cyclic', 'MX-cyclic', '--reach', '0.6', '--within', '10') == 0
        printed = lines(capsys)
        assert self.WHY.format('cyclic') in printed
        assert {'baseline cyclic 8 ep 20 s 1.00 1', 'MX cyclic 8 ep 10 s * 2.00 * 1'} < set(printed)
        assert {'baseline cyclic 50.00% 1', 'MX cyclic 60.00% * 1'} < set(printed)

    def test_in_epochs_nothing_is_marked(self, call, folder, capsys):
        assert call('ask', 'baseline-cyclic', 'MX-cyclic', '--reach', '0.6', '--axis', 'epoch') == 0
        assert not any(' *' in line for line in lines(capsys))
