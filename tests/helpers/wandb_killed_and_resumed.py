"""Trains with checkpoints and W&B offline: ``python -m tests.helpers.wandb_killed_and_resumed BATCH [key=value ...]``.

It kills itself with SIGKILL after the batch, as when a machine is preempted; -1 trains to the end.
"""

import os
import signal
import sys

from composer import Callback

from composer_clr.recipes.load import load_recipe
from composer_clr.training.build import build_trainer

OVERRIDES = [
    'run_name=killed',
    'max_duration=32ep',
    'data.arguments.train_images=100',
    'progress_bar=false',
    'loggers.WandBLogger.project=clr',
    'callbacks={LRMonitor: {}, SpeedMonitor: {window_size: 2}}',
    'snapshot.folder=out',
    'checkpoint={folder: ck, interval: 3ep, autoresume: true}',
]


class KillAt(Callback):
    def __init__(self, batch: int):
        self.batch = batch

    def batch_end(self, state, logger):
        if state.timestamp.batch == self.batch:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    trainer = build_trainer(
        load_recipe('quickstart/digits', [*OVERRIDES, *sys.argv[2:]]), callbacks=[KillAt(int(sys.argv[1]))]
    )
    trainer.fit()
    trainer.close()


if __name__ == '__main__':
    main()
