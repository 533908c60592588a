import re

import pytest
from composer.core import Time

from composer_clr.schedule.times import ScheduleTime, read_duration, read_time

ACCEPTED = [
    *[f'{number}{unit}' for number in ('0', '8', '007', '1_000', '1e3', '1.5e1', '2.0', '+4', '-3', ' 5', '6 ', '٣')
      for unit in ('ep', 'ba', 'sp', 'tok', 'EP', 'Tok')],
    *[f'{number}dur' for number in ('0.5', '.5', '5.', '1e-3', '1E-3', '-0.25', '1_0.5', '+.5', '1', '0')],
    '9007199254740993ba', '8ep\n', '5.0Dur',
]  # fmt: skip
REFUSED = [
    '', 'ep', '8', '8.5ep', '8 epochs', 'e3ep', '1__0ep', '0x8ep', '8ep ', '8ep\n\n', '8\nep', 'nanep', 'infba',
    '1e999tok', 'infdur', 'nandur', '-infdur', '1e-3ep', '8epep', '--8ep', '8iter', '8sec', '1h', '1h30m', '25h',
    '8min',
]  # fmt: skip


@pytest.mark.parametrize('text', ACCEPTED)
def test_what_composer_reads_is_read_alike(text):
    expected = Time.from_timestring(text)
    time = read_time('t_0', text)
    assert (time.value, time.unit, type(time.value)) == (expected.value, expected.unit.value, type(expected.value))
    assert read_time('t_0', expected) == time
    assert read_time('t_0', str(time)) == time


@pytest.mark.parametrize('text', REFUSED)
def test_what_composer_refuses_or_no_schedule_can_be_counted_in(text):
    try:
        time = Time.from_timestring(text)
    except (ValueError, TypeError, OverflowError):
        pass
    else:
        assert time.unit.value in ('iter', 'sec') or abs(time.value) == float('inf') or time.value != time.value
    with pytest.raises(ValueError, match=re.escape(f't_0={text!r}')) as raised:
        read_time('t_0', text)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(('text', 'unit'), [('8iter', 'iter'), ('8sec', 'sec'), ('1h30m', 'sec')])
def test_a_unit_of_no_schedule_is_named(text, unit):
    with pytest.raises(ValueError, match=f"t_0='{text}': no schedule can be counted in '{unit}'"):
        read_time('t_0', text)


@pytest.mark.parametrize('value', [8, None, 0.5, True, ['8ep']])
def test_no_unit(value):
    with pytest.raises(ValueError, match=re.escape(f't_0={value!r} has no unit')):
        read_time('t_0', value)


@pytest.mark.parametrize('value', [Time(2**60 + 1, 'tok'), Time(0.1, 'dur')])
def test_a_composer_time_keeps_its_value(value):
    assert read_time('t_0', value) == (value.value, value.unit.value)


@pytest.mark.parametrize(
    ('value', 'match'),
    [
        ('0ep', "max_duration='0ep' is not above 0"),
        ('-1ba', "max_duration='-1ba' is not above 0"),
        ('1iter', "max_duration='1iter': no curve can be counted in 'iter'"),
        (ScheduleTime(3600, 'sec'), "max_duration='3600sec': no curve can be counted in 'sec'"),
        ('1dur', "max_duration='1dur': no curve can be counted in 'dur'"),
        ('long', "max_duration='long' is not a duration: write a whole number"),
        (None, 'max_duration=None is not a duration'),
    ],
)
def test_durations_refused(value, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        read_duration('max_duration', value)
