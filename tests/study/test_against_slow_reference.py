"""Random studies of one to five seeds, some missing, beside an independent computation in numpy and scipy."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.study.compare import compare
from composer_clr.study.table import Study
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


def check_differences(found, expected, mean_over):
    assert found.count.tolist() == list(expected)
    assert found.mean_count.tolist() == mean_over
    for i, by_seed in enumerate(expected.values()):
        assert found.each.value[i] == pytest.approx(100 * np.mean(list(by_seed.values())), abs=1e-9)
        assert found.each.seeds[i] == len(by_seed)
        check_interval(found.each.low[i], found.each.high[i], by_seed)
    counted = [expected[epoch] for epoch in mean_over]
    assert found.mean.value[0] == pytest.approx(100 * np.mean([np.mean(list(one.values())) for one in counted]))
    if len({tuple(by_seed) for by_seed in counted}) == 1:
        of_mean = {s: np.mean([by_seed[s] for by_seed in counted]) for s in counted[0]}
        check_interval(found.mean.low[0], found.mean.high[0], of_mean)


def check_interval(low, high, by_seed):
    ends = slow.interval(by_seed)
    if ends is None:
        assert np.isnan([low, high]).all()
    else:
        assert [low, high] == pytest.approx(list(np.multiply(100, ends)), abs=1e-9)


@pytest.mark.parametrize('draw', range(20))
def test_all_figures(draw):
    study = random_study(np.random.default_rng(draw))
    kinds = compare(Study.of(curves_of(study))).kinds
    comparison = kinds['cyclic']
    assert set(comparison.methods) == set(METHODS)
    for method, figures in comparison.methods.items():
        sides = (method, 'cyclic'), (method, 'standard')
        epochs = slow.epochs_of(study, method, 'cyclic')
        gaps = slow.differences(study, *sides, epochs)
        # The first point of a cyclic run is the standard run's by construction.
        check_differences(figures.gap, gaps, [epoch for epoch in gaps if epoch != epochs[0]])
        assert float(figures.cost.ratio.value) == pytest.approx(slow.cost_ratio(study, method))
        if method != 'baseline':
            on = [slow.differences(study, (method, k), ('baseline', k), epochs) for k in ('cyclic', 'standard')]
            assert float(figures.cosine.value) == pytest.approx(slow.cosine_similarity(*on))
    epochs = slow.epochs_of(study, 'baseline', 'cyclic')
    over = {
        k: {m: slow.differences(study, (m, k), ('baseline', k), epochs) for m in 'AB'} for k in ('cyclic', 'standard')
    }
    for epoch, tau in comparison.taus.items():
        known = [m for m in 'AB' if all(epoch in over[kind][m] for kind in over)]
        ranked = [[0.0, *(np.mean(list(over[kind][m][epoch].values())) for m in known)] for kind in over]
        assert (tau and float(tau.value)) == (pytest.approx(stats.kendalltau(*ranked)[0]) if known else None)
    for kind, found in kinds.items():
        for method, figures in found.over_baseline.items():
            expected = slow.differences(study, (method, kind), ('baseline', kind), slow.epochs_of(study, method, kind))
            both = sorted({*figures.at_equal_counts.count.tolist()} & {*figures.at_equal_time.count.tolist()})
            check_differences(figures.at_equal_counts, expected, both)
            assert figures.at_equal_time.mean_count.tolist() == both


@pytest.mark.parametrize('draw', [6, 13])
def test_intervals_of_tau_and_cost(draw):
    """Both draw at random, with other numbers: the widths agree within some percent."""
    study, rng = random_study(np.random.default_rng(draw)), np.random.default_rng(100 + draw)
    comparison, compared_taus = compare(Study.of(curves_of(study))).kinds['cyclic'], 0
    for method, figures in comparison.methods.items():
        low, high = float(figures.cost.ratio.low), float(figures.cost.ratio.high)
        half = slow.log_cost_half_width(study, method, 300, rng)
        assert math.log(high / low) / 2 == pytest.approx(half, rel=0.15)
        assert math.log(high * low) / 2 == pytest.approx(math.log(figures.cost.ratio.value))
    for epoch, tau in comparison.taus.items():
        # Where each curve has all seeds, differences from the baseline are drawn as the values are.
        every = {
            frozenset(slow.seeds_at(study, m, k, e)) for m, k, _, e in study if e in slow.neighbours(study, m, k, epoch)
        }
        if tau is not None and len(every) == 1:
            half = slow.tau_half_width(study, METHODS, epoch, 100, rng)
            assert tau.low == pytest.approx(max(-1, tau.value - half), abs=0.2 * half + 1e-9)
            assert tau.high == pytest.approx(min(1, tau.value + half), abs=0.2 * half + 1e-9)
            compared_taus += 1
    assert compared_taus
