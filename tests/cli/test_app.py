"""The commands: what they read and write, what they refuse, and what they do not wait for."""

import json
import re
import shlex
import subprocess
import sys
import time

import pytest
from typer.main import get_command

from composer_clr import __version__
from composer_clr.cli import app as cli
from composer_clr.curves.long_csv import read_long_csv
from tests.helpers.studies import run


def bad_run(folder, *points) -> None:
    """Writes a third cyclic run to a folder of the study."""
    (folder / 'bad').mkdir()
    run('cyclic', 3, *points).write(folder / 'bad' / 'curve.json')


@pytest.mark.parametrize('arguments', [['-h'], ['--help'], ['plot', '-h'], ['--version']], ids='_'.join)
def test_help_and_version(call, arguments, capsys):
    assert call(*arguments) == 0
    assert ('Usage: composer-clr' in (out := capsys.readouterr().out)) != (out == f'composer-clr {__version__}\n')


COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]


def shown(text: str) -> list[str]:
    return re.findall(r'^│ (?:\*    )?(--[a-z-]+|-j)\b', text, re.MULTILINE)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_shows_twelve_options_at_most_and_an_example_that_the_command_takes(call, name, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')
    assert call(name, '--help') == 0
    text = capsys.readouterr().out
    *short, help_itself = shown(text)
    assert (help_itself, 0 < len(short) <= 12) == ('--help', True)
    example = ' '.join(text.partition('Example: composer-clr ')[2].split())
    words = shlex.split(re.sub(r' \d+ more options: --help-all\.', '', example).partition(' | ')[0])
    assert words.pop(0) == name
    COMMANDS[name].make_context(name, words)
    assert call(name, '--help-all') == 0
    options = [one.opts for one in COMMANDS[name].params if one.param_type_name == 'option']
    # Brackets would be read as markup, and be lost.
    assert not any('[' in (text or '') for text in (COMMANDS[name].help, *(one.help for one in COMMANDS[name].params)))
    assert len(shown(capsys.readouterr().out)) == len(options) + 1


def test_commands_are_in_three_groups(call, capsys):
    assert call('--help') == 0
    assert re.findall(r'^╭─ (\w[^─]*) ─', capsys.readouterr().out, re.MULTILINE)[1:] == [
        'Train a study',
        'Read a study',
        'Make inputs',
    ]


@pytest.mark.parametrize(('ending', 'magic'), [('png', b'\x89PNG'), ('svg', b'<?xml'), ('pdf', b'%PDF')])
def test_plot(call, study, ending, magic, capsys):
    output = study / 'figures' / f'curve.{ending}'
    assert call('plot', '.', '-o', str(output)) == 0
    assert output.read_bytes().startswith(magic)
    assert capsys.readouterr().out == f'{output}: 6 points of 4 runs\n'


@pytest.mark.parametrize('figure', ['1B', '1C', '2', '3', '3D', 'S2', 'gap'])
def test_figures_by_name_with_options(call, three_seeds, figure, capsys):
    # Figures 2 and 3 show a method beside the baseline.
    method = 'MX' if figure in ('2', '3') else 'A_b&c'
    options = f'--size 3.3x2.5 --title T --baseline A_b&c --methods {method} --kinds cyclic,standard --errors none'
    assert call('plot', 'study.csv', '--figure', figure, '-o', f'{figure}.svg', *options.split()) == 0
    picture = (three_seeds / f'{figure}.svg').read_text()
    assert ('width="237.6pt"' in picture, 'baseline' in picture) == (True, False)


def test_compare_by_hand(call, study, capsys):
    # Seed 1, which both kinds have: cyclic 0.5 and 0.6, standard 0.52 and 0.64; of all seeds, cyclic 0.6 and 0.6.
    # The mean leaves the first point out.
    assert call('compare', '.', '--json', 'out/one.json') == 0
    assert call('compare', '.', '--all-seeds', '--json', 'out/all.json') == 0
    gaps = [
        json.loads((study / f'out/{name}.json').read_text())['methods']['baseline']['gap'] for name in ('one', 'all')
    ]
    assert [gap['by_epoch'] for gap in gaps] == [
        pytest.approx({'4': -2.0, '8': -4.0}),
        pytest.approx({'4': 8, '8': -4}),
    ]
    out = capsys.readouterr().out
    rows = [line.split()[:3] for line in out.splitlines() if line.startswith('baseline')]
    assert rows == [['baseline', 'cyclic', mean] for mean in ('-4.000', '-4.000')]


def test_methods_whose_epochs_differ_in_length_and_whose_losses_hardly_differ(call, tmp_path, monkeypatch, capsys):
    head = 'kind,method,seed,epoch,sample,wall_clock_train_s,loss'
    rows = ['A,1,4,400,10,1.5004', 'A,1,8,800,20,1.4004', 'B,1,4,800,10,1.5', 'B,1,8,1600,20,1.4']
    (tmp_path / 'a.csv').write_text('\n'.join([head, *(f'cyclic,{row}' for row in rows)]) + '\n')
    monkeypatch.chdir(tmp_path)
    assert call('compare', 'a.csv', '--baseline', 'A') == 0
    out = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert (
        'epochs differ in length: A has 100 samples per epoch, B 200: --axis sample pairs equal numbers of samples'
        in out
    )
    assert 'B cyclic +0.0004 +0.0004 1' in out


def test_ask_by_hand(call, study, capsys):
    assert call('ask', '.', '--reach', '56%', '--reach', '0.6', '--within', '0.2min', '--json', 'a.json') == 0
    written = json.loads((study / 'a.json').read_text())['curves']
    # Cyclic is at 60% from its first point on, at 12 s.
    assert [one['within'][0]['value'] for one in written] == pytest.approx([0.52, 0.6])
    assert [one['reach'][0]['bound'] for one in written] == [None, {'<=': 12.0}]
    assert '<= 12 s' in capsys.readouterr().out


class TestWithoutTimes:
    """A study with a method without training times is compared and drawn by epochs; what asks for times is refused."""

    @pytest.fixture(autouse=True)
    def log(self, three_seeds):
        head, *rows = (three_seeds / 'study.csv').read_text().splitlines()
        columns = [line.split(',') for line in rows]
        timed = [','.join([*row[:4], row[4] * (row[1] == 'baseline'), row[5]]) for row in columns]
        (three_seeds / 'log.csv').write_text('\n'.join([head, *timed]) + '\n')

    @pytest.mark.parametrize(
        'words',
        ['compare', 'ask --reach 65% --within 40ep', 'plot', *(f'plot --figure {name}' for name in ('2', '3', 'gap'))],
    )
    def test_answers(self, call, words):
        command, *options = words.split()
        assert call(command, 'log.csv', *options) == 0

    @pytest.mark.parametrize(
        'words', ['ask --within 2h', 'ask --frontier --json out', 'plot --axis time', 'plot --figure 3D']
    )
    def test_refusals(self, call, words, capsys):
        command, *options = words.split()
        assert call(command, 'log.csv', *options) == 2
        assert 'has no training times' in capsys.readouterr().err.splitlines()[-1]


def test_a_mean_over_other_points_names_its_curve(call, tmp_path, capsys):
    rows = [
        f'standard,{method},1,{epoch},{pace * epoch},{0.5 + epoch / 100 + lead * (epoch == 8)}'
        for method, pace, lead in (('baseline', 10, 0), ('A', 10, 0), ('B', 9, 0.03))
        for epoch in (8, 16, 32)
    ]
    (tmp_path / 's.csv').write_text('\n'.join(['kind,method,seed,epoch,wall_clock_train_s,top1', *rows]))
    assert call('compare', str(tmp_path / 's.csv')) == 0
    said = capsys.readouterr().out.splitlines()
    # B is at its first point before the baseline is at its own.
    assert [line for line in said if ' points, at ' in line] == [
        'B, standard: at equal time over 2 of 3 points, at which the mean at equal epochs is 0.000'
    ]
    (row,) = (line.split() for line in said if line.startswith('B '))
    assert row[2] == '+1.000'


def test_export(call, study, capsys):
    assert call('export', '.', '-o', 'out/study.csv') == 0
    assert capsys.readouterr().out == 'out/study.csv: 6 points of 4 runs\n'
    assert len(read_long_csv('out/study.csv')) == 4


@pytest.mark.parametrize('strict', [False, True])
def test_two_runs_of_one_seed_do_not_stop_an_export(call, study, strict, capsys):
    (study / 'twin').mkdir()
    run('cyclic', 2, (4, 14, 0.7)).write(study / 'twin' / 'curve.json')
    assert call('export', '.', *['--strict'] * strict) == (2 if strict else 0)
    line = capsys.readouterr().err.strip().removeprefix('composer-clr: ').removeprefix('left out: ')
    assert line.startswith("runs 'run1/curve.json' and 'twin/curve.json' are both cyclic, baseline, seed 2: ")


def test_nothing_that_could_be_read_is_not_written_over_a_file(call, study, capsys):
    run('cyclic', 1, (4, 10, 0.5), (4, 10, 0.6)).write(study / 'run0' / 'curve.json')
    (study / 'out.csv').write_text('kept')
    assert call('export', 'run0', '-o', 'out.csv') == 2
    assert 'two of its points at epoch 4 have different values: leave one out' in capsys.readouterr().err
    assert (study / 'out.csv').read_text() == 'kept'


def test_what_a_csv_of_another_program_was_read_as_is_one_line(call, study, capsys):
    assert call('export', '.') == 0
    lines = (study / 'curves.csv').read_text().splitlines()
    other = '\n'.join([f';{lines[0]}', *(f'{i};{line}' for i, line in enumerate(lines[1:]))]).replace(',', ';')
    (study / 'other.csv').write_text(other)
    assert call('compare', 'other.csv') == 0
    assert capsys.readouterr().err == "composer-clr: other.csv: column 1 ('') is an index and is not read\n"


def test_schedule_draws_and_plans(call, study, capsys):
    assert call('schedule', 'quickstart/digits', 'max_duration=90ep', '--points', '4', '--plot', 'lr.png') == 0
    out = capsys.readouterr().out
    assert "max_duration=90ep schedule.t_0=null 'schedule.cycle_ends=[11ep,22ep,45ep,90ep]'" in out
    assert (study / 'lr.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('command', ['schedule', 'sweep', 'run --kinds cyclic --slurm array'])
@pytest.mark.parametrize(
    ('max_duration', 'message'),
    [
        ('63ep', "the last whole trough is at '32ep'; the nearest max_duration that ends on a trough is '64ep'"),
        ('3ep', "it reaches no trough; the nearest max_duration that ends on a trough is '4ep'"),
    ],
)
def test_a_run_that_is_cut_is_named_by_every_command(call, study, command, max_duration, message, capsys):
    assert call(*command.split(), 'quickstart/digits', f'max_duration={max_duration}') == 0
    told = capsys.readouterr()
    assert message in (told.out if command == 'schedule' else told.err)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['schedule.kind=standard', 'max_duration=90ep'], '1 point from one run of 90ep'),
        (['max_duration=70ep', '--from', '64ep'], 'from 64ep: 6ep more to 70ep add no point'),
        (['schedule.t_warmup=6ep'], 'the warmup takes 6 of the 8ep to the first point'),
    ],
    ids=['standard', 'no-further-point', 'mostly-warmup'],
)
def test_schedule_says_what_a_run_will_lack(call, capsys, words, message):
    assert call('schedule', 'quickstart/digits', *words) == 0
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    'way',
    [
        'sh -e < {commands}',
        'xargs -P 2 -L 1 env < {commands}',
        'while read -r run; do sh -c \'eval "$2"\' submit --wrap "$run"; done < {commands}',
    ],
    ids=['sh', 'xargs', 'a submit command'],
)
def test_what_a_sweep_prints_reaches_the_module_whole(call, tmp_path, way, capsys):
    # Written at once, so that two that run side by side do not mix their lines.
    (tmp_path / 'show').write_text('#!/bin/sh\nline=\nfor word; do line="$line$word|"; done\nprintf "%s\\n" "$line"\n')
    (tmp_path / 'show').chmod(0o755)
    arguments = ['--methods', 'LS+MX', '--kinds', 'cyclic', '--seeds', '1,2', '--launcher', str(tmp_path / 'show')]
    assert call('sweep', 'quickstart/digits', *arguments, 'optimizer.name=It\'s "one"') == 0
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
        (['plot', '.', '--metric', 'eval/F1'], "no run has the metric 'eval/F1'"),
        (['ask', '.', '--reach', '0.5', '--metric', 'Accurcy'], ", did you mean 'eval/Accuracy'?"),
        (['plot', '.', '-o', 'curve.bmp'], 'curve.bmp: a picture must end in .png, .svg or .pdf'),
        (['plot', '.', '--figure', '9'], '--figure 9: choose one of 1A, 1B, 1C, 2, 3, 3D, S1, S2'),
        (['plot', '.', '--figure', '3'], "all runs are of the baseline 'baseline'"),
        (['plot', '.', '--figure', '1A', '--methods', 'A,B'], 'figure 1A shows one method, not A,B: name one'),
        (['plot', '.', '--align', 'exact'], r'figure 1C does not take alignment: remove it (it is for 1B, 3, 3D, gap)'),
        (['plot', '.', '--errors', 'iqr'], '--errors iqr: choose one of ci, se, sd, none'),
        (['plot', '.', '--methods', 'basline'], "no run of the method 'basline', did you mean 'baseline'"),
        (['plot', '.', '--size', '3'], '--size 3: must be two numbers, such as 3x2.5'),
        (['plot', '.', '--axis', 'step'], '--axis step: choose one of epoch'),
        (['compare', '.', '--baseline', 'BP'], "no run is of the baseline 'BP': choose one of baseline"),
        (['compare', '.', '--kinds', 'cyclik'], "no run of the kind 'cyclik', did you mean 'cyclic'"),
        (['compare', '.', '--align', 'closest'], "align='closest': choose one of interpolate"),
        (['compare', '.', '--format', 'html'], '--format html: choose one of text, markdown, latex'),
        (['compare', '.', '--resolve', 'inf'], '--resolve inf: must be a finite number'),
        (['compare', 'run0'], "nothing to compare: 'baseline' has cyclic runs and no other method or kind"),
        (['ask', '.'], 'no question: pass --reach VALUE, --within TIME or --frontier'),
        (['ask', '.', '--reach', 'much'], '--reach much: must be a number, such as 0.75 or 75%'),
        (['ask', '.', '--reach', '75'], 'no run can reach 75'),
        (['ask', '.', '--within', '2x'], "--within 2x: '2x' is not a duration above 0"),
        (['schedule', 'quickstart/digits', '--budget', '9ep', '--points', '3'], 'leave out --points and --from'),
        (
            ['schedule', 'quickstart/digits', '--budget', '99ep', '--gain', '0'],
            '--gain 0: must be a finite number above 0',
        ),
        (['schedule', 'quickstart/digit'], "did you mean 'quickstart/digits'"),
        (['schedule', 'quickstart/digits', '--plot', 'lr.gif'], 'lr.gif: a picture must end in'),
        (['sweep', 'seed=3'], 'no recipe is named: name one'),
        (['sweep', 'quickstart/digits', '--seeds', 'a'], '--seeds a: must be whole numbers'),
        (['sweep', 'quickstart/digits', '--kinds', 'wsd'], '--kinds wsd'),
        (['sweep', 'quickstart/digits', '--methods', 'LS,EMAA'], "--methods: 'EMAA' has 'EMAA'"),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, list) else '',
)
def test_errors_are_one_line_and_status_2(call, study, arguments, message, capsys):
    assert call(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer-clr: ')
    assert message in line


@pytest.mark.parametrize('command', ['plot', 'compare', 'forecast', 'report --cdn', 'ask --frontier'])
def test_one_bad_file_is_reported_and_does_not_hide_the_rest(call, study, command, capsys):
    (study / 'bad').mkdir()
    (study / 'bad' / 'curve.json').write_text('{"format": 1, "run": "\x1b[2Jgone"}')
    assert call(*command.split(), '.') == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer-clr: left out: bad/curve.json: not a curve')
    assert '\x1b' not in line
    assert call(*command.split(), '.', '--strict') == 2


@pytest.mark.parametrize('command', ['compare', 'ask --frontier'])
@pytest.mark.parametrize('point', [(8, 20, float('nan')), (8, 0, 0.5)], ids=['nan', 'no time'])
def test_a_bad_point_is_left_out_with_its_file(call, study, command, point, capsys):
    bad_run(study, (4, 10, 0.5), point)
    assert call(*command.split(), '.') == 0
    (line,) = capsys.readouterr().err.splitlines()[:1]
    assert line.startswith("composer-clr: left out: run 'bad/curve.json': its point at epoch 8 has")
    assert call(*command.split(), '.', '--strict') == 2


def test_two_thousand_runs_print_at_most_two_screens(call, tmp_path, monkeypatch, capsys):
    rows = [
        f'{kind},{f"Method-number-{m}" if m else "baseline"},{seed},{epoch},{10 * epoch},'
        f'{70 + m / 10 + i + ((7 * seed + 5 * i + 3 * k) % 11) / 20}'
        for m in range(16)
        for seed in range(18)
        for k, kind in enumerate(('standard', 'cyclic'))
        for i, epoch in enumerate((16, 32, 64, 128, 256, 512))
    ]
    (tmp_path / 'many.csv').write_text('\n'.join(['kind,method,seed,epoch,wall_clock_train_s,top1', *rows]) + '\n')
    monkeypatch.chdir(tmp_path)
    begun = time.process_time()
    assert call('compare', 'many.csv') == 0
    # 2 s where nothing else runs.
    assert time.process_time() - begun < 8
    lines = capsys.readouterr().out.splitlines()
    assert sum(max(1, -(-len(line) // 100)) for line in lines) <= 100


def test_torch_and_composer_are_not_waited_for(study):
    commands = ['plot .', 'compare .', 'report .', 'ask . --frontier', 'export .', 'schedule quickstart/digits']
    code = (
        'import sys; from composer_clr.cli import app as cli\n'
        f'for command in {[*commands, "sweep quickstart/digits"]!r}:\n'
        '    sys.argv = ["composer-clr", *command.split()]\n'
        '    try: cli.main()\n'
        '    except SystemExit as ended: assert not ended.code, command\n'
        '    assert not {"torch", "composer", "pandas"} & set(sys.modules), command'
    )
    subprocess.run([sys.executable, '-c', code], cwd=study, check=True, timeout=60, capture_output=True)


def test_ctrl_c_before_a_command_has_started_is_status_130(call, monkeypatch, capsys):
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, 'app', interrupted)
    assert call('sweep') == 130
    assert capsys.readouterr() == ('', '')
