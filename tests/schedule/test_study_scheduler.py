"""The scheduler of each kind of run, beside Composer's and those of the package."""

import pytest
from composer.optim import CosineAnnealingWithWarmupScheduler

from composer_clr import AnytimeScheduler, CyclicCosineScheduler, study_scheduler
from composer_clr.schedule.study_scheduler import StudyScheduler
from tests.helpers.trainers import at

ARGUMENTS = {'t_0': '2ep', 't_warmup': '2ep', 'alpha_f': 0.1}


def multipliers(scheduler, make_state, max_duration='8ep', ssr=1.0):
    state = make_state(max_duration)
    return [scheduler(at(state, batch=batch), ssr) for batch in range(0, 81)]


@pytest.mark.parametrize(
    ('kind', 'arguments', 'expected'),
    [
        ('cyclic', {}, CyclicCosineScheduler(**ARGUMENTS)),
        ('standard', {}, CosineAnnealingWithWarmupScheduler(t_warmup='2ep', alpha_f=0.1)),
        (
            'standard',
            {'t_0': None, 'cycle_ends': ['4ep', '8ep']},
            CosineAnnealingWithWarmupScheduler('2ep', alpha_f=0.1),
        ),
        # The same shape, in one cycle.
        (
            'standard',
            {'t_hold': 0.8, 'shape': 'linear'},
            CyclicCosineScheduler(cycle_ends=['8ep'], t_warmup='2ep', alpha_f=0.1, t_hold=0.8, shape='linear'),
        ),
        ('anytime', {}, AnytimeScheduler(t_0='2ep', t_warmup='2ep')),
        (
            'schedule-free',
            {'t_0': None, 'cycle_ends': ['3ep', '8ep']},
            AnytimeScheduler(['3ep', '8ep'], t_warmup='2ep'),
        ),
    ],
)
def test_of_each_kind_bit_for_bit(make_state, kind, arguments, expected):
    given = ARGUMENTS | arguments
    found = study_scheduler(kind, **given)
    assert multipliers(found, make_state) == multipliers(expected, make_state)
    if isinstance(expected, CyclicCosineScheduler):
        assert found.troughs(make_state('8ep')) == expected.troughs(make_state('8ep'))
    # As LLM Foundry makes it from its YAML.
    assert repr(StudyScheduler(kind, **given)) == repr(found)


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        ('branch', {}, "kind='branch': must be one of cyclic, standard, anytime, schedule-free"),
        ('standart', {}, "did you mean 'standard'"),
        ('standard', {'t_0': '0ep'}, "t_0='0ep'"),
        ('anytime', {'t_0': None}, 't_0 is missing'),
    ],
)
def test_refusals(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        study_scheduler(kind, **(ARGUMENTS | arguments))
