import math

import numpy as np
import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.study.alignment import Alignment, weights


@pytest.mark.parametrize(
    ('alignment', 'how', 'expected'),
    [
        (Alignment(), ['left out', 'exact', 'interpolated', 'exact', 'left out'], [1, 2, 3]),
        (Alignment('exact'), ['left out', 'exact', 'left out', 'exact', 'left out'], [1, 3]),
        (Alignment('nearest', tolerance=0.07), ['nearest', 'exact', 'left out', 'exact', 'left out'], [1, 1, 3]),
        (Alignment('nearest', tolerance=0.06), ['left out', 'exact', 'left out', 'exact', 'left out'], [1, 3]),
    ],
    ids=['interpolate', 'exact', 'nearest within 7 percent', 'nearest within 6 percent'],
)
def test_modes(alignment, how, expected):
    found, found_how = weights([15, 16, 32, 64, 128], [64, 16], alignment)
    assert found_how == how
    values = found @ (3.0, 1.0)
    assert values[~np.isnan(values)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('mode', ['interpolate', 'exact', 'nearest'])
def test_a_curves_own_points_are_each_itself_though_two_have_one_time(mode):
    assert weights((10, 10, 20), (10, 10, 20), Alignment(mode))[0] @ (1, 2, 3) == pytest.approx([1, 2, 3])


def test_interpolation_is_that_of_numpy_in_log_positions():
    rng = np.random.default_rng(17)
    measured, values, wanted = rng.permutation([9.0, 15, 31, 64, 90, 270]), rng.random(6), rng.uniform(9, 270, 50)
    order = np.argsort(measured)
    expected = np.interp(np.log(wanted), np.log(measured[order]), values[order])
    assert weights(wanted, measured)[0] @ values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'mode': 'fit'}, "align='fit': choose one of interpolate, exact, nearest"),
        ({'axis': 'epochs'}, "axis='epochs': choose one of epoch, batch, sample, token, time"),
        ({'tolerance': -1}, 'tolerance=-1: give 0 or more'),
        ({'tolerance': math.nan}, 'tolerance=nan'),
    ],
)
def test_alignments_that_do_not_exist(arguments, message):
    with pytest.raises(CurveError, match=message):
        Alignment(**arguments)
