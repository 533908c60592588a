"""Figures of language models: loss against tokens, and the learning rate beneath."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.figures.layout import finish
from composer_clr.figures.schedule import learning_rate_and_accuracy
from composer_clr.figures.tradeoff import accuracy_against_time

LOSS = 'eval/LanguageCrossEntropy'
SCHEDULE: dict[str, object] = {
    'scheduler': 'CyclicCosineScheduler',
    't_0': '65536tok',
    't_mult': 2.0,
    't_warmup': '65536tok',
    'alpha_f': 0.1,
    'ssr': 1.0,
    'max_duration': '524288tok',
    'unit': 'tok',
    'troughs': [131072, 262144, 524288],
}


def curve(kind: str, tokens: list[int], schedule: dict[str, object]) -> TradeoffCurve:
    points = [
        TradeoffPoint(i, t / 4e6, t // 1024, t // 128, t, t / 1e4, t / 1e4, 0.1, {LOSS: 3 - i / 4}, {})
        for i, t in enumerate(tokens)
    ]
    return TradeoffCurve(Run(f'{kind}{tokens[0]}', kind, 'baseline', 17, schedule=schedule), points)


def study() -> list[TradeoffCurve]:
    troughs = [131072, 262144, 524288]
    return [curve('cyclic', troughs, SCHEDULE), *(curve('standard', [t], {'unit': 'tok'}) for t in troughs)]


def test_loss_is_drawn_against_tokens_with_the_learning_rate_beneath():
    figure, axes = accuracy_against_time(study())
    upper, lower = figure.axes
    assert upper is axes
    assert (axes.get_xscale(), axes.get_ylabel(), lower.get_xlabel()) == ('log', 'cross entropy (nats)', 'tokens')
    for container in axes.containers:
        assert np.array_equal(container.lines[0].get_xdata(), [131072, 262144, 524288])  # type: ignore[attr-defined]
    (rate,) = lower.lines
    x, multiplier = np.asarray(rate.get_xdata()), np.asarray(rate.get_ydata())
    assert multiplier[x == 65536] == [1]  # the end of the warmup
    assert multiplier[-1] == pytest.approx(0.1)
    assert lower.get_xlim() == upper.get_xlim()


MARKS: dict[str, object] = {
    'scheduler': 'AnytimeScheduler',
    't_0': '65536tok',
    't_warmup': '65536tok',
    'rate': 'constant',
    'max_duration': '524288tok',
    'unit': 'tok',
    'troughs': [131072, 262144, 524288],
}


def rates(curves: list[TradeoffCurve]) -> list[tuple[list[float], list[float]]]:
    """Returns the lines of the panel of learning rates."""
    figure, _ = accuracy_against_time(curves)
    assert len(figure.axes) == 2
    return [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in figure.axes[1].lines]  # type: ignore


def test_a_rate_without_a_decay_is_drawn_too():
    marks = [131072, 262144, 524288]
    constant, falling = (
        curve(kind, marks, MARKS | extra)
        for kind, extra in {'anytime': {}, 'anytime-falling': {'rate': '1/sqrt', 'a': '65536tok'}}.items()
    )
    free = curve('schedule-free', marks, MARKS)
    lines = rates([constant, falling, free, *study()[1:]])
    assert len(lines) == 3
    for x, _ in lines:
        assert (x[0], x[-1]) == (65536, 524288)
    assert set(lines[0][1]) == set(lines[2][1]) == {1.0}
    assert lines[1][1][-1] == pytest.approx((1 / 8) ** 0.5)


def test_second_lines_of_a_run_and_branches_have_no_rate_of_their_own():
    anytime = curve('anytime', [131072, 262144], MARKS)
    other = TradeoffCurve(replace(anytime.run, run_name='other', seed=18), anytime.points)
    plain = [TradeoffCurve(replace(run.run, kind='anytime-plain'), run.points) for run in (anytime, other)]
    branch = curve('branch', [131072], SCHEDULE | {'troughs': [131072]})
    fast = curve('cyclic-fast-cycles', [131072], SCHEDULE)
    fast = TradeoffCurve(replace(fast.run, parent={'run_name': 'r', 'wall_clock_train_s': 1.0}), fast.points)
    assert len(rates([anytime, other, *plain, branch, fast])) == 1
    assert len(rates([*plain, branch])) == 1


def test_what_the_author_chooses_is_not_for_the_learning_rate():
    figure, _ = accuracy_against_time(study())
    finish(figure, title='T', xlabel='x', ylabel='y', ylim=(1, 4))
    upper, lower = figure.axes
    assert (upper.get_title(), upper.get_xlabel(), upper.get_ylabel(), upper.get_ylim()) == ('T', '', 'y', (1, 4))
    assert (lower.get_title(), lower.get_xlabel(), lower.get_ylabel()) == ('', 'x', 'learning rate\n/ its maximum')
    assert lower.get_ylim() == (0, 1.05)


def test_ticks_of_tokens_have_prefixes():
    figure, _ = accuracy_against_time(study())
    figure.canvas.draw()
    assert '200k' in [label.get_text() for label in figure.axes[-1].get_xticklabels()]


def test_time_can_be_asked_for():
    figure, axes = accuracy_against_time(study(), axis='time')
    assert figure.axes == [axes]
    assert axes.get_xlabel() == 'training time (seconds)'


def test_an_axis_of_ones_own_has_no_second_panel():
    _, ax = plt.subplots()
    figure, axes = accuracy_against_time(study(), ax=ax)
    assert figure.axes == [axes]
    assert axes.get_xlabel() == 'tokens'


def test_figure_1a_lies_along_tokens():
    _, axes = learning_rate_and_accuracy(study())
    assert axes.get_xlabel() == 'tokens'
    assert list(axes.containers[0].lines[0].get_xdata()) == [131072, 262144, 524288]  # type: ignore[attr-defined]


def test_what_was_not_counted_is_refused():
    curves = [curve('cyclic', [131072, 262144], SCHEDULE)]
    curves[0].points[:] = [TradeoffPoint(0, None, 1, 1, 131072, 1.0, 1.0, 0.1, {LOSS: 3.0}, {})]
    with pytest.raises(CurveError, match="run 'cyclic131072' counts no epochs"):
        accuracy_against_time(curves, axis='epoch')
