"""What Composer expects of every callback and scheduler that it is given."""

import inspect

import pytest
from composer import Callback, Event
from composer.core import Engine, State
from composer.loggers import Logger

from composer_clr import CyclicCosineScheduler, ParetoSnapshot


@pytest.fixture
def prepared(make_trainer) -> State:
    """A Trainer's state with both parts in it, before any batch."""
    trainer = make_trainer(
        schedulers=CyclicCosineScheduler('1ep', 2, '1ep'), callbacks=ParetoSnapshot(folder='out'), max_duration='4ep'
    )
    return trainer.state


def test_fit_may_start_and_end_more_than_once(prepared):
    engine = Engine(state=prepared, logger=Logger(prepared))
    for event in (Event.FIT_START, Event.FIT_END, Event.FIT_START, Event.FIT_END):
        engine.run_event(event)
    (evaluator,) = prepared.evaluators
    assert not isinstance(evaluator.eval_interval.users, type(evaluator.eval_interval)), 'wrapped once, not twice'  # type: ignore


def test_closing_is_idempotent_before_and_after_training(prepared):
    engine = Engine(state=prepared, logger=Logger(prepared))
    engine.run_event(Event.FIT_START)
    engine.close()
    engine.close()
    Engine(state=prepared, logger=Logger(prepared)).close()


def test_every_method_of_the_callback_is_an_event():
    public = {name for name, _ in inspect.getmembers(ParetoSnapshot, inspect.isfunction) if not name.startswith('_')}
    inherited = {name for name, _ in inspect.getmembers(Callback, inspect.isfunction)}
    # What callbacks that measure more at a trough ask of it.
    assert public - inherited == {'note_extra', 'save_beside', 'save_file'}


def test_without_an_optimizer_of_the_users(make_trainer):
    with pytest.warns(UserWarning, match='No optimizer was specified'):
        trainer = make_trainer(optimizers=None, schedulers=None, callbacks=ParetoSnapshot(['1ep', '2ep'], folder='out'))
    with pytest.warns(UserWarning, match='after the last cycle'):
        trainer.fit()
    assert [p.batch for p in trainer.state.callbacks[-1].curve.points] == [10, 20]
