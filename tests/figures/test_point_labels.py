"""Epochs beside the points of a tradeoff curve."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.figures.layout import finish
from composer_clr.figures.paper import draw
from composer_clr.figures.style import paper_style
from composer_clr.figures.tradeoff import accuracy_against_time
from tests.helpers.runs_and_lines import run, standard_runs
from tests.helpers.studies import STUDY

DOUBLING = [(4 * 2**cycle, 0.5 + cycle / 20) for cycle in range(5)]


def labels(ax: Axes) -> dict[str, tuple[float, float]]:
    """By its text, the point that each visible label belongs to."""
    return {text.get_text(): text.xy for text in ax.texts if text.get_visible()}  # type: ignore[attr-defined]


def one_method(points: list[tuple[float, float]]) -> list[TradeoffCurve]:
    return [run('baseline', 'cyclic', points), *standard_runs('baseline', [(x, y + 0.01) for x, y in points])]


def test_points_of_one_count_have_one_label_at_the_last_of_them():
    _, ax = accuracy_against_time(STUDY)
    assert labels(ax) == {'4': (12, pytest.approx(52)), '8 ep': (22, pytest.approx(60))}


def test_labels_are_below_curves_that_rise_and_above_those_that_fall():
    _, ax = accuracy_against_time(one_method(DOUBLING))
    assert [text.get_verticalalignment() for text in ax.texts] == ['top'] * 4 + ['center']
    _, ax = accuracy_against_time(one_method([(x, 1 - y) for x, y in DOUBLING]))
    assert [text.get_verticalalignment() for text in ax.texts] == ['bottom'] * 4 + ['center']


@pytest.mark.parametrize(
    ('curves', 'options', 'labelled'),
    [
        (one_method(DOUBLING), {}, True),
        (one_method(DOUBLING), {'point_labels': False}, False),
        (one_method(DOUBLING), {'axis': 'epoch'}, False),
        ([*one_method(DOUBLING), run('LS', 'cyclic', DOUBLING)], {}, False),
        ([*one_method(DOUBLING), run('LS', 'cyclic', DOUBLING)], {'point_labels': True}, True),
        (one_method([(epoch, 0.5) for epoch in range(1, 10)]), {}, False),
    ],
    ids=['few', 'off', 'against-epochs', 'two-methods', 'on', 'many-points'],
)
def test_by_default_few_points_of_one_method_have_labels(curves, options, labelled):
    _, ax = accuracy_against_time(curves, **options)
    assert bool(labels(ax)) == labelled


@pytest.mark.parametrize('size', [None, (3.3, 2.5)])
@pytest.mark.parametrize('points', [DOUBLING, [(x, 1 - y) for x, y in DOUBLING], [(10 * i, 0.5) for i in range(1, 9)]])
def test_labels_touch_neither_each_other_nor_the_legend(points, size):
    with paper_style(size):
        figure = draw('1C', one_method(points))
        finish(figure)
        figure.draw_without_rendering()
    (ax,) = figure.axes
    shown = [text for text in ax.texts if text.get_visible()]
    assert shown[-1].get_text().endswith(' ep')
    legend = ax.get_legend() or figure.legends[0]
    names: list[Text] = [*legend.get_texts(), *shown]
    for one, other in combinations(names, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent()), (one, other)
    edge = figure.get_window_extent()
    assert all(edge.x0 <= text.get_window_extent().x0 and text.get_window_extent().x1 <= edge.x1 for text in shown)
