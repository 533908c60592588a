import matplotlib.pyplot as plt
import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.figures.panels import methods_beside_baseline, standard_beside_cyclic
from tests.helpers.drawn_studies import STUDY, lines
from tests.helpers.runs_and_lines import run


def test_each_method_beside_the_baseline():
    curves = [*STUDY, run('LS', 'cyclic', [(16, 0.55), (32, 0.65)])]
    figure, axes = methods_beside_baseline(curves)
    both = {'baseline, standard', 'baseline, cyclic'}
    assert [ax.get_title() for ax in axes] == ['LS', 'MX']
    assert [set(lines(ax)) for ax in axes] == [
        both | {'LS, cyclic'},
        both | {'MX, standard', 'MX, cyclic'},
    ]
    assert lines(axes[0])['LS, cyclic'] == (
        pytest.approx([1600 / 60, 3200 / 60]),
        pytest.approx([55, 65]),
    )
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert figure.get_supylabel() == 'top-1 accuracy (%)'
    assert figure.get_supxlabel() == 'training time (minutes)'


def test_standard_beside_cyclic():
    _, axes = standard_beside_cyclic(STUDY)
    assert [ax.get_title() for ax in axes] == ['standard', 'cyclic']
    assert [list(lines(ax)) for ax in axes] == [
        [f'{m}, {k}' for m in ('baseline', 'MX')] for k in ('standard', 'cyclic')
    ]
    assert lines(axes[0])['MX, standard'] == (pytest.approx([25, 55]), pytest.approx([51, 62]))


def test_more_than_four_kinds_have_two_rows():
    kinds = ('standard', 'cyclic', 'anytime', 'branch', 'wsd-s')
    _, axes = standard_beside_cyclic([run('LS', kind, [(16, 0.5), (32, 0.6)]) for kind in kinds])
    assert [ax.get_title() for ax in axes] == list(kinds)
    assert len({round(ax.get_position().y0, 3) for ax in axes}) == 2


def test_on_axes_of_the_caller():
    figure, axes = plt.subplots(1, 2)
    assert standard_beside_cyclic(STUDY, axes=axes) == (figure, list(axes))
    with pytest.raises(ValueError, match=r'2 axes for 1 panels \(MX\): pass one per panel'):
        methods_beside_baseline(STUDY, axes=axes)


@pytest.mark.parametrize(
    ('draw', 'curves', 'match'),
    [
        (
            methods_beside_baseline,
            STUDY[:3],
            "beside the baseline 'baseline', but the runs are of .'baseline'.: name",
        ),
        (
            methods_beside_baseline,
            STUDY[3:],
            "beside the baseline 'baseline', but the runs are of .'MX'.: name",
        ),
        (standard_beside_cyclic, STUDY[:1], 'all runs are cyclic: name runs of both'),
    ],
    ids=['no-method', 'no-baseline', 'one-kind'],
)
def test_refused(draw, curves, match):
    with pytest.raises(CurveError, match=match):
        draw(curves)
