import itertools

import pytest

from composer_clr.analysis.cost import measured_cost_ratio
from composer_clr.schedule.cycles import cost_ratio
from tests.helpers.runs_and_lines import line


class TestCost:
    def test_formula_is_equation_one_of_the_paper(self):
        for n, r in itertools.product(range(1, 9), (1.25, 1.5, 2, 3)):
            expected = (1 - r**n) / ((1 - r) * r ** (n - 1))
            assert cost_ratio(r**k for k in range(n)) == pytest.approx(expected, abs=1e-9)

    def test_any_list_of_points(self):
        assert cost_ratio(iter([64, 16, 40])) == 120 / 64

    @pytest.mark.parametrize('points', [[], [16, 0]], ids=['none', 'zero'])
    def test_no_points_to_cost(self, points):
        with pytest.raises(ValueError, match='give one or more, each above 0'):
            cost_ratio(points)

    def test_measured_times_are_interpolated_at_their_pace(self):
        cyclic = line([8, 32, 64, 128], [0, 0, 0, 0], times=[1, 300, 600, 9000])
        standard = line([16, 64], [0, 0], times=[160, 640])
        # A run to 32 epochs would have taken 320 s; 8 and 128 epochs were never trained to.
        assert measured_cost_ratio(cyclic, standard) == pytest.approx((320 + 640) / 600, abs=1e-12)
