"""The README's first command, whole: a few minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from composer_clr.curves.files import read_sources

README = Path(__file__).parents[2] / 'README.md'


def first_command() -> str:
    """Returns the README's first block of shell, without the installation."""
    block = README.read_text(encoding='utf-8').partition('```sh\n')[2].partition('```')[0]
    install, and_then, rest = block.partition('pip install -e . &&')
    assert and_then, f'the first command installs and then trains; it is {install!r}'
    return rest


@pytest.mark.slow
def test_the_first_command_draws_both_curves(tmp_path):
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    subprocess.run(first_command(), shell=True, cwd=tmp_path, env={**os.environ, 'PATH': path}, check=True, timeout=900)
    assert (tmp_path / 'curve.png').read_bytes().startswith(b'\x89PNG')
    curves, _ = read_sources([tmp_path / 'runs'], strict=True)
    seeds = sorted({curve.run.seed or 0 for curve in curves})
    assert seeds == [17, 18, 19]
    accuracy = 'eval/MulticlassAccuracy'
    for seed in seeds:
        cyclic = {p.epoch: p for c in curves if (c.run.kind, c.run.seed) == ('cyclic', seed) for p in c.points}
        standard = {p.epoch: p for c in curves if (c.run.kind, c.run.seed) == ('standard', seed) for p in c.points}
        assert set(cyclic) == set(standard) == {4.0, 8.0, 16.0, 32.0, 64.0}
        assert cyclic[4.0].metrics == standard[4.0].metrics
        # Longer training pays on both curves, so that there is something to compare.
        assert cyclic[64.0].metrics[accuracy] > cyclic[4.0].metrics[accuracy] + 0.05
        assert standard[64.0].metrics[accuracy] > standard[4.0].metrics[accuracy] + 0.05
    trained_s = sum(curve.points[-1].wall_clock_train_s for curve in curves)
    print(f'{trained_s:.0f} s of training')
