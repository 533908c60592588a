import time
from itertools import count
from pathlib import Path

import pytest
from composer.core import Callback, State
from composer.loggers import InMemoryLogger, Logger

from composer_clr import CyclicCosineScheduler
from composer_clr.recording.progress import TroughProgress


class Tenths:
    """A clock that moves on by a tenth of a second a batch."""

    def __init__(self) -> None:
        self.ticks = count()

    def monotonic(self) -> float:
        return next(self.ticks) / 10


class Bars(Callback):
    """What the progress bar says, batch after batch."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def batch_end(self, state: State, logger: Logger) -> None:
        bar = logger.destinations[0].train_pbar  # type: ignore[attr-defined]
        self.said.append(bar.metrics.get('trough'))


@pytest.mark.filterwarnings('ignore:max_duration:UserWarning')
def test_the_next_trough_and_the_time_to_it(make_trainer, monkeypatch):
    monkeypatch.setattr('composer_clr.recording.progress.time', Tenths())
    bars, kept = Bars(), InMemoryLogger()
    with Path('bar.txt').open('w') as stream:
        trainer = make_trainer(
            schedulers=CyclicCosineScheduler('1ep', 2, '1ep'),
            callbacks=[TroughProgress(), bars],
            loggers=kept,
            max_duration='5ep',
            progress_bar=True,
            console_stream=stream,
        )
        # The bar comes last among the loggers; here it is asked as the first.
        trainer.logger.destinations = (trainer.logger.destinations[-1], *trainer.logger.destinations[:-1])
        trainer.fit()
        trainer.close()
    # Troughs at 20 and 40 batches; after 2 batches 18 are left at 0.1 s each.
    assert bars.said[0] is None
    assert bars.said[1] == '2ep in 0:00:02'
    assert bars.said[9] == '2ep in 0:00:01'
    assert bars.said[19] == '4ep in 0:00:02'
    assert bars.said[38] == '4ep in 0:00:00'
    assert bars.said[39:] == ['none left'] * 11
    logged = [float(value) for _, value in kept.data['time/to_next_trough_s']]
    assert logged == pytest.approx([1.0, 2.0, 1.0])


def test_it_works_without_a_bar_and_with_troughs_in_samples(make_trainer):
    kept = InMemoryLogger()
    trainer = make_trainer(
        schedulers=CyclicCosineScheduler('60sp'), callbacks=TroughProgress(), loggers=kept, max_duration='180sp'
    )
    before = time.monotonic()
    trainer.fit()
    took = time.monotonic() - before
    logged = [float(value) for _, value in kept.data['time/to_next_trough_s']]
    assert len(logged) == 4
    assert all(0 < value < 10 * took for value in logged)


def test_a_schedule_whose_troughs_are_not_known_is_refused(make_trainer):
    with pytest.raises(ValueError, match='the troughs of no scheduler are not known'):
        make_trainer(callbacks=TroughProgress()).fit()
