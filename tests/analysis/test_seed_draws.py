"""Intervals of figures that are not linear: simulated studies whose truth is known, and by hand."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import math

import numpy as np
import pytest

from composer_clr.analysis.agreement import cosine_estimate
from composer_clr.analysis.cost import study_cost
from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.analysis.resampling import crossings, pair_of, speedups_with_interval
from composer_clr.analysis.seed_draws import drawn_interval, drawn_means
from composer_clr.analysis.uncertainty import Estimate, difference, estimate

EPOCHS = np.array([16.0, 32.0, 64.0, 128.0])


def samples(values):
    """Of each point, from an array of shape (points, seeds)."""
    return tuple({f'seed {i}': float(value) for i, value in enumerate(row)} for row in values)


def test_of_a_linear_figure_it_is_students_interval():
    rng = np.random.default_rng(1)
    a, b = samples(rng.normal(size=(2, 4)))
    groups = difference([(1.0, a)], [(1.0, b)], 'paired') or ()
    expected = estimate(groups)
    draws = drawn_means(groups)
    assert draws is not None
    found = drawn_interval(expected.value, draws[:, 0], 4, np.asarray, np.asarray)
    assert found.low == pytest.approx(expected.low, rel=0.1)
    assert found.high == pytest.approx(expected.high, rel=0.1)


def test_a_seed_goes_up_and_down_in_all_sums_together():
    (a,) = samples([[1.0, 2.0, 4.0]])
    draws = drawn_means([[(1.0, a)], [(2.0, a)], [(1.0, a), (-1.0, a)]])
    assert draws is not None
    assert draws[:, 1] == pytest.approx(2 * draws[:, 0])
    assert draws[:, 2] == pytest.approx(0, abs=1e-12)


def test_one_seed_has_no_interval():
    assert drawn_means([[(1.0, {'a': 1.0, 'b': 2.0})], [(1.0, {'a': 1.0})]]) is None
    assert drawn_interval(0.5, None, 1, np.asarray, np.asarray) == Estimate(0.5, 1)


def cosine_of(rng, seeds, noise):
    """A study of six points; the cosine of its true improvements is 0.966."""
    truth = np.array([[1, 0.5, 0, -0.5, -1, 0], [1, 0.6, 0.1, -0.4, -0.6, 0]])
    true = float(truth[0] @ truth[1] / np.linalg.norm(truth[0]) / np.linalg.norm(truth[1]))
    shared = rng.normal(scale=noise, size=seeds)
    values = truth[:, :, None] + shared + rng.normal(scale=noise, size=(2, 6, seeds))
    terms = [[[(1.0, sample)] for sample in samples(side)] for side in values]
    return cosine_estimate(*values.mean(axis=2), *terms), true


def curve(kind, value, time_s):
    at, times = samples(value), samples(time_s)
    return MeanCurve('m', kind, EPOCHS, time_s.mean(axis=1), value.mean(axis=1), at, times=times)


def cost_of(rng, seeds, noise):
    """A cyclic and a standard curve, both at 100 s an epoch."""
    times = 100 * EPOCHS[:, None] * rng.lognormal(sigma=noise, size=(2, 1, seeds))
    value, separate = np.ones((len(EPOCHS), seeds)), np.zeros(len(EPOCHS))
    standard = MeanCurve(
        'm', 'standard', EPOCHS, times[1].mean(axis=1), value[:, 0], samples(value), separate, times=samples(times[1])
    )
    cost = study_cost(curve('cyclic', value, times[0]), standard)
    return Estimate(cost.ratio, cost.seeds, low=cost.low, high=cost.high), 240 / 128


def speedup_of(rng, seeds, noise):
    """The method takes 80% of the baseline's time to the same values."""
    times = np.array([0.8, 1.0])[:, None, None] * 100 * EPOCHS[:, None] * rng.lognormal(sigma=0.01, size=(2, 1, seeds))
    values = 0.6 + 0.05 * np.log2(EPOCHS / 16)[:, None] + rng.normal(scale=0.01 * noise, size=(2, 4, seeds))
    pair = pair_of(*(curve('cyclic', *of) for of in zip(values, times, strict=True)))
    return speedups_with_interval(pair, [0.68])[0], 1.25


def crossing_of(rng, seeds, noise):
    """The method is worse by a point at the first epochs, better by a point at the last: they cross at 45.25 epochs."""
    lead = 0.01 * np.array([-1.0, -1 / 3, 1 / 3, 1.0])[:, None]
    values = 0.6 + 0.05 * np.log2(EPOCHS / 16)[:, None] + rng.normal(scale=0.01 * noise, size=(2, 4, seeds))
    times = np.repeat(100 * EPOCHS[:, None], seeds, axis=1)
    pair = pair_of(curve('cyclic', values[0] + lead, times), curve('cyclic', values[1], times))
    return crossings(pair, by_time=False)[0], math.sqrt(32 * 64)


@pytest.mark.parametrize('seeds', [3, 5, 10])
@pytest.mark.parametrize('of', [cosine_of, cost_of, speedup_of, pytest.param(crossing_of, marks=pytest.mark.slow)])
def test_intervals_hold_the_truth(of, seeds):
    rng, studies, covered = np.random.default_rng(seeds), 400, 0
    for _ in range(studies):
        found, true = of(rng, seeds, 0.1)
        covered += found.low <= true <= found.high
    assert covered / studies >= 0.92, covered / studies


def test_the_last_of_the_baselines_points_has_an_interval_too():
    """Its own value is in each draw that draw's, so that the baseline reaches it in all of them."""
    rng = np.random.default_rng(3)
    values = 0.6 + 0.05 * np.log2(EPOCHS / 16)[:, None] + rng.normal(scale=0.001, size=(2, 4, 3))
    values[0] += 0.02
    pair = pair_of(*(curve('cyclic', value, np.repeat(100 * EPOCHS[:, None], 3, axis=1)) for value in values))
    speedups = speedups_with_interval(pair)
    assert [found.low is not None for found in speedups] == [False, True, True, True]
    assert speedups[0].answer.state == 'bound'
    assert speedups_with_interval(pair, [float(pair.baseline.value[-1])])[0].low is None
