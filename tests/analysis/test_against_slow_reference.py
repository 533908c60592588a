"""Random studies of one to five seeds, some missing, beside an independent computation in numpy and scipy."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from composer_clr.analysis.study import compare_study
from composer_clr.curves.curve import Run, TradeoffCurve
from tests.helpers import slow_comparison as slow
from tests.helpers.runs_and_lines import point

EPOCHS = (16, 32, 64, 128)
METHODS = ('baseline', 'A', 'B')


def random_study(rng):
    seeds, study = int(rng.integers(1, 6)), {}
    for method, kind, seed in itertools.product(METHODS, ('cyclic', 'standard'), range(seeds)):
        pace = 100 * rng.uniform(0.95, 1.05)
        epochs = [e for e in EPOCHS if kind == 'cyclic' or e != 32 or method == 'A']
        if kind == 'cyclic' and seed and rng.random() < 0.2:
            epochs = epochs[: int(rng.integers(2, 4))]  # was cut
        for epoch in epochs:
            if kind == 'standard' and seed and rng.random() < 0.1:
                continue
            value = 0.5 + 0.05 * np.log(epoch) + rng.normal(scale=0.01)
            study[method, kind, seed, epoch] = (pace * epoch, float(value))
    return study


def curves_of(study):
    runs = {}
    for (method, kind, seed, epoch), (time_s, value) in study.items():
        run = (method, kind, seed, epoch if kind == 'standard' else None)
        runs.setdefault(run, []).append(point(epoch, value, time_s))
    return [TradeoffCurve(Run(str(run), run[1], run[0], run[2]), points) for run, points in runs.items()]


def check_differences(found, expected):
    assert found.count.tolist() == list(expected)
    for one, by_seed in zip(found.estimates, expected.values(), strict=True):
        assert one.value == pytest.approx(100 * np.mean(list(by_seed.values())), abs=1e-9)
        assert one.seeds == len(by_seed)
        ends = slow.interval(by_seed)
        assert (one.low, one.high) == ((None, None) if ends is None else pytest.approx(np.multiply(100, ends)))
    means = [100 * np.mean(list(by_seed.values())) for by_seed in expected.values()]
    assert found.mean == pytest.approx(np.mean(means), abs=1e-9)
    if len({tuple(by_seed) for by_seed in expected.values()}) == 1:
        of_mean = {
            s: 100 * np.mean([by_seed[s] for by_seed in expected.values()]) for s in next(iter(expected.values()))
        }
        ends = slow.interval(of_mean)
        assert (found.average.low, found.average.high) == ((None, None) if ends is None else pytest.approx(ends))


@pytest.mark.parametrize('draw', range(30))
def test_all_figures(draw):
    study = random_study(np.random.default_rng(draw))
    found = compare_study(curves_of(study))
    comparison = found.with_standard['cyclic']
    assert set(comparison.methods) == set(METHODS)
    for method, figures in comparison.methods.items():
        sides = (method, 'cyclic'), (method, 'standard')
        check_differences(figures.gap, slow.differences(study, *sides, slow.epochs_of(study, *sides[0])))
        assert figures.cost_ratio == pytest.approx(slow.cost_ratio(study, method))
        if method != 'baseline':
            epochs = slow.epochs_of(study, method, 'cyclic')
            on = [slow.differences(study, (method, k), ('baseline', k), epochs) for k in ('cyclic', 'standard')]
            assert figures.cosine_similarity == pytest.approx(slow.cosine_similarity(*on))
    for epoch, tau in comparison.agreement.items():
        ranked = [[slow.mean_value(study, m, kind, epoch) for m in METHODS] for kind in ('cyclic', 'standard')]
        known = ~np.isnan(ranked).any(axis=0)
        expected, _ = stats.kendalltau(*(np.array(values)[known] for values in ranked))
        assert tau == pytest.approx(expected)
    for kind, over in found.over_baseline.items():
        for method, figures in over.methods.items():
            epochs = slow.epochs_of(study, method, kind)
            check_differences(
                figures.at_equal_counts, slow.differences(study, (method, kind), ('baseline', kind), epochs)
            )


@pytest.mark.parametrize('draw', [2, 5, 8, 11])
def test_intervals_of_cosine_tau_and_cost(draw):
    """Both draw at random, with other numbers: the widths agree within some percent."""
    study, rng = random_study(np.random.default_rng(draw)), np.random.default_rng(100 + draw)
    comparison = compare_study(curves_of(study)).with_standard['cyclic']
    for method, figures in comparison.methods.items():
        fewest = min(
            len(slow.seeds_at(study, m, k, e))
            for m, k in itertools.product((method, 'baseline'), ('cyclic', 'standard'))
            for e in slow.epochs_of(study, m, k)
        )
        if fewest < 2:
            continue
        low, high = figures.cost.low, figures.cost.high
        assert math.log(high / low) / 2 == pytest.approx(slow.log_cost_half_width(study, method, 500, rng), rel=0.15)
        assert math.log(high * low) / 2 == pytest.approx(math.log(figures.cost_ratio))
        if method != 'baseline':
            epochs = slow.epochs_of(study, method, 'cyclic')
            on = [slow.differences(study, (method, k), ('baseline', k), epochs) for k in ('cyclic', 'standard')]
            if min(len(by_seed) for side in on for by_seed in side.values()) < 2:
                continue
            half, angle = slow.angle_half_width(*on, 500, rng), math.acos(figures.cosine.value)
            ends = [math.acos(end) for end in (figures.cosine.high, figures.cosine.low)]
            assert ends[0] == pytest.approx(max(0, angle - half), abs=0.15 * half)
            assert ends[1] == pytest.approx(min(math.pi, angle + half), abs=0.15 * half)
    for epoch, tau in comparison.rankings.items():
        if tau is not None and tau.low is not None:
            half = slow.tau_half_width(study, METHODS, epoch, 300, rng)
            assert tau.low == pytest.approx(max(-1, tau.value - half), abs=0.2 * half + 1e-9)
            assert tau.high == pytest.approx(min(1, tau.value + half), abs=0.2 * half + 1e-9)


def test_seeds_of_the_studies_above():
    """So that the test above does compare something."""
    counted = [max(seed for _, _, seed, _ in random_study(np.random.default_rng(draw))) + 1 for draw in (2, 5, 8, 11)]
    assert max(counted) > 2
