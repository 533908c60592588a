import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.cli.run_display import displayed, print_failures, study_view
from composer_clr.recipes.schema import RecipeError

REASON = 'data.imagefolder: /a/long/path/that/does/not/fit/train: no such folder'


def run(name, state='waiting', seconds=0.0, reason='', points=0, pace_s=None):
    planned = SimpleNamespace(troughs=[4, 8], unit='ep', length=8)
    entry: Any = SimpleNamespace(
        name=name,
        state=state,
        seconds=seconds,
        reason=reason,
        points=points,
        pace_s=pace_s,
        planned=planned,
        log=Path.cwd() / 'runs' / name / 'train.log',
    )
    return entry


def rendered(runs, seconds):
    output = io.StringIO()
    console = Console(file=output, width=100)
    console.print(study_view(runs, seconds))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_the_live_view_has_what_is_done_and_what_runs_with_the_time_left():
    runs = [
        run('one', 'done', 10.0),
        run('two', 'running', 5.0, points=1, pace_s=1.25),
        run('three', 'running', 1.0),
        run('four', 'failed', 3.0, 'diverged'),
        run('five'),
    ]
    head, *rows = rendered(runs, 15.0)
    assert head.endswith('1 of 5 runs done, 2 running, 1 failed, 0:00:15, about 0:00:25 left')
    assert [row.split() for row in rows] == [
        ['two', '1', 'of', '2', 'points', 'next', 'at', '8ep', '0:00:05', 'left'],
        ['three', '0', 'of', '2', 'points', 'next', 'at', '4ep'],
    ]


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


@pytest.mark.parametrize('terminal', [False, True])
def test_failures_are_listed_with_reason_and_log(terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    runs = [run('one', 'done'), run('two', 'failed', reason=REASON)]
    print_failures(runs, Console(file=output, width=40, force_terminal=terminal, color_system=None))
    lines = output.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ('1 of 2 runs failed:', '    runs/two/train.log')
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
        (['quickstart/digits', '--devices', '0', '--ranks', '2'], '--devices 0: a run of 2 ranks needs 2 GPUs'),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_started(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ['run', *words])
    assert isinstance(refused.exception, RecipeError)
    assert message in str(refused.exception)
    assert not any(tmp_path.iterdir())
