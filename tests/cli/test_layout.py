"""Tables that can be read: in a narrow terminal, of many points, in a paper; and what they say of their intervals."""

import sys
from pathlib import Path

import pytest

from composer_clr.cli import app

HEAD = 'kind,method,seed,epoch,wall_clock_train_s,top1'
# Value at 16, 32, 64 and 128 epochs; the seeds differ by 0.1 points.
VALUES = {'A': (0.70, 0.73, 0.75, 0.76), 'B': (0.69, 0.74, 0.76, 0.77)}


def table(folder: Path, method: str, seeds: int = 3, epochs: tuple[int, ...] = (16, 32, 64, 128)) -> str:
    """Writes a table of cyclic runs and returns its name."""
    rows = [
        f'cyclic,{method},{seed},{epoch},{100 * epoch + seed},{value + 0.001 * seed * (-1) ** (epoch // 32):.4f}'
        for seed in range(seeds)
        for epoch, value in zip((16, 32, 64, 128), VALUES[method], strict=True)
        if epoch in epochs
    ]
    (folder / f'{method}.csv').write_text('\n'.join([HEAD, *rows]) + '\n')
    return f'{method}.csv'


@pytest.fixture
def say(monkeypatch, tmp_path, capsys):
    """Runs a command in the folder of the tables and returns its lines; columns are separated by one space."""

    def call(*arguments: str, columns: int = 160) -> list[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv('COLUMNS', str(columns))
        monkeypatch.setattr(sys, 'argv', ['composer-clr', *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert not ended.value.code
        return [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return call


def test_in_a_narrow_terminal_a_row_is_a_point(say, tmp_path):
    names = table(tmp_path, 'A'), table(tmp_path, 'B')
    # The seeds of A and B go up and down together.
    wide, narrow = (say('compare', *names, '--baseline', 'A', columns=columns) for columns in (160, 60))
    title = 'improvement over A, cyclic, top1 (more is better), in points, ± half of the 95% interval'
    assert title in wide
    assert any(line.startswith('B epochs -1.00 ±0.00 +1.00 ±0.00 +1.00 ±0.00') for line in wide)
    assert [line for line in narrow if line.startswith(('16', '32', '64', '128'))] == [
        '16 -1.00 ±0.00 -1.00 ±0.00',
        '32 +1.00 ±0.00 +1.00 ±0.00',
        '64 +1.00 ±0.00 +1.00 ±0.00',
        '128 +1.00 ±0.00 +1.00 ±0.00',
    ]
    assert any('mean +0.500 +0.500' in line for line in narrow)


def test_a_table_of_cycles_is_not_turned(say):
    said = say('schedule', 'quickstart/digits', columns=30)
    assert 'cycle restart trough period' in said


def test_a_title_longer_than_its_table_is_one_line(say, tmp_path):
    names = table(tmp_path, 'A', epochs=(64,)), table(tmp_path, 'B', epochs=(64,))
    said = say('compare', *names, '--baseline', 'A')
    assert 'speedup over A at equal top1, cyclic' in said


@pytest.mark.parametrize('points', [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_of_many_points_the_first_and_the_last_are_shown(say, tmp_path, points):
    names = []
    for method, gain in (('A', 0.0), ('B', 0.01)):
        rows = [
            f'anytime,{method},{seed},{epoch},{100 * epoch},{0.5 + gain + 1e-4 * epoch + 1e-3 * seed}'
            for epoch in range(1, points + 1)
            for seed in (1, 2)
        ]
        names.append(f'{method}.csv')
        (tmp_path / names[-1]).write_text('\n'.join([HEAD, *rows]) + '\n')
    said = say('compare', *names, '--baseline', 'A')
    assert len(said) < 250
    assert f'{points - 97:,} rows are not shown: --json FILE writes all of them' in said
    assert any(line.startswith('1 +1.0') for line in said)
    assert any(line.startswith(f'{points} +1.0') for line in said)
    assert max(map(len, said)) < 200
    first = ', '.join(map(str, range(1, 12)))
    assert f'ranking at {first}, ..., {points} ({points:,} in all) epochs: B > A' in said


def test_minus_signs_in_latex(say, tmp_path):
    names = table(tmp_path, 'A'), table(tmp_path, 'B')
    said = say('compare', *names, '--baseline', 'A', '--format', 'latex')
    row = next(line for line in said if line.startswith('B & epochs'))
    assert row.startswith(r'B & epochs & $-1.00$ $\pm$0.00 & $+1.00$ $\pm$0.00')
    assert r'% \usepackage{booktabs}' in said


class TestAsk:
    def test_without_a_baseline_it_says_why_there_are_no_speedups(self, say, tmp_path):
        names = table(tmp_path, 'A'), table(tmp_path, 'B')
        said = say('ask', *names, '--reach', '75%')
        assert said[-1] == ("no speedups: no run is of the baseline 'baseline', choose one of A, B with --baseline")

    def test_brackets_seeds_and_one_seed(self, say, tmp_path):
        names = table(tmp_path, 'A'), table(tmp_path, 'B')
        said = say('ask', *names, '--baseline', 'A', '--reach', '75%')
        assert any('speedup over A [95% interval] seeds' in line for line in said)
        assert any(line.startswith('A cyclic') and line.endswith('1.00 3') for line in said)
        assert any(line.startswith('B cyclic') and line.endswith('] 3') for line in said)
        names = table(tmp_path, 'A', seeds=1), table(tmp_path, 'B', seeds=1)
        said = say('ask', *names, '--baseline', 'A', '--reach', '75%')
        assert 'one seed, so no interval' in said
        assert not any('[' in line for line in said)

    def test_a_value_that_some_draws_do_not_reach(self, say, tmp_path):
        names = table(tmp_path, 'A'), table(tmp_path, 'B')
        said = say('ask', *names, '--baseline', 'A', '--reach', '0.761')
        assert any('no interval where a curve does not reach the value' in line for line in said)


def test_intervals_of_cosine_tau_and_cost_are_in_the_table(say, tmp_path):
    rows = [
        f'{kind},{method},{seed},{epoch},{100 * epoch + 3 * seed * (1 + (kind == "cyclic"))},'
        f'{value + 1e-3 * seed * (-1) ** (epoch // 32 + (kind == "cyclic")):.4f}'
        for kind in ('cyclic', 'standard')
        for method in 'AB'
        for seed in range(3)
        for epoch, value in zip((16, 32, 64, 128), VALUES[method], strict=True)
    ]
    (tmp_path / 'study.csv').write_text('\n'.join([HEAD, *rows]) + '\n')
    said = say('compare', 'study.csv', '--baseline', 'A')
    row = next(line for line in said if line.startswith('B '))
    assert row.count('[') == 3
    assert any("Kendall's tau): 16: 1.00 [" in line for line in said)
    (tmp_path / 'study.csv').write_text('\n'.join([HEAD, *(row for row in rows if row.split(',')[2] == '0')]) + '\n')
    said = say('compare', 'study.csv', '--baseline', 'A')
    assert 'one seed, so no interval: A, B' in said
    assert '[' not in ''.join(said)
