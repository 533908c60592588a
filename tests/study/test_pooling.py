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


MOST = 'most runs of A, cyclic'


def settings(**values):
    return {'settings': {name.replace('__', '.'): value for name, value in values.items()}}


LR = 'optimizer.lr=0.1, now 0.05'
# Changes of runs of one method and kind, the one that is left out, and what is said of it.
ODD = {
    'network': ([{'model': 'ResNet'}, {'model': 'ViT'}, {'model': 'ResNet'}], 2, f"model='ViT', {MOST} 'ResNet'"),
    'parameters': ([{'parameters': n} for n in (1, 2, 1)], 2, f'model.parameters=2, {MOST} 1'),
    'batch size': ([{'training': {'batch_size': n}} for n in (5, 9, 5)], 2, f'data.batch_size=9, {MOST} 5'),
    'algorithms': (
        [{'training': {'algorithms': names}} for names in (['MixUp', 'EMA'], ['MixUp'], ['MixUp', 'EMA'])],
        *(2, f"algorithms=['MixUp'], {MOST} ['MixUp', 'EMA']"),
    ),
    'a rate': ([settings(optimizer__lr=lr) for lr in (0.1, 0.1, 0.05)], 3, f'optimizer.lr=0.05, {MOST} 0.1'),
    'what a later version records': ([settings(a__b=x) for x in 'xxy'], 3, f"a.b='y', {MOST} 'x'"),
    'a recipe, as the user wrote it': (
        [settings(recipe={'seed': seed, 'optimizer': {'lr': 0.1 * (seed != 3)}}) for seed in range(5)],
        *(4, f'optimizer.lr=0.0, {MOST} 0.1'),
    ),
    'settings beside older files': (
        [{'parameters': 5}, {'parameters': 5, **settings(optimizer__lr=0.1)}, {'parameters': 6}, {}],
        *(3, f'model.parameters=6, {MOST} 5'),
    ),
    'troughs, as far as both go': (
        [{'schedule': {'scheduler': 'S', 'troughs': t}} for t in ([2, 4], [2, 4, 6], [2, 4], [1, 2, 4, 6])],
        *(4, f'schedule.troughs=[1, 2, 4, 6], {MOST} [2, 4'),
    ),
    'three of five': (
        [settings(**{f's{i}': value for i in range(5)}) for value in (0, 0, 1)],
        *(3, f's0=1, {MOST} 0; s1=1, {MOST} 0; s2=1, {MOST} 0 and 2 more'),
    ),
    'a run that went on otherwise, not one made longer': (
        [
            {'changes': [{'batch': 50, 'changed': changed}]}
            for changed in ({}, {'optimizer.lr': [0.1, 0.05]}, {'max_duration': ['4ep', '8ep']}, {})
        ],
        *(2, f"changes=['{LR} from batch 50'], {MOST} []"),
    ),
}


@pytest.mark.parametrize(('changes', 'odd', 'said'), ODD.values(), ids=ODD)
def test_the_run_that_differs_is_left_out_with_both_values(changes, odd, said):
    curves = seeds(*changes)
    kept, _, (error,) = usable_curves(curves)
    assert kept == curves[: odd - 1] + curves[odd:]
    assert str(error).startswith(f"run 'A{odd}' has {said}")
    assert str(error).endswith(': give it a method of its own (snapshot.method), or leave it out')
    (mean,) = Study.of(curves, strict=False).curves.values()
    others = [seed for seed in range(1, len(curves) + 1) if seed != odd]
    assert mean.mean() == pytest.approx(np.mean([[v + 0.01 * s for _, v in POINTS] for s in others], axis=0))
    with pytest.raises(CurveError, match=f"run 'A{odd}' has "):
        usable_curves(curves, strict=True)


@pytest.mark.parametrize(
    'changes',
    [
        [{}, {'parameters': 100}, {'training': {'batch_size': 5}}, {'parameters': 100, 'model': 'X'}],
        [*(settings(seed=s, run_name=f'r{s}', host=f'node{s}', optimizer__lr=1.0) for s in range(3)), {}],
        [settings(device='A100'), settings(device='H100')],
    ],
    ids=['not recorded', 'of no matter', 'of the pace'],
)
def test_runs_that_are_pooled(changes):
    curves = seeds(*changes)
    assert without_odd_runs(curves) == (curves, [])


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ([{'parameters': 1}, {'parameters': 2}], "'A1' has model.parameters=1, run 'A2' 2"),
        ([{'parameters': n} for n in (1, 1, 2, 3)], "'A1' has model.parameters=1, run 'A3' 2"),
        ([{}, {'parameters': 1}, {'parameters': 2}], "'A2' has model.parameters=1, run 'A3' 2"),
        (
            [{'model': m, 'parameters': n, 'training': {'batch_size': b}} for m, n, b in (('X', 1, 8), ('M', 2, 8))]
            + [{'model': 'M', 'parameters': 1, 'training': {'batch_size': 9}}],
            "has model='X', run 'A2' 'M'",
        ),
    ],
    ids=['two', 'half', 'one does not record it', 'each in its own way'],
)
def test_without_a_majority_nothing_is_compared(changes, said):
    with pytest.raises(CurveError, match=said + r', so they are not seeds of one curve \(A, cyclic\)'):
        usable_curves(seeds(*changes))


def test_each_method_and_kind_has_its_own_majority():
    curves = [
        *seeds({'parameters': 1}, {'parameters': 1}),
        *seeds({'parameters': 2}, {'parameters': 2}, method='B'),
        *seeds({'parameters': 3}, kind='standard'),
    ]
    assert without_odd_runs(curves) == (curves, [])


def test_a_run_of_the_same_seed_is_named_with_what_differs():
    first, second, third = seeds({'parameters': 2}, {'parameters': 1}, {'parameters': 1})
    twin = replace(first, run=replace(first.run, seed=2, run_name='twin'))
    kept, _, (error,) = usable_curves([twin, second, third])
    assert kept == [second, third]
    assert "'twin' has model.parameters=2, most runs of A, cyclic 1" in str(error)


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
