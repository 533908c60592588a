import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from composer_clr import __version__
from composer_clr.analysis.pairing import Alignment
from composer_clr.cli import app as cli
from composer_clr.curves.long_csv import read_long_csv
from tests.helpers.studies import STUDY, run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two cyclic runs of two points, and the standard runs to each for one seed, in folders of their own."""
    for i, curve in enumerate(STUDY):
        (tmp_path / f'run{i}').mkdir()
        curve.write(tmp_path / f'run{i}' / 'curve.json')
    return tmp_path


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['composer-clr', *arguments])
    monkeypatch.setenv('COLUMNS', '160')
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0  # type: ignore[return-value]


@pytest.mark.parametrize('arguments', [['-h'], ['--help'], ['plot', '-h'], ['--version']], ids='_'.join)
def test_help_and_version(monkeypatch, arguments, capsys):
    assert call(monkeypatch, *arguments) == 0
    assert ('Usage: composer-clr' in (out := capsys.readouterr().out)) != (out == f'composer-clr {__version__}\n')


@pytest.mark.parametrize(('ending', 'magic'), [('png', b'\x89PNG'), ('svg', b'<?xml'), ('pdf', b'%PDF')])
def test_plot(monkeypatch, study, ending, magic, capsys):
    output = study / 'figures' / f'curve.{ending}'
    assert call(monkeypatch, 'plot', str(study), '-o', str(output)) == 0
    assert output.read_bytes().startswith(magic)
    assert capsys.readouterr().out == f'{output}: 6 points of 4 runs\n'


@pytest.mark.parametrize('figure', ['1B', '1C', '3D', 'S2', 'gap'])
def test_figures_by_name(monkeypatch, study, figure):
    output = study / f'{figure}.svg'
    assert call(monkeypatch, 'plot', str(study), '--figure', figure, '-o', str(output)) == 0
    assert output.read_bytes().startswith(b'<?xml')


def test_plot_passes_its_options_on(monkeypatch, study, capsys):
    drawn = {}
    monkeypatch.setattr(
        'composer_clr.figures.paper.draw', lambda *arguments, **options: drawn.update(options) or plt.figure()
    )
    options = '--figure 3 --methods LS,MX --kinds cyclic,wsd-s --baseline BP --align fit --axis time --tolerance 0.1'
    options += ' --lower-is-better --peak --bands --no-point-labels'
    assert call(monkeypatch, 'plot', str(study), *options.split(), '-o', str(study / 'a.png')) == 0
    assert drawn == {
        'methods': ['LS', 'MX'],
        'kinds': ['cyclic', 'wsd-s'],
        'axis': None,
        'baseline': 'BP',
        'alignment': Alignment('fit', 'time', 0.1),
        'lower_is_better': True,
        'peak': True,
        'bands': True,
        'point_labels': False,
    }
    plt.close('all')


def test_compare(monkeypatch, study, capsys):
    # Seed 1, which both kinds have: cyclic 0.5 and 0.6, standard 0.52 and 0.64.
    assert call(monkeypatch, 'compare', str(study)) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if 'baseline' in line)
    assert row.split()[:5] == ['baseline', '-2.00', '-4.00', '-3.000', '1']
    assert 'baseline: over the seeds that both sides have: 1 at 4, 8' in out
    out = study / 'out' / 'compare.json'
    assert call(monkeypatch, 'compare', str(study), '--all-seeds', '--json', str(out)) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if 'baseline' in line)
    # All seeds: cyclic 0.6 and 0.6 on average.
    assert row.split()[:4] == ['baseline', '+8.00', '-4.00', '+2.000']
    assert 'baseline: over all seeds, which are not the same on both sides' in out
    assert 'cost ratio by the formula: 1.500' in out
    written = json.loads((study / 'out' / 'compare.json').read_text())
    assert list(written)[:5] == ['metric', 'baseline', 'align', 'formula_cost_ratio', 'methods']
    assert written['kinds'] == {'cyclic': written['methods']}
    assert written['methods']['baseline']['gap']['by_epoch'] == pytest.approx({'4': 8.0, '8': -4.0})


def test_b_over_a_from_two_tables_of_one_cyclic_run_each(monkeypatch, tmp_path, capsys):
    head = 'kind,method,seed,epoch,wall_clock_train_s,top1'
    rows = {
        'A': ['16,1600,70.0', '32,3200,74.0', '64,6400,76.0'],
        'B': ['16,2000,69.0', '32,4000,75.0', '64,8000,78.0'],
    }
    for method, points in rows.items():
        lines = [head, *(f'cyclic,{method},1,{point}' for point in points)]
        (tmp_path / f'{method}.csv').write_text('\n'.join(lines) + '\n')
    monkeypatch.chdir(tmp_path)
    options = ['--baseline', 'A', '--resolve', '0.1', '--price', '2', '--json', 'out.json']
    assert call(monkeypatch, 'compare', 'A.csv', 'B.csv', *options) == 0
    out = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert 'improvement over A, cyclic, top1 (more is better), in points' in out
    assert 'B epochs -1.00 +1.00 +2.00 +0.667 1' in out
    assert 'B and A: B is better from 22.63 epochs on' in out
    assert 'one seed, so no interval: B' in out
    assert 'ranking at 32, 64 epochs: B > A' in out
    assert 'B: to find a difference of 0.1: not known from one seed, train two or more' in out
    assert json.loads((tmp_path / 'out.json').read_text())['direction'] == 'max'


def test_methods_without_standard_runs_whose_epochs_differ_in_length(monkeypatch, tmp_path, capsys):
    head = 'kind,method,seed,epoch,sample,wall_clock_train_s,loss'
    rows = ['A,1,4,400,10,1.5004', 'A,1,8,800,20,1.4004', 'B,1,4,800,10,1.5', 'B,1,8,1600,20,1.4']
    (tmp_path / 'a.csv').write_text('\n'.join([head, *(f'cyclic,{row}' for row in rows)]) + '\n')
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, 'compare', 'a.csv', '--baseline', 'A', '--json', 'out.json') == 0
    out = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    note = 'epochs differ in length: A has 100 samples per epoch, B 200: --axis sample pairs equal numbers of samples'
    assert note in out
    assert json.loads((tmp_path / 'out.json').read_text())['warnings'] == [note]
    # The mean to as many decimals as the points: three would make it 0.
    assert 'B epochs +0.0004 +0.0004 +0.0004 1' in out


def test_nothing_that_could_be_read_is_not_written_over_a_file(monkeypatch, study, capsys):
    run('cyclic', 1, (4, 10, 0.5), (4, 10, 0.6)).write(study / 'run0' / 'curve.json')
    (study / 'out.csv').write_text('kept')
    assert call(monkeypatch, 'export', str(study / 'run0'), '-o', str(study / 'out.csv')) == 2
    assert 'two of its points at epoch 4 have different values: leave one out' in capsys.readouterr().err
    assert (study / 'out.csv').read_text() == 'kept'


def test_no_figure_of_a_wide_table_is_cut(monkeypatch, tmp_path, capsys):
    for i in range(12):
        folder = tmp_path / str(i)
        folder.mkdir()
        run('standard', 1, (2**i, 10 * 2**i, 0.5)).write(folder / 'curve.json')
    (tmp_path / 'cyclic').mkdir()
    run('cyclic', 1, *((2**i, 10 * 2**i, 0.5123) for i in range(12))).write(tmp_path / 'cyclic' / 'curve.json')
    assert call(monkeypatch, 'compare', str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert out.count('+1.23') == 13
    assert '…' not in out


def test_ask(monkeypatch, study, capsys):
    questions = [
        '--reach',
        '56%',
        '--reach',
        '0.6',
        '--within',
        '0.2min',
        '--frontier',
        '--json',
        str(study / 'a.json'),
    ]
    assert call(monkeypatch, 'ask', str(study), *questions) == 0
    rows = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    # Cyclic is at 60% from its first point on.
    assert 'baseline cyclic <= 12 s 12 s 1.00 2 60.00%' in rows
    assert 'baseline standard 14.7 s 1.00 18 s 1.00 1 52.00%' in rows
    assert '22 s 64.00% 8 baseline standard' in rows
    written = json.loads((study / 'a.json').read_text())
    assert [curve['within'][0]['value'] for curve in written['curves']] == pytest.approx([0.52, 0.6])


def test_a_slow_start_is_corrected_in_every_command(monkeypatch, study, capsys):
    # From 12 and 22 s at 4 and 8 epochs, either kind: 2.5 s an epoch after 2 s that were lost.
    assert call(monkeypatch, 'ask', str(study), '--frontier', '--slow-start', '1') == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows if row[-1:] == ['standard']] == [['20', 's']]
    assert call(monkeypatch, 'compare', str(study), '--slow-start', '1') == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in rows if row[:1] == ['baseline'])
    assert row[-1] == '1.500'
    assert call(monkeypatch, 'plot', str(study), '--slow-start', '5', '-o', str(study / 'a.png')) == 2
    assert '1 of its points come after the first 5 epochs' in capsys.readouterr().err


def test_export(monkeypatch, study, capsys):
    output = study / 'out' / 'study.csv'
    assert call(monkeypatch, 'export', str(study), '-o', str(output)) == 0
    assert capsys.readouterr().out == f'{output}: 6 points of 4 runs\n'
    assert len(read_long_csv(output)) == 4
    assert call(monkeypatch, 'compare', str(output)) == 0
    assert '-3.000' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('form', 'row'), [('markdown', '| baseline | standard | 14.7 s'), ('latex', 'baseline & standard & 14.7 s')]
)
def test_tables_for_a_page_and_a_paper(monkeypatch, study, form, row, capsys):
    assert call(monkeypatch, 'ask', str(study), '--reach', '56%', '--format', form) == 0
    assert any(line.startswith(row) for line in capsys.readouterr().out.splitlines())
    assert call(monkeypatch, 'compare', str(study), '--format', form) == 0
    assert '-4.00' in capsys.readouterr().out
    assert call(monkeypatch, 'compare', str(study), '--format', 'html') == 2
    assert '--format html: choose one of text, markdown, latex' in capsys.readouterr().err


@pytest.mark.parametrize('strict', [False, True])
def test_two_runs_of_one_seed_do_not_stop_an_export(monkeypatch, study, strict, capsys):
    (study / 'twin').mkdir()
    run('cyclic', 2, (4, 14, 0.7)).write(study / 'twin' / 'curve.json')
    monkeypatch.chdir(study)
    assert call(monkeypatch, 'export', '.', *['--strict'] * strict) == (2 if strict else 0)
    line = capsys.readouterr().err.strip().removeprefix('composer-clr: ').removeprefix('left out: ')
    assert line.startswith("runs 'run1/curve.json' and 'twin/curve.json' are both cyclic, baseline, seed 2: ")
    if not strict:
        assert len(read_long_csv('curves.csv')) == 4


def test_what_a_csv_of_another_program_was_read_as_is_one_line(monkeypatch, study, capsys):
    monkeypatch.chdir(study)
    assert call(monkeypatch, 'export', '.') == 0
    lines = Path('curves.csv').read_text().splitlines()
    Path('other.csv').write_text(
        '\n'.join([f';{lines[0]}', *(f'{i};{line}' for i, line in enumerate(lines[1:]))]).replace(',', ';')
    )
    assert call(monkeypatch, 'compare', 'other.csv') == 0
    assert capsys.readouterr().err == "composer-clr: other.csv: column 1 ('') is an index and is not read\n"


def test_schedule(monkeypatch, tmp_path, capsys):
    picture = tmp_path / 'lr.png'
    assert call(monkeypatch, 'schedule', 'quickstart/digits', '--plot', str(picture)) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ['0', '2ep', '4ep', '2ep'] in rows
    assert ['4', '32ep', '64ep', '32ep'] in rows
    assert '4 + 8 + 16 + 32 + 64 = 124ep, 1.938 times as much' in out
    assert picture.read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('max_duration', 'message'),
    [
        ('63ep', "the last whole trough is at '32ep'; the nearest max_duration that ends on a trough is '64ep'"),
        ('3ep', "it reaches no trough; the nearest max_duration that ends on a trough is '4ep'"),
    ],
)
@pytest.mark.parametrize('command', ['schedule', 'sweep', 'run --kinds cyclic --slurm array'])
def test_a_run_that_is_cut_is_named_by_every_command(monkeypatch, tmp_path, command, max_duration, message, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *command.split(), 'quickstart/digits', f'max_duration={max_duration}') == 0
    told = capsys.readouterr()
    assert message in (told.out if command == 'schedule' else told.err)


@pytest.mark.parametrize(
    ('words', 'messages'),
    [
        (['schedule.kind=standard', 'max_duration=90ep'], ['1 point from one run of 90ep']),
        (
            ['schedule.kind=branch', 'schedule.t_hold=0.8', 'max_duration=16ep'],
            [
                'trunk',
                '6.8ep',
                '16 + 0.4 + 1.2 = 17.6ep, 0.629 of a run for each: 16 + 4 + 8 = 28ep',
                'up to one batch',
            ],
        ),
        (
            ['max_duration=90ep', '--points', '4'],
            ["schedule.t_0=null 'schedule.cycle_ends=[11ep,22ep,45ep,90ep]'", '4 points from'],
        ),
        (['--from', '64ep'], ['from 64ep: 64ep more add 1 point (128ep)', 'with max_duration=128ep resumes']),
        (['max_duration=70ep', '--from', '64ep'], ['from 64ep: 6ep more to 70ep add no point']),
        (['schedule.t_warmup=6ep'], ['the warmup takes 6 of the 8ep to the first point']),
    ],
    ids=['standard', 'branch', 'points', 'extension', 'extension-without-a-point', 'mostly-warmup'],
)
def test_schedule_previews_what_will_run(monkeypatch, capsys, words, messages):
    assert call(monkeypatch, 'schedule', 'quickstart/digits', *words) == 0
    out = capsys.readouterr().out
    assert all(message in out for message in messages)


def test_study(monkeypatch, capsys):
    arguments = ['quickstart/digits', 'max_duration=8ep', '--launcher', 'composer -n 2 -m', '--seeds', '1,2']
    assert call(monkeypatch, 'sweep', *arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f'composer -n 2 -m composer_clr.train quickstart/digits schedule.kind={kind} seed={seed} max_duration={n}ep'
        for seed in (1, 2)
        for kind, n in (('cyclic', 8), ('standard', 4), ('standard', 8))
    ]


@pytest.mark.parametrize(
    'way',
    [
        'sh -e < {commands}',
        'xargs -P 2 -L 1 env < {commands}',
        'while read -r run; do sh -c \'eval "$2"\' submit --wrap "$run"; done < {commands}',
    ],
    ids=['sh', 'xargs', 'a submit command'],
)
def test_what_a_sweep_prints_reaches_the_module_whole(monkeypatch, tmp_path, way, capsys):
    # Written at once, so that two that run side by side do not mix their lines.
    (tmp_path / 'show').write_text('#!/bin/sh\nline=\nfor word; do line="$line$word|"; done\nprintf "%s\\n" "$line"\n')
    (tmp_path / 'show').chmod(0o755)
    arguments = ['--methods', 'LS+MX', '--kinds', 'cyclic', '--seeds', '1,2', '--launcher', str(tmp_path / 'show')]
    assert call(monkeypatch, 'sweep', 'quickstart/digits', *arguments, 'optimizer.name=It\'s "one"') == 0
    commands = tmp_path / 'commands'
    commands.write_text(capsys.readouterr().out)
    ran = subprocess.run(way.format(commands=commands), shell=True, capture_output=True, text=True, check=True)
    assert sorted(ran.stdout.splitlines()) == [
        f'composer_clr.train|quickstart/digits|schedule.kind=cyclic|seed={seed}|max_duration=64ep|'
        'algorithms.MixUp={alpha: 0.2}|algorithms.LabelSmoothing={smoothing: 0.1}|optimizer.name=It\'s "one"|'
        for seed in (1, 2)
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['plot', 'nowhere'], 'nowhere: no such file or folder'),
        (['plot', '.', '--metric', 'eval/F1'], "has no metric 'eval/F1'"),
        (['plot', '.', '-o', 'curve.bmp'], 'curve.bmp: a picture must end in .png, .svg or .pdf'),
        (['plot', '.', '--figure', '9'], '--figure 9: choose one of 1A, 1B, 1C, 2, 3, 3D, S1, S2'),
        (['plot', '.', '--figure', '3'], 'composer-clr: '),
        (
            ['compare', '.', '--baseline', 'BP'],
            "no run is of the baseline 'BP': choose one of baseline",
        ),
        (['compare', '.', '--align', 'closest'], "align='closest': choose one of interpolate"),
        (['compare', 'run0'], "nothing to compare: 'baseline' has cyclic runs and no other method or kind"),
        (['ask', '.'], 'no question: pass --reach VALUE, --within TIME or --frontier'),
        (['ask', '.', '--reach', 'much'], '--reach much: must be a number, such as 0.75 or 75%'),
        (['ask', '.', '--reach', '75'], 'no run can reach 75'),
        (['ask', '.', '--reach', 'inf'], '--reach inf: must be a finite number'),
        (['compare', '.', '--price', 'inf', '--json', 'a.json'], '--price inf: must be a finite number'),
        (['ask', '.', '--within', '2x'], "--within 2x: '2x' is not a duration above 0"),
        (['ask', '.', '--frontier', '--slow-start', '-1'], 'slow_epochs=-1'),
        (['schedule', 'quickstart/digit'], "did you mean 'quickstart/digits'"),
        (['schedule', 'quickstart/digits', '--plot', 'lr.gif'], 'lr.gif: a picture must end in'),
        (['sweep', 'quickstart/digit'], "did you mean 'quickstart/digits'"),
        (['sweep', 'seed=3'], 'no recipe is named: name one'),
        (['sweep', 'quickstart/digits', '--seeds', 'a'], '--seeds a: must be whole numbers'),
        (['sweep', 'quickstart/digits', '--kinds', 'wsd'], '--kinds wsd'),
        (['sweep', 'quickstart/digits', '--methods', 'LS,EMA'], "--methods: 'EMA' has 'EMA'"),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, list) else '',
)
def test_errors_are_one_line_and_status_2(monkeypatch, study, arguments, message, capsys):
    monkeypatch.chdir(study)
    assert call(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer-clr: ')
    assert message in line


@pytest.mark.parametrize('command', ['plot', 'compare'])
def test_one_bad_file_is_reported_and_does_not_hide_the_rest(monkeypatch, study, command, capsys):
    monkeypatch.chdir(study)
    (study / 'bad').mkdir()
    (study / 'bad' / 'curve.json').write_text('{"format": 1, "run": "\x1b[2Jgone"}')
    assert call(monkeypatch, command, '.') == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer-clr: left out: bad/curve.json: not a curve')
    assert '\x1b' not in line
    assert call(monkeypatch, command, '.', '--strict') == 2


@pytest.mark.parametrize('command', ['compare', 'ask', 'plot'])
@pytest.mark.parametrize('point', [(8, 20, float('nan')), (8, 0, 0.5)], ids=['nan', 'no time'])
def test_a_bad_point_is_left_out_with_its_file(monkeypatch, study, command, point, capsys):
    monkeypatch.chdir(study)
    (study / 'bad').mkdir()
    run('cyclic', 3, (4, 10, 0.5), point).write(study / 'bad' / 'curve.json')
    options = ['--frontier'] if command == 'ask' else []
    assert call(monkeypatch, command, '.', *options) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("composer-clr: left out: run 'bad/curve.json': its point at epoch 8 has")
    assert call(monkeypatch, command, '.', '--strict', *options) == 2


def test_names_of_a_file_reach_the_terminal_without_escapes(monkeypatch, study, capsys):
    for kind, seconds in (('cyclic', (1, 2)), ('standard', (1, 2))):
        for i, s in enumerate(seconds):
            points = [(4, 1, 0.5), (8, 2, 0.6)] if kind == 'cyclic' else [(4 * (i + 1), s, 0.5)]
            folder = study / f'{kind}{i}'
            folder.mkdir()
            run(kind, i, *points, method='evil\x1b[31m[bold]').write(folder / 'curve.json')
    assert call(monkeypatch, 'compare', str(study)) == 0
    out = capsys.readouterr().out
    assert '[bold]' in out
    assert '\x1b' not in out


@pytest.mark.parametrize(
    'arguments',
    [
        ['--help'],
        ['plot', '.'],
        ['compare', '.'],
        ['ask', '.', '--frontier'],
        ['export', '.'],
        ['schedule', 'quickstart/digits'],
        ['sweep', 'quickstart/digits'],
    ],
    ids=lambda a: a[0],
)
def test_torch_and_composer_are_not_waited_for(study, arguments):
    code = (
        'import sys; from composer_clr.cli import app as cli\n'
        f'sys.argv = ["composer-clr", *{arguments!r}]\n'
        'try: cli.main()\n'
        'except SystemExit as ended: assert not ended.code, ended.code\n'
        'assert not {"torch", "composer"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], cwd=study, check=True, timeout=60, capture_output=True)


def test_ctrl_c_before_a_command_has_started_is_status_130(monkeypatch, capsys):
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, 'app', interrupted)
    assert call(monkeypatch, 'sweep') == 130
    assert capsys.readouterr() == ('', '')
