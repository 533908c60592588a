"""The learning rate that was really used: compared with the schedule's at every trough."""

import math
import warnings

import pytest
import torch
from composer import Callback
from composer.core import State
from composer.loggers import Logger

from composer_clr import CyclicCosineScheduler
from tests.helpers.recorded_runs import curve, doubling, snapshot
from tests.helpers.trainers import classifier


class Drive(Callback):
    """Sets the rate of a parameter group at an event."""

    def __init__(self, event: str, rate: float, group: int = 0):
        setattr(self, event, self.drive)
        self.rate, self.group = rate, group

    def drive(self, state: State, logger: Logger) -> None:
        state.optimizers[0].param_groups[self.group]['lr'] = self.rate


def test_a_schedule_stepped_per_epoch_is_noticed_and_both_rates_recorded(make_trainer):
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), step_schedulers_every_batch=False)
    with pytest.warns(UserWarning, match='the learning rate at batch 20 is .*step_schedulers_every_batch') as warned:
        trainer.fit()
    assert len([one for one in warned if 'the learning rate at batch' in str(one.message)]) == 1
    points = curve().points
    # What the last epoch trained at is the rate as the epoch before it ended, at batches 10, 30 and 70.
    shares = [math.cos(math.pi * t) for t in (9 / 10, 19 / 20, 39 / 40)]
    assert [p.scheduled_lr for p in points] == pytest.approx([0.25 * (1 + share) for share in shares])
    assert [p.lr for p in points] == pytest.approx([0.5, 0.25, 0.25 * (1 + math.cos(math.pi * 3 / 4))])


@pytest.mark.parametrize('event', ['batch_start', 'batch_end', 'eval_before_all'])
def test_something_else_that_drives_the_rate_is_noticed(make_trainer, event):
    callbacks = [Drive(event, 0.25), snapshot()]
    trainer = make_trainer(schedulers=doubling(), callbacks=callbacks, max_duration='4ep')
    with pytest.warns(UserWarning, match='the learning rate at batch 20 is 0.25'):
        trainer.fit()
    assert [p.lr for p in curve().points] == [0.25] * 2
    assert all(p.scheduled_lr is not None and p.scheduled_lr < 0.1 for p in curve().points)


def test_of_every_parameter_group(make_trainer):
    def optimizer(model):
        first, *others = model.parameters()
        return torch.optim.SGD([{'params': [first], 'lr': 0.5}, {'params': others, 'lr': 0.1}], lr=0.5)

    def train(*callbacks):
        model = classifier()
        arguments = {'model': model, 'optimizers': optimizer(model), 'max_duration': '4ep'}
        make_trainer(schedulers=doubling(), callbacks=[*callbacks], **arguments).fit()

    train(snapshot())
    assert all(p.scheduled_lr is None for p in curve().points)
    with pytest.warns(UserWarning, match='the learning rate at batch 20'):
        train(Drive('batch_end', 0.25, group=1), snapshot(overwrite=True))
    assert all(p.scheduled_lr == p.lr for p in curve().points)


def of_torch(make_trainer, rates: list[float], ends: list[int], **changes) -> str:
    """Trains under torch's scheduler with a rate per batch, and returns the kind of the curve at given troughs."""
    optimizer = torch.optim.SGD((model := classifier()).parameters(), lr=1.0)
    make_trainer(
        model=model,
        optimizers=optimizer,
        schedulers=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: rates[min(t, len(rates) - 1)]),
        step_schedulers_every_batch=True,
        callbacks=snapshot(scheduler=[f'{end}ba' for end in ends], overwrite=True, **changes),
        max_duration=f'{ends[-1]}ba',
    ).fit()
    return curve().run.kind


TRIANGLES = [abs((t % 10) - 5) / 5 for t in range(31)]  # 1 at 0, 0 at 5, 1 at 10


@pytest.mark.parametrize(
    ('rates', 'ends', 'kind'),
    [
        (TRIANGLES, [5, 15, 25], 'cyclic'),
        (TRIANGLES, [10, 20, 30], 'marked'),
        (TRIANGLES, [5, 12, 25], 'marked'),
        ([1.0] * 31, [10, 20, 30], 'marked'),
        ([1 - t / 40 for t in range(31)], [10, 20, 30], 'marked'),
        ([(10 - t % 10) / 10 for t in range(31)], [9, 19, 29], 'cyclic'),
        (TRIANGLES, [25], 'standard'),
    ],
    ids=['at-the-troughs', 'at-the-peaks', 'one-between', 'constant', 'one-decay', 'restarts', 'one'],
)
def test_troughs_given_by_hand_are_marks_where_the_rate_does_not_come_down(make_trainer, rates, ends, kind):
    assert of_torch(make_trainer, rates, ends) == kind


def test_a_kind_given_by_hand_stays(make_trainer):
    assert of_torch(make_trainer, TRIANGLES, [10, 20, 30], kind='mine') == 'mine'


def test_troughs_between_those_of_a_cyclic_schedule_are_marks(make_trainer):
    trainer = make_trainer(
        schedulers=CyclicCosineScheduler('10ba', 1.0),
        callbacks=snapshot(scheduler=['15ba', '40ba']),
        max_duration='40ba',
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        trainer.fit()
    assert curve().run.kind == 'marked'


class Warn(Callback):
    def batch_end(self, state: State, logger: Logger) -> None:
        warnings.warn('of every batch', UserWarning, stacklevel=1)


def test_what_python_shows_once_it_does_not_show_again_after_a_trough(make_trainer):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('default')
        make_trainer(schedulers=doubling(), callbacks=[snapshot(), Warn()], max_duration='4ep').fit()
    assert len(curve().points) == 2
    assert [str(one.message) for one in shown].count('of every batch') == 1
