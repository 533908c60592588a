"""Logs without training times are compared by what they count; what asks for times is refused."""

import json

import pytest

from composer_clr.curves.curve import CurveError
from composer_clr.curves.files import read_sources
from composer_clr.study.ask import answer, answers_record
from composer_clr.study.compare import compare
from composer_clr.study.findings import findings
from composer_clr.study.record import record
from composer_clr.study.table import Study


@pytest.fixture(params=[(), ('baseline',)], ids=['no run has times', 'the baseline has times'])
def runs(request, tmp_path):
    """A log and standard runs of two methods, two seeds each."""
    values, timed = {'baseline': (0.5, 0.6, 0.7), 'A': (0.52, 0.63, 0.71)}, request.param
    rows = [
        f'{kind},{method},{seed},{epoch},{10 * epoch if method in timed else ""},{value + 0.01 * seed}'
        for kind in ('log', 'standard')
        for method in values
        for seed in (1, 2)
        for epoch, value in zip((4, 8, 16), values[method], strict=True)
    ]
    (tmp_path / 'log.csv').write_text('\n'.join(['kind,method,seed,epoch,wall_clock_train_s,acc', *rows]))
    with pytest.warns(UserWarning, match='runs without wall_clock_train_s are compared by epochs alone'):
        return read_sources([tmp_path / 'log.csv'])[0]


def test_they_are_compared_by_epochs_alone(runs):
    study = Study.of(runs)
    assert 'has no training times: nothing is compared by time' in study.warnings[0]
    compared = compare(study)
    over = compared.kinds['log'].over_baseline['A']
    assert over.at_equal_counts is not None
    assert over.at_equal_counts.each.value == pytest.approx([2, 3, 1])
    assert (over.at_equal_time, over.speedups, over.crossings['time']) == (None, [], [])
    assert compared.kinds['log'].methods['A'].cost.counted_ratio == pytest.approx(28 / 16)
    written = json.loads(json.dumps(record(compared), allow_nan=False))
    assert written['methods']['A']['cost_ratio'] is written['methods']['A']['cost']['one_run_s'] is None
    assert not {one.quantity for one in findings(compared)} & {'cost_ratio', 'speedup', 'improvement_at_equal_time'}


def test_questions_of_time_are_refused(runs):
    answers = answer(runs, reach=['60%'], within=[(8, 'epoch')])
    assert (answers.axis, answers.frontier) == ('epoch', [])
    (reached,) = [found.reached[0] for found in answers.curves if str(found.curve) == 'baseline, log']
    # The mean of 0.515, 0.615 and 0.715 at 4, 8 and 16 epochs.
    assert reached.exact == pytest.approx(4 * 2**0.85)
    json.dumps(answers_record(answers), allow_nan=False)
    refused = 'has no training times: choose --axis epoch, or leave the run out'
    with pytest.raises(CurveError, match=refused):
        answer(runs, within=[60.0])
    with pytest.raises(CurveError, match=refused):
        answer(runs, reach=[0.6], axis='time')


def test_beside_curves_of_other_kinds_a_log_is_drawn_and_not_compared(runs):
    study = Study.of([one for one in runs if (one.run.method, one.run.kind) != ('baseline', 'log')])
    assert compare(study, strict=False).left_out['log'] == (
        "the baseline 'baseline' has no log runs: plot and ask show a log beside them, and compare compares it with a "
        'log of that method'
    )
