import json
from fractions import Fraction

import pytest
from composer.core import State, Time, Timestamp, TimeUnit
from composer.optim import (
    ComposerScheduler,
    ConstantScheduler,
    ConstantWithWarmupScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    CosineAnnealingWithWarmupScheduler,
    LinearScheduler,
    LinearWithWarmupScheduler,
    MultiStepScheduler,
    PolynomialWithWarmupScheduler,
    StepScheduler,
)

from composer_clr import AnytimeScheduler, CyclicCosineScheduler
from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.trainer_schedule import TrainerSchedule, trainer_schedule


@pytest.fixture
def in_samples() -> TrainerSchedule:
    return TrainerSchedule(Cycles(0, [10, 30, 60]), TimeUnit.SAMPLE, {})


@pytest.mark.parametrize(
    ('previous', 'samples', 'cycles'),
    [(None, 0, []), (4, 8, []), (8, 12, [0]), (6, 10, [0]), (10, 14, []), (8, 62, [0, 1, 2]), (60, 64, [])],
)
def test_the_cycles_that_the_last_batch_completed(make_state, in_samples, previous, samples, cycles):
    state = make_state()
    state.previous_timestamp = None if previous is None else Timestamp(sample=previous)
    state.timestamp = Timestamp(batch=3, sample=samples)
    assert in_samples.now(state) == samples
    assert list(in_samples.crossed(state)) == cycles


@pytest.mark.parametrize(
    ('schedule_unit', 'time', 'expected'),
    [('ba', '3ep', 30), ('ba', '7ba', 7), ('ba', '0.125dur', 80), ('sp', '5sp', 5), ('tok', '0ba', 0)],
)
def test_times_are_counted_in_the_unit_of_the_cycles(make_state, schedule_unit, time, expected):
    schedule = TrainerSchedule(Cycles(0, [10]), TimeUnit(schedule_unit), {})
    assert schedule.count('window', Time.from_timestring(time), make_state('64ep')) == Fraction(expected)


def test_a_time_of_another_unit_is_refused(make_state, in_samples):
    with pytest.raises(ValueError, match="window='2ep' cannot be counted in 'sp', the unit of the schedule: give both"):
        in_samples.count('window', Time(2, 'ep'), make_state())


class InverseSquareRootWithWarmupScheduler(ComposerScheduler):
    """Has the name and the arguments of LLM Foundry's."""

    def __init__(self, t_warmup, t_scale, t_cooldown, t_max='1dur'):
        self.t_warmup, self.t_scale, self.t_cooldown, self.t_max = t_warmup, t_scale, t_cooldown, t_max

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        return 1.0


WITHOUT_RESTARTS = [
    (LinearWithWarmupScheduler('8ba', alpha_f=0.1), 8, {'t_warmup': '8ba', 'alpha_f': 0.1, 'scale_warmup': False}),
    (LinearScheduler(), 0, {'alpha_i': 1.0, 't_max': '1.0dur'}),
    (ConstantScheduler(), 0, {'alpha': 1.0}),
    (ConstantWithWarmupScheduler(Time(2, 'ep')), 20, {'t_warmup': '2ep'}),
    (PolynomialWithWarmupScheduler('1ep', power=3), 10, {'power': 3}),
    (MultiStepScheduler(['2ep', Time(3, 'ep')]), 0, {'milestones': ['2ep', '3ep'], 'gamma': 0.1}),
    (StepScheduler('2ep'), 0, {'step_size': '2ep'}),
    (CosineAnnealingScheduler(alpha_f=0.1), 0, {'t_max': '1dur', 'alpha_f': 0.1}),
    (CosineAnnealingWithWarmupScheduler('3ba'), 3, {'t_warmup': '3ba', 't_max': '1dur', 'alpha_f': 0.0}),
    (InverseSquareRootWithWarmupScheduler('4ep', '1ep', '2ep'), 40, {'t_warmup': '4ep', 't_scale': '1ep'}),
]


WITHOUT_DECAY = (ConstantScheduler, ConstantWithWarmupScheduler, InverseSquareRootWithWarmupScheduler)


@pytest.mark.parametrize(
    ('scheduler', 'start', 'arguments'), WITHOUT_RESTARTS, ids=[type(case[0]).__name__ for case in WITHOUT_RESTARTS]
)
def test_a_scheduler_without_restarts_has_its_trough_at_the_end(make_trainer, scheduler, start, arguments):
    trainer = make_trainer(schedulers=scheduler, max_duration='8ep')
    schedule = trainer_schedule(trainer.state)
    assert (schedule.cycles.start, schedule.cycles.troughs(1000), schedule.unit) == (start, [80], TimeUnit.BATCH)
    assert schedule.description.items() >= {'scheduler': type(scheduler).__name__, 'ssr': 1.0, **arguments}.items()
    assert json.loads(json.dumps(schedule.description)) == schedule.description


def test_troughs_beside_the_trainers_scheduler_are_recorded_as_passed(make_trainer):
    trainer = make_trainer(schedulers=LinearWithWarmupScheduler('8ba', alpha_f=0.1), max_duration='64ba')
    schedule = trainer_schedule(trainer.state, ['32ba', Time(64, 'ba')])
    assert schedule.cycles.troughs(64) == [32, 64]
    assert schedule.description == {
        'scheduler': 'LinearWithWarmupScheduler',
        't_warmup': '8ba',
        'alpha_i': 1.0,
        'alpha_f': 0.1,
        't_max': '1dur',
        'scale_warmup': False,
        'ssr': 1.0,
        'points_at': ['32ba', '64ba'],
    }


def test_cycles_beside_the_trainers_scheduler_are_recorded_as_passed(make_trainer):
    cycles = CyclicCosineScheduler('1ep', 2, '1ep')
    trainer = make_trainer(schedulers=lambda state: 0.5, max_duration='4ep')
    schedule = trainer_schedule(trainer.state, cycles)
    assert schedule.description == {'scheduler': '<lambda>', 'ssr': 1.0, 'points_at': cycles.describe()}
    assert (schedule.comes_down, schedule.decays) == (True, False)


def test_no_scheduler_is_recorded_as_none(make_trainer):
    schedule = trainer_schedule(make_trainer().state, ['1ep'])
    assert schedule.description == {'scheduler': None, 'ssr': 1.0, 'points_at': ['1ep']}
    assert (schedule.comes_down, schedule.decays) == (False, False)


@pytest.mark.parametrize(
    ('scheduler', 'decays'),
    [
        (CyclicCosineScheduler('1ep', 2, '1ep'), True),
        (CosineAnnealingWarmRestartsScheduler('1ep'), True),
        (AnytimeScheduler(['2ep', '8ep'], rate='1/sqrt', a='1ep'), False),
        *((one, not isinstance(one, WITHOUT_DECAY)) for one, *_ in WITHOUT_RESTARTS),
    ],
    ids=lambda case: type(case).__name__,
)
def test_which_schedules_decay(make_trainer, scheduler, decays):
    trainer = make_trainer(schedulers=scheduler, max_duration='8ep')
    assert [trainer_schedule(trainer.state, marks).decays for marks in (None, ['8ep'])] == [decays] * 2


def test_the_trainers_own_scheduler_passed_again_is_its_own(make_trainer):
    scheduler, alike = CyclicCosineScheduler('1ep', 2, '1ep'), CyclicCosineScheduler('1ep', 2, '1ep')
    trainer = make_trainer(schedulers=scheduler)
    for passed in (None, scheduler, alike):
        assert 'points_at' not in trainer_schedule(trainer.state, passed).description
