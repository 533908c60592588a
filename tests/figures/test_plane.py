"""What all figures share: ends of axes, errors and what the legend says of them, units, style, names."""

import io
import math
import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.figures.labels import metric_label
from composer_clr.figures.plane import paper_style
from tests.helpers.drawn_studies import STUDY, draw, ends, legend, lines, many, replace_method
from tests.helpers.runs_and_lines import run
from tests.helpers.studies import STUDY as SEEDS

FIGURES = ['1B', '1C', '2', '3', '3D', 'S2', 'gap']
SIZES = [(3.3, 2.5), (7.0, 4.5)]


def x_labels(ax):
    low, high = ax.get_xlim()
    shown = [label for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high and label.get_text()]
    return [label.get_text() for label in shown], [label.get_window_extent() for label in shown]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('axis', ['time', 'epoch'])
def test_both_ends_of_a_logarithmic_axis_are_labelled_and_no_two_labels_touch(size, axis):
    rng = np.random.default_rng(0)
    for _ in range(6):
        first = 10 ** rng.uniform(-1, 4)
        epochs = first * np.cumprod(1 + rng.uniform(0.001, 3, rng.integers(1, 40)))
        with paper_style(size):
            figure = draw('1C', [run('A', 'cyclic', [(epoch, 0.5) for epoch in epochs])], axis=axis)
            figure.draw_without_rendering()
        (ax,) = figure.axes
        names, boxes = x_labels(ax)
        assert len(set(names)) == len(names) >= 2
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        first, *_, last = (label.get_position()[0] for label in ax.get_xticklabels())
        assert (first, last) == pytest.approx(ax.get_xlim(), rel=0.1)


def test_limits_of_the_author_are_labelled_too():
    figure = draw('1C', STUDY, xlim=(7, 130), title='T', xlabel='x', ylabel='y', ylim=(0, 80))
    figure.draw_without_rendering()
    (ax,) = figure.axes
    names, _ = x_labels(ax)
    assert (names[0], names[-1]) == ('7', '130')
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()) == ('T', 'x', 'y', (0, 80))
    panels = draw('S2', STUDY, title='T', xlabel='x', ylabel='y')
    assert (panels.legends[0].get_title().get_text(), panels.get_supxlabel(), panels.get_supylabel()) == ('T', 'x', 'y')
    with pytest.raises(CurveError, match='--xlim 0,9: the x axis is logarithmic'):
        draw('1C', STUDY, xlim=(0, 9))


@pytest.mark.parametrize('name', FIGURES)
def test_a_column_of_a_paper_has_room_for_everything(name):
    with paper_style((3.3, 2.5)):
        figure = draw(name, STUDY)
        figure.draw_without_rendering()
    assert tuple(figure.get_size_inches()) == (3.3, 2.5)
    boxes = [ax.get_tightbbox() for ax in figure.axes] + [one.get_window_extent() for one in figure.legends]
    for box in boxes:
        box = box.transformed(figure.transFigure.inverted())  # type: ignore[union-attr]
        assert min(box.x0, box.y0) > -0.01
        assert max(box.x1, box.y1) < 1.01


@pytest.mark.parametrize(
    ('errors', 'half', 'said'),
    [
        # 50, 60 and 70%: the deviation is 10, Student's t of two degrees of freedom 4.3027.
        (None, 4.302652729911275 * 10 / math.sqrt(3), '95% interval, 3 seeds'),
        ('se', 10 / math.sqrt(3), '± standard error, 3 seeds'),
        ('sd', 10, '± standard deviation, 3 seeds'),
        ('none', None, None),
    ],
)
def test_the_legend_says_what_the_errors_are(errors, half, said):
    curves = [run('A', 'cyclic', [(16, 0.4 + s / 10), (32, 0.6)], seed=s) for s in (1, 2, 3)]
    figure = draw('1C', curves, errors=errors)
    (ax,) = figure.axes
    assert legend(figure) == ['A: one cyclic run', *([said] if said else [])]
    if half is None:
        assert ax.containers[0].lines[2] == ()  # type: ignore[attr-defined]
    else:
        low, high = ends(ax, 'A: one cyclic run')
        assert (low[0], high[0]) == (pytest.approx(60 - half), pytest.approx(60 + half))
    with pytest.raises(CurveError, match='--errors iqr: choose one of ci, se, sd, none'):
        draw('1C', curves, errors='iqr')


def test_seeds_of_the_legend_are_those_that_count():
    one = [run('A', 'cyclic', [(16, 0.5), (32, 0.6)], seed=1)]
    assert legend(draw('1C', one)) == ['A: one cyclic run']
    # Of the three seeds of A, the baseline has two: only these count, in an improvement and in a curve of the study.
    curves = [run('A', 'cyclic', [(16, 0.5 + s / 50), (32, 0.6)], seed=s) for s in (1, 2, 3)]
    curves += [run('baseline', 'cyclic', [(16, 0.4 + s / 99), (32, 0.5)], seed=s) for s in (2, 3, 4, 5, 6)]
    assert legend(draw('3', curves))[-1] == '95% interval, 2 seeds'
    assert legend(draw('1C', curves))[-1] == '95% interval, 2 to 5 seeds'


def test_of_a_dense_curve_few_points_have_markers_and_bars():
    curves = [run('A', 'anytime', [(e, 0.5 + (e + s) / 999) for e in range(1, 51)], seed=s) for s in (1, 2)]
    (bars,) = draw('1C', curves).axes[0].containers
    line, caps, _ = bars.lines  # type: ignore[attr-defined]
    assert len(line.get_xdata()) == 50
    assert line.get_markevery() == 5
    assert len(caps[0].get_xdata()) == 10


@pytest.mark.parametrize(
    ('longest', 'unit', 'seconds'),
    [(299, 'seconds', 1), (300, 'minutes', 60), (7199, 'minutes', 60), (7200, 'hours', 3600)],
)
def test_the_unit_of_time_suits_the_longest_run(longest, unit, seconds):
    (ax,) = draw('1C', [run('A', 'cyclic', [(4, 0.5, longest / 2), (8, 0.6, longest)])]).axes
    assert ax.get_xlabel() == f'training time ({unit})'
    assert lines(ax)['A: one cyclic run'][0] == pytest.approx([longest / 2 / seconds, longest / seconds])


@pytest.mark.parametrize(
    ('metric', 'values', 'label', 'shown'),
    [
        ('eval/MulticlassAccuracy', (0.5, 0.6), 'top-1 accuracy (%)', (50, 60)),
        ('eval/Accuracy', (50, 60), 'accuracy (%)', (50, 60)),
        ('eval/CrossEntropy', (0.9, 0.5), 'cross entropy (nats)', (0.9, 0.5)),
        ('averaged/eval/LanguageCrossEntropy', (0.9, 0.5), 'cross entropy, averaged (nats)', (0.9, 0.5)),
        ('eval/LanguagePerplexity', (9, 5), 'perplexity', (9, 5)),
        ('val_loss', (0.9, 0.5), 'val loss', (0.9, 0.5)),
    ],
)
def test_the_unit_of_a_metric(metric, values, label, shown):
    (ax,) = draw('1C', [run('A', 'cyclic', [*zip((4, 8), values, strict=True)], metric=metric)], metric=metric).axes
    assert ax.get_ylabel() == label
    assert lines(ax)['A: one cyclic run'][1] == pytest.approx(shown)


@pytest.mark.parametrize(
    ('metric', 'label'),
    [
        ('top-1 acc', 'top-1 accuracy'),
        ('acc@5', 'top-5 accuracy'),
        ('eval/BinaryAccuracy', 'accuracy'),
        ('fast-cycles/eval/MulticlassAccuracy', 'top-1 accuracy, fast-cycles'),
        ('RMSE', 'RMSE'),
    ],
)
def test_a_metric_as_people_write_it(metric, label):
    assert metric_label(metric) == label


def test_fonts_are_truetype_in_pdf_and_text_is_text_in_svg_whatever_the_matplotlibrc():
    pictures = {}
    with plt.rc_context({'pdf.fonttype': 3, 'svg.fonttype': 'path', 'axes.facecolor': 'red'}):
        with paper_style():
            figure = draw('1C', STUDY)
            for form in ('pdf', 'svg'):
                picture = io.BytesIO()
                figure.savefig(picture, format=form)
                pictures[form] = picture.getvalue()
        assert plt.rcParams['axes.facecolor'] == 'red'
    assert b'/Type3' not in pictures['pdf']
    assert b'/CIDFontType2' in pictures['pdf'] or b'/TrueType' in pictures['pdf']
    assert b'>top-1 accuracy (%)</text>' in pictures['svg']
    assert figure.axes[0].get_facecolor() == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ('figure', 'name'),
    [('1C', '_mine'), ('1C', '$\\frac{$'), ('3D', 'a\x1b[2J'), ('2', '<b>'), ('3D', 'x' * 900), ('2', '\U0001f9ff')],
)
def test_a_name_of_any_kind_is_literal_and_leaves_room(figure, name):
    curves = [*STUDY[:3], *(replace_method(curve, name) for curve in STUDY[3:])]
    with warnings.catch_warnings():
        # A character that no font has is a box, of which matplotlib warns.
        warnings.filterwarnings('ignore', 'Glyph')
        drawn = draw(figure, curves)
        drawn.draw_without_rendering()
    texts = [*legend(drawn), *(label.get_text() for label in drawn.axes[0].get_xticklabels())]
    texts += [ax.get_title() for ax in drawn.axes]
    assert any(text.startswith(name[:2].replace('\x1b', ' ')) for text in texts)
    assert all(len(text) < 60 and text.isprintable() for text in texts)


def test_percentages_and_the_best_near_a_point():
    (ax,) = draw('1C', SEEDS[:1], peak=True).axes
    assert lines(ax)['one cyclic run'][1] == pytest.approx([60, 70])
    assert ax.get_ylabel() == 'best accuracy (%)'


@pytest.mark.parametrize('name', ['1C', '3D'])
def test_more_methods_than_a_figure_can_name_are_refused(name):
    with pytest.raises(CurveError, match=r'25 methods, but one figure can show at most 24: choose some \(plot --met'):
        draw(name, many(25))


@pytest.mark.parametrize('name', ['1C', '3D', 'S2'])
def test_many_methods_leave_room_for_the_axes(name):
    figure = draw(name, many(13))
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    shares = [(ax.get_position().width * width, ax.get_position().height * height) for ax in figure.axes]
    assert min(map(min, shares)) > (1.2 if len(shares) > 1 else 2)
