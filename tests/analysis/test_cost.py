import itertools
import math

import pytest

from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.schedule.cost_ratio import cost_ratio, geometric_cost_ratio
from tests.helpers.runs_and_lines import line


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
        with pytest.raises(ValueError, match='give one point or more'):
            geometric_cost_ratio(n, r)

    @pytest.mark.parametrize('points', [[], [16, 0]], ids=['none', 'zero'])
    def test_no_points_to_cost(self, points):
        with pytest.raises(ValueError, match='give one or more, each above 0'):
            cost_ratio(points)

    def test_measured_times_are_interpolated_at_their_pace(self):
        cyclic = line([8, 32, 64, 128], [0, 0, 0, 0], times=[1, 300, 600, 9000])
        standard = line([16, 64], [0, 0], times=[160, 640])
        # A run to 32 epochs would have taken 320 s; 8 and 128 epochs were never trained to.
        assert measured_cost_ratio(cyclic, standard) == pytest.approx((320 + 640) / 600, abs=1e-12)
