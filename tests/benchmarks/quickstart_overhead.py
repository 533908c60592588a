"""Overhead of this package's parts in a training run: ``python -m tests.benchmarks.quickstart_overhead``.

The quickstart's network and data are trained alternately with the scheduler and the callbacks on and off (a plain
Composer scheduler, no callback), pair by pair in one process. Printed are the ratio of training throughput, with its
range, and the share of training time spent inside the hooks, without trough evaluations and snapshots.
"""

from __future__ import annotations

import tempfile
import time
from statistics import median
from typing import Any

import torch
from composer import Event, Trainer
from composer.optim import CosineAnnealingScheduler

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from composer_clr.recipes.load import load_recipe
from composer_clr.recording.progress import TroughProgress
from composer_clr.training.build import build_trainer

PAIRS, DURATION = 15, '32ep'
# These record the point, while the training clock is stopped for an evaluation.
AT_TROUGHS = {Event.EVAL_BEFORE_ALL, Event.EVAL_START, Event.EVAL_END, Event.EVAL_AFTER_ALL}


class Clock:
    """Sums the seconds spent in wrapped calls."""

    def __init__(self) -> None:
        self.total_s = 0.0

    def around(self, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.total_s += time.perf_counter() - began

        return timed


def measure(with_parts: bool) -> tuple[float, float]:
    """Trains once; returns batches per second of training time, and the share of it spent inside the hooks."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f'max_duration={DURATION}', 'progress_bar=false', f'snapshot.folder={folder}/run']
        trainer = build_trainer(load_recipe('quickstart/digits', overrides))
        hooks = Clock()
        if with_parts:
            wrap_hooks(trainer, hooks)
        else:
            state = trainer.state
            state.callbacks[:] = [c for c in state.callbacks if not isinstance(c, (ParetoSnapshot, TroughProgress))]
            plain = CosineAnnealingScheduler()
            state.schedulers = torch.optim.lr_scheduler.LambdaLR(state.optimizers[0], lambda _: plain(state, 1.0))
        trainer.fit()
        seconds = trainer.state.timestamp.total_wct.total_seconds()
        batches = trainer.state.timestamp.batch.value
        trainer.close()
        return batches / seconds, hooks.total_s / seconds


def wrap_hooks(trainer: Trainer, clock: Clock) -> None:
    state = trainer.state
    (snapshot,) = (callback for callback in state.callbacks if isinstance(callback, ParetoSnapshot))
    run_event, timed_run_event, fit_start = snapshot.run_event, clock.around(snapshot.run_event), snapshot.fit_start

    def run_event_timed_between_troughs(event: Event, *args: Any) -> None:
        (run_event if event in AT_TROUGHS else timed_run_event)(event, *args)

    def fit_start_then_time_the_intervals(*args: Any) -> None:
        fit_start(*args)
        for evaluator in state.evaluators:
            assert evaluator.eval_interval is not None
            evaluator.eval_interval = clock.around(evaluator.eval_interval)

    vars(snapshot).update(run_event=run_event_timed_between_troughs, fit_start=fit_start_then_time_the_intervals)
    compiled = state.schedulers[0]
    assert isinstance(compiled, torch.optim.lr_scheduler.LambdaLR)
    compiled.lr_lambdas = [clock.around(call) for call in compiled.lr_lambdas]
    # The wrapper hides the scheduler from the callbacks, which look for it inside the compiled one.
    snapshot.scheduler = CyclicCosineScheduler('2ep', 2, '2ep')
    (progress,) = (callback for callback in state.callbacks if isinstance(callback, TroughProgress))
    vars(progress).update(run_event=clock.around(progress.run_event), scheduler=snapshot.scheduler)


def main() -> None:
    for with_parts in (True, False):
        measure(with_parts)
    ratios, shares = [], []
    for pair in range(PAIRS):
        order = (True, False) if pair % 2 else (False, True)
        results = {with_parts: measure(with_parts) for with_parts in order}
        ratios.append(results[True][0] / results[False][0])
        shares.append(results[True][1])
    print(f'{PAIRS} pairs of {DURATION}')
    print(f'throughput, parts on over parts off: {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})')
    print(f'inside the hooks: {100 * median(shares):.2f}% of training time ({100 * max(shares):.2f}% at most)')


if __name__ == '__main__':
    main()
