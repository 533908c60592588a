"""Marks: the multiplier, and the three ways to give them."""

import math

import pytest

from composer_clr.schedule.marks import Marks, read_marks
from composer_clr.schedule.multiplier_line import multiplier_line


def slow(t: int, warmup: int, a: float | None) -> float:
    if t < warmup:
        return t / warmup
    return 1.0 if a is None else math.sqrt(a) / math.sqrt(t - warmup + a)


@pytest.mark.parametrize('warmup', [0, 7])
@pytest.mark.parametrize('a', [None, 3.0, 100.0])
def test_the_multiplier_does_not_come_down_at_marks(warmup, a):
    marks = Marks(warmup, [10, 20, 21], a)
    for t in range(40):
        assert marks.multiplier(t, alpha_f=0.3) == pytest.approx(slow(t, warmup, a))
    assert marks.troughs(30) == [10, 20, 21]
    assert list(marks.crossed(9, 20)) == [0, 1]
    assert marks.peak(1) == pytest.approx(slow(10, warmup, a))


def test_the_line_has_no_troughs():
    times, values = multiplier_line(Marks(4, [8, 16]), until=16, points_per_cycle=2)
    assert dict(zip(times, values, strict=True)) == {0: 0.0, 4: 1.0, 6: 1.0, 8: 1.0, 12: 1.0, 16: 1.0}


def test_three_ways_to_give_them():
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
def test_anything_else_is_refused(marks, match):
    with pytest.raises(ValueError, match=match):
        read_marks(marks)
