import math

import numpy as np
import pytest

from composer_clr.analysis.pairing import Alignment, pair
from composer_clr.curves.curve import CurveError
from tests.helpers.runs_and_lines import line


class TestPair:
    wanted = (15, 16, 32, 64, 128)
    measured, values = (64, 16), (3.0, 1.0)

    @pytest.mark.parametrize(
        ('alignment', 'how', 'kept', 'expected'),
        [
            (Alignment(), ('exact', 'interpolated', 'exact'), [1, 2, 3], [1, 2, 3]),
            (Alignment('exact'), ('exact', 'exact'), [1, 3], [1, 3]),
            (Alignment('nearest', tolerance=0.07), ('nearest', 'exact', 'exact'), [0, 1, 3], [1, 1, 3]),
            (Alignment('nearest', tolerance=0.06), ('exact', 'exact'), [1, 3], [1, 3]),
        ],
        ids=['interpolate', 'exact', 'nearest within 7 percent', 'nearest within 6 percent'],
    )
    def test_modes(self, alignment, how, kept, expected):
        pairing = pair(self.wanted, self.measured, alignment)
        assert pairing.how == how
        assert pairing.kept.tolist() == kept
        assert sorted([*pairing.kept, *pairing.left_out]) == [0, 1, 2, 3, 4]
        assert pairing.weights @ self.values == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize('mode', ['interpolate', 'exact', 'nearest'])
    def test_a_curves_own_points_are_each_itself_though_two_have_one_time(self, mode):
        assert pair((10, 10, 20), (10, 10, 20), Alignment(mode)).weights @ (1, 2, 3) == pytest.approx([1, 2, 3])

    def test_interpolation_is_that_of_numpy_in_log_positions(self):
        rng = np.random.default_rng(17)
        measured, values = rng.permutation([9.0, 15, 31, 64, 90, 270]), rng.random(6)
        wanted = rng.uniform(9, 270, 50)
        order = np.argsort(measured)
        expected = np.interp(np.log(wanted), np.log(measured[order]), values[order])
        assert pair(wanted, measured).weights @ values == pytest.approx(expected, abs=1e-12)

    def test_a_fit_reproduces_a_parabola_and_stays_within_the_range(self):
        def parabola(epochs):
            return 0.4 + 0.2 * np.log(epochs) - 0.02 * np.log(epochs) ** 2

        measured = np.array([270, 30, 90, 120])
        pairing = pair([16, 32, 270, 512], measured, Alignment('fit'))
        assert pairing.how == ('fit', 'fit')
        assert pairing.kept.tolist() == [1, 2]
        assert pairing.weights @ parabola(measured) == pytest.approx(parabola(np.array([32, 270])), abs=1e-12)

    def test_a_fit_misses_points_that_no_parabola_passes(self):
        measured, values = np.array([10, 30, 90, 270]), np.array([0.0, 1, 0, 1])
        fitted = np.polynomial.Polynomial.fit(np.log(measured), values, 2)
        pairing = pair(measured, measured, Alignment('fit'))
        assert pairing.weights @ values == pytest.approx(fitted(np.log(measured)), abs=1e-12)

    def test_nothing_meets(self):
        pairing = pair([1, 2], [3, 4])
        assert pairing.weights.shape == (0, 2)
        assert pairing.left_out.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ({'mode': 'spline'}, "align='spline': choose one of interpolate, exact, nearest, fit"),
            ({'axis': 'step'}, "axis='step': choose one of epoch, batch, sample, token, time"),
            ({'tolerance': -0.1}, 'tolerance=-0.1: give 0 or more'),
            ({'tolerance': math.nan}, 'tolerance=nan: give 0 or more'),
        ],
        ids=['mode', 'axis', 'negative tolerance', 'tolerance nan'],
    )
    def test_alignments_that_do_not_exist(self, arguments, message):
        with pytest.raises(CurveError, match=message):
            Alignment(**arguments)


def test_values_at_times():
    curve = line([1, 100], [0, 1], times=[10, 1000])
    alignment = Alignment(axis='time')
    pairing = pair([9, 100], alignment.positions(curve), alignment)
    assert (pairing.left_out.tolist(), pairing.weights @ curve.value) == ([0], pytest.approx([0.5], abs=1e-12))
