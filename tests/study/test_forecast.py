"""Forecasts of one more doubling: by hand, beside a slow reference, on the paper's curves, and in simulated studies."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from composer_clr.study.forecast import forecast_record, forecasts, next_value, refusal
from composer_clr.study.table import Study
from tests.helpers.paper import paper_curves
from tests.helpers.runs_and_lines import ACC, line, run
from tests.helpers.shapes import shapes

EPOCHS = [16.0, 32.0, 64.0, 128.0]
# Gains of 3, 2 and 1 points: the bounds are 77.5 and 77.
BENT = [0.71, 0.74, 0.76, 0.77]


def study(*curves, metric=ACC, **options):
    """Returns a study of curves by method: of each its values, one row per seed."""
    runs = [
        run(
            name,
            'cyclic',
            [(epoch, value) for epoch, value in zip(EPOCHS, row, strict=False)],
            seed,
            f'{name}{seed}',
            metric,
        )
        for name, rows in zip('ABC', curves, strict=False)
        for seed, row in enumerate(np.atleast_2d(rows).tolist())
    ]
    return Study.of(runs, metric, baseline='A', all_seeds=True, **options)


def slowly(values, noise, freedom):
    """The rule as it is written down: bounds with their limits, errors by differences, a quantile by its equation."""
    end = stats.t(freedom) if math.isfinite(freedom) else stats.norm()

    def bounds(y0, y1, y2):
        before, last = y1 - y0, y2 - y1
        lower = y2 + last - max(before - last, 0.0)
        upper = y2 + last * min(last / before, 1.0) if last > 0 else y2
        return np.array([lower, upper])

    y = np.array(values[-3:], dtype=float)
    moved = [(bounds(*(y + step)) - bounds(*(y - step))) / 2e-6 for step in 1e-6 * np.eye(3)]
    errors = np.sqrt(sum((noise * one) ** 2 for one in moved) + noise**2)
    low, high = bounds(*y)
    apart = (high - low) / max(errors)
    c = optimize.brentq(lambda c: end.cdf(c + apart) - end.cdf(-c) - 0.9, 0, end.ppf(0.95) + 1)
    return (low + high) / 2, low - c * errors[0], high + c * errors[1]


class TestNextValue:
    @pytest.mark.parametrize('freedom', [1, 4, 8, math.inf])
    @pytest.mark.parametrize('noise', [0.01, 0.1, 1.0])
    def test_against_a_slow_reference(self, noise, freedom):
        rng = np.random.default_rng(7)
        for before in rng.uniform(0.2, 3, 12):
            last = before * rng.uniform(-1.5, 0.7)
            values = 70 + np.cumsum([0, 4, before, last])
            assert next_value(values, noise, freedom) == pytest.approx(slowly(values, noise, freedom), abs=2e-4)

    def test_without_noise_the_bounds_are_a_power_law_and_a_parabola(self):
        x = np.arange(5)
        law, parabola = 78 - 8 * 2.0 ** (-0.7 * x), 77 - 0.4 * (x - 2.2) ** 2
        assert next_value(law[:4], 0.0)[2] == pytest.approx(law[4])
        assert next_value(parabola[:4], 0.0)[1] == pytest.approx(parabola[4])
        assert next_value(parabola[:4], 0.0)[2] == pytest.approx(parabola[3])

    def test_more_noise_and_fewer_degrees_of_freedom_make_it_wider(self):
        widths = [np.ptp(next_value(BENT, noise, freedom)) for noise, freedom in ((0.01, 9), (0.02, 9), (0.02, 2))]
        assert widths == sorted(widths)

    def test_a_value_of_fewer_seeds_counts_with_its_own_noise(self):
        alike, noisy = next_value(BENT, 0.001), next_value(BENT, [0.001, 0.001, 0.002])
        assert noisy[1] < alike[1] < alike[2] < noisy[2]


class TestRefusal:
    @pytest.mark.parametrize(
        ('values', 'ceiling', 'said'),
        [
            ([0.7, 0.74, 0.76], 1.0, '3 points: a forecast needs 4'),
            ([0.7, 0.7, 0.7, 0.7], 1.0, 'past its top'),
            ([0.7, 0.76, 0.75, 0.76], 1.0, 'past its top'),
            ([0.7, 0.71, 0.72, 0.73], 1.0, 'does not bend yet: the last doubling gained 1.00 of the one before'),
            ([0.2, 0.4, 0.52, 0.6], 1.0, 'still steep: the last doubling gained 20% of the error that is left'),
            ([0.2, 0.4, 0.52, 0.6], None, ''),
            ([0.7, 0.74, 0.76, 0.74], 1.0, ''),
        ],
    )
    def test_what_does_not_show_what_comes(self, values, ceiling, said):
        found = refusal(values, ceiling)
        assert found.startswith(said)
        assert bool(found) == bool(said)

    def test_a_constant_of_fractions_that_rounding_moves_is_one(self):
        assert 'past its top' in refusal([0.1 + 0.2, 0.3, 0.1 + 0.2, 0.1 + 0.2])


class TestForecasts:
    def test_the_noise_is_pooled_over_points_and_divided_by_the_seeds(self):
        above = np.array([0.001, 0.002, 0.0, 0.001])
        (found,) = forecasts(study([BENT + above, BENT - above]))
        deviation = math.sqrt(2 * sum(above**2) / 4)
        assert found.seeds == 2
        assert found.sigma == pytest.approx(100 * deviation)
        expected = np.array(slowly(BENT, deviation / math.sqrt(2), 4))
        assert (found.value, found.low, found.high) == pytest.approx(tuple(expected), abs=1e-5)
        assert (found.likely, found.least, found.most) == pytest.approx(tuple(100 * (expected - 0.77)), abs=1e-3)

    def test_one_seed_needs_a_sigma(self):
        refused, known = forecasts(study(BENT))[0], forecasts(study(BENT), 0.1)[0]
        assert refused.refused.startswith('one seed, so the noise is not known')
        assert math.isnan(refused.value)
        assert (known.refused, known.sigma) == ('', 0.1)
        assert (known.value, known.low, known.high) == pytest.approx(slowly(BENT, 0.001, math.inf), abs=1e-6)

    def test_seeds_that_are_copies_tell_no_noise(self):
        (found,) = forecasts(study([BENT, BENT]))
        assert found.refused.startswith('the seeds are the same to the last digit')
        assert forecasts(study([BENT, BENT]), 0.1)[0].refused == ''

    def test_seeds_that_end_earlier_tell_the_noise(self):
        rows = [[0.71, 0.74, 0.76, 0.77], [0.712, 0.742, 0.762, math.nan], [0.708, 0.738, 0.758, math.nan]]
        runs = [
            run(
                'A', 'cyclic', [(e, v) for e, v in zip(EPOCHS, row, strict=True) if not math.isnan(v)], seed, f'r{seed}'
            )
            for seed, row in enumerate(rows)
        ]
        (found,) = forecasts(Study.of(runs, all_seeds=True))
        assert (found.seeds, found.last, found.sigma) == (1, 0.77, pytest.approx(0.2))
        assert (found.low, found.high) == pytest.approx(slowly(BENT, 0.002, 6)[1:], abs=1e-5)

    def test_percent_losses_and_errors_are_the_same_curve(self):
        of_fractions = forecasts(study(BENT), 0.1)[0]
        values = np.array(BENT)
        for metric, same, unit in (
            (ACC, 100 * values, 1.0),
            ('eval/error_rate', 1 - values, 100.0),
            ('eval/error_rate', 100 - 100 * values, 1.0),
            ('eval/loss', 100 - 100 * values, 1.0),
        ):
            found = forecasts(study(same, metric=metric), 0.1)[0]
            for gain in ('least', 'likely', 'most'):
                assert getattr(found, gain) == pytest.approx(getattr(of_fractions, gain)), (metric, gain)
            assert found.low < found.value < found.high
            assert abs(found.value - found.last) * unit == pytest.approx(of_fractions.likely)

    def test_the_error_that_is_left_is_known_of_accuracies_and_error_rates_only(self):
        steep = np.array([0.2, 0.4, 0.52, 0.6])
        refused = {
            metric: forecasts(study(values, metric=metric), 0.1)[0].refused
            for metric, values in {
                **{ACC: steep, 'eval/error_rate': 1 - steep, 'eval/top1': 100 * steep},
                **{'eval/CrossEntropy': 3 - steep, 'eval/bleu': 100 * steep},
            }.items()
        }
        assert {metric for metric, why in refused.items() if 'still steep' in why} == {
            ACC,
            'eval/error_rate',
            'eval/top1',
        }
        assert {why for metric, why in refused.items() if metric in ('eval/CrossEntropy', 'eval/bleu')} == {''}

    def test_a_perplexity_is_forecast_in_its_logarithm(self):
        logs = 5 - np.array([0.71, 0.74, 0.76, 0.77])
        found = forecasts(study(np.exp(logs), metric='eval/Perplexity'), 0.01)[0]
        expected = slowly(-logs, 0.01, math.inf)
        assert (found.value, found.high, found.low) == pytest.approx(tuple(np.exp(-np.array(expected))), rel=1e-5)
        assert found.likely == pytest.approx(math.exp(logs[-1]) - found.value)

    @pytest.mark.parametrize(
        ('epochs', 'said'),
        [
            ([15.3, 31, 64, 128], ''),
            ([15, 32, 64, 128], 'none is within 5% of 16 epochs'),
            ([16, 28, 60, 128], 'none is within 5% of 32, 64 epochs'),
        ],
    )
    def test_lengths_double_within_five_percent(self, epochs, said):
        values = dict(zip(EPOCHS, BENT, strict=True))
        law = np.interp(np.log(epochs), np.log(EPOCHS), list(values.values()))
        shown = replace(study(BENT), curves={('A', 'cyclic'): line(epochs, law)})
        (found,) = forecasts(shown, 0.1)
        assert said in found.refused
        assert bool(found.refused) == bool(said)
        if not said:
            # Between 31 and 64 the value at 32 is interpolated in the logarithm: here it is exact.
            between = law[1] + (0.76 - law[1]) * math.log(32 / 31) / math.log(64 / 31)
            assert found.value == pytest.approx(slowly([0, between, 0.76, 0.77], 0.001, math.inf)[0], abs=1e-9)

    def test_points_in_between_are_left_alone(self):
        epochs, values = [16, 32, 48, 64, 90, 128], [0.71, 0.74, 0.1, 0.76, 0.2, 0.77]
        shown = replace(study(BENT), curves={('A', 'cyclic'): line(epochs, values)})
        assert forecasts(shown, 0.1)[0].value == forecasts(study(BENT), 0.1)[0].value

    @pytest.mark.parametrize(
        ('kind', 'said'), [('log', 'share one decay'), ('marked', 'share one decay'), ('wsd-s', '')]
    )
    def test_points_of_one_decay_show_no_longer_run(self, kind, said):
        shown = replace(study(BENT), curves={('A', kind): line(EPOCHS, BENT, kind=kind)})
        assert said in forecasts(shown, 0.1)[0].refused

    def test_what_it_takes_is_at_the_pace_of_the_last_cycle(self):
        times = [100.0, 200.0, 400.0, 1040.0]
        shown = replace(
            study(BENT),
            curves={('A', kind): line(EPOCHS, BENT, times, kind=kind) for kind in ('cyclic', 'standard')},
        )
        cyclic, standard = forecasts(shown, 0.1)
        assert (cyclic.added, cyclic.added_s, cyclic.next_s) == (128, 1280.0, 2320.0)
        assert (standard.added, standard.added_s, standard.next_s) == (256, 2080.0, 2080.0)

    def test_is_worth(self):
        (found,) = forecasts(study(BENT), 0.01)
        assert [found.is_worth(gain) for gain in (-0.2, 0.2, 0.6)] == ['yes', 'undecided', 'no']
        (unknown,) = forecasts(study(BENT))
        assert unknown.is_worth(0.2) == 'undecided'

    def test_the_record_is_strict_json(self):
        of_study = study(BENT, [0.7, 0.71, 0.72, 0.73])
        written = json.loads(json.dumps(forecast_record(of_study, forecasts(of_study, 0.1), 0.2), allow_nan=False))
        one, other = written['curves']
        assert (one['method'], one['kind'], one['last'], one['refused'], one['worth']) == (
            'A',
            'cyclic',
            0.77,
            None,
            'undecided',
        )
        assert (other['value'], other['low'], other['worth']) == (None, None, None)
        assert other['refused'].startswith('does not bend yet')


class TestPaper:
    """Portes et al. 2022, arXiv:2206.00832: one doubling of each cyclic curve from its first 4 and 5 points."""

    @pytest.mark.parametrize('peak', [True, False])
    def test_one_doubling_is_foreseen(self, tmp_path, peak):
        found = []
        curves = [one for one in paper_curves(tmp_path) if one.run.kind == 'cyclic']
        for points in (4, 5):
            longer = [one for one in curves if len(one.points) > points]
            shown = Study.of([one.of_points(one.points[:points]) for one in longer], 'top1', peak=peak, all_seeds=True)
            for of_curve, one in zip(forecasts(shown, 0.08), longer, strict=True):
                point = one.points[points]
                measured = (point.peak_metrics if peak else point.metrics)['top1']
                found.append((of_curve, measured))
        refused = [of_curve.refused for of_curve, _ in found if of_curve.refused]
        assert len(found) == 19
        assert [why[:17] for why in refused] == ['does not bend yet']
        given = [(of_curve, measured) for of_curve, measured in found if not of_curve.refused]
        errors = [100 * abs(of_curve.value - measured) for of_curve, measured in given]
        assert np.mean(errors) <= 0.2
        assert np.mean([of_curve.low <= measured <= of_curve.high for of_curve, measured in given]) >= 0.9
        # Whether the curve goes up or down from there.
        assert sum((of_curve.likely > 0) == (measured > of_curve.last) for of_curve, measured in given) >= 17


def held(rng, studies, seeds, deviation, correlation=0.0):
    """Returns for each shape how many forecasts were given, and how many of these held the mean measured next."""
    counts = {}
    for shape, truth in shapes(rng, studies, np.arange(5)).items():
        of_run, of_point = rng.normal(size=(studies, seeds, 1)), rng.normal(size=(studies, seeds, 5))
        noise = deviation * (math.sqrt(correlation) * of_run + math.sqrt(1 - correlation) * of_point)
        values = (truth[:, None] + noise) / 100
        of_studies = replace(
            study(BENT), curves={(str(i), 'cyclic'): line(EPOCHS, rows[:, :4]) for i, rows in enumerate(values)}
        )
        measured = values[:, :, 4].mean(axis=1)
        given = [(one, at) for one, at in zip(forecasts(of_studies), measured, strict=True) if not one.refused]
        counts[shape] = len(given), sum(one.low <= at <= one.high for one, at in given)
    return counts


STRAIGHT = 'straight in log time'


def test_coverage_in_a_few_simulated_studies():
    counts = held(np.random.default_rng(3), 150, 3, 0.12)
    assert counts.pop(STRAIGHT)[0] < 0.25 * 150
    for shape, (given, hold) in counts.items():
        assert given > 20
        assert hold >= 0.85 * given, (shape, given, hold)


@pytest.mark.slow
def test_coverage():
    """The worst case has independent points: seeds that go up and down together cancel in gains."""
    settings = [(seeds, deviation, 0.0) for seeds in (2, 3, 5) for deviation in (0.05, 0.12, 0.3)]
    found = [held(np.random.default_rng(i), 800, *one) for i, one in enumerate([*settings, (3, 0.12, 0.6)])]
    for shape in found[0]:
        given, hold = np.array([counts[shape] for counts in found]).T
        print(
            shape, [f'{hit / all_of_them:.3f} of {all_of_them}' for hit, all_of_them in zip(hold, given, strict=True)]
        )
        if shape == STRAIGHT:
            # Refused, but for the few that noise bends.
            assert given.sum() <= 0.15 * 8000
            assert (given - hold).sum() <= 0.05 * 8000
        else:
            assert hold.sum() >= 0.85 * given.sum()
            assert (hold >= 0.8 * given).all()
