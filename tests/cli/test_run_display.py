import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.cli.run_display import displayed, print_end, print_failures, study_view
from composer_clr.recipes.schema import RecipeError

REASON = 'data.imagefolder: /a/long/path/that/does/not/fit/train: no such folder'


def run(name, state='waiting', seconds=0.0, reason='', points=0, pace_s=None, since_s=0.0, slot=0, **planned):
    method, kind, seed = (planned.pop(key, value) for key, value in (('method', 'LS'), ('kind', 'cyclic'), ('seed', 1)))
    of_run: dict[str, Any] = {
        'method': method,
        'curve_kind': kind,
        'max_duration': '8ep',
        'seed': seed,
        'run_name': name,
    }
    of_run |= {'troughs': [4, 8], 'unit': 'ep', 'length': 8, 'name': 'a/b', 'folder': f'runs/{name}'}
    planned = {**of_run, **planned}
    entry: Any = SimpleNamespace(
        name=name,
        state=state,
        seconds=seconds,
        since_s=since_s,
        slot=slot,
        reason=reason,
        points=points,
        pace_s=pace_s,
        planned=SimpleNamespace(**planned),
        is_local='://' not in planned['folder'],
        log=Path.cwd() / 'runs' / name / 'train.log',
    )
    return entry


def rendered(shown, width=100):
    output = io.StringIO()
    Console(file=output, width=width).print(shown)
    return [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]


def left(runs):
    """Returns the times that are left in the live view, of the study and of each run that runs."""
    head, *rows = rendered(study_view(runs, 15.0, 200), 200)
    return [line.partition(' left')[0].split()[-1] if ' left' in line else None for line in (head, *rows)]


def test_the_live_view_has_what_is_done_and_what_runs_with_the_time_left():
    runs = [
        run('one', 'done', 14.0, points=2, pace_s=1.5),
        run('two', 'running', 5.0, points=1, pace_s=1.25, since_s=1.0, seed=2),
        run('three', 'running', 1.0, since_s=1.0, slot=1, kind='standard', troughs=[8]),
        run('four', 'failed', 3.0, 'diverged'),
        run('five'),
    ]
    head, *rows = rendered(study_view(runs, 15.0, 100))
    # A run takes 1.375 s per epoch and 2 s besides: 4 s of two are left, 12 of three and 13 of five, two side by side.
    assert head.endswith('1 of 5 runs done, 2 running, 1 failed, 0:00:15, about 0:00:14 left')
    assert [row.split() for row in rows] == [
        ['cyclic', 'seed', '2', '1', 'of', '2', 'points', 'next', 'at', '8ep', '0:00:04', 'left'],
        ['standard', 'seed', '1', '0', 'of', '1', 'points', 'next', 'at', '8ep', '0:00:12', 'left'],
    ]


class TestTimeLeft:
    def test_it_is_not_known_before_the_first_point(self):
        assert left([run('one', 'running', 20.0, since_s=20.0), run('two')]) == [None, None]

    def test_that_of_a_run_falls_between_its_points_and_not_below_zero(self):
        for since_s, expected in ((0.0, '0:00:08'), (3.0, '0:00:05'), (9.0, '0:00:00')):
            assert left([run('one', 'running', points=1, pace_s=2.0, since_s=since_s)])[1] == expected

    def test_a_waiting_run_has_the_pace_of_its_method_or_else_of_its_unit(self):
        fast, slow = run('one', 'done', 8.0, points=2, pace_s=1.0), run('two', 'done', 80.0, method='MX', pace_s=10.0)
        assert left([fast, slow, run('three')]) == ['0:00:08']
        assert left([fast, slow, run('three', method='MX')]) == ['0:01:20']
        assert left([fast, slow, run('three', method='CutMix')]) == ['0:00:44']
        assert left([fast, slow, run('three', method='CutMix', unit='ba')]) == [None]

    def test_runs_side_by_side_take_no_less_than_the_longest(self):
        runs = [run(f'{number}', 'running', points=1, pace_s=1.0, slot=number) for number in range(4)]
        assert left(runs)[0] == '0:00:04'
        assert left([*runs, run('last', length=1, troughs=[1])])[0] == '0:00:04'
        assert left([*runs, *(run(f'{number}') for number in range(4, 12))])[0] == '0:00:20'
        # One of four runs has ended; the next has not started.
        runs[0].state, runs[0].seconds = 'done', 8.0
        assert left([*runs, *(run(f'{number}') for number in range(4, 12))])[0] == '0:00:19'

    def test_of_a_race_it_is_that_of_the_stage(self):
        runs = [run('one', 'running', points=1, pace_s=1.0), run('two', 'held')]
        head, _ = rendered(study_view(runs, 1.0, 200), 200)
        assert head.endswith('about 0:00:04 left of this stage')

    def test_a_resumed_run_does_not_make_a_start_shorter(self):
        resumed, whole = run('one', 'done', 1.0, pace_s=1.0), run('two', 'done', 10.0, pace_s=1.0)
        assert left([resumed, whole, run('three')]) == ['0:00:10']


def study(number):
    """Returns a study of so many runs, of two methods, two kinds and some seeds, all under way."""
    return [
        run(
            f'a-long-name-of-a-run-{number}',
            'running',
            points=1,
            pace_s=1.0,
            method=('baseline', 'LS+MX')[number % 2],
            kind=('cyclic', 'standard')[number // 2 % 2],
            seed=number // 4,
        )
        for number in range(number)
    ]


@pytest.mark.parametrize('width', [60, 200])
@pytest.mark.parametrize('number', [1, 60])
def test_each_run_has_one_row_in_which_what_differs_can_be_read(width, number):
    rows = rendered(study_view(study(number), 1.0, width), width)[-number:]
    assert all(len(row) <= width for row in rows)
    if number == 1:
        following = [] if width == 60 else ['next', 'at', '8ep']
        assert rows[0].split() == ['a-long-name-of-a-run-0', '1', 'of', '2', 'points', *following, '0:00:04', 'left']
        return
    names = [(row.split()[0], row.split()[1], row.split()[3]) for row in rows]
    assert names == [(one.planned.method, one.planned.curve_kind, str(one.planned.seed)) for one in study(number)]


@pytest.mark.parametrize('terminal', [False, True])
@pytest.mark.parametrize('width', [60, 200])
def test_at_the_end_are_a_row_per_curve_and_where_the_curves_are(width, terminal):
    runs = study(60)
    for one in runs:
        one.state, one.seconds = 'done', 60.0
    runs[4].state = 'failed'
    output = io.StringIO()
    print_end(runs, Console(file=output, width=width, force_terminal=terminal, color_system=None))
    header, *rows, last = output.getvalue().splitlines()
    assert header.split() == ['method', 'kind', 'durations', 'seeds', 'runs', 'time']
    assert last == 'curves: runs (composer-clr compare runs)'
    if width == 200 or not terminal:
        assert [row.split() for row in rows] == [
            [method, kind, '8ep', *map(str, range(15)), *states, '0:15:00']
            for kind in ('cyclic', 'standard')
            for method, states in (
                ('baseline', ['14', 'done,', '1', 'failed'] if kind == 'cyclic' else ['15', 'done']),
                ('LS+MX', ['15', 'done']),
            )
        ]
    else:
        assert max(map(len, rows)) <= width


def test_the_end_of_a_single_run_and_of_curves_elsewhere():
    output = io.StringIO()
    print_end([run('one', 'done')], Console(file=output))
    print_end([run('one', 'failed')], Console(file=output))
    print_end(
        [run(name, 'done', folder=f's3://b/{place}/{name}') for name, place in (('one', 'x/y'), ('two', 'x'))],
        Console(file=output),
    )
    assert [output.getvalue().splitlines()[i] for i in (0, -1)] == [
        'curves: runs (composer-clr compare runs)',
        'curves: s3://b/x',
    ]
    assert output.getvalue().count('curves:') == 2


def test_a_log_has_one_line_per_run():
    output = io.StringIO()
    console = Console(file=output, width=60, force_terminal=False)
    runs = [run('zero', 'done'), run('one'), run('two'), run('three', 'failed')]
    with displayed(runs, console) as update:
        runs[1].state, runs[1].seconds = 'running', 1.0
        update()
        runs[1].state, runs[1].seconds = 'done', 61.0
        update()
        update()
        runs[2].reason = 'waits for another process'
        update()
        update()
        runs[2].state, runs[2].reason = 'failed', REASON
        update()
    assert output.getvalue().splitlines() == [
        '4 runs, 1 of them complete, 1 failed before',
        '3/4 one: done (0:01:01)',
        'two: waits for another process',
        '4/4 two: failed: ' + REASON + ' (0:00:00)',
    ]


@pytest.mark.parametrize(('terminal', 'has_log'), [(False, True), (True, True), (False, False)])
def test_failures_are_listed_with_reason_and_log(terminal, has_log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if has_log:
        (tmp_path / 'runs' / 'two').mkdir(parents=True)
        (tmp_path / 'runs' / 'two' / 'train.log').touch()
    output = io.StringIO()
    runs = [run('one', 'done'), run('two', 'failed', reason=REASON)]
    print_failures(runs, Console(file=output, width=40, force_terminal=terminal, color_system=None))
    lines = output.getvalue().splitlines()
    # A folder that cannot be written to has no log.
    assert (lines[0], lines[-1]) == ('1 of 2 runs failed:', f'    runs/two{"/train.log" if has_log else ""}')
    assert ' '.join(line.strip() for line in lines[1:-1]) == f'two: {REASON}'
    assert terminal == (max(map(len, lines)) <= 40)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['seed=3'], 'no recipe is named'),
        (['quickstart/digits', 'progress_bar=true'], 'progress_bar=true: is set by run: leave it out'),
        (['quickstart/digits', 'checkpoint.autoresume=false'], 'checkpoint.autoresume=false: is set by run'),
        (['quickstart/digits', '--seeds', 'a'], '--seeds a: must be whole numbers'),
        (['quickstart/digits', '--devices', ''], "--devices '': names no GPU"),
        (['quickstart/digits', '--devices', '0', '--slurm', 'jobs'], '--devices 0: Slurm gives each job its GPUs'),
        (['quickstart/digits', '--sbatch', '--time=1'], "--sbatch '--time=1': is for --slurm"),
        (['quickstart/digits', '--devices', '0', '--ranks', '2'], '--devices 0: a run of 2 ranks needs 2 GPUs'),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_started(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ['run', *words])
    assert isinstance(refused.exception, RecipeError)
    assert message in str(refused.exception)
    assert not any(tmp_path.iterdir())
