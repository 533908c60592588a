"""Trains, and kills W&B's process meanwhile: ``python -m tests.helpers.wandb_service_killed``."""

import psutil
import torch
from composer import Callback, Trainer
from composer.loggers import WandBLogger

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from tests.conftest import classifier, loader


class KillService(Callback):
    def batch_start(self, state, logger):
        if state.timestamp.batch == 30:
            services = [child for child in psutil.Process().children() if 'wandb' in child.name()]
            for service in services:
                service.kill()
            print('killed', len(services))


def main() -> None:
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
        callbacks=[ParetoSnapshot(folder='out'), KillService()],
        loggers=WandBLogger(project='clr'),
    )
    trainer.fit()
    print('trained')
    trainer.close()


if __name__ == '__main__':
    main()
