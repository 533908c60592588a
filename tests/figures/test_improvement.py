"""The improvement figure: its lines are asserted here; people look at the pictures."""

import pytest

from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.curve import CurveError
from composer_clr.figures.improvement import improvement_over_baseline
from tests.helpers.drawn_studies import STUDY, dashes, errors, lines
from tests.helpers.runs_and_lines import run


class TestImprovement:
    def test_by_hand(self):
        _, ax = improvement_over_baseline(STUDY)
        assert lines(ax) == {
            'MX, standard': ([16, 32], pytest.approx([2, 1])),
            'MX, cyclic': ([16, 32], pytest.approx([3, 6])),
        }
        assert dashes(ax) == {'MX, standard': '-', 'MX, cyclic': '--'}
        assert (ax.get_xlabel(), ax.get_xscale()) == ('epochs', 'log')

    def test_at_equal_times(self):
        curves = [*STUDY[:3], run('MX', 'cyclic', [(16, 0.53, 1600.0), (32, 0.66, 3201.0)])]
        _, ax = improvement_over_baseline(curves, alignment=Alignment(axis='time'))
        assert lines(ax) == {'MX, cyclic': ([pytest.approx(1600 / 60)], [pytest.approx(3)])}
        assert ax.get_xlabel() == 'training time (minutes)'

    def test_less_is_better(self):
        loss = [run(m, 'cyclic', [(16, v, None)], metric='eval/loss') for m, v in (('baseline', 2.0), ('MX', 1.5))]
        _, ax = improvement_over_baseline(loss)
        assert lines(ax) == {'MX, cyclic': ([16], [0.5])}
        _, ax = improvement_over_baseline(loss, lower_is_better=False)
        assert lines(ax) == {'MX, cyclic': ([16], [-0.5])}

    @pytest.mark.parametrize(
        ('metric', 'what'),
        [
            ('eval/MulticlassAccuracy', 'points of top-1 accuracy'),
            ('eval/CrossEntropy', 'nats of cross entropy'),
            ('eval/loss', 'loss'),
        ],
    )
    def test_the_unit(self, metric, what):
        runs = [run(m, 'cyclic', [(16, v, None)], metric=metric) for m, v in (('baseline', 0.9), ('MX', 0.5))]
        _, ax = improvement_over_baseline(runs, metric)
        assert ax.get_ylabel() == f'improvement over baseline\n({what})'

    def test_error_bars_are_the_standard_error_of_the_difference(self):
        def seeds(method, *values):
            return [run(method, 'cyclic', [(16, v)], seed=s) for s, v in enumerate(values)]

        # By seed the differences are 0.1 and 0.2: their deviation 0.0707 over the root of 2.
        _, ax = improvement_over_baseline([*seeds('baseline', 0.5, 0.6), *seeds('MX', 0.6, 0.8)])
        assert lines(ax) == {'MX, cyclic': ([16], [pytest.approx(15)])}
        assert errors(ax, 'MX, cyclic') == [pytest.approx(5)]

    @pytest.mark.parametrize(
        ('curves', 'match'),
        [
            (STUDY[:3], "all runs are of the baseline 'baseline'"),
            (STUDY[1:], "MX, cyclic: the baseline 'baseline' has no cyclic runs: name them too"),
            (
                [STUDY[0], run('MX', 'cyclic', [(8, 0.5)])],
                'MX, cyclic: no point can be compared with the baseline: train',
            ),
            ([STUDY[0], run('MX', 'cyclic', [(16, float('nan'))])], 'is nan at epoch 16: leave the run out'),
        ],
        ids=['baseline-only', 'no-baseline', 'apart', 'nan'],
    )
    def test_refused(self, curves, match):
        with pytest.raises(CurveError, match=match):
            improvement_over_baseline(curves)
