"""Runs as LLM Foundry makes them, in one folder: in tokens, less than an epoch long, all of one name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from composer.callbacks import LRMonitor, SpeedMonitor
from composer.core import DataSpec
from composer.loggers import WandBLogger
from composer.optim import CosineAnnealingWithWarmupScheduler

from composer_clr import CyclicCosineScheduler
from composer_clr.cli.app import main
from composer_clr.curves.long_csv import read_long_csv
from tests.helpers.trainers import loader
from tests.helpers.wandb_runs import close_files, offline

__all__ = ['offline']

TOKENS = 100  # per batch, of 400 in an epoch
SCHEDULES = {
    'cyclic': lambda: CyclicCosineScheduler('800tok', t_warmup='800tok'),
    'wsd-s': lambda: CyclicCosineScheduler('800tok', t_warmup='800tok', t_hold=0.7, shape='linear'),
    'standard': lambda: CosineAnnealingWithWarmupScheduler('800tok'),
}


@pytest.mark.slow
def test_runs_of_one_name_in_one_folder_are_imported_without_the_length_of_an_epoch(
    offline, make_trainer, monkeypatch, capsys
):
    runs = [('cyclic', 32, 17), ('wsd-s', 32, 17), ('cyclic', 32, 17)]
    runs += [('standard', batches, 17) for batches in (16, 32)] + [('cyclic', 32, 18)]
    for kind, batches, seed in runs:
        trainer = make_trainer(
            run_name='mpt',
            seed=seed,
            train_dataloader=DataSpec(loader(1600), get_num_tokens_in_batch=lambda batch: TOKENS),
            schedulers=SCHEDULES[kind](),
            max_duration=f'{batches * TOKENS}tok',
            eval_interval='8ba',
            callbacks=[LRMonitor(), SpeedMonitor(window_size=2)],
            loggers=WandBLogger(project='llm'),
        )
        trainer.fit()
        trainer.close()
    close_files()
    monkeypatch.setattr(sys, 'argv', ['composer-clr', 'import-wandb', str(offline / 'wandb'), '-o', 'curves.csv'])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    left_out = [line for line in capsys.readouterr().err.splitlines() if 'left out' in line]
    assert len(left_out) == 1
    assert "runs 'mpt (" in left_out[0]
    assert 'are both cyclic, baseline, seed 17' in left_out[0]
    curves = read_long_csv(Path('curves.csv'))
    assert [
        (curve.run.kind, curve.run.seed, [(p.epoch, p.batch, p.token) for p in curve.points]) for curve in curves
    ] == [
        ('cyclic', 17, [(None, 16, 1600), (None, 32, 3200)]),
        ('wsd-s', 17, [(None, 16, 1600), (None, 32, 3200)]),
        ('standard', 17, [(None, 16, 1600)]),
        ('standard', 17, [(None, 32, 3200)]),
        ('cyclic', 18, [(None, 16, 1600), (None, 32, 3200)]),
    ]
    # The first point of each seed's cyclic run is the standard run's.
    assert curves[0].points[0].metrics == curves[2].points[0].metrics
