from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from composer_clr.cli import app
from tests.helpers.studies import STUDY

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch) -> Call:
    """Runs a command in this process and returns its status."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, 'argv', ['composer-clr', *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code or 0  # type: ignore[return-value]

    return call


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """Two cyclic runs of two points, and the standard runs to each for one seed, in folders of their own."""
    for i, curve in enumerate(STUDY):
        (tmp_path / f'run{i}').mkdir()
        curve.write(tmp_path / f'run{i}' / 'curve.json')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def three_seeds(tmp_path, monkeypatch) -> Path:
    """Two methods with three seeds: cyclic runs of four points, and the standard runs to each."""
    monkeypatch.chdir(tmp_path)
    head = 'kind,method,seed,epoch,wall_clock_train_s,top1'
    gain = {'baseline': 0.0, 'MX': -0.02, 'A_b&c': 0.004}
    rows = [
        f'{kind},{method},{seed},{epoch},{100 * epoch + 9 * seed * (1 + (kind == "cyclic"))},'
        f'{0.6 + 0.03 * i + of_method * (1.5 - i) + 1e-3 * ((7 * seed * (m + 1) + 3 * i * seed + 5 * k) % 6):.4f}'
        for k, kind in enumerate(('cyclic', 'standard'))
        for m, (method, of_method) in enumerate(gain.items())
        for seed in (1, 2, 3)
        for i, epoch in enumerate((16, 32, 64, 128))
    ]
    (tmp_path / 'study.csv').write_text('\n'.join([head, *rows]) + '\n')
    return tmp_path
