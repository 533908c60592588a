"""Ranks that end alone, and disks that are full, in one line; nothing waits for a rank that has ended."""

from __future__ import annotations

import re
import resource

import pytest

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.train import main
from composer_clr.training.torch_errors import torch_errors
from tests.helpers.launcher import launch

SCRIPT = """
import os, signal, sys
from composer import Callback, Trainer
from composer.utils import dist
from composer_clr.train import main

class End(Callback):
    def batch_start(self, state, logger):
        if state.timestamp.batch == 4 and dist.get_global_rank() == 1:
            if sys.argv[1] == 'error':
                raise OSError('the disk of this rank alone')
            os.kill(os.getpid(), signal.SIGTERM)

def with_end(self, *args, callbacks, **arguments):
    build(self, *args, callbacks=[*callbacks, End()], **arguments)

build, Trainer.__init__ = Trainer.__init__, with_end
# As Composer's engine has it, whose handler a fork does not keep.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize('how', ['error', 'signal'])
def test_the_other_rank_ends_by_itself(how, tmp_path):
    (tmp_path / 'run.py').write_text(SCRIPT)
    recipe = ['quickstart/digits', 'data.arguments.train_images=100', 'progress_bar=false', 'max_duration=8ep']
    done = launch(2, 'run.py', how, *recipe, folder=tmp_path)
    # Rank 0 notices that rank 1 has gone; it would be -9 if it had to be killed.
    assert done.returncode == 1
    # Gloo has several words for it: 'Connection closed by peer', 'Read error', ...
    ended = r'another rank has ended \([A-Z][a-z ]+\): its output has the reason; resume from the last checkpoint'
    assert re.fullmatch(rf'composer_clr\.train: {ended}', done.stderr.splitlines()[-1])
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('message', 'reason'),
    [
        (
            '[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:56194',
            'Connection closed by peer',
        ),
        (
            '[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Read error [::1]:5: Connection reset by peer',
            'Read error',
        ),
        ('NCCL error in: x.cpp:9\nncclRemoteError: A call failed possibly due to a network error', 'ncclRemoteError'),
    ],
)
def test_a_lost_connection_is_one_line(message, reason):
    with pytest.raises(OSError, match=rf'another rank has ended \({reason}\): its output'), torch_errors():
        raise RuntimeError(message)


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match='^mat1 and mat2 shapes'), torch_errors():
        raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')


def test_a_disk_that_is_full_at_the_trainers_own_checkpoint_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = ['quickstart/digits', 'data.arguments.train_images=100', 'progress_bar=false', 'snapshot.folder=out']
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A snapshot takes 0.3 MB, a checkpoint with the optimizer's state 0.6 MB.
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        assert main([*recipe, 'max_duration=8ep', 'checkpoint.folder=ck', 'checkpoint.interval=4ep']) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    expected = (
        'composer_clr.train: ck/ep4-ba8-rank0.pt: cannot be written (File too large): make room for it, and resume'
    )
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert [point.batch for point in TradeoffCurve.read('out').points] == [8]
