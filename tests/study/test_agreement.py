import itertools
import math

import numpy as np
import pytest
from scipy import stats

from composer_clr.study.agreement import cosine_similarity, kendall_tau, ranking
from composer_clr.study.estimates import figures


def of(values):
    """Figures of one seed."""
    return figures(np.array([values], dtype=float))


@pytest.mark.parametrize(
    ('a', 'b', 'expected'), [([1, 2], [2, 4], 1), ([1, 0], [0, 1], 0), ([1, 2], [-1, -2], -1), ([3, 6], [2, 1], 0.8)]
)
def test_cosine_similarity(a, b, expected):
    found = cosine_similarity(of(a), of(b))
    assert found is not None
    assert float(found.value) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(found.low)


@pytest.mark.parametrize(('a', 'b'), [([1], [1]), ([0, 0], [1, 2])], ids=['one point', 'no improvement'])
def test_no_cosine_similarity(a, b):
    assert cosine_similarity(of(a), of(b)) is None


def tau_of(a, b):
    found = kendall_tau([[of([value]) for value in side] for side in (a, b)], 0)
    return None if found is None else float(found.value)


def test_tau_of_all_small_rankings_is_scipys():
    """One side in order: tau stays as it is where methods change places on both."""
    sides = itertools.combinations_with_replacement(range(3), 3), itertools.product(range(3), repeat=3)
    for a, b in itertools.product(*sides):
        expected = float(stats.kendalltau(a, b)[0])  # type: ignore
        assert tau_of(a, b) == (None if math.isnan(expected) else pytest.approx(expected))


def test_tau_of_two_methods_has_no_interval():
    """They change places in some of the draws, so that of the two values it can have the interval would hold both."""
    rng = np.random.default_rng(0)
    sides = [[figures(place + rng.normal(size=(3, 1))) for place in range(3)] for _ in range(2)]
    of_two, of_three = (kendall_tau([side[:n] for side in sides], 0) for n in (2, 3))
    assert of_two is not None
    assert of_three is not None
    assert (math.isnan(of_two.low), math.isnan(of_two.high), math.isnan(of_three.low)) == (True, True, False)


def test_a_method_without_a_value_is_not_ranked():
    assert tau_of([1, 2, math.nan], [1, 2, 0]) == 1
    assert tau_of([1, math.nan], [1, 2]) is None


def test_values_within_rounding_of_each_other_tie():
    assert ranking({'a': 0.3, 'b': 0.1 + 0.2, 'c': 0.5}) == [['c'], ['a', 'b']]
