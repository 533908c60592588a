import itertools
import math

import pytest

from composer_clr.analysis.agreement import cosine_similarity, kendall_tau, ranking_agreement
from composer_clr.analysis.uncertainty import Estimate
from tests.helpers.runs_and_lines import line


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
    assert ranking_agreement(methods, [16, 32, 64]) == [Estimate(1, 1), Estimate(-1, 1), None]
