"""Losses and weights that are not finite: recorded, marked, and stopped or continued."""

from __future__ import annotations

import math

import pytest
import torch
from composer import Callback
from composer.core import State
from composer.loggers import Logger

from tests.helpers.recorded_runs import Recorder, curve, doubling, snapshot


class Poison(Callback):
    """Makes the weights NaN before a batch, and so its loss."""

    def __init__(self, batch: int):
        self.batch = batch

    def before_forward(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value == self.batch:
            with torch.no_grad():
                next(state.model.parameters()).fill_(math.nan)


def test_a_run_that_diverges_records_the_point_marks_it_and_stops(make_trainer):
    recorder = Recorder()
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), Poison(30), recorder])
    with pytest.warns(UserWarning, match="diverged by cycle 1, batch 40: .*training stops here \\(on_nan='stop'\\)"):
        trainer.fit()
    assert [(p.batch, p.diverged) for p in curve().points] == [(20, False), (40, True)]
    assert math.isnan(curve().points[1].metrics['eval/CrossEntropy'])
    assert trainer.state.timestamp.batch == 40
    assert len(recorder.rates) == 40


def test_a_loss_that_is_infinite_at_the_last_batch_alone_has_diverged_too(make_trainer):
    class Infinite(Callback):
        def after_loss(self, state: State, logger: Logger) -> None:
            if state.timestamp.batch.value == 19:
                state.loss = [torch.tensor(math.inf, requires_grad=True), torch.tensor(1.0)]  # type: ignore

        def before_backward(self, state: State, logger: Logger) -> None:
            if state.timestamp.batch.value == 19:
                self.infinite, state.loss = state.loss, torch.tensor(1.0, requires_grad=True)

        def after_backward(self, state: State, logger: Logger) -> None:
            if state.timestamp.batch.value == 19:
                state.loss = self.infinite

    with pytest.warns(UserWarning, match='diverged by cycle 0'):
        make_trainer(schedulers=doubling(), callbacks=[snapshot(), Infinite()]).fit()
    assert [p.diverged for p in curve().points] == [True]


@pytest.mark.filterwarnings(
    'ignore:.*diverged by cycle:UserWarning',
    'ignore:No batches were trained:UserWarning',
    'ignore:The ``compute`` method:UserWarning',
)
def test_a_run_that_has_diverged_is_not_resumed_unless_told_to(make_trainer):
    own = {'save_folder': 'own', 'save_interval': '1ep', 'autoresume': True, 'save_overwrite': True}
    make_trainer(schedulers=doubling(), callbacks=[snapshot(), Poison(30)], **own).fit()
    with pytest.raises(ValueError, match="had diverged by cycle 1, batch 40: .*on_nan='continue'"):
        make_trainer(schedulers=doubling(), callbacks=snapshot(), **own).fit()
    with pytest.warns(UserWarning, match='diverged by cycle 2.*training continues'):
        make_trainer(schedulers=doubling(), callbacks=snapshot(on_nan='continue'), **own).fit()
    assert [(p.batch, p.diverged) for p in curve().points] == [(20, False), (40, True), (80, True)]
