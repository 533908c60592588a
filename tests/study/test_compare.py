"""Comparisons worked out by hand, and the paper's own measurements."""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false

import json
import math

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.study.alignment import Alignment
from composer_clr.study.ask import answer
from composer_clr.study.compare import compare, gaps, improvements
from composer_clr.study.findings import findings
from composer_clr.study.record import record
from composer_clr.study.table import Study
from tests.helpers.paper import paper_curves
from tests.helpers.runs_and_lines import ACC, point, run, standard_runs


def study():
    """Two methods of one seed; by hand: gaps 1, -1 and 2, 4 points, improvements (3, 6) and (2, 1)."""
    return [
        run('baseline', 'cyclic', [(16, 0.50), (32, 0.60)]),
        *standard_runs('baseline', [(16, 0.49), (32, 0.61)]),
        run('MX', 'cyclic', [(16, 0.53), (32, 0.66)]),
        *standard_runs('MX', [(16, 0.51), (32, 0.62)]),
    ]


def compared(curves, alignment=None, strict=True, **options):
    return compare(Study.of(curves, strict=strict, **options), alignment, strict=strict)


def cyclic(curves, *arguments, **options):
    return compared(curves, *arguments, **options).kinds['cyclic']


def by_count(found):
    return dict(zip(found.count.tolist(), found.each.value.tolist(), strict=True))


def near(by):
    return pytest.approx(by, abs=1e-9)


class TestByHand:
    def test_a_study(self):
        found = cyclic(study())
        assert {method: by_count(one.gap) for method, one in found.methods.items()} == {
            'baseline': near({16: 1, 32: -1}),
            'MX': near({16: 2, 32: 4}),
        }
        count, on_cyclic, on_standard = found.methods['MX'].improvement
        assert count.tolist() == [16, 32]
        assert (on_cyclic.tolist(), on_standard.tolist()) == (near([3, 6]), near([2, 1]))
        assert float(found.methods['MX'].cosine.value) == near(12 / 15)
        assert float(found.methods['MX'].cost.ratio.value) == near(1.5)
        assert [float(tau.value) for tau in found.taus.values()] == [1, 1]
        assert by_count(gaps(Study.of(study()))['MX', 'cyclic']) == near({16: 2, 32: 4})
        assert {key: by_count(one) for key, one in improvements(Study.of(study())).items()} == {
            ('MX', 'cyclic'): near({16: 3, 32: 6}),
            ('MX', 'standard'): near({16: 2, 32: 1}),
        }

    def test_the_mean_gap_leaves_out_the_first_point_of_a_cyclic_run(self):
        found = cyclic(study()).methods['MX'].gap
        assert (found.mean.value.tolist(), found.mean_of_all.value.tolist()) == (near([4]), near([3]))
        others = [TradeoffCurve(Run('w', 'wsd-s', c.run.method), c.points) if len(c.points) > 1 else c for c in study()]
        found = compared(others).kinds['wsd-s'].methods['MX'].gap
        assert found.mean.value.tolist() == near([3])

    def test_the_means_of_improvements_are_over_the_points_that_both_have(self):
        """A is 0.6% slower, so that its last point is beyond the baseline's last in time."""
        curves = [run('baseline', 'cyclic', [(e, 0.70, 10 * e) for e in (16, 32, 64)])]
        curves += [run('A', 'cyclic', [(16, 0.69, 161), (32, 0.70, 322), (64, 0.73, 644)])]
        over = cyclic(curves).over_baseline['A']
        assert over.at_equal_counts.count.tolist() == [16, 32, 64]
        assert over.at_equal_time.count.tolist() == [16, 32]
        assert over.at_equal_counts.mean.value.tolist() == over.at_equal_time.mean.value.tolist() == near([-0.5])
        assert over.at_equal_counts.mean_of_all.value.tolist() == near([2 / 3])
        assert over.at_equal_counts.mean_count.tolist() == [16, 32]
        found = {one.quantity: one for one in findings(compared(curves))}
        mean = found['mean_improvement']
        assert (mean.value, mean.points, mean.of_points) == (near(-0.5), 2, 3)
        # At equal epochs no time decides which points count.
        assert found['mean_improvement_of_all'].value == near(2 / 3)

    def test_the_formula_is_of_the_points_that_cost_was_measured_over(self):
        runs = [run('baseline', 'anytime', [(4, 0.5), (8, 0.6), (16, 0.7)], seed) for seed in (17, 18)]
        runs += [one for seed in (17, 18) for one in standard_runs('baseline', [(4, 0.5), (8, 0.6)], seed)]
        found = compared([*runs, *standard_runs('baseline', [(16, 0.7)], 19)]).kinds['anytime']
        assert found.methods['baseline'].gap.count.tolist() == [4, 8]
        assert found.formula_cost_ratio == 12 / 8
        assert found.methods['baseline'].cost.counted_ratio == near(12 / 8)

    def test_a_loss_improves_by_going_down_and_is_no_percentage(self):
        curves = []
        for method, cyclic_values, standard_values in (
            ('baseline', (0.9, 0.8), (0.9, 0.7)),
            ('MX', (0.7, 0.9), (0.8, 0.6)),
        ):
            curves.append(run(method, 'cyclic', list(zip((16, 32), cyclic_values, strict=True)), metric='loss'))
            curves += standard_runs(method, list(zip((16, 32), standard_values, strict=True)), metric='loss')
        found = compared(curves)
        one = found.kinds['cyclic']
        assert (found.study.metric, found.study.scale, found.study.lower_is_better) == ('loss', 1, True)
        assert by_count(one.methods['baseline'].gap) == near({16: 0, 32: 0.1})
        assert [side.tolist() for side in one.methods['MX'].improvement[1:]] == [near([0.2, -0.1]), near([0.1, 0.1])]
        assert [float(tau.value) for tau in one.taus.values()] == [1, -1]
        other = cyclic(curves, lower_is_better=False)
        assert other.methods['MX'].improvement[1][0] == near(-0.2)

    def test_another_baseline(self):
        found = cyclic(study(), baseline='MX')
        assert list(found.methods) == ['MX', 'baseline']
        assert found.methods['MX'].cosine is None
        assert found.methods['baseline'].improvement[1].tolist() == near([-3, -6])

    def test_one_kind_of_curve_is_enough(self):
        (found,) = compared([one for one in study() if one.run.kind == 'standard']).kinds.values()
        assert by_count(found.over_baseline['MX'].at_equal_counts) == near({16: 2, 32: 1})
        assert found.ranking == {16: [['MX'], ['baseline']], 32: [['MX'], ['baseline']]}

    def test_three_seeds_with_equal_means_have_no_direction(self):
        values, curves = {'A': (0.603, 0.603, 0.603), 'B': (0.562, 0.603, 0.644)}, []
        for method, of_seed in values.items():
            for seed, value in enumerate(of_seed):
                points = [(16, value), (32, value)]
                curves += [run(method, 'cyclic', points, seed), *standard_runs(method, points, seed)]
        found = cyclic(curves, baseline='A')
        assert found.methods['B'].improvement[1].tolist() == [0, 0]
        assert (found.methods['B'].cosine, found.taus) == (None, {16: None, 32: None})
        assert found.ranking == {16: [['A', 'B']], 32: [['A', 'B']]}
        assert found.over_baseline['B'].crossings['epoch'] == []

    def test_a_gap_of_perplexity_is_a_ratio(self):
        metric = 'eval/LanguagePerplexity'
        curves = [run('baseline', 'cyclic', [(16, 110.0), (32, 99.0)], metric=metric)]
        found = compared([*curves, *standard_runs('baseline', [(16, 100.0), (32, 100.0)], metric=metric)])
        gap = found.kinds['cyclic'].methods['baseline'].gap
        assert (by_count(gap), found.study.is_ratio) == (near({16: 1.1, 32: 0.99}), True)
        assert gap.mean_of_all.value.tolist() == near([math.sqrt(1.1 * 0.99)])

    def test_seeds_to_resolve_count_the_seeds_of_either_side(self):
        """Two seeds beside five others, whose deviations are 0.02 and 0.01: for a point of difference."""
        a, b = (0.51, 0.51 - 0.02 * math.sqrt(2)), 0.5 + 0.01 * np.array([-1.0, -1, 0, 1, 1])
        curves = [run('A', 'cyclic', [(16, v), (32, v)], s, f'a{s}') for s, v in enumerate(a)]
        curves += [run('baseline', 'cyclic', [(16, v), (32, v)], s + 9, f'b{s}') for s, v in enumerate(b.tolist())]
        written = record(compared(curves), resolve=1.0)['over_baseline']['cyclic']['methods']['A']['at_equal_counts']
        from scipy import stats

        def half(n):
            freedom = (n - 1) * (2**2 + 1) ** 2 / (2**4 + 1)
            return (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)) * math.sqrt((2**2 + 1) / n)

        assert written['seeds_to_resolve'] == next(n for n in range(2, 999) if half(n) <= 1)


class TestRecord:
    def test_it_is_strict_json_of_the_documented_shape(self):
        written = json.loads(
            json.dumps(record(compared([*study(), run('LS', 'cyclic', [(16, 0.5)])])), allow_nan=False)
        )
        assert written['methods'] == written['kinds']['cyclic']
        assert {key: written[key] for key in ('metric', 'baseline', 'align', 'formula_cost_ratio', 'axis', 'unit')} == {
            **{'metric': ACC, 'baseline': 'baseline', 'align': 'interpolate', 'formula_cost_ratio': 1.5},
            **{'axis': 'epoch', 'unit': 'points'},
        }
        assert written['skipped'] == {'LS': 'no standard runs'}
        assert written['ranking_agreement'] == {'16': 1, '32': 1}
        assert written['over_baseline']['cyclic']['ranking']['32'] == [['MX'], ['baseline']]
        assert written['verdicts']['cyclic']['MX'][0] == {
            **{'epoch': 16, 'value': near(3), 'interval': None, 'seeds': 1},
            **{'verdict': 'undecided', 'seeds_to_decide': None},
        }
        found = written['methods']['MX']
        assert found['gap'] == {
            **{'mean': near(4), 'mean_over': [32], 'mean_of_all': near(3), 'sem': None, 'interval': None, 'seeds': 1},
            **{'by_epoch': near({'16': 2, '32': 4}), 'sem_by_epoch': {'16': None, '32': None}},
            **{'how_by_epoch': {'16': 'exact', '32': 'exact'}, 'interval_by_epoch': {'16': None, '32': None}},
            **{'seeds_by_epoch': {'16': 1, '32': 1}, 'left_out': [], 'unequal_seeds': None},
        }
        assert found['improvement'] == {'cyclic': near({'16': 3, '32': 6}), 'standard': near({'16': 2, '32': 1})}
        assert [found[name] for name in ('cosine_similarity', 'cosine_interval')] == [near(0.8), None]
        assert (found['cost_ratio'], found['counted_cost_ratio']) == (near(1.5), near(1.5))
        hours = {'one_run_gpu_h': near(3200 / 3600), 'separate_gpu_h': near(4800 / 3600)}
        assert found['cost'] == {
            **{'one_run_s': 3200, 'separate_s': near(4800), 'ratio': near(1.5), 'counted_ratio': near(1.5)},
            **{'pace_spread': 1, 'timed_alike': True, 'seeds': 1, 'interval': None, **hours},
        }

    def test_how_each_point_was_paired_and_its_error(self):
        curves = [run('baseline', 'cyclic', [(8, 0.3), (32, 0.6), (64, 0.7)], seed=seed) for seed in (1, 2)] + [
            one for seed in (1, 2) for one in standard_runs('baseline', [(16, 0.5), (64, 0.6 + 0.1 * seed)], seed)
        ]
        gap = record(compared(curves))['methods']['baseline']['gap']
        assert gap['how_by_epoch'] == {'32': 'interpolated', '64': 'exact'}
        assert gap['left_out'] == [8]
        assert gap['sem_by_epoch'] == pytest.approx({'32': 2.5, '64': 5})
        assert gap['sem'] == pytest.approx(3.75)

    def test_epochs_of_many_digits_stay_apart(self):
        points = [(1234567, 0.5), (1234568.5, 0.6)]
        written = record(compared([run('baseline', 'cyclic', points), *standard_runs('baseline', points)]))
        assert list(written['methods']['baseline']['gap']['by_epoch']) == ['1234567', '1234568.5']


REFUSED = {
    'no baseline': ([*study()[3:], run('LS', 'cyclic', [(16, 0.5)])], "the baseline 'baseline' has no cyclic"),
    'half of it': (study()[1:], "the baseline 'baseline' has no cyclic runs"),
    'one point': (study()[:-1], 'MX, standard: only one point: a curve needs two, train more durations'),
    'nan': ([*study()[:-1], *standard_runs('MX', [(32, math.nan)])], "run 's32': its point at epoch 32 has .* nan"),
    'metrics': ([*study()[:-1], *standard_runs('MX', [(32, 0.5)], metric='f1')], "run 's32' has no metric 'eva"),
    'epochs and batches': (
        [*study(), TradeoffCurve(Run('u', 'cyclic', 'LS'), [point(None, 0.5, 1.0, batch=16)])],
        "run 's32' counts epochs, run 'u' does not: compare them separately",
    ),
    'nothing': ([], 'there are no points to compare'),
    'one curve': ([run('A', 'cyclic', [(16, 0.5)])], "nothing to compare: 'A' has cyclic runs and no other method"),
    'B': ([run(m, 'cyclic', [(16, 0.5)]) for m in 'AB'], "no run is of the baseline 'baseline': choose one of A, B"),
}


class TestRefusals:
    @pytest.mark.parametrize(('curves', 'message'), REFUSED.values(), ids=REFUSED)
    def test_what_cannot_be_compared_is_named(self, curves, message):
        with pytest.raises(CurveError, match=message) as caught:
            compared(curves)
        assert '\n' not in str(caught.value)

    def test_the_reasons_of_what_is_left_out_are_each_kinds_own(self):
        far = [run(method, 'wsd-s', [(900, 0.5), (990, 0.6)], name=f'w{method}') for method in ('baseline', 'MX')]
        found = compared([*study(), *far, run('MX', 'branch', [(16, 0.5), (32, 0.6)])], strict=False)
        assert set(found.left_out) == {'wsd-s', 'branch'}
        assert (
            'the wsd-s curve (epoch 900 to 990) and the standard one (16 to 32) do not meet' in found.left_out['wsd-s']
        )
        assert "the baseline 'baseline' has no branch runs" in found.left_out['branch']

    def test_one_bad_method_does_not_hide_the_others(self):
        curves = [*study(), run('LS', 'cyclic', [(16, math.nan)], name='bad'), *standard_runs('LS', [(16, 0.5)])]
        found = compared(curves, strict=False)
        assert list(found.kinds['cyclic'].methods) == ['baseline', 'MX']
        assert "run 'bad'" in str(found.study.left_out[0])

    @pytest.mark.parametrize(
        ('of', 'curves', 'message'),
        [
            (gaps, [one for one in study() if one.run.kind == 'standard'], 'all runs are standard'),
            (gaps, [one for one in study() if one.run.kind == 'cyclic'], "'baseline' has no standard runs"),
            (improvements, study()[:3], "all runs are of the baseline 'baseline'"),
            (improvements, study()[3:] + study()[1:3], "the baseline 'baseline' has no cyclic runs"),
        ],
    )
    def test_figures_without_their_curves(self, of, curves, message):
        with pytest.raises(CurveError, match=message):
            of(Study.of(curves, baseline='baseline'))


@pytest.fixture(scope='module')
def paper(tmp_path_factory):
    """The paper's ResNet-50 curves, by way of the long CSV."""
    return paper_curves(tmp_path_factory.mktemp('paper'))


class TestPaper:
    """Portes et al. 2022, arXiv:2206.00832: the numbers of section 3."""

    def test_gaps_over_five_points(self, paper):
        found = cyclic(paper, Alignment('nearest', tolerance=0.1), metric='top1', peak=True, strict=False)
        assert {method: one.gap.mean.value[0] for method, one in found.methods.items()} == pytest.approx(
            {
                **{'baseline': -0.084, 'BP': 0.069, 'CL': 0.094, 'LS': -0.440, 'MX': -0.393},
                **{'BP+CL': 0.080, 'LS+MX': -0.461, 'BP+CL+LS+MX': -0.247},
            },
            abs=1e-3,
        )
        for one in found.methods.values():
            assert one.gap.mean_count.tolist() == [32, 64, 128, 256, 512]
        assert set(found.skipped) == {'CL+LS', 'CL+MX', 'CL+LS+MX'}

    @pytest.mark.parametrize(
        ('alignment', 'of_cl'), [(Alignment('nearest', tolerance=0.1), -0.273), (Alignment(), -0.521)]
    )
    def test_cosines_and_costs_over_six_points(self, paper, alignment, of_cl):
        found = cyclic(paper, alignment, metric='top1', peak=True, strict=False)
        cosines = {method: one.cosine and float(one.cosine.value) for method, one in found.methods.items()}
        assert cosines['CL'] == pytest.approx(of_cl, abs=1e-3)
        if alignment.mode == 'nearest':
            expected = {'BP': 0.972, 'LS': 0.992, 'MX': 0.976, 'BP+CL': 0.952, 'LS+MX': 0.989, 'BP+CL+LS+MX': 0.997}
            assert {method: cosines[method] for method in expected} == pytest.approx(expected, abs=1e-3)
            assert found.formula_cost_ratio == 63 / 32
            assert all(1.957 <= float(one.cost.ratio.value) <= 1.981 for one in found.methods.values())
            assert list(found.taus) == [16, 32, 64, 128, 256, 512]

    def test_a_value_that_the_first_point_exceeds_is_a_bound(self, paper):
        found = answer(paper, 'top1', reach=['72%'], within=[3 * 86400], peak=True)
        asked = {(one.curve.method, one.curve.kind): one for one in found.curves}
        faster, base = asked['BP+CL', 'standard'], asked['baseline', 'standard']
        assert (base.reached[0].state, base.reached[0].value / 60) == ('reached', pytest.approx(84.6, abs=0.05))
        assert (faster.reached[0].relation, faster.reached[0].value / 60) == ('<=', pytest.approx(54.9, abs=0.05))
        speedup = faster.speedups[0].answer
        assert (speedup.relation, speedup.value) == ('>=', pytest.approx(1.54, abs=0.005))
        assert base.values[0].relation == '>='
