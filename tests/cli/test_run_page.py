"""The page of a study that runs: it grows with the study, and stops no run where it cannot be made."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.cli import study_page
from composer_clr.cli.run_page import RunPage
from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.recipes.study import planned_runs
from composer_clr.training.study import StudyRun
from tests.helpers.curves import point
from tests.helpers.pages import Page

WORDS = ['quickstart/digits', 'max_duration=8ep']
PAGE = Path('runs/quickstart/page.html')


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs() -> list[StudyRun]:
    return [StudyRun(planned) for planned in planned_runs(WORDS[:1], WORDS[1:], seeds=[1, 2], kinds=['cyclic'])]


def end(run: StudyRun, *values: float) -> None:
    """Does what training does: records points, and ends."""
    plan = run.planned
    points = [
        replace(point(i), epoch=float(trough), metrics={'eval/Accuracy': value}, peak_metrics={})
        for i, (trough, value) in enumerate(zip(plan.troughs, values, strict=True))
    ]
    Path(plan.folder).mkdir(parents=True)
    record = Run(plan.run_name, 'cyclic', 'baseline', plan.seed)
    TradeoffCurve(record, points).write(Path(plan.folder) / 'curve.json')
    assert run.has_ended()


def seeds() -> str:
    return Page(PAGE.read_text()).tables['eval/Accuracy (more is better) [95% interval]'][1][-1]


def test_the_page_grows_with_the_study_and_rests_at_its_end(runs, capsys, monkeypatch):
    monkeypatch.setattr('composer_clr.cli.run_page._SELDOM', 0)
    shown = []
    page = RunPage(runs, 'composer-clr run quickstart/digits')
    show = page.after(lambda: shown.append(PAGE.exists()))
    show()
    end(runs[0], 0.5, 0.6)
    show()
    assert seeds() == '1'
    assert '<meta http-equiv="refresh" content="30">' in PAGE.read_text()[:2000]
    end(runs[1], 0.5, 0.7)
    show()
    assert seeds() == '2'
    before = PAGE.stat().st_mtime_ns
    show()  # nothing has ended since
    assert PAGE.stat().st_mtime_ns == before
    assert shown == [False, False, True, True]
    page.close()
    assert 'http-equiv="refresh"' not in PAGE.read_text()[:2000]
    assert capsys.readouterr().out == f'page: {PAGE}\n'
    found = Page(PAGE.read_text())
    assert found.all('h1') == ['Tradeoff curves of runs/quickstart']
    assert found.all('pre') == ['composer-clr run quickstart/digits']


def test_making_pages_takes_a_small_part_of_the_time(runs, monkeypatch):
    clock = [0.0, 0.0, 10.0]  # the first page takes 10 s

    def now() -> float:
        return clock.pop(0) if len(clock) > 1 else clock[0]

    monkeypatch.setattr('composer_clr.cli.run_page.monotonic', now)
    show = RunPage(runs, '').after(lambda: None)
    end(runs[0], 0.5, 0.6)
    show()
    end(runs[1], 0.5, 0.7)
    for clock[0], expected in ((200.0, '1'), (211.0, '2')):
        show()
        assert seeds() == expected


def test_a_complete_study_has_a_page_unless_it_is_not_wanted(runs, call, capsys):
    for run in runs:
        end(run, 0.5, 0.6)
    assert call('run', *WORDS, '--seeds', '1,2', '--kinds', 'cyclic', '--no-page') == 0
    assert not PAGE.exists()
    assert call('run', *WORDS, '--seeds', '1,2', '--kinds', 'cyclic') == 0
    assert capsys.readouterr().out.splitlines()[-1] == f'page: {PAGE}'
    assert Page(PAGE.read_text()).all('pre') == [
        'composer-clr run quickstart/digits max_duration=8ep --seeds 1,2 --kinds cyclic'
    ]


@pytest.mark.parametrize('fault', ['plotly', 'foreign', 'broken', 'nothing'])
def test_a_page_that_cannot_be_made_is_said_once_and_the_study_goes_on(fault, runs, call, capsys, monkeypatch):
    for run in runs:
        if fault != 'nothing':
            end(run, 0.5, 0.6)
        else:
            Path(run.planned.folder).mkdir(parents=True)
            run.fail('no memory')
    reason = {
        'plotly': "it takes plotly: pip install 'composer_clr[report]'",
        'foreign': f'{PAGE} is another file: move it, or pass --no-page',
        'broken': 'division by zero',
        'nothing': 'no run has a point',
    }[fault]
    if fault == 'plotly':
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    elif fault == 'foreign':
        PAGE.write_text('<html>mine</html>')
    elif fault == 'broken':
        monkeypatch.setattr(study_page, 'study_page', lambda *_, **__: 1 / 0)
    page = RunPage(runs, '')
    page.after(lambda: None)()
    page.close()
    said = capsys.readouterr()
    assert (said.out, said.err) == ('', f'composer-clr: no page of the study: {reason}\n')
    assert not PAGE.exists() or PAGE.read_text() == '<html>mine</html>'
    if fault in ('plotly', 'foreign'):
        assert call('run', *WORDS, '--seeds', '1,2', '--kinds', 'cyclic') == 0
