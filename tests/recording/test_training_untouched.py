"""Training with ParetoSnapshot, or averages beside it, is training without: hashes of the weights at every batch."""

import json

import pytest
import torch
from composer import Callback, Event
from composer.callbacks import EarlyStopper, ThresholdStopper
from composer.core import State
from composer.loggers import Logger
from torch.utils.data import DataLoader

from composer_clr import CyclicCosineScheduler
from tests.helpers.launcher import launch
from tests.helpers.recorded_runs import Recorder, Stop, StopAfter, curve, snapshot
from tests.helpers.watched_runs import CASES, Noisy, both, dropout, hashes

pytestmark = pytest.mark.filterwarnings('ignore:ProgressiveResizing follows the elapsed part of the whole run')
NEEDED = {'bert-1ep': 'transformers', 'schedule-free': 'schedulefree'}
# The others have these networks and averages too, with evaluations between the troughs.
SLOW = ['bert-1ep', 'dropout-7ba-of-two', 'transformer', 'trough-average', 'anytime']


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def assert_untouched(trained: dict[str, list[str]], case: str) -> None:
    assert len(trained['with']) == len(trained['without']) == 21
    assert len(set(trained['with'])) > 19
    # At its end a schedule-free run has put its average into the network.
    end = -1 if case == 'schedule-free' else None
    assert trained['with'][:end] == trained['without'][:end], case


@pytest.mark.parametrize(
    'case', [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES]
)
def test_the_weights_at_every_batch_are_those_without_it(case):
    if case in NEEDED:
        pytest.importorskip(NEEDED[case])
    assert_untouched(both(case, 'out'), case)
    assert [p.batch for p in curve(f'out/{case}').points] == [7, 10, 20]


@pytest.mark.parametrize(
    'cases',
    [['dropout-1ep-of-three'], pytest.param([case for case in CASES if case != 'resnet'], marks=pytest.mark.slow)],
    ids=['one', 'all'],
)
def test_on_two_ranks(tmp_path, cases):
    launched = launch(2, '-m', 'tests.helpers.watched_runs', 'out', *cases, folder=tmp_path)
    assert launched.returncode == 0, launched.stderr
    of_ranks = json.loads(launched.stdout.splitlines()[-1])
    assert len(of_ranks) == 2
    for trained in of_ranks:
        for case in cases:
            assert_untouched(trained[case], case)


def test_evaluators_run_once_at_a_trough_and_where_the_user_asks():
    # The third one is asked for after another random state than at the trough, since the second one is not asked for.
    recorder = Recorder()
    hashes(CASES['dropout-1ep-of-three'].arguments, snapshot(), recorder)
    at = {label: [b for b, of in recorder.evaluations if of == label] for label in ('eval0', 'eval1', 'eval2')}
    assert at == {'eval0': [5, 7, 10, 15, 20], 'eval1': [7, 10, 20], 'eval2': [5, 7, 10, 10, 15, 20, 20]}


@pytest.mark.parametrize('case', ['dropout', 'both-1ep', 'anytime-1ep'])
def test_over_a_resume_within_an_epoch(case):
    def resumed(folder: str, *callbacks: Callback) -> list[str]:
        saving = {'save_folder': folder, 'save_interval': '1ba', 'autoresume': True, 'save_overwrite': True}
        with pytest.raises(Stop):
            hashes(CASES[case].arguments, *callbacks, StopAfter(12, Event.BATCH_START), **saving)
        return hashes(CASES[case].arguments, *callbacks, **saving)

    watched = resumed('with', *CASES[case].own(), snapshot(autoresume=True))
    assert len(watched) > 5
    assert watched == resumed('without')
    assert [p.batch for p in curve().points] == [7, 10, 20]


def test_a_generator_that_the_loaders_share():
    def sharing():
        generator = torch.Generator().manual_seed(5)
        loaders = {
            name: DataLoader(Noisy(20), 4, shuffle=True, generator=generator)
            for name in ('train_dataloader', 'eval_dataloader')
        }
        return {**dropout(), **loaders, 'eval_interval': 0}

    assert hashes(sharing, snapshot()) == hashes(sharing)


class Freeze(Callback):
    """Keeps a layer in evaluation mode."""

    def epoch_start(self, state: State, logger: Logger) -> None:
        state.train_metrics = None  # their evaluation thaws layers too
        state.model.module[1].eval()  # type: ignore


def test_a_layer_that_is_kept_in_evaluation_mode_stays_in_it():
    frozen = hashes(dropout, Freeze())
    assert frozen != hashes(dropout)
    assert hashes(dropout, snapshot(), Freeze()) == frozen


class Draws(Callback):
    """A user's callback that draws random numbers in evaluations."""

    def eval_end(self, state: State, logger: Logger) -> None:
        torch.rand(())

    def eval_after_all(self, state: State, logger: Logger) -> None:
        torch.rand(())


def test_callbacks_that_draw_random_numbers_in_evaluations():
    arguments = CASES['dropout-1ep'].arguments
    assert hashes(arguments, snapshot(), Draws()) == hashes(arguments, Draws())


@pytest.mark.parametrize(
    'stopper',
    [
        lambda: EarlyStopper('MulticlassAccuracy', 'eval0', patience=1),
        lambda: ThresholdStopper('MulticlassAccuracy', 'eval0', threshold=0.7),
    ],
)
@pytest.mark.filterwarnings('ignore:training ended')
def test_early_stopping_stops_where_it_does_without_it(stopper):
    def trained(*callbacks: Callback) -> list[str]:
        scheduler = CyclicCosineScheduler(cycle_ends=['7ba', '10ba', '20ba', '100ba'])
        return hashes(CASES['dropout-1ep'].arguments, *callbacks, schedulers=scheduler, max_duration='100ba')

    without = trained(stopper())
    assert 5 < len(without) < 100
    assert trained(stopper(), snapshot()) == without
    assert trained(snapshot(overwrite=True), stopper()) == without
