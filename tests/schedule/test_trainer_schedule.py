from fractions import Fraction

import pytest
from composer.core import Time, Timestamp, TimeUnit

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.trainer_schedule import TrainerSchedule


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
