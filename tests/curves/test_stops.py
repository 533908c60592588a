"""The record of a method that a race has stopped, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.stops import Stop, stop_notes
from tests.helpers.curves import curve, point

STOP = Stop(
    **{'method': 'poor', 'trough': '128ep', 'points': 4, 'metric': 'eval/Accuracy', 'lower_is_better': False},
    **{'scale': 100.0, 'value': 0.675, 'most': 0.69079, 'leader': 'good', 'leader_value': 0.775, 'sigma': 0.001},
    is_stated=True,
)


def test_a_record_is_read_as_it_was_written_and_noted_while_the_run_is_where_it_was_stopped(tmp_path):
    curves = {}
    for name, points, stopped in (('here', 4, True), ('on', 5, True), ('never', 4, False), ('restarted', 3, True)):
        (tmp_path / name).mkdir()
        curve(*map(point, range(points))).write(tmp_path / name / 'curve.json')
        if stopped:
            STOP.write(tmp_path / name)
        curves[name] = TradeoffCurve.read(tmp_path / name)
    found = {name: Stop.of(of_run) for name, of_run in curves.items()}
    assert found == {'here': STOP, 'on': STOP, 'never': None, 'restarted': None}
    noted = 'poor: stopped at 128ep: at most 69.08%, good has 77.50%'
    assert stop_notes([*curves.values(), curves['here'], curve(*map(point, range(4)))]) == [noted]
    assert stop_notes([curves['on'], curves['never'], curves['restarted']]) == []


def test_a_run_that_has_started_over_since_was_not_stopped(tmp_path):
    began, again = (f'2026-01-0{day}T00:00:00+00:00' for day in (1, 2))
    replace(STOP, started_at=began).write(tmp_path)
    for started_at, found in ((began, True), (again, False)):
        (of_run := curve(*map(point, range(4)))).run = replace(curve().run, started_at=started_at)
        of_run.write(tmp_path / 'curve.json')
        assert (Stop.of(TradeoffCurve.read(tmp_path)) is not None) == found


def test_of_a_loss_it_is_the_least_that_can_be_reached():
    loss = replace(STOP, lower_is_better=True, scale=1.0, most=1.52391, leader_value=1.4)
    assert str(loss) == 'stopped at 128ep: at least 1.524, good has 1.4'


@pytest.mark.parametrize('text', ['', '[]', '{"method": 1}', '{"value": NaN}', '\x00' * 10, 'x' * 100_000])
def test_a_file_that_is_no_record_is_one_line(text, tmp_path):
    curve().write(tmp_path / 'curve.json')
    (tmp_path / 'race.json').write_text(text)
    of_run = TradeoffCurve.read(tmp_path)
    with pytest.raises(CurveError, match='race.json: is not the record of a race'):
        Stop.of(of_run)
    (note,) = stop_notes([of_run])
    assert note.isprintable()
