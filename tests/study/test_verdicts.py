"""Verdicts beside a slow computation, and what is said of them."""

import math
import re
from statistics import fmean, variance

import numpy as np
import pytest
from scipy import stats

from composer_clr.study.compare import compare
from composer_clr.study.findings import verdict_lines
from composer_clr.study.reach import Crossing
from composer_clr.study.table import Study
from composer_clr.study.verdicts import Verdict, decided_crossings, tiers
from tests.helpers.runs_and_lines import line, run

EPOCHS = (16, 32, 64)


def study(seeds=3, leads=None, metric='eval/MulticlassAccuracy', noise=0.002, kind='cyclic'):
    """A method's points lie above the baseline's by its leads."""
    rng, curves = np.random.default_rng(7), []
    for method, lead in {'baseline': (0, 0, 0), **(leads or {'BP': (0.03, 0.02, 0.001)})}.items():
        for seed in range(seeds):
            values = 0.5 + np.array(lead) + rng.normal(scale=noise, size=3) + rng.normal(scale=noise)
            points = list(zip(EPOCHS, values.tolist(), strict=True))
            curves.append(run(method, kind, points, seed, f'{method}{seed}', metric))
    return compare(Study.of(curves))


def test_beside_a_slow_computation():
    compared = study(leads={'BP': (0.03, 0.02, 0.001), 'LS': (-0.02, 0.0, 0.0)})
    curves = {method: curve.value[:3] for (method, _), curve in compared.study.curves.items()}
    n, budgets = 3, range(3)
    of_point = {m: [variance(values[:, i].tolist()) for i in budgets] for m, values in curves.items()}
    pooled = fmean(v for of in of_point.values() for v in of)
    shared = np.mean([np.cov(values.T) for values in curves.values()], axis=0)
    freedom = len(curves) * (n - 1) * np.trace(shared) ** 2 / (shared**2).sum()
    # Two methods at three budgets.
    quantile = stats.t.ppf((1 + 0.95 ** (1 / 6)) / 2, freedom)
    for method, over in compared.kinds['cyclic'].over_baseline.items():
        for i, one in zip(budgets, over.verdicts, strict=True):
            value = 100 * fmean(curves[method][:, i] - curves['baseline'][:, i])
            of_both = [of_point[method], of_point['baseline']]
            squares = (pooled, fmean(of[i] for of in of_point.values()), fmean([*of_both[0], *of_both[1]]))
            half = 100 * quantile * math.sqrt(2 * max(*squares, fmean(of[i] for of in of_both)) / n)
            assert [one.value, one.low, one.high] == pytest.approx([value, value - half, value + half])
            assert one.decided == ('' if abs(value) <= half else 'better' if value > 0 else 'worse')


def verdicts(compared):
    return compared.kinds['cyclic'].over_baseline['BP'].verdicts


def test_the_seeds_that_would_do_would():
    found = verdicts(study(leads={'BP': (0.03, 0.003, 0.002)}))
    assert [one.decided for one in found] == ['better', '', '']
    assert found[1].would_do is not None
    assert found[2].would_do is not None
    assert 3 < found[1].would_do < found[2].would_do
    (one,) = (v for v in verdicts(study(leads={'BP': (0.03, 0.003, 0.0)}, seeds=1)) if v.at == 16)
    assert (one.decided, one.would_do, math.isnan(one.low)) == ('', None, True)


def test_what_is_said():
    lines = verdict_lines(study(leads={'BP': (0.03, -0.02, 0.001)}))
    assert [re.split(r' by| \(', line)[0] for line in lines] == [
        '16 ep: BP better',
        '32 ep: BP worse',
        '64 ep: undecided',
    ]
    assert re.fullmatch(r'16 ep: BP better by \d\.\d \(\d\.\d to \d\.\d\)', lines[0])
    assert re.fullmatch(r'64 ep: undecided \(.*, .* to .*; 3 seeds(, \d+ would do)?\)', lines[2])
    losses = verdict_lines(study(leads={'BP': (0.03, -0.02, 0.0)}, metric='loss'))
    assert [line.split(' by')[0] for line in losses[:2]] == ['16 ep: BP worse', '32 ep: BP better']
    (line, *_) = verdict_lines(study(seeds=1, leads={'BP': (0.03, 0, 0)}))
    assert line.endswith('; 1 seed)')
    (line, *_) = verdict_lines(study(seeds=1, leads={'BP': (0, 0, 0)}, noise=0))
    assert line == '16 ep: undecided (0; 1 seed)'
    four = dict.fromkeys(('BP', 'CL', 'LS', 'MX'), (0.03, 0, 0))
    assert verdict_lines(study(seeds=1, leads=four)) == ['undecided, one seed: train two or more']


def test_a_log_of_every_epoch_has_a_line_for_each_doubling():
    curves = [
        run(method, 'log', [(float(epoch), 0.5 + epoch / 1000 + 0.01 * (method == 'BP')) for epoch in range(3, 101)], 1)
        for method in ('baseline', 'BP')
    ]
    *lines, more = verdict_lines(compare(Study.of(curves)))
    assert [line.partition(':')[0] for line in lines] == ['3 ep', '6 ep', '13 ep', '25 ep', '50 ep', '100 ep']
    assert more == '92 budgets between these: with --json FILE'


def test_tiers_are_of_methods_of_which_each_is_decidedly_better_than_the_next():
    compared = study(leads={'A': (0.05, 0.03, 0.0), 'B': (0.0, 0.03, 0.0)})
    curves = {method: curve for (method, _), curve in compared.study.curves.items()}
    found = tiers(curves, compared.kinds['cyclic'].ranking)
    assert set(found) == {16, 32}
    assert found[16][0] == ['A']
    assert set(found[16][1]) == {'B', 'baseline'}
    assert set(found[32][0]) == {'A', 'B'}
    assert found[32][1] == ['baseline']


def test_tiers_compare_every_pair_over_its_common_seeds_or_over_its_own():
    noise, nan = np.array([[-0.001], [0.0], [0.001]]), np.full((3, 3), np.nan)
    a, b, c = (line(EPOCHS, np.vstack([mean + noise + np.zeros(3), nan]), method='a') for mean in (0.6, 0.5, 0.599))
    apart = line(EPOCHS, np.vstack([nan, 0.5 + noise + np.zeros(3)]), method='b')
    assert tiers({'a': a, 'b': apart}, {16.0: [['a'], ['b']]}) == {16.0: [['a'], ['b']]}
    # The first is better than the second, and not than the third.
    assert tiers({'a': a, 'b': b, 'c': c}, {16.0: [['a'], ['b'], ['c']]}) == {}


def test_a_crossing_is_decided_between_opposite_verdicts():
    before, after, open_ = (
        Verdict(at, value, value - 1, value + 1, 3, decided, None)
        for at, value, decided in ((16, -2.0, 'worse'), (64, 2.0, 'better'), (32, 0.1, ''))
    )
    up = Crossing(30.0, 'A', 20.0, 50.0, 3)
    assert decided_crossings([before, open_, after], [up], 'A') == [up]
    assert decided_crossings([before, open_], [up], 'A') == []
    assert decided_crossings([before, open_, after], [up._replace(better='baseline')], 'A') == []
