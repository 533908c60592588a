"""Kinds of curve beside the standard one: their names, and gaps and costs worked out by hand."""

from dataclasses import replace

import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.files import with_metric_sets
from composer_clr.curves.names import has_cycles, kind_without_shape, shaped_kind
from composer_clr.study.compare import compare
from composer_clr.study.table import Study
from tests.helpers.runs_and_lines import ACC, run, standard_runs


def branches(method, points, seed=None, kind='branch'):
    """A trunk to the last point, 100 s an epoch, and a branch to each other that leaves it at four fifths."""
    trunk = f'trunk{seed}'
    runs = [run(method, kind, [points[-1]], seed, trunk)]
    for point in points[:-1]:
        of_point = run(method, kind, [point], seed, f'{trunk}-to-{point[0]}')
        parent = {'run_name': trunk, 'batch': 0, 'wall_clock_train_s': 80.0 * point[0]}
        runs.append(TradeoffCurve(replace(of_point.run, parent=parent), of_point.points))
    return runs


def study(seed=None):
    return [
        run('baseline', 'cyclic', [(16, 0.50), (32, 0.60), (64, 0.70)], seed),
        *standard_runs('baseline', [(16, 0.49), (32, 0.61), (64, 0.74)], seed),
        run('baseline', 'wsd-s', [(16, 0.40), (32, 0.50), (64, 0.60)], seed),
        *branches('baseline', [(16, 0.52), (32, 0.62), (64, 0.73)], seed),
    ]


def compared(runs):
    return {kind: found.methods['baseline'] for kind, found in compare(Study.of(runs)).kinds.items()}


def test_gap_and_cost_of_each_kind():
    found = compared([*study(17), *study(18)])
    assert list(found) == ['cyclic', 'branch', 'wsd-s']
    gaps = {kind: one.gap.each.value.tolist() for kind, one in found.items()}
    assert gaps == {
        'cyclic': pytest.approx([1, -1, -4]),
        'branch': pytest.approx([3, 1, -1]),
        'wsd-s': pytest.approx([-9, -11, -14]),
    }
    costs = {kind: one.cost.one_run_s for kind, one in found.items()}
    # Of branches: the trunk whole, and of each branch its last fifth.
    assert costs == pytest.approx({'cyclic': 6400, 'wsd-s': 6400, 'branch': 6400 + 320 + 640})
    assert [one.cost.separate_s for one in found.values()] == pytest.approx([1600 + 3200 + 6400] * 3)
    # Where no standard run is as long as the trunk, the trunk counts up to the last branch: 80 x 32.
    shorter = compared([one for one in study() if one.run.run_name != 's64'])
    assert {kind: one.cost.one_run_s for kind, one in shorter.items()} == pytest.approx(
        {'cyclic': 3200, 'wsd-s': 3200, 'branch': 2560 + 320 + 640}
    )


@pytest.mark.parametrize('seconds', [None, 'x', -1.0, 1700.0, float('nan')])
def test_a_parent_without_a_time_is_refused(seconds):
    (_, branch, _) = branches('m', [(16, 0.5), (32, 0.6), (64, 0.7)])
    wrong = TradeoffCurve(replace(branch.run, parent={'run_name': 't', 'wall_clock_train_s': seconds}), branch.points)
    with pytest.raises(CurveError, match="run 'trunkNone-to-16': its parent has wall_clock_train_s"):
        Study.of([wrong], ACC)


def test_averaged_weights_are_a_kind_of_their_own():
    cyclic, *others = study()
    further = [replace(p, metrics={**p.metrics, f'averaged/{ACC}': p.metrics[ACC] + 0.02}) for p in cyclic.points]
    both = TradeoffCurve(cyclic.run, further)
    found = compared(with_metric_sets([both, *others]))
    assert found['cyclic-averaged'].gap.each.value == pytest.approx([3, 1, -2])
    assert found['cyclic-averaged'].cost.one_run_s == pytest.approx(6400)
    assert found['cyclic'].gap.each.value == pytest.approx([1, -1, -4])
    # A point that lacks the second set, as of a run before it was resumed with averaging, is no point of its curve.
    both.points[1] = cyclic.points[1]
    plain, of_average = with_metric_sets([both])
    assert [[point.epoch for point in one.points] for one in (plain, of_average)] == [[16, 32, 64], [16, 64]]


@pytest.mark.parametrize(
    ('arguments', 'kind'),
    [
        ({}, 'cyclic'),
        ({'shape': 'cosine', 'peak_decay': None, 't_rewarmup': None, 't_hold': None}, 'cyclic'),
        ({'shape': '1-sqrt'}, 'cyclic-1-sqrt'),
        ({'peak_decay': 'sqrt'}, 'cyclic-peak-sqrt'),
        ({'peak_decay': 0.7}, 'cyclic-peak-0.7'),
        ({'peak_decay': 1.0}, 'cyclic'),
        ({'peak_decay': [0.5, 0.7]}, 'cyclic-peak-list'),
        ({'t_rewarmup': 0.1}, 'cyclic-rewarmup'),
        ({'t_hold': 0.8, 'shape': 'linear'}, 'wsd-s-linear'),
    ],
)
def test_a_kind_names_the_shape(arguments, kind):
    assert shaped_kind('cyclic', arguments) == kind
    assert has_cycles(kind)
    assert kind_without_shape(kind) == ('wsd-s' if arguments.get('t_hold') else 'cyclic')
