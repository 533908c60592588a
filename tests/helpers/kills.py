"""A training process that records its phase and can be killed in it, to test what a kill leaves behind."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault('OMP_NUM_THREADS', '1')

import composer.utils.checkpoint
from composer import Callback, Trainer
from composer.core import State
from composer.loggers import Logger

from composer_clr.recording.run_folder import RunFolder
from composer_clr.train import main

WHERE = 'where'
DONE = 'done'
# Of the quickstart: two epochs of six batches.
WARMUP_BATCHES = 12
PHASES = ('start', 'warmup', 'training', 'evaluation', 'snapshot', 'curve', 'checkpoint')


@dataclass(frozen=True)
class Kill:
    """A moment to be killed at: some time after a phase begins, at a batch or later.

    Attributes:
        phase (str): One of ``PHASES``.
        batch (int): The first batch at which the phase counts; ignored for the phase ``'start'``.
        delay_s (float): Time after the phase begins, in seconds.
    """

    phase: str
    batch: int
    delay_s: float


class Marker(Callback):
    """Writes the phase of training to a file, and kills the process at its moment."""

    def __init__(self, kill: Kill | None):
        self.kill = kill
        self.batch = 0
        self.phase = 'start'
        self._file = os.open(WHERE + os.environ.get('RANK', '0'), os.O_RDWR | os.O_CREAT)

    def enter(self, phase: str) -> None:
        self.phase = phase
        os.pwrite(self._file, f'{phase:<12}'.encode(), 0)
        due = self.kill is not None and self.kill.phase == phase and (phase == 'start' or self.batch >= self.kill.batch)
        if due and self.kill is not None:
            threading.Timer(self.kill.delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
            self.kill = None

    def train(self) -> None:
        self.enter('warmup' if self.batch < WARMUP_BATCHES else 'training')

    def within(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*args: Any, **kwargs: Any) -> Any:
            around = self.phase
            self.enter(phase)
            try:
                return call(*args, **kwargs)
            finally:
                self.enter(around)

        return marked

    def batch_start(self, state: State, logger: Logger) -> None:
        self.batch = state.timestamp.batch.value
        self.train()

    def batch_end(self, state: State, logger: Logger) -> None:
        self.batch = state.timestamp.batch.value

    def eval_before_all(self, state: State, logger: Logger) -> None:
        self.enter('evaluation')

    def eval_after_all(self, state: State, logger: Logger) -> None:
        self.train()


def train_marked(
    folder: Path, arguments: Sequence[str], kill: Kill | None, environment: Mapping[str, str] | None = None
) -> None:
    """Does what ``python -m composer_clr.train ARGUMENTS`` does in a folder, with a Marker; ends the process."""
    os.environ.update(environment or {})
    os.chdir(folder)
    marker = Marker(kill)
    marker.enter('start')
    for owner, name, phase in (
        (RunFolder, 'save_weights', 'snapshot'),
        (RunFolder, 'write_curve', 'curve'),
        (composer.utils.checkpoint, 'save_checkpoint', 'checkpoint'),
    ):
        setattr(owner, name, marker.within(phase, getattr(owner, name)))
    build = Trainer.__init__

    def build_marked(self: Trainer, *args: Any, callbacks: Any, **kwargs: Any) -> None:
        build(self, *args, callbacks=[*callbacks, marker], **kwargs)

    Trainer.__init__ = build_marked  # type: ignore[method-assign]
    status = main(arguments)
    if status == 0:
        Path(DONE).touch()
    raise SystemExit(status)


def moments(draw: random.Random, number: int, batches: int, troughs: Sequence[int], batch_s: float) -> list[Kill]:
    """Returns random moments over a run's life, in the order of their batches.

    Two in five fall anywhere in training; the others are aimed, in turn and each at a random batch or trough, at
    phases too short to be hit by chance.
    """
    kills = [Kill('training', draw.randrange(batches), draw.uniform(0, 5 * batch_s)) for _ in range(2 * number // 5)]
    for i in range(number - len(kills)):
        phase = ('warmup', 'evaluation', 'snapshot', 'curve', 'checkpoint', 'start')[i % 6]
        if phase in ('evaluation', 'snapshot', 'curve'):
            kills.append(Kill(phase, draw.choice(troughs), draw.uniform(0, batch_s / 4)))
        elif phase == 'warmup':
            kills.append(Kill(phase, draw.randrange(WARMUP_BATCHES // 2), draw.uniform(0, batch_s)))
        else:
            kills.append(Kill(phase, draw.randrange(batches), draw.uniform(0, batch_s)))
    return sorted(kills, key=lambda kill: kill.batch)


if __name__ == '__main__':
    # One of several ranks: `composer -n 2 -m tests.helpers.kills RANK PHASE BATCH DELAY_S ARGUMENTS`.
    rank, phase, batch, delay_s, *arguments = sys.argv[1:]
    here = Kill(phase, int(batch), float(delay_s)) if rank == os.environ['RANK'] else None
    train_marked(Path.cwd(), arguments, here)
