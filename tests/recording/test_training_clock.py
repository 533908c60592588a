"""Training time: by a clock of its own, from the first epoch's start, without evaluations and failed batches."""

import datetime
from types import SimpleNamespace

import pytest
from composer import Event

from tests.helpers.averaged_runs import interrupted
from tests.helpers.fake_clock import FakeClock
from tests.helpers.recorded_runs import At, Stop, StopAfter, curve, doubling, snapshot


@pytest.mark.parametrize('hours', [1, -1])
def test_a_change_of_the_time_of_day_is_in_no_point(make_trainer, monkeypatch, hours):
    step = datetime.timedelta(0)

    class TimeOfDay(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + step

    def summer_time():
        nonlocal step
        step = datetime.timedelta(hours=hours)

    monkeypatch.setattr(
        'composer.trainer.trainer.datetime', SimpleNamespace(datetime=TimeOfDay, timedelta=datetime.timedelta)
    )
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), At(25, summer_time)])
    trainer.fit()
    assert abs(trainer.state.timestamp.total_wct.total_seconds()) > 3500
    times = [(p.wall_clock_train_s, p.wall_clock_total_s) for p in curve().points]
    assert times == sorted(times)
    assert all(0 < train_s < total_s < 100 for train_s, total_s in times)


def test_an_evaluation_by_hand_is_not_training(make_trainer, monkeypatch):
    FakeClock(monkeypatch)
    trainer = make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration='2ep')
    trainer.eval()
    trainer.fit()
    assert [(p.wall_clock_train_s, p.wall_clock_total_s) for p in curve().points] == [(20, 20 + 10)]


def times() -> list[tuple[int, float]]:
    return [(point.batch, point.wall_clock_train_s) for point in curve().points]


@pytest.mark.parametrize('event', [Event.BATCH_START, Event.BATCH_END, Event.BATCH_CHECKPOINT, Event.EVAL_AFTER_ALL])
def test_a_fit_after_one_that_failed_goes_on_from_the_last_whole_batch(make_trainer, monkeypatch, event):
    clock = FakeClock(monkeypatch)
    stop = StopAfter(35, event)
    trainer = make_trainer(schedulers=doubling(), callbacks=[snapshot(), stop], eval_interval='35ba')
    with pytest.raises(Stop):
        trainer.fit()
    clock.now_s += 1000
    stop.batch = -1
    trainer.fit()
    assert times() == [(20, 20), (40, 40), (80, 80)]


@pytest.mark.filterwarnings('ignore:ParetoSnapshot is not in the state_dict')
def test_the_time_before_the_callback_was_given_is_composers(make_trainer, monkeypatch):
    FakeClock(monkeypatch)

    def train(make_trainer, folder, *callbacks, **changes):
        make_trainer(schedulers=doubling(), callbacks=callbacks, **changes).fit()

    checkpoint = interrupted(train, make_trainer, 'out', 35)
    with pytest.warns(UserWarning, match='the curve has no point at 2ep, a trough that has passed'):
        train(make_trainer, 'out', snapshot(), load_path=checkpoint)
    assert times() == [(40, 40), (80, 80)]
