"""What the commands say and print where runs of one method and kind differ in more than the seed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.cli import app as cli
from composer_clr.curves.curve import TradeoffCurve
from tests.helpers.studies import run

COMMANDS = [
    ['compare', '.', '--json', 'out.json'],
    ['ask', '.', '--reach', '0.55', '--json', 'out.json'],
    ['plot', '.', '-o', 'out.png'],
]


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['composer-clr', *arguments])
    monkeypatch.setenv('COLUMNS', '160')
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0  # type: ignore[return-value]


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
    def test_leaves_the_odd_runs_out_with_the_reason(self, monkeypatch, folder, capsys, command):
        write(folder, [0.1, 0.1, 0.05])
        assert call(monkeypatch, *command) == 0
        said = capsys.readouterr().err.splitlines()
        assert said == [
            f"composer-clr: left out: run 'seed3-{i}/curve.json' has optimizer.lr=0.05, most runs of baseline, {kind} "
            '0.1: give it a method of its own (snapshot.method), or leave it out'
            for i, kind in enumerate(('cyclic', 'standard', 'standard'))
        ]

    def test_stops_at_the_first_one_if_strict(self, monkeypatch, folder, capsys, command):
        write(folder, [0.1, 0.1, 0.05])
        assert call(monkeypatch, *command, '--strict') == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "run 'seed3-0/curve.json' has optimizer.lr=0.05" in line
        assert not list(folder.glob('out*'))

    def test_refuses_in_one_line_where_most_do_not_agree(self, monkeypatch, folder, capsys, command):
        write(folder, [0.1, 0.05])
        assert call(monkeypatch, *command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            "composer-clr: run 'seed1-0/curve.json' has optimizer.lr=0.1, run 'seed2-0/curve.json' 0.05, so they are "
            'not seeds of one curve (baseline, cyclic): '
        )
        assert not list(folder.glob('out*'))


def test_the_numbers_are_those_without_the_odd_runs(monkeypatch, folder, capsys):
    write(folder, [0.1, 0.1, 0.05])
    for name in ('with', 'without'):
        paths = ['.'] if name == 'with' else [str(path) for path in folder.glob('seed[12]*')]
        assert call(monkeypatch, 'compare', *paths, '--json', f'../{name}-compare.json') == 0
        assert call(monkeypatch, 'ask', *paths, '--reach', '0.6', '--json', f'../{name}-ask.json') == 0
    for command in ('compare', 'ask'):
        assert json.loads((folder.parent / f'with-{command}.json').read_text()) == json.loads(
            (folder.parent / f'without-{command}.json').read_text()
        )
    # Seeds 1 and 2, standard: 0.535 after 12 s and 0.655 after 22 s.
    (reached,) = json.loads((folder.parent / 'with-ask.json').read_text())['curves'][0]['reach']
    assert reached['time_s'] == pytest.approx(12 * (22 / 12) ** ((0.6 - 0.535) / 0.12))
