from itertools import pairwise

import pytest

from composer_clr.cli.schedule import copies_note
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.preview import extended, fitting_overrides, planned_branches, planned_run
from composer_clr.recipes.schema import RecipeError
from composer_clr.training.build import build_trainer

BRANCH = ['schedule.kind=branch', 'schedule.t_hold=0.8']
IN_BATCHES = ['schedule.t_0=12ba', 'schedule.t_warmup=12ba', 'max_duration=384ba']


def digits(*overrides: str):
    return load_recipe('quickstart/digits', overrides)


def test_a_standard_run_has_one_point():
    recipe = load_recipe('resnet50_imagenet/baseline_standard', ['max_duration=90ep', 'data.path=images'])
    planned = planned_run(recipe)
    assert (planned.cycles.start, planned.troughs) == (8, [90])


@pytest.mark.parametrize(
    ('overrides', 'copies'),
    [
        ([], 'a copy of the weights, kept beside them'),
        # From epoch 48 on, the windows of 50, 52, ... 64.
        (['schedule.t_mult=1'], 'up to 8 copies of the weights, kept beside them'),
        (['schedule.t_mult=1', 'schedule.average={half_life: 0.25}'], 'a copy of the weights, kept beside them'),
        (['schedule.average={window: 0.6, device: cpu}'], 'up to 2 copies of the weights, kept on cpu'),
    ],
)
def test_the_copies_that_an_anytime_run_keeps(overrides, copies):
    recipe = digits('schedule.kind=anytime', *overrides)
    assert copies_note(planned_run(recipe), recipe.schedule.average).startswith(f'the average needs {copies}')


@pytest.mark.parametrize('kind', ['cyclic', 'standard', 'branch'])
def test_a_preview_is_the_run(kind):
    recipe = digits(f'schedule.kind={kind}', 'schedule.t_hold=0.5', 'max_duration=16ep')
    trainer = build_trainer(recipe)
    scheduler = trainer.state.schedulers[0].lr_lambdas[0].__closure__  # compiled by Composer
    (cyclic,) = [cell.cell_contents for cell in scheduler if hasattr(cell.cell_contents, 'troughs')]
    planned = planned_run(recipe)
    assert [6 * trough for trough in planned.troughs] == [time.value for time in cyclic.troughs(trainer.state)]
    trainer.close()


def test_trunk_and_branches_by_hand():
    # 6 batches per epoch: the warmup of 12 and four fifths of the rest, rounded down: 12 + 0.8 x (24 - 12) = 21.6.
    branches = planned_branches(digits(*BRANCH, *IN_BATCHES))
    assert [(branch.end, branch.starts) for branch in branches] == [(384, 0), (24, 21), (48, 40), (96, 79), (192, 156)]
    trained = sum(branch.end - branch.starts for branch in branches)
    assert round(trained / (24 + 48 + 96 + 192 + 384), 3) == 0.602


def test_the_trunk_may_be_longer_than_the_last_trough():
    branches = planned_branches(digits(*BRANCH, 'max_duration=20ep'))
    assert [branch.end for branch in branches] == [20, 4, 8, 16]


def test_branches_without_a_hold():
    with pytest.raises(RecipeError, match='pass schedule.t_hold=0.8'):
        planned_branches(digits('schedule.kind=branch'))


@pytest.mark.parametrize(
    ('overrides', 'points', 'expected'),
    [
        (['max_duration=32ep'], 4, ['schedule.t_0=2ep']),
        (['max_duration=96ep'], 4, ['schedule.t_0=null', 'schedule.cycle_ends=[12ep,24ep,48ep,96ep]']),
        (['max_duration=512ep', 'schedule.t_warmup=8ep'], 6, ['schedule.t_0=8ep']),
        (['max_duration=10_000ba', 'schedule.t_warmup=625ba'], 4, ['schedule.t_0=625ba']),
        (['max_duration=90ep', 'schedule.t_warmup=0.1dur'], 1, ['schedule.t_0=81ep']),
        (['max_duration=62ep', 'schedule.t_mult=1'], 4, ['schedule.t_0=15ep']),
        (
            ['max_duration=9ep', 'schedule.t_mult=1'],
            2,
            ['schedule.t_mult=2', 'schedule.t_0=null', 'schedule.cycle_ends=[6ep,9ep]'],
        ),
        (
            ['max_duration=32ep', 'schedule.t_0=null', 'schedule.cycle_ends=[4ep,9ep]'],
            4,
            ['schedule.cycle_ends=null', 'schedule.t_0=2ep'],
        ),
    ],
)
def test_a_schedule_of_so_many_points(overrides, points, expected):
    assert fitting_overrides(digits(*overrides), points) == expected


@pytest.mark.parametrize(
    ('max_duration', 'growth', 'points'),
    [
        (max_duration, growth, points)
        for max_duration in (40, 64, 90, 91, 97, 127, 350, 512)
        for growth in (1, 1.5, 2, 3)
        for points in range(1, 6)
        if max_duration / growth ** (points - 1) > 2.5
    ],
)
def test_so_many_points_end_on_the_duration(max_duration, growth, points):
    overrides = [f'max_duration={max_duration}ep', f'schedule.t_mult={growth}']
    fitting = fitting_overrides(digits(*overrides), points)
    planned = recipe_cycles(digits(*overrides, *fitting))
    assert len(planned.troughs) == points
    assert planned.troughs[-1] == max_duration
    if growth > 1:
        ratios = [later / earlier for earlier, later in pairwise(planned.troughs)]
        assert all(abs(ratio / growth - 1) < 0.25 for ratio in ratios)
    # The warmup that was given stays.
    assert planned.cycles.start == 2


@pytest.mark.parametrize(
    ('overrides', 'points', 'match'),
    [
        ([], 9, '--points 9: max_duration=64ep is too short for 9 points with t_mult=2 and t_warmup=2ep'),
        ([], 0, '--points 0: must be 1 or more'),
        (['schedule.kind=standard'], 4, 'schedule.kind=standard makes one point'),
        (['schedule.t_mult=0.5'], 4, 'schedule.t_mult=0.5: must be 1 or more'),
        (['schedule.t_warmup=8ep'], 4, 'too short for 4 points with t_mult=2 and t_warmup=8ep'),
        (['schedule.t_warmup=soon'], 4, "schedule: t_warmup='soon' is not a time"),
    ],
)
def test_no_schedule_of_so_many_points(overrides, points, match):
    with pytest.raises(RecipeError, match=match):
        fitting_overrides(digits(*overrides), points)


@pytest.mark.parametrize(
    ('overrides', 'start', 'until', 'troughs'),
    [
        ([], '64ep', 128, [128]),
        ([], '60ep', 64, [64]),
        ([], '70ep', 128, [128]),
        (['max_duration=512ep'], '64ep', 512, [128, 256, 512]),
        (['max_duration=100ep'], '64ep', 100, []),
        (['schedule.t_0=null', 'schedule.cycle_ends=[5ep,9ep,70ep]'], '64ep', 70, [70]),
        (['schedule.kind=anytime'], '64ep', 128, [128]),
        (['schedule.t_mult=1'], '64ep', 66, [66]),
    ],
)
def test_what_an_extension_adds(overrides, start, until, troughs):
    extension = extended(digits(*overrides), start)
    assert (extension.until, extension.troughs) == (until, troughs)


@pytest.mark.parametrize(
    ('overrides', 'start', 'match'),
    [
        (['schedule.kind=standard'], '64ep', 'schedule.kind=standard ends with its decay.*a run of its own'),
        (['schedule.t_0=0.25dur', 'schedule.t_warmup=0.25dur'], '64ep', 'schedule.t_0=0.25dur is a fraction of max_d'),
        (
            ['schedule.t_0=null', 'schedule.cycle_ends=[5ep,1dur]'],
            '64ep',
            r'schedule.cycle_ends\[1\]=1.0dur is a fraction',
        ),
        (['schedule.t_0=null', 'schedule.cycle_ends=[5ep,9ep]'], '64ep', 'no later trough: add one to'),
        ([], '384ba', '--from 384ba and max_duration=64ep: give both in one unit'),
        ([], 'long', "--from='long' is not a duration"),
        (['schedule.t_mult=1.5', 'max_duration=2ep'], '10ep', 'lies within an epoch'),
    ],
)
def test_no_extension(overrides, start, match):
    with pytest.raises(RecipeError, match=match):
        extended(digits(*overrides), start)
