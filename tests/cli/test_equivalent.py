"""``--equivalent`` of ``compare`` and ``plot``; the figures are those of tests/study/test_equivalent.py."""

import json
import math
import re
from pathlib import Path

import pytest

KAPPA = 0.75
HEAD = 'kind,method,seed,epoch,wall_clock_train_s,top1'


def law(length, method):
    return 0.6 + 0.02 * (method == 'MX') + 0.04 * math.log(length / 16)


def rows(method, seed, standard):
    lengths = {16: 16.0, 32: 28.0, 64: 53.0, 128: 103.75}
    for epoch, length in lengths.items():
        yield f'cyclic,{method},{seed},{epoch},{100 * epoch},{law(length, method) + seed / 1000}'
    for epoch in standard:
        yield f'standard,{method},{seed},{epoch},{100 * epoch},{law(epoch, method) + seed / 1000 + seed % 2 / 1e4}'


@pytest.fixture
def cyclic_and_standard(tmp_path, monkeypatch):
    """Two methods on one law at their equivalent lengths; beside it, the baseline with its one calibration run."""
    monkeypatch.chdir(tmp_path)
    every = [row for method in ('baseline', 'MX') for seed in (1, 2) for row in rows(method, seed, (16, 32, 64, 128))]
    Path('study.csv').write_text('\n'.join([HEAD, *every]) + '\n')
    Path('one.csv').write_text(
        '\n'.join([HEAD, *(row for seed in (1, 2) for row in rows('baseline', seed, (32,)))]) + '\n'
    )


def test_gaps_vanish_at_the_equivalent_lengths(cyclic_and_standard, call, capsys):
    assert call('compare', 'study.csv', '--equivalent', '--points', '--json', 'found.json') == 0
    said = capsys.readouterr().out
    table = said[said.index('gap to standard runs at equivalent lengths') :].splitlines()
    assert table[0] == 'gap to standard runs at equivalent lengths, top1, in points'
    assert [line.split()[:2] + line.split()[-1:] for line in table[3:5]] == [
        ['baseline', 'cyclic', '2'],
        ['MX', 'cyclic', '2'],
    ]
    assert re.search(r'MX +cyclic +32 +28 +[+-]?0.0', said)
    assert 'cyclic: kappa 0.75 [0.7' in said
    assert 'from the standard run of baseline at 32 ep: 16, 32, 64, 128 stand for 16, 28, 52.9, 104 epochs' in said
    written = json.loads(Path('found.json').read_text())
    of_kind = written['equivalent']['cyclic']
    assert of_kind['kappa'] == pytest.approx(KAPPA, abs=0.005)
    for method in ('baseline', 'MX'):
        assert written['methods'][method]['gap']['mean'] < -0.5
        assert abs(of_kind['gap'][method]['mean']) < 0.02


def test_of_one_method_and_its_calibration_run_it_says_kappa(cyclic_and_standard, call, capsys):
    assert call('compare', 'one.csv', '--equivalent') == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith('cyclic: kappa 0.75 [')
    assert others[1].startswith('no comparison: ')
    assert call('compare', 'one.csv') == 2


def test_without_the_run_it_is_refused_in_one_line(three_seeds, call, capsys):
    rows = [line for line in Path('study.csv').read_text().splitlines() if not line.startswith('standard')]
    Path('cyclic.csv').write_text('\n'.join(rows) + '\n')
    assert call('compare', 'cyclic.csv', '--equivalent') == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.startswith(
        "composer-clr: kappa of cyclic runs: 'baseline' has no standard runs: train a standard run"
    )
    assert len(said.err.splitlines()) == 1


def test_plot_draws_them_too_and_says_kappa(cyclic_and_standard, call, capsys):
    assert call('plot', 'study.csv', '--equivalent', '-o', 'curve.svg', '--axis', 'epoch') == 0
    assert 'kappa 0.75' in capsys.readouterr().err
    assert 'MX, cyclic at equivalent lengths' in Path('curve.svg').read_text()
    assert call('plot', 'study.csv', '--equivalent', '--figure', '3D', '-o', 'curve.svg') == 2
    assert 'figure 3D has no equivalent lengths' in capsys.readouterr().err
    assert call('plot', 'study.csv', '--sigma', '0.1', '-o', 'curve.svg') == 2
    assert '--sigma is of forecasts: pass --forecast too' in capsys.readouterr().err


def test_a_method_without_standard_runs_is_named(cyclic_and_standard, call, capsys):
    rows = [line for line in Path('study.csv').read_text().splitlines() if not line.startswith('standard,MX')]
    Path('some.csv').write_text('\n'.join(rows) + '\n')
    assert call('compare', 'some.csv', '--equivalent') == 0
    assert capsys.readouterr().out.splitlines()[-2] == 'without a standard curve there: MX, cyclic'


def test_plot_draws_forecasts_and_says_why_there_is_none(cyclic_and_standard, call, capsys):
    assert call('plot', 'study.csv', '--forecast', '--sigma', '0.1', '-o', 'curve.svg') == 0
    said = capsys.readouterr().err
    assert said.count('no forecast, ') == 4
    assert 'baseline, cyclic: no forecast, does not bend yet' in said
    assert 'forecast (90%)' not in Path('curve.svg').read_text()
    assert call('plot', 'study.csv', '--forecast', '--figure', '2', '-o', 'curve.svg') == 2
    assert 'does not take forecasts' in capsys.readouterr().err
