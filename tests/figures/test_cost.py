"""The cost figure: its bars are asserted here; people look at the pictures."""

from dataclasses import replace

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from composer_clr.curves.curve import CurveError
from composer_clr.figures.cost import training_time
from composer_clr.figures.looks import method_colour
from tests.helpers.drawn_studies import STUDY
from tests.helpers.runs_and_lines import run, standard_runs


class TestTrainingTime:
    def test_bars_by_hand(self):
        _, ax = training_time(STUDY)
        assert [(b.get_y(), b.get_height()) for b in ax.patches] == [  # type: ignore[attr-defined]
            (0, pytest.approx(1600 / 60)),
            (pytest.approx(1600 / 60), pytest.approx(3200 / 60)),
            (0, pytest.approx(3200 / 60)),
            (0, pytest.approx(1500 / 60)),
            (pytest.approx(1500 / 60), pytest.approx(3300 / 60)),
            (0, pytest.approx(3200 / 60)),
        ]
        assert [text.get_text() for text in ax.texts] == ['1.50×', '1.50×']
        assert [text.get_text() for text in ax.get_xticklabels()] == ['baseline', 'MX']
        assert ax.get_ylabel() == 'total training time (minutes)'
        assert to_hex(ax.patches[3].get_facecolor()).upper() == method_colour('MX')

    def test_a_point_without_a_run_is_interpolated_and_hatched_and_one_beyond_is_counted(self):
        cyclic = run('baseline', 'cyclic', [(8, 0.4), (16, 0.5), (32, 0.6), (64, 0.7)])
        _, ax = training_time([cyclic, *standard_runs('baseline', [(16, 0.5), (64, 0.7)])])
        assert [(b.get_height(), b.get_hatch()) for b in ax.patches] == [  # type: ignore[attr-defined]
            (pytest.approx(1600 / 60), None),
            (pytest.approx(3200 / 60), '////'),
            (pytest.approx(6400 / 60), None),
            (pytest.approx(6400 / 60), None),
        ]
        assert [text.get_text() for text in ax.get_xticklabels()] == ['baseline\n3 of 4 points']

    def test_error_bars_over_seeds(self):
        curves = [
            replace(run('baseline', 'cyclic', [(16, 0.5, s * 10.0), (32, 0.6, s * 20.0)], seed=s)) for s in (1, 2, 3)
        ] + [c for s in (1, 2, 3) for c in standard_runs('baseline', [(16, 0.5, 11.0 * s), (32, 0.6, 22.0 * s)], s)]
        _, ax = training_time(curves)
        (bars,) = (c for c in ax.containers if isinstance(c, ErrorbarContainer))
        standard, cyclic = bars.lines[2][0].get_segments()
        assert standard[:, 1] == pytest.approx([33, 99])
        assert cyclic[:, 1] == pytest.approx([20, 60])

    def test_refused(self):
        with pytest.raises(CurveError, match='no method has both standard and cyclic runs'):
            training_time(STUDY[:1])
