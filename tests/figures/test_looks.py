"""Colours, markers and dashes: that no two lines look alike, with or without colours, to any reader."""

from itertools import combinations, product

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from composer_clr.figures.looks import MOST_METHODS, looks, method_colour
from tests.helpers.drawn_studies import draw, legend, many
from tests.helpers.runs_and_lines import run

KINDS = ('standard', 'cyclic', 'anytime', 'anytime-plain', 'branch', 'cyclic-averaged', 'schedule-free', 'wsd-s')
METHODS = ('baseline', 'BP', 'CL', 'LS', 'MX', 'BP+CL', 'LS+MX', 'BP+CL+LS+MX', 'EMA', 'SAM', 'SWA', 'own')
# Viénot, Brettel and Mollon 1999: linear RGB as people without red or green cones see it.
COLOUR_BLIND = {
    'protanopia': [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    'deuteranopia': [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def of_kinds(method, kinds=KINDS):
    return looks([(method, kind) for kind in kinds])


@pytest.mark.parametrize('blindness', COLOUR_BLIND)
@pytest.mark.parametrize('keys', [[*product(['LS'], KINDS)], [*product(METHODS, ['cyclic'])]], ids=['kinds', 'methods'])
def test_colours_of_kinds_and_of_twelve_methods_differ_for_colour_blind_readers(blindness, keys):
    colours = np.array([to_rgb(look.colour) for look in looks(keys).values()])
    seen = np.clip((colours**2.2) @ np.transpose(COLOUR_BLIND[blindness]), 0, 1) ** (1 / 2.2)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.14


def test_without_colours_markers_and_dashes_differ():
    kinds, methods = of_kinds('LS').values(), looks([*product(METHODS, ['cyclic'])]).values()
    assert len({(look.marker, look.filling == 'white') for look in kinds}) == len(KINDS)
    assert len({str(look.dashes) for look in kinds}) == len(KINDS)
    assert len({look.marker for look in methods}) == len(METHODS)


@pytest.mark.parametrize(
    'keys',
    [
        product(['baseline'], [f'kind{i}' for i in range(20)]),
        product(['baseline'], [*KINDS, 'wsd-s-linear', 'cyclic-triangle']),
        product(['baseline', 'LS+MX'], KINDS),
        product([*(f'Method{i}' for i in range(MOST_METHODS)), 'BP', 'LS'], ['standard', 'cyclic']),
    ],
    ids=['kinds', 'shapes', 'kinds-of-two-methods', 'methods'],
)
def test_no_two_lines_look_alike(keys):
    found = looks([*keys])
    assert len({str(look) for look in found.values()}) == len(found)


def test_a_kind_looks_the_same_whatever_else_is_drawn_and_its_first_shape_has_its_look():
    for kind in KINDS[1:]:
        assert of_kinds('LS', ('standard', kind))['LS', kind] == of_kinds('LS')['LS', kind]
    shapes = of_kinds('LS', ('standard', 'wsd-s-linear', 'cyclic-triangle', 'anytime-falling'))
    assert list(shapes.values()) == list(of_kinds('LS', ('standard', 'wsd-s', 'cyclic', 'anytime')).values())


def test_colours_are_of_methods_if_there_are_several_and_else_of_kinds():
    several = looks([*product(('baseline', 'LS+MX'), KINDS)])
    for (method, kind), look in several.items():
        assert (look.colour, look.marker) == (method_colour(method), of_kinds('baseline')['baseline', kind].marker)
    two = looks([*product(('baseline', 'LS+MX'), ('standard', 'cyclic'))])
    assert [look.marker for look in two.values()] == ['o', 'o', 'X', 'X']
    assert looks([('LS', 'cyclic')])['LS', 'cyclic'].colour == method_colour('LS')


def test_a_method_looks_the_same_in_every_figure():
    curves = [*many(2), run('EMA', 'cyclic', [(16, 0.5), (32, 0.6)]), run('SWA', 'cyclic', [(16, 0.5), (32, 0.6)])]
    curves.append(run('EMA', 'standard', [(16, 0.5), (32, 0.6)]))
    colour = method_colour('EMA', ['baseline', 'Method00', 'EMA', 'SWA'])
    for name in ('1C', 'S2'):
        drawn = [c for ax in draw(name, curves).axes for c in ax.containers if c.get_label() == 'EMA, cyclic']
        assert [c.lines[0].get_color() for c in drawn] == [colour]  # type: ignore[attr-defined]
    figure = draw('3D', curves)
    assert {'EMA'} < {text.get_text() for text in figure.axes[0].get_xticklabels()}
    assert any(patch.get_edgecolor()[:3] == to_rgb(colour) for patch in figure.axes[0].patches)


def test_of_many_lines_the_legend_names_kinds_and_methods():
    assert legend(draw('1C', many(4))) == ['standard', 'cyclic', 'baseline', 'Method00', 'Method01', 'Method02']
