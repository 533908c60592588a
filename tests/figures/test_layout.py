"""What the author of a figure chooses: style, size, labels, limits."""

import io

import matplotlib.pyplot as plt
import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.figures.layout import finish
from composer_clr.figures.paper import draw
from composer_clr.figures.style import paper_style
from tests.helpers.drawn_studies import STUDY, replace_method
from tests.helpers.studies import STUDY as SEEDS


def saved(figure, form: str) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format=form)
    return picture.getvalue()


def test_fonts_are_truetype_in_pdf_and_text_is_text_in_svg_whatever_the_matplotlibrc():
    with plt.rc_context({'pdf.fonttype': 3, 'svg.fonttype': 'path', 'axes.facecolor': 'red'}):
        with paper_style():
            figure = draw('1C', STUDY)
            finish(figure)
            pdf, svg = saved(figure, 'pdf'), saved(figure, 'svg').decode()
        assert plt.rcParams['axes.facecolor'] == 'red'
    assert b'/Type3' not in pdf
    assert b'/CIDFontType2' in pdf or b'/TrueType' in pdf
    assert '>top-1 accuracy (%)</text>' in svg
    assert figure.axes[0].get_facecolor() == (1, 1, 1, 1)


@pytest.mark.parametrize('name', ['1B', '1C', '2', '3', '3D', 'S2', 'gap'])
def test_a_column_of_a_paper_has_room_for_everything(name):
    with paper_style((3.3, 2.6)):
        figure = draw(name, STUDY)
        finish(figure)
        figure.draw_without_rendering()
    assert tuple(figure.get_size_inches()) == (3.3, 2.6)
    for ax in figure.axes:
        box = ax.get_tightbbox().transformed(figure.transFigure.inverted())  # type: ignore[union-attr]
        assert min(box.x0, box.y0) > -0.01
        assert max(box.x1, box.y1) < 1.01


def test_labels_and_limits():
    figure = draw('1C', STUDY)
    finish(figure, title='T', xlabel='x', ylabel='y', xlim=(1, 1000), ylim=(0, 80))
    (ax,) = figure.axes
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ('T', 'x', 'y')
    assert (ax.get_xlim(), ax.get_ylim()) == ((1, 1000), (0, 80))
    panels = draw('S2', STUDY)
    finish(panels, title='T', xlabel='x', ylabel='y')
    assert (panels.get_suptitle(), panels.get_supxlabel(), panels.get_supylabel()) == ('T', 'x', 'y')
    with pytest.raises(CurveError, match='--xlim 0,9: the x axis is logarithmic'):
        finish(draw('1C', STUDY), xlim=(0, 9))


def test_a_name_that_starts_with_an_underscore_is_in_the_legend():
    figure = draw('1C', [replace_method(curve, '_mine') for curve in STUDY[:3]])
    finish(figure)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert texts == ['_mine: separate standard runs', '_mine: one cyclic run']


@pytest.mark.parametrize('bands', [False, True])
def test_the_legend_says_what_the_errors_are(bands):
    figure = draw('1C', SEEDS, bands=bands)
    (ax,) = figure.axes
    texts = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert texts[-1] == '± standard deviation, 2 seeds'
    lines = [line for container in ax.containers for line in container.lines[2]]  # type: ignore[attr-defined]
    assert bool(lines) is not bands
    without = draw('1C', STUDY).axes[0].get_legend()
    assert 'standard deviation' not in str([text.get_text() for text in without.get_texts()])  # type: ignore[union-attr]


def test_1B_is_of_one_method_with_the_length_of_each_run_and_3D_of_all():
    one, every = draw('1B', STUDY, methods=['MX']).axes[0], draw('3D', STUDY).axes[0]
    assert [text.get_text() for text in one.get_xticklabels()] == ['MX']
    assert [text.get_text() for text in one.texts] == ['16 ep', '32 ep', '1.50×']
    assert [text.get_text() for text in every.get_xticklabels()] == ['baseline', 'MX']
