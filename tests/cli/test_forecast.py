"""What ``forecast`` says and writes; its figures are those of tests/study/test_forecast.py."""

import json
from pathlib import Path

import pytest

HEAD = 'kind,method,seed,epoch,wall_clock_train_s,top1'


@pytest.fixture
def bent(tmp_path, monkeypatch):
    """A curve that bends and one that does not, two seeds each, and standard runs of one."""
    monkeypatch.chdir(tmp_path)
    values = {'baseline': (0.71, 0.74, 0.76, 0.77), 'LS': (0.70, 0.71, 0.72, 0.73)}
    rows = [
        f'{kind},{method},{seed},{epoch},{90 * epoch},{value + 0.0005 * seed}'
        for kind, method in (('cyclic', 'baseline'), ('cyclic', 'LS'), ('standard', 'baseline'))
        for seed in (1, 2)
        for epoch, value in zip((32, 64, 128, 256), values[method], strict=True)
    ]
    (tmp_path / 'bent.csv').write_text('\n'.join([HEAD, *rows]) + '\n')


def test_it_says_what_a_person_asks(bent, call, capsys):
    assert call('forecast', 'bent.csv', '--worth', '1.5', '--sigma', '0.1') == 0
    said = capsys.readouterr()
    assert said.err == ''
    assert said.out.splitlines() == [
        'top1 (more is better), gain in points',
        'baseline, cyclic: 256 more epochs: at most +0.7, likely +0.2 (90%: -0.4 to +0.7), for 256 epochs, 6.4 h; '
        'worth 1.5: no',
        'LS, cyclic: no forecast, does not bend yet: the last doubling gained 1.00 of the one before, over 0.7',
        'baseline, standard: 256 more epochs: at most +0.7, likely +0.2 (90%: -0.4 to +0.7), for a run of 512 epochs, '
        '12.8 h; worth 1.5: no',
        '',
    ]


def test_one_curve_needs_no_name_and_seeds_tell_the_noise(bent, call, capsys):
    assert call('forecast', 'bent.csv', '--methods', 'baseline', '--kinds', 'cyclic', '--json', 'found.json') == 0
    assert capsys.readouterr().out.splitlines()[1].startswith('256 more epochs: at most +0.6, likely +0.2')
    (found,) = json.loads(Path('found.json').read_text())['curves']
    assert found['sigma'] == pytest.approx(0.05 / 2**0.5)
    assert (found['seeds'], found['at'], found['refused']) == (2, 256.0, None)


def test_ranks_that_are_recorded_are_named(bent, call, capsys):
    head, *rows = Path('bent.csv').read_text().splitlines()
    Path('ranks.csv').write_text('\n'.join([f'{head},world_size', *(f'{row},8' for row in rows[:8])]) + '\n')
    assert call('forecast', 'ranks.csv') == 0
    assert 'for 256 epochs, 6.4 h on 8 GPUs' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--sigma', '0'], '--sigma 0: must be a finite number above 0'),
        (['--worth', 'nan'], '--worth nan: must be a finite number'),
        (['--methods', 'MX'], "no run of the method 'MX'"),
        (['--format', 'html'], '--format html: choose one of'),
    ],
)
def test_what_is_refused_is_one_line(bent, call, capsys, options, said):
    assert call('forecast', 'bent.csv', *options) == 2
    assert capsys.readouterr().err.startswith(f'composer-clr: {said}')
