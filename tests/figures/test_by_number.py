"""Figures by number."""

import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.figures.by_number import FIGURES
from composer_clr.study.alignment import Alignment
from tests.helpers.drawn_studies import STUDY, draw, lines, recorded


def test_every_figure_is_drawn_and_saved(tmp_path):
    assert list(FIGURES) == ['1A', '1B', '1C', '2', '3', '3D', 'S1', 'S2', 'gap']
    constant = recorded(t_warmup='0ba', t_0='16ep', t_mult=1, troughs=[160, 320])
    for name in FIGURES:
        figure = draw(name, [constant, *STUDY[1:]])
        figure.savefig(tmp_path / 'figure.png')
        assert (tmp_path / 'figure.png').stat().st_size > 1000
        assert figure.get_constrained_layout()


def test_options_reach_the_figure():
    (ax,) = draw('3', STUDY[:1] + STUDY[3:4], alignment=Alignment(axis='time'), lower_is_better=True).axes
    assert ax.get_xlabel() == 'training time (minutes)'
    assert lines(ax)['MX, cyclic'][1] == pytest.approx([-3, -6])
    assert draw('1C', STUDY, alignment=None).axes[0].get_xlabel() == 'training time (minutes)'


@pytest.mark.parametrize(
    ('name', 'options', 'match'),
    [
        ('4', {}, '--figure 4: choose one of 1A, 1B'),
        ('1C', {'method': 'MX'}, r'figure 1C does not take method: remove it \(it is for 1A, 1B, S1\)'),
        ('2', {'alignment': Alignment()}, r'does not take alignment: remove it \(it is for 1B, 3, 3D, gap\)'),
    ],
    ids=['figure', 'method', 'alignment'],
)
def test_refused(name, options, match):
    with pytest.raises(CurveError, match=match):
        draw(name, STUDY, **options)
