"""Trains, and sends W&B's process a signal meanwhile: ``python -m tests.helpers.wandb_service_killed SIGNAL``."""

import signal
import sys

import psutil
import torch
from composer import Callback, Trainer
from composer.loggers import WandBLogger

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from composer_clr.loggers import wandb_live
from tests.helpers.trainers import classifier, loader


class SignalService(Callback):
    """Sends the signal, then logs more than the socket holds, so that a stopped process would be waited for."""

    def __init__(self, number: signal.Signals):
        self.number = number

    def batch_start(self, state, logger):
        if state.timestamp.batch == 30:
            services = [child for child in psutil.Process().children() if 'wandb' in child.name()]
            for service in services:
                service.send_signal(self.number)
            print('sent to', len(services))
        elif 30 < state.timestamp.batch < 35:
            logger.log_metrics({'filler': 'x' * 4_000_000})  # pyright: ignore[reportArgumentType]


def main() -> None:
    wandb_live.LOOK_EVERY_S = 1 / wandb_live.MOST_LOOKS
    model = classifier()
    trainer = Trainer(
        model=model,
        run_name='run',
        train_dataloader=loader(40),
        eval_dataloader=loader(40, batch_size=20, seed=1),
        eval_interval=0,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.5),
        schedulers=CyclicCosineScheduler('1ep', 2, '1ep'),
        max_duration='8ep',
        progress_bar=False,
        callbacks=[ParetoSnapshot(folder='out'), SignalService(signal.Signals[sys.argv[1]])],
        loggers=WandBLogger(project='clr'),
    )
    trainer.fit()
    print('trained')
    trainer.close()


if __name__ == '__main__':
    main()
