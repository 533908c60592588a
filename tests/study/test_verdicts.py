"""Verdicts beside a slow computation, and what is said of them."""

import math
import re
from statistics import fmean

import numpy as np
import pytest

from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import compare
from composer_clr.study.differences import improvement
from composer_clr.study.findings import verdict_lines
from composer_clr.study.reach import Crossing
from composer_clr.study.table import Study
from composer_clr.study.verdicts import Verdict, decided_crossings, tiers
from composer_clr.study.verdicts import verdicts as of_curves
from tests.helpers.runs_and_lines import line, run
from tests.helpers.slow_verdicts import half_widths

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


@pytest.mark.parametrize(
    ('of_points', 'of_baseline', 'differ'),
    [((1, 1, 1), 1, False), ((20, 3, 1), 1, True), ((1, 1, 1), 4, False), ((20, 3, 1), 4, True)],
    ids=['alike', 'unlike budgets', 'a noisy baseline', 'both'],
)
def test_beside_a_slow_computation(of_points, of_baseline, differ):
    rng, values = np.random.default_rng(4), {}
    for method, leads in {'baseline': (0, 0, 0), 'BP': (0.03, 0.02, 0.001), 'LS': (-0.02, 0.0, 0.0)}.items():
        deviations = 0.002 * np.array(of_points) * (of_baseline if method == 'baseline' else 1)
        of_run, of_point = rng.normal(size=(4, 1)), rng.normal(size=(4, 3))
        values[method] = (0.5 + np.array(leads) + deviations * (of_run + of_point) / math.sqrt(2)).tolist()
    runs = [
        run(method, 'cyclic', list(zip(EPOCHS, of_run, strict=True)), seed, f'{method}{seed}')
        for method, of_method in values.items()
        for seed, of_run in enumerate(of_method)
    ]
    halves, are_unlike, factors = half_widths(values, 'baseline')
    assert (are_unlike, factors['baseline'] > 2) == (differ, of_baseline > 1)
    for method, over in compare(Study.of(runs)).kinds['cyclic'].over_baseline.items():
        for i, one in enumerate(over.verdicts):
            value = 100 * fmean(a[i] - b[i] for a, b in zip(values[method], values['baseline'], strict=True))
            half = 100 * halves[method][i]
            assert [one.value, one.low, one.high] == pytest.approx([value, value - half, value + half])
            assert one.decided == ('' if abs(value) <= half else 'better' if value > 0 else 'worse')


def test_the_noise_of_one_budget_does_not_set_that_of_the_others():
    curves = []
    for method, lead in (('baseline', 0.0), ('BP', -0.035)):
        for seed, off in enumerate((-1, 0, 1)):
            points = [(4, 0.3 + 0.06 * off), *((epochs, 0.8 + lead + 0.005 * off) for epochs in EPOCHS)]
            curves.append(run(method, 'cyclic', points, seed, f'{method}{seed}'))
    assert [one.decided for one in verdicts(compare(Study.of(curves)))] == ['', 'worse', 'worse', 'worse']


def test_between_points_the_noise_is_that_of_the_noisier_one():
    off = np.array([[-1.0], [0.0], [1.0]])
    base, other = (
        line(at, 0.5 + off * deviations, method=method)
        for method, at, deviations in (('baseline', (16, 64), (0.06, 0.001)), ('BP', (32, 64), (0.001, 0.001)))
    )
    improved = improvement(other, base, Alignment())
    at_32, at_64 = of_curves({'baseline': base, 'BP': other}, 'baseline', {'BP': improved})['BP']
    assert at_32.high - at_32.low > 10 * (at_64.high - at_64.low)


def test_seeds_that_do_not_differ_tell_nothing():
    compared = study(noise=0)
    assert {(one.decided, one.would_do, math.isnan(one.low)) for one in verdicts(compared)} == {('', None, True)}
    assert verdict_lines(compared)[1] == '16 ep: BP undecided (3.0; 3 seeds that do not differ)'
    curves = {method: curve for (method, _), curve in compared.study.curves.items()}
    assert tiers(curves, compared.kinds['cyclic'].ranking) == {}


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
    of_what, *lines = verdict_lines(study(leads={'BP': (0.03, -0.02, 0.001)}))
    assert of_what == (
        'improvement over baseline, eval/MulticlassAccuracy, in points; above 0 is better; '
        'intervals hold for all lines at once'
    )
    assert [re.split(r' by| \(', line)[0] for line in lines] == [
        '16 ep: BP better',
        '32 ep: BP worse',
        '64 ep: BP undecided',
    ]
    assert re.fullmatch(r'16 ep: BP better by \d\.\d\d \(\d\.\d\d to \d\.\d\d\)', lines[0])
    assert re.fullmatch(r'64 ep: BP undecided \(.*, .* to .*; 3 seeds(, \d+ would do)?\)', lines[2])
    of_what, *losses = verdict_lines(study(leads={'BP': (0.03, -0.02, 0.0)}, metric='loss'))
    assert of_what.startswith('improvement over baseline, loss (less is better), in units; above 0 is better; ')
    assert [line.split(' by')[0] for line in losses[:2]] == ['16 ep: BP worse', '32 ep: BP better']
    of_what, line, *_ = verdict_lines(study(seeds=1, leads={'BP': (0.03, 0, 0)}))
    assert of_what.endswith('above 0 is better')
    assert line.endswith('; 1 seed)')
    _, line, *_ = verdict_lines(study(seeds=1, leads={'BP': (0, 0, 0)}, noise=0))
    assert line == '16 ep: BP undecided (0.0; 1 seed)'
    four = dict.fromkeys(('BP', 'CL', 'LS', 'MX'), (0.03, 0, 0))
    assert verdict_lines(study(seeds=1, leads=four))[1:] == ['undecided, one seed: train two or more']


@pytest.mark.parametrize(
    ('metric', 'noise', 'said'),
    [
        ('eval/MulticlassAccuracy', 0.2, r'-?\d+\.\d'),
        ('eval/MulticlassAccuracy', 0.0001, r'[23]\.\d{3}'),
        ('eval/LanguageCrossEntropy', 0.0001, r'0\.\d{5}'),
        ('eval/LanguageCrossEntropy', 20.0, r'-?\d+'),
    ],
)
def test_a_line_has_two_digits_of_its_interval_and_points_a_decimal(metric, noise, said):
    _, line, *_ = verdict_lines(study(metric=metric, noise=noise))
    assert re.fullmatch(rf'16 ep: BP (undecided \(|(better|worse) by ){said}[, ].*', line)


def test_a_log_of_every_epoch_has_a_line_for_each_doubling():
    curves = [
        run(method, 'log', [(float(epoch), 0.5 + epoch / 1000 + 0.01 * (method == 'BP')) for epoch in range(3, 101)], 1)
        for method in ('baseline', 'BP')
    ]
    _, *lines, more = verdict_lines(compare(Study.of(curves)))
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
