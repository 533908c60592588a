from dataclasses import replace

import pytest

from composer_clr.analysis.recorded_schedule import recorded_schedule
from composer_clr.curves.curve import CurveError, TradeoffCurve
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
