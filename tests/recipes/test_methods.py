"""What ``--methods`` names, and the runs that it makes."""

from __future__ import annotations

import pytest

from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.methods import composer_algorithms, split_methods, with_methods
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.recipes.study import planned_runs

OF_ISSUE = 'baseline, CutMix, LS+MX, lr0.05: optimizer.lr=0.05, wide: model.arguments.width=16'


def recipes(methods: str, *overrides: str) -> dict[str | None, Recipe]:
    """Returns the recipes of the commands, by the method that their curves have."""
    runs = planned_runs(['quickstart/digits'], overrides, methods=split_methods(methods), kinds=['cyclic'])
    assert all(load_recipe(run.name, run.overrides) == run.recipe for run in runs)
    return {run.recipe.snapshot.method: run.recipe for run in runs}


def test_algorithms_and_named_overrides():
    made = recipes(OF_ISSUE)
    assert list(made) == ['baseline', 'CutMix', 'LS+MX', 'lr0.05', 'wide']
    assert [recipe.run_name for recipe in made.values()] == [f'digits-{name}-cyclic-64ep-seed17' for name in made]
    assert [recipe.optimizer.lr for recipe in made.values()] == [0.2, 0.2, 0.2, 0.05, 0.2]
    assert made['wide'].model.arguments == {**made['baseline'].model.arguments, 'width': 16}
    assert made['CutMix'].algorithms == {'CutMix': {}}
    assert [made[name].algorithms for name in ('baseline', 'lr0.05', 'wide')] == [{}, {}, {}]


def test_the_pairs_of_a_method_win_and_those_of_an_algorithm_are_for_the_methods_that_use_it():
    methods = 'baseline, MX, EMA+CutMix, own: optimizer.lr=0.4, algorithms.MixUp={alpha: 0.3, interpolate_loss: true}'
    made = recipes(methods, 'optimizer.lr=0.1', 'algorithms.MixUp.alpha=0.5', 'algorithms.EMA.half_life=3ba')
    assert {name: (recipe.optimizer.lr, recipe.algorithms) for name, recipe in made.items()} == {
        'baseline': (0.1, {}),
        'MX': (0.1, {'MixUp': {'alpha': 0.5}}),
        'CutMix+EMA': (0.1, {'EMA': {'half_life': '3ba'}, 'CutMix': {}}),
        'own': (0.4, {'MixUp': {'alpha': 0.3, 'interpolate_loss': True}}),
    }


def test_targets_are_smoothed_after_they_are_mixed():
    ((_, words),) = with_methods([], ['LS+CutMix+MX+BP'])
    assert [word.partition('=')[0] for word in words] == [
        f'algorithms.{name}' for name in ('BlurPool', 'MixUp', 'CutMix', 'LabelSmoothing')
    ]


@pytest.mark.parametrize(
    ('text', 'methods'),
    [
        ('baseline,LS', ['baseline', 'LS']),
        ('a: x=[1, 2], y={b: "c, d"}, e: z=1, MX', ['a: x=[1, 2], y={b: "c, d"}', 'e: z=1', 'MX']),
        ("a: x='], ', LS", ["a: x='], '", 'LS']),
        ('x=1, LS', ['x=1', 'LS']),
        ('', ['']),
    ],
)
def test_methods_are_split_outside_of_brackets_and_quotes(text, methods):
    assert split_methods(text) == methods


def test_a_name_that_yaml_reads_as_a_number_stays_a_name():
    assert list(recipes('1e3: optimizer.lr=0.1, no: optimizer.lr=0.3')) == ['1e3', 'no']


@pytest.mark.parametrize(
    ('methods', 'message'),
    [
        (
            'baseline, CutMx',
            "'CutMx' has 'CutMx': a method is baseline, or BP, .*, did you mean 'CutMix'",
        ),
        ('LS, optimizer.lr=0.1', '--methods optimizer.lr=0.1: has no name: write it before, as in slow: optim'),
        ('LS, MX+LS, LS+MX', r'--methods: LS[+]MX is named twice'),
        ('a: x=1, a: x=2', '--methods: a is named twice'),
        (': optimizer.lr=1', "'' is no name of a method"),
        ('${seed}: optimizer.lr=1', "'[$]{seed}' is no name of a method"),
        ('../up: optimizer.lr=1', "'../up' is no name of a method"),
        ('a: optimizer.lr=fast', 'optimizer.lr=fast'),
        ('a: otimizer.lr=1', "unknown key 'otimizer'"),
        ('a: seed=3', 'seed: varies in a study: pass --seeds instead'),
        ('a: schedule.kind=standard', 'schedule.kind: varies in a study: pass --kinds instead'),
        ('a: snapshot.method=b', '--methods a: .* has its own method, which makes b of it'),
    ],
)
def test_refused(methods, message):
    with pytest.raises(RecipeError, match=message):
        recipes(methods)


def test_the_names_of_composers_algorithms_are_read_from_its_source():
    import composer.algorithms
    from composer.core import Algorithm

    classes = {name for name, one in vars(composer.algorithms).items() if isinstance(one, type)}
    named = {name for name in classes if issubclass(getattr(composer.algorithms, name), Algorithm)}
    assert named <= composer_algorithms() <= classes
