"""AnytimeScheduler: Composer's own constant rate, marks in any unit, the ways to give them, and what it refuses."""

import math

import pytest
from composer.optim import ConstantWithWarmupScheduler

from composer_clr import AnytimeScheduler
from composer_clr.schedule.cycle_ends import read_marks
from composer_clr.schedule.cycles import Cycles, multiplier_line
from composer_clr.schedule.shapes import SteadyRate
from tests.helpers.trainers import at


@pytest.mark.filterwarnings('ignore:The warmup duration is 0:UserWarning')
@pytest.mark.parametrize('warmup', ['0ba', '7ba', '2ep'])
def test_bit_for_bit_composers_constant_rate(make_state, warmup):
    anytime, constant = AnytimeScheduler(['4ep', '16ep'], warmup), ConstantWithWarmupScheduler(warmup)
    state = make_state('16ep')
    for batch in range(161):
        at(state, batch=batch, epoch=batch // 10)
        assert anytime(state) == constant(state)


def test_one_over_the_square_root_in_epochs(make_state):
    scheduler, state = AnytimeScheduler(['4ep', '16ep'], '2ep', rate='1/sqrt', a='3ep'), make_state('16ep')
    assert [scheduler(at(state, batch=batch)) for batch in (10, 20, 50, 110)] == pytest.approx(
        [0.5, 1.0, (30 / 60) ** 0.5, 0.5]
    )


def test_a_schedule_ratio_scales_every_time(make_state):
    scheduler, state = AnytimeScheduler(['4ep', '16ep'], '2ep', rate='1/sqrt', a='4ep'), make_state('8ep')
    assert scheduler(at(state, batch=10), ssr=0.5) == 1.0
    assert scheduler(at(state, batch=30), ssr=0.5) == pytest.approx((20 / 40) ** 0.5)
    assert [str(mark) for mark in scheduler.troughs(state, 0.5)] == ['20ba', '80ba']


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'marks': ['4ep'], 'rate': 'linear'}, "rate='linear': must be one of constant, 1/sqrt"),
        ({'marks': ['4ep'], 'a': '4ep'}, "rate='constant' with a='4ep'"),
        ({'marks': ['4ep'], 'rate': '1/sqrt'}, "rate='1/sqrt' with a=None"),
        ({'marks': ['4ep'], 'rate': '1/sqrt', 'a': '0ep'}, "a='0ep': must be above 0"),
        ({'marks': ['4ep', '2ep']}, r"marks=\['4ep', '2ep'\]: list the marks in strictly increasing order"),
        ({'marks': ['2ep'], 't_warmup': '3ep'}, r"t_warmup='3ep' does not end before the first mark, marks\[0\]"),
        ({}, 't_0 is missing: .* or the marks as marks'),
        ({'marks': ['2ep'], 't_0': '2ep'}, 'marks replaces t_0'),
    ],
)
def test_refused_in_words_of_marks(arguments, match):
    with pytest.raises(ValueError, match=match) as raised:
        AnytimeScheduler(**arguments)
    assert '\n' not in str(raised.value)


def test_a_in_another_unit(make_state):
    with pytest.raises(ValueError, match="a='100sp' and marks.* cannot be converted into each other"):
        AnytimeScheduler(['4ep'], rate='1/sqrt', a='100sp')(make_state())


def slow(t: int, warmup: int, a: float | None) -> float:
    if t < warmup:
        return t / warmup
    return 1.0 if a is None else math.sqrt(a) / math.sqrt(t - warmup + a)


@pytest.mark.parametrize('warmup', [0, 7])
@pytest.mark.parametrize('a', [None, 3.0, 100.0])
def test_the_multiplier_does_not_come_down_at_marks(warmup, a):
    marks = Cycles(warmup, [10, 20, 21], SteadyRate(a))
    for t in range(40):
        assert marks.multiplier(t, alpha_f=0.3) == pytest.approx(slow(t, warmup, a))
    assert marks.troughs(30) == [10, 20, 21]
    assert list(marks.crossed(9, 20)) == [0, 1]


def test_the_line_has_no_troughs():
    times, values = multiplier_line(Cycles(4, [8, 16], SteadyRate()), until=16, points_per_cycle=2)
    assert dict(zip(times, values, strict=True)) == {0: 0.0, 4: 1.0, 6: 1.0, 8: 1.0, 12: 1.0, 16: 1.0}


def test_three_ways_to_give_marks():
    assert read_marks(None) is None
    assert read_marks(('4ep', '6ep')) == ['4ep', '6ep']
    assert read_marks({'first': '4ep', 'last': '40ep', 'ratio': 3}) == ['4ep', '12ep', '36ep']
    spaced = read_marks({'first': '100ba', 'last': '10000ba', 'n': 50})
    assert spaced is not None
    assert (len(spaced), spaced[0], spaced[-1]) == (50, '100ba', '10000ba')


@pytest.mark.parametrize(
    ('marks', 'match'),
    [
        ('4ep', "marks='4ep': must be a list"),
        ([], r'marks=\[\]: must be a list'),
        ({'first': '4ep'}, 'must be a list'),
        ({'first': '4ep', 'last': '8ep', 'n': 3, 'ratio': 2}, 'must be a list'),
        ({'first': '4ep', 'last': '2ep', 'n': 3}, 'does not come before'),
        (['4ep', '4ep'], 'names a time twice'),
        (4, 'must be a list'),
    ],
)
def test_marks_given_otherwise_are_refused(marks, match):
    with pytest.raises(ValueError, match=match):
        read_marks(marks)
