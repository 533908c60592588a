"""Accuracy against training time: the data of lines, labels of points, the learning rate beneath."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.figures.plane import paper_style
from composer_clr.study.forecast import forecasts
from composer_clr.study.table import Study
from tests.helpers.drawn_studies import draw, legend, lines, many
from tests.helpers.runs_and_lines import run, standard_runs
from tests.helpers.studies import STUDY

DOUBLING = [(4 * 2**cycle, 0.5 + cycle / 20) for cycle in range(5)]
FALLING = [(x, 1 - y) for x, y in DOUBLING]
LOSS = 'eval/LanguageCrossEntropy'
MARKS: dict[str, object] = {
    'scheduler': 'AnytimeScheduler',
    't_0': '65536tok',
    't_warmup': '65536tok',
    'rate': 'constant',
    'max_duration': '524288tok',
    'unit': 'tok',
    'troughs': [131072, 262144, 524288],
}
CYCLES: dict[str, object] = {key: value for key, value in MARKS.items() if key != 'rate'}
CYCLES |= {'scheduler': 'CyclicCosineScheduler', 't_mult': 2.0, 'alpha_f': 0.1, 'ssr': 1.0}


def labels(ax: Axes) -> dict[str, tuple[float, float]]:
    """By its text, the point that each label belongs to."""
    return {text.get_text(): text.xy for text in ax.texts}  # type: ignore[attr-defined]


def one_method(points: list[tuple[float, float]]) -> list[TradeoffCurve]:
    return [run('baseline', 'cyclic', points), *standard_runs('baseline', [(x, y + 0.01) for x, y in points])]


def test_seeds_are_averaged_point_by_point_and_runs_of_one_kind_make_one_line():
    figure = draw('1C', STUDY)
    (ax,) = figure.axes
    assert lines(ax) == {
        'separate standard runs': ([12, 22], pytest.approx([52, 64])),
        'one cyclic run': ([12, 22], pytest.approx([60, 60])),
    }
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ('log', 'training time (seconds)', 'accuracy (%)')
    assert labels(ax) == {'4': (12, pytest.approx(52)), '8 ep': (22, pytest.approx(60))}


def test_runs_without_epochs_are_matched_by_batch():
    batches = [
        TradeoffCurve(c.run, [replace(p, epoch=None, batch=7 * (i + 1)) for i, p in enumerate(c.points)])
        for c in STUDY[:2]
    ]
    assert lines(draw('1C', batches).axes[0])['one cyclic run'][0] == [12, 22]


def test_kinds_of_one_method_have_names_of_their_own():
    kinds = ('standard', 'cyclic', 'cyclic-averaged', 'branch', 'schedule-free', 'anytime')
    names = ['separate standard runs', 'one cyclic run', 'one anytime run', 'cooldown branches', 'cyclic-averaged']
    assert legend(draw('1C', [run('baseline', kind, DOUBLING) for kind in kinds])) == [*names, 'one schedule-free run']


@pytest.mark.parametrize(
    ('curves', 'titles', 'beside'),
    [
        (many(7), [f'Method0{i}' for i in range(6)], 'baseline, standard'),
        ([run('LS', kind, DOUBLING) for kind in ('standard', *'abcdef')], [*'abcdef'], 'LS: separate standard runs'),
    ],
    ids=['methods', 'kinds'],
)
def test_more_than_six_methods_or_kinds_have_a_panel_each(curves, titles, beside):
    figure = draw('1C', curves)
    assert [ax.get_title() for ax in figure.axes] == titles
    assert all(beside in lines(ax) for ax in figure.axes)
    assert beside.split(',')[0] in legend(figure)


class TestPointLabels:
    @pytest.mark.parametrize(('points', 'side'), [(DOUBLING, 'top'), (FALLING, 'bottom')])
    def test_labels_are_below_curves_that_rise_and_above_those_that_fall(self, points, side):
        (ax,) = draw('1C', one_method(points)).axes
        assert [text.get_verticalalignment() for text in ax.texts] == ['center'] + [side] * 4

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
    def test_by_default_few_points_of_one_method_have_labels(self, curves, options, labelled):
        assert bool(labels(draw('1C', curves, **options).axes[0])) == labelled

    @pytest.mark.parametrize('size', [None, (3.3, 2.5)])
    @pytest.mark.parametrize('points', [DOUBLING, FALLING, [(10 * i, 0.5) for i in range(1, 9)]])
    def test_labels_touch_neither_each_other_nor_the_legend(self, points, size):
        with paper_style(size):
            figure = draw('1C', one_method(points))
            figure.draw_without_rendering()
        (ax,) = figure.axes
        assert ax.texts[0].get_text().endswith(' ep')
        boxes = [text.get_window_extent() for text in [*figure.legends[0].get_texts(), *ax.texts]]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        edge = figure.get_window_extent()
        assert all(edge.x0 <= box.x0 and box.x1 <= edge.x1 for box in boxes)


def curve(kind: str, tokens: list[int], schedule: dict[str, object]) -> TradeoffCurve:
    points = [
        TradeoffPoint(i, t / 4e6, t // 1024, t // 128, t, t / 1e4, t / 1e4, 0.1, {LOSS: 3 - i / 4}, {})
        for i, t in enumerate(tokens)
    ]
    return TradeoffCurve(Run(f'{kind}{tokens[0]}', kind, 'baseline', 17, schedule=schedule), points)


def tokens() -> list[TradeoffCurve]:
    troughs = [131072, 262144, 524288]
    return [curve('cyclic', troughs, CYCLES), *(curve('standard', [t], {'unit': 'tok'}) for t in troughs)]


def rates(curves: list[TradeoffCurve]) -> list[tuple[list[float], list[float]]]:
    """Returns the lines of the panel of learning rates."""
    _, *panel = draw('1C', curves).axes
    return [(list(map(float, x.get_xdata())), list(map(float, x.get_ydata()))) for ax in panel for x in ax.lines]  # type: ignore


class TestTokens:
    def test_loss_is_drawn_against_tokens_with_the_learning_rate_beneath(self):
        figure = draw('1C', tokens(), title='T', ylabel='y', ylim=(1, 4))
        upper, lower = figure.axes
        assert (upper.get_xscale(), upper.get_ylabel(), upper.get_xlabel(), lower.get_xlabel()) == (
            *('log', 'y', '', 'tokens'),
        )
        assert all(x == [131072, 262144, 524288] for x, _ in lines(upper).values())
        (rate,) = lower.lines
        x, multiplier = np.asarray(rate.get_xdata()), np.asarray(rate.get_ydata())
        assert multiplier[x == 65536] == [1]  # the end of the warmup
        assert multiplier[-1] == pytest.approx(0.1)
        assert lower.get_xlim() == upper.get_xlim()
        assert (upper.get_title(), lower.get_title(), upper.get_ylim(), lower.get_ylim()) == (
            'T',
            '',
            (1, 4),
            (0, 1.05),
        )
        figure.draw_without_rendering()
        assert '200k' in [label.get_text() for label in lower.get_xticklabels()]

    def test_a_rate_without_a_decay_is_a_line_and_no_panel_of_its_own(self):
        marks = [131072, 262144, 524288]
        constant = curve('anytime', marks, MARKS)
        falling = curve('anytime-falling', marks, MARKS | {'rate': '1/sqrt', 'a': '65536tok'})
        assert rates([constant, *tokens()[1:]]) == []
        flat, sqrt = rates([constant, falling, *tokens()[1:]])
        assert (flat[0][0], flat[0][-1], set(flat[1])) == (65536, 524288, {1.0})
        assert sqrt[1][-1] == pytest.approx((1 / 8) ** 0.5)

    def test_second_lines_of_a_run_and_branches_have_no_rate_of_their_own(self):
        cyclic = tokens()[0]
        other = TradeoffCurve(replace(cyclic.run, run_name='other', seed=18), cyclic.points)
        plain = [TradeoffCurve(replace(one.run, kind='cyclic-averaged'), one.points) for one in (cyclic, other)]
        branch = curve('branch', [131072], CYCLES | {'troughs': [131072]})
        assert len(rates([cyclic, other, *plain, branch])) == 1
        assert len(rates([*plain, branch])) == 1

    def test_time_can_be_asked_for(self):
        figure = draw('1C', tokens(), axis='time')
        assert [ax.get_xlabel() for ax in figure.axes] == ['training time (seconds)']


class TestForecasts:
    """Of gains of 3, 2 and 1 points, without noise: 77 to 77.5 at twice the length."""

    BENT = run('baseline', 'cyclic', [(16, 0.71), (32, 0.74), (64, 0.76), (128, 0.77)])

    def drawn(self, axis):
        curves = [self.BENT, *standard_runs('baseline', [(16, 0.71), (32, 0.74), (64, 0.76), (128, 0.77)])]
        figure = draw('1C', curves, axis=axis, forecasts=forecasts(Study.of(curves), 1e-6))
        return figure, [np.array(one.get_paths()[0].vertices) for one in figure.axes[0].collections if one.get_hatch()]

    @pytest.mark.parametrize(('axis', 'last', 'then'), [('epoch', 128, 256), ('time', 12800 / 3600, 25600 / 3600)])
    def test_a_hatched_segment_opens_from_the_last_point_to_the_interval(self, axis, last, then):
        figure, segments = self.drawn(axis)
        assert len(segments) == 2
        for corners in segments:
            found = {(round(x, 4), round(y, 4)) for x, y in corners.tolist()}
            assert found == {(round(x, 4), y) for x, y in ((last, 77.0), (then, 77.0), (then, 77.5))}
        assert legend(figure)[-1] == 'one more doubling, forecast (90%)'

    def test_it_has_neither_line_nor_marker_nor_filling(self):
        figure, _ = self.drawn('epoch')
        hatched = [one for one in figure.axes[0].collections if one.get_hatch()]
        for one in hatched:
            assert not np.array(one.get_facecolor())[:, 3:].any()
            assert one.get_linewidth() == [0]
        assert all(max(x) == 128 for x, _ in lines(figure.axes[0]).values())

    def test_one_that_is_refused_is_not_drawn(self):
        straight = run('baseline', 'cyclic', [(16, 0.71), (32, 0.72), (64, 0.73), (128, 0.74)])
        figure = draw('1C', [straight], axis='epoch', forecasts=forecasts(Study.of([straight]), 0.1))
        assert not [one for one in figure.axes[0].collections if one.get_hatch()]
        assert 'one more doubling, forecast (90%)' not in legend(figure)
