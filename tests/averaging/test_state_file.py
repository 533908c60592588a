"""Damaged and hostile files are refused in one line, in time and memory that their size bounds."""

import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from composer_clr.averaging.checkpoints import read_checkpoints
from composer_clr.averaging.state_file import load_network, weights_in
from composer_clr.curves.curve import CurveError


class Evil:
    def __reduce__(self):
        return print, ('unpickled',)


def packed(path: Path, weights: object) -> None:
    torch.save({'state': {'model': weights}}, path)


def with_part(path: Path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """Writes a file of one weight with a part replaced."""
    packed(path, {'weight': torch.zeros(1, 1)})
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for part, own in parts.items():
            archive.writestr(part, content if part.endswith(name) else own)


def deflated(path: Path) -> None:
    """Writes 1 GB in 1 MB."""
    with_part(path, 'data/0', b'')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr('a/data.pkl', pickle.dumps({'state': {}}))
        with archive.open('a/data/0', 'w', force_zip64=True) as part:
            for _ in range(1000):
                part.write(bytes(1_000_000))


def of_other_size(path: Path) -> None:
    """Says that a storage of 4 bytes has 4 GB."""
    with_part(path, '-', b'')
    with zipfile.ZipFile(path) as archive:
        plain = archive.read(f'{path.stem}/data.pkl')
    # The numbers of elements: of the storage, and of the shape.
    huge = b'\x8a\x05' + (10**9).to_bytes(5, 'little')
    with_part(
        path, 'data.pkl', plain.replace(b'cpuq\nK\x01', b'cpuq\n' + huge).replace(b'K\x01K\x01\x86', huge * 2 + b'\x86')
    )


HOSTILE = {
    'a-pipe': os.mkfifo,
    'a-folder': os.mkdir,
    'empty': Path.touch,
    'cut-off': lambda path: (packed(path, {'weight': torch.zeros(99, 99)}), os.truncate(path, 20_000)),
    'a-pickle': lambda path: path.write_bytes(pickle.dumps(Evil())),
    'a-pickle-within': lambda path: packed(path, {'weight': Evil()}),
    'deflated': deflated,
    'long-plain-values': lambda path: with_part(path, 'data.pkl', bytes(40 << 20)),
    'of-other-size': of_other_size,
    'stride-0': lambda path: packed(path, {'weight': torch.zeros(1).expand(4_000_000_000)}),
    'an-array': lambda path: packed(path, {'weight': np.zeros(1, 'float32')}),
    'sparse': lambda path: packed(path, {'weight': torch.zeros(1, 1).to_sparse()}),
    'without-storage': lambda path: packed(path, {'weight': torch.zeros(10**6, 10**6, device='meta')}),
    'a-list': lambda path: packed(path, [torch.zeros(1, 1)]),
    'a-number': lambda path: packed(path, {'weight': 1.0}),
    'a-number-for-a-name': lambda path: packed(path, {1: torch.zeros(1, 1)}),
    'state-is-a-tensor': lambda path: torch.save({'state': torch.zeros(1)}, path),
    'no-state': lambda path: torch.save([], path),
    'other-shape': lambda path: packed(path, {'weight': torch.zeros(2, 2)}),
    'other-name': lambda path: packed(path, {'bias' * 10_000: torch.zeros(1, 1)}),
    'complex': lambda path: packed(path, {'weight': torch.zeros(1, 1, dtype=torch.complex64)}),
    'whole-numbers': lambda path: packed(path, {'weight': torch.zeros(1, 1, dtype=torch.int64)}),
}


@pytest.mark.parametrize('make', HOSTILE.values(), ids=HOSTILE)
def test_refused(tmp_path, capsys, make):
    path, network = tmp_path / 'a.pt', torch.nn.Linear(1, 1, bias=False)
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CurveError, match=r'a\.pt: ') as raised:
        load_network(network, weights_in(path), path)
    assert '\n' not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB
    assert 'unpickled' not in capsys.readouterr().out


TIMES = {'epoch': 1, 'batch': 6, 'sample': 24, 'token': 0, 'batch_in_epoch': 0}
DOUBLED: list = ['a']
for _ in range(60):
    DOUBLED = [DOUBLED, DOUBLED]


def checkpoint(**changes) -> dict:
    from datetime import timedelta

    state = {
        'timestamp': {'Timestamp': {**TIMES, 'total_wct': timedelta(seconds=1)}},
        'optimizers': {'SGD': {'param_groups': [{'lr': 0.1}]}},
        'algorithms': [('BlurPool', {})],
        'run_name': 'run',
        'rank_zero_seed': 17,
        'model': {},
    }
    return {'state': {**state, **changes}}


def test_a_whole_checkpoint_is_read(tmp_path):
    torch.save(checkpoint(), tmp_path / 'a.pt')
    ((read),) = read_checkpoints([tmp_path])
    assert (read.run_name, read.seed, read.counts, read.train_s, read.lr) == ('run', 17, TIMES, 1.0, 0.1)


@pytest.mark.parametrize(
    'changes',
    [
        {'timestamp': {}},
        {'timestamp': {'Timestamp': {**TIMES, 'total_wct': 'long'}}},
        {'timestamp': {'Timestamp': {**TIMES, 'batch': float('nan')}}},
        {'timestamp': {'Timestamp': {**TIMES, 'batch': float('inf')}}},
        {'timestamp': {'Timestamp': {**TIMES, 'batch': -6}}},
        {'timestamp': {'Timestamp': {**TIMES, 'sample': 10**400}}},
        {'optimizers': {}},
        {'optimizers': {'SGD': {'param_groups': [{'lr': float('nan')}]}}},
        {'optimizers': {'SGD': {'param_groups': [{'lr': [0.1]}]}}},
        {'algorithms': [DOUBLED]},
        {'algorithms': 7},
        {'run_name': DOUBLED},
        {'rank_zero_seed': DOUBLED},
    ],
    ids=lambda changes: f'{next(iter(changes))}',
)
def test_a_checkpoint_of_odd_values_is_refused(tmp_path, changes):
    torch.save(checkpoint(**changes), tmp_path / 'a.pt')
    with pytest.raises(CurveError, match=r'a\.pt: not a checkpoint that Composer 0\.32 saved') as raised:
        read_checkpoints([tmp_path])
    assert len(str(raised.value)) < 400
