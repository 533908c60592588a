"""Parts of a recorded run: schedule, snapshot, and callbacks that watch or stop it."""

from pathlib import Path

from composer import Callback, Event
from composer.core import State
from composer.loggers import Logger

from composer_clr import CyclicCosineScheduler, ParetoSnapshot, TradeoffCurve


def doubling() -> CyclicCosineScheduler:
    """Returns a scheduler with troughs at 2, 4 and 8 epochs, or 20, 40 and 80 batches of a loader of 10."""
    return CyclicCosineScheduler('1ep', 2, '1ep')


def snapshot(**changes) -> ParetoSnapshot:
    return ParetoSnapshot(**{'folder': 'out', **changes})


def curve(folder: str | Path = 'out') -> TradeoffCurve:
    return TradeoffCurve.read(Path(folder))


class Recorder(Callback):
    """Records every evaluation, and the learning rate and the loss of every batch."""

    def __init__(self):
        self.evaluations: list[tuple[int, str]] = []
        self.rates: list[float] = []
        self.losses: list[float] = []

    def before_train_batch(self, state: State, logger: Logger) -> None:
        self.rates.append(state.optimizers[0].param_groups[0]['lr'])

    def after_train_batch(self, state: State, logger: Logger) -> None:
        self.losses.append(float(state.loss))  # type: ignore[arg-type]

    def eval_end(self, state: State, logger: Logger) -> None:
        self.evaluations.append((state.timestamp.batch.value, state.dataloader_label or ''))


class Stop(Exception):
    pass


class StopAfter(Callback):
    """Interrupts training at an event of a batch; nothing that follows it runs."""

    def __init__(self, batch: int, event: Event):
        self.batch, self.at = batch, event

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        if event == self.at and state.timestamp.batch.value == self.batch:
            raise Stop


class At(Callback):
    """Calls a function once, as a batch starts."""

    def __init__(self, batch: int, do):
        self.batch, self.do = batch, do

    def batch_start(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value == self.batch:
            self.do()
