"""Differences between curves by hand: interpolation, seeds that both sides have, ties."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import pytest

from composer_clr.analysis.differences import gap, improvement
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.curve import CurveError
from tests.helpers.runs_and_lines import ACC, line, run, standard_runs


class TestGap:
    def test_by_hand_with_an_interpolated_and_an_unmet_point(self):
        cyclic = line([8, 16, 32, 64], [0.3, 0.5, 0.6, 0.8])
        found = gap(cyclic, line([16, 64], [0.4, 0.8]), scale=100)
        assert found.count.tolist() == [16, 32, 64]
        assert found.value == pytest.approx([10, 0, 0], abs=1e-9)
        assert found.how == ('exact', 'interpolated', 'exact')
        assert found.left_out.tolist() == [8]
        assert found.mean == pytest.approx(10 / 3, abs=1e-9)
        assert (found.mean_sem, found.sem) == (None, (None, None, None))

    def test_seeds_give_standard_errors(self):
        curves = [
            *(run('MX', 'cyclic', [(16, 0.50 + d), (32, 0.60 + e)], s) for s, d, e in ((1, 0, 0), (2, 0.02, 0.04))),
            *(r for s, d in ((1, 0), (2, 0.01)) for r in standard_runs('MX', [(16, 0.5 + d), (32, 0.5)], s)),
        ]
        means = mean_curves(curves, ACC)
        found = gap(means['MX', 'cyclic'], means['MX', 'standard'], scale=100)
        # Seed 1 has gaps 0 and 10, seed 2 has 1 and 14: their means are 5 and 7.5.
        assert found.value == pytest.approx([0.5, 12], abs=1e-9)
        assert found.sem == pytest.approx((0.5, 2), abs=1e-9)
        assert found.mean_sem == pytest.approx(1.25, abs=1e-9)

    def test_by_time_a_slower_cyclic_run_is_compared_with_a_longer_standard_one(self):
        cyclic = line([16, 32], [0.5, 0.6], times=[2000, 4000])
        standard = line([16, 64], [0.4, 0.6], times=[1000, 4000])
        assert gap(cyclic, standard, Alignment(axis='time')).value == pytest.approx([0, 0], abs=1e-12)

    def test_curves_that_do_not_meet(self):
        with pytest.raises(
            CurveError,
            match=r'MX: the cyclic curve \(epoch 16 to 32\) and the standard one \(64 to 90\) do not meet with '
            "align='interpolate': train standard runs",
        ):
            gap(line([16, 32], [0.5, 0.6], method='MX'), line([64, 90], [0.5, 0.6]))

    def test_a_fit_through_two_points(self):
        with pytest.raises(CurveError, match='MX, standard: a fit needs 3 points or more, there are 2: train more'):
            gap(line([16, 32], [0, 1]), line([16, 32], [0, 1], method='MX', kind='standard'), Alignment('fit'))


def test_improvement_above_zero_is_better_either_way():
    better, worse = line([16, 64], [0.6, 0.8]), line([16, 64], [0.5, 0.9])
    positions = [8, 16, 32, 64]
    found = improvement(better, worse, positions)
    assert (found.count.tolist(), found.left_out.tolist()) == ([16, 32, 64], [8])
    assert found.value == pytest.approx([0.1, 0, -0.1], abs=1e-12)
    assert improvement(better, worse, [16], lower_is_better=True).value == pytest.approx([-0.1], abs=1e-12)
    assert improvement(better, worse, [8]) is None
