"""Who is stopped in a race: by hand, against a slow reference, and on the paper's curves."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.study.estimates import student_t
from composer_clr.study.noise import seed_deviation
from composer_clr.study.race import check_doublings, decide, hopeless
from composer_clr.utils.errors import UserError
from tests.helpers.curves import point
from tests.helpers.paper import paper_curves
from tests.helpers.shapes import shapes

Z = 1.6448536269514722
GOOD, POOR = [0.60, 0.70, 0.75, 0.775], [0.50, 0.60, 0.65, 0.675]


def slow_reference(curves: list[list[float]], left: int, sigmas: list[float], quantile: float) -> list[bool]:
    """Returns who is stopped, one curve and one doubling at a time."""
    leader = max(range(len(curves)), key=lambda i: max(curves[i]))
    to_reach = max(curves[leader]) - quantile * sigmas[leader]
    stopped = []
    for i, values in enumerate(curves):
        *_, a, b, c = values
        gain, reached, earlier = c - b, c, b - a
        for _ in range(left):
            if gain <= 0:
                break
            # The next gain: in the ratio of the last two, which noise may have made larger than 1.
            gain = gain * min((c - b) / earlier, 1.0) if earlier > 0 else c - b
            reached += gain
        stopped.append(i != leader and reached + 2 * quantile * sigmas[i] < to_reach)
    return stopped


def test_against_a_slow_reference():
    draw = np.random.default_rng(23)
    seen = 0
    for _ in range(300):
        methods, points, left = draw.integers(1, 6), draw.integers(3, 7), int(draw.integers(1, 4))
        gains = draw.normal(0.5, 0.7, (methods, points)) * 0.6 ** np.arange(points)
        values = np.cumsum(gains, axis=1)
        sigma = draw.uniform(0.0, 0.3, methods)
        found = hopeless(values, left, sigma, 1.645)
        assert found.stopped.tolist() == slow_reference(values.tolist(), left, sigma.tolist(), 1.645)
        seen += int(found.stopped.sum())
    assert 100 < seen < 700


class TestProperties:
    def test_equal_constants_are_not_stopped_and_a_lower_one_is_beyond_the_noise(self):
        for lower, stopped in ((1.0, False), (0.6, False), (0.5, True)):
            values = np.array([[1.0] * 4, [lower] * 4])
            # Three times 1.645 sigma are 0.4935.
            assert hopeless(values, 3, np.array([0.1, 0.1])).stopped.tolist() == [False, stopped]

    def test_a_straight_line_goes_on_straight(self):
        values = np.array([[0.0, 1.0, 2.0, 3.0], [10.0] * 4])
        assert hopeless(values, 4, np.zeros(2)).most.tolist() == [7.0, 10.0]

    def test_a_power_law_with_an_offset_is_exact(self):
        whole = np.array([80 - 40 * 2.0 ** (-0.7 * k) for k in range(8)])
        found = hopeless(np.array([whole[:4]]), 4, np.zeros(1))
        assert found.most[0] == pytest.approx(whole[7], abs=1e-9)

    def test_a_curve_that_turns_gains_nothing_and_the_leader_is_not_stopped(self):
        values = np.array([[1.0, 4.0, 5.0, 3.0], [0.0, 1.0, 2.0, 2.5]])
        found = hopeless(values, 2, np.zeros(2))
        assert found.most.tolist() == [3.0, 2.875]
        assert (found.leader, found.leads_with, found.stopped.tolist()) == (0, 5.0, [False, True])

    def test_more_noise_stops_no_more_and_more_doublings_neither(self):
        draw = np.random.default_rng(4)
        for _ in range(100):
            values = np.cumsum(draw.normal(0.5, 0.7, (5, 5)), axis=1)
            sigma = draw.uniform(0, 0.3, 5)
            found = hopeless(values, 2, sigma).stopped
            assert (hopeless(values, 2, sigma + 0.1).stopped <= found).all()
            assert (hopeless(values, 3, sigma).stopped <= found).all()


def runs(method, values, seeds=(1,), noise=0.0, metric='eval/Accuracy', kind='cyclic'):
    made = []
    for i, seed in enumerate(seeds):
        shift = noise * (i - (len(seeds) - 1) / 2)
        points = [
            replace(point(k), epoch=16.0 * 2**k, batch=100 * 2**k, metrics={metric: value + shift}, peak_metrics={})
            for k, value in enumerate(values)
        ]
        made.append(TradeoffCurve(Run(f'{method}-{seed}', kind, method, seed), points))
    return made


def stops(*of_methods, left=1, **options):
    return decide([run for of_method in of_methods for run in of_method], '128ep', left, **options)


class TestDecide:
    def test_what_is_stopped_and_why(self):
        (stop,) = stops(runs('good', GOOD), runs('poor', POOR), sigma=0.1)
        assert (stop.method, stop.leader, stop.trough, stop.points) == ('poor', 'good', '128ep', 4)
        assert stop.most == pytest.approx(0.675 + 0.0125 + 2 * Z * 0.001)
        assert (stop.value, stop.leader_value, stop.sigma) == (0.675, 0.775, pytest.approx(0.1))
        assert str(stop) == 'stopped at 128ep: at most 69.08%, good has 77.50%'

    def test_percent_and_fractions_are_stopped_alike(self):
        (stop,) = stops(runs('good', [100 * v for v in GOOD]), runs('poor', [100 * v for v in POOR]), sigma=0.1)
        assert str(stop) == 'stopped at 128ep: at most 69.08, good has 77.5'
        assert stop.sigma == pytest.approx(0.1)

    def test_losses_are_stopped_alike(self):
        good, poor = ([1 - v for v in values] for values in (GOOD, POOR))
        good, poor = (runs(*of, metric='eval/CrossEntropy') for of in (('good', good), ('poor', poor)))
        (stop,) = stops(good, poor, sigma=0.001)
        assert str(stop) == 'stopped at 128ep: at least 0.3092, good has 0.225'
        assert stop.most == pytest.approx(1 - (0.675 + 0.0125 + 2 * Z * 0.001))

    def test_perplexities_are_stopped_by_their_logarithms(self):
        good, poor = ([math.exp(1 - v) for v in values] for values in (GOOD, POOR))
        named = [runs(*of, metric='eval/LanguagePerplexity') for of in (('good', good), ('poor', poor))]
        (stop,) = stops(*named, sigma=0.001)
        assert stop.most == pytest.approx(math.exp(1 - (0.675 + 0.0125 + 2 * Z * 0.001)))
        assert stop.leader_value == pytest.approx(good[-1])

    def test_the_noise_is_measured_between_seeds_with_students_quantile(self):
        # Two seeds 0.018 apart: a deviation of 0.009 sqrt(2) per value, of 0.009 per mean, with 2 degrees of freedom.
        (stop,) = stops(runs('good', GOOD, (1, 2), noise=0.018), runs('poor', POOR, (1, 2), noise=0.018))
        assert (stop.sigma, stop.is_stated) == (pytest.approx(0.9 * math.sqrt(2)), False)
        assert stop.most == pytest.approx(0.675 + 0.0125 + 2 * 2.919985580353725 * 0.009)
        assert stops(runs('good', GOOD, (1, 2), noise=0.05), runs('poor', POOR, (1, 2), noise=0.05)) == []
        # A stated one is that of a value, which a mean over seeds has less of.
        (stop,) = stops(runs('good', GOOD, (1, 2), noise=0.05), runs('poor', POOR, (1, 2), noise=0.05), sigma=0.1)
        assert stop.most == pytest.approx(0.675 + 0.0125 + 2 * Z * 0.001 / math.sqrt(2))

    def test_unequal_seeds(self):
        (stop,) = stops(runs('good', GOOD, (1, 2, 3), noise=0.002), runs('poor', POOR, (1,)))
        # The middle seed of three is the mean: a deviation of 0.002, and 2 degrees of freedom.
        assert stop.most == pytest.approx(0.675 + 0.0125 + 2 * 2.919985580353725 * 0.002)

    def test_refused(self):
        with pytest.raises(CurveError, match='the noise is not known from one seed: pass two --seeds, or --sigma'):
            stops(runs('good', GOOD), runs('poor', POOR))
        with pytest.raises(CurveError, match='not every run has a value of eval/Accuracy at every trough up to 128ep'):
            stops(runs('good', GOOD), runs('poor', POOR[:3]), sigma=0.1)
        with pytest.raises(CurveError, match='two kinds of curve are of one method: one, cyclic, one, wsd-s'):
            stops(runs('one', GOOD), runs('one', POOR, kind='wsd-s', seeds=(2,)), sigma=0.1)


@pytest.mark.parametrize(
    ('troughs', 'message'),
    [
        ([4, 8, 16, 32], 'the runs have 4 troughs, and methods are stopped from trough 4 on: pass a longer'),
        ([8, 16, 24, 32, 40], 'the trough at 24ep is at 1.5 times the length of the one before'),
        ([16, 32, 64, 128, 300], 'the trough at 300ep is at 2.34 times'),
    ],
)
def test_troughs_that_are_refused(troughs, message):
    with pytest.raises(UserError, match=message):
        check_doublings(troughs, 'ep')


def test_lengths_double_within_five_percent_from_the_second_trough_on():
    check_doublings([3, 15, 31, 63, 127], 'ep')


def test_in_simulated_studies_the_best_value_of_all_is_hardly_ever_lost():
    rng = np.random.default_rng(218)
    studies, lost, saved = 150, Counter(), Counter()
    for _ in range(studies):
        methods = int(rng.integers(3, 9))
        for shape, true in shapes(rng, methods, np.arange(6)).items():
            true = true + rng.normal(0, 0.6, (methods, 1))
            seen, alive = true[:, None] + rng.normal(0, 0.12, (methods, 2, 6)), np.arange(methods)
            best = true[:, :4].max()
            for k, part in ((4, 0.75), (5, 0.5)):
                deviation, freedom = seed_deviation(list(seen[alive, :, k - 3 : k]), points_go_together=True)
                sigma = np.full(len(alive), deviation / math.sqrt(2))
                quantile = float(student_t(freedom, 0.95)) if freedom else 1.645
                stopped = hopeless(seen[alive, :, :k].mean(axis=1), 6 - k, sigma, quantile).stopped
                saved[shape] += part * stopped.sum() / methods / studies
                alive = alive[~stopped]
                best = max(best, true[alive, : k + 1].max())
            # By more than the noise of a value.
            lost[shape] += true.max() - best > 0.12
    assert len(lost) == 5
    assert max(lost.values()) <= 0.02 * studies, lost
    assert min(saved.values()) > 0.1, saved


@pytest.fixture(scope='module')
def paper(tmp_path_factory):
    """The paper's cyclic curves in percent, at the troughs and best near them, of its eight methods."""
    curves = paper_curves(tmp_path_factory.mktemp('paper'))
    methods = {curve.run.method for curve in curves if curve.run.kind == 'standard'}
    cyclic = {curve.run.method: curve.points for curve in curves if curve.run.kind == 'cyclic'}
    return {
        name: {method: [100 * getattr(one, name)['top1'] for one in cyclic[method]] for method in sorted(methods)}
        for name in ('metrics', 'peak_metrics')
    }


class TestPaper:
    """Portes et al. 2022, arXiv:2206.00832: the race replayed with a deviation of 0.12 points."""

    TROUGHS = (16, 32, 64, 128, 256, 512)

    def replayed(self, curves: dict[str, list[float]]) -> tuple[set[str], float]:
        """Returns the methods that reach the end, and the part of the epochs that is saved."""
        alive, trained = list(curves), 0
        for k, (before, trough) in enumerate(itertools.pairwise((0, *self.TROUGHS)), 1):
            trained += len(alive) * (trough - before)
            if 4 <= k < 6:
                values = np.array([curves[method][:k] for method in alive])
                stopped = hopeless(values, 6 - k, np.full(len(alive), 0.12)).stopped
                alive = [method for method, one in zip(alive, stopped, strict=True) if not one]
        return set(alive), 1 - trained / len(curves) / 512

    def test_37_percent_of_the_epochs_are_saved(self, paper):
        alive, saved = self.replayed(paper['peak_metrics'])
        assert saved == pytest.approx(0.375)
        assert alive == {'MX', 'LS+MX', 'BP+CL+LS+MX'}
        at_128 = stops(
            *(runs(method, values[:4]) for method, values in paper['peak_metrics'].items()), left=2, sigma=0.12
        )
        assert {stop.method: str(stop) for stop in at_128} == {
            'baseline': 'stopped at 128ep: at most 77.99, BP+CL+LS+MX has 78.29',
            'BP': 'stopped at 128ep: at most 78.01, BP+CL+LS+MX has 78.29',
        }

    @pytest.mark.parametrize('measured', ['peak_metrics', 'metrics'])
    def test_no_winner_of_218_subsets_of_methods_is_stopped(self, paper, measured):
        curves = paper[measured]
        subsets = [each for size in range(3, 8) for each in itertools.combinations(curves, size)]
        assert len(subsets) == 218
        for subset in subsets:
            alive, _ = self.replayed({method: curves[method] for method in subset})
            assert max(subset, key=lambda method: curves[method][-1]) in alive
