"""Panels of methods and of kinds."""

import pytest

from composer_clr.curves.curve import CurveError
from tests.helpers.drawn_studies import STUDY, draw, legend, lines, many
from tests.helpers.runs_and_lines import run


def test_each_method_beside_the_baseline():
    figure = draw('2', [*STUDY, run('LS', 'cyclic', [(16, 0.55), (32, 0.65)])])
    both = {'baseline, standard', 'baseline, cyclic'}
    assert [ax.get_title() for ax in figure.axes] == ['LS', 'MX']
    assert [set(lines(ax)) for ax in figure.axes] == [both | {'LS, cyclic'}, both | {'MX, standard', 'MX, cyclic'}]
    assert lines(figure.axes[0])['LS, cyclic'] == (pytest.approx([1600 / 60, 3200 / 60]), pytest.approx([55, 65]))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ('training time (minutes)', 'top-1 accuracy (%)')
    assert legend(figure) == ['standard', 'cyclic', 'baseline']


def test_standard_beside_cyclic():
    first, second = draw('S2', STUDY).axes
    assert (first.get_title(), second.get_title()) == ('standard', 'cyclic')
    assert [list(lines(ax)) for ax in (first, second)] == [
        [f'{m}, {k}' for m in ('baseline', 'MX')] for k in ('standard', 'cyclic')
    ]
    assert lines(first)['MX, standard'] == (pytest.approx([25, 55]), pytest.approx([51, 62]))


def test_no_panel_has_more_than_six_methods_and_each_has_the_baseline():
    figure = draw('S2', many(9))
    assert [ax.get_title() for ax in figure.axes] == [
        f'{kind} ({part} of 2)' for kind in ('standard', 'cyclic') for part in (1, 2)
    ]
    assert [len(lines(ax)) for ax in figure.axes] == [5, 5, 5, 5]
    assert all(any(name.startswith('baseline') for name in lines(ax)) for ax in figure.axes)


def test_more_than_four_kinds_have_two_rows():
    kinds = ('standard', 'cyclic', 'anytime', 'branch', 'wsd-s')
    axes = draw('S2', [run('LS', kind, [(16, 0.5), (32, 0.6)]) for kind in kinds]).axes
    assert [ax.get_title() for ax in axes] == list(kinds)
    assert len({round(ax.get_position().y0, 3) for ax in axes}) == 2


@pytest.mark.parametrize(
    ('name', 'curves', 'match'),
    [
        ('2', STUDY[:3], "beside the baseline 'baseline', but the runs are of .'baseline'.: name"),
        ('S2', STUDY[:1], 'all runs are cyclic: name runs of both'),
    ],
    ids=['no-method', 'one-kind'],
)
def test_refused(name, curves, match):
    with pytest.raises(CurveError, match=match):
        draw(name, curves)
