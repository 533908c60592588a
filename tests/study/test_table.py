"""What a study decides once: the seeds of each curve, the points they share, and what is followed along it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.study.ask import answer
from composer_clr.study.compare import compare
from composer_clr.study.record import record
from composer_clr.study.selection import usable_curves
from composer_clr.study.table import Study
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs


def of_seeds(method, kind, points):
    """Runs of several seeds; points by seed."""
    runs = [run(method, kind, at, seed, f'{method}{kind}{seed}') for seed, at in points.items()]
    return (
        runs if kind != 'standard' else [one for seed, at in points.items() for one in standard_runs(method, at, seed)]
    )


def only(study):
    (curve,) = study.curves.values()
    return curve


class TestPointsOfSeeds:
    """A mean over seeds is over the same seeds everywhere along a curve."""

    def test_seeds_at_slightly_different_counts_share_their_points(self):
        near = {1: [(4, 0.5), (8, 0.6), (16, 0.7)], 2: [(4.001, 0.4), (8.001, 0.5), (16.001, 0.6)]}
        points = {seed: [(e, v, 10 * e) for e, v in at] for seed, at in near.items()}
        study = Study.of(of_seeds('A', 'cyclic', points))
        curve = only(study)
        assert curve.count.tolist() == [4.001, 8, 16]
        # By hand, a share of ln(4.001 / 4) / ln(2) of the way.
        first = 0.5 + 0.1 * math.log2(4.001 / 4)
        assert curve.value[0] == pytest.approx([first, 0.6, 0.7])
        assert curve.value[1, 1] == pytest.approx(0.4 + 0.1 * math.log(8 / 4.001) / math.log(8.001 / 4.001))
        (found,) = answer(of_seeds('A', 'cyclic', points), reach=[0.6]).curves
        # Half way from 55% at 80 s to 65% at 160 s; the better seed is there at 80 s.
        assert found.reached[0].value == pytest.approx(80 * math.sqrt(2), rel=1e-3)
        assert found.reached[0].seeds == 2

    def test_seeds_with_other_steps_are_interpolated_within_their_range(self):
        points = {1: [(100, 0.1), (200, 0.2), (400, 0.3)], 2: [(141, 0.15), (282, 0.25), (565, 0.35)]}
        curve = only(Study.of(of_seeds('A', 'cyclic', points)))
        assert curve.count.tolist() == [100, 141, 200, 282, 400, 565]
        expected = [[100, 200, 400], [0.1, 0.2, 0.3]], [[141, 282, 565], [0.15, 0.25, 0.35]]
        for row, (x, y) in zip(curve.value, expected, strict=True):
            found = np.interp(np.log(curve.count), np.log(x), y, left=np.nan, right=np.nan)
            assert row == pytest.approx(found, nan_ok=True)
        followed = curve.followed
        assert followed.count.tolist() == [141, 200, 282, 400]
        assert not np.isnan(followed.value).any()

    def test_a_point_that_a_seed_lacks_is_not_made_up_but_followed_over(self):
        points = {s: [(16, 0.5 + s / 100), (32, 0.6), (64, 0.7)] for s in (1, 2, 3)}
        del points[3][1]
        study = Study.of(of_seeds('A', 'standard', points))
        curve = only(study)
        assert np.isnan(curve.value[2]).tolist() == [False, True, False]
        assert curve.followed.value[2, 1] == pytest.approx((0.53 + 0.7) / 2)

    def test_a_seed_that_ends_early_counts_at_its_points_but_is_not_followed(self):
        points = {1: [(16, 0.5), (32, 0.6), (64, 0.7)], 2: [(16, 0.3), (32, 0.4)]}
        study = Study.of(of_seeds('A', 'cyclic', points))
        curve = only(study)
        assert study.values(curve).seeds.tolist() == [2, 2, 1]
        assert curve.followed.mean().tolist() == [0.5, 0.6, 0.7]
        assert study.notes == (
            'A, cyclic: its line, and times to a value, are over seed 1; seed 2 does not reach from 16 to 64 epochs',
        )

    def test_where_no_seed_has_all_points_the_line_ends_where_the_first_does(self):
        points = {1: [(8, 0.4), (16, 0.5), (32, 0.6)], 2: [(16, 0.3), (32, 0.4), (64, 0.5)]}
        study = Study.of(of_seeds('A', 'cyclic', points))
        assert only(study).followed.count.tolist() == [16, 32]
        assert study.notes == ('A, cyclic: its line goes from 16 to 32 epochs, where all its seeds are measured',)

    def test_runs_of_one_point_without_a_seed_make_up_curves(self):
        runs = [*standard_runs('A', [(16, 0.5), (32, 0.6)]), *standard_runs('A', [(16, 0.52), (32, 0.58)])]
        curve = only(Study.of(runs))
        assert curve.has.sum() == 2
        assert curve.followed.mean() == pytest.approx([0.51, 0.59])
        cyclic = [run('A', 'cyclic', [(16, v), (32, 0.6)], name=f'{v}') for v in (0.5, 0.7)]
        assert only(Study.of(cyclic)).mean().tolist() == pytest.approx([0.6, 0.6])


class TestSeedsOfAStudy:
    """Everything is over the seeds that the baseline has too."""

    @pytest.fixture
    def curves(self):
        one, two = [(4, 0.50), (8, 0.60)], [(4, 0.40), (8, 0.50)]
        better = [(e, v + 0.01) for e, v in one]
        return [
            *of_seeds('baseline', 'standard', {1: one}),
            *of_seeds('A', 'standard', {1: better, 2: two}),
            *of_seeds('baseline', 'cyclic', {1: one}),
            *of_seeds('A', 'cyclic', {1: better}),
        ]

    def test_tau_rankings_times_and_frontier(self, curves):
        study = Study.of(curves)
        found = compare(study).kinds
        assert [float(tau.value) for tau in found['cyclic'].taus.values() if tau] == [1, 1]
        assert found['standard'].ranking == {4: [['A'], ['baseline']], 8: [['A'], ['baseline']]}
        assert study.notes == ('A, standard: without seed 2, which baseline does not have (--all-seeds)',)
        answers = answer(curves, reach=[0.55])
        times = {(one.curve.method, one.curve.kind): one for one in answers.curves}
        method, base = times['A', 'standard'], times['baseline', 'standard']
        assert method.speedups[0] is not None
        assert base.reached[0].value / method.reached[0].value == pytest.approx(method.speedups[0].answer.value)
        assert {(p.method, p.value) for p in answers.frontier} == {('A', 0.51), ('A', 0.61)}

    def test_all_seeds(self, curves):
        study = Study.of(curves, all_seeds=True)
        found = compare(study).kinds
        assert found['standard'].ranking == {4: [['baseline'], ['A']], 8: [['baseline'], ['A']]}
        assert [float(tau.value) for tau in found['cyclic'].taus.values() if tau] == [-1, -1]
        assert study.notes == ()

    def test_without_a_common_seed_the_sides_are_independent(self):
        points = {seed: [(16, 0.5 + 0.01 * seed), (32, 0.6)] for seed in range(1, 5)}
        curves = of_seeds('baseline', 'cyclic', {s: points[s] for s in (1, 2)})
        curves += of_seeds('baseline', 'standard', {s: points[s] for s in (3, 4)})
        gap = compare(Study.of(curves)).kinds['cyclic'].methods['baseline'].gap
        assert gap.each.value == pytest.approx([-2, 0])
        assert gap.unequal == 'the two sides have no seed in common: compared as independent samples'

    def test_the_seeds_that_both_sides_have(self):
        values = {1: (0.50, 0.60, 0.70), 2: (0.52, 0.62, 0.72), 3: (0.57, 0.67, 0.77)}
        points = {seed: list(zip((16, 32, 64), of_seed, strict=True)) for seed, of_seed in values.items()}
        curves = of_seeds('baseline', 'cyclic', {**points, 3: points[3][:2]})
        curves += of_seeds('baseline', 'standard', points)
        gap = compare(Study.of(curves)).kinds['cyclic'].methods['baseline'].gap
        assert (gap.each.value.tolist(), gap.each.seeds.tolist()) == ([0, 0, 0], [3, 3, 2])
        assert gap.unequal == 'over the seeds that both sides have: 1, 2, 3 at 16, 32; 1, 2 at 64'
        gap = compare(Study.of(curves, all_seeds=True)).kinds['cyclic'].methods['baseline'].gap
        assert gap.each.value == pytest.approx([0, 0, -2])
        assert gap.unequal == 'over all seeds, which are not the same on both sides'

    def test_nothing_depends_on_the_order_of_files(self):
        rng = np.random.default_rng(1)
        curves = [
            one
            for method, kind in itertools.product(('baseline', 'A'), ('cyclic', 'standard'))
            for one in of_seeds(
                method,
                kind,
                {s: [(e, 0.5 + e / 1000 + 0.01 * rng.normal(), 1000.0 * e) for e in (16, 32, 64)] for s in range(3)},
            )
        ]
        expected = record(compare(Study.of(curves)))
        for _ in range(4):
            # Methods stand in the order in which they appear.
            order = sorted(rng.permutation(len(curves)), key=lambda i: curves[i].run.method != 'baseline')
            assert record(compare(Study.of([curves[i] for i in order]))) == expected


class TestCost:
    def test_a_one_run_curve_with_one_point_is_still_one_run(self):
        points = [(4, 0.50, 40), (8, 0.60, 80), (16, 0.70, 160)]
        curves = of_seeds('baseline', 'cyclic', {1: points, 2: points[:1]})
        curves += of_seeds('baseline', 'standard', {1: points, 2: points})
        cost = compare(Study.of(curves)).kinds['cyclic'].methods['baseline'].cost
        assert float(cost.ratio.value) == pytest.approx((40 + 80 + 160) / 160)
        assert cost.counted_ratio == pytest.approx(28 / 16)

    def test_runs_of_different_paces_are_not_timed_alike(self):
        curves = [
            run('baseline', 'cyclic', [(16, 0.5, 1600), (32, 0.6, 3200), (64, 0.7, 6400)]),
            *standard_runs('baseline', [(16, 0.5, 3200), (32, 0.6, 6400), (64, 0.7, 12800)]),
        ]
        cost = compare(Study.of(curves)).kinds['cyclic'].methods['baseline'].cost
        assert (cost.timed_alike, cost.pace_spread) == (False, 2)
        assert cost.runs_s == pytest.approx([3200, 6400, 12800])
        assert (float(cost.ratio.value), cost.counted_ratio) == pytest.approx((3.5, 1.75))

    def test_measured_times_are_interpolated_at_their_pace(self):
        curves = [run('m', 'cyclic', [(8, 0, 1), (32, 0, 300), (64, 0, 600), (128, 0, 9000)])]
        curves += standard_runs('m', [(16, 0, 160), (64, 0, 640)])
        cost = compare(Study.of(curves)).kinds['cyclic'].methods['m'].cost
        # A run to 32 epochs would have taken 320 s; 8 and 128 epochs were never trained to.
        assert float(cost.ratio.value) == pytest.approx((320 + 640) / 600, abs=1e-12)

    def test_gpu_hours(self):
        curves = [run('m', 'cyclic', [(36, 0.5), (72, 0.6)]), *standard_runs('m', [(36, 0.5), (72, 0.6)])]
        curves = [
            replace(curve, run=replace(curve.run, world_size=n)) for curve, n in zip(curves, (1, 8, 1), strict=True)
        ]
        written = record(compare(Study.of(curves)))
        cost = written['methods']['m']['cost']
        # One run of 2 hours; 1 hour on eight GPUs, and 2 hours on one.
        assert [cost[name] for name in ('one_run_gpu_h', 'separate_gpu_h')] == pytest.approx([2, 10])
        assert written['warnings'] == ["training times are not comparable: run 'r' has world_size=1, run 's36' 8"]
        unknown = [replace(curve, run=replace(curve.run, world_size=None)) for curve in curves]
        assert compare(Study.of(unknown)).kinds['cyclic'].methods['m'].cost.one_run_gpu_h is None


class TestUnits:
    @pytest.mark.parametrize('kind', ['cyclic', 'standard'])
    def test_percent_beside_fractions_is_refused_naming_both(self, kind):
        a, b = [(16, 0.69), (32, 0.72)], [(16, 69.0), (32, 72.0)]
        with pytest.raises(CurveError, match='is in percent in run .* and a fraction in run .*: give all runs in one'):
            Study.of([*of_seeds('A', kind, {1: a}), *of_seeds('A', kind, {2: b})])

    @pytest.mark.parametrize(
        ('metric', 'values', 'scale'),
        [('top1', (0.9, 70.0), 1), ('top1', (-0.01, 0.5), 100), ('loss', (3.0, 0.9), 1), ('top1', (0.1, 0.5), 100)],
    )
    def test_differences_are_in_points_of_fractions(self, metric, values, scale):
        study = Study.of([run('A', 'cyclic', list(zip((1, 2), values, strict=True)), metric=metric)])
        assert study.scale == scale

    def test_perplexities_are_averaged_geometrically_in_all_commands(self):
        metric = 'eval/LanguagePerplexity'
        curves = [
            run('A', 'cyclic', [(4, v), (8, v / 2)], s, f'{s}', metric=metric) for s, v in ((1, 100.0), (2, 25.0))
        ]
        curves += [run('baseline', 'cyclic', [(4, 100.0), (8, 50.0)], s, f'b{s}', metric=metric) for s in (1, 2)]
        study = Study.of(curves)
        assert study.values(study.curves['A', 'cyclic']).value == pytest.approx([50, 25])
        (_, found) = answer(curves, within=[400.0], reach=[35.35533905932738]).curves
        assert found.values[0].value == pytest.approx(50)
        assert found.reached[0].value == pytest.approx(400 * 2**0.5)
        over = compare(study).kinds['cyclic'].over_baseline['A'].at_equal_counts
        assert over is not None
        assert over.each.value == pytest.approx([math.log(2)] * 2)


class TestLeftOut:
    def test_a_diverged_point_and_a_second_run_of_a_seed(self):
        good, second, bad = (
            run(m, 'cyclic', [(16, 0.5), (32, 0.6)], 1, n) for m, n in (('A', 'good'), ('A', 'second'), ('B', 'bad'))
        )
        bad = replace(bad, points=[bad.points[0], replace(bad.points[1], diverged=True)])
        study = Study.of([good, second, bad], baseline='A', strict=False)
        assert [str(error).split(': ')[:2] for error in study.left_out] == [
            ["run 'second' is left out", "run 'good' too is A, cyclic, seed 1, with a point at epoch 16"],
            ["run 'bad'", 'its point at epoch 32 has diverged'],
        ]
        with pytest.raises(CurveError, match="'second' is left out"):
            Study.of([good, second, bad])

    @pytest.mark.parametrize('value', [math.nan, math.inf, 1e200])
    def test_a_value_that_cannot_be_computed_with(self, value):
        _, _, (error,) = usable_curves([run('A', 'cyclic', [(16, value), (32, 0.6)])])
        assert f'at epoch 16 has {ACC} {value}: it is left out' in str(error)

    @pytest.mark.parametrize('time_s', [0.0, -1.0, math.inf, 1e200, 1e-300])
    def test_a_time_that_cannot_be_computed_with(self, time_s):
        _, _, errors = usable_curves([run('A', 'cyclic', [(16, 0.5, time_s), (32, 0.6)])])
        assert f'has wall_clock_train_s {time_s}: it is left out; it must be above 0' in str(errors[0])

    def test_points_that_one_batch_ended_together_are_one(self):
        curve = TradeoffCurve(Run('r', 'cyclic', 'A'), [point(1, 0.5), point(1, 0.5), point(2, 0.6)])
        assert only(Study.of([curve])).count.tolist() == [1, 2]
        other = replace(curve, points=[curve.points[0], replace(curve.points[1], metrics={ACC: 0.4})])
        with pytest.raises(CurveError, match='two of its points at epoch 1 have different values'):
            Study.of([other])


def test_of_a_run_and_a_longer_one_of_its_seed_the_longer_one_stays():
    points = [(16, 0.6), (32, 0.7), (64, 0.75)]
    short, long = (run('A', 'cyclic', points[:n], 1, name) for n, name in ((2, 'short'), (3, 'long')))
    other = run('A', 'cyclic', points[:2], 2, 'other')
    for curves in ([short, long, other], [other, long, short]):
        kept, _, errors = usable_curves(curves)
        assert [one.run.run_name for one in kept] == [one.run.run_name for one in curves if one is not short]
        (error,) = errors
        assert "run 'short' is left out: run 'long' too is A, cyclic, seed 1, with a point at epoch 16" in str(error)


class TestRunsWithoutTheMetric:
    def test_runs_with_the_same_metrics_are_left_out_in_one_line(self):
        others = [run('A', 'log', [(n, 0.1 * n) for n in (1, 2, 3)], seed, f'{seed}', 'f1') for seed in range(4)]
        own = [run('baseline', 'cyclic', [(16, 0.5), (32, 0.6)], seed, f'own{seed}') for seed in range(5)]
        kept, metric, (error,) = usable_curves([*others, *own], ACC)
        assert (kept, metric) == (own, ACC)
        assert str(error) == (
            f"4 runs have no metric '{ACC}', only f1: name one that all have (--metric), or rename it "
            "('0', '1', ..., '3' (4 in all))"
        )

    def test_named_without_its_label_it_is_that_of_a_run_without_labels_too(self):
        short = ACC.rpartition('/')[2]
        log = run('keras', 'log', [(16, 0.4), (32, 0.7)], 1, 'log', short)
        own = run('baseline', 'cyclic', [(16, 0.5), (32, 0.6)], 1, 'own')
        kept, metric, errors = usable_curves([log, own], short)
        assert (metric, errors) == (ACC, [])
        assert [[one.metrics for one in curve.points] for curve in kept] == [
            [{ACC: 0.4}, {ACC: 0.7}],
            [{ACC: 0.5}, {ACC: 0.6}],
        ]
        _, _, (error,) = usable_curves([log, own], ACC)
        assert str(error).endswith(f'only {short}: --metric {short} takes both')
        assert usable_curves([log], short)[1] == short

    def test_a_run_with_both_names_has_two_metrics(self):
        both = run('A', 'cyclic', [(16, 0.5)], 1, 'both')
        both = replace(both, points=[replace(both.points[0], metrics={ACC: 0.5, 'MulticlassAccuracy': 0.9})])
        kept, metric, _ = usable_curves([both, run('B', 'cyclic', [(16, 0.6)], 1)], 'MulticlassAccuracy')
        assert (metric, kept[0].points[0].metrics[metric]) == (ACC, 0.5)
        assert usable_curves([both], 'MulticlassAccuracy')[1] == 'MulticlassAccuracy'
