import shlex
from pathlib import Path

import pytest

from composer_clr.curve import Run, TradeoffCurve
from composer_clr.recipe import RecipeError, load_recipe
from composer_clr.sweep import recipe_troughs, study
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


@pytest.mark.parametrize(
    ('overrides', 'troughs'),
    [
        ([], ['4ep', '8ep', '16ep', '32ep', '64ep']),
        (['max_duration=63ep'], ['4ep', '8ep', '16ep', '32ep']),
        (['schedule.t_mult=1', 'max_duration=10ep'], ['4ep', '6ep', '8ep', '10ep']),
        (['schedule.t_0=null', 'schedule.cycle_ends=[5ep,9ep]'], ['5ep', '9ep']),
        (['schedule.t_0=0.25dur', 'schedule.t_warmup=0.25dur'], ['32ep', '64ep']),
        (['schedule.t_0=20ba', 'schedule.t_warmup=0ba', 'max_duration=60ba'], ['20ba', '60ba']),
        (['schedule.t_warmup=0ba', 'max_duration=6ep'], ['2ep', '6ep']),
    ],
    ids=['quickstart', 'cut', 'constant', 'cycle_ends', 'dur', 'batches', 'warmup-of-no-unit'],
)
def test_troughs_told_from_the_recipe_alone(overrides, troughs):
    assert recipe_troughs(load_recipe('quickstart/digits', overrides)) == troughs


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['seed=3'], 'what a sweep goes through'),
        (['schedule.kind=standard'], 'what a sweep goes through'),
        (['schedule.t_0=20ba'], 'schedule.t_0=20ba and max_duration=64ep: give both in one unit'),
        (['schedule.t_0=long'], "schedule.t_0='long' is not a time"),
        (['schedule.t_mult=0.1'], 'schedule: t_mult=0.1'),
        (['schedule.cycle_ends=[9ep,5ep]'], 'schedule: cycle 1 would run from 9 to 5'),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(RecipeError, match=match):
        list(study('quickstart/digits', overrides))
