"""Gaps and improvements: their lines are those of the comparison; people look at the pictures."""

import math

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import compare
from composer_clr.study.table import Study
from tests.helpers.drawn_studies import STUDY, dashes, draw, ends, legend, lines, many
from tests.helpers.runs_and_lines import run, standard_runs

# Half of the distance between two points, for two lines: a quarter of it to either side.
LEFT, RIGHT = 2**-0.075, 2**0.075
BY_TIME = Alignment(axis='time')


def seeded(metric, standard, cyclic, epochs=(4, 8, 16)):
    """Returns runs of several seeds, each with a value at every epoch."""
    return [
        *(
            one
            for seed, values in enumerate(standard)
            for one in standard_runs('LS', [*zip(epochs, values, strict=True)], seed, metric)
        ),
        *(
            run('LS', 'cyclic', [*zip(epochs, values, strict=True)], seed, metric=metric)
            for seed, values in enumerate(cyclic)
        ),
    ]


SEEDS = seeded(
    'eval/MulticlassAccuracy',
    [(0.50, 0.60, 0.70), (0.52, 0.58, 0.71), (0.47, 0.61, 0.73)],
    [(0.51, 0.58, 0.72), (0.53, 0.59, 0.70), (0.50, 0.60, 0.76)],
)


class TestGap:
    def test_by_hand(self):
        (ax,) = draw('gap', STUDY).axes
        assert lines(ax) == {
            'baseline, cyclic': (pytest.approx([16 * LEFT, 32 * LEFT]), pytest.approx([1, -1])),
            'MX, cyclic': (pytest.approx([16 * RIGHT, 32 * RIGHT]), pytest.approx([2, 4])),
        }
        assert (ax.get_xlabel(), ax.get_xscale()) == ('epochs', 'log')
        assert ax.get_ylabel() == 'gap to standard runs\n(points of top-1 accuracy)'
        assert list(ax.get_xticks()) == [16, 32]

    def test_gaps_and_intervals_are_those_of_the_table(self):
        figure = draw('gap', SEEDS)
        (ax,) = figure.axes
        gap = compare(Study.of(SEEDS)).kinds['cyclic'].methods['LS'].gap
        name = 'LS: one cyclic run'
        assert lines(ax) == {name: ([4, 8, 16], pytest.approx(gap.each.value.tolist()))}
        low, high = ends(ax, name)
        assert (low, high) == (pytest.approx(gap.each.low.tolist()), pytest.approx(gap.each.high.tolist()))
        # The first by hand: 1, 1 and 3 points; Student's t of two degrees of freedom times the standard error.
        half = 4.302652729911275 * (math.sqrt(4 / 3) / math.sqrt(3))
        assert (low[0], high[0]) == (pytest.approx(5 / 3 - half), pytest.approx(5 / 3 + half))
        assert legend(figure) == [name, 'LS: separate standard runs', '95% interval, 3 seeds']

    def test_a_method_without_standard_runs_is_left_out_with_a_word(self):
        with pytest.warns(UserWarning, match="left out: MX, cyclic: 'MX' has no standard runs$"):
            (ax,) = draw('gap', [*STUDY[:3], run('MX', 'cyclic', [(8, 0.5), (16, 0.6)])]).axes
        assert list(lines(ax)) == ['baseline, cyclic']

    def test_the_gap_of_a_perplexity_is_a_ratio(self):
        curves = seeded('eval/LanguagePerplexity', [(8.0, 4.0), (10.0, 4.0)], [(4.0, 4.0), (10.0, 16.0)], (4, 8))
        (ax,) = draw('gap', curves).axes
        assert lines(ax)['LS: one cyclic run'][1] == pytest.approx([math.sqrt(0.5), 2.0])
        assert ax.get_ylabel() == 'perplexity over that of standard runs\n(ratio, less is better)'
        assert any(list(line.get_ydata()) == [1.0, 1.0] for line in ax.lines)  # type: ignore[arg-type]
        assert np.prod(ends(ax, 'LS: one cyclic run'), axis=0) == pytest.approx([0.5, 4.0])

    @pytest.mark.parametrize(
        ('metric', 'options', 'unit'),
        [
            ('eval/CrossEntropy', {}, 'nats of cross entropy, less is better'),
            ('eval/score', {}, 'points of score'),
            ('eval/score', {'lower_is_better': True}, 'points of score, less is better'),
        ],
    )
    def test_the_unit_and_the_direction(self, metric, options, unit):
        (ax,) = draw('gap', seeded(metric, [(0.5, 0.4)], [(0.6, 0.4)], (4, 8)), metric=metric, **options).axes
        assert ax.get_ylabel() == f'gap to standard runs\n({unit})'

    def test_times_are_not_moved_aside_and_points_beyond_the_standard_curve_not_drawn(self):
        (ax,) = draw('gap', [*SEEDS, run('LS', 'wsd-s', [(4, 0.5), (8, 0.6)], seed=0)], alignment=BY_TIME).axes
        assert lines(ax)['LS: one cyclic run'][0] == pytest.approx(np.multiply([4, 8, 16], 100 / 60))
        curves = [*standard_runs('LS', [(4, 0.5), (16, 0.7)]), run('LS', 'cyclic', [(2, 0.4), (8, 0.65), (32, 0.8)])]
        (ax,) = draw('gap', curves).axes
        assert lines(ax) == {'LS: one cyclic run': ([8], [pytest.approx(5)])}


class TestImprovement:
    def test_by_hand(self):
        (ax,) = draw('3', STUDY).axes
        values = {name: y for name, (_, y) in lines(ax).items()}
        assert values == {'MX, standard': pytest.approx([2, 1]), 'MX, cyclic': pytest.approx([3, 6])}
        assert dashes(ax) == {'MX, standard': '-', 'MX, cyclic': '--'}
        assert ax.get_ylabel() == 'improvement over baseline\n(points of top-1 accuracy)'

    def test_at_equal_times(self):
        curves = [*STUDY[:3], run('MX', 'cyclic', [(16, 0.53, 1600.0), (32, 0.66, 3201.0)])]
        (ax,) = draw('3', curves, alignment=BY_TIME).axes
        assert lines(ax) == {'MX, cyclic': ([pytest.approx(1600 / 60)], [pytest.approx(3)])}
        assert ax.get_xlabel() == 'training time (minutes)'

    @pytest.mark.parametrize(('lower', 'gain'), [(None, 0.5), (False, -0.5)])
    def test_less_is_better(self, lower, gain):
        loss = [run(m, 'cyclic', [(16, v, None)], metric='eval/loss') for m, v in (('baseline', 2.0), ('MX', 1.5))]
        (ax,) = draw('3', loss, lower_is_better=lower).axes
        assert lines(ax) == {'MX, cyclic': ([16], [gain])}
        assert ax.get_ylabel() == 'improvement over baseline\n(loss)'

    def test_errors_are_over_pairs_of_seeds(self):
        def seeds(method, *values):
            return [run(method, 'cyclic', [(16, v)], seed=s) for s, v in enumerate(values)]

        # By seed the differences are 0.1 and 0.2: their deviation 0.0707 over the root of 2.
        (ax,) = draw('3', [*seeds('baseline', 0.5, 0.6), *seeds('MX', 0.6, 0.8)], errors='se').axes
        assert lines(ax) == {'MX, cyclic': ([16], [pytest.approx(15)])}
        assert ends(ax, 'MX, cyclic') == [[pytest.approx(10)], [pytest.approx(20)]]

    def test_more_than_six_methods_have_a_panel_each(self):
        figure = draw('3', many(8))
        assert [ax.get_title() for ax in figure.axes] == [f'Method0{i}' for i in range(7)]
        assert legend(figure) == ['standard', 'cyclic', 'baseline']


@pytest.mark.parametrize(
    ('name', 'curves', 'match'),
    [
        ('gap', STUDY[:1], "baseline, cyclic: 'baseline' has no standard runs: name them too"),
        ('gap', STUDY[1:3], 'all runs are standard: name runs of another kind too'),
        ('gap', [STUDY[0], *standard_runs('baseline', [(64, 0.5)])], 'do not meet'),
        ('3', STUDY[:3], "all runs are of the baseline 'baseline'"),
        ('3', STUDY[1:], "MX, cyclic: the baseline 'baseline' has no cyclic runs: name them too"),
        ('3', [STUDY[0], run('MX', 'cyclic', [(8, 0.5)])], 'MX, cyclic: no point can be compared with the baseline'),
    ],
    ids=['no-standard', 'standard-alone', 'apart', 'baseline-only', 'no-baseline', 'no-point'],
)
def test_refused(name, curves, match):
    with pytest.raises(CurveError, match=match):
        draw(name, curves)
