"""Comparisons worked out by hand, and the paper's own measurements."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

import csv
import json
import math
import os
from pathlib import Path

import pytest

from composer_clr.analysis.compare import compare
from composer_clr.analysis.comparison_record import record
from composer_clr.analysis.pairing import Alignment
from composer_clr.analysis.study import compare_study
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.long_csv import PEAK, read_long_csv
from tests.helpers import slow_comparison as slow
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs


def study():
    """Two methods of one seed; by hand: gaps 1, -1 and 2, 4 points, improvements (3, 6) and (2, 1)."""
    return [
        run('baseline', 'cyclic', [(16, 0.50), (32, 0.60)]),
        *standard_runs('baseline', [(16, 0.49), (32, 0.61)]),
        run('MX', 'cyclic', [(16, 0.53), (32, 0.66)]),
        *standard_runs('MX', [(16, 0.51), (32, 0.62)]),
    ]


def test_the_formula_is_of_the_points_that_cost_was_measured_over():
    cyclic = [run('baseline', 'anytime', [(4, 0.5), (8, 0.6), (16, 0.7)], seed) for seed in (17, 18)]
    standard = [one for seed in (17, 18) for one in standard_runs('baseline', [(4, 0.5), (8, 0.6)], seed)]
    found = compare([*cyclic, *standard, *standard_runs('baseline', [(16, 0.7)], 19)], kind='anytime')
    assert found.methods['baseline'].gap.count.tolist() == [4, 8]
    assert found.formula_cost_ratio == 28 / 16
    assert found.methods['baseline'].counted_cost_ratio == pytest.approx(28 / 16)


class TestCompare:
    def test_a_study_by_hand(self):
        found = compare(study())
        assert list(found.methods) == ['baseline', 'MX']
        assert found.methods['baseline'].gap.value == pytest.approx([1, -1], abs=1e-9)
        assert found.methods['MX'].gap.value == pytest.approx([2, 4], abs=1e-9)
        improved = found.methods['MX'].improvement
        assert improved.count.tolist() == [16, 32]
        assert improved.cyclic == pytest.approx([3, 6], abs=1e-9)
        assert improved.standard == pytest.approx([2, 1], abs=1e-9)
        assert found.methods['MX'].cosine_similarity == pytest.approx(12 / 15, abs=1e-9)
        assert found.methods['MX'].cost_ratio == pytest.approx(1.5, abs=1e-12)
        assert found.agreement == {16: 1, 32: 1}
        assert (found.metric, found.scale, found.lower_is_better, found.skipped) == (ACC, 100, False, {})

    @pytest.mark.parametrize('metric', ['eval/loss_by_class/0', 'loss/val'])
    def test_an_improvement_in_a_loss_by_any_part_of_its_name_is_above_zero(self, metric):
        curves = [
            *(
                run(method, kind, [(16, value), (32, value - 1)], name=f'{method}{kind}', metric=metric)
                for method, value in (('baseline', 3.0), ('MX', 2.5))
                for kind in ('cyclic', 'wsd-s')
            ),
            *standard_runs('baseline', [(16, 3.0), (32, 2.0)], metric=metric),
            *standard_runs('MX', [(16, 2.5), (32, 1.5)], metric=metric),
        ]
        found = compare(curves)
        assert found.lower_is_better
        assert found.methods['MX'].improvement.cyclic == pytest.approx([0.5, 0.5])

    def test_the_record_is_strict_json_of_the_documented_shape(self):
        def gap(mean, *values):
            return {
                'mean': pytest.approx(mean, abs=1e-9),
                'sem': None,
                'by_epoch': pytest.approx(dict(zip(('16', '32'), values, strict=True))),
                'sem_by_epoch': {'16': None, '32': None},
                'how_by_epoch': {'16': 'exact', '32': 'exact'},
                'left_out': [],
                'interval': None,
                'interval_by_epoch': {'16': None, '32': None},
                'seeds': 1,
                'seeds_by_epoch': {'16': 1, '32': 1},
                'unequal_seeds': None,
            }

        cost = {
            'one_run_s': 3200,
            'separate_s': pytest.approx(4800),
            'ratio': pytest.approx(1.5),
            'counted_ratio': pytest.approx(1.5),
            'pace_spread': 1,
            'timed_alike': True,
            'one_run_gpu_h': pytest.approx(3200 / 3600),
            'separate_gpu_h': pytest.approx(4800 / 3600),
            'seeds': 1,
            'interval': None,
        }

        def improvement(cyclic, standard):
            return {
                kind: pytest.approx(dict(zip(('16', '32'), values, strict=True)), abs=1e-9)
                for kind, values in (('cyclic', cyclic), ('standard', standard))
            }

        written = record(compare([*study(), run('LS', 'cyclic', [(16, 0.5)])]))
        assert json.loads(json.dumps(written, allow_nan=False)) == {
            'metric': ACC,
            'baseline': 'baseline',
            'align': 'interpolate',
            'formula_cost_ratio': 1.5,
            'methods': {
                'baseline': {
                    'gap': gap(0, 1, -1),
                    'cosine_similarity': None,
                    'cosine_interval': None,
                    'cosine_seeds': None,
                    'cost_ratio': pytest.approx(1.5),
                    'counted_cost_ratio': pytest.approx(1.5),
                    'cost': cost,
                    'unlike_times': None,
                    'improvement': improvement([0, 0], [0, 0]),
                },
                'MX': {
                    'gap': gap(3, 2, 4),
                    'cosine_similarity': pytest.approx(0.8),
                    'cosine_interval': None,
                    'cosine_seeds': 1,
                    'cost_ratio': pytest.approx(1.5),
                    'counted_cost_ratio': pytest.approx(1.5),
                    'cost': cost,
                    'unlike_times': None,
                    'improvement': improvement([3, 6], [2, 1]),
                },
            },
            'ranking_agreement': {'16': 1, '32': 1},
            'ranking_agreement_intervals': {'16': None, '32': None},
            'skipped': {'LS': 'no standard runs'},
            'axis': 'epoch',
            'is_ratio': False,
        }

    def test_the_record_tells_how_each_point_was_paired_and_its_error(self):
        curves = [run('baseline', 'cyclic', [(8, 0.3), (32, 0.6), (64, 0.7)], seed=seed) for seed in (1, 2)] + [
            one for seed in (1, 2) for one in standard_runs('baseline', [(16, 0.5), (64, 0.6 + 0.1 * seed)], seed)
        ]
        gap = record(compare(curves))['methods']['baseline']['gap']
        assert gap['how_by_epoch'] == {'32': 'interpolated', '64': 'exact'}
        assert gap['left_out'] == [8]
        assert gap['sem_by_epoch'] == pytest.approx({'32': 2.5, '64': 5})
        assert gap['sem'] == pytest.approx(3.75)

    def test_epochs_of_many_digits_stay_apart_in_the_record(self):
        curves = [
            run('baseline', 'cyclic', [(1234567, 0.5), (1234568.5, 0.6)]),
            *standard_runs('baseline', [(1234567, 0.5), (1234568.5, 0.6)]),
        ]
        assert list(record(compare(curves))['methods']['baseline']['gap']['by_epoch']) == ['1234567', '1234568.5']

    def test_a_loss_improves_by_going_down_and_is_no_percentage(self):
        curves = [
            run('baseline', 'cyclic', [(16, 0.9), (32, 0.8)], metric='eval/loss'),
            *standard_runs('baseline', [(16, 0.9), (32, 0.7)], metric='eval/loss'),
            run('MX', 'cyclic', [(16, 0.7), (32, 0.9)], metric='eval/loss'),
            *standard_runs('MX', [(16, 0.8), (32, 0.6)], metric='eval/loss'),
        ]
        found = compare(curves)
        assert (found.metric, found.scale, found.lower_is_better) == ('eval/loss', 1, True)
        assert found.methods['baseline'].gap.value == pytest.approx([0, 0.1], abs=1e-12)
        assert found.methods['MX'].improvement.cyclic == pytest.approx([0.2, -0.1], abs=1e-12)
        assert found.methods['MX'].improvement.standard == pytest.approx([0.1, 0.1], abs=1e-12)
        assert found.agreement == {16: 1, 32: -1}
        assert compare(curves, lower_is_better=False).methods['MX'].improvement.cyclic[0] == pytest.approx(-0.2)

    def test_a_method_of_one_kind_and_other_kinds_are_left_aside(self):
        curves = [*study(), run('LS', 'cyclic', [(16, 0.5), (32, 0.6)]), run('CL', 'wsd-s', [(16, 0.5)])]
        found = compare(curves)
        assert list(found.methods) == ['baseline', 'MX']
        assert found.skipped == {'LS': 'no standard runs', 'CL': 'no cyclic and no standard runs'}

    def test_another_baseline(self):
        found = compare(study(), baseline='MX')
        assert list(found.methods) == ['MX', 'baseline']
        assert found.methods['MX'].cosine_similarity is None
        assert found.methods['baseline'].improvement.cyclic == pytest.approx([-3, -6], abs=1e-9)

    def test_fitted_standard_curves_leave_cyclic_ones_as_measured(self):
        epochs = [16, 32, 64, 128]
        curves = [
            run('baseline', 'cyclic', [(e, v) for e, v in zip(epochs, [0.1, 0.9, 0.2, 0.8], strict=True)]),
            *standard_runs('baseline', [(16, 0.1), (64, 0.5), (128, 0.7)]),
            run('MX', 'cyclic', [(e, v) for e, v in zip(epochs, [0.3, 0.2, 0.1, 0.4], strict=True)]),
            *standard_runs('MX', [(16, 0.1), (64, 0.5), (128, 0.7)]),
        ]
        found = compare(curves, alignment=Alignment('fit'))
        assert found.methods['MX'].gap.how == ('fit',) * 4
        assert found.methods['MX'].fit_residuals == pytest.approx({16: 0, 64: 0, 128: 0}, abs=1e-9)
        assert compare(curves).methods['MX'].fit_residuals is None
        assert found.methods['MX'].improvement.cyclic == pytest.approx([20, -70, -10, -40], abs=1e-9)

    @pytest.mark.parametrize(
        ('curves', 'message'),
        [
            pytest.param(
                [*study()[3:], run('LS', 'cyclic', [(16, 0.5)])],
                r"the baseline 'baseline' has no cyclic and no standard runs: name them too, or choose another "
                r"baseline \(there are \['MX', 'LS'\]\)",
                id='no baseline',
            ),
            pytest.param(study()[1:], "the baseline 'baseline' has no cyclic runs", id='half a baseline'),
            pytest.param(
                study()[:-1],
                r'MX, standard: only one point \(of s16\): a curve needs two, train more durations',
                id='one point only',
            ),
            pytest.param(
                [*study()[:-1], *standard_runs('MX', [(32, math.nan)])],
                "run 's32': .* is nan at epoch 32: leave the run out",
                id='nan',
            ),
            pytest.param(
                [*study()[:-1], *standard_runs('MX', [(32, 0.5)], metric='eval/f1')],
                "run 's32' has no metric 'eval/MulticlassAccuracy' at epoch 32",
                id='metrics that do not meet',
            ),
            pytest.param(
                [*study(), TradeoffCurve(Run('u', 'cyclic', 'LS'), [point(None, 0.5, 1.0, batch=16)])],
                "run 's32' counts epochs, run 'u' does not: compare them separately",
                id='epochs and batches',
            ),
            pytest.param([], 'there are no points to compare', id='nothing'),
        ],
    )
    def test_what_cannot_be_compared_is_named(self, curves, message):
        with pytest.raises(CurveError, match=message) as caught:
            compare(curves)
        assert '\n' not in str(caught.value)

    def test_one_bad_method_does_not_hide_the_others(self):
        curves = [*study(), run('LS', 'cyclic', [(16, math.nan)], name='bad'), *standard_runs('LS', [(16, 0.5)])]
        found = compare(curves, strict=False)
        assert list(found.methods) == ['baseline', 'MX']
        assert found.methods['MX'].gap.mean == pytest.approx(3, abs=1e-9)
        assert found.skipped['LS'].startswith("run 'bad'")
        with pytest.raises(CurveError, match="run 'bad'"):
            compare(curves)

    def test_a_bad_baseline_stops_everything(self):
        curves = [*study(), run('baseline', 'cyclic', [(16, math.nan)], seed=3, name='bad')]
        with pytest.raises(CurveError, match="run 'bad'"):
            compare(curves, strict=False)


def reference_csv():
    named = os.environ.get('COMPOSER_CLR_REFERENCE')
    if not named:
        pytest.skip("COMPOSER_CLR_REFERENCE names no copy of the paper's curves")
    path = Path(named)
    return path / 'portes2022_resnet50_imagenet.csv' if path.is_dir() else path


@pytest.fixture(scope='module')
def paper(tmp_path_factory):
    """The paper's ResNet-50 curves, by way of the long CSV."""
    with reference_csv().open(newline='') as file:
        rows = list(csv.DictReader(file))
    path = tmp_path_factory.mktemp('paper') / 'long.csv'
    with path.open('w', newline='') as file:
        table = csv.writer(file)
        table.writerow(['kind', 'method', 'seed', 'epoch', 'wall_clock_train_s', 'top1', f'{PEAK}top1'])
        for r in rows:
            measured = (r['epochs'], r['wall_clock_train_s'], r['top1_end'], r['top1_max'])
            table.writerow([r['kind'], r['method'], '', *measured])
    return read_long_csv(path)


class TestPaper:
    """Portes et al. 2022, arXiv:2206.00832: the numbers of section 3."""

    def test_gaps_over_five_points(self, paper):
        found = compare(paper, 'top1', alignment=Alignment('nearest', tolerance=0.05), peak=True)
        assert {method: figures.gap.mean for method, figures in found.methods.items()} == pytest.approx(
            {
                'baseline': -0.084,
                'BP': 0.069,
                'CL': 0.094,
                'LS': -0.440,
                'MX': -0.393,
                'BP+CL': 0.080,
                'LS+MX': -0.461,
                'BP+CL+LS+MX': -0.247,
            },
            abs=1e-3,
        )
        for figures in found.methods.values():
            assert figures.gap.count.tolist() == [32, 64, 128, 256, 512]
            assert figures.gap.left_out.tolist() == [16]
        assert set(found.skipped) == {'CL+LS', 'CL+MX', 'CL+LS+MX'}

    def test_cosines_and_costs_over_six_points(self, paper):
        found = compare(paper, 'top1', alignment=Alignment('nearest', tolerance=0.07), peak=True)
        cosines = {method: figures.cosine_similarity for method, figures in found.methods.items()}
        assert cosines.pop('baseline') is None
        assert cosines == pytest.approx(
            {
                'BP': 0.972,
                'CL': -0.273,
                'LS': 0.992,
                'MX': 0.976,
                'BP+CL': 0.952,
                'LS+MX': 0.989,
                'BP+CL+LS+MX': 0.997,
            },
            abs=1e-3,
        )
        assert found.formula_cost_ratio == 63 / 32
        assert all(1.957 <= figures.cost_ratio <= 1.981 for figures in found.methods.values())
        assert list(found.agreement) == [16, 32, 64, 128, 256, 512]
        assert record(found)['metric'] == 'peak:top1'

    def test_methods_against_each_other_beside_a_slow_computation(self, paper):
        study = {
            (curve.run.method, curve.run.kind, 0, point.epoch): (point.wall_clock_train_s, point.peak_metrics['top1'])
            for curve in paper
            for point in curve.points
        }
        for kind, over in compare_study(paper, 'top1', peak=True).over_baseline.items():
            for method, figures in over.methods.items():
                epochs = slow.epochs_of(study, method, kind)
                expected = slow.differences(study, (method, kind), ('baseline', kind), epochs)
                assert figures.at_equal_counts.count.tolist() == list(expected)
                assert figures.at_equal_counts.value == pytest.approx(
                    [100 * by_seed[0] for by_seed in expected.values()]
                )
