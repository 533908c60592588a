"""Merged iterates stand for a decay: in exact arithmetic, on a quadratic."""

from fractions import Fraction
from math import isqrt

import pytest

from composer_clr.averaging.averages import share
from composer_clr.schedule.averages import DECAYS
from composer_clr.schedule.shapes import cosine
from tests.helpers.merging import merging_shares


def exact_linear(tau: Fraction) -> Fraction:
    return 1 - tau


def exact_one_minus_sqrt(tau: Fraction) -> Fraction:
    """Exact where tau is the square of a fraction; else the nearest float."""
    if isqrt(tau.numerator) ** 2 == tau.numerator and isqrt(tau.denominator) ** 2 == tau.denominator:
        return 1 - Fraction(isqrt(tau.numerator), isqrt(tau.denominator))
    return Fraction(DECAYS['1-sqrt'](float(tau)))


def exact_cosine(tau: Fraction) -> Fraction:
    return Fraction(cosine(float(tau)))


class Polynomial:
    """A polynomial in the learning rate, cut after its first power: exact arithmetic to first order."""

    def __init__(self, *coefficients: Fraction):
        self.coefficients = coefficients[:2]

    def step(self, rate: Fraction, curvature: Fraction, minimum: Fraction) -> 'Polynomial':
        """One step of gradient descent, of a rate in units of the polynomial's variable, on h (w - m)^2 / 2."""
        constant, first = self.coefficients
        return Polynomial(constant, first - rate * curvature * (constant - minimum))


@pytest.mark.parametrize('decay', [exact_linear, exact_cosine, exact_one_minus_sqrt])
@pytest.mark.parametrize('count', [1, 4, 9, 16])
def test_on_a_quadratic_the_average_is_the_decayed_iterate_to_first_order(decay, count):
    curvature, minimum, start = Fraction(3, 7), Fraction(2), Fraction(-5, 3)
    constant = [Polynomial(start, Fraction(0))]
    decayed = constant[0]
    for i in range(count):
        constant.append(constant[-1].step(Fraction(1), curvature, minimum))
        decayed = decayed.step(decay(Fraction(i, count)), curvature, minimum)
    shares = merging_shares(decay, count, one=Fraction(1))
    assert sum(shares) == decay(Fraction(0)) - decay(Fraction(1))
    scale = sum(shares)
    for power in (0, 1):
        merged = sum(part * one.coefficients[power] for part, one in zip(shares, constant[1:], strict=True))
        if scale == 1:
            assert merged == decayed.coefficients[power]
        else:
            # The cosine of a float at 1 is not exactly 0.
            assert float(merged) == pytest.approx(float(decayed.coefficients[power]), abs=1e-15)


@pytest.mark.parametrize('decay', [exact_linear, exact_one_minus_sqrt])
def test_the_average_scales_each_update_as_the_decay_does_its_rate(decay):
    """Exact to every order: the updates are those of the run at the constant rate."""
    updates = [Fraction(n * n - 7, n + 3) for n in range(1, 17)]
    iterates = [sum(updates[:n], start=Fraction(5)) for n in range(17)]
    merged = sum(c * w for c, w in zip(merging_shares(decay, 16, one=Fraction(1)), iterates[1:], strict=True))
    assert merged == iterates[0] + sum(decay(Fraction(i, 16)) * update for i, update in enumerate(updates))


@pytest.mark.parametrize('name', DECAYS)
def test_the_share_of_a_step_goes_by_its_length(name):
    decay = DECAYS[name]
    assert [share(decay, 10, 20, t, t + 1) for t in range(10, 20)] == pytest.approx(merging_shares(decay, 10))
    uneven = [(8, 11), (11, 12), (12, 17), (17, 23)]
    assert sum(share(decay, 10, 20, *step) for step in uneven) == pytest.approx(1)
    assert share(decay, 10, 20, 5, 10) == share(decay, 10, 20, 20, 21) == 0
