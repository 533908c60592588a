"""Figures: the data of their lines is asserted here; the pictures are looked at by people."""

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.figures.looks import method_colour
from composer_clr.figures.tradeoff import accuracy_against_time
from tests.helpers.studies import STUDY, run


def drawn(ax: Axes) -> dict[str, ErrorbarContainer]:
    legend = ax.get_legend()
    assert legend is not None
    return dict(zip([text.get_text() for text in legend.get_texts()], ax.containers, strict=False))  # type: ignore


def lines(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        label: (list(bars.lines[0].get_xdata()), list(bars.lines[0].get_ydata()))  # type: ignore
        for label, bars in drawn(ax).items()
    }


def test_seeds_are_averaged_point_by_point_and_runs_of_one_kind_make_one_line():
    _, ax = accuracy_against_time(STUDY)
    assert lines(ax) == {
        'separate standard runs': ([12, 22], pytest.approx([52, 64])),
        'one cyclic run': ([12, 22], pytest.approx([60, 60])),
    }
    lower, upper = (cap.get_ydata() for cap in drawn(ax)['one cyclic run'].lines[1])
    assert [high - low for high, low in zip(upper, lower, strict=True)] == pytest.approx([2 * 14.142135623730951, 0])  # type: ignore
    assert [bars.lines[0].get_linestyle() for bars in drawn(ax).values()] == ['-', '--']
    assert ax.get_xscale() == 'log'
    assert (ax.get_xlabel(), ax.get_ylabel()) == ('training time (seconds)', 'accuracy (%)')


@pytest.mark.parametrize(
    ('longest', 'unit', 'seconds'),
    [(299, 'seconds', 1), (300, 'minutes', 60), (7199, 'minutes', 60), (7200, 'hours', 3600)],
)
def test_the_unit_of_time_suits_the_longest_run(longest, unit, seconds):
    _, ax = accuracy_against_time([run('cyclic', 1, (4, longest / 2, 0.5), (8, longest, 0.6))])
    assert ax.get_xlabel() == f'training time ({unit})'
    assert lines(ax)['one cyclic run'][0] == pytest.approx([longest / 2 / seconds, longest / seconds])


def test_the_best_in_the_window():
    _, ax = accuracy_against_time(STUDY[:1], peak=True)
    assert lines(ax)['one cyclic run'][1] == pytest.approx([60, 70])
    assert ax.get_ylabel() == 'best accuracy (%)'


def test_a_metric_that_is_not_a_fraction_keeps_its_unit():
    _, ax = accuracy_against_time([run('cyclic', 1, (4, 1, 2.5), (8, 2, 1.5), metric='eval/loss')])
    assert lines(ax)['one cyclic run'][1] == [2.5, 1.5]
    assert ax.get_ylabel() == 'loss'


@pytest.mark.parametrize(
    ('metric', 'label'),
    [
        ('eval/CrossEntropy', 'cross entropy (nats)'),
        ('averaged/eval/LanguageCrossEntropy', 'cross entropy, averaged (nats)'),
        ('val_nll', 'val nll (nats)'),
        ('eval/LanguagePerplexity', 'perplexity'),
        ('val_loss', 'val loss'),
    ],
)
def test_cross_entropies_are_in_nats(metric, label):
    _, ax = accuracy_against_time([run('cyclic', 1, (4, 1, 0.9), (8, 2, 0.5), metric=metric)], metric)
    assert ax.get_ylabel() == label


def test_runs_without_epochs_are_matched_by_batch():
    batches = [
        TradeoffCurve(c.run, [replace(p, epoch=None, batch=7 * (i + 1)) for i, p in enumerate(c.points)])
        for c in STUDY[:2]
    ]
    _, ax = accuracy_against_time(batches)
    assert lines(ax)['one cyclic run'][0] == [12, 22]


def test_percentages_are_not_taken_for_fractions():
    _, ax = accuracy_against_time([run('cyclic', 1, (4, 1, 50), (8, 2, 60))])
    assert lines(ax)['one cyclic run'][1] == [50, 60]
    assert ax.get_ylabel() == 'accuracy (%)'


def test_a_point_that_diverged_leaves_a_hole():
    _, ax = accuracy_against_time([run('cyclic', 1, (4, 1, 0.5), (8, 2, math.nan), (16, 4, 0.6))])
    assert lines(ax)['one cyclic run'][1] == pytest.approx([50, math.nan, 60], nan_ok=True)


def test_drawn_on_axes_of_the_caller():
    figure, ax = plt.subplots()
    assert accuracy_against_time(STUDY, ax=ax) == (figure, ax)


def test_the_kinds_of_one_method_have_colours_and_names_of_their_own():
    kinds = ('standard', 'cyclic', 'wsd-s', 'cyclic-averaged', 'branch', 'schedule-free', 'anytime', 'anytime-plain')
    _, ax = accuracy_against_time([run(kind, 1, (4, 1, 0.5), (8, 2, 0.6)) for kind in kinds])
    assert len({bars.lines[0].get_color() for bars in drawn(ax).values()}) == len(kinds)
    assert list(lines(ax)) == [
        'separate standard runs',
        'one cyclic run',
        'one anytime run',
        'anytime-plain',
        'cooldown branches',
        'cyclic-averaged',
        'one schedule-free run',
        'one wsd-s run',
    ]
    assert {key: str(bars.get_label()) for key, bars in drawn(ax).items()} == {key: key for key in lines(ax)}
    for method in ('baseline', 'LS+MX'):
        pair = [run(kind, 1, (4, 1, 0.5), method=method) for kind in ('standard', 'cyclic')]
        colours = [bars.lines[0].get_color() for bars in drawn(accuracy_against_time(pair)[1]).values()]
        assert colours == ['#000000', '#D55E00']
        _, ax = accuracy_against_time(pair[:1])
        assert ax.containers[0].lines[0].get_color() == method_colour(method)  # type: ignore


def test_methods_keep_their_colour_and_differ():
    methods = ['baseline', 'BP', 'CL', 'LS', 'MX', 'BP+CL', 'LS+MX', 'BP+CL+LS+MX', 'EMA', 'SWA']
    colours = [method_colour(method, methods) for method in methods]
    assert len(set(colours)) == len(methods)
    _, ax = accuracy_against_time([run('cyclic', 1, (4, 1, 0.5), method=m) for m in ('BP+CL', 'EMA', 'LS')])
    assert drawn(ax)['LS, cyclic'].lines[0].get_color() == method_colour('LS')
    assert drawn(ax)['BP+CL, cyclic'].lines[0].get_color() == method_colour('BP+CL')


@pytest.mark.parametrize(
    ('curves', 'metric', 'match'),
    [
        ([], None, 'no points to draw'),
        ([TradeoffCurve(STUDY[0].run, [])], None, 'no points to draw'),
        (STUDY, 'eval/F1', "run 'baseline-cyclic-1' has no metric 'eval/F1'"),
        ([STUDY[0], run('cyclic', 2, (4, 1, 1), metric='eval/loss')], None, 'has no metric .eval/Accuracy.'),
        ([STUDY[0], run('cyclic', 1, (4, 1, 1))], None, 'both have seed 1 and epoch 4: leave one out'),
    ],
    ids=['none', 'empty', 'unknown-metric', 'nothing-shared', 'one-seed-twice'],
)
def test_refused(curves, metric, match):
    with pytest.raises(CurveError, match=match):
        accuracy_against_time(curves, metric)
