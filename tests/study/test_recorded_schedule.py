from dataclasses import replace

import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.study.recorded_schedule import recorded_schedule
from tests.helpers.drawn_studies import recorded


class TestRecordedSchedule:
    @pytest.mark.parametrize(
        ('record', 'start'),
        [
            ({'t_warmup': '2ep'}, 20),
            ({'t_warmup': '7ba'}, 7),
            ({'t_warmup': '0sp'}, 0),
            ({'t_warmup': '4ep', 'ssr': 0.5}, 20),
            ({'t_warmup': '0.25dur', 'ssr': 0.5}, 20),
            ({'scheduler': 'CosineAnnealingWarmRestartsScheduler', 't_warmup': '0ba'}, 0),
        ],
        ids=['epochs', 'batches', 'none', 'scaled', 'part-of-the-scaled-duration', 'restarts'],
    )
    def test_warmup(self, record, start):
        assert recorded_schedule(recorded(**record)).cycles.start == start

    def test_without_epochs_the_axis_is_in_batches(self):
        curve = recorded(t_warmup='20ba')
        curve = TradeoffCurve(curve.run, [replace(p, epoch=None) for p in curve.points])
        schedule = recorded_schedule(curve)
        assert (schedule.axis, schedule.per_count, schedule.period_label) == ('batches', 1, '20 to 40 batches')

    def test_counted_in_samples(self):
        curve = recorded(unit='sp', troughs=[400, 800], t_warmup='200sp')
        points = [replace(p, epoch=p.epoch / 10, batch=0, sample=p.batch) for p in curve.points]  # type: ignore[operator]
        assert recorded_schedule(TradeoffCurve(curve.run, points)).period_label == '2 to 4 epochs'

    @pytest.mark.parametrize(
        ('record', 'match'),
        [
            ({'scheduler': 'LinearScheduler'}, 'its scheduler is .LinearScheduler.'),
            ({'troughs': None}, 'its troughs are None'),
            ({'troughs': [80, 40]}, 'cycle 1 would run from 80 to 40'),
            ({'unit': 'ep'}, "its unit is 'ep'"),
            ({'unit': []}, 'its unit is'),
            ({'unit': 'tok'}, 'its last point has token 0'),
            ({'alpha_f': 'low'}, "alpha_f='low'"),
            ({'t_warmup': 'soon'}, "t_warmup='soon' is not a time"),
            ({'t_warmup': '1e999ep'}, "t_warmup='1e999ep' is not a time"),
            ({'t_warmup': '9sp'}, "its t_warmup is '9sp', its unit 'ba'"),
            ({'t_warmup': '0.1dur', 'max_duration': None}, 'max_duration=None is not a duration'),
            ({'ssr': '2'}, "its ssr is '2'"),
        ],
        ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
    )
    def test_refused(self, record, match):
        with pytest.raises(CurveError, match=f"run 'r': its record does not have the learning rate .{match}"):
            recorded_schedule(recorded(**record))

    def test_troughs_that_are_too_large_to_compute_with_are_refused(self):
        curve = recorded()
        wrong = replace(curve.run, schedule={**curve.run.schedule, 'troughs': [40, 10**400]})
        with pytest.raises(CurveError, match='its troughs are'):
            recorded_schedule(TradeoffCurve(wrong, curve.points))


class TestMarks:
    def test_a_constant_rate(self):
        x, alpha = recorded_schedule(marked()).multipliers(points_per_cycle=2)
        assert x.tolist() == [0, 2, 3, 4, 4, 6, 8]
        assert alpha.tolist() == [0, 1, 1, 1, 1, 1, 1]

    @pytest.mark.parametrize(
        'a', [{'a': '2ep'}, {'a': '20ba'}, {'a': '4ep', 'ssr': 0.5, 't_warmup': '4ep'}, {'a': '0.25dur'}]
    )
    def test_a_falling_rate(self, a):
        schedule = recorded_schedule(marked(rate='1/sqrt', **a))
        x, alpha = schedule.multipliers(points_per_cycle=2)
        assert x.tolist() == [0, 2, 3, 4, 4, 6, 8]
        assert alpha == pytest.approx([0, 1, (2 / 3) ** 0.5, 0.5**0.5, 0.5**0.5, (2 / 6) ** 0.5, 0.5])

    @pytest.mark.parametrize(
        ('record', 'match'),
        [
            ({'rate': 'linear'}, "rate='linear'"),
            ({'rate': '1/sqrt'}, "rate='1/sqrt' with a=None"),
            ({'rate': '1/sqrt', 'a': 'soon'}, "a='soon' is not a time"),
            ({'rate': '1/sqrt', 'a': '0ba'}, "a='0ba': must be above 0"),
        ],
        ids=['unknown', 'without-a', 'a-no-time', 'a-of-0'],
    )
    def test_refused(self, record, match):
        with pytest.raises(CurveError, match=match):
            recorded_schedule(marked(**record))


def marked(**record: object) -> TradeoffCurve:
    """Returns an anytime run with marks at 4 and 8 epochs of 10 batches."""
    curve = recorded(**{'scheduler': 'AnytimeScheduler', 'rate': 'constant', **record})
    del curve.run.schedule['alpha_f']
    return curve
