"""Methods against each other on any one kind of curve, unequal seeds, ties, units and costs: by hand."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import json
from dataclasses import replace

import pytest

from composer_clr.analysis.comparison_record import record_study
from composer_clr.analysis.cost import study_cost
from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.study import compare_study
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.study.screening import usable_curves
from tests.helpers.runs_and_lines import ACC, run, standard_runs

A = [(16, 0.70, 1600), (32, 0.74, 3200), (64, 0.76, 6400)]
B = [(16, 0.69, 2000), (32, 0.75, 4000), (64, 0.78, 8000)]


def of_kind(kind, points, method, seed=1):
    if kind == 'standard':
        return standard_runs(method, points, seed)
    return [run(method, kind, points, seed, f'{method}{seed}')]


class TestOneKind:
    @pytest.mark.parametrize('kind', ['cyclic', 'wsd-s', 'branch', 'standard'])
    def test_one_run_of_each_method_is_enough(self, kind):
        study = compare_study([*of_kind(kind, A, 'A'), *of_kind(kind, B, 'B')], baseline='A')
        assert study.with_standard == {}
        (found,) = study.over_baseline.values()
        figures = found.methods['B']
        assert figures.at_equal_counts.value == pytest.approx([-1, 1, 2], abs=1e-9)
        assert figures.at_equal_counts.average.low is None
        # A at 2,000 s lies at log2(1.25) of the way from 16 to 32 epochs; B's last point is beyond A's.
        assert figures.at_equal_time.value == pytest.approx([-1 - 4 * 0.3219280949, 75 - 74 - 2 * 0.3219280949])
        assert figures.at_equal_time.left_out.tolist() == [64]
        # B reaches 74% at 5/6 of the way from 2,000 to 4,000 s.
        assert figures.speedups[1].answer.value == pytest.approx(3200 / (2000 * 2 ** (5 / 6)))
        # Half way from 16 to 32 epochs both have 72%.
        (crossing,) = figures.crossings_in_counts
        assert (crossing.budget, crossing.better) == (pytest.approx(16 * 2**0.5), 'B')
        assert found.ranking == {16: [['A'], ['B']], 32: [['B'], ['A']], 64: [['B'], ['A']]}

    def test_a_loss_improves_by_going_down(self):
        curves = [
            run(m, 'cyclic', p, 1, m, 'loss/val') for m, p in (('A', [(1, 3.0), (2, 2.0)]), ('B', [(1, 2.5), (2, 2.2)]))
        ]
        figures = compare_study(curves, baseline='A').over_baseline['cyclic'].methods['B']
        assert figures.at_equal_counts.value == pytest.approx([0.5, -0.2])
        assert [crossing.better for crossing in figures.crossings_in_counts] == ['A']

    def test_the_comparison_with_standard_runs_stands_beside_it(self):
        curves = [
            one for m, p in (('A', A), ('B', B)) for kind in ('cyclic', 'standard') for one in of_kind(kind, p, m)
        ]
        study = compare_study(curves, baseline='A')
        assert list(study.with_standard) == ['cyclic']
        assert list(study.over_baseline) == ['standard', 'cyclic']
        written = json.loads(json.dumps(record_study(study), allow_nan=False))
        assert list(written)[:8] == [
            'metric',
            'baseline',
            'align',
            'formula_cost_ratio',
            'methods',
            'ranking_agreement',
            'ranking_agreement_intervals',
            'skipped',
        ]
        over = written['over_baseline']['cyclic']['methods']['B']
        assert over['at_equal_counts']['by_epoch'] == pytest.approx({'16': -1, '32': 1, '64': 2})
        assert over['speedup'][1]['state'] == 'reached'
        assert written['over_baseline']['cyclic']['ranking']['64'] == [['B'], ['A']]

    def test_nothing_to_compare(self):
        with pytest.raises(CurveError, match="nothing to compare: 'A' has cyclic runs and no other method"):
            compare_study(of_kind('cyclic', A, 'A'))
        with pytest.raises(CurveError, match="no run is of the baseline 'C': choose one of A, B"):
            compare_study([*of_kind('cyclic', A, 'A'), *of_kind('cyclic', B, 'B')], baseline='C')


class TestIntervals:
    def curves(self, seeds=4):
        found = []
        for seed in range(seeds):
            wobble = 0.004 * (seed % 2) - 0.002 * (seed % 3)
            found += of_kind('cyclic', [(e, v + wobble, t) for e, v, t in A], 'A', seed)
            found += of_kind('cyclic', [(e, v + 1.5 * wobble, t) for e, v, t in B], 'B', seed)
        return found

    def test_speedups_and_crossings_have_intervals_over_the_seeds(self):
        figures = compare_study(self.curves(), baseline='A').over_baseline['cyclic'].methods['B']
        speedup = figures.speedups[1]
        assert (speedup.seeds, speedup.answer.state) == (4, 'reached')
        assert speedup.low < speedup.answer.value < speedup.high
        (crossing,) = figures.crossings_in_counts
        assert crossing.low < crossing.budget < crossing.high

    def test_the_same_intervals_every_time(self):
        first, second = (compare_study(self.curves(), baseline='A').over_baseline['cyclic'] for _ in range(2))
        assert first.methods['B'].speedups == second.methods['B'].speedups

    def test_so_many_seeds_to_resolve_a_difference(self):
        written = record_study(compare_study(self.curves(), baseline='A'), resolve=0.1)
        figures = written['over_baseline']['cyclic']['methods']['B']['at_equal_counts']
        assert figures['seeds'] == 4
        assert figures['seeds_to_resolve'] > 4
        one_seed = record_study(compare_study(self.curves(1), baseline='A'), resolve=0.1)
        assert one_seed['over_baseline']['cyclic']['methods']['B']['at_equal_counts']['seeds_to_resolve'] is None


class TestSeeds:
    @pytest.fixture
    def curves(self):
        """Seeds 1, 2, 3 at 16, 32, 64 epochs, the same values on either kind; the cyclic seed 3 stops at 32."""
        values = {1: (0.50, 0.60, 0.70), 2: (0.52, 0.62, 0.72), 3: (0.57, 0.67, 0.77)}
        points = {seed: list(zip((16, 32, 64), of_seed, strict=True)) for seed, of_seed in values.items()}
        cyclic = [run('baseline', 'cyclic', points[s][:2] if s == 3 else points[s], s) for s in values]
        return [*cyclic, *(one for s in values for one in standard_runs('baseline', points[s], s))]

    def test_the_seeds_that_both_sides_have(self, curves):
        gap = compare_study(curves).with_standard['cyclic'].methods['baseline'].gap
        assert gap.value.tolist() == [0, 0, 0]
        assert [one.seeds for one in gap.estimates] == [3, 3, 2]
        assert gap.unequal == 'over the seeds that both sides have: 1, 2, 3 at 16, 32; 1, 2 at 64'

    def test_all_seeds(self, curves):
        gap = compare_study(curves, seeds='all').with_standard['cyclic'].methods['baseline'].gap
        assert gap.value == pytest.approx([0, 0, -2])
        assert gap.unequal == 'over all seeds, which are not the same on both sides'

    def test_without_a_common_seed_the_sides_are_independent(self):
        points = {seed: [(16, 0.5 + 0.01 * seed), (32, 0.6)] for seed in range(1, 5)}
        curves = [run('baseline', 'cyclic', points[s], s) for s in (1, 2)]
        curves += [one for s in (3, 4) for one in standard_runs('baseline', points[s], s)]
        gap = compare_study(curves).with_standard['cyclic'].methods['baseline'].gap
        assert gap.value == pytest.approx([-2, 0])
        assert gap.unequal == 'the two sides have no seed in common: compared as independent samples'


def test_three_seeds_with_equal_means_have_no_direction():
    values = {'A': (0.603, 0.603, 0.603), 'B': (0.562, 0.603, 0.644)}
    curves = []
    for method, of_seed in values.items():
        for seed, value in enumerate(of_seed):
            points = [(16, value), (32, value)]
            curves += [run(method, 'cyclic', points, seed), *standard_runs(method, points, seed)]
    study = compare_study(curves, baseline='A')
    figures = study.with_standard['cyclic'].methods['B']
    assert figures.improvement.cyclic.tolist() == [0, 0]
    assert figures.cosine_similarity is None
    assert study.with_standard['cyclic'].agreement == {16: None, 32: None}
    assert study.over_baseline['cyclic'].ranking == {16: [['A', 'B']], 32: [['A', 'B']]}
    assert study.over_baseline['cyclic'].methods['B'].crossings_in_counts == []


class TestUnits:
    def test_percent_beside_fractions_is_refused_naming_both(self):
        curves = [
            run('baseline', 'cyclic', [(16, 0.699), (32, 0.719), (64, 0.741)], name='fractions'),
            *standard_runs('baseline', [(16, 70.0), (32, 72.0), (64, 74.0)]),
        ]
        with pytest.raises(CurveError, match="is in percent in run 's64' and a fraction in run 'fractions'"):
            compare_study(curves)

    @pytest.mark.parametrize('kind', ['cyclic', 'standard'])
    def test_a_seed_in_percent_beside_one_in_fractions_is_refused(self, kind):
        in_percent = [(epoch, 100 * value) for epoch, value, _ in A]
        curves = [*of_kind(kind, A, 'A'), *of_kind(kind, in_percent, 'A', 2), *of_kind(kind, B, 'B')]
        with pytest.raises(CurveError, match='is in percent in run .* and a fraction in run .*: give all runs in one'):
            compare_study(curves, baseline='A')

    def test_a_short_run_of_less_than_one_percent_is_in_percent_as_its_seed_is(self):
        curves = [one for m in 'AB' for one in of_kind('standard', [(1, 0.9), (16, 70.0)], m)]
        assert compare_study(curves, baseline='A').scale == 1

    def test_a_negative_accuracy_leaves_differences_in_points(self):
        curves = [run(m, 'cyclic', [(16, v), (32, 0.5)], name=m) for m, v in (('A', -0.01), ('B', 0.05))]
        found = compare_study(curves, baseline='A').over_baseline['cyclic'].methods['B']
        assert found.at_equal_counts.value == pytest.approx([6, 0])

    def test_losses_below_and_above_one_are_of_one_unit(self):
        curves = [run(m, 'cyclic', [(16, v), (32, v / 2)], metric='loss') for m, v in (('A', 3.0), ('B', 0.9))]
        assert compare_study(curves, baseline='A').scale == 1


class TestCost:
    def test_gpu_hours_and_money(self):
        def on_eight(curve):
            return TradeoffCurve(replace(curve.run, world_size=8), curve.points)

        curves = [run('baseline', 'cyclic', [(36, 0.5), (72, 0.6)]), *standard_runs('baseline', [(36, 0.5), (72, 0.6)])]
        written = record_study(compare_study(list(map(on_eight, curves))), price=2.5)
        cost = written['methods']['baseline']['cost']
        assert (cost['one_run_gpu_h'], cost['separate_gpu_h']) == pytest.approx((16, 24))
        assert (cost['one_run_price'], cost['separate_price']) == pytest.approx((40, 60))

    def test_gpu_hours_of_runs_on_different_numbers_of_gpus_are_added_up_and_the_runs_named(self):
        curves = [run('m', 'cyclic', [(36, 0.5), (72, 0.6)]), *standard_runs('m', [(36, 0.5), (72, 0.6)])]
        curves[1] = TradeoffCurve(replace(curves[1].run, world_size=8), curves[1].points)
        study = compare_study(curves, gpus=4)
        cost = study.with_standard['cyclic'].methods['m'].cost
        # One run of 2 hours; 1 hour on eight GPUs, and 2 hours on one.
        assert (cost.one_run_gpu_h, cost.separate_gpu_h) == pytest.approx((2, 10))
        assert record_study(study)['warnings'] == [
            "training times are not comparable: run 'r' has world_size=1, run 's36' 8"
        ]

    def test_an_unknown_number_of_gpus_has_no_gpu_hours(self):
        curves = [run('m', 'cyclic', [(36, 0.5), (72, 0.6)]), *standard_runs('m', [(36, 0.5), (72, 0.6)])]
        curves = [TradeoffCurve(replace(curve.run, world_size=None), curve.points) for curve in curves]
        means = mean_curves(curves, ACC)
        assert study_cost(means['m', 'cyclic'], means['m', 'standard']).one_run_gpu_h is None
        assert study_cost(means['m', 'cyclic'], means['m', 'standard'], gpus=2).one_run_gpu_h == pytest.approx(4)


class TestUsable:
    def test_a_diverged_point_and_a_second_run_of_a_seed_are_left_out(self):
        good, second = run('A', 'cyclic', A, 1, 'good'), run('A', 'cyclic', A, 1, 'second')
        bad = run('B', 'cyclic', B, 1, 'bad')
        bad = replace(bad, points=[*bad.points[:2], replace(bad.points[2], diverged=True)])
        kept, metric, errors = usable_curves([good, second, bad])
        assert [(curve.run.run_name, len(curve.points)) for curve in kept] == [('good', 3), ('bad', 2)]
        assert metric == ACC
        assert str(errors[0]).startswith(
            "run 'second' is left out: run 'good' too is A, cyclic, seed 1, with a point at"
        )
        assert str(errors[1]).startswith("run 'bad': its point at epoch 64 has diverged: it is left out; train the run")
        with pytest.raises(CurveError, match="'second' is left out"):
            usable_curves([good, second, bad], strict=True)

    def test_nothing_is_left_out_of_a_sound_study(self):
        curves = [*of_kind('cyclic', A, 'A'), *of_kind('standard', A, 'A')]
        kept, _, errors = usable_curves(curves)
        assert (kept, errors) == (curves, [])
