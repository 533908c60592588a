"""Training with each callback that evaluates weights of its own is training without it, at every batch."""

import json

import pytest
from composer import Callback, Event

from composer_clr import ParetoSnapshot, TradeoffCurve
from tests.helpers.launcher import launch
from tests.helpers.recorded_runs import Stop, StopAfter
from tests.helpers.untouched_averages import CASES, both
from tests.helpers.watched_runs import hashes

pytest.importorskip('schedulefree')


def before_the_end(hashes_of: list[str]) -> list[str]:
    """Leaves out the end, where a schedule-free run has put its average into the network."""
    assert len(hashes_of) == 21
    assert len(set(hashes_of)) > 19
    return hashes_of[:-1]


@pytest.mark.parametrize(
    'case', [pytest.param(case, marks=pytest.mark.slow) if 'bert' in case else case for case in CASES]
)
def test_the_weights_at_every_batch_are_those_without_it(case, tmp_path, monkeypatch):
    if 'bert' in case:
        pytest.importorskip('transformers')
    monkeypatch.chdir(tmp_path)
    trained = both(case, 'out')
    assert before_the_end(trained['with']) == before_the_end(trained['without'])
    assert case == 'schedule-free' or trained['with'] == trained['without']
    assert [p.batch for p in TradeoffCurve.read(tmp_path / 'out' / case).points] == [7, 10, 20]


@pytest.mark.slow
def test_on_two_ranks(tmp_path):
    launched = launch(2, '-m', 'tests.helpers.untouched_averages', *CASES, folder=tmp_path)
    assert launched.returncode == 0, launched.stderr
    of_ranks = json.loads(launched.stdout.splitlines()[-1])
    assert len(of_ranks) == 2
    for trained in of_ranks:
        for case in CASES:
            assert before_the_end(trained[case]['with']) == before_the_end(trained[case]['without']), case


@pytest.mark.parametrize('case', ['both-1ep', 'anytime-1ep'])
def test_over_a_resume_within_an_epoch(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, _, own = CASES[case]

    def resumed(*callbacks: Callback) -> list[str]:
        saving = {
            'save_folder': f'checkpoints-{len(callbacks)}',
            'save_interval': '1ba',
            'autoresume': True,
            'save_overwrite': True,
        }
        with pytest.raises(Stop):
            hashes(arguments, *callbacks, StopAfter(12, Event.BATCH_START), **saving)
        return hashes(arguments, *callbacks, **saving)

    watched = resumed(*own(), ParetoSnapshot(folder='out', autoresume=True))
    assert len(watched) > 5
    assert watched == resumed()
