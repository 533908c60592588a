"""Plans within a budget: four troughs first, then seeds, then length."""

import random

import pytest

from composer_clr.recipes.budget import planned_within
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.recipes.schema import RecipeError

DIGITS = load_recipe('quickstart/digits')  # its first trough is at 4 epochs


@pytest.mark.parametrize(
    ('budget', 'methods', 'last', 'seeds'),
    [
        *(('32ep', 1, 32, 1), ('63ep', 1, 32, 1), ('64ep', 1, 32, 2), ('95ep', 1, 32, 2), ('96ep', 1, 32, 3)),
        *(('191ep', 1, 32, 3), ('192ep', 1, 64, 3), ('384ep', 2, 64, 3), ('1500ep', 8, 32, 3), ('1536ep', 8, 64, 3)),
    ],
)
def test_troughs_then_seeds_then_length(budget, methods, last, seeds):
    plan = planned_within(DIGITS, budget, methods)
    assert (plan.troughs[-1], plan.seeds) == (last, seeds)
    assert plan.troughs == [4 * 2**i for i in range(len(plan.troughs))]
    assert plan.trained == last * seeds * methods
    assert plan.calibration == 8 * seeds


def test_any_plan_fits_and_one_step_more_would_not():
    draw = random.Random(1)
    for _ in range(200):
        methods = draw.randint(1, 12)
        budget = draw.randint(32 * methods, 10**5)
        plan = planned_within(DIGITS, f'{budget}ep', methods)
        more = plan.trained * 2 if plan.seeds == 3 else plan.trained // plan.seeds * (plan.seeds + 1)
        assert plan.trained <= budget < more
        assert plan.seeds == 3 or plan.troughs[-1] == 32


@pytest.mark.parametrize('of', [[], ['schedule.t_0=1ep'], ['schedule.t_mult=3', 'max_duration=52ep']])
def test_its_overrides_make_its_troughs(of):
    plan = planned_within(load_recipe('quickstart/digits', of), '900ep', 2)
    assert recipe_cycles(load_recipe('quickstart/digits', [*of, *plan.overrides])).troughs == plan.troughs
    assert (len(plan.overrides) == 1) == (of == [])


@pytest.mark.parametrize(
    ('budget', 'methods', 'of', 'said'),
    [
        ('31ep', 1, [], '1 method to four troughs, the last at 32ep, take 32ep: let the first trough, at 4ep'),
        ('100ep', 8, [], '8 methods to four troughs, the last at 32ep, take 256ep: plan 3 methods, or let'),
        ('100ba', 1, [], "give it in 'ep'"),
        ('much', 1, [], "--budget='much' is not a duration"),
        ('100ep', 1, ['schedule.kind=anytime'], 'plans cyclic runs'),
    ],
)
def test_what_does_not_fit_is_refused(budget, methods, of, said):
    with pytest.raises(RecipeError, match=said):
        planned_within(load_recipe('quickstart/digits', of), budget, methods)
