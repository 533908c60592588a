"""The cost figure: its bars are asserted here; people look at the pictures."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from composer_clr.curves.curve import CurveError
from composer_clr.figures.looks import method_colour
from composer_clr.study.alignment import Alignment
from composer_clr.study.cost import study_cost
from composer_clr.study.table import Study
from tests.helpers.drawn_studies import STUDY, draw, legend
from tests.helpers.runs_and_lines import run, standard_runs


def test_bars_by_hand():
    (ax,) = draw('3D', STUDY).axes
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


def test_a_point_without_a_run_is_interpolated_and_hatched_and_one_beyond_is_counted():
    cyclic = run('baseline', 'cyclic', [(8, 0.4), (16, 0.5), (32, 0.6), (64, 0.7)])
    figure = draw('3D', [cyclic, *standard_runs('baseline', [(16, 0.5), (64, 0.7)])])
    (ax,) = figure.axes
    assert [(b.get_height(), b.get_hatch()) for b in ax.patches] == [  # type: ignore[attr-defined]
        (pytest.approx(1600 / 60), None),
        (pytest.approx(3200 / 60), '////'),
        (pytest.approx(6400 / 60), None),
        (pytest.approx(6400 / 60), None),
    ]
    assert [text.get_text() for text in ax.get_xticklabels()] == ['baseline\n3 of 4 points']
    assert 'interpolated: no such run' in legend(figure)


def test_the_error_bar_is_the_interval_of_the_ratio():
    curves = [run('baseline', 'cyclic', [(16, 0.5, s * 10.0), (32, 0.6, s * 20.0)], seed=s) for s in (1, 2, 3)]
    curves += [
        c for s in (1, 2, 3) for c in standard_runs('baseline', [(16, 0.5, 11.0 * s), (32, 0.6, 21.0 * s**1.1)], s)
    ]
    figure = draw('3D', curves)
    (ax,) = figure.axes
    study = Study.of(curves)
    cost = study_cost(study.curves['baseline', 'cyclic'], study.curves['baseline', 'standard'], Alignment())
    (bars,) = (c for c in ax.containers if isinstance(c, ErrorbarContainer))
    (bar,) = bars.lines[2][0].get_segments()
    assert bar[:, 1] == pytest.approx([float(cost.ratio.low) * cost.one_run_s, float(cost.ratio.high) * cost.one_run_s])
    assert legend(figure)[-1] == '95% interval, 3 seeds'
    with pytest.raises(CurveError, match='--errors sd: the errors of a cost ratio are ci, 95% intervals, or none'):
        draw('3D', curves, errors='sd')


def test_1B_is_of_one_method_with_the_length_of_each_run():
    (ax,) = draw('1B', STUDY, method='MX').axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ['MX']
    assert [text.get_text() for text in ax.texts] == ['16 ep', '32 ep', '1.50×']


def test_refused():
    with pytest.raises(CurveError, match='no method has both standard and cyclic runs'):
        draw('3D', STUDY[:1])
