"""Loader processes that are killed, stopped or hang: one line, and soon."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from composer_clr.recipes.load import load_recipe
from composer_clr.training.build import build_trainer
from tests.helpers.launcher import launch

RECIPE = ['data.arguments.train_images=100', 'progress_bar=false', 'max_duration=4ep', 'data.num_workers=1']

# Does something to the loader processes as the fifth batch starts, or at the end.
SCRIPT = """
import os, signal, sys, time
from multiprocessing import active_children
from pathlib import Path
from composer import Callback, Trainer
from torch.utils.data import TensorDataset, get_worker_info
from composer_clr.train import main

def send(signal_number):
    for process in active_children():
        os.kill(process.pid, signal_number)

class Disturb(Callback):
    def batch_start(self, state, logger):
        if state.timestamp.batch == 4:
            if sys.argv[1] == 'kill':
                send(signal.SIGKILL)
            elif sys.argv[1] == 'stop':
                send(signal.SIGSTOP)
            elif sys.argv[1] == 'hang':
                Path('hang').touch()

    def fit_end(self, state, logger):
        if sys.argv[1] == 'stop at the end':
            send(signal.SIGSTOP)

def hanging(self, index):
    while get_worker_info() is not None and Path('hang').exists():
        time.sleep(0.1)
    return read(self, index)

def with_disturbance(self, *args, callbacks, **arguments):
    build(self, *args, callbacks=[*callbacks, Disturb()], **arguments)

read, TensorDataset.__getitem__ = TensorDataset.__getitem__, hanging
build, Trainer.__init__ = Trainer.__init__, with_disturbance
status = main(sys.argv[2:])
Path('hang').unlink(missing_ok=True)
sys.exit(status)
"""

TIMED_OUT = (
    'data.timeout_s=2.0: no batch came from the loader processes for so long: check the storage of the data, or pass a '
    'larger data.timeout_s'
)


def disturbed(disturbance: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Trains in a process of its own: torch's handler of ended children raises the error again at the next one."""
    (folder / 'run.py').write_text(SCRIPT)
    return launch(1, 'run.py', disturbance, 'quickstart/digits', *RECIPE, 'data.timeout_s=2', folder=folder)


@pytest.mark.parametrize(
    ('disturbance', 'line'),
    [
        (
            'kill',
            r'data.num_workers: a loader process ended unexpectedly( \(Killed\))?, often because memory ran out: '
            'resume, perhaps with fewer data.num_workers',
        ),
        pytest.param('hang', TIMED_OUT, marks=pytest.mark.slow),
        pytest.param('stop', TIMED_OUT, marks=pytest.mark.slow),
    ],
)
def test_a_loader_process_that_ends_or_hangs_is_one_line(disturbance, line, tmp_path):
    done = disturbed(disturbance, tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(f'composer_clr.train: {line}', done.stderr.splitlines()[-1])
    assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_loader_processes_that_are_stopped_do_not_keep_a_run_from_ending(tmp_path):
    done = disturbed('stop at the end', tmp_path)
    assert (done.returncode, done.stderr.count('Traceback')) == (0, 0), done.stderr


def test_every_loader_with_processes_has_the_limit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = build_trainer(load_recipe('quickstart/digits', RECIPE))
    assert trainer.state.train_dataloader.timeout == 600  # type: ignore[union-attr]
    assert trainer.state.evaluators[0].dataloader.dataloader.timeout == 600  # type: ignore[union-attr]
    trainer.close()
