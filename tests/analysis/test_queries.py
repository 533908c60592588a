# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import numpy as np
import pytest

from composer_clr.analysis.queries import NOT_REACHED, Answer, frontier, speedup, time_to_reach, value_within
from tests.helpers.runs_and_lines import line


class TestQuestions:
    curve = line([1, 2, 3, 4], [0.2, 0.6, 0.5, 0.8], times=[10, 1000, 10000, 100000])
    falling = line([1, 2, 3, 4], [-0.2, -0.6, -0.5, -0.8], times=[10, 1000, 10000, 100000])

    @pytest.mark.parametrize(
        ('target', 'expected'),
        [(0.2, 10), (0.4, 100), (0.6, 1000), (0.65, 10**4.5), (0.8, 100000)],
        ids=['first point', 'between', 'a point', 'after a dip', 'last point'],
    )
    def test_time_to_reach(self, target, expected):
        expected = pytest.approx(expected, rel=1e-12)
        assert time_to_reach(self.curve, target).exact == expected
        assert time_to_reach(self.falling, -target, lower_is_better=True).exact == expected

    def test_a_value_that_the_first_point_exceeds_is_bounded(self):
        assert time_to_reach(self.curve, 0.1) == Answer('bound', 10, '<=')
        assert time_to_reach(self.falling, -0.1, lower_is_better=True) == Answer('bound', 10, '<=')
        assert time_to_reach(self.curve, 0.81) == NOT_REACHED
        # 0.2 is the first point's own value, not less.
        assert time_to_reach(self.curve, 0.1 + 0.1).state == 'reached'

    @pytest.mark.parametrize(
        ('time_s', 'expected'),
        [(10, 0.2), (100, 0.4), (5000, 0.6), (10**4.5, 0.65), (100000, 0.8)],
        ids=['first point', 'between', 'in a dip', 'out of it', 'last point'],
    )
    def test_value_within(self, time_s, expected):
        assert value_within(self.curve, time_s).exact == pytest.approx(expected, abs=1e-12)
        lowest = value_within(self.falling, time_s, lower_is_better=True)
        assert lowest.exact == pytest.approx(-expected, abs=1e-12)

    def test_a_budget_past_the_last_point_buys_at_least_the_best_value(self):
        assert value_within(self.curve, 9) == NOT_REACHED
        assert value_within(self.curve, 100001) == Answer('bound', 0.8, '>=')
        assert value_within(self.falling, 100001, lower_is_better=True) == Answer('bound', -0.8, '<=')
        dips = line([1, 2], [0.6, 0.5])
        assert value_within(dips, 1e6) == Answer('bound', 0.6, '>=')

    def test_speedup_at_equal_accuracy(self):
        sooner = line([1, 2], [0.2, 0.6], times=[5, 500])
        assert speedup(sooner, self.curve, 0.4).exact == pytest.approx(2, rel=1e-12)
        assert speedup(self.curve, sooner, 0.4).exact == pytest.approx(0.5, rel=1e-12)
        assert speedup(sooner, self.curve, 0.7) == NOT_REACHED
        assert speedup(self.curve, sooner, 0.7) == NOT_REACHED

    def test_a_speedup_over_a_bound_is_a_bound(self):
        better = line([1, 2], [0.5, 0.9], times=[20, 2000])
        assert speedup(better, self.curve, 0.4) == Answer('bound', pytest.approx(5), '>=')
        assert speedup(self.curve, better, 0.4) == Answer('bound', pytest.approx(0.2), '<=')
        assert speedup(better, better, 0.4) == NOT_REACHED


class TestFrontier:
    def slow_reference(self, curves, sign):
        """Every point against every other."""
        points = [(t, sign * v) for c in curves for t, v in zip(c.time_s, c.value, strict=True)]
        kept = [(t, v) for t, v in points if not any(u <= t and w >= v and (u < t or w > v) for u, w in points)]
        return sorted((float(t), float(sign * v)) for t, v in kept)

    @pytest.mark.parametrize('lower', [False, True], ids=['higher is better', 'lower is better'])
    def test_against_every_pair(self, lower):
        rng = np.random.default_rng(17)
        for _ in range(50):
            curves = [line(range(1, 9), rng.integers(0, 6, 8) / 8, rng.integers(1, 9, 8)) for _ in range(3)]
            found = sorted((p.time_s, p.value) for p in frontier(curves, lower_is_better=lower))
            assert found == self.slow_reference(curves, -1 if lower else 1)

    def test_points_know_where_they_are_from(self):
        fast, good = line([1, 2], [0.4, 0.5], method='fast'), line([2, 3], [0.45, 0.9], method='good')
        assert [(p.method, p.count) for p in frontier([good, fast])] == [('fast', 1), ('fast', 2), ('good', 3)]
