"""The cost of a run, from its lengths and the pace of a few batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rich.filesize import decimal

__all__ = ['RunCost']


@dataclass(frozen=True)
class RunCost:
    """The cost of a run.

    Attributes:
        batches (int): Training batches.
        waiting_s (float): Time per batch waiting for its data, in seconds.
        computing_s (float): Time per batch training on it, in seconds.
        evaluations (int): Number of evaluations.
        eval_batches (int): Batches per evaluation.
        eval_batch_s (float): Time per evaluation batch, in seconds.
        snapshots (int): Number of saved snapshots.
        snapshot_bytes (int): Size of one snapshot, in bytes.

    Example:
        >>> cost = RunCost(1000, 0.1, 0.4, 5, 10, 0.2, 5, 1_000_000)
        >>> cost.train_s, cost.eval_s
        (500.0, 10.0)
        >>> print(*cost.lines(), sep='\\n')
        training          1000 batches of 0.50 s (0.40 s computing, 0.10 s waiting for data): 0:08:20
        evaluation        5 times 10 batches of 0.20 s: 0:00:10
        snapshots         5 of 1.0 MB: 5.0 MB
        time              0:08:30
    """

    batches: int
    waiting_s: float
    computing_s: float
    evaluations: int
    eval_batches: int
    eval_batch_s: float
    snapshots: int
    snapshot_bytes: int

    @property
    def train_s(self) -> float:
        """Training time, in seconds."""
        return self.batches * (self.waiting_s + self.computing_s)

    @property
    def eval_s(self) -> float:
        """Evaluation time, in seconds."""
        return self.evaluations * self.eval_batches * self.eval_batch_s

    def lines(self) -> list[str]:
        """Returns the cost, one line per part."""
        batch_s = self.waiting_s + self.computing_s
        return [
            f'training          {self.batches} batches of {batch_s:.2f} s ({self.computing_s:.2f} s computing, '
            f'{self.waiting_s:.2f} s waiting for data): {_clock(self.train_s)}',
            f'evaluation        {self.evaluations} times {self.eval_batches} batches of {self.eval_batch_s:.2f} s: '
            f'{_clock(self.eval_s)}',
            f'snapshots         {self.snapshots} of {decimal(self.snapshot_bytes)}: '
            f'{decimal(self.snapshots * self.snapshot_bytes)}',
            f'time              {_clock(self.train_s + self.eval_s)}',
        ]


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
