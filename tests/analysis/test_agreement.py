import itertools
import math

import pytest

from composer_clr.analysis.agreement import cosine_similarity, gap, improvement, kendall_tau, ranking_agreement
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
            match=r'MX: the cyclic curve \(epoch 16 to 32\) and the standard one \(64 to 90\) meet nowhere with '
            "align='interpolate': train standard runs",
        ):
            gap(line([16, 32], [0.5, 0.6], method='MX'), line([64, 90], [0.5, 0.6]))

    def test_a_fit_through_two_points(self):
        with pytest.raises(CurveError, match='MX, standard: a fit needs 3 points or more, there are 2: train more'):
            gap(line([16, 32], [0, 1]), line([16, 32], [0, 1], method='MX', kind='standard'), Alignment('fit'))


def test_improvement_above_zero_is_better_either_way():
    better, worse = line([16, 64], [0.6, 0.8]), line([16, 64], [0.5, 0.9])
    positions = [8, 16, 32, 64]
    assert improvement(better, worse, positions) == pytest.approx([math.nan, 0.1, 0, -0.1], abs=1e-12, nan_ok=True)
    assert improvement(better, worse, [16], lower_is_better=True) == pytest.approx([-0.1], abs=1e-12)


@pytest.mark.parametrize(
    ('a', 'b', 'expected'),
    [
        ([1, 2], [2, 4], 1),
        ([1, 2], [-1, -2], -1),
        ([1, 0], [0, 3], 0),
        ([3, 4, 5], [4, 3, math.nan], 0.96),
        ([1, 2], [0, 0], None),
        ([1, math.nan], [1, 1], None),
        ([], [], None),
    ],
    ids=['same shape', 'opposite', 'unrelated', 'a point unknown', 'no improvement', 'one point', 'none'],
)
def test_cosine_similarity(a, b, expected):
    assert cosine_similarity(a, b) == (expected if expected is None else pytest.approx(expected, abs=1e-12))


class TestKendallTau:
    @pytest.mark.parametrize(
        ('a', 'b', 'expected'),
        [
            ([1, 2, 3], [4, 5, 6], 1),
            ([1, 2, 3], [6, 5, 4], -1),
            ([1, 2, 3], [4, 6, 5], 1 / 3),
            ([1, 1, 2], [4, 5, 6], 2 / math.sqrt(6)),
            ([1, 1, 2], [5, 5, 6], 1),
            ([1, 1], [4, 5], None),
            ([1], [4], None),
            ([], [], None),
        ],
        ids=['same', 'reversed', 'one swap', 'tie in one', 'tie in both', 'all tied', 'one', 'none'],
    )
    def test_by_hand(self, a, b, expected):
        assert kendall_tau(a, b) == (expected if expected is None else pytest.approx(expected, abs=1e-12))

    def test_tau_of_all_small_rankings_against_its_other_definition(self):
        """Concordant less discordant pairs over sqrt((n0 - n1)(n0 - n2)), ties counted by groups."""
        for a, b in itertools.product(itertools.product(range(3), repeat=4), repeat=2):
            pairs = list(itertools.combinations(range(4), 2))
            concordant = sum((a[i] < a[j] and b[i] < b[j]) or (a[i] > a[j] and b[i] > b[j]) for i, j in pairs)
            discordant = sum((a[i] < a[j] and b[i] > b[j]) or (a[i] > a[j] and b[i] < b[j]) for i, j in pairs)
            n1, n2 = (sum(math.comb(x.count(rank), 2) for rank in set(x)) for x in (a, b))
            scale = math.sqrt((len(pairs) - n1) * (len(pairs) - n2))
            expected = pytest.approx((concordant - discordant) / scale, abs=1e-12) if scale else None
            assert kendall_tau(a, b) == expected


def test_ranking_agrees_at_one_point_and_not_at_the_next():
    methods = [
        (line([16, 32], [1, 2]), line([16, 32], [1, 3])),
        (line([16, 32], [2, 3]), line([16, 32], [5, 2])),
        (line([16, 64], [3, 9]), line([16], [6])),
    ]
    assert ranking_agreement(methods, [16, 32, 64]) == [1, -1, None]
