"""Time of one scheduler call, beside Composer's own: ``python -m tests.benchmarks.scheduler_call``.

The three schedulers alternate, round by round, in one process. Printed are the median of each in microseconds, and the
median and range of the ratio of the cyclic one to the cheaper of Composer's two.
"""

from __future__ import annotations

from statistics import median
from timeit import timeit

import torch
from composer.core import State
from composer.devices import DeviceCPU
from composer.optim import CosineAnnealingWarmRestartsScheduler, CosineAnnealingWithWarmupScheduler
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import CyclicCosineScheduler

ROUNDS, CALLS, BATCHES = 25, 1000, 625


def main() -> None:
    model = torch.nn.Linear(1, 1)
    state = State(model=model, rank_zero_seed=0, run_name='benchmark', device=DeviceCPU(), max_duration='4096ep')
    state.set_dataloader(DataLoader(TensorDataset(torch.zeros(BATCHES, 1))), 'train')
    state.schedulers = torch.optim.lr_scheduler.LambdaLR(torch.optim.SGD(model.parameters(), lr=1.0), lambda _: 1.0)
    calls = {
        'cyclic': CyclicCosineScheduler('8ep', 2, '8ep'),
        'warmup': CosineAnnealingWithWarmupScheduler('8ep', '4096ep'),
        'restarts': CosineAnnealingWarmRestartsScheduler('8ep', 2),
    }
    print(f'{ROUNDS} rounds of {CALLS} calls each; us per call')
    # Of the two schedulers with restarts, only the cyclic one has a warmup; each epoch is in the same cycle of both.
    for cycle, epoch in (('first', 14), ('ninth', 8 * 2**8 + 8 * 100)):
        state.timestamp = state.timestamp.copy(batch=epoch * BATCHES + 100)
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, scheduler in calls.items():
                seconds[name].append(timeit(lambda scheduler=scheduler: scheduler(state, 1.0), number=CALLS) / CALLS)
        ratios = [
            cyclic / min(warmup, restarts)
            for cyclic, warmup, restarts in zip(*(seconds[name] for name in calls), strict=True)
        ]
        each = ', '.join(f'{name} {median(times) * 1e6:.2f}' for name, times in seconds.items())
        print(
            f'{cycle} cycle: {each}; cyclic over the cheaper of the others '
            f'{median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})'
        )


if __name__ == '__main__':
    main()
