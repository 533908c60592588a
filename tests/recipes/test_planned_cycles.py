import pytest

from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import RecipeError


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
    planned = recipe_cycles(load_recipe('quickstart/digits', overrides))
    assert [f'{trough}{planned.unit}' for trough in planned.troughs] == troughs


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['schedule.t_0=20ba'], 'schedule.t_0=20ba and max_duration=64ep: give both in one unit'),
        (['schedule.t_mult=1.3'], "the trough at 6.6ep lies within an epoch.*'ba'"),
        (['schedule.t_0=long'], "schedule: t_0='long' is not a time"),
        (['schedule.t_0=null'], 'schedule: t_0 is missing'),
        (['schedule.t_hold=2ep'], 'schedule: cycle 0 is 2 long, of which t_rewarmup takes 0 and t_hold 2'),
        (['schedule.peak_decay=[0.5]'], 'schedule: peak_decay=.0.5. has no factor for restart 2'),
        (['schedule.shape=lineal'], "schedule: shape='lineal'.*did you mean 'linear'"),
        (
            ['schedule.t_0=null', 'schedule.cycle_ends=[9ep,5ep]'],
            r"schedule: cycle_ends=\['9ep', '5ep'\]: list the troughs in strictly increasing order",
        ),
        (['schedule.cycle_ends=[9ep,50ep]'], "schedule: cycle_ends replaces.*leave out t_0='2ep'"),
        (['schedule.t_0=0.3ep'], "t_0='0.3ep' is not a time"),
        (['schedule.t_0=0.005dur'], 'the trough at 2.32ep lies within an epoch'),
        (
            ['schedule.kind=anytime', 'schedule.marks=[9ba,5ep]'],
            r'schedule.marks\[0\]=9ba and max_duration=64ep: give both in one unit, so that the marks are known',
        ),
        (
            ['schedule.kind=schedule-free', 'schedule.marks=[1ep,8ep]'],
            r"t_warmup='2ep' does not end before the first mark, marks\[0\]='1ep': shorten the warmup or move the mark",
        ),
        (
            ['schedule.kind=anytime', 'schedule.t_0=null', 'schedule.cycle_ends=[9ep,5ep]'],
            r"schedule: cycle_ends=\['9ep', '5ep'\]: list the troughs",
        ),
        (['max_duration=8iter'], "max_duration='8iter': no curve can be counted in 'iter'"),
        (['max_duration=0.5dur'], "max_duration='0.5dur': no curve can be counted in 'dur'"),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(RecipeError, match=match):
        recipe_cycles(load_recipe('quickstart/digits', overrides))
