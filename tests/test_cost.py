import itertools
import math

import pytest

from composer_clr.cost import cost_ratio, geometric_cost_ratio, measured_cost_ratio, without_slow_start
from composer_clr.curve import CurveError
from tests.curves import line


class TestCost:
    @pytest.mark.parametrize(
        ('n', 'r', 'expected'),
        [(6, 2, 63 / 32), (1, 2, 1), (4, 1, 4), (3, 1 + 1e-12, 3), (2, 4, 1.25), (2000, 3, 1.5)],
        ids=['paper', 'one point', 'r is 1', 'r just above 1', 'r is 4', 'no overflow'],
    )
    def test_formula(self, n, r, expected):
        assert geometric_cost_ratio(n, r) == pytest.approx(expected, abs=1e-9)

    def test_formula_is_equation_one_of_the_paper(self):
        for n, r in itertools.product(range(1, 9), (1.25, 1.5, 2, 3)):
            assert geometric_cost_ratio(n, r) == pytest.approx((1 - r**n) / ((1 - r) * r ** (n - 1)), abs=1e-9)

    def test_any_list_of_points(self):
        assert cost_ratio(iter([64, 16, 40])) == 120 / 64

    @pytest.mark.parametrize(('n', 'r'), [(0, 2), (3, 0.5), (3, math.nan), (3, math.inf)])
    def test_formula_out_of_range(self, n, r):
        with pytest.raises(CurveError, match='give one point or more, at times that do not shrink'):
            geometric_cost_ratio(n, r)

    @pytest.mark.parametrize('points', [[], [16, 0]], ids=['none', 'zero'])
    def test_no_points_to_cost(self, points):
        with pytest.raises(CurveError, match='give one or more, each above 0'):
            cost_ratio(points)

    def test_measured_times_are_interpolated_at_their_pace(self):
        cyclic = line([8, 32, 64, 128], [0, 0, 0, 0], times=[1, 300, 600, 9000])
        standard = line([16, 64], [0, 0], times=[160, 640])
        # A run to 32 epochs would have taken 320 s; 8 and 128 epochs were never trained to.
        assert measured_cost_ratio(cyclic, standard) == pytest.approx((320 + 640) / 600, abs=1e-12)


class TestSlowStart:
    # 10 s an epoch, after two epochs that took 100 s more.
    slow = line([1, 2, 4, 8], [0, 0, 0, 0], times=[60, 120, 140, 180])

    @pytest.mark.parametrize('slow_epochs', [1.5, 2], ids=['between points', 'at a point'])
    def test_the_start_goes_at_the_later_pace(self, slow_epochs):
        assert without_slow_start(self.slow, slow_epochs).time_s == pytest.approx([10, 20, 40, 80], abs=1e-12)

    def test_a_start_before_the_first_point_is_corrected_too(self):
        curve = line([4, 8, 16], [0, 0, 0], times=[140, 180, 260])
        assert without_slow_start(curve, 2).time_s == pytest.approx([40, 80, 160], abs=1e-12)

    def test_later_unevenness_is_kept(self):
        curve = line([2, 4, 6], [0, 0, 0], times=[100, 130, 140])
        assert without_slow_start(curve, 1).time_s == pytest.approx([20, 50, 60], abs=1e-12)

    def test_no_slow_epochs_change_nothing(self):
        assert without_slow_start(self.slow, 0) is self.slow

    @pytest.mark.parametrize(
        ('slow_epochs', 'message'),
        [
            (5, 'm, cyclic: 1 of its points come after the first 5 epochs: two are needed'),
            (-1, 'slow_epochs=-1: give the number of slow epochs, 0 for none'),
            (math.nan, 'slow_epochs=nan'),
        ],
        ids=['one point after', 'negative', 'nan'],
    )
    def test_no_pace_to_be_told(self, slow_epochs, message):
        with pytest.raises(CurveError, match=message):
            without_slow_start(self.slow, slow_epochs)
