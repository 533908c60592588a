"""Several kinds of curve beside the standard one: gaps and costs worked out by hand."""

import json
from dataclasses import replace

import matplotlib as mpl
import pytest

from composer_clr.analysis.compare import compare_kinds
from composer_clr.analysis.comparison_record import record_kinds
from composer_clr.analysis.cost import curve_cost
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.slow_start import without_slow_start
from composer_clr.cli.app import main
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.files import with_metric_sets
from composer_clr.curves.names import has_cycles, kind_without_shape, shaped_kind
from composer_clr.figures.legend import kind_handles
from composer_clr.figures.style import draw_points
from tests.helpers.runs_and_lines import ACC, run, standard_runs

mpl.use('agg')
import matplotlib.pyplot as plt


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


def test_what_each_kind_of_curve_costs():
    means = mean_curves(study(), ACC)
    assert {kind: curve_cost(curve) for (_, kind), curve in means.items()} == pytest.approx(
        {
            'cyclic': 6400,
            'standard': 1600 + 3200 + 6400,
            'wsd-s': 6400,
            # The trunk whole, and of each branch its last fifth.
            'branch': 6400 + 320 + 640,
        }
    )
    # Without the longest, the trunk counts up to the last branch: 80 x 32.
    assert curve_cost(means['baseline', 'branch'], [0, 1]) == pytest.approx(2560 + 320 + 640)
    assert curve_cost(means['baseline', 'standard'], [0, 1]) == pytest.approx(4800)
    assert curve_cost(means['baseline', 'cyclic'], [0, 1]) == pytest.approx(3200)


def test_the_kinds_side_by_side():
    found, left_out = compare_kinds([*study(17), *study(18)])
    assert (list(found), left_out) == (['cyclic', 'branch', 'wsd-s'], {})
    figures = {kind: comparison.methods['baseline'] for kind, comparison in found.items()}
    assert figures['cyclic'].gap.value == pytest.approx([1, -1, -4])
    assert figures['branch'].gap.value == pytest.approx([3, 1, -1])
    assert figures['wsd-s'].gap.value == pytest.approx([-9, -11, -14])
    costs = {kind: one.cost_ratio for kind, one in figures.items()}
    assert costs == pytest.approx({'cyclic': 1.75, 'wsd-s': 1.75, 'branch': 11200 / 7360})
    written = record_kinds(found)
    assert written['methods'] == written['kinds']['cyclic']
    assert written['kinds']['branch']['baseline']['cost_ratio'] == pytest.approx(11200 / 7360)
    json.dumps(written, allow_nan=False)


def test_a_kind_that_cannot_be_compared_is_named_and_the_others_are_compared():
    curves = [*study(), run('LS', 'triangle', [(16, 0.5), (32, 0.6)])]
    found, left_out = compare_kinds(curves, strict=False)
    assert list(found) == ['cyclic', 'branch', 'wsd-s']
    assert "the baseline 'baseline' has no triangle runs" in left_out['triangle']
    with pytest.raises(CurveError, match='no triangle runs'):
        compare_kinds(curves)
    with pytest.raises(CurveError, match='no cyclic runs'):
        compare_kinds(standard_runs('baseline', [(16, 0.5), (32, 0.6)]), strict=False)


@pytest.mark.parametrize('seconds', [None, 'x', -1.0, 1700.0, float('nan')])
def test_a_parent_without_a_time_is_refused(seconds):
    (_, branch, _) = branches('m', [(16, 0.5), (32, 0.6), (64, 0.7)])
    wrong = TradeoffCurve(replace(branch.run, parent={'run_name': 't', 'wall_clock_train_s': seconds}), branch.points)
    with pytest.raises(CurveError, match="run 'trunkNone-to-16': its parent has wall_clock_train_s"):
        mean_curves([wrong], ACC)


def test_a_slow_start_is_taken_out_of_branches_too():
    def late(curve, lost_s):
        parent = curve.run.parent and {
            **curve.run.parent,
            'wall_clock_train_s': curve.run.parent['wall_clock_train_s'] + lost_s,
        }
        points = [replace(p, wall_clock_train_s=p.wall_clock_train_s + lost_s) for p in curve.points]
        return TradeoffCurve(replace(curve.run, parent=parent), points)

    even = branches('m', [(16, 0.5), (32, 0.6), (64, 0.7)])
    corrected = without_slow_start([late(curve, 100.0) for curve in even], 10)
    costs = [curve_cost(mean_curves(curves, ACC)['m', 'branch']) for curves in (corrected, even)]
    assert costs[0] == pytest.approx(costs[1])


def averaged(curves, better):
    return [
        TradeoffCurve(
            c.run,
            [replace(p, metrics={**p.metrics, f'averaged/{ACC}': p.metrics[ACC] + better}) for p in c.points],
        )
        for c in curves
    ]


def test_averaged_weights_are_a_kind_of_their_own():
    cyclic, *others = study()
    found, _ = compare_kinds(with_metric_sets([*averaged([cyclic], 0.02), *others]))
    assert found['cyclic-averaged'].methods['baseline'].gap.value == pytest.approx([3, 1, -2])
    assert found['cyclic-averaged'].methods['baseline'].cost_ratio == pytest.approx(1.75)
    assert found['cyclic'].methods['baseline'].gap.value == pytest.approx([1, -1, -4])
    # A point that lacks the second set, as of a run before it was resumed with averaging, is no point of its curve.
    part = averaged([cyclic], 0.02)[0]
    part.points[1] = cyclic.points[1]
    plain, of_average = with_metric_sets([part])
    assert [[point.epoch for point in one.points] for one in (plain, of_average)] == [[16, 32, 64], [16, 64]]


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    curves = [*averaged(study()[:1], 0.02), *study()[1:]]
    for i, curve in enumerate(curves):
        (tmp_path / str(i)).mkdir()
        curve.write(tmp_path / str(i) / 'curve.json')

    def call(*arguments):
        monkeypatch.setattr('sys.argv', ['composer-clr', *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        return capsys.readouterr().out

    shown = call('compare', tmp_path, '--json', tmp_path / 'all.json')
    assert 'each kind minus standard' in shown
    assert 'branch: cost ratio by the formula: 1.750' in shown
    written = json.loads((tmp_path / 'all.json').read_text())
    assert list(written['kinds']) == ['cyclic', 'branch', 'cyclic-averaged', 'wsd-s']
    call('plot', tmp_path, '-o', tmp_path / 'kinds.png')
    assert (tmp_path / 'kinds.png').stat().st_size > 10_000


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


def test_kinds_of_one_method_have_a_colour_and_a_marker_each():
    keys = [('baseline', kind) for kind in ('standard', 'cyclic', 'cyclic-peak-sqrt', 'wsd-s-linear', 'branch')]
    _, axes = plt.subplots()
    lines = [draw_points(axes, [1, 2], [1, 2], None, keys, key).lines[0] for key in keys]
    looks = [(line.get_color(), line.get_marker()) for line in lines]
    assert looks[:2] == [('#000000', 'o'), ('#D55E00', 'o')]
    assert len(set(looks)) == 5
    explained = {handle.get_label(): (handle.get_color(), handle.get_marker()) for handle in kind_handles(keys, keys)}
    assert explained == {kind: look for (_, kind), look in zip(keys, looks, strict=True)}
    plt.close('all')
