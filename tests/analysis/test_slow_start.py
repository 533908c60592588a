import math
from dataclasses import replace

import pytest

from composer_clr.analysis.mean_curve import mean_curves
from composer_clr.analysis.slow_start import without_slow_start
from composer_clr.curves.curve import CurveError, TradeoffCurve
from tests.helpers.runs_and_lines import ACC, run, standard_runs


def times(curves):
    return [[point.wall_clock_train_s for point in curve.points] for curve in curves]


# 10 s an epoch, after two epochs that took 100 s more.
SLOW = run('m', 'cyclic', [(1, 0.5, 60), (2, 0.5, 120), (4, 0.5, 140), (8, 0.5, 180)])


@pytest.mark.parametrize('slow_epochs', [1.5, 2], ids=['between points', 'at a point'])
def test_the_start_goes_at_the_later_pace(slow_epochs):
    assert times(without_slow_start([SLOW], slow_epochs)) == [pytest.approx([10, 20, 40, 80], abs=1e-12)]


def test_a_start_before_the_first_point_is_corrected_too():
    curve = run('m', 'cyclic', [(4, 0.5, 140), (8, 0.5, 180), (16, 0.5, 260)])
    assert times(without_slow_start([curve], 2)) == [pytest.approx([40, 80, 160], abs=1e-12)]


@pytest.mark.parametrize('slow_epochs', [1, 2], ids=['before a point', 'at a point'])
def test_later_unevenness_is_kept(slow_epochs):
    curve = run('m', 'cyclic', [(2, 0.5, 100), (4, 0.5, 130), (6, 0.5, 140)])
    assert times(without_slow_start([curve], slow_epochs)) == [pytest.approx([20, 50, 60], abs=1e-12)]


def test_standard_runs_are_corrected_by_the_curve_that_they_make():
    curves = standard_runs('m', [(4, 0.5, 140), (8, 0.5, 180), (1, 0.5, 70)])
    assert times(without_slow_start(curves, 2)) == [[pytest.approx(t)] for t in (40, 80, 10)]


def test_seeds_share_one_correction_and_each_method_and_kind_has_its_own():
    seeds = [run('m', 'cyclic', [(4, 0.5, 140 + s), (8, 0.5, 180 + s)], seed=s) for s in (-10, 10)]
    other = run('n', 'cyclic', [(4, 0.5, 300), (8, 0.5, 400)])
    corrected = without_slow_start([*seeds, other], 2)
    assert times(corrected) == [pytest.approx(t, abs=1e-12) for t in ([30, 70], [50, 90], [100, 200])]
    assert mean_curves(corrected, ACC)['m', 'cyclic'].time_s == pytest.approx([40, 80], abs=1e-12)


def test_all_but_the_time_is_kept(tmp_path):
    SLOW.write(tmp_path / 'curve.json')
    read = TradeoffCurve.read(tmp_path)
    (corrected,) = without_slow_start([read], 2)
    assert corrected.source == read.source
    whole = [
        replace(p, wall_clock_train_s=q.wall_clock_train_s) for p, q in zip(corrected.points, read.points, strict=True)
    ]
    assert (corrected.run, whole) == (read.run, read.points)


def test_batches_where_there_are_no_epochs():
    points = [replace(point, epoch=None, batch=10 * int(point.epoch or 0)) for point in SLOW.points]
    assert times(without_slow_start([TradeoffCurve(SLOW.run, points)], 20)) == [pytest.approx([10, 20, 40, 80])]


def test_no_slow_epochs_change_nothing():
    (same,) = without_slow_start([SLOW], 0)
    assert same is SLOW


@pytest.mark.parametrize(
    ('slow_epochs', 'message'),
    [
        (5, 'm, cyclic: 1 of its points come after the first 5 epochs: the pace needs two'),
        (-1, 'slow_epochs=-1: give the number of slow epochs, 0 for none'),
        (math.nan, 'slow_epochs=nan'),
    ],
    ids=['one point after', 'negative', 'nan'],
)
def test_no_pace_to_be_told(slow_epochs, message):
    with pytest.raises(CurveError, match=message):
        without_slow_start([SLOW], slow_epochs)
