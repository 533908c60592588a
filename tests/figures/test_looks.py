"""Colours, markers and dashes: that no two lines look alike, with or without colours."""

from itertools import product

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from composer_clr.figures.legend import kind_handles, method_handles
from composer_clr.figures.looks import filling, kind_dashes, line_look, method_colour, method_marker
from composer_clr.figures.tradeoff import accuracy_against_time
from tests.helpers.runs_and_lines import run

KINDS = ('standard', 'cyclic', 'anytime', 'anytime-plain', 'branch', 'cyclic-averaged', 'schedule-free', 'wsd-s')
# Viénot, Brettel and Mollon 1999: linear RGB as people without red or green cones see it.
COLOUR_BLIND = {
    'protanopia': [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    'deuteranopia': [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def one_method(method, kinds):
    return [(method, kind) for kind in kinds]


@pytest.mark.parametrize('method', ['baseline', 'CL', 'LS+MX', 'own'])
def test_kinds_of_one_method_differ_without_colours(method):
    keys = one_method(method, KINDS)
    assert len({(line_look(*key, keys)[1], filling(key[1])) for key in keys}) == len(KINDS)
    assert len({str(kind_dashes(kind, KINDS)) for kind in KINDS}) == len(KINDS)
    assert line_look(method, 'standard', keys)[0] == '#000000'


@pytest.mark.parametrize('blindness', COLOUR_BLIND)
def test_kinds_of_one_method_differ_for_colour_blind_readers(blindness):
    keys = one_method('baseline', KINDS)
    colours = np.array([to_rgb(line_look(*key, keys)[0]) for key in keys])
    seen = np.clip((colours**2.2) @ np.transpose(COLOUR_BLIND[blindness]), 0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.14


@pytest.mark.parametrize('kinds', [KINDS, [f'kind{i}' for i in range(20)], [*KINDS, 'wsd-s-linear', 'cyclic-triangle']])
def test_no_two_kinds_of_one_method_look_alike(kinds):
    keys = one_method('baseline', kinds)
    looks = {(*line_look(*key, keys), str(kind_dashes(key[1], kinds)), filling(key[1])) for key in keys}
    assert len(looks) == len(kinds)


def test_a_kind_looks_the_same_whatever_else_is_drawn():
    for kind in KINDS[1:]:
        two, all_kinds = one_method('LS', ('standard', kind)), one_method('LS', KINDS)
        assert line_look('LS', kind, two) == line_look('LS', kind, all_kinds)
        assert kind_dashes(kind) == kind_dashes(kind, KINDS)


def test_the_first_shape_of_a_kind_has_its_look():
    keys = one_method('baseline', ('standard', 'wsd-s-linear', 'cyclic-triangle', 'anytime-falling'))
    plain = one_method('baseline', ('standard', 'wsd-s', 'cyclic', 'anytime'))
    assert [line_look(*key, keys) for key in keys] == [line_look(*key, plain) for key in plain]


def test_of_several_methods_colours_are_methods_and_markers_and_dashes_kinds():
    keys = list(product(('baseline', 'LS+MX'), KINDS))
    for method, kind in keys:
        assert line_look(method, kind, keys) == (
            method_colour(method),
            line_look('baseline', kind, one_method('baseline', KINDS))[1],
        )
    assert len({(line_look(*key, keys), filling(key[1])) for key in keys}) == len(keys)
    kinds, methods = kind_handles(keys, keys), method_handles(keys, keys)
    assert [handle.get_marker() for handle in kinds] == [line_look('baseline', kind, keys)[1] for kind in KINDS]
    assert {handle.get_color() for handle in kinds} == {'#4D4D4D'}
    assert [(handle.get_color(), handle.get_marker()) for handle in methods] == [('#000000', ''), ('#D55E00', '')]


def test_up_to_two_kinds_markers_are_those_of_methods():
    keys = list(product(('baseline', 'LS+MX'), ('standard', 'cyclic')))
    assert all(line_look(method, kind, keys)[1] == method_marker(method) for method, kind in keys)
    assert [handle.get_marker() for handle in method_handles(keys, keys)] == ['o', 'X']


def covered(figure, ax):
    figure.draw_without_rendering()
    legend = ax.get_legend() or figure.legends[0]
    box = legend.get_window_extent()
    points = np.concatenate([ax.transData.transform(np.asarray(line.get_xydata())) for line in ax.lines])
    return [point for point in points.tolist() if box.contains(*point)]


def test_a_legend_covers_no_point():
    epochs = [4.0, 8.0, 16.0, 32.0, 64.0]
    values = np.random.default_rng(1).uniform(0.2, 0.9, (6, 5)).tolist()
    curves = [
        run('baseline', kind, zip(epochs, line, strict=True)) for kind, line in zip(KINDS[:6], values, strict=True)
    ]
    figure, ax = accuracy_against_time(curves, point_labels=False)
    assert covered(figure, ax) == []
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        'separate standard runs',
        'one cyclic run',
    ]


def test_many_kinds_of_one_method_are_named_one_by_one():
    figure, ax = accuracy_against_time([run('LS', kind, [(4.0, 0.5), (8.0, 0.6)]) for kind in KINDS])
    assert covered(figure, ax) == []
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:3] == ['LS: separate standard runs', 'LS: one cyclic run', 'LS: one anytime run']
    assert len(texts) == len(KINDS)
