"""Figures by number."""

import inspect
import subprocess
import sys

import pytest

from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.curve import CurveError
from composer_clr.figures.looks import MOST_METHODS, method_colour, method_marker
from composer_clr.figures.paper import FIGURES, draw
from tests.helpers.drawn_studies import STUDY, lines, many, recorded, replace_method
from tests.helpers.runs_and_lines import run


class TestRegistry:
    def test_names(self):
        assert list(FIGURES) == ['1A', '1B', '1C', '2', '3', '3D', 'S1', 'S2', 'gap']
        for make in FIGURES.values():
            assert list(inspect.signature(make).parameters)[:3] == ['curves', 'metric', 'peak']

    @pytest.mark.parametrize('name', FIGURES)
    def test_nothing_to_draw(self, name):
        with pytest.raises(CurveError):
            FIGURES[name]([])

    @pytest.mark.parametrize('name', FIGURES)
    def test_saved(self, name, tmp_path):
        constant = recorded(t_warmup='0ba', t_0='16ep', t_mult=1, troughs=[160, 320])
        figure, _ = FIGURES[name]([constant, *STUDY[1:]])
        figure.savefig(tmp_path / 'figure.png')
        assert (tmp_path / 'figure.png').stat().st_size > 1000
        assert figure.get_constrained_layout()

    def test_drawing_loads_neither_torch_nor_composer(self):
        code = (
            'import sys, composer_clr.figures.paper\n'
            "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'composer', 'pandas', 'scipy'}))"
        )
        printed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
        assert printed.stdout == '[]\n'


class TestDraw:
    def test_the_methods_that_are_named(self):
        curves = [*STUDY, *(replace_method(curve, 'LS') for curve in STUDY[3:])]
        (ax,) = draw('1C', curves, methods=['LS']).axes
        assert list(lines(ax)) == ['LS: separate standard runs', 'LS: one cyclic run']
        (ax,) = draw('3', curves, methods=['LS']).axes
        assert list(lines(ax)) == ['LS, standard', 'LS, cyclic']
        (ax,) = draw('3', curves, methods=['baseline'], baseline='LS').axes
        assert list(lines(ax)) == ['baseline, standard', 'baseline, cyclic']

    def test_the_kinds_that_are_named(self):
        curves = [*STUDY, run('MX', 'wsd-s', [(16, 0.5), (32, 0.6)])]
        (ax,) = draw('1C', curves, methods=['MX'], kinds=['cyclic', 'wsd-s']).axes
        assert list(lines(ax)) == ['MX: one cyclic run', 'MX: one wsd-s run']
        (ax,) = draw('gap', curves, methods=['MX'], kinds=['wsd-s']).axes
        assert list(lines(ax)) == ['MX, wsd-s']

    def test_one_method_where_the_figure_shows_one(self):
        curves = [recorded(), recorded(method='MX'), recorded(method='SWA'), recorded(method='EMA')]
        assert draw('1A', curves, methods=['MX']).axes[0].get_title() == 'MX, cyclic'
        assert draw('1A', curves).axes[0].get_title() == 'baseline, cyclic'
        (line,) = draw('1A', curves, methods=['SWA']).axes[0].containers
        assert line.lines[0].get_color() == method_colour('SWA', ['EMA', 'SWA'])  # type: ignore

    def test_options_of_the_figure(self):
        (ax,) = draw('3', STUDY[:1] + STUDY[3:4], alignment=Alignment(axis='time'), lower_is_better=True).axes
        assert ax.get_xlabel() == 'training time (minutes)'
        assert lines(ax)['MX, cyclic'][1] == pytest.approx([-3, -6])
        assert draw('1C', STUDY, baseline=None, alignment=None).axes[0].get_xlabel() == 'training time (minutes)'

    @pytest.mark.parametrize(
        ('name', 'options', 'match'),
        [
            ('4', {}, '--figure 4: choose one of 1A, 1B'),
            ('1C', {'baseline': 'MX'}, r'figure 1C does not take baseline: remove it \(it is for 2, 3\)'),
            ('2', {'alignment': Alignment()}, r'does not take alignment: remove it \(it is for 1B, 3, 3D, gap\)'),
            ('1C', {'methods': ['M']}, "no run of the method 'M', did you mean 'MX'"),
            ('1C', {'kinds': ['cyclik']}, "no run of the kind 'cyclik', did you mean 'cyclic'"),
            ('1A', {'methods': ['MX', 'baseline']}, 'figure 1A shows one method, not MX, baseline: name one'),
        ],
        ids=['figure', 'baseline', 'alignment', 'method', 'kind', 'two-methods'],
    )
    def test_refused(self, name, options, match):
        with pytest.raises(CurveError, match=match):
            draw(name, STUDY, **options)


class TestManyMethods:
    @pytest.mark.parametrize('name', ['1C', '2', '3', '3D', 'S2'])
    def test_more_than_a_figure_tells_apart_are_refused(self, name):
        with pytest.raises(
            CurveError, match=r'25 methods, but one figure can show at most 24: choose some \(plot --methods\)'
        ):
            draw(name, many(MOST_METHODS + 1))

    @pytest.mark.parametrize('name', ['1B', '1C', '2', '3', '3D', 'S2', 'gap'])
    def test_as_many_as_it_tells_apart_leave_room_for_the_axes(self, name):
        figure = draw(name, many(MOST_METHODS))
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        shares = [(ax.get_position().width * width, ax.get_position().height * height) for ax in figure.axes]
        assert min(map(min, shares)) > 2
        legends = figure.legends or [figure.axes[0].get_legend()]
        box = legends[0].get_window_extent().transformed(figure.transFigure.inverted())  # type: ignore
        assert box.y0 >= 0
        assert max(box.x1, box.y1) <= 1

    def test_no_two_look_alike(self):
        names = [curve.run.method for curve in many(MOST_METHODS)] + ['BP', 'CL', 'LS', 'MX']
        looks = {name: (method_colour(name, names), method_marker(name, names)) for name in names}
        assert len(set(looks.values())) == MOST_METHODS + 4
