"""The figure of gaps: its lines are asserted here; people look at the pictures."""

import math

import numpy as np
import pytest

from composer_clr.analysis.compare import compare_kinds
from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.curve import CurveError
from composer_clr.figures.gap import gap_to_standard
from tests.helpers.drawn_studies import STUDY, lines
from tests.helpers.runs_and_lines import run, standard_runs

# Half of the distance between two points, for two lines: a quarter of it to either side.
LEFT, RIGHT = 2**-0.075, 2**0.075


def ends(ax, label):
    """Returns the lower and upper ends of a line's intervals."""
    (drawn,) = (c for c in ax.containers if c.get_label() == label)
    return [cap.get_ydata().tolist() for cap in drawn.lines[1]]


def seeded(metric, standard, cyclic, epochs=(4, 8, 16)):
    """Returns runs of several seeds, each with a value at every epoch."""
    return [
        *(
            one
            for seed, values in enumerate(standard)
            for one in standard_runs('LS', [*zip(epochs, values, strict=True)], seed, metric)
        ),
        *(
            run('LS', 'cyclic', [*zip(epochs, values, strict=True)], seed, metric=metric)
            for seed, values in enumerate(cyclic)
        ),
    ]


SEEDS = seeded(
    'eval/MulticlassAccuracy',
    [(0.50, 0.60, 0.70), (0.52, 0.58, 0.71), (0.47, 0.61, 0.73)],
    [(0.51, 0.58, 0.72), (0.53, 0.59, 0.70), (0.50, 0.60, 0.76)],
)


def test_by_hand():
    _, ax = gap_to_standard(STUDY)
    assert lines(ax) == {
        'baseline, cyclic': (pytest.approx([16 * LEFT, 32 * LEFT]), pytest.approx([1, -1])),
        'MX, cyclic': (pytest.approx([16 * RIGHT, 32 * RIGHT]), pytest.approx([2, 4])),
    }
    assert (ax.get_xlabel(), ax.get_xscale()) == ('epochs', 'log')
    assert ax.get_ylabel() == 'gap to standard runs\n(points of top-1 accuracy)'
    assert list(ax.get_xticks()) == [16, 32]


def test_gaps_and_intervals_are_those_of_the_table():
    _, ax = gap_to_standard(SEEDS)
    compared = compare_kinds(SEEDS)[0]['cyclic'].methods['LS'].gap
    assert lines(ax) == {'LS, cyclic': ([4, 8, 16], pytest.approx(compared.value.tolist()))}
    low, high = ends(ax, 'LS, cyclic')
    assert low == pytest.approx([found.low for found in compared.estimates])
    assert high == pytest.approx([found.high for found in compared.estimates])
    # The first by hand: 1, 1 and 3 points; Student's t of two degrees of freedom times the standard error.
    half = 4.302652729911275 * (math.sqrt(4 / 3) / math.sqrt(3))
    assert (low[0], high[0]) == (pytest.approx(5 / 3 - half), pytest.approx(5 / 3 + half))
    legend = ax.get_legend() or ax.get_figure().legends[0]  # type: ignore[union-attr]
    assert [text.get_text() for text in legend.get_texts()] == [
        'LS: one cyclic run',
        'LS: separate standard runs',
        '95% interval, 3 seeds',
    ]


def test_the_gap_of_a_perplexity_is_a_ratio():
    curves = seeded('eval/LanguagePerplexity', [(8.0, 4.0), (10.0, 4.0)], [(4.0, 4.0), (10.0, 16.0)], (4, 8))
    _, ax = gap_to_standard(curves)
    assert lines(ax)['LS, cyclic'][1] == pytest.approx([math.sqrt(0.5), 2.0])
    assert ax.get_ylabel() == 'perplexity over that of standard runs\n(ratio, less is better)'
    assert [line.get_ydata() for line in ax.lines if line.get_label() == 'LS: separate standard runs'] == [[1.0, 1.0]]
    low, high = ends(ax, 'LS, cyclic')
    assert np.multiply(low, high) == pytest.approx([0.5, 4.0])


@pytest.mark.parametrize(
    ('metric', 'options', 'unit'),
    [
        ('eval/CrossEntropy', {}, 'nats of cross entropy, less is better'),
        ('eval/score', {}, 'points of score'),
        ('eval/score', {'lower_is_better': True}, 'points of score, less is better'),
    ],
)
def test_the_unit_and_the_direction(metric, options, unit):
    _, ax = gap_to_standard(seeded(metric, [(0.5, 0.4)], [(0.6, 0.4)], (4, 8)), metric, **options)
    assert ax.get_ylabel() == f'gap to standard runs\n({unit})'
    assert ax.get_legend().get_texts()[-1].get_text() == 'LS: separate standard runs'  # type: ignore[union-attr]


@pytest.mark.parametrize('options', [{'bands': True}, {'alignment': Alignment(axis='time')}], ids=['bands', 'time'])
def test_bands_and_times_are_not_moved_aside(options):
    _, ax = gap_to_standard([*SEEDS, run('LS', 'wsd-s', [(4, 0.5), (8, 0.6)], seed=0)], **options)
    seconds = 1 / 60 * 100 if 'alignment' in options else 1
    assert lines(ax)['LS, cyclic'][0] == pytest.approx(np.multiply([4, 8, 16], seconds))
    assert lines(ax)['LS, wsd-s'][0] == pytest.approx(np.multiply([4, 8], seconds))


def test_points_beyond_the_standard_curve_are_not_drawn():
    curves = [*standard_runs('LS', [(4, 0.5), (16, 0.7)]), run('LS', 'cyclic', [(2, 0.4), (8, 0.65), (32, 0.8)])]
    _, ax = gap_to_standard(curves)
    assert lines(ax) == {'LS, cyclic': ([8], [pytest.approx(5)])}


@pytest.mark.parametrize(
    ('curves', 'match'),
    [
        (STUDY[:1], "baseline, cyclic: 'baseline' has no standard runs: name them too"),
        (STUDY[1:3], 'all runs are standard: name runs of another kind too'),
        ([STUDY[0], *standard_runs('baseline', [(64, 0.5)])], 'do not meet'),
    ],
    ids=['no-standard', 'standard-alone', 'apart'],
)
def test_refused(curves, match):
    with pytest.raises(CurveError, match=match):
        gap_to_standard(curves)
