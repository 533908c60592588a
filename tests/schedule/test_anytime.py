"""AnytimeScheduler: Composer's own constant rate, marks in any unit, and what it refuses."""

import pytest
from composer.optim import ConstantWithWarmupScheduler

from composer_clr import AnytimeScheduler, CyclicCosineScheduler
from composer_clr.schedule.times import spell
from tests.conftest import at


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
    assert [spell(mark) for mark in scheduler.troughs(state, 0.5)] == ['20ba', '80ba']


def test_the_marks_of_the_cyclic_schedule(make_state):
    state = make_state('64ep')
    cyclic = CyclicCosineScheduler('2ep', 2, '2ep').troughs(state)
    assert AnytimeScheduler(t_0='2ep', t_mult=2, t_warmup='2ep').troughs(state) == cyclic


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
    with pytest.raises(ValueError, match="a='100sp' cannot be counted in 'ba'"):
        AnytimeScheduler(['4ep'], rate='1/sqrt', a='100sp')(make_state())
