import math
from fractions import Fraction
from itertools import islice, pairwise

import pytest

from composer_clr.schedule.cycles import Cycles, geometric_ends
from tests.helpers.reference import multipliers

RATIOS = pytest.mark.parametrize('t_mult', [1, 1.5, 2, 3, math.sqrt(2)], ids=['1', '1.5', '2', '3', 'sqrt2'])


def paper(batches: int = 1) -> Cycles:
    return Cycles(8 * batches, geometric_ends(8 * batches, t_0=8 * batches, t_mult=2))


@pytest.mark.parametrize(
    ('t_warmup', 't_0', 't_mult', 'ends'),
    [
        pytest.param(8, 8, 2, [16, 32, 64, 128, 256, 512], id='paper'),
        pytest.param(0, 10, 1, [10, 20, 30, 40], id='constant'),
        pytest.param(5, 10, 1, [15, 25, 35, 45], id='constant-after-warmup'),
        # 7, 17.5, 33.25, 56.875, 92.3125: a tie goes to the even number. Truncating each period: 7, 17, 32, 54.
        pytest.param(0, 7, 1.5, [7, 18, 33, 57, 92], id='fractional-rounded-once'),
        pytest.param(1, 2, 3, [3, 9, 27, 81], id='tripling'),
        pytest.param(0, Fraction(5, 2), 2, [2, 8, 18, 38], id='half-periods-tie-to-even'),
        pytest.param(0, 3, Fraction(4, 3), [3, 7, 12, 19], id='exact-thirds'),
    ],
)
def test_ends_by_hand(t_warmup, t_0, t_mult, ends):
    assert list(islice(geometric_ends(t_warmup, t_0, t_mult), len(ends))) == ends


@RATIOS
@pytest.mark.parametrize(('t_warmup', 't_0'), [(0, 40), (17, 23)], ids=['no-warmup', 'warmup'])
@pytest.mark.parametrize('alpha_f', [0.0, 0.1])
def test_multiplier_is_the_reference_at_every_batch_of_six_cycles(t_mult, t_warmup, t_0, alpha_f):
    cycles = Cycles(t_warmup, geometric_ends(t_warmup, t_0, t_mult))
    for cycle, batch, expected in multipliers(t_warmup, t_0, t_mult, 6, alpha_f):
        assert cycles.multiplier(batch, alpha_f) == pytest.approx(expected, abs=1e-9)
        assert cycles.index(batch) == (None if cycle < 0 else cycle)


@RATIOS
def test_multiplier_falls_within_a_cycle_and_jumps_back_to_one_at_its_trough(t_mult):
    cycles = Cycles(10, geometric_ends(10, 10, t_mult))
    for cycle in range(8):
        restart, trough = cycles.bounds(cycle)
        values = [cycles.multiplier(t) for t in range(restart, trough)]
        assert values[0] == 1.0
        assert all(later < earlier for earlier, later in pairwise(values))
        assert cycles.multiplier(trough) == 1.0


@pytest.mark.parametrize('t_mult', [1, 1.0001, 1.1, math.sqrt(2), 1.5, 2, math.e, 3, 10], ids=str)
@pytest.mark.parametrize('t_0', [1, 7, 625, 10**9 + 7])
def test_the_cycle_of_a_boundary_and_of_its_neighbours(t_mult, t_0):
    cycles = Cycles(3, geometric_ends(3, t_0, t_mult))
    for k in range(25):
        restart, trough = cycles.bounds(k)
        assert cycles.index(restart) == cycles.index(trough - 1) == k
        assert cycles.index(trough) == k + 1
        assert list(cycles.crossed(trough - 1, trough)) == [k]
        assert cycles.next_trough(restart) == cycles.next_trough(trough - 1) == trough


def test_huge_times_stay_exact():
    cycles = paper(10**15)
    assert cycles.troughs(512 * 10**15)[-1] == 512 * 10**15
    assert cycles.index(512 * 10**15 - 1) == 5


def test_spelled_out_cycles_end_at_alpha_f():
    cycles = Cycles(4, [16, 24, 60])
    assert [cycles.index(t) for t in (0, 4, 15, 16, 23, 24, 59, 60, 999)] == [None, 0, 0, 1, 1, 2, 2, None, None]
    assert cycles.multiplier(2) == 0.5
    assert cycles.multiplier(20, 0.2) == pytest.approx(0.6)
    assert cycles.multiplier(60, 0.2) == cycles.multiplier(10**6, 0.2) == 0.2
    assert cycles.troughs(999) == [16, 24, 60]
    assert cycles.troughs(59) == [16, 24]
    assert cycles.next_trough(60) is None


@pytest.mark.parametrize(
    ('before', 'now', 'crossed'),
    [(0, 15, []), (15, 16, [0]), (16, 16, []), (16, 17, []), (15, 64, [0, 1, 2]), (511, 512, [5]), (20, 33, [1])],
    ids=str,
)
def test_crossed(before, now, crossed):
    assert list(paper().crossed(before, now)) == crossed


def test_no_such_cycle():
    with pytest.raises(IndexError, match='no cycle 2'):
        Cycles(0, [16, 24]).bounds(2)


def test_a_slowly_growing_period_stays_affordable():
    # A ratio that no small fraction equals: reduced fractions would take minutes. ln(11) / ln(1.001) = 2399.09.
    assert len(Cycles(0, geometric_ends(0, 100, 1.001)).troughs(10**6)) == 2399


@pytest.mark.parametrize(
    ('make', 'match'),
    [
        pytest.param(lambda: Cycles(-1, [1]), 'ends at -1, before training', id='negative-warmup'),
        pytest.param(lambda: Cycles(8, [8]).troughs(9), 'from 8 to 8', id='warmup-to-the-trough'),
        pytest.param(lambda: Cycles(0, [8, 4]).troughs(9), 'from 8 to 4', id='unordered'),
        pytest.param(lambda: next(geometric_ends(0, 0, 2)), 'would be 0 long', id='no-period'),
        pytest.param(lambda: next(geometric_ends(0, 8, 0.5)), r't_mult=0.5', id='shrinking'),
    ],
)
def test_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
