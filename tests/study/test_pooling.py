"""Runs that differ in more than the seed are not seeds of one curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.long_csv import long_csv
from composer_clr.study.ask import answer
from composer_clr.study.compare import compare
from composer_clr.study.pooling import differing_pace
from composer_clr.study.record import record
from composer_clr.study.selection import usable_curves, without_odd_runs
from composer_clr.study.table import Study
from tests.helpers.runs_and_lines import ACC, run, standard_runs

POINTS = [(16, 0.70), (32, 0.74), (64, 0.76)]


def seeds(*changes: dict, kind: str = 'cyclic', method: str = 'A') -> list[TradeoffCurve]:
    """Returns a run per change of its record, seeds from 1."""
    found = []
    for seed, change in enumerate(changes, start=1):
        curve = run(method, kind, [(e, v + 0.01 * seed) for e, v in POINTS], seed, f'{method}{seed}')
        found.append(replace(curve, run=replace(curve.run, **change)))
    return found


def names(curves):
    return [curve.run.run_name for curve in curves]


MOST = 'most runs of A, cyclic'
OLDER = {
    'model': ({'model': 'ResNet'}, {'model': 'ViT'}, f"model='ViT', {MOST} 'ResNet'"),
    'parameters': ({'parameters': 100}, {'parameters': 270}, f'model.parameters=270, {MOST} 100'),
    'batch size': (
        {'training': {'batch_size': 50}},
        {'training': {'batch_size': 500}},
        f'data.batch_size=500, {MOST} 50',
    ),
    'algorithms': (
        {'training': {'algorithms': ['MixUp', 'EMA']}},
        {'training': {'algorithms': ['MixUp']}},
        f"algorithms=['MixUp'], {MOST} ['MixUp', 'EMA']",
    ),
}


class TestOlderFiles:
    @pytest.mark.parametrize(('usual', 'odd', 'said'), OLDER.values(), ids=OLDER)
    def test_the_one_that_differs_is_left_out_with_both_values(self, usual, odd, said):
        curves = seeds(usual, odd, usual)
        kept, _, (error,) = usable_curves(curves)
        assert names(kept) == ['A1', 'A3']
        assert str(error).startswith(f"run 'A2' has {said}: ")
        (mean,) = Study.of(kept).curves.values()
        assert mean.mean() == pytest.approx(np.mean([[v + 0.01 * s for _, v in POINTS] for s in (1, 3)], axis=0))
        with pytest.raises(CurveError, match="run 'A2' has "):
            usable_curves(curves, strict=True)

    def test_what_a_file_does_not_record_is_not_compared(self):
        curves = seeds({}, {'parameters': 100}, {'training': {'batch_size': 5}}, {'parameters': 100, 'model': 'X'})
        assert without_odd_runs(curves) == (curves, [])


class TestSettings:
    @pytest.mark.parametrize(
        ('name', 'usual', 'odd'),
        [
            ('optimizer.lr', 0.1, 0.05),
            ('algorithms.MixUp.alpha', 0.2, 0.3),
            ('averages.TroughAverage.window', 0.25, 0.5),
            ('a.name.of.a.later.version', 'x', 'y'),
        ],
    )
    def test_what_makes_another_curve_is_left_out(self, name, usual, odd):
        kept, _, (error,) = usable_curves(seeds(*({'settings': {name: value}} for value in (usual, usual, odd))))
        assert names(kept) == ['A1', 'A2']
        assert f'has {name}={odd!r}, most runs of A, cyclic {usual!r}: ' in str(error)

    def test_the_recipe_is_compared_and_named_as_the_user_wrote_it(self):
        changes = (
            {'settings': {'recipe': {'seed': seed, 'optimizer': {'lr': 0.1 * (seed != 3)}}}} for seed in range(5)
        )
        kept, _, (error,) = usable_curves(seeds(*changes))
        assert names(kept) == ['A1', 'A2', 'A3', 'A5']
        assert "run 'A4' has optimizer.lr=0.0, most runs of A, cyclic 0.1: " in str(error)

    def test_what_makes_no_other_curve_is_pooled(self):
        changes = (
            {
                'settings': {
                    'seed': seed,
                    'run_name': f'r{seed}',
                    'host': f'node{seed}',
                    'optimizer.lr': 1.0 + (seed > 5),
                }
            }
            for seed in range(3)
        )
        curves = [*seeds(*changes), *seeds({})]
        assert without_odd_runs(curves) == (curves, [])

    def test_runs_with_settings_and_older_ones_are_compared_by_what_both_record(self):
        curves = seeds({'parameters': 5}, {'parameters': 5, 'settings': {'optimizer.lr': 0.1}}, {'parameters': 6}, {})
        (error,) = without_odd_runs(curves)[1]
        assert "'A3' has model.parameters=6" in str(error)

    def test_other_troughs_are_another_curve_and_a_longer_run_is_not(self):
        troughs = [16, 32], [16, 32, 64], [16, 32], [8, 16, 32, 64]
        curves = seeds(*({'schedule': {'scheduler': 'S', 'troughs': ends}} for ends in troughs))
        (error,) = without_odd_runs(curves)[1]
        assert "'A4' has schedule.troughs=[8, 16, 32, 64], most runs of A, cyclic [16, 32" in str(error)

    def test_three_differences_are_named_and_the_others_counted(self):
        usual = {f's{i}': 0 for i in range(5)}
        curves = seeds(*({'settings': values} for values in (usual, usual, dict.fromkeys(usual, 1))))
        (error,) = without_odd_runs(curves)[1]
        assert 's0=1, most runs of A, cyclic 0; s1=1, ' in str(error)
        assert ' and 2 more: ' in str(error)

    def test_a_run_that_went_on_under_other_settings_is_another_curve(self):
        change = {'batch': 50, 'changed': {'optimizer.lr': [0.1, 0.05]}}
        longer = {'batch': 50, 'changed': {'max_duration': ['4ep', '8ep']}}
        curves = seeds({}, {'changes': [change]}, {'changes': [longer]}, {})
        (error,) = without_odd_runs(curves)[1]
        said = "run 'A2' has changes=['optimizer.lr=0.1, now 0.05 from batch 50'], most runs of A, cyclic []: give it"
        assert str(error).startswith(said)


class TestMajority:
    def test_without_one_nothing_is_compared(self):
        for changes in (({'parameters': 1}, {'parameters': 2}), [{'parameters': n} for n in (1, 1, 2, 3)]):
            with pytest.raises(CurveError, match=r"'A1' has model.parameters=1, run '.*' 2, so they .* \(A, cyclic\)"):
                usable_curves(seeds(*changes))

    def test_a_run_that_does_not_record_it_has_no_vote(self):
        with pytest.raises(CurveError, match="run 'A2' has model.parameters=1, run 'A3' 2"):
            usable_curves(seeds({}, {'parameters': 1}, {'parameters': 2}))

    def test_runs_that_are_each_odd_in_their_own_way_have_none(self):
        odd = {'model': 'X'}, {'parameters': 2}, {'training': {'batch_size': 9}}
        usual = {'model': 'M', 'parameters': 1, 'training': {'batch_size': 8}}
        with pytest.raises(CurveError, match="has model='X', run 'A2' 'M'"):
            usable_curves(seeds(*(usual | one for one in odd)))

    def test_each_method_and_kind_has_its_own(self):
        curves = [
            *seeds({'parameters': 1}, {'parameters': 1}),
            *seeds({'parameters': 2}, {'parameters': 2}, method='B'),
            *seeds({'parameters': 3}, kind='standard'),
        ]
        assert without_odd_runs(curves) == (curves, [])

    def test_a_run_of_the_same_seed_is_named_with_what_differs(self):
        first, second, third = seeds({'parameters': 2}, {'parameters': 1}, {'parameters': 1})
        twin = replace(first, run=replace(first.run, seed=2, run_name='twin'))
        kept, _, (error,) = usable_curves([twin, second, third])
        assert names(kept) == ['A2', 'A3']
        assert "'twin' has model.parameters=2, most runs of A, cyclic 1" in str(error)


def test_a_comparison_refuses_runs_that_are_no_seeds_of_one_curve():
    standard = [one for seed in (1, 2) for one in standard_runs('baseline', POINTS, seed)]
    cyclic = seeds({'model': 'X'}, {'model': 'Y'}, method='baseline')
    with pytest.raises(CurveError, match="has model='X'"):
        Study.of([*cyclic, *standard])


class TestPace:
    @pytest.mark.parametrize(
        ('name', 'one', 'other'),
        [('device', 'A100', 'H100'), ('host', 'a', 'b'), ('precision', 'fp32', 'amp_bf16'), ('world_size', 8, 4)],
    )
    def test_methods_timed_under_different_settings_are_named_with_both(self, name, one, other):
        baseline = seeds({'settings': {name: one}}, {'settings': {name: one}}, method='baseline')
        b, c = (seeds({'settings': {name: value}}, method=method) for method, value in (('B', other), ('C', one)))
        study = compare(Study.of([*baseline, *b, *c]))
        why = f"training times are not comparable: run 'baseline1' has {name}={one!r}, run 'B1' {other!r}"
        found = study.kinds['cyclic'].over_baseline
        assert (found['B'].unlike_times, found['C'].unlike_times) == (why, None)
        assert study.study.warnings == (why,)
        written = record(study)['over_baseline']['cyclic']['methods']
        assert [written[method]['unlike_times'] for method in 'BC'] == [why, None]

    def test_cyclic_and_standard_runs_likewise(self):
        cyclic = seeds({'settings': {'device': 'A100'}}, method='baseline')
        standard = [
            replace(one, run=replace(one.run, settings={'device': 'H100'}))
            for one in standard_runs('baseline', POINTS, 1)
        ]
        figures = compare(Study.of([*cyclic, *standard])).kinds['cyclic'].methods['baseline']
        assert figures.unlike_times == (
            "training times are not comparable: run 'baseline1' has device='A100', run 's16' 'H100'"
        )

    def test_runs_of_one_method_are_pooled_and_named(self):
        curves = seeds({'settings': {'device': 'A100'}}, {'settings': {'device': 'H100'}})
        assert without_odd_runs(curves) == (curves, [])
        (found,) = answer(curves, reach=[0.75]).curves
        assert str(found.unlike_times).endswith("run 'A1' has device='A100', run 'A2' 'H100'")
        # The mean is 75.5% at 32 epochs and 71.5% at 16.
        assert found.reached_counts[0].value == pytest.approx(16 * 2 ** (3.5 / 4))

    def test_a_run_that_was_resumed_on_other_ranks_is_not_timed_alike(self):
        (curve,) = seeds({'world_size': 8})
        curve = replace(curve, points=[*curve.points[:2], replace(curve.points[2], world_size=4)])
        why = "training times are not comparable: run 'A1' has world_size=8, run 'A1' 4"
        assert differing_pace([curve]) == why
        assert [found.unlike_times for found in answer([curve], reach=[0.7]).curves] == [why]

    def test_a_run_that_was_resumed_on_another_device_likewise(self):
        change = {'batch': 50, 'changed': {'device': ['A100', 'H100']}, 'pace': True, 'wall_clock_train_s': 2.0}
        curves = seeds({'settings': {'device': 'H100'}, 'changes': [change]})
        assert str(differing_pace(curves)).endswith("run 'A1' has device='H100', run 'A1' 'A100'")
        assert without_odd_runs([*curves, *curves]) == ([*curves, *curves], [])

    def test_all_that_is_known_agrees(self):
        assert differing_pace(seeds({'world_size': 8}, {'world_size': 8}, {'world_size': None})) is None
        found = answer(seeds({}, {}), reach=[0.7])
        assert (found.warning, [one.reached_counts for one in found.curves]) == (None, [[]])


def test_kinds_that_differ_in_more_than_the_schedule_are_said_to():
    cyclic = seeds({'settings': {'optimizer.lr': 0.1, 'schedule.shape': 'linear', 'averages': []}}, method='baseline')
    standard = [
        replace(
            one, run=replace(one.run, settings={'optimizer.lr': 0.2, 'schedule.shape': 'cosine', 'averages': ['x']})
        )
        for one in standard_runs('baseline', POINTS, 1)
    ]
    said = 'baseline: cyclic runs have optimizer.lr=0.1, standard runs 0.2: a gap is not that of the schedules alone'
    assert Study.of([*cyclic, *standard]).warnings == (said,)


def test_a_method_whose_only_run_went_on_under_other_settings_says_so():
    changes = [{'batch': 50, 'changed': {'optimizer.lr': [0.1, 0.2]}}]
    longer = [{'batch': 50, 'changed': {'max_duration': ['8ep', '16ep'], 'world_size': [2, 1]}}]
    runs = [*seeds({'changes': changes}, method='LS'), *seeds({'changes': longer}, method='baseline')]
    said = f'LS, cyclic: run {runs[0].place!r} went on at batch 50 under other settings: optimizer.lr=0.1, now 0.2'
    warnings = Study.of(runs, ACC).warnings
    assert said in warnings
    assert not any('baseline, cyclic: run' in warning for warning in warnings)


def test_gpu_hours_follow_the_ranks_of_each_stretch():
    def stopped_and_resumed(curve):
        points = [replace(point, world_size=ranks) for point, ranks in zip(curve.points, (8, 4, 4), strict=True)]
        return replace(curve, points=points)

    cyclic = list(map(stopped_and_resumed, seeds({}, {}, method='baseline')))
    standard = [replace(one, run=replace(one.run, world_size=2)) for one in standard_runs('baseline', POINTS, 1)]
    cost = compare(Study.of([*cyclic, *standard])).kinds['cyclic'].methods['baseline'].cost
    # 100 s per epoch: 16 epochs on eight GPUs, 48 more on four; and 16, 32 and 64 on two.
    assert cost.one_run_gpu_h == pytest.approx((1600 * 8 + 4800 * 4) / 3600)
    assert cost.separate_gpu_h == pytest.approx((1600 + 3200 + 6400) * 2 / 3600)
    change = {'batch': 50, 'changed': {'world_size': [8, 4]}, 'pace': True, 'wall_clock_train_s': 2000.0}
    cyclic = [replace(one, run=replace(one.run, changes=[change])) for one in cyclic]
    cost = compare(Study.of([*cyclic, *standard])).kinds['cyclic'].methods['baseline'].cost
    assert cost.one_run_gpu_h == pytest.approx((2000 * 8 + 4400 * 4) / 3600)


def test_a_point_that_was_stopped_before_its_trough_is_left_out_with_the_reason():
    ended, stopped = standard_runs('baseline', POINTS[:2], 1)
    stopped = replace(stopped, points=[replace(stopped.points[0], stopped=True)])
    kept, _, (error,) = usable_curves([ended, stopped])
    assert kept == [ended]
    assert str(error).startswith("run 's32': its point at epoch 32 was stopped before its trough: it is left out; ")
    with pytest.raises(CurveError, match="run 's32': its point at epoch 32 was stopped before its trough"):
        Study.of([ended, stopped])
    assert [row.split(',')[-1] for row in long_csv([ended, stopped]).splitlines()[1:]] == ['0.7', '']
