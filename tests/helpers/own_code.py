"""A module of one's own, as --code names it, and a recipe that trains its network on its data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from composer_clr.training import registry

MINE = """
import os
from os import system

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def network(num_classes, width=8):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, num_classes))


def loaders(batch_size, eval_batch_size):
    points = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    points = TensorDataset(points, (points[:, 0] > 0).long())
    return DataLoader(points, batch_size, shuffle=True), DataLoader(points, eval_batch_size)
"""

RECIPE = """
run_name: ${snapshot.method}-${schedule.kind}-${max_duration}-${seed}
max_duration: 3ep
progress_bar: false
model: {name: mine:network, num_classes: 2}
data: {name: mine:loaders, batch_size: 50, eval_batch_size: 50}
optimizer: {lr: 0.1}
schedule: {kind: cyclic, t_0: 1ep}
"""


def write_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes ``mine.py`` and ``mine.yaml``, goes to their folder, and forgets at the end what was imported."""
    (folder / 'mine.py').write_text(MINE)
    (folder / 'mine.yaml').write_text(RECIPE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    # Noted as absent, to be removed again.
    monkeypatch.setitem(sys.modules, 'mine', sys)
    del sys.modules['mine']
    monkeypatch.setattr(registry, '_digests', {})
