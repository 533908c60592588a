import shlex
from pathlib import Path

import pytest

from composer_clr.curve import Run, TradeoffCurve
from composer_clr.recipe import RecipeError
from composer_clr.sweep import study
from tests.test_curve import point

ALL = [
    'schedule.kind=cyclic seed=17 max_duration=64ep',
    *(f'schedule.kind=standard seed=17 max_duration={n}ep' for n in (4, 8, 16, 32, 64)),
]


def test_a_cyclic_run_and_a_standard_run_to_each_trough():
    assert [shlex.join(run) for run in study('quickstart/digits')] == ALL


def test_every_seed_and_every_override():
    runs = [
        shlex.join(run) for run in study('quickstart/digits', ['max_duration=8ep', 'optimizer.lr=0.1'], seeds=[1, 2])
    ]
    assert runs == [
        f'schedule.kind={kind} seed={seed} max_duration={n}ep optimizer.lr=0.1'
        for seed in (1, 2)
        for kind, n in (('cyclic', 8), ('standard', 4), ('standard', 8))
    ]


def test_complete_runs_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, points in (('digits-standard-8ep-seed17', 1), ('digits-cyclic-64ep-seed17', 4)):
        folder = Path('runs/quickstart') / name
        folder.mkdir(parents=True)
        TradeoffCurve(Run(name, 'any', 'baseline'), [point(i) for i in range(points)]).write(folder / 'curve.json')
    runs = [shlex.join(run) for run in study('quickstart/digits')]
    # Four of the cyclic run's five points are not all: it is run again.
    assert runs == [run for run in ALL if run != 'schedule.kind=standard seed=17 max_duration=8ep']


def test_kinds_can_be_chosen():
    runs = [shlex.join(run) for run in study('quickstart/digits', kinds=['standard'])]
    assert runs == ALL[1:]


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['seed=3'], 'seed is what a sweep goes through.*--seeds'),
        (['schedule.kind=standard'], 'schedule.kind is what a sweep goes through'),
        (['schedule.t_warmup=0.03125dur'], 'schedule.t_warmup=0.03125dur: runs of other durations'),
        (['run_name=mine'], r'several runs would write to runs/quickstart/mine: put \$\{schedule.kind\}'),
        (['schedule.t_0=20ba'], 'schedule.t_0=20ba and max_duration=64ep: give both in one unit'),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(RecipeError, match=match):
        list(study('quickstart/digits', overrides))


def test_an_unknown_kind_is_refused():
    with pytest.raises(RecipeError, match='--kinds cylic: a run is either of cyclic, standard'):
        list(study('quickstart/digits', kinds=['cylic']))
