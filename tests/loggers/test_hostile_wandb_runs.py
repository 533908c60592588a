"""Run folders of Weights & Biases from anybody: whatever is in them, curves come out or one error on one line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore

from composer_clr.curves.curve import CurveError
from composer_clr.curves.long_csv import long_csv
from composer_clr.loggers.history import RunFilter
from composer_clr.loggers.import_curves import import_curves
from composer_clr.loggers.recovered_curve import Keys, wanted
from composer_clr.loggers.wandb_runs import read_files, wandb_runs
from tests.helpers.fuzzing import NUMBERS, anything, check_each, refused_or

KEYS = ['lr-SGD/group0', 'metrics/eval/acc', 'time/train', 'time/epoch', '_timestamp', '_step', 'a\x1b[2J']


def record(**parts: Any) -> Any:
    records: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
    if 'run' in parts:
        records.run.run_id = parts['run']
        for key, value in parts['config']:
            records.run.config.update.add(nested_key=key, value_json=value)
    else:
        for key, value in parts['row']:
            records.history.item.add(key=key, value_json=value)
    return records


values = (
    st.floats().map(json.dumps)
    | st.integers().map(str)
    | anything.map(json.dumps)
    | st.sampled_from(['', '[' * 5000, '9' * 5000, '"NaN"', 'nul', '1e999', '-0', '{"a": '])
)
rows = st.lists(st.tuples(st.sampled_from(KEYS) | st.text(max_size=5), values), max_size=8)
configs = st.lists(st.tuples(st.lists(st.sampled_from(['a', 'enabled_algorithms/MixUp', '']), max_size=3), values))
# Rows that make a curve, between those that are odd.
cosine = st.integers(2, 30).map(
    lambda period: [
        [
            ('_step', str(step)),
            ('lr-SGD/group0', str(1 - step % period / period)),
            ('metrics/eval/acc', str(step / 100)),
            ('time/train', str(step / 3600)),
            ('time/epoch', str(step // 5)),
            ('_timestamp', str(2 * step)),
        ]
        for step in range(2 * period)
    ]
)


@st.composite
def odd_files(draw: st.DrawFn) -> tuple[list[Any], list[tuple[int, int]], int]:
    """Records, bytes of the file to be changed, and bytes to be cut off its end."""
    run_id = draw(st.text(max_size=5))
    history = draw(cosine) if draw(st.booleans()) else []
    for row in draw(st.lists(rows, max_size=4)):
        history.insert(draw(st.integers(0, len(history))), row)
    records = [record(run=run_id, config=draw(configs)), *(record(row=row) for row in history)]
    changes = draw(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3))
    return records, changes, draw(st.sampled_from([0, 0, 1, 7, 100]))


def check(folder: Path, odd_file: tuple[list[Any], list[tuple[int, int]], int]) -> None:
    records, changes, cut = odd_file
    file = folder / 'run.wandb'
    file.unlink(missing_ok=True)
    store = DataStore()
    store.open_for_write(str(file))
    for each in records:
        store.write(each)
    store.close()
    content = bytearray(file.read_bytes())
    for place, byte in changes:
        if place < len(content):
            content[place] = byte
    file.write_bytes(content[: len(content) - cut])
    found = refused_or(lambda: import_curves(wandb_runs, [str(file)], Keys(), RunFilter()), CurveError)
    if found is not None:
        curves, _ = found  # type: ignore[misc]
        assert curves
        refused_or(lambda: long_csv(curves), CurveError)


# Cases that the reader once fell over, kept.
NO_STEP = record(run='a', config=[]), record(row=[('_step', 'NaN'), ('lr-SGD/group0', '1'), ('metrics/eval/acc', '1')])


FOUND = [([*NO_STEP], [], 0), ([record(run='\n', config=[])], [], 0)]


@pytest.mark.parametrize('number', NUMBERS)
def test_odd_run_folders(tmp_path, number):
    check_each(number, odd_files(), partial(check, tmp_path), FOUND)


@pytest.mark.parametrize('size', [0, 1, 7, 8, 200])
def test_a_file_of_other_bytes(tmp_path, size):
    for header in (b'', b':W&B' + (0xBEE1).to_bytes(2, 'little') + b'\0'):
        (tmp_path / 'run-x.wandb').write_bytes(header + bytes(range(size)))
        histories, errors = read_files([tmp_path / 'run-x.wandb'], wanted(Keys()))
        assert len(histories) + len(errors) == 1
