"""Troughs found in logged rates: by hand, and against the cycles of the schedule."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from composer_clr.loggers.logged_troughs import find_troughs, part_at_peak
from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import CycleShape, Stretch, cosine, linear, one_minus_sqrt


def times(batches, rates):
    return [trough.time for trough in find_troughs(batches, rates)]


def logged(cycles: Cycles, until: int, every: int = 1, alpha_f: float = 0.0):
    """As LRMonitor logs it: after batch t the rate of the next one, which is alpha(t - 1)."""
    batches = range(every, until + 1, every)
    return list(batches), [cycles.multiplier(batch - 1, alpha_f) for batch in batches]


@pytest.mark.parametrize(
    ('rates', 'troughs'),
    [
        pytest.param([0, 1, 2, 3], [], id='a warmup alone'),
        pytest.param([5, 5, 5, 5], [], id='a constant rate'),
        pytest.param([], [], id='nothing'),
        pytest.param([1], [], id='one sample'),
        pytest.param([0, 1, 2, 1, 0.01, 2, 1, 0.01], [4, 7], id='a warmup, two cycles'),
        pytest.param([2, 1, 0, 2, 1.5, 1, 0.5, 0], [2, 7], id='no warmup'),
        pytest.param([2, 1, 0, 0, 0, 2, 1, 0], [4, 7], id='a plateau counts to its end'),
        pytest.param([0, 1, 2, 1, 0, 1, 2, 1, 0], [4, 8], id='triangles: the way up is not a trough'),
        pytest.param([2, 1, 0.1, 1, 0.5, 0.1, 0.5, 0.3, 0.1], [2, 5, 8], id='peaks that halve'),
        pytest.param([2, 2, 1, 1 + 1e-12, 0, 2, 1, 0], [4, 7], id='rounding is not a rise'),
        pytest.param([2, math.nan, 1, 0, 2, math.inf, 1, 0], [3, 7], id='what is not a number is ignored'),
        pytest.param([2, 1, 0, 2, 1.9, 1.5, 1], [2], id='stopped in the middle of a cycle'),
        pytest.param([1, 0.9, 0.8, 0.7], [], id='stopped in the middle of the first'),
        pytest.param([1, 0.9], [], id='stopped soon after its start'),
        pytest.param([2, 1, 0, 2, 1.8], [2], id='stopped soon after a restart'),
        pytest.param([1, 0.97, 0.87, 0.75, 0.63, 0.53, 0.5], [6], id='one cosine to half'),
        pytest.param([1, 1, 0.1, 0.1, 0.1], [4], id='a step decay: its end'),
        pytest.param([2, 1, 0, 2], [2], id='a restart and nothing more'),
    ],
)
def test_by_hand(rates, troughs):
    assert times(range(len(rates)), rates) == troughs


def test_where_cycles_start_and_by_when_rates_have_risen():
    first, last = find_troughs([10, 20, 30, 40, 50], [2, 1, 0, 2, 0])
    assert first == (10, 30, 40, 0)
    assert last == (30, 50, math.inf, 0)


def test_the_order_and_repeats_of_samples_do_not_matter():
    assert times([5, 1, 2, 3, 3, 4], [0, 2, 1, 7, 0, 2]) == [3, 5]


def test_times_and_rates_must_pair():
    with pytest.raises(ValueError, match=r'shape \(2,\) and rates of shape \(3,\)'):
        find_troughs([1, 2], [1, 2, 3])


def test_the_papers_schedule_at_every_batch_and_sparsely():
    cycles = Cycles(800, geometric_ends(800, 800, 2.0))
    ends = [1600, 3200, 6400, 12800, 25600, 51200]
    assert times(*logged(cycles, 51200)) == ends
    for every in (7, 10, 100):
        found = find_troughs(*logged(cycles, 51200, every))
        assert len(found) == 6
        assert all(trough.time <= end < trough.until for trough, end in zip(found, ends, strict=True))
        assert all(end - trough.time < every for trough, end in zip(found, ends, strict=True))


@settings(max_examples=300, deadline=None)
@given(
    warmup=st.integers(0, 40),
    t_0=st.integers(12, 60),
    t_mult=st.sampled_from([1.0, 1.3, 1.5, 2.0, 3.0]),
    number=st.integers(1, 5),
    every=st.integers(1, 3),
    alpha_f=st.sampled_from([0.0, 0.01, 0.1, 0.5]),
    peak=st.floats(1e-6, 1e3),
)
def test_every_trough_of_any_schedule_lies_within_one_sample(warmup, t_0, t_mult, number, every, alpha_f, peak):
    # A first cycle that ends well above 0 is recognized by its last step, which takes a dozen samples.
    assume(number > 1 or t_0 >= 12 * every)
    ends = [end for end, _ in zip(geometric_ends(warmup, t_0, t_mult), range(number), strict=False)]
    batches, rates = logged(Cycles(warmup, ends), ends[-1], every, alpha_f)
    found = find_troughs(batches, peak * np.array(rates))
    assert len(found) == number
    assert all(trough.time <= end < trough.until for trough, end in zip(found, ends, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40))
def test_any_numbers_give_troughs_in_order(rates):
    found = find_troughs(range(len(rates)), rates)
    assert all(a.time == b.restart and a.until <= b.time for a, b in pairwise(found))
    assert all(trough.restart < trough.time < trough.until for trough in found)


@pytest.mark.parametrize('decay', [cosine, linear, one_minus_sqrt])
@pytest.mark.parametrize('hold', [0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize('length', [10, 64, 1000])
def test_the_part_at_the_peak_is_that_of_the_schedule(decay, hold, length):
    cycles = Cycles(length, geometric_ends(length, length, 2.0), CycleShape(decay, hold=Stretch(part=hold)))
    batches, rates = logged(cycles, 4 * length, alpha_f=0.1)
    last = find_troughs(batches, rates)[-1]
    # A cosine stays at the peak for 2% of its decay.
    assert part_at_peak(batches, rates, last) == pytest.approx(hold, abs=0.02 + 2 / length)
