"""Training that ends at a trough with ``--until``, and goes on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from composer_clr.train import main
from tests.helpers.untimed_points import untimed_points

SMALL = 'data={arguments: {train_images: 100, eval_images: 90}, eval_batch_size: 90, batch_size: 25}'
RUN = ['quickstart/digits', 'progress_bar=false', SMALL, 'run_name=r', 'snapshot.folder=out']
RESUMED = [*RUN, 'checkpoint.folder=ck', 'checkpoint.autoresume=true', 'checkpoint.interval=60s']
EPOCHS = ['schedule={t_warmup: 1ep, t_0: 1ep}', 'max_duration=4ep']
BATCHES = ['schedule={t_warmup: 3ba, t_0: 3ba}', 'max_duration=24ba']


def trained(folder: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return main([*RESUMED, *words])


@pytest.mark.filterwarnings('ignore:ProgressiveResizing follows the elapsed part of the whole run:UserWarning')
@pytest.mark.parametrize(
    ('words', 'pauses'),
    [
        # What follows the length of the run does not notice where it pauses.
        ([*EPOCHS, 'algorithms={ProgressiveResizing: {}, MixUp: {}}'], ['2ep']),
        # Within an epoch of four batches, off the checkpoints and evaluations of its own.
        (
            ['schedule={t_warmup: 3ba, t_0: 3ba}', 'max_duration=24ba', 'evaluation.interval=7ba'],
            ['6ba', '6ba', '12ba'],
        ),
    ],
    ids=['epochs', 'batches'],
)
def test_pauses_leave_the_points_and_weights_of_the_undisturbed_run(words, pauses, tmp_path, monkeypatch, capsys):
    whole, paused = tmp_path / 'whole', tmp_path / 'paused'
    assert trained(whole, *words, monkeypatch=monkeypatch) == 0
    capsys.readouterr()
    for until in pauses:
        assert trained(paused, *words, f'--until={until}', monkeypatch=monkeypatch) == 0
        points = list(dict.fromkeys(pauses)).index(until) + 1
        assert capsys.readouterr().out.splitlines()[-1].startswith(f'r pauses at {until}: ')
        assert len(untimed_points(paused / 'out')) == points
    assert trained(paused, *words, monkeypatch=monkeypatch) == 0
    assert untimed_points(paused / 'out') == untimed_points(whole / 'out')
    for file in (whole / 'out').glob('*.pt'):
        one, other = (torch.load(f / 'out' / file.name, weights_only=True)['state']['model'] for f in (whole, paused))
        assert all(torch.equal(one[name], other[name]) for name in one)
    # Past its trough, a run pauses at once; at its end it is complete.
    assert trained(paused, *words, f'--until={pauses[0]}', monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith('r is complete: ')


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([*RESUMED, *EPOCHS, '--until=5ep'], '--until 5ep: is no trough of the run: choose of 2ep, 4ep'),
        ([*RESUMED, *EPOCHS, '--until=soon'], "--until='soon' is not a duration"),
        ([*RUN, *EPOCHS, '--until=2ep'], '--until 2ep: goes on from a checkpoint: pass checkpoint.folder'),
        ([*RESUMED, *EPOCHS, '--until'], 'argument --until: expected one argument: pass'),
    ],
)
def test_what_is_refused_trains_nothing(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob('*.pt'))
