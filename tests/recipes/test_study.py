import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.recipes import load
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import KINDS, RecipeError
from composer_clr.recipes.study import Ranks, launched_ranks, planned_runs
from tests.helpers.curves import point

DIGITS = ['quickstart/digits']
ALL = [
    'quickstart/digits schedule.kind=cyclic seed=17 max_duration=64ep',
    *(f'quickstart/digits schedule.kind=standard seed=17 max_duration={n}ep' for n in (4, 8, 16, 32, 64)),
]


ALL_POINTS = [4, 8, 16, 32, 64]
RUN_NAME = 'run_name=digits-baseline-${schedule.kind}-${max_duration}-seed${seed}'


def study(*arguments, **options):
    """Lists the recipe and the overrides of each run that is not complete."""
    return [[run.name, *run.overrides] for run in planned_runs(*arguments, **options) if not run.is_complete()]


def listed(*arguments, **options):
    return [shlex.join(run) for run in study(*arguments, **options)]


def save(name, kind, epochs, method='baseline', **marked):
    """Writes a curve where the quickstart's run of this name would write it."""
    folder = Path('runs/quickstart') / name
    folder.mkdir(parents=True)
    points = [replace(point(i), epoch=float(epoch), **marked) for i, epoch in enumerate(epochs)]
    TradeoffCurve(Run(name, kind, method), points).write(folder / 'curve.json')


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_cyclic_run_and_a_standard_run_to_each_trough():
    assert listed(DIGITS) == ALL


def test_every_seed_and_every_override():
    assert listed(DIGITS, ['max_duration=8ep', 'optimizer.lr=0.1'], seeds=[1, 2]) == [
        f'quickstart/digits schedule.kind={kind} seed={seed} max_duration={n}ep optimizer.lr=0.1'
        for seed in (1, 2)
        for kind, n in (('cyclic', 8), ('standard', 4), ('standard', 8))
    ]


def test_every_recipe(tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text(
        'run_name: mine-${schedule.kind}-${max_duration}\n'
        'max_duration: 30ba\n'
        'model: {name: small_resnet, num_classes: 10}\n'
        'data: {name: digits, batch_size: 50, eval_batch_size: 900}\n'
        'optimizer: {lr: 0.1}\n'
        'schedule: {kind: cyclic, t_0: 10ba}\n'
    )
    assert listed([*DIGITS, str(mine)])[6:] == [
        f'{mine} schedule.kind=cyclic seed=17 max_duration=30ba',
        *(f'{mine} schedule.kind=standard seed=17 max_duration={n}ba' for n in (10, 30)),
    ]


class TestWorldSize:
    FOLDER = 'snapshot.folder=runs/quickstart/{run_name}/on-{world_size}'

    def test_a_complete_run_of_eight_ranks_is_left_out(self):
        save('digits-baseline-standard-8ep-seed17/on-8', 'standard', [8])
        left = [run for run in ALL if 'max_duration=8ep' not in run]
        assert listed(DIGITS, [self.FOLDER], ranks=Ranks(8, 8)) == [f'{run} {shlex.quote(self.FOLDER)}' for run in left]
        assert len(listed(DIGITS, [self.FOLDER])) == len(ALL)

    def test_an_unknown_number_of_ranks_is_refused(self):
        with pytest.raises(RecipeError, match=r"snapshot.folder='.*on-\{world_size\}' depends on the number of ranks"):
            listed(DIGITS, [self.FOLDER], ranks=None)
        assert listed(DIGITS, ranks=None) == ALL

    def test_an_unknown_placeholder_is_refused(self):
        with pytest.raises(RecipeError, match=r'snapshot.folder=.* \{job\} is not one of'):
            listed(DIGITS, ['snapshot.folder=out/{job}'])

    @pytest.mark.parametrize(
        ('launcher', 'match'),
        [
            ('composer -n many -m', "invalid int value: 'many': give a number of ranks"),
            ('composer -n', 'expected one argument: give'),
            ('composer -n 0 -m', '0 ranks: give'),
            ("'", 'No closing'),
        ],
    )
    def test_launchers_that_are_refused(self, launcher, match):
        with pytest.raises(RecipeError, match=match):
            launched_ranks(launcher)


class TestComplete:
    def test_complete_runs_are_left_out(self):
        save('digits-baseline-standard-8ep-seed17', 'standard', [8])
        # Four of the cyclic run's five points are not all: it is run again.
        save('digits-baseline-cyclic-64ep-seed17', 'cyclic', [4, 8, 16, 32])
        assert listed(DIGITS) == [run for run in ALL if 'max_duration=8ep' not in run]

    def test_a_run_that_diverged_is_not_made_again(self):
        save('digits-baseline-cyclic-64ep-seed17', 'cyclic', [4, 8], diverged=True)
        assert listed(DIGITS) == ALL[1:]

    def test_a_run_that_was_stopped_before_its_trough_is_not_complete(self):
        save('digits-baseline-standard-8ep-seed17', 'standard', [6], stopped=True)
        assert listed(DIGITS) == ALL

    def test_a_whole_curve_of_the_kind_that_the_schedule_makes(self):
        save('digits-baseline-cyclic-4ep-seed17', 'wsd-s', [4])
        wsd_s = ['max_duration=4ep', 'schedule.t_hold=0.9']
        assert listed(DIGITS, wsd_s, kinds=['cyclic']) == []

    def test_a_point_in_the_batch_that_passed_its_trough(self):
        save('digits-baseline-cyclic-8ep-seed17', 'cyclic', [4.25, 8.1])
        assert len(listed(DIGITS, ['max_duration=8ep'])) == 2

    def test_a_broken_file_is_no_curve(self):
        save('digits-baseline-cyclic-64ep-seed17', 'cyclic', [4])
        Path('runs/quickstart/digits-baseline-cyclic-64ep-seed17/curve.json').write_text('{')
        assert listed(DIGITS) == ALL

    @pytest.mark.parametrize(
        ('kind', 'points', 'overrides', 'match'),
        [
            ('cyclic', ALL_POINTS, ['algorithms.LabelSmoothing.smoothing=0.1', RUN_NAME], 'not of LS, cyclic, with'),
            ('cyclic', ALL_POINTS, ['snapshot.method=mine', RUN_NAME], 'not of mine, cyclic'),
            ('standard', [64], [], r'of another run, baseline, standard, with points at \[64.0\], not of baseline'),
            ('cyclic', ALL_POINTS, ['schedule.t_mult=1'], r'points at \[4, 6, 8, 10'),
            ('cyclic', [*ALL_POINTS, 128], [], r'points at \[4, 8, 16, 32, 64\] \(ep\): pass another run_name'),
        ],
        ids=['method', 'named-method', 'kind', 'schedule', 'longer'],
    )
    def test_another_runs_curve_is_not_taken_for_this_ones(self, kind, points, overrides, match):
        save('digits-baseline-cyclic-64ep-seed17', kind, points)
        with pytest.raises(RecipeError, match=match) as caught:
            listed(DIGITS, overrides)
        assert str(caught.value).startswith('runs/quickstart/digits-baseline-cyclic-64ep-seed17 holds')


class TestMethods:
    def test_each_method_by_its_algorithms_in_their_order_and_a_name_of_its_own(self):
        runs = list(study(DIGITS, ['max_duration=4ep'], methods=['baseline', 'MX+LS', 'CL+BP'], kinds=['cyclic']))
        recipes = [load_recipe(name, overrides) for name, *overrides in runs]
        assert [recipe.run_name for recipe in recipes] == [
            f'digits-{method}-cyclic-4ep-seed17' for method in ('baseline', 'LS+MX', 'BP+CL')
        ]
        assert [list(recipe.algorithms.items()) for recipe in recipes] == [
            [],
            [('MixUp', {'alpha': 0.2}), ('LabelSmoothing', {'smoothing': 0.1})],
            [('BlurPool', {}), ('ChannelsLast', {})],
        ]

    def test_an_override_of_an_algorithm_is_for_the_methods_that_have_it(self):
        runs = list(
            study(
                DIGITS,
                ['algorithms.MixUp.alpha=0.4', 'max_duration=4ep', 'run_name=a-${seed}-${snapshot.method}'],
                methods=['LS', 'LS+MX'],
                kinds=['cyclic'],
                seeds=[1, 2],
            )
        )
        recipes = [load_recipe(name, overrides) for name, *overrides in runs]
        assert [recipe.run_name for recipe in recipes] == ['a-1-LS', 'a-2-LS', 'a-1-LS+MX', 'a-2-LS+MX']
        assert [recipe.algorithms.get('MixUp') for recipe in recipes] == [None, None, {'alpha': 0.4}, {'alpha': 0.4}]
        assert list(recipes[3].algorithms) == ['MixUp', 'LabelSmoothing']

    @pytest.mark.parametrize(
        ('overrides', 'methods', 'match'),
        [
            ([], ['LS', 'XX'], "--methods: 'XX' has 'XX': a method is baseline, or BP, CL, LS, MX, or other"),
            ([], [''], '--methods: '),
            (
                ['algorithms.EMA.half_life=3ba'],
                ['LS'],
                r'--methods LS: .* has its own method, which makes LS\+EMA of it: leave --methods out',
            ),
            (['algorithms.LabelSmoothing.smoothing=1'], ['MX'], r'makes LS\+MX of it'),
            (['snapshot.method=mine'], ['MX'], 'makes mine of it'),
        ],
        ids=['unknown', 'empty', 'another-algorithm', 'a-method-not-named', 'a-name'],
    )
    def test_refused(self, overrides, methods, match):
        with pytest.raises(RecipeError, match=match):
            listed(DIGITS, overrides, methods=methods)

    def test_runs_whose_names_do_not_tell_the_method_are_refused(self):
        with pytest.raises(RecipeError, match=r'several runs would write to .*: put \$\{snapshot.method\}'):
            listed(DIGITS, [RUN_NAME], methods=['baseline', 'LS'])


def test_kinds_can_be_chosen():
    assert listed(DIGITS, kinds=['standard']) == ALL[1:]
    with pytest.raises(RecipeError, match='--kinds cylic: must be one of cyclic, standard'):
        listed(DIGITS, kinds=['cylic'])


def test_one_warning_for_all_runs_that_end_off_a_trough():
    with pytest.warns(UserWarning, match="quickstart/digits: max_duration='20ep' stops in the middle") as warned:
        runs = listed(DIGITS, ['max_duration=20ep'], kinds=['cyclic', 'standard'], seeds=[1, 2], methods=['LS', 'MX'])
    assert (len(warned), len(runs)) == (1, 16)
    # A standard run to each trough wastes nothing.
    listed(DIGITS, ['max_duration=20ep'], kinds=['standard'])


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['seed=3'], 'seed: varies in a study: pass --seeds instead'),
        (['seed=null'], 'seed: varies in a study: pass --seeds instead'),
        (['schedule={kind: standard}'], 'schedule.kind: varies in a study: pass --kinds'),
        (['schedule.kind=standard'], 'schedule.kind: varies in a study: pass --kinds'),
        (
            ['schedule.t_warmup=0.03125dur'],
            'schedule.t_warmup=0.03125dur: would differ between runs',
        ),
        (['schedule.t_hold=0.01dur'], 'schedule.t_hold=0.01dur: would differ between'),
        (
            ['snapshot.folder=runs/x'],
            r'several runs would write to runs/x: pass snapshot.folder=runs/x/{run_name}, and',
        ),
        (['run_name=mine'], r'several runs would write to runs/quickstart/mine: put'),
        (['schedule.t_0=20ba'], 'schedule.t_0=20ba and max_duration=64ep: give both in one unit'),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(RecipeError, match=match):
        listed(DIGITS, overrides)


def test_the_files_of_a_recipe_are_read_once(monkeypatch):
    read, read_mapping = [], load.read_mapping
    monkeypatch.setattr(load, 'read_mapping', lambda path: read.append(path.stem) or read_mapping(path))
    runs = study(['resnet50_imagenet/bp'], ['data.path=/data', 'schedule.t_hold=0.5'], seeds=range(10), kinds=KINDS)
    assert len(runs) == 10 * (1 + 6 + 6 + 1 + 1)
    assert read == ['bp', 'baseline']
    # Each of them as its command would read it.
    for name, *overrides in runs[:13]:
        recipe = load_recipe(name, overrides)
        assert [f'schedule.kind={recipe.schedule.kind}', f'seed={recipe.seed}'] == overrides[:2]


def test_planned_runs_hold_the_recipes_that_their_commands_read():
    runs = planned_runs(DIGITS, ['schedule.t_hold=0.5'], seeds=[1], kinds=['branch', 'cyclic'], methods=['LS+MX'])
    assert [run.trunk for run in runs] == [None, *[runs[0].folder] * 4, None]
    for run in runs:
        assert run.recipe == load_recipe(run.name, run.overrides)
