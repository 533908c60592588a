"""RunSchedule of a Trainer: its clock, and what is known of each scheduler."""

import json
from fractions import Fraction
from functools import partial

import pytest
from composer.core import Callback, State, Time, Timestamp
from composer.optim import (
    ComposerScheduler,
    ConstantScheduler,
    ConstantWithWarmupScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    CosineAnnealingWithWarmupScheduler,
    ExponentialScheduler,
    LinearScheduler,
    LinearWithWarmupScheduler,
    MultiStepScheduler,
    PolynomialWithWarmupScheduler,
    StepScheduler,
)

from composer_clr import AnytimeScheduler, CyclicCosineScheduler
from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import Lengths, ScheduleTime, read_time
from tests.helpers.decorators import experimental


@pytest.fixture
def in_samples() -> RunSchedule:
    return RunSchedule(Cycles(0, [10, 30, 60]), 'sp', Lengths(ScheduleTime(64, 'ep'), 10))


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
    schedule = RunSchedule(Cycles(0, [10]), schedule_unit, Lengths.of_state(make_state('64ep')))
    assert schedule.count('window', read_time('window', time)) == Fraction(expected)


def test_a_time_of_another_unit_is_refused(in_samples):
    with pytest.raises(ValueError, match="window='2ep' cannot be counted in 'sp', the unit of the schedule: give both"):
        in_samples.count('window', ScheduleTime(2, 'ep'))


@experimental
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
WITHOUT_DECAY = [
    AnytimeScheduler(['2ep', '8ep'], rate='1/sqrt', a='1ep'),
    ConstantScheduler(0.5),
    ConstantWithWarmupScheduler(Time(2, 'ep')),
    CosineAnnealingScheduler(alpha_f=1.0),
    CosineAnnealingWarmRestartsScheduler('1ep', alpha_f=1.0),
    CyclicCosineScheduler('1ep', 2, '1ep', alpha_f=1.0),
    ExponentialScheduler(gamma=1.0),
    InverseSquareRootWithWarmupScheduler('4ep', '1ep', '0ep'),
    LinearScheduler(alpha_i=0.1, alpha_f=1.0),
    LinearWithWarmupScheduler('2ep', alpha_f=1.0),
    MultiStepScheduler(['9ep']),
]


@pytest.mark.parametrize(
    ('scheduler', 'start', 'arguments'), WITHOUT_RESTARTS, ids=[type(case[0]).__name__ for case in WITHOUT_RESTARTS]
)
def test_a_scheduler_without_restarts_has_its_trough_at_the_end(make_state, scheduler, start, arguments):
    schedule = RunSchedule.of_trainer(make_state('8ep', scheduler=scheduler))
    assert (schedule.cycles.start, schedule.cycles.troughs(1000), schedule.unit) == (start, [80], 'ba')
    assert schedule.scheduler.items() >= {'scheduler': type(scheduler).__name__, 'ssr': 1.0, **arguments}.items()
    assert json.loads(json.dumps(schedule.scheduler)) == schedule.scheduler


def test_troughs_or_cycles_beside_the_trainers_scheduler_are_recorded_as_passed(make_state):
    linear = LinearWithWarmupScheduler('8ba', alpha_f=0.1)
    schedule = RunSchedule.of_trainer(make_state('64ba', scheduler=linear), ['32ba', Time(64, 'ba')])
    assert schedule.cycles.troughs(64) == [32, 64]
    assert schedule.scheduler == {
        'scheduler': 'LinearWithWarmupScheduler',
        't_warmup': '8ba',
        'alpha_i': 1.0,
        'alpha_f': 0.1,
        't_max': '1dur',
        'scale_warmup': False,
        'ssr': 1.0,
        'points_at': ['32ba', '64ba'],
    }
    cycles = CyclicCosineScheduler('1ep', 2, '1ep')
    schedule = RunSchedule.of_trainer(make_state('4ep', scheduler=lambda state: 0.5), cycles)
    assert schedule.scheduler == {'scheduler': '<lambda>', 'ssr': 1.0, 'points_at': cycles.describe()}
    assert (schedule.comes_down, schedule.decays) == (None, False)
    schedule = RunSchedule.of_trainer(make_state(), ['1ep'])
    assert schedule.scheduler == {'scheduler': None, 'ssr': 1.0, 'points_at': ['1ep']}


@pytest.mark.parametrize(
    ('scheduler', 'decays'),
    [
        (CyclicCosineScheduler('1ep', 2, '1ep'), True),
        (CosineAnnealingWarmRestartsScheduler('1ep'), True),
        *((one, not isinstance(one, (ConstantScheduler, ConstantWithWarmupScheduler))) for one, *_ in WITHOUT_RESTARTS),
        *((one, False) for one in WITHOUT_DECAY),
    ],
    ids=lambda case: type(case).__name__,
)
def test_which_schedules_decay(make_state, scheduler, decays):
    state = make_state('8ep', scheduler=scheduler)
    assert [RunSchedule.of_trainer(state, marks).decays for marks in (None, ['8ep'])] == [decays] * 2


def test_the_record_has_every_argument_also_at_its_default(make_state):
    scheduler, alike = CyclicCosineScheduler('1ep', 2, '1ep'), CyclicCosineScheduler('1ep', 2, '1ep')
    state = make_state('4ep', scheduler=scheduler)
    # The Trainer's own scheduler passed again is its own.
    for passed in (None, scheduler, alike):
        assert RunSchedule.of_trainer(state, passed).record == {
            'scheduler': 'CyclicCosineScheduler',
            't_0': '1ep',
            't_mult': 2,
            't_warmup': '1ep',
            'alpha_f': 0.0,
            'shape': 'cosine',
            'ssr': 1.0,
            'max_duration': '4ep',
            'unit': 'ba',
            'troughs': [20, 40],
        }


class Halving(ComposerScheduler):
    def __init__(self, every: str, factors: dict | None = None):
        self.every, self.factors, self.inner = every, factors, LinearScheduler()

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        return 0.5


def closed_over(gamma: float):
    def scheduler(state: State, ssr: float = 1.0, power: int = 2) -> float:
        return gamma**power

    return scheduler


def stepped(state: State, ssr: float = 1.0, *, step: float) -> float:
    return step


@pytest.mark.parametrize(
    ('scheduler', 'described'),
    [
        (Halving('2ep'), {'scheduler': 'Halving', 'every': '2ep'}),
        (experimental(type('Hidden', (Halving,), {}))('2ep'), {'scheduler': 'Hidden', 'every': '2ep'}),
        (closed_over(0.5), {'scheduler': 'scheduler', 'gamma': 0.5, 'power': 2}),
        (partial(stepped, step=0.5), {'scheduler': 'stepped', 'step': 0.5}),
    ],
    ids=['class', 'decorated', 'closure', 'partial'],
)
def test_arguments_of_the_users_own_scheduler(make_state, scheduler, described):
    found = RunSchedule.of_trainer(make_state(scheduler=scheduler), ['1ep']).scheduler
    assert found.items() >= described.items()


@pytest.mark.parametrize(
    ('scheduler', 'troughs', 'comes_down'),
    [
        (CyclicCosineScheduler('1ep', 1, '1ep'), ['2ep', '4ep'], True),
        (CyclicCosineScheduler('1ep', 1, '1ep'), ['25ba', '4ep'], False),
        (CosineAnnealingWarmRestartsScheduler('2ep', 1), ['2ep', '4ep'], True),
        (CosineAnnealingWarmRestartsScheduler('2ep', 1), ['1ep', '4ep'], False),
        (CosineAnnealingWithWarmupScheduler('1ep'), ['1dur'], True),
        (CosineAnnealingWithWarmupScheduler('1ep'), ['2ep', '4ep'], False),
        (LinearWithWarmupScheduler('1ep', alpha_f=1.0), ['4ep'], False),
        (AnytimeScheduler(['2ep', '4ep']), ['4ep'], False),
        (closed_over(0.5), ['2ep', '4ep'], None),
        (None, ['2ep', '4ep'], False),
    ],
    ids=lambda value: type(value).__name__ if callable(value) else str(value),
)
def test_whether_the_rate_comes_down_at_troughs_that_were_passed(make_state, scheduler, troughs, comes_down):
    assert RunSchedule.of_trainer(make_state('4ep', scheduler=scheduler), troughs).comes_down is comes_down


def test_an_unknown_schedule_is_refused_with_what_to_pass(make_state):
    with pytest.raises(ValueError, match=r"the scheduler scheduler are not known.*\['1dur'\] for a"):
        RunSchedule.of_trainer(make_state(scheduler=closed_over(0.5)))


@pytest.mark.parametrize(
    'scheduler',
    [
        CyclicCosineScheduler('1ep', 1, '1ep'),
        CosineAnnealingWithWarmupScheduler('1ep'),
        lambda state: 1 / (1 + state.get_elapsed_duration().value),
    ],
    ids=['cyclic', 'cosine', 'own'],
)
def test_the_multiplier_of_the_last_batch_is_the_optimizers(make_trainer, scheduler):
    class Compared(Callback):
        def batch_end(self, state, logger):
            multiplier = RunSchedule.of_trainer(state, ['1dur']).last_multiplier(state)
            seen.append((multiplier, state.optimizers[0].param_groups[0]['lr'] / rate))

    seen: list[tuple[float | None, float]] = []
    trainer = make_trainer(schedulers=scheduler, max_duration='20ba', callbacks=Compared())
    rate = trainer.state.optimizers[0].param_groups[0]['initial_lr']
    trainer.fit()
    multipliers, rates = zip(*seen, strict=True)
    assert multipliers == pytest.approx(rates)
    assert len(set(rates)) > 10
