"""A run, a recipe and the record of a run make the same cycles of the same arguments."""

from fractions import Fraction
from itertools import product

import pytest

from composer_clr import CyclicCosineScheduler
from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.recipes.planned_cycles import cycles_of
from composer_clr.recipes.schema import ScheduleRecipe
from composer_clr.schedule.arguments import ScheduleArguments
from composer_clr.schedule.times import ScheduleTime
from composer_clr.study.recorded_schedule import recorded_schedule
from tests.helpers.reference import geometric_bounds

# A run of 64 epochs of 10 batches, 4 samples and 70 tokens each, and how many of its unit are one epoch.
DURATIONS = {'64ep': 1, '640ba': 10, '2_560sp': 40, '4.48e4tok': 700}
SHAPES = [
    {},
    {'shape': 'linear', 't_hold': 0.5},
    {'shape': '1-sqrt', 't_hold': '.03125dur', 't_rewarmup': 0.25},
    {'shape': 'triangle', 'peak_decay': 0.5},
    {'peak_decay': 'sqrt', 't_rewarmup': '3.125e-2dur'},
    {'t_hold': '0.0dur', 'alpha_f': 0.1},
]
# In epochs, spelled in every way that Composer reads.
WARMUPS = {'0ba': 0, '{8}': 8, '.125dur': 8, '1e-1dur': Fraction(0.1) * 64}
PERIODS = {'{8}': 8, '0.0625dur': 4, '1_25e-3dur': 8}
CASES = list(product(DURATIONS, WARMUPS, PERIODS, [1, 2, 1.5]))


def spelled(text: str, duration: str) -> str:
    """A template's epochs in the unit of the duration."""
    unit = duration.lstrip('0123456789_.e') if not duration.endswith('ep') else 'ep'
    return f'{8 * DURATIONS[duration]}.0{unit}' if text == '{8}' else text


def point(duration: str) -> TradeoffPoint:
    return TradeoffPoint(0, 64.0, 640, 2560, 44800, 0.0, 0.0, 0.0, {}, {})


@pytest.mark.parametrize('duration', DURATIONS)
def test_three_readers_agree(make_state, duration):
    for case, (of, warmup, period, t_mult) in enumerate(CASES):
        if of == duration:
            check_three_readers(make_state, duration, warmup, period, t_mult, SHAPES[case % len(SHAPES)])


def check_three_readers(make_state, duration, warmup, period, t_mult, shape):
    arguments = {'t_0': spelled(period, duration), 't_mult': t_mult, 't_warmup': spelled(warmup, duration), **shape}
    state, per_epoch = make_state(duration, batches=10), 10 if duration.endswith('ep') else DURATIONS[duration]
    expected = geometric_bounds(
        Fraction(WARMUPS[warmup]) * per_epoch, Fraction(PERIODS[period]) * per_epoch, Fraction(t_mult), 64 * per_epoch
    )
    scheduler = CyclicCosineScheduler(**arguments)
    schedule = scheduler.schedule(state)
    cycles, unit = schedule.cycles, schedule.unit
    until = 64 * per_epoch
    assert [cycles.start, *cycles.troughs(until)] == expected

    record = {
        **scheduler.describe(),
        'scheduler': 'CyclicCosineScheduler',
        'max_duration': str(state.max_duration.to_timestring()),
        'unit': unit,
        'troughs': cycles.troughs(until),
    }
    recorded = recorded_schedule(TradeoffCurve(Run('run', 'cyclic', 'baseline', 1, schedule=record), [point(duration)]))
    assert [recorded.cycles.start, *recorded.cycles.troughs(until)] == expected

    recipe = ScheduleRecipe(kind='cyclic', **arguments)
    if unit == 'ba' and duration.endswith('ep') and any(trough % 10 for trough in expected[1:]):
        with pytest.raises(ValueError, match='lies within an epoch'):
            cycles_of(recipe, duration)
        return
    planned = cycles_of(recipe, duration)
    per = per_epoch // DURATIONS[duration]
    assert [per * trough for trough in planned.troughs] == expected[1:]
    for t in range(0, expected[-1], max(1, expected[-1] // 50)):
        multiplier = cycles.multiplier(t, scheduler.alpha_f)
        assert recorded.cycles.multiplier(t, scheduler.alpha_f) == multiplier
        if per == 1:
            assert planned.cycles.multiplier(t, scheduler.alpha_f) == multiplier


ENDS = [(['{8}', '.25dur', '0.5dur'], [8, 16, 32]), (['1_25e-3dur', '1e0dur'], [8, 64]), (['{8}'], [8])]


@pytest.mark.parametrize('duration', DURATIONS)
@pytest.mark.parametrize(('ends', 'epochs'), ENDS)
def test_three_readers_agree_on_troughs_by_name(make_state, duration, ends, epochs):
    ends = [spelled(end, duration) for end in ends]
    per_epoch = 10 if duration.endswith('ep') else DURATIONS[duration]
    cycles = CyclicCosineScheduler(cycle_ends=ends).schedule(make_state(duration, batches=10)).cycles
    assert cycles.troughs(10**6) == [epoch * per_epoch for epoch in epochs]
    planned = cycles_of(ScheduleRecipe(kind='cyclic', cycle_ends=ends), duration)
    assert planned.cycles.troughs(10**6) == [epoch * DURATIONS[duration] for epoch in epochs]


@pytest.mark.parametrize(
    'arguments',
    [
        {'t_0': '8ep', 't_mult': 2, 't_warmup': '.125dur'},
        {'t_0': '8ep', 't_mult': Fraction(3, 2), 'shape': '1-sqrt', 't_hold': 0.9},
        {'cycle_ends': ['16ep', '1_00ep'], 'peak_decay': (0.5, 1), 't_rewarmup': '2ep', 'alpha_f': 0.1},
    ],
)
def test_a_record_is_read_back(arguments):
    read = ScheduleArguments.read(**arguments)
    again = ScheduleArguments.read(**read.describe())  # type: ignore[arg-type]
    assert again.describe() == read.describe()
    assert again.times() == read.times()


def test_times_of_0_are_not_counted():
    def count(name: str, time: ScheduleTime) -> Fraction:
        assert name == 't_0'
        return Fraction(time.value)

    arguments = ScheduleArguments.read(t_0='8ep', t_warmup='0tok', t_hold='0sp', t_rewarmup='0dur')
    assert arguments.cycles(count, 'ep').bounds(0) == (0, 8)


def test_troughs_may_come_from_elsewhere():
    read = ScheduleArguments.read(t_warmup='2ba')
    with pytest.raises(ValueError, match='t_0 is missing'):
        read.cycles(lambda name, time: Fraction(time.value), 'ba')
    assert read.cycles(lambda name, time: Fraction(time.value), 'ba', [7, 11]).bounds(1) == (7, 11)
