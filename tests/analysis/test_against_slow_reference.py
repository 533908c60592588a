"""Random studies of one to five seeds, some missing, beside an independent computation in numpy and scipy."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import itertools

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
