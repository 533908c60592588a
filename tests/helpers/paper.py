"""The paper's measured curves, of which the repository carries no copy."""

import csv
import os
from pathlib import Path

import pytest

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.long_csv import read_long_csv


def paper_curves(folder: Path) -> list[TradeoffCurve]:
    """Returns the paper's ResNet-50 curves, by way of a long CSV in a folder; skips the test where there are none."""
    named = os.environ.get('COMPOSER_CLR_REFERENCE')
    if not named:
        pytest.skip("COMPOSER_CLR_REFERENCE names no copy of the paper's curves")
    source = Path(named) / 'portes2022_resnet50_imagenet.csv' if Path(named).is_dir() else Path(named)
    path = folder / 'long.csv'
    with source.open(newline='') as file, path.open('w', newline='') as written:
        table = csv.writer(written)
        table.writerow(['kind', 'method', 'seed', 'epoch', 'wall_clock_train_s', 'top1', 'peak:top1'])
        for r in csv.DictReader(file):
            measured = (r['epochs'], r['wall_clock_train_s'], r['top1_end'], r['top1_max'])
            table.writerow([r['kind'], r['method'], '', *measured])
    return read_long_csv(path)
