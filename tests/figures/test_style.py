import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from composer_clr.figures.cost import training_time
from composer_clr.figures.improvement import improvement_over_baseline
from composer_clr.figures.looks import method_colour, method_marker
from composer_clr.figures.style import log_ticks
from composer_clr.figures.tradeoff import accuracy_against_time
from tests.helpers.drawn_studies import STUDY
from tests.helpers.runs_and_lines import run, standard_runs


@pytest.mark.parametrize(
    ('limits', 'numbers'),
    [((4, 16), {4, 6, 8, 10}), ((1, 3), {1, 2, 3}), ((10, 500), {10, 20, 50, 100, 200, 500})],
    ids=['two octaves', 'less than that', 'decades'],
)
def test_numbers_of_a_logarithmic_axis(limits, numbers):
    ax = plt.figure().add_subplot()
    ax.set_xlim(*limits)
    log_ticks(ax)
    shown = {tick for tick in ax.get_xticks() if limits[0] <= tick <= limits[1]}
    assert {round(tick, 6) for tick in shown} >= numbers


def test_a_method_looks_the_same_in_every_figure():
    curves = [*STUDY, run('EMA', 'cyclic', [(16, 0.5)]), run('SWA', 'cyclic', [(16, 0.5), (32, 0.6)])]
    curves += standard_runs('SWA', [(16, 0.5), (32, 0.6)])
    colour = method_colour('SWA', ['EMA', 'SWA'])
    assert (colour, method_marker('SWA', ['EMA', 'SWA'])) != (method_colour('SWA'), method_marker('SWA'))
    _, ax = training_time(curves)
    assert to_hex(ax.patches[-1].get_edgecolor()).upper() == colour
    for _, ax in (accuracy_against_time(curves), improvement_over_baseline(curves)):
        (drawn,) = (c for c in ax.containers if c.get_label() == 'SWA, cyclic')
        assert drawn.lines[0].get_color() == colour  # type: ignore


def test_of_many_lines_the_legend_names_methods_and_kinds():
    curves = [run(method, kind, [(16, 0.5), (32, 0.6)]) for method in 'ABCD' for kind in ('cyclic', 'standard')]
    _, ax = accuracy_against_time(curves)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ['standard', 'cyclic', *'ABCD']
