import pytest

from composer_clr.recording import training_clock
from composer_clr.recording.training_clock import TrainingClock


@pytest.fixture
def at(monkeypatch):
    """Set the time of day."""

    def set_time(seconds: float) -> None:
        monkeypatch.setattr(training_clock.time, 'monotonic', lambda: seconds)

    return set_time


def test_pauses_count_towards_the_total_alone(at):
    clock = TrainingClock()
    at(100)
    clock.pause()
    at(103)
    assert (clock.train_s(50), clock.total_s(50)) == (50, 53)
    at(105)
    clock.resume()
    at(999)
    assert (clock.train_s(60), clock.total_s(60), clock.paused_s) == (60, 65, 5)


def test_spinning_counts_towards_neither(at):
    clock = TrainingClock(paused_s=5, spinning_s=1)
    clock.training_starts(mid_epoch=True)
    at(200)
    clock.loader_asked()
    at(202)
    clock.loader_asked()  # for the next of the batches that are spun over
    at(204)
    clock.progress()
    at(300)
    clock.loader_asked()
    at(310)
    clock.progress()
    assert clock.spinning_s == 5
    assert (clock.train_s(50), clock.total_s(50)) == (45, 50)


def test_a_loader_that_starts_at_an_epochs_beginning_does_not_spin(at):
    clock = TrainingClock()
    clock.training_starts(mid_epoch=False)
    at(1)
    clock.loader_asked()
    at(9)
    clock.progress()
    assert clock.spinning_s == 0
