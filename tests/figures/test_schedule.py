"""The schedule figures: their lines are asserted here; people look at the pictures."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from composer_clr.curves.curve import CurveError
from composer_clr.figures.looks import method_colour
from composer_clr.figures.schedule import learning_rate
from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.schedule.shapes import CycleShape, Stretch, linear
from tests.helpers.drawn_studies import STUDY, dashes, draw, errors, lines, recorded


class TestLearningRateAndAccuracy:
    def test_the_learning_rate_is_that_of_the_cycles(self):
        x, alpha = (list(data) for data in draw('1A', [recorded()]).axes[-1].lines[0].get_data())  # type: ignore
        cycles = Cycles(20, geometric_ends(20, 20, 2))
        at = [(10 * epoch, a) for epoch, a in zip(x, alpha, strict=True)]
        assert at[:2] == [(0, 0), (20, 1)]
        assert [(t, a) for t, a in at if t in (40, 80)] == [(40, 0.1), (40, 1.0), (80, 0.1)]
        for t, a in at:
            assert a == pytest.approx(cycles.multiplier(t, 0.1)) or (t in (40, 80) and a == 0.1)
        assert len({t for t, _ in at}) > 60

    def test_the_points_are_the_troughs(self):
        curves = [recorded(seed=1), recorded(seed=2, values=(0.7, 0.6)), *STUDY[1:]]
        ax, _ = draw('1A', curves, errors='sd').axes
        assert lines(ax) == {'baseline, cyclic': ([4, 8], pytest.approx([60, 60]))}
        assert errors(ax, 'baseline, cyclic') == pytest.approx([14.142135623730951, 0])
        assert ax.get_xlabel() == 'epochs'

    def test_another_method_keeps_its_colour(self):
        ax, _ = draw('1A', [recorded(), recorded(method='MX')], method='MX').axes
        assert ax.containers[0].lines[0].get_color() == method_colour('MX')  # type: ignore

    @pytest.mark.parametrize(
        ('curves', 'match'),
        [
            (STUDY[:1], "run 'r': its record does not have the learning rate .its scheduler is None.: give the curve"),
            (STUDY[1:], "no cyclic run of 'baseline' has points to draw: name one .the cyclic runs are of .'MX'"),
            ([recorded(name='a'), recorded(name='b', seed=1, t_0='4ep', t_warmup='0ba')], 'have different schedules'),
        ],
        ids=['not-recorded', 'not-cyclic', 'two-schedules'],
    )
    def test_refused(self, curves, match):
        with pytest.raises(CurveError, match=match):
            draw('1A', curves)


class TestConstantPeriods:
    def test_runs_are_labelled_by_their_periods(self):
        four = recorded(name='4', t_warmup='0ba', t_0='4ep', t_mult=1, seed=1)
        two = recorded(name='2', troughs=[40, 60, 80], values=(0.5, 0.6, 0.7), seed=2)
        (ax,) = draw('S1', [recorded(seed=3), four, two, *STUDY[1:]]).axes
        names = ['period 2 epochs', 'period 2 to 4 epochs', 'period 4 epochs']
        assert sorted(lines(ax)) == [*(f'cyclic, {name}' for name in names), 'standard']
        assert lines(ax)['cyclic, period 2 epochs'][1] == pytest.approx([50, 60, 70])
        assert set(dashes(ax).values()) == {'-', '--'}
        assert len({to_hex(c.lines[0].get_color()) for c in ax.containers}) == 4  # type: ignore

    def test_refused(self):
        with pytest.raises(CurveError, match='has a constant period: name some that were trained with t_mult=1'):
            draw('S1', [recorded()])


def test_branches_are_drawn_off_their_trunk():
    cycles = Cycles(2, [22], CycleShape(linear, hold=Stretch(part=0.8)))
    (ax,) = learning_rate(cycles, 22, 'ep', 0.5, branches=[12]).axes
    trunk, branch, points = (np.asarray(line.get_xydata()) for line in ax.lines)
    assert points.tolist() == [[12, 0], [22, 0]]
    assert branch[[0, -1]].tolist() == [[10, 0.5], [12, 0]]
    assert trunk[:, 1].max() == 0.5
    assert (ax.get_xlim()[0], ax.get_ylim()[0]) == (0, 0)
